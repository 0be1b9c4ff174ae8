//! Arithmetic that more than one room needs.

mod resize;

pub use resize::{Resize, Taps, bilinear, corners, enlarge, enlarged, place, reduce, taps};

/// 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The mean of values with their weights; 0 of nothing.
pub fn weighted_mean(values: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (sum, weights) =
        values.fold((0.0, 0.0), |(sum, weights), (value, weight)| (sum + weight * value, weights + weight));
    if weights > 0.0 { sum / weights } else { 0.0 }
}

/// What a data set counts beside others in whatever is chosen by: as much as any if there are at least twenty values of it,
/// in proportion if it has fewer, for a handful of frames says little of a hospital.
pub fn weight_of_set(frames: usize) -> f64 {
    frames.min(20) as f64 / 20.0
}

/// The mean over data sets of each one's mean, by [`weight_of_set`].
pub fn mean_of_sets<'a>(sets: impl Iterator<Item = &'a [f64]>) -> f64 {
    weighted_mean(sets.map(|values| (mean(values), weight_of_set(values.len()))))
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
