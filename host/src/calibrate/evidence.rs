//! What a calibration rests on, written beside it for people to look at.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::decision::Trial;
use super::sensitivity::{self, NodeSensitivity};
use crate::files;
use crate::quantise::range::Extremes;
use crate::quantise::recipe::{Calibration, GateTrial, KIND, table};
use crate::quantise::refine::Noise;

/// Where a frame of `frames.csv` was used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameRecord {
    /// `dataset/stem`.
    pub name: String,
    /// SHA-256 of the picture's file.
    pub sha256: String,
    /// `calibration`: ranges; `decision`: decision rules; `both`.
    pub role: String,
}

/// What is only written.
pub struct Evidence<'a> {
    /// Rows of `frames.csv`.
    pub frames: &'a [FrameRecord],
    /// What was seen of each tensor in float, for `ranges.csv`.
    pub extremes: &'a BTreeMap<String, Extremes>,
    /// Rows of `noise.csv`.
    pub noise: &'a [Noise],
    /// Rows of `sensitivity.csv` and bars of `sensitivity.png`; neither is written if there are none.
    pub sensitivity: &'a [NodeSensitivity],
    /// Rows of `decisions.csv`.
    pub trials: &'a [Trial],
    /// Rows of `gates.csv`.
    pub gates: &'a [GateTrial],
}

/// Writes a calibration's folder, replacing an earlier calibration of the same name.
///
/// # Errors
/// See [`files::write_folder`].
pub fn save(calibration: &Calibration, folder: &Path, evidence: &Evidence<'_>) -> anyhow::Result<()> {
    files::write_folder(folder, &KIND, |folder| {
        for (name, bytes) in calibration.files(evidence.extremes)? {
            folder.write(name, &bytes)?;
        }
        if !evidence.sensitivity.is_empty() {
            folder.write("sensitivity.csv", &table(evidence.sensitivity.iter())?)?;
            folder.write("sensitivity.png", &sensitivity::draw(evidence.sensitivity)?)?;
        }
        folder.write("frames.csv", &table(evidence.frames.iter())?)?;
        folder.write("noise.csv", &table(evidence.noise.iter())?)?;
        folder.write("decisions.csv", &table(evidence.trials.iter())?)?;
        folder.write("gates.csv", &table(evidence.gates.iter())?)
    })
}
