//! What the fuzz targets share: what reading must satisfy, mutations that keep an ONNX file readable, and what is drawn to
//! start from.

pub mod bundles;
pub mod dice;
pub mod golden;
pub mod models;
pub mod oracle;
pub mod packed;
pub mod pictures;
pub mod profiles;
pub mod seeds;

/// The mutators grow no input beyond this, whatever `-max_len` says.
pub const LONGEST: usize = 1 << 16;
