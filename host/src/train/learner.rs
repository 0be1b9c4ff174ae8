//! What a run trains: a network of floats, or a folded graph that computes as the cart's engine does.

use std::path::Path;

use anyhow::Result;

use crate::net::Parameters;
use crate::train::batches::Batch;

/// What a batch came to.
pub struct Outcome {
    /// The mean over the pictures; the weighted sum of all depths.
    pub loss: f32,
    /// The highest logit of each picture.
    pub peaks: Vec<f32>,
    /// Gradients of the loss, by parameter.
    pub gradients: Parameters,
    /// Running statistics' values of this batch.
    pub statistics: Parameters,
}

/// Logits of the finest level, `[N, low, low]`.
pub struct Logits {
    /// Row-major.
    pub values: Vec<f32>,
    /// Logits along each side.
    pub low: usize,
}

/// What computes losses, gradients and logits from parameters.
pub trait Learner {
    /// Loss and gradients of a batch.
    fn batch(&self, parameters: &Parameters, batch: &Batch) -> Result<Outcome>;

    /// What the network says of a batch's pictures once it is trained.
    fn logits(&self, parameters: &Parameters, batch: &Batch) -> Result<Logits>;

    /// Writes what later steps need besides the checkpoint, such as the inference graph.
    fn export(&self, parameters: &Parameters, folder: &Path) -> Result<()>;
}
