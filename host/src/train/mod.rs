//! Training: what is learned from what, step by step, resumable at any of them.

pub mod batches;
pub mod curve;
pub mod loss;
pub mod optimizer;
pub mod preview;
pub mod trainer;
