//! What the card can do, what becomes of its flips, and what has happened on it.

use std::time::Duration;

use polyp_edge::display::kms::gpu::FourCc;

pub const YUV: [FourCc; 3] = [FourCc::YUYV, FourCc::UYVY, FourCc::NV12];
pub const RGB: [FourCc; 2] = [FourCc::RGB888, FourCc::BGR888];

/// What the card can do.
#[derive(Clone, Debug)]
pub struct Abilities {
    pub atomic: bool,
    /// An overlay plane above the primary one.
    pub overlay: bool,
    /// Beside XR24.
    pub video: Vec<FourCc>,
    pub imports: bool,
    pub scales: bool,
    /// The primary plane may cover less than the whole.
    pub windows: bool,
    /// Planes say how they read Y′CbCr.
    pub colours: bool,
    /// Where the overlay lies among the planes if it cannot be moved.
    pub overlay_depth: Option<u64>,
    /// Larger modes are refused.
    pub most_px: usize,
}

impl Abilities {
    /// As on a Raspberry Pi.
    pub fn all() -> Abilities {
        Abilities {
            atomic: true,
            overlay: true,
            video: [&YUV[..], &RGB[..]].concat(),
            imports: true,
            scales: true,
            windows: true,
            colours: true,
            overlay_depth: None,
            most_px: usize::MAX,
        }
    }

    /// As in an emulator: one plane, no video formats.
    pub fn least() -> Abilities {
        Abilities {
            overlay: false,
            video: vec![],
            imports: false,
            scales: false,
            windows: false,
            colours: false,
            ..Abilities::all()
        }
    }
}

/// What becomes of flips.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flips {
    Done,
    /// Done, but nobody hears of it.
    Silent,
    /// Not done until this changes.
    Hanging,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub operations: u64,
    pub flips: u64,
    pub modesets: u64,
    pub tests: u64,
    pub probes: u64,
    pub busy: u64,
    /// Framebuffers removed while they were shown or about to be.
    pub removed_while_shown: u64,
    pub restored: u64,
    pub imports: u64,
    pub written: u64,
    /// The longest wait for a flip.
    pub longest: Duration,
}
