//! Training: what is learned from what, step by step, resumable at any of them.

mod backward;
mod batches;
mod choosing;
pub mod curve;
mod distillation;
mod hardness;
mod learner;
mod loss;
mod mix;
mod objective;
mod optimizer;
mod preview;
mod quantised;
mod samples;
mod state;
pub mod trainer;
