//! The engine: against onnxruntime, against tract's float ops, and against models that must be refused.

mod bundles;
mod float;
mod hostile;
mod oracle;
mod quantiser;

use testing::program::Program;

const PROGRAM: Program = Program(env!("CARGO_BIN_EXE_polyp-edge"));
