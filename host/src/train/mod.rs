//! Training: what is learned from what, step by step, resumable at any of them.

pub mod backward;
pub mod batches;
pub mod curve;
pub mod distillation;
pub mod learner;
pub mod loss;
pub mod objective;
pub mod optimizer;
pub mod preview;
pub mod quantised;
pub mod samples;
pub mod state;
pub mod trainer;
