//! Weighted F-measure (Margolin et al., CVPR 2014), β² = 1: errors count less where they could be a neighbour's, and
//! more the farther they lie from the polyp.

use std::ops::Range;

use crate::measures::distance::Nearest;
use crate::measures::scene::Scene;

/// 7 × 7 pixels with σ = 5.
const REACH: usize = 3;
const SIGMA: f64 = 5.0;

/// 0 where the mask is empty.
pub(super) fn weighted_f(scene: &Scene) -> f64 {
    let Some(nearest) = Nearest::of(&scene.truth, scene.width_px) else { return 0.0 };
    let errors: Vec<f64> = scene.errors().collect();
    // Outside the mask, the error of its nearest pixel: what lies beyond the edge says nothing about what is inside.
    let moved: Vec<f64> = nearest.index.iter().map(|&index| errors[index]).collect();
    let smooth = smoothed(&moved, scene);
    let (mut inside, mut outside) = (0.0, 0.0);
    for (index, (&error, &truth)) in errors.iter().zip(&scene.truth).enumerate() {
        if truth {
            inside += error.min(smooth[index]);
        } else {
            let distance_px = (nearest.squared_px[index] as f64).sqrt();
            outside += error * (2.0 - (0.5f64.ln() / 5.0 * distance_px).exp());
        }
    }
    let truth_px = scene.truth_px as f64;
    let recall = 1.0 - inside / truth_px;
    let hits = truth_px - inside;
    let precision = hits / (hits + outside + f64::EPSILON);
    2.0 * recall * precision / (recall + precision + f64::EPSILON)
}

/// The Gaussian mean of each mask pixel's surroundings, with 0 beyond the map; 0 outside the mask.
fn smoothed(values: &[f64], scene: &Scene) -> Vec<f64> {
    let (width, height) = (scene.width_px, scene.height_px);
    let taps = taps();
    let polyp: Vec<bool> = scene.truth.chunks_exact(width).map(|row| row.contains(&true)).collect();
    let mut across = vec![0.0; values.len()];
    for y in (0..height).filter(|y| polyp[window(*y, height)].contains(&true)) {
        let row = &values[y * width..(y + 1) * width];
        for x in 0..width {
            across[y * width + x] = mean(&taps, x, width, |x| row[x]);
        }
    }
    let mut both = vec![0.0; values.len()];
    for index in (0..values.len()).filter(|index| scene.truth[*index]) {
        let (x, y) = (index % width, index / width);
        both[index] = mean(&taps, y, height, |y| across[y * width + x]);
    }
    both
}

fn taps() -> [f64; 2 * REACH + 1] {
    let bell = std::array::from_fn(|i| {
        let away = i as f64 - REACH as f64;
        (-away * away / (2.0 * SIGMA * SIGMA)).exp()
    });
    let sum: f64 = bell.iter().sum();
    bell.map(|tap| tap / sum)
}

fn window(at: usize, length: usize) -> Range<usize> {
    at.saturating_sub(REACH)..(at + REACH + 1).min(length)
}

fn mean(taps: &[f64; 2 * REACH + 1], at: usize, length: usize, value: impl Fn(usize) -> f64) -> f64 {
    window(at, length).map(|i| taps[i + REACH - at] * value(i)).sum()
}
