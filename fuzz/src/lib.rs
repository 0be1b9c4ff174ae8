//! What the fuzz targets share: what a load must satisfy, and mutations that keep an ONNX file readable.

pub mod bundles;
pub mod dice;
pub mod models;
pub mod oracle;
pub mod seeds;

/// The mutators grow no input beyond this, whatever `-max_len` says.
pub const LONGEST: usize = 1 << 16;
