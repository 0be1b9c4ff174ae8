//! What feeds a connector: its CRTC and the planes on it.

use super::choose;
use super::gpu::{Connector, FourCc, Gpu, PlaneKind};
use super::request::{CrtcControls, Link, OutletError, PlaneControls, Request, Result, crtc_of_plane};

/// What a second monitor has for itself.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    connector: u32,
    crtc: u32,
    plane: u32,
}

impl Reserved {
    /// What `second` needs, so that enough is left for `first`.
    ///
    /// # Errors
    /// If a call fails, or the hardware has too few CRTCs or planes.
    pub fn find(gpu: &mut impl Gpu, first: &Connector, second: &Connector) -> Result<Reserved> {
        let (crtcs, planes) = (gpu.crtcs()?, gpu.planes()?);
        let current = (Link::new(gpu, first.id)?.crtc, Link::new(gpu, second.id)?.crtc);
        let lacks = |what: &str| OutletError::Missing(format!("no {what} for {}", second.name));
        let index = choose::second_crtc(first, second, &crtcs, current).ok_or_else(|| {
            OutletError::Missing(format!(
                "the card can feed {} or {}, not both at once: it has no CRTC for each",
                first.name, second.name
            ))
        })?;
        let plane = choose::plane(&planes, index, PlaneKind::Primary, FourCc::XRGB8888, &[]);
        let plane = plane.ok_or_else(|| lacks("primary plane with the format XR24"))?.id;
        let crtc = *crtcs.get(index).ok_or_else(|| lacks("CRTC"))?;
        Ok(Reserved { connector: second.id, crtc, plane })
    }

    /// Their object ids.
    pub fn objects(&self) -> [u32; 3] {
        [self.connector, self.crtc, self.plane]
    }
}

pub struct Outlet {
    pub connector: Link,
    pub crtc: CrtcControls,
    pub primary: PlaneControls,
    /// For layers; lies above the primary plane.
    pub overlay: Option<PlaneControls>,
    /// What others left on the CRTC: switched off with the first picture.
    leftovers: Vec<PlaneControls>,
    clones: Vec<Link>,
}

impl Outlet {
    /// # Errors
    /// If a call fails, or the hardware has no CRTC or plane for this connector.
    pub fn find(gpu: &mut impl Gpu, connector: &Connector, reserved: &Reserved) -> Result<Outlet> {
        let crtcs = gpu.crtcs()?;
        let planes = gpu.planes()?;
        let link = Link::new(gpu, connector.id)?;
        let mut others = Vec::new();
        for id in gpu.connectors()? {
            if id != connector.id && id != reserved.connector {
                others.push(Link::new(gpu, id)?);
            }
        }
        let is_busy = |crtc: &u32| others.iter().any(|other| other.crtc == *crtc);
        let busy = crtcs.iter().take(32).enumerate();
        let busy = busy.fold(0, |bits, (index, crtc)| bits | u32::from(is_busy(crtc)) << index);
        let lacks = |what: &str| OutletError::Missing(format!("no {what} for {}", connector.name));
        let not_ours = crtcs.iter().take(32).position(|crtc| *crtc == reserved.crtc);
        let not_ours = not_ours.map_or(0, |index| 1 << index);
        let index =
            choose::crtc(connector, &crtcs, link.crtc, busy, not_ours).ok_or_else(|| lacks("CRTC"))?;
        let crtc = *crtcs.get(index).ok_or_else(|| lacks("CRTC"))?;

        let primary = choose::plane(&planes, index, PlaneKind::Primary, FourCc::XRGB8888, &[reserved.plane]);
        let primary = primary.ok_or_else(|| lacks("primary plane with the format XR24"))?;
        let primary = PlaneControls::new(gpu, primary.id, &primary.formats)?;
        let mut taken = vec![primary.id, reserved.plane];
        let mut overlay = None;
        while let Some(plane) = choose::plane(&planes, index, PlaneKind::Overlay, FourCc::ARGB8888, &taken) {
            taken.push(plane.id);
            let controls = PlaneControls::new(gpu, plane.id, &plane.formats)?;
            let elsewhere = crtc_of_plane(gpu, plane.id)?;
            let below = controls.movable.is_none()
                && controls.depth.is_some_and(|depth| Some(depth) <= primary.depth);
            if !below && (elsewhere == 0 || elsewhere == crtc) {
                overlay = Some(controls);
                break;
            }
        }
        let mut leftovers = Vec::new();
        for plane in &planes {
            let is_kept = [primary.id, reserved.plane].contains(&plane.id)
                || overlay.as_ref().is_some_and(|overlay| overlay.id == plane.id);
            if !is_kept && crtc_of_plane(gpu, plane.id)? == crtc {
                leftovers.push(PlaneControls::new(gpu, plane.id, &[])?);
            }
        }
        let clones = others.into_iter().filter(|other| other.crtc == crtc).collect();
        Ok(Outlet {
            connector: link,
            crtc: CrtcControls::new(gpu, crtc)?,
            primary,
            overlay,
            leftovers,
            clones,
        })
    }

    /// Gives the connector a mode, and to nobody else.
    pub fn light(&self, request: &mut Request, mode_blob: u32) {
        self.connector.set(request, self.crtc.id);
        self.crtc.light(request, mode_blob);
        for clone in &self.clones {
            clone.set(request, 0);
        }
        for plane in &self.leftovers {
            plane.hide(request);
        }
    }

    pub fn darken(&self, request: &mut Request) {
        self.connector.set(request, 0);
        self.crtc.darken(request);
        self.primary.hide(request);
        if let Some(overlay) = &self.overlay {
            overlay.hide(request);
        }
    }
}
