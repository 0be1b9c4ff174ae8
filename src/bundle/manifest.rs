//! `manifest.toml`: what a bundle says of itself. The host writes it, the cart reads it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::field_of_view::Rule;

/// The version of the manifest's own format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The whole manifest. A key that is not known is an error.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// A bundle is refused unless this is [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The model's name, such as `full`.
    pub name: String,
    /// Any text, such as a date.
    pub model_version: String,
    /// Grows with each release that replaces one which must not run any more: a cart refuses bundles with a lower one than
    /// its own.
    pub rollback_index: u64,
    /// What the bundle is made for: a cart refuses bundles whose text is not exactly its own profile's.
    #[serde(default = "usual_compatible", skip_serializing_if = "is_usual")]
    pub compatible: String,
    /// The ONNX file that the cart runs, relative to the bundle.
    pub model: String,
    /// Raw RGB pixels, `[1, 3, S, S]`, S from 32 to 1024.
    pub input: TensorContract,
    /// Logits, `[1, 1, H, W]`; neither side is longer than the input's.
    pub output: TensorContract,
    /// How the endoscope's picture is found in a frame, unless the board profile says otherwise.
    pub field_of_view: Rule,
    /// Which pixels and regions count as polyp.
    pub decision: Decision,
    /// When a region is shown, unless the board profile says otherwise.
    pub gate: Gate,
    /// Other points on the operating curve than the standard one, which `decision` and `gate` are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sensitivity: BTreeMap<Sensitivity, OperatingPoint>,
    /// One at least: with them a cart checks that the model runs as it should.
    #[serde(default)]
    pub golden: Vec<Golden>,
    /// Where the model comes from, and how it scored.
    pub provenance: Provenance,
    /// sha256 in hex of every file of the bundle but the manifest and a signature, by relative path.
    pub files: BTreeMap<String, String>,
}

/// What bundles are made for that say nothing else.
pub const COMPATIBLE: &str = "polyp-edge";

fn usual_compatible() -> String {
    COMPATIBLE.into()
}

fn is_usual(compatible: &String) -> bool {
    compatible == COMPATIBLE
}

/// How readily polyps are marked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// Fewer false alarms than the standard point, and more polyps missed.
    Quiet,
    /// What the bundle's own decision and gate say.
    #[default]
    Standard,
    /// Fewer polyps missed than at the standard point, and more false alarms.
    Watchful,
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Sensitivity::Quiet => "quiet",
            Sensitivity::Standard => "standard",
            Sensitivity::Watchful => "watchful",
        })
    }
}

/// Which pixels and regions count as polyp at some sensitivity, and when they are shown.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Which pixels and regions count as polyp.
    pub decision: Decision,
    /// When a region is shown.
    pub gate: Gate,
}

impl Manifest {
    /// The rules at a sensitivity.
    ///
    /// # Errors
    /// Exit 78 if the bundle has no such point.
    pub fn operating_point(&self, sensitivity: Sensitivity) -> anyhow::Result<OperatingPoint> {
        let standard = OperatingPoint { decision: self.decision, gate: self.gate };
        let found = match sensitivity {
            Sensitivity::Standard => Some(standard),
            other => self.sensitivity.get(&other).copied(),
        };
        found.ok_or_else(|| {
            let mut names = vec![Sensitivity::Standard.to_string()];
            names.extend(self.sensitivity.keys().map(Sensitivity::to_string));
            Fault::configuration(format!(
                "the model {} has no sensitivity {sensitivity}; it has: {}",
                self.name,
                names.join(", ")
            ))
        })
    }
}

/// A quantised tensor: real value = scale × (stored − zero point).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TensorContract {
    /// As the ONNX file has it.
    pub name: String,
    /// NCHW as in the ONNX file; the batch is 1.
    pub shape: [usize; 4],
    /// Above 0, and neither subnormal nor infinite.
    pub scale: f32,
    /// The stored value that means 0.
    pub zero_point: u8,
}

/// How logits become regions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Probability from which a pixel counts as polyp, 0.01..=0.9999.
    pub threshold: f32,
    /// Regions smaller than this share of the field of view are dropped, 0..=0.05.
    pub min_region_share: f32,
    /// A region stays only if its highest probability reaches this, 0.01..=0.9999.
    pub min_peak: f32,
}

/// A region is shown once it was seen in `appear` of the last `window` frames.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// From 1 to `window`, and at most 32.
    pub appear: u32,
    /// From `appear` to 64.
    pub window: u32,
}

/// A frame and the mask (0/255, at the frame's size) that the engine must make of it, both PNG.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The picture's path, relative to the bundle.
    pub frame: String,
    /// The mask's path, relative to the bundle.
    pub mask: String,
}

/// Where a model comes from and how it scored: for people, a cart uses none of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The data sets that it was trained on, with their numbers of frames.
    pub data: Vec<String>,
    /// Seeds of the training runs.
    pub seeds: Vec<u64>,
    /// The commit of the program that wrote the bundle, or `unknown`.
    pub commit: String,
    /// List or data set → measure → value, as `polyp-host evaluate` gave it.
    #[serde(default)]
    pub scores: BTreeMap<String, BTreeMap<String, f64>>,
}
