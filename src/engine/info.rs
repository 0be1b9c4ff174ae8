//! What a loaded model says of itself.

/// What became of one node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NodeInfo {
    /// The node's name in the model.
    pub name: String,
    /// The operation, for people: `conv 3×3`.
    pub op: String,
    /// Element types, as in `u8 × s8 → i32 → u8`.
    pub types: String,
    /// Height, width, channels.
    pub shape: Vec<usize>,
    /// For one frame; 0 unless it is a convolution.
    pub multiply_adds: u64,
    /// The kernel set; `tract` for a fallback.
    pub kernel: String,
}

/// What runs at once: a node, or several whose results pass from one to the next within the cache.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StepInfo {
    /// Names of nodes.
    pub nodes: Vec<String>,
    /// The operations, for people: `conv 1×1 → conv 3×3`.
    pub op: String,
    /// For one frame.
    pub multiply_adds: u64,
}

/// Memory that a loaded model takes beside its weights, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryUse {
    /// All tensors.
    pub arena: usize,
    /// What all threads work in.
    pub scratch: usize,
}
