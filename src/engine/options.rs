//! How a model is loaded and run.

/// How a model is loaded and run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Let tract run nodes that no int8 op handles, instead of refusing the model.
    pub allow_fallback: bool,
    /// The kernel set's name; the best that this machine has if `None`.
    pub kernels: Option<String>,
    /// Threads that share each op's rows, the caller's among them.
    pub threads: usize,
    /// The threads' cores, the caller's first; none pins nothing.
    pub cores: Vec<usize>,
    /// Sizes from which it pays to chain operations, and to share one among threads.
    pub tuning: Tuning,
}

/// When a program does what pays for large tensors alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// A tensor at least this large that only one op uses passes to it a few rows at a time.
    pub chained_bytes: usize,
    /// Work of a part of an op that outweighs handing it to a thread, in multiply-adds.
    pub work_a_part: u64,
}

impl Default for Tuning {
    /// More than a third of a Cortex-A76's second-level cache; about two microseconds of a fast core.
    fn default() -> Self {
        Tuning { chained_bytes: 192 << 10, work_a_part: 120_000 }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options { allow_fallback: false, kernels: None, threads: 1, cores: vec![], tuning: Tuning::default() }
    }
}
