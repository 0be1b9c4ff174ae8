//! What a loaded model says of itself.

/// What became of one node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NodeInfo {
    pub name: String,
    pub op: String,
    pub types: String,
    /// Height, width, channels.
    pub shape: Vec<usize>,
    pub multiply_adds: u64,
    /// The kernel set; `tract` for a fallback.
    pub kernel: String,
}

/// What runs at once: a node, or several whose results pass from one to the next within the cache.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StepInfo {
    /// Names of nodes.
    pub nodes: Vec<String>,
    pub op: String,
    pub multiply_adds: u64,
}

/// MemoryUse of a loaded model in bytes, beside its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryUse {
    /// All tensors.
    pub arena: usize,
    /// What all threads work in.
    pub scratch: usize,
}
