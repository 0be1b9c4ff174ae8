//! Where pictures go: this part of a profile, and its ranges.

use std::path::PathBuf;

use serde::Deserialize;

use super::range::{Wrong, within, wrong};
use crate::display::Shows;
use crate::display::kms::{Composition, ModeWish};

/// Where pictures go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Display {
    /// A monitor, files, a stream, or nothing.
    pub kind: DisplayKind,
    /// Where pictures and reports go; if relative, from the working directory.
    pub folder: PathBuf,
    /// With `images`: every n-th picture is written, 1..=100000.
    pub every_frames: u64,
    /// With `kms`: `/dev/dri/cardN`; none: the first with a monitor.
    pub card: Option<PathBuf>,
    /// With `kms`: such as `HDMI-A-1`; none: the first with a monitor.
    pub connector: Option<String>,
    /// With `kms`: `camera` for the camera's size, `WIDTHxHEIGHT`, `WIDTHxHEIGHT@HZ`, `preferred`; the first that the
    /// monitor has.
    pub modes: Vec<String>,
    /// With `kms`: how what is drawn gets over the picture.
    pub composition: Composition,
    /// With `kms`: a picture smaller than the screen is enlarged.
    pub enlarge: bool,
    /// With `kms`: a second monitor at the same card.
    pub second: Option<SecondMonitor>,
}

/// A second monitor, and what it shows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondMonitor {
    /// Such as `HDMI-A-2`.
    pub connector: String,
    /// `outlined`, as the first one, or `clean`, the endoscope's picture alone.
    pub shows: Shows,
}

/// Of which kind a display is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisplayKind {
    /// A monitor.
    Kms,
    /// PNG files.
    Images,
    /// Uncompressed video on standard output.
    Y4m,
    /// Nowhere.
    Null,
}

impl Display {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        within("display.every_frames", self.every_frames, 1..=100_000)?;
        if let Err(mode) = self.modes() {
            return wrong(
                "display.modes",
                format!("has {mode:?}, which is not camera, preferred, WIDTHxHEIGHT or WIDTHxHEIGHT@HZ"),
            );
        }
        let Some(second) = &self.second else { return Ok(()) };
        match &self.connector {
            _ if self.kind != DisplayKind::Kms => {
                wrong("display.second", "names a second monitor, which takes display.kind = \"kms\"")
            }
            None => wrong(
                "display.connector",
                format!("is missing: with a second monitor at {}, both must be named", second.connector),
            ),
            Some(first) if *first == second.connector => {
                wrong("display.second.connector", format!("is {first}, as display.connector is"))
            }
            Some(_) => Ok(()),
        }
    }

    /// The modes as wishes, else the first that is none.
    pub fn modes(&self) -> Result<Vec<ModeWish>, &str> {
        let wish = |text: &str| match text {
            "camera" => Some(ModeWish::Camera),
            "preferred" => Some(ModeWish::Preferred),
            _ => {
                let (sides, rate) =
                    text.split_once('@').map_or((text, None), |(sides, rate)| (sides, Some(rate)));
                let (width, height) = size(sides)?;
                let refresh_hz = match rate {
                    Some(rate) => Some(rate.parse().ok().filter(|rate| (1.0..=500.0).contains(rate))?),
                    None => None,
                };
                Some(ModeWish::Exact { width, height, refresh_hz })
            }
        };
        self.modes.iter().map(|text| wish(text).ok_or(text.as_str())).collect()
    }
}

/// `1920x1080`
pub(super) fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| (16..=4096).contains(side));
    Some((side(width)?, side(height)?))
}
