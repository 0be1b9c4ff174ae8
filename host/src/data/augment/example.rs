//! What training shows a network.

/// A training picture.
pub(crate) struct Example {
    /// Raw pixel values `[3, side, side]`, 0 to 255.
    pub pixels: Vec<f32>,
    /// `[side, side]`: 1 where the polyp is, else 0.
    pub target: Vec<f32>,
    /// What the target counts: 1 if it is the truth, 0 if nothing is known.
    pub truth: f32,
    /// A teacher's logits `[side, side]`, moved as the picture was; empty if none has looked.
    pub teacher: Vec<f32>,
    /// What the teacher's logits count, 0 to 1.
    pub confidence: f32,
}
