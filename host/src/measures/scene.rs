//! A map with its mask, and curves over thresholds.

/// Thresholds of a curve: a map's values cut to whole 255ths.
pub const LEVELS: usize = 256;

/// A value at each threshold, from 255 down to 0.
pub type Curve = [f64; LEVELS];

/// A stretched map with its mask, `[height_px, width_px]` both.
pub(super) struct Scene {
    /// 0…1
    pub(super) map: Vec<f64>,
    pub(super) truth: Vec<bool>,
    pub(super) truth_px: usize,
    pub(super) width_px: usize,
    pub(super) height_px: usize,
}

impl Scene {
    /// |map − mask| of each pixel.
    pub(super) fn errors(&self) -> impl Iterator<Item = f64> {
        self.map.iter().zip(&self.truth).map(|(value, &truth)| (value - f64::from(u8::from(truth))).abs())
    }
}
