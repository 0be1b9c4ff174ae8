//! `manifest.toml`: what a bundle says of itself. The host writes it, the cart reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::field_of_view::Rule;

/// The version of the manifest's own format that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format_version: u32,
    pub name: String,
    pub model_version: String,
    /// Meant to grow with every release, so that a cart can tell a step back. This version only records it: a bundle with a
    /// lower one than has run before is not refused.
    pub rollback_index: u64,
    /// The ONNX file that the cart runs, relative to the bundle.
    pub model: String,
    pub input: TensorContract,
    pub output: TensorContract,
    pub field_of_view: Rule,
    pub decision: Decision,
    pub gate: Gate,
    /// One at least: with them a cart checks that the model runs as it should.
    #[serde(default)]
    pub golden: Vec<Golden>,
    pub provenance: Provenance,
    /// sha256 in hex of every file of the bundle but the manifest and a signature, by relative path.
    pub files: BTreeMap<String, String>,
}

/// A quantised tensor: real value = scale × (stored − zero point).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TensorContract {
    pub name: String,
    /// NCHW as in the ONNX file; the batch is 1.
    pub shape: [usize; 4],
    pub scale: f32,
    pub zero_point: u8,
}

/// How logits become regions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Probability from which a pixel counts as polyp, in (0, 1).
    pub threshold: f32,
    /// Regions smaller than this share of the field of view are dropped, in [0, 1).
    pub min_region_share: f32,
    /// A region stays only if its highest probability reaches this, in (0, 1).
    pub min_peak: f32,
}

/// A region is shown once it was seen in `appear` of the last `window` frames.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    pub appear: u32,
    pub window: u32,
}

/// A frame and the mask (0/255, at the frame's size) that the engine must make of it, both PNG.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    pub frame: String,
    pub mask: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    pub data: Vec<String>,
    pub seeds: Vec<u64>,
    pub commit: String,
    /// List or data set → measure → value, as `polyp-host evaluate` gave it.
    #[serde(default)]
    pub scores: BTreeMap<String, BTreeMap<String, f64>>,
}
