//! The cosine transform and its inverse, in floating point.

use std::f64::consts::PI;
use std::sync::LazyLock;

pub(super) fn scale(frequency: usize) -> f64 {
    if frequency == 0 { 0.5 * 0.5f64.sqrt() } else { 0.5 }
}

pub(super) fn wave(frequency: usize, at: usize) -> f64 {
    static WAVES: LazyLock<[f64; 64]> = LazyLock::new(|| {
        std::array::from_fn(|index| ((2 * (index % 8) + 1) as f64 * (index / 8) as f64 * PI / 16.0).cos())
    });
    WAVES[8 * frequency + at]
}

pub(super) fn forward(samples: &[f64], u: usize, v: usize) -> f64 {
    let sum: f64 = (0..64).map(|at| samples[at] * wave(u, at % 8) * wave(v, at / 8)).sum();
    scale(u) * scale(v) * sum
}
