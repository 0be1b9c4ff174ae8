//! The workstation's program: trains, quantises and exports the networks that `polyp-edge` runs.
//!
//! # Layout
//!
//! | module | job |
//! |---|---|
//! | [`data`] | lists of images and masks on disk, and what training makes of them |
//! | [`device`] | where training computes: CPU, CUDA, Vulkan; what a machine lacks for it, and whether a device is right |
//! | [`ops`] | training operations as burn extensions, with their CPU kernels |
//! | [`net`] | networks, described once: encoders, prompts, decoder |
//! | [`train`] | loss, optimiser, batches, the training run |
//! | [`teacher`] | what `finetune` made, looking at pictures |
//! | [`ablate`] | what the parts of a network are worth |
//! | [`search`] | shapes of the student, what they find and what they cost |
//! | [`soup`] | the mean of fine-tuned networks |
//! | [`graph`] | the contract between training and export: a float inference network |
//! | [`quantize`] | ranges, shared scales, int8 weights, bias correction, decision rules |
//! | [`onnx`] | graphs as ONNX files, float and int8 |
//! | [`bundle`], [`card`] | model bundles and their model cards |
//! | [`evaluate`], [`metrics`] | scores of a model on lists, as the cart runs it |
//! | [`robustness`] | frames as carts see them, scored |
//! | [`steadiness`] | flicker over a video, and the delay of the temporal gate |
//! | [`failures`] | pictures of the worst frames |
//! | [`measures`] | the field's six measures, of any folder of predicted maps |
//! | [`plot`] | pictures of figures |
//! | [`files`] | reading and writing, nothing half-written |
//! | [`cli`] | one file a verb |

pub mod ablate;
pub mod bundle;
pub mod card;
pub mod cli;
pub mod data;
pub mod device;
pub mod evaluate;
pub mod failures;
pub mod files;
pub mod graph;
pub mod measures;
pub mod metrics;
pub mod net;
pub mod onnx;
pub mod ops;
pub mod plot;
pub mod quantize;
pub mod robustness;
pub mod search;
pub mod soup;
pub mod steadiness;
pub mod teacher;
pub mod train;
