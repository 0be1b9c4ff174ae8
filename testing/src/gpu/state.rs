//! The card's objects and their properties.

use std::time::{Duration, Instant};

use polyp_edge::call::CallResult;
use polyp_edge::display::kms::gpu::{FourCc, Plane, PlaneKind};

use super::{CRTCS, CURSOR, Flips, OVERLAY, PRIMARY, SECOND, Settings, State, errno};

const PLANE_NAMES: [&str; 17] = [
    "type",
    "FB_ID",
    "CRTC_ID",
    "SRC_X",
    "SRC_Y",
    "SRC_W",
    "SRC_H",
    "CRTC_X",
    "CRTC_Y",
    "CRTC_W",
    "CRTC_H",
    "zpos",
    "pixel blend mode",
    "alpha",
    "rotation",
    "COLOR_ENCODING",
    "COLOR_RANGE",
];
const CRTC_NAMES: [&str; 4] = ["ACTIVE", "MODE_ID", "GAMMA_LUT", "VRR_ENABLED"];
const CONNECTOR_NAMES: [&str; 2] = ["CRTC_ID", "link-status"];

impl State {
    pub(super) fn get(&self, settings: &Settings, object: u32, name: &'static str) -> u64 {
        settings.get(&(object, name)).copied().unwrap_or(0)
    }

    /// Each operation begins here.
    pub(super) fn step(&mut self, operation: &'static str) -> CallResult<()> {
        self.counts.operations += 1;
        if self.is_gone {
            return Err(errno(operation, libc::ENODEV));
        }
        for (name, after, number, times) in &mut self.failures {
            if *name == operation || *name == "any" {
                if *after > 0 {
                    *after -= 1;
                } else if *times > 0 {
                    *times -= 1;
                    return Err(errno(operation, *number));
                }
            }
        }
        Ok(())
    }

    /// Whether this user of the card may change what is shown.
    pub(super) fn may_show(&self) -> bool {
        match &self.lessor {
            Some(lessor) => !self.is_revoked && super::is_master(lessor),
            None => self.is_master,
        }
    }

    pub(super) fn fresh(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// When a flip that is asked for now is done: at the next refresh.
    pub(super) fn next_refresh(&self) -> Instant {
        let Some(begin) = self.on_runtime else { return self.now + self.period };
        let into = self.now.duration_since(begin).as_nanos() % self.period.as_nanos();
        self.now + self.period - Duration::from_nanos(into as u64)
    }

    pub(super) fn settle(&mut self) {
        if let Some((serial, due)) = self.pending
            && due <= self.now
            && self.flips != Flips::Hanging
        {
            self.pending = None;
            self.scanned = self.committed.clone();
            self.counts.flips += 1;
            if self.flips == Flips::Done {
                self.events.push((serial, due));
            }
        }
    }

    pub(super) fn names(&self, object: u32) -> Vec<&'static str> {
        match object {
            PRIMARY | OVERLAY | CURSOR | SECOND => {
                let all = PLANE_NAMES.iter().copied();
                all.filter(|name| self.can.colours || !name.starts_with("COLOR_")).collect()
            }
            21 | 22 => CONNECTOR_NAMES.to_vec(),
            _ if CRTCS.contains(&object) => CRTC_NAMES.to_vec(),
            _ => vec![],
        }
    }

    pub(super) fn property_id(name: &str) -> u32 {
        let all = PLANE_NAMES.iter().chain(&CRTC_NAMES).chain(&CONNECTOR_NAMES);
        1000 + all.into_iter().position(|known| *known == name).unwrap() as u32
    }

    pub(super) fn choices(name: &str) -> Vec<(u64, String)> {
        let all: &[(u64, &str)] = match name {
            "pixel blend mode" => &[(2, "None"), (0, "Pre-multiplied"), (1, "Coverage")],
            "rotation" => &[(0, "rotate-0"), (2, "rotate-180")],
            "COLOR_ENCODING" => {
                &[(3, "ITU-R BT.601 YCbCr"), (4, "ITU-R BT.709 YCbCr"), (5, "ITU-R BT.2020 YCbCr")]
            }
            "COLOR_RANGE" => &[(8, "YCbCr limited range"), (9, "YCbCr full range")],
            _ => &[],
        };
        all.iter().map(|&(value, name)| (value, name.to_owned())).collect()
    }

    pub(super) fn is_immutable(&self, object: u32, name: &str) -> bool {
        name == "type" || name == "zpos" && (object != OVERLAY || self.can.overlay_depth.is_some())
    }

    pub(super) fn planes(&self) -> Vec<Plane> {
        let plane = |id, kind, formats: Vec<FourCc>| Plane { id, kind, formats, possible_crtcs: 0b01 };
        let mut planes = vec![
            plane(PRIMARY, PlaneKind::Primary, [&[FourCc::XRGB8888][..], &self.can.video].concat()),
            plane(CURSOR, PlaneKind::Cursor, vec![FourCc::ARGB8888]),
        ];
        if self.can.overlay {
            let formats = [&[FourCc::ARGB8888][..], &self.can.video].concat();
            planes.push(plane(OVERLAY, PlaneKind::Overlay, formats));
        }
        if self.can.second && self.lessor.is_none() {
            let second = plane(SECOND, PlaneKind::Primary, vec![FourCc::XRGB8888]);
            planes.push(Plane { possible_crtcs: 0b10, ..second });
        }
        planes
    }
}
