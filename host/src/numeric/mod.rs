//! Arithmetic that more than one room needs.

mod resize;

pub use resize::{Resize, Taps, bilinear, corners, enlarge, enlarged, place, reduce, taps};

/// 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The planes of interleaved RGB pixels, one after another: `[H, W, 3]` → `[3, H, W]`.
pub fn planar(pixels: &[u8]) -> impl Iterator<Item = u8> {
    (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied())
}

/// 1 / (1 + e⁻ᶻ).
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Steps added before flooring: absorbs float error, and is smaller than any step that the weights of bilinear resizing
/// make up to a factor of 16.
pub const FLOOR_MARGIN: f32 = 2e-4;
