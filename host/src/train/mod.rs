//! Training: what is learned from what, step by step, resumable at any of them.

pub(crate) mod backward;
pub(crate) mod batches;
mod choosing;
pub mod curve;
mod distillation;
mod hardness;
pub(crate) mod learner;
mod loss;
mod mix;
mod objective;
pub(crate) mod optimizer;
mod preview;
mod quantised;
mod samples;
mod state;
pub mod trainer;
