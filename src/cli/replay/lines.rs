//! Results as JSON, a line for each frame.
//!
//! The first line says what made them. Places are in the frame's pixels: `x` to the right, `y` down, 0 at the outer edge of the first
//! pixel.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::opened::Opened;
use crate::bundle::manifest::Sensitivity;
use crate::detect::Region;
use crate::files::output::Growing;
use crate::files::{OutputFolder, Safety};
use crate::track::TrackNumber;

/// Bytes that are gathered before they are written.
const GATHERED: usize = 1 << 16;

/// What made the results: the first line.
#[derive(Serialize)]
pub(super) struct Head {
    schema: u32,
    /// The program's version.
    program: &'static str,
    model: String,
    model_version: String,
    /// Of the bundle's manifest.
    model_digest: String,
    sensitivity: Sensitivity,
    #[serde(skip_serializing_if = "Option::is_none")]
    board: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_digest: Option<String>,
    /// Only where the recording is shown as on a cart.
    #[serde(flatten)]
    pace: Option<Pace>,
}

/// How a recording goes through a cart.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Pace {
    /// Frames a second.
    pub rate_hz: f64,
    /// How long inference takes for each.
    pub inference_ms: f64,
}

impl Head {
    pub(super) fn of(opened: &Opened, pace: Option<Pace>) -> Head {
        let identity = opened.bundle.identity();
        Head {
            schema: 1,
            program: env!("CARGO_PKG_VERSION"),
            model: identity.name,
            model_version: identity.version,
            model_digest: identity.digest,
            sensitivity: opened.sensitivity,
            board: opened.board.as_ref().map(|board| board.profile.name.clone()),
            profile_digest: opened.board.as_ref().map(|board| board.digest.clone()),
            pace,
        }
    }
}

/// What was found in a frame, or drawn on it.
#[derive(Serialize)]
pub(super) struct Found<'a> {
    pub frame: u64,
    pub name: &'a str,
    pub width_px: usize,
    pub height_px: usize,
    /// Since the first frame; in s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_s: Option<f64>,
    /// What the cart was doing for the person at the monitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// By each frame alone: all that was found. As on a cart: what was drawn.
    pub regions: Vec<Line<'a>>,
    /// What was found in the frame whose result was drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Newest<'a>>,
}

/// The newest result when a picture was drawn.
#[derive(Serialize)]
pub(super) struct Newest<'a> {
    /// The frame that it is of.
    pub frame: u64,
    /// How old that was by then; in s.
    pub age_s: f64,
    /// All that was found there.
    pub regions: Vec<Line<'a>>,
}

/// A region.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    /// The same from frame to frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackNumber>,
    /// It has been seen often enough to be drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<bool>,
    /// Left, top, right, bottom.
    #[serde(rename = "box", serialize_with = "rounded")]
    pub bounds: [f32; 4],
    #[serde(serialize_with = "rounded_one")]
    pub area_px: f32,
    /// Of the field of view.
    #[serde(serialize_with = "millionths_of")]
    pub share: f32,
    /// The highest probability in it.
    #[serde(serialize_with = "millionths_of")]
    pub peak: f32,
    /// A closed polygon.
    #[serde(serialize_with = "polygon")]
    pub outline: &'a Region,
}

impl<'a> Line<'a> {
    pub(super) fn of(region: &'a Region) -> Line<'a> {
        // Of the outline as it is drawn, which the gate holds still.
        let none = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
        let bounds = region.outline.iter().fold(none, |[left, top, right, bottom], point| {
            [left.min(point.x), top.min(point.y), right.max(point.x), bottom.max(point.y)]
        });
        Line {
            track: None,
            shown: None,
            bounds,
            area_px: region.area_px,
            share: region.share,
            peak: region.peak,
            outline: region,
        }
    }
}

/// A hundredth of a pixel is finer than any outline is.
pub(super) fn hundredths(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

/// A share or a probability.
pub(super) fn millionths(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

fn millionths_of<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    millionths(*value).serialize(serializer)
}

fn rounded<S: Serializer>(values: &[f32; 4], serializer: S) -> Result<S::Ok, S::Error> {
    values.map(hundredths).serialize(serializer)
}

fn rounded_one<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    hundredths(*value).serialize(serializer)
}

fn polygon<S: Serializer>(region: &&Region, serializer: S) -> Result<S::Ok, S::Error> {
    let mut points = serializer.serialize_seq(Some(region.outline.len()))?;
    for point in &region.outline {
        points.serialize_element(&[hundredths(point.x), hundredths(point.y)])?;
    }
    points.end()
}

/// The file.
pub(super) struct Lines {
    file: Growing,
    gathered: Vec<u8>,
}

impl Lines {
    pub(super) fn begin(folder: &OutputFolder, name: &str, head: &Head) -> anyhow::Result<Lines> {
        let mut lines = Lines { file: folder.begin_file(name)?, gathered: Vec::new() };
        lines.line(head)?;
        Ok(lines)
    }

    pub(super) fn add(&mut self, found: &Found<'_>) -> anyhow::Result<()> {
        self.line(found)
    }

    fn line(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.gathered, value)?;
        self.gathered.push(b'\n');
        if self.gathered.len() >= GATHERED {
            self.file.add(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.file.add(&self.gathered)?;
        self.file.finish(Safety::Synced)
    }
}

/// The text of a name, with `\xFF` for each byte that is no text.
pub(super) fn readable(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}
