//! Which card, socket, mode and planes: no device is asked here.

use super::gpu::{Connector, FourCc, Mode, Plane, PlaneKind, Status};
use crate::overlay::MAX_SIDE_PX;

/// A mode that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ModeWish {
    /// Within half a hertz; without a rate: the one nearest to 60.
    Exact {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// Pictures a second.
        refresh_hz: Option<f64>,
    },
    /// The picture's own size.
    Camera,
    /// What the monitor likes best.
    Preferred,
}

/// A card and its sockets: name and status.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub connectors: Vec<(String, Status)>,
}

/// The first card with the socket asked for, connected if one is; without such a wish the first with a monitor, else
/// the first with sockets. `None`: none has any.
pub fn card(candidates: &[Candidate], connector: Option<&str>) -> Option<usize> {
    let fits = |name: &str| connector.is_none_or(|wanted| wanted == name);
    let has = |wanted: &dyn Fn(&str, Status) -> bool| {
        candidates.iter().position(|card| card.connectors.iter().any(|(name, status)| wanted(name, *status)))
    };
    has(&|name, status| fits(name) && status == Status::Connected)
        .or_else(|| has(&|name, _| fits(name)))
        .or_else(|| has(&|_, _| true))
}

/// Whether a monitor is there. Sockets that cannot tell count only if they were asked for by name.
pub fn is_lit(status: Status, by_name: bool) -> bool {
    status == Status::Connected || by_name && status == Status::Unknown
}

/// Modes to be tried, best first, each once: what was wished, what the monitor prefers, its first, the others.
/// `picture`: the camera's size, if it is known. Interlaced modes come last; what is larger than a layer can be is left out.
pub fn modes(wishes: &[ModeWish], modes: &[Mode], picture: Option<(usize, usize)>) -> Vec<Mode> {
    let mut chosen: Vec<Mode> = Vec::new();
    let mut take = |mode: &Mode| {
        if !chosen.contains(mode) {
            chosen.push(*mode);
        }
    };
    let fits = |mode: &&Mode| mode.width().max(mode.height()) <= MAX_SIDE_PX;
    let progressive = || modes.iter().filter(fits).filter(|mode| !mode.is_interlaced());
    let nearest = |size: (usize, usize), rate: f64, within: f64| {
        progressive()
            .filter(|mode| mode.size() == size && (mode.refresh_hz() - rate).abs() <= within)
            .min_by(|a, b| (a.refresh_hz() - rate).abs().total_cmp(&(b.refresh_hz() - rate).abs()))
    };
    for wish in wishes {
        let found = match *wish {
            ModeWish::Exact { width, height, refresh_hz } => {
                let within = if refresh_hz.is_some() { 0.5 } else { f64::MAX };
                nearest((width as usize, height as usize), refresh_hz.unwrap_or(60.0), within)
            }
            ModeWish::Camera => picture.and_then(|size| nearest(size, 60.0, f64::MAX)),
            ModeWish::Preferred => progressive().find(|mode| mode.is_preferred()),
        };
        found.into_iter().for_each(&mut take);
    }
    progressive().filter(|mode| mode.is_preferred()).for_each(&mut take);
    progressive().for_each(&mut take);
    modes.iter().filter(fits).for_each(&mut take);
    chosen
}

/// The CRTC for a connector, as its place among all: the one that feeds it already, else the first that can and is
/// free, else the first that can. `busy`: bit n, the n-th feeds another connector. `reserved`: bit n, the n-th is not to be had.
pub fn crtc(connector: &Connector, crtcs: &[u32], current: u32, busy: u32, reserved: u32) -> Option<usize> {
    let can = |index: usize| index < 32 && (connector.possible_crtcs & !reserved) >> index & 1 == 1;
    let is_busy = |index: usize| index < 32 && busy >> index & 1 == 1;
    let all = || (0..crtcs.len()).filter(|&index| can(index));
    all()
        .find(|&index| current != 0 && crtcs.get(index) == Some(&current))
        .or_else(|| all().find(|&index| !is_busy(index)))
        .or_else(|| all().next())
}

/// The CRTC for a second connector, as its place among all, so that another one is left for the first connector. `current`: what feeds
/// either already, which is kept if that can be.
pub fn second_crtc(
    first: &Connector,
    second: &Connector,
    crtcs: &[u32],
    current: (u32, u32),
) -> Option<usize> {
    let can = |connector: &Connector, index: usize| index < 32 && connector.possible_crtcs >> index & 1 == 1;
    let is = |index: usize, crtc: u32| crtc != 0 && crtcs.get(index) == Some(&crtc);
    let all = || 0..crtcs.len();
    let leaves_one = |index: usize| all().any(|other| other != index && can(first, other));
    let mut possible: Vec<usize> = all().filter(|&index| can(second, index) && leaves_one(index)).collect();
    // The first connector keeps its own before the second one does.
    possible.sort_by_key(|&index| (is(index, current.0), !is(index, current.1), can(first, index)));
    possible.first().copied()
}

/// A plane of a kind on the n-th CRTC that takes a format; `taken` are passed over.
pub fn plane<'a>(
    planes: &'a [Plane],
    crtc: usize,
    kind: PlaneKind,
    format: FourCc,
    taken: &[u32],
) -> Option<&'a Plane> {
    planes.iter().find(|plane| {
        plane.kind == kind
            && crtc < 32
            && plane.possible_crtcs >> crtc & 1 == 1
            && plane.formats.contains(&format)
            && !taken.contains(&plane.id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(width: u16, height: u16, rate: u32, preferred: bool) -> Mode {
        Mode(drm_ffi::drm_mode_modeinfo {
            hdisplay: width,
            vdisplay: height,
            htotal: width + 100,
            vtotal: height + 50,
            clock: (u32::from(width) + 100) * (u32::from(height) + 50) * rate / 1000,
            type_: if preferred { drm_ffi::DRM_MODE_TYPE_PREFERRED } else { 0 },
            ..Default::default()
        })
    }

    #[test]
    fn a_rate_is_read_from_the_pixel_clock() {
        let mut timings = drm_ffi::drm_mode_modeinfo {
            clock: 148_352,
            hdisplay: 1920,
            htotal: 2200,
            vdisplay: 1080,
            vtotal: 1125,
            vrefresh: 60,
            ..Default::default()
        };
        assert_eq!(Mode(timings).to_string(), "1920×1080 at 59.94 Hz");
        timings.flags = drm_ffi::DRM_MODE_FLAG_INTERLACE;
        timings.clock = 74_250;
        assert_eq!(Mode(timings).to_string(), "1920×1080 at 60.00 Hz, interlaced");
    }

    #[test]
    fn wishes_come_first_then_what_the_monitor_prefers() {
        let all = [
            mode(1024, 768, 60, false),
            mode(1920, 1080, 50, false),
            mode(1920, 1080, 60, false),
            mode(3840, 2160, 30, true),
            mode(720, 576, 50, false),
        ];
        let first = |wishes: &[ModeWish], picture| {
            let chosen = modes(wishes, &all, picture);
            assert_eq!(chosen.len(), all.len(), "each mode once");
            (chosen[0].size(), chosen[0].refresh_hz().round())
        };
        let exact = |width, height, refresh_hz| ModeWish::Exact { width, height, refresh_hz };
        let (hd, xga) = (exact(1920, 1080, None), exact(1024, 768, None));
        let (hd_50, hd_24) = (exact(1920, 1080, Some(50.0)), exact(1920, 1080, Some(24.0)));
        let (camera, preferred) = (ModeWish::Camera, ModeWish::Preferred);
        assert_eq!(first(&[], None), ((3840, 2160), 30.0));
        assert_eq!(first(&[hd], None), ((1920, 1080), 60.0));
        assert_eq!(first(&[hd_50], None), ((1920, 1080), 50.0));
        assert_eq!(first(&[hd_24, xga], None), ((1024, 768), 60.0));
        assert_eq!(first(&[camera, xga], Some((720, 576))), ((720, 576), 50.0));
        assert_eq!(first(&[camera, xga], Some((721, 576))), ((1024, 768), 60.0));
        assert_eq!(first(&[camera, preferred, xga], None), ((3840, 2160), 30.0));
    }

    #[test]
    fn interlaced_modes_come_last_and_no_mode_is_none() {
        let mut interlaced = mode(1920, 1080, 30, true);
        interlaced.0.flags = drm_ffi::DRM_MODE_FLAG_INTERLACE;
        let all = [interlaced, mode(640, 480, 60, false)];
        assert_eq!(modes(&[ModeWish::Preferred], &all, None), [all[1], all[0]]);
        assert_eq!(modes(&[ModeWish::Preferred], &[], None), []);
        let wide = mode(5120, 2160, 50, true);
        assert_eq!(modes(&[ModeWish::Preferred], &[wide, all[1]], None), [all[1]], "no layer is so wide");
    }

    #[test]
    fn a_card_with_a_monitor_is_preferred() {
        let card_of = |connectors: &[(&str, Status)]| Candidate {
            connectors: connectors.iter().map(|(name, status)| (name.to_string(), *status)).collect(),
        };
        let (on, off) = (Status::Connected, Status::Disconnected);
        let cards =
            [card_of(&[]), card_of(&[("HDMI-A-1", off)]), card_of(&[("DP-1", off), ("HDMI-A-2", on)])];
        assert_eq!(card(&cards, None), Some(2));
        assert_eq!(card(&cards, Some("HDMI-A-1")), Some(1));
        assert_eq!(card(&cards[..2], None), Some(1));
        assert_eq!(card(&cards, Some("VGA-1")), Some(1));
        assert_eq!(card(&cards[..1], None), None);
    }

    #[test]
    fn a_crtc_stays_with_its_connector() {
        let connector = Connector {
            id: 1,
            name: "HDMI-A-1".into(),
            status: Status::Connected,
            modes: vec![],
            possible_crtcs: 0b110,
        };
        assert_eq!(crtc(&connector, &[10, 20, 30], 30, 0, 0), Some(2));
        assert_eq!(crtc(&connector, &[10, 20, 30], 0, 0b010, 0), Some(2));
        assert_eq!(crtc(&connector, &[10, 20, 30], 0, 0b110, 0), Some(1));
        assert_eq!(crtc(&connector, &[10], 10, 0, 0), None);
    }

    #[test]
    fn a_second_connector_leaves_a_crtc_for_the_first() {
        let connector = |possible_crtcs| Connector {
            id: 1,
            name: "HDMI-A-1".into(),
            status: Status::Connected,
            modes: vec![],
            possible_crtcs,
        };
        let crtcs = [10, 20, 30];
        for (first, second, current, chosen) in [
            // As on a Raspberry Pi: each has its own.
            (0b001, 0b010, (10, 20), Some(1)),
            (0b001, 0b010, (0, 0), Some(1)),
            // As on a workstation: any for any.
            (0b111, 0b111, (10, 20), Some(1)),
            (0b111, 0b111, (20, 10), Some(0)),
            (0b111, 0b111, (0, 0), Some(0)),
            (0b111, 0b111, (10, 10), Some(1)),
            // The first one gives way where it can, and nobody gets anything where it cannot.
            (0b011, 0b001, (10, 10), Some(0)),
            (0b001, 0b001, (10, 0), None),
            (0b001, 0b000, (10, 0), None),
        ] {
            let found = second_crtc(&connector(first), &connector(second), &crtcs, current);
            assert_eq!(found, chosen, "{first:#b} {second:#b} {current:?}");
        }
    }
}
