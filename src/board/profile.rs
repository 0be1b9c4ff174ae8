//! The fields of a profile and their ranges.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Deserialize;

use crate::overlay::Style;

/// A resolved profile. All fields must be there; `base.toml` has most of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The file's name without `.toml`.
    pub name: String,
    pub camera: Camera,
    pub model: Model,
    pub pipeline: Pipeline,
    pub overlay: Overlay,
    pub display: Display,
    #[serde(default)]
    pub stop: Stop,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// As `replay` takes it: `synthetic:seed=7,size=640x480`, a folder, a file, `-`.
    pub source: String,
    /// At which a recorded or rendered source is read, 1..=240; 0: as fast as it gives frames.
    pub rate_hz: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The bundle's folder; if relative, from the profile's folder.
    pub bundle: PathBuf,
    /// 1..=16.
    pub threads: usize,
    /// The threads' cores, one each; none: the system chooses.
    pub cores: Vec<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// A result older than this is not drawn, 20..=1000.
    pub max_age_ms: u64,
    /// Each frame waits for its result. For simulation alone: the picture then stalls when inference does.
    pub lock_step: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// In a picture 480 pixels high, 0.5..=8.
    pub line_px_at_480: f32,
    /// How much of the colour lies over a region's inside, 0..=50.
    pub tint_percent: f32,
    /// Whether the corner says what the program is doing.
    pub glyph: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Display {
    pub kind: DisplayKind,
    /// Where pictures and reports go; if relative, from the working directory.
    pub folder: PathBuf,
    /// With `images`: every n-th picture is written, 1..=100000.
    pub every_frames: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisplayKind {
    /// PNG files.
    Images,
    /// Uncompressed video on standard output.
    Y4m,
    /// Nowhere.
    Null,
}

/// When a run ends by itself; never, if nothing is said.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// At least 1.
    pub after_frames: Option<u64>,
    /// More than 0.
    pub after_s: Option<f64>,
}

impl Profile {
    /// That every value lies in its range; else what does not.
    pub fn check(&self) -> Result<(), String> {
        let rate = self.camera.rate_hz;
        if rate != 0.0 {
            within("camera.rate_hz", rate, 1.0..=240.0).map_err(|what| format!("{what}, or 0"))?;
        }
        within("model.threads", self.model.threads, 1..=16)?;
        let (threads, cores) = (self.model.threads, &self.model.cores);
        if !cores.is_empty() && cores.len() != threads {
            return Err(format!("model.cores names {} cores for {threads} threads", cores.len()));
        }
        for (index, core) in cores.iter().enumerate() {
            within("model.cores", *core, 0..=1023)?;
            if cores[..index].contains(core) {
                return Err(format!("model.cores names {core} twice"));
            }
        }
        within("pipeline.max_age_ms", self.pipeline.max_age_ms, 20..=1000)?;
        within("overlay.line_px_at_480", self.overlay.line_px_at_480, 0.5..=8.0)?;
        within("overlay.tint_percent", self.overlay.tint_percent, 0.0..=50.0)?;
        within("display.every_frames", self.display.every_frames, 1..=100_000)?;
        within("stop.after_frames", self.stop.after_frames.unwrap_or(1), 1..=u64::MAX)?;
        within("stop.after_s", self.stop.after_s.unwrap_or(1.0), 0.001..=1e9)
    }

    pub fn style(&self) -> Style {
        Style {
            colour: self.overlay.colour,
            line_px_at_480: self.overlay.line_px_at_480,
            tint: self.overlay.tint_percent / 100.0,
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), String> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(format!("{key} is {value}: it must lie in {}..={}", range.start(), range.end())),
    }
}
