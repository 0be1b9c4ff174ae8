//! Training: what is learned from what, step by step, resumable at any of them.

mod backward;
mod batches;
pub mod curve;
mod distillation;
mod learner;
mod loss;
mod objective;
mod optimizer;
mod preview;
mod quantised;
mod samples;
mod state;
pub mod trainer;
