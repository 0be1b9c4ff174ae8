//! What is timed.

use serde::{Deserialize, Serialize};

/// What is timed, in the order in which a frame meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// From when a live camera's driver took a frame until it was fetched, where the driver's clock can be compared.
    Driver,
    /// Getting a frame from its source: for a rendered or recorded one, rendering or decoding it.
    Capture,
    /// A live camera's JPEG → RGB.
    Decode,
    /// For inference: a live camera's pixels → RGB.
    Convert,
    /// Field of view and resize: frame → model input.
    Prepare,
    /// The network: its input → logits.
    Inference,
    /// Logits → regions.
    Detect,
    /// Which regions have lasted.
    Gate,
    /// Outlines, glyph and text into the picture.
    Draw,
    /// Colour, blending, and handing the picture over.
    Display,
    /// From a frame's capture until its picture was handed to the display.
    VideoDelay,
    /// From a frame's capture until the first picture with what was found in it was handed to the display.
    Total,
    /// From handing a picture over until the monitor showed it, where the display tells.
    Flip,
    /// From a frame's capture until the monitor showed it, where the display tells.
    OnMonitor,
    /// From one picture until the next, on the monitor where the display tells, else as they were handed over: a long one is a
    /// picture that stood still.
    Interval,
}

impl Stage {
    /// In the order in which a frame meets them.
    pub const ALL: [Stage; 15] = [
        Stage::Driver,
        Stage::Capture,
        Stage::Decode,
        Stage::Convert,
        Stage::Prepare,
        Stage::Inference,
        Stage::Detect,
        Stage::Gate,
        Stage::Draw,
        Stage::Display,
        Stage::VideoDelay,
        Stage::Total,
        Stage::Flip,
        Stage::OnMonitor,
        Stage::Interval,
    ];

    /// For machines: as serde writes it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Driver => "driver",
            Stage::Capture => "capture",
            Stage::Decode => "decode",
            Stage::Convert => "convert",
            Stage::Prepare => "prepare",
            Stage::Inference => "inference",
            Stage::Detect => "detect",
            Stage::Gate => "gate",
            Stage::Draw => "draw",
            Stage::Display => "display",
            Stage::VideoDelay => "video_delay",
            Stage::Total => "total",
            Stage::Flip => "flip",
            Stage::OnMonitor => "on_monitor",
            Stage::Interval => "interval",
        }
    }

    /// As it stands in the report.
    pub fn label(self) -> &'static str {
        match self {
            Stage::Driver => "driver → fetched",
            Stage::Capture => "capture",
            Stage::Decode => "decode",
            Stage::Convert => "convert",
            Stage::Prepare => "field of view + preprocess",
            Stage::Inference => "inference",
            Stage::Detect => "detect",
            Stage::Gate => "gate",
            Stage::Draw => "draw",
            Stage::Display => "display",
            Stage::VideoDelay => "video delay",
            Stage::Total => "total (capture → outlined)",
            Stage::Flip => "handed over → on the monitor",
            Stage::OnMonitor => "capture → on the monitor",
            Stage::Interval => "picture → next picture",
        }
    }
}
