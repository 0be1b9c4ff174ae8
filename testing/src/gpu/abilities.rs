//! What the card can do, what becomes of its flips, and what has happened on it.

use std::time::Duration;

use polyp_edge::display::kms::gpu::FourCc;

/// Video formats of luma and chroma.
pub const YUV: [FourCc; 3] = [FourCc::YUYV, FourCc::UYVY, FourCc::NV12];
/// Video formats of three bytes a pixel.
pub const RGB: [FourCc; 2] = [FourCc::RGB888, FourCc::BGR888];

/// What the card can do.
#[derive(Clone, Debug)]
pub struct Abilities {
    /// Atomic mode setting.
    pub atomic: bool,
    /// An overlay plane above the primary one.
    pub overlay: bool,
    /// Beside XR24.
    pub video: Vec<FourCc>,
    /// Another driver's memory can be imported.
    pub imports: bool,
    /// A plane can be shown larger or smaller than its framebuffer.
    pub scales: bool,
    /// The primary plane may cover less than the whole.
    pub windows: bool,
    /// Planes say how they read Y′CbCr.
    pub colours: bool,
    /// Where the overlay lies among the planes if it cannot be moved.
    pub overlay_depth: Option<u64>,
    /// Larger modes are refused.
    pub most_px: usize,
    /// HDMI-A-2 has a CRTC of its own.
    pub second: bool,
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
            second: false,
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
    /// Done at the next refresh, with an event.
    Done,
    /// Done, but nobody hears of it.
    Silent,
    /// Not done until this changes.
    Hanging,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Calls that were made.
    pub operations: u64,
    /// Flips that were done.
    pub flips: u64,
    /// Commits that did a modeset.
    pub modesets: u64,
    /// Commits that were only tested, and would have been done.
    pub tests: u64,
    /// Times that a monitor was asked anew.
    pub probes: u64,
    /// Flips that were refused because one was under way.
    pub busy: u64,
    /// Framebuffers removed while they were shown or about to be.
    pub removed_while_shown: u64,
    /// Times that the picture from before was shown again.
    pub restored: u64,
    /// Imports of memory that went well.
    pub imports: u64,
    /// Bytes written to dumb buffers.
    pub written: u64,
    /// The longest wait for a flip.
    pub longest: Duration,
}
