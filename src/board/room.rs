//! What the people in the room can do, and what is kept: these parts of a profile, and their ranges.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::range::{Wrong, within, wrong};
use crate::alert::{Pin as Lamp, Tone};
use crate::control::keys::{self, Input};
use crate::control::pins::Pin;
use crate::geometry::Rect;
use crate::recording::{Pictures, WhenFull, Wish};
use crate::study::Outside;

/// How the people in the room give orders.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// A UNIX socket for `polyp-edge ctl` and other programs; an absolute path.
    pub socket: Option<PathBuf>,
    /// Keyboards, foot pedals, remote controls.
    pub inputs: Vec<Input>,
    /// Buttons on the board's pins.
    pub pins: Vec<Pin>,
}

/// Pictures that the people in the room keep.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Study {
    /// Where they are kept, each in a folder of its own; an absolute path. Without it none can be.
    pub folder: Option<PathBuf>,
    /// What lies outside the endoscope's picture, where the patient's name may stand: `black`, or `kept`.
    pub outside: Outside,
    /// All together, and recordings with them, take so many megabytes at most, 10..=1000000; then no more are kept.
    pub most_megabytes: u64,
}

impl Default for Study {
    fn default() -> Study {
        Study { folder: None, outside: Outside::Black, most_megabytes: 2000 }
    }
}

/// What tells the room of a new region without the monitor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alert {
    /// Lamps and buzzers on the board's pins.
    pub pins: Vec<Lamp>,
    /// A tone by a sound card.
    pub tone: Option<Tone>,
    /// From one moment on which they are on to the next, at least, in ms, 100..=600000.
    pub again_after_ms: u64,
}

impl Default for Alert {
    fn default() -> Alert {
        Alert { pins: Vec::new(), tone: None, again_after_ms: 3000 }
    }
}

impl Alert {
    pub(super) fn check(&self, control: &Control) -> Result<(), Wrong> {
        for (number, pin) in self.pins.iter().enumerate() {
            if !pin.chip.is_absolute() {
                return wrong(
                    "alert.pins",
                    format!("names the chip {:?}, but must name an absolute path", pin.chip),
                );
            }
            within("alert.pins", pin.lasts_ms, 20..=10_000)?;
            let is_it = |chip: &PathBuf, line: u32| (chip, line) == (&pin.chip, pin.line);
            let is_named_before = self.pins.iter().take(number).any(|other| is_it(&other.chip, other.line));
            if is_named_before || control.pins.iter().any(|other| is_it(&other.chip, other.line)) {
                return wrong("alert.pins", format!("names {}, which is named before", pin.name()));
            }
        }
        if let Some(tone) = &self.tone {
            if tone.device.is_empty() {
                return wrong("alert.tone", "has an empty device; `aplay -L` lists those that there are");
            }
            within("alert.tone.pitch_hz", tone.pitch_hz, 100.0..=4000.0)?;
            within("alert.tone.lasts_ms", tone.lasts_ms, 50..=2000)?;
            within("alert.tone.loudness", tone.loudness, 0.01..=1.0)?;
        }
        within("alert.again_after_ms", self.again_after_ms, 100..=600_000)
    }
}

/// Films of what is seen, in the folder of `study`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// `off`, `clean` (as the endoscope gives them), `outlined` (with what is drawn), `both`, or `figures`: no pictures, but a line for each.
    /// All but `off` need `study.folder`.
    pub pictures: Pictures,
    /// Everything is recorded, from the start of the program on.
    pub continuous: bool,
    /// How much of what was before an order belongs to the recording, in s, 0..=300; it is held in memory.
    pub before_s: f64,
    /// Pictures a second, at most, 1..=120.
    pub rate_hz: f64,
    /// Of JPEG, 30..=95: smaller files or finer pictures.
    pub quality: u8,
    /// After so long it goes on in another folder, in s, 1..=3600.
    pub segment_s: f64,
    /// Memory for what is held and what the disk has not taken yet, 16..=16000.
    pub memory_megabytes: usize,
    /// Once all that is kept takes `study.most_megabytes`: `stop`, and the monitor says so, or `remove-oldest` recording; never pictures.
    pub when_full: WhenFull,
}

impl Default for Recording {
    fn default() -> Recording {
        Recording {
            pictures: Pictures::Off,
            continuous: false,
            before_s: 10.0,
            rate_hz: 30.0,
            quality: 80,
            segment_s: 60.0,
            memory_megabytes: 200,
            when_full: WhenFull::Stop,
        }
    }
}

impl Recording {
    /// When a recording goes on in another folder.
    pub fn segment(&self) -> Duration {
        Duration::try_from_secs_f64(self.segment_s).unwrap_or(Duration::MAX)
    }
}

impl Study {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        if let Some(folder) = self.folder.as_ref().filter(|folder| !folder.is_absolute()) {
            return wrong("study.folder", format!("is {folder:?}, but must be an absolute path"));
        }
        within("study.most_megabytes", self.most_megabytes, 10..=1_000_000)
    }
}

impl Recording {
    /// How pictures are coded and held; `None` if none are recorded. `fixed`: where the endoscope's picture lies, if always there.
    pub fn wish(&self, study: &Study, fixed: Option<Rect>) -> Option<Wish> {
        let wish = Wish {
            pictures: self.pictures,
            rate_hz: self.rate_hz,
            quality: self.quality,
            before: Duration::try_from_secs_f64(self.before_s).unwrap_or_default(),
            memory_bytes: self.memory_megabytes.saturating_mul(1_000_000),
            outside: study.outside,
            fixed,
        };
        (self.pictures != Pictures::Off).then_some(wish)
    }

    pub(super) fn check(&self, study: &Study) -> Result<(), Wrong> {
        if self.pictures != Pictures::Off && study.folder.is_none() {
            return wrong(
                "recording.pictures",
                "is not \"off\", but there is no place for recordings: name one by study.folder",
            );
        }
        if self.pictures == Pictures::Off && self.continuous {
            return wrong("recording.continuous", "is true, but recording.pictures is \"off\"");
        }
        within("recording.before_s", self.before_s, 0.0..=300.0)?;
        within("recording.rate_hz", self.rate_hz, 1.0..=120.0)?;
        within("recording.quality", self.quality, 30..=95)?;
        within("recording.segment_s", self.segment_s, 1.0..=3600.0)?;
        within("recording.memory_megabytes", self.memory_megabytes, 16..=16_000)
    }
}

impl Control {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let control = self;
        if let Some(socket) = control.socket.as_ref().filter(|socket| !socket.is_absolute()) {
            return wrong("control.socket", format!("is {socket:?}, but must be an absolute path"));
        }
        for (number, input) in control.inputs.iter().enumerate() {
            if !input.device.is_absolute() {
                return wrong(
                    "control.inputs",
                    format!("names the device {:?}, but must name an absolute path", input.device),
                );
            }
            if control.inputs.iter().take(number).any(|other| other.device == input.device) {
                return wrong("control.inputs", format!("names {} twice", input.device.display()));
            }
            if input.keys.is_empty() {
                return wrong("control.inputs", format!("names no keys of {}", input.device.display()));
            }
            if let Some(key) = input.keys.keys().find(|name| keys::key(name).is_none()) {
                return wrong(
                    "control.inputs",
                    format!(
                        "names the key {key:?}, which the kernel does not know: write, for example, KEY_F13 or BTN_0"
                    ),
                );
            }
        }
        for (number, pin) in control.pins.iter().enumerate() {
            if !pin.chip.is_absolute() {
                return wrong(
                    "control.pins",
                    format!("names the chip {:?}, but must name an absolute path", pin.chip),
                );
            }
            within("control.pins", pin.debounce_ms, 0..=1000)?;
            if control
                .pins
                .iter()
                .take(number)
                .any(|other| (&other.chip, other.line) == (&pin.chip, pin.line))
            {
                return wrong(
                    "control.pins",
                    format!("names line {} of {} twice", pin.line, pin.chip.display()),
                );
            }
        }
        Ok(())
    }
}
