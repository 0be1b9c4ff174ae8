//! A training run's folder: its files, its configuration, and the values that it starts from.

pub mod config;
pub mod start;

/// The file of everything that changes from step to step.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// The file of a run's newest averaged weights as an inference graph.
pub const GRAPH: &str = "graph.safetensors";

/// The file of a run's best epoch.
pub const BEST: &str = "best.safetensors";
