//! Training: what is learned from what, step by step, resumable at any of them.

pub mod backward;
pub mod batches;
pub mod choosing;
pub mod curve;
pub mod distillation;
pub mod hardness;
pub mod learner;
pub mod loss;
pub mod mix;
pub mod objective;
pub mod optimizer;
pub mod preview;
pub mod quantised;
pub mod samples;
pub mod state;
pub mod trainer;
