//! The workstation's program: trains, quantises and exports the networks that `polyp-edge` runs.
//!
//! # Layout
//!
//! Lowest layer first: each module uses only those above it in this table, which `testing/tests/structure.rs` checks.
//!
//! | module | job |
//! |---|---|
//! | [`files`] | reading and writing, nothing half-written, nothing of somebody else's replaced |
//! | [`parallel`] | work on many items at once, with a progress bar |
//! | [`plot`] | pictures of figures |
//! | [`numeric`] | sigmoid, mean, bilinear sampling |
//! | [`data`] | lists of images and masks on disk, and what training makes of them |
//! | [`device`] | where training computes: CPU, CUDA, Vulkan; what a machine lacks for it |
//! | [`ops`] | training operations as burn extensions, with their CPU kernels |
//! | [`net`] | networks, described once: encoders, prompts, decoder |
//! | [`graph`] | the contract between training and export: a float inference network |
//! | [`quantise`] | ranges, shared scales, int8 weights, bias correction; a calibration on disk |
//! | [`measures`] | Dice and the field's other measures |
//! | [`onnx`] | graphs as ONNX files, float and int8 |
//! | [`run`] | a training run's folder, its configuration, the values that it starts from |
//! | [`model`] | opens any trained run, graph or ONNX file |
//! | [`score`] | how good networks are: on lists, under disturbances, over videos |
//! | [`train`] | loss, optimiser, batches, distillation, training for int8 |
//! | [`calibrate`] | chooses ranges, decision rules and the temporal gate on held-back frames |
//! | [`export`] | bundles and their model cards |
//! | [`experiments`] | ablation, search, averages of weights, comparison of devices |
//! | [`cli`] | one file a verb: arguments and printing |

pub mod calibrate;
pub mod cli;
pub mod data;
pub mod device;
pub mod experiments;
pub mod export;
pub mod files;
pub mod graph;
pub mod measures;
pub mod model;
pub mod net;
pub mod numeric;
pub mod onnx;
pub mod ops;
pub mod parallel;
pub mod plot;
pub mod quantise;
pub mod run;
pub mod score;
pub mod train;
