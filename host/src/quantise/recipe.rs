//! A calibration on disk: a folder of text files, no pictures.
//!
//! | file | what |
//! |---|---|
//! | `calibration.toml` | the recipe, what each observer came to, the decision rules |
//! | `frames.csv` | the frames used, with sha256 of picture and role |
//! | `ranges.csv` | each tensor: values seen, scale, zero point |
//! | `bias-corrections.csv` | a convolution a line: its name, then one value a channel |
//! | `equalisation.csv` | a convolution a line: its name, then the factor of each channel; empty if channels stay as they are |
//! | `sensitivity.csv`, `.png` | what each node's quantisation costs by itself |
//! | `noise.csv` | signal-to-noise ratios, node by node |
//! | `decisions.csv` | every decision rule tried on the held-back frames |
//! | `gates.csv` | every temporal gate tried on them |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use polyp_edge::bundle::manifest::{Decision, Gate, Sensitivity};
use polyp_edge::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::quantise::Quantisation;
use crate::quantise::equalise::Equalisation;
use crate::quantise::range::Extremes;

/// Version of the folder's format.
pub const FORMAT: u32 = 1;
/// The observer of a calibration whose ranges come from training for int8.
pub const TRAINED: &str = "trained";
const RECIPE: &str = "calibration.toml";
const RANGES: &str = "ranges.csv";
const EQUALISATION: &str = "equalisation.csv";
const CORRECTIONS: &str = "bias-corrections.csv";
/// What a calibration's folder holds.
pub const KIND: files::FolderKind = files::FolderKind { mark: RECIPE, names: &["*.csv", "sensitivity.png"] };

/// `calibration.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// [`FORMAT`]; another one is refused.
    pub format: u32,
    /// sha256 of the float graph's file.
    pub graph_sha256: String,
    /// The observer's name, or [`TRAINED`].
    pub observer: String,
    /// Whether biases were corrected.
    pub bias_correction: bool,
    /// Whether channels were equalised.
    #[serde(default)]
    pub equalised: bool,
    /// Seed of the draw of calibration frames.
    pub seed: u64,
    /// Frames that ranges and bias corrections come from.
    pub calibration_frames: usize,
    /// Held-back frames with a polyp, on which the decision rules were chosen.
    pub held_back_polyp_frames: usize,
    /// Held-back frames without one.
    pub held_back_negative_frames: usize,
    /// The decision rules that were chosen; the figures whose names begin with `held_back` are theirs.
    pub decision: Decision,
    /// Mean Dice over the held-back frames with a polyp and a disturbed copy of each.
    pub held_back_dice: f64,
    /// Of these, the share in which nothing of the polyp was found.
    #[serde(default)]
    pub held_back_missed_share: f64,
    /// Share of the polyp-free frames with any region.
    pub held_back_negative_share: f64,
    /// Polyp-free parts cut out of frames with polyps.
    #[serde(default)]
    pub held_back_cut_outs: usize,
    /// Share of these parts with any region.
    #[serde(default)]
    pub held_back_cut_out_share: f64,
    /// The temporal gate, and what it came to on held-back frames. Older calibrations have none.
    pub gate: Option<GateTrial>,
    /// Other points of the operating curve than the standard one, and what they came to.
    #[serde(default)]
    pub points: BTreeMap<Sensitivity, PointTrial>,
    /// The operating curve: what every lowest peak that was tried came to, with the other rules as chosen. Older calibrations
    /// have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<PointTrial>,
    /// Mean squared error of the probabilities, by observer and bias correction.
    pub tried: BTreeMap<String, f64>,
    /// Mean Dice at one half over the calibration frames with polyps: in float, and of each way that was tried.
    #[serde(default)]
    pub calibration_dice: BTreeMap<String, f64>,
}

/// Decision rules and a gate, and what they came to on held-back frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointTrial {
    /// The decision rules.
    pub decision: Decision,
    /// Mean Dice over frames with a polyp and a disturbed copy of each.
    pub dice: f64,
    /// Of these, the share in which nothing of the polyp was found.
    pub missed_share: f64,
    /// Share of the polyp-free frames with any region.
    pub negative_share: f64,
    /// Share of polyp-free parts of frames with polyps with any region.
    pub cut_out_share: f64,
    /// The temporal gate, if one was tried.
    pub gate: Option<GateTrial>,
}

impl Recipe {
    /// The standard point, as the others are told.
    pub fn standard(&self) -> PointTrial {
        PointTrial {
            decision: self.decision,
            dice: self.held_back_dice,
            missed_share: self.held_back_missed_share,
            negative_share: self.held_back_negative_share,
            cut_out_share: self.held_back_cut_out_share,
            gate: self.gate,
        }
    }
}

/// One gate and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateTrial {
    /// In how many frames of the window a region must have been found to be shown.
    pub appear: u32,
    /// Frames that the gate looks back on, the newest among them.
    pub window: u32,
    /// Share of the seconds without a polyp in which anything was shown.
    pub negative_share: f64,
    /// Regions that were newly shown in a minute of video without a polyp, the mean over data sets.
    #[serde(default)]
    pub alarms_a_minute: f64,
    /// The same of cut-outs.
    pub cut_out_share: f64,
    /// Of the seconds in which the polyp was found in any frame, the share in which it was never shown.
    pub withheld_share: f64,
    /// Share of the frames with the polyp in view in which it was outlined.
    pub outlined_share: f64,
    /// Regions that came or went a second, where there is a polyp.
    pub changes_a_second: f64,
    /// From the first frame in which the polyp was found to the first in which it was shown.
    pub delay_frames: f64,
}

impl GateTrial {
    /// The gate by itself.
    pub fn gate(&self) -> Gate {
        Gate { appear: self.appear, window: self.window }
    }
}

/// What export needs of a calibration.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// `calibration.toml`.
    pub recipe: Recipe,
    /// How each tensor is stored, by name.
    pub tensors: BTreeMap<String, Quantisation>,
    /// What is added to the bias of each output channel, by the convolution's name.
    pub corrections: BTreeMap<String, Vec<f32>>,
    /// Factors of channels, to be applied to the graph before anything else.
    pub equalisation: Equalisation,
}

#[derive(Serialize, Deserialize)]
struct RangeRecord {
    tensor: String,
    seen_low: f32,
    seen_high: f32,
    scale: f32,
    zero_point: u8,
}

impl RangeRecord {
    fn of(tensor: &str, quantisation: Quantisation, seen: Extremes) -> Self {
        let Quantisation { scale, zero_point } = quantisation;
        let tensor = tensor.to_owned();
        RangeRecord { tensor, seen_low: seen.low, seen_high: seen.high, scale, zero_point }
    }
}

/// Writes how each tensor is stored, as `ranges.csv` has it; what was seen is what can be stored.
pub fn write_ranges(path: &Path, tensors: &BTreeMap<String, Quantisation>) -> anyhow::Result<()> {
    let records = tensors.iter().map(|(tensor, quantisation)| {
        let (low, high) = quantisation.bounds();
        RangeRecord::of(tensor, *quantisation, Extremes { low, high })
    });
    files::write_whole(path, &table(records)?)
}

/// Reads a `ranges.csv`.
pub fn read_ranges(path: &Path) -> anyhow::Result<BTreeMap<String, Quantisation>> {
    let wrong = |what: String| Fault::data(format!("{}: {what}; calibrate again", path.display()));
    let mut tensors = BTreeMap::new();
    for record in csv::Reader::from_reader(&*files::read(path)?).into_deserialize() {
        let record: RangeRecord = record.map_err(|error| wrong(error.to_string()))?;
        if !record.scale.is_normal() || record.scale <= 0.0 {
            return Err(wrong(format!("{} has scale {}", record.tensor, record.scale)));
        }
        let quantisation = Quantisation { scale: record.scale, zero_point: record.zero_point };
        tensors.insert(record.tensor, quantisation);
    }
    Ok(tensors)
}

impl Calibration {
    /// The files that [`Calibration::load`] reads; `seen` holds the lowest and highest value of each tensor.
    pub fn files(&self, seen: &BTreeMap<String, Extremes>) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
        let ranges = self.tensors.iter().map(|(tensor, quantisation)| {
            RangeRecord::of(tensor, *quantisation, seen.get(tensor).copied().unwrap_or_default())
        });
        Ok(vec![
            (RECIPE, toml::to_string(&self.recipe)?.into_bytes()),
            (RANGES, table(ranges)?),
            (CORRECTIONS, rows(&self.corrections).into_bytes()),
            (EQUALISATION, rows(&self.equalisation).into_bytes()),
        ])
    }

    /// Reads a calibration's folder. A damaged file or another format is exit code 65, a missing file 74;
    /// `equalisation.csv` may be missing.
    pub fn load(folder: &Path) -> anyhow::Result<Calibration> {
        let wrong = |file: &str, what: String| {
            Fault::data(format!("{}: {what}; calibrate again", folder.join(file).display()))
        };
        let recipe: Recipe = toml::from_str(&files::read_text(&folder.join(RECIPE))?)
            .map_err(|error| wrong(RECIPE, error.message().to_string()))?;
        if recipe.format != FORMAT {
            return Err(wrong(RECIPE, format!("format {} is not {FORMAT}", recipe.format)));
        }
        let tensors = read_ranges(&folder.join(RANGES))?;
        let corrections = read_rows(&folder.join(CORRECTIONS))?;
        // Older calibrations have none.
        let equalisation = if folder.join(EQUALISATION).exists() {
            read_rows(&folder.join(EQUALISATION))?
        } else {
            Equalisation::new()
        };
        Ok(Calibration { recipe, tensors, corrections, equalisation })
    }
}

/// A line a name: the name, then its values.
fn rows(values: &BTreeMap<String, Vec<f32>>) -> String {
    let mut text = String::new();
    for (name, values) in values {
        text.push_str(name);
        values.iter().for_each(|value| {
            let _ = write!(text, ",{value:e}");
        });
        text.push('\n');
    }
    text
}

/// What [`rows`] wrote.
fn read_rows(path: &Path) -> anyhow::Result<BTreeMap<String, Vec<f32>>> {
    let wrong = |what: String| Fault::data(format!("{}: {what}; calibrate again", path.display()));
    let mut rows = BTreeMap::new();
    for line in files::read_text(path)?.lines() {
        let mut cells = line.split(',');
        let name = cells.next().unwrap_or_default().to_string();
        let values = cells.map(str::parse::<f32>).collect::<Result<Vec<f32>, _>>();
        let values = values.map_err(|error| wrong(format!("{name}: {error}")))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(wrong(format!("{name}: not finite")));
        }
        rows.insert(name, values);
    }
    Ok(rows)
}

/// A CSV file of these rows.
pub fn table<T: Serialize>(rows: impl Iterator<Item = T>) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    Ok(writer.into_inner()?)
}
