//! All video devices with what they can do, for a person to read.

use std::path::{Path, PathBuf};

use serde::Serialize;
use v4l::v4l_sys::*;

use super::device::Linux;
use super::kernel::*;
use crate::call::{CallError, ask};

/// Entries of a list that are asked for, at most.
pub const MAX_LISTED: u32 = 64;

/// A video device. Lists are cut at 64 entries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraFacts {
    /// The device's node, such as `/dev/video0`.
    pub path: PathBuf,
    /// Names that stay the same when it is plugged in again: what a board profile should have.
    pub stable_names: Vec<PathBuf>,
    /// Why nothing more is known, one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The kernel driver's name, such as `uvcvideo`; empty if the device could not be asked.
    pub driver: String,
    /// The device's name, as the driver gives it; empty if the device could not be asked.
    pub card: String,
    /// Where the device is attached, such as `usb-0000:01:00.0-1`; empty if it could not be asked.
    pub bus: String,
    /// [`DeviceRole::Other`] if the device could not be asked.
    pub kind: DeviceRole,
    /// The device captures through V4L2's multi-planar interface.
    pub multi_planar: bool,
    /// Empty unless the device captures.
    pub inputs: Vec<InputFacts>,
    /// Empty unless the device captures.
    pub formats: Vec<FormatFacts>,
    /// Whether a source finds a monitor at the digital input that is selected: without it, most send nothing. `None` if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_edid: Option<bool>,
    /// What a digital input receives: `1920×1080p60.00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receives: Option<String>,
}

/// What a video device is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceRole {
    /// Gives pictures.
    Capture,
    /// Takes pictures.
    Output,
    /// Turns pictures into others.
    Converter,
    /// Gives something else about pictures.
    Metadata,
    /// None of these.
    #[default]
    Other,
}

/// An input that a device can capture from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputFacts {
    /// From 0; what `camera.input` in a board profile means.
    pub index: u32,
    /// As the driver names it.
    pub name: String,
    /// The device captures from this one.
    pub selected: bool,
    /// Takes digital video: HDMI, DisplayPort, SDI.
    pub digital: bool,
    /// `ok`, or what is missing: `no power`, `no signal`, `no lock`.
    pub status: String,
}

/// A pixel format that a device offers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FormatFacts {
    /// Its four-character code, such as `YUYV`.
    pub name: String,
    /// Empty if the driver lists none.
    pub sizes: Vec<SizeFacts>,
}

/// A size or a range of sizes that a device offers in one format.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeFacts {
    /// `1920×1080`, or `16×16 to 4096×2160`.
    pub size: String,
    /// Pictures a second, greatest first; of a range, its ends.
    pub rates_hz: Vec<f64>,
}

/// Looks at every video device of this machine. Takes nothing from a program that streams from one.
pub fn probe() -> Vec<CameraFacts> {
    probe_with(&mut Linux)
}

/// Looks at every video device of a system.
pub fn probe_with<S: System>(system: &mut S) -> Vec<CameraFacts> {
    let nodes = system.nodes();
    nodes.into_iter().take(MAX_LISTED as usize).map(|node| facts(system, node)).collect()
}

fn facts<S: System>(system: &mut S, path: PathBuf) -> CameraFacts {
    let mut facts = CameraFacts {
        stable_names: system.stable_names(&path),
        path,
        error: None,
        driver: String::new(),
        card: String::new(),
        bus: String::new(),
        kind: DeviceRole::default(),
        multi_planar: false,
        inputs: Vec::new(),
        formats: Vec::new(),
        has_edid: None,
        receives: None,
    };
    if let Err(refused) = fill(system, &facts.path.clone(), &mut facts) {
        facts.error = Some(refused.to_string());
    }
    facts
}

fn fill<S: System>(system: &mut S, path: &Path, facts: &mut CameraFacts) -> Result<(), CallError> {
    let kernel = ask("open", || system.open(path))?;
    let capabilities = ask("VIDIOC_QUERYCAP", || kernel.capabilities())?;
    facts.driver = capabilities.driver.to_string();
    facts.card = capabilities.card.to_string();
    facts.bus = capabilities.bus.to_string();
    let has = |flags: u32| capabilities.flags & flags != 0;
    facts.kind = match () {
        _ if has(V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE) => DeviceRole::Converter,
        _ if has(V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE) => DeviceRole::Capture,
        _ if has(V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE) => DeviceRole::Output,
        _ if has(V4L2_CAP_META_CAPTURE | V4L2_CAP_META_OUTPUT) => DeviceRole::Metadata,
        _ => DeviceRole::Other,
    };
    facts.multi_planar = has(V4L2_CAP_VIDEO_CAPTURE_MPLANE);
    if facts.kind != DeviceRole::Capture {
        return Ok(());
    }
    let buffers = if facts.multi_planar { BufferType::Multi } else { BufferType::Single };
    let selected = ask("VIDIOC_G_INPUT", || kernel.input()).ok();
    facts.inputs = list(|index| kernel.input_at(index))
        .enumerate()
        .map(|(index, input)| InputFacts {
            index: index as u32,
            name: input.name.to_string(),
            selected: selected == Some(index as u32),
            digital: input.capabilities & V4L2_IN_CAP_DV_TIMINGS != 0,
            status: status(input.status).into(),
        })
        .collect();
    if facts.inputs.iter().any(|input| input.selected && input.digital) {
        let pad = selected.unwrap_or(0);
        facts.has_edid = ask("VIDIOC_G_EDID", || kernel.edid_blocks(pad)).ok().map(|blocks| blocks > 0);
        facts.receives =
            ask("VIDIOC_QUERY_DV_TIMINGS", || kernel.query_timings()).ok().map(|t| t.to_string());
    }
    facts.formats = list(|index| kernel.format_at(buffers, index))
        .map(|fourcc| FormatFacts { name: fourcc.to_string(), sizes: sizes(&kernel, fourcc) })
        .collect();
    Ok(())
}

/// A part of a camera's path through the system that has an EDID, such as an HDMI-to-CSI bridge on a Raspberry Pi 5.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BridgeFacts {
    /// Such as `/dev/v4l-subdev0`.
    pub path: PathBuf,
    /// A source finds a monitor there.
    pub has_edid: bool,
}

/// Looks at every part of a camera's path that has an EDID, or could have.
pub fn bridges() -> Vec<BridgeFacts> {
    let Ok(entries) = std::fs::read_dir("/dev") else { return Vec::new() };
    let is_part = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with("v4l-subdev"));
    let mut paths: Vec<PathBuf> =
        entries.flatten().filter(|entry| is_part(&entry.file_name())).map(|entry| entry.path()).collect();
    paths.sort();
    paths.truncate(MAX_LISTED as usize);
    let facts = |path: PathBuf| {
        let kernel = ask("open", || Linux.open(&path)).ok()?;
        let blocks = ask("VIDIOC_SUBDEV_G_EDID", || kernel.edid_blocks(0)).ok()?;
        Some(BridgeFacts { path, has_edid: blocks > 0 })
    };
    paths.into_iter().filter_map(facts).collect()
}

fn list<T>(at: impl Fn(u32) -> Answer<T>) -> impl Iterator<Item = T> {
    (0..MAX_LISTED).map_while(move |index| ask("list", || at(index)).ok())
}

fn sizes<K: Kernel>(kernel: &K, fourcc: FourCc) -> Vec<SizeFacts> {
    let facts = |sizes: Sizes| {
        let (words, size) = match sizes {
            Sizes::One(size) => (format!("{}×{}", size.0, size.1), size),
            Sizes::Range { min, max, .. } => (format!("{}×{} to {}×{}", min.0, min.1, max.0, max.1), max),
        };
        let intervals = list(|index| kernel.interval_at(fourcc, size, index));
        let mut rates_hz: Vec<f64> = intervals
            .flat_map(|interval| match interval {
                Intervals::One(one) => [one.rate_hz(), None],
                Intervals::Range { min, max } => [min.rate_hz(), max.rate_hz()],
            })
            .flatten()
            .collect();
        rates_hz.sort_by(|one, another| another.total_cmp(one));
        SizeFacts { size: words, rates_hz }
    };
    list(|index| kernel.size_at(fourcc, index)).map(facts).collect()
}

pub(super) fn status(status: u32) -> &'static str {
    match () {
        _ if status & V4L2_IN_ST_NO_POWER != 0 => "no power",
        _ if status & V4L2_IN_ST_NO_SIGNAL != 0 => "no signal",
        _ if status & (V4L2_IN_ST_NO_SYNC | V4L2_IN_ST_NO_H_LOCK | V4L2_IN_ST_NO_V_LOCK) != 0 => "no lock",
        _ => "ok",
    }
}
