//! Batch normalisation with the activation that follows it, `[N, C, H, W]`.

use std::mem::MaybeUninit;

use multiversion::multiversion;
use rayon::prelude::*;

use super::spread::written;

const LANES: usize = 16;

/// Extents of a batch: images, channels, pixels a plane.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Images.
    pub batch: usize,
    /// Channels of each image.
    pub channels: usize,
    /// Pixels of each channel.
    pub plane: usize,
}

impl Extent {
    fn planes<'a>(&self, data: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let (plane, step) = (self.plane, self.channels * self.plane);
        (0..self.batch).map(move |image| &data[image * step + channel * plane..][..plane])
    }
    fn count(&self) -> f64 {
        (self.batch * self.plane) as f64
    }
}

/// `[2, C]`: each channel's mean, then its (biased) variance.
pub fn statistics(x: &[f32], e: Extent) -> Vec<f32> {
    let moments: Vec<(f32, f32)> = (0..e.channels)
        .into_par_iter()
        .map(|c| {
            let mean = e.planes(x, c).map(|plane| sum(plane) as f64).sum::<f64>() / e.count();
            let squares =
                e.planes(x, c).map(|plane| sum_squared_from(plane, mean as f32) as f64).sum::<f64>();
            (mean as f32, (squares / e.count()) as f32)
        })
        .collect();
    moments.iter().map(|m| m.0).chain(moments.iter().map(|m| m.1)).collect()
}

/// `clamp(gamma · (x − mean) / √(variance + eps) + beta, 0, 6)`, without the clamp unless `relu6`.
pub fn forward(
    x: &[f32],
    statistics: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    relu6: bool,
    e: Extent,
) -> Vec<f32> {
    written(
        x.len(),
        e.plane,
        || (),
        |_, i, out| {
            let (c, x) = (i % e.channels, &x[i * e.plane..][..e.plane]);
            let scale = gamma[c] / (statistics[e.channels + c] + eps).sqrt();
            affine(x, out, scale, beta[c] - statistics[c] * scale, relu6);
        },
    )
}

/// Gradients towards `x`, `gamma` and `beta`; the statistics are taken as functions of `x`.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    x: &[f32],
    statistics: &[f32],
    gamma: &[f32],
    beta: &[f32],
    grad: &[f32],
    eps: f32,
    relu6: bool,
    e: Extent,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let normaliser = |c: usize| {
        let inverse = 1.0 / (statistics[e.channels + c] + eps).sqrt();
        Normaliser { mean: statistics[c], inverse, gamma: gamma[c], beta: beta[c], relu6 }
    };
    let sums: Vec<(f32, f32)> = (0..e.channels)
        .into_par_iter()
        .map(|c| {
            let n = normaliser(c);
            let (mut plain, mut scaled) = (0.0f64, 0.0f64);
            for (x, grad) in e.planes(x, c).zip(e.planes(grad, c)) {
                let (a, b) = gradient_sums(x, grad, n);
                plain += a as f64;
                scaled += b as f64;
            }
            (plain as f32, scaled as f32)
        })
        .collect();
    let out = written(
        x.len(),
        e.plane,
        || (),
        |_, i, out| {
            let (c, plane) = (i % e.channels, i * e.plane..(i + 1) * e.plane);
            let count = e.count() as f32;
            gradient(
                &x[plane.clone()],
                &grad[plane],
                out,
                normaliser(c),
                sums[c].0 / count,
                sums[c].1 / count,
            );
        },
    );
    (out, sums.iter().map(|s| s.1).collect(), sums.iter().map(|s| s.0).collect())
}

#[derive(Clone, Copy)]
struct Normaliser {
    mean: f32,
    inverse: f32,
    gamma: f32,
    beta: f32,
    relu6: bool,
}

impl Normaliser {
    #[inline(always)]
    fn normalised(&self, x: f32) -> f32 {
        (x - self.mean) * self.inverse
    }
    /// The gradient that the clamp lets through.
    #[inline(always)]
    fn through(&self, normalised: f32, grad: f32) -> f32 {
        let y = self.gamma * normalised + self.beta;
        let open = !self.relu6 | ((y > 0.0) & (y < 6.0));
        if open { grad } else { 0.0 }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub(super) fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().sum::<f32>() + chunks.remainder().iter().sum::<f32>()
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn sum_squared_from(x: &[f32], mean: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += (x - mean) * (x - mean);
        }
    }
    lanes.iter().sum::<f32>() + chunks.remainder().iter().map(|x| (x - mean) * (x - mean)).sum::<f32>()
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn affine(x: &[f32], out: &mut [MaybeUninit<f32>], scale: f32, shift: f32, relu6: bool) {
    if relu6 {
        for (out, x) in out.iter_mut().zip(x) {
            out.write((x * scale + shift).clamp(0.0, 6.0));
        }
    } else {
        for (out, x) in out.iter_mut().zip(x) {
            out.write(x * scale + shift);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn gradient_sums(x: &[f32], grad: &[f32], n: Normaliser) -> (f32, f32) {
    let (mut plain, mut scaled) = ([0.0f32; LANES], [0.0f32; LANES]);
    let (mut xs, mut grads) = (x.chunks_exact(LANES), grad.chunks_exact(LANES));
    for (x, grad) in (&mut xs).zip(&mut grads) {
        for i in 0..LANES {
            let normalised = n.normalised(x[i]);
            let through = n.through(normalised, grad[i]);
            plain[i] += through;
            scaled[i] += through * normalised;
        }
    }
    for (x, grad) in xs.remainder().iter().zip(grads.remainder()) {
        let normalised = n.normalised(*x);
        let through = n.through(normalised, *grad);
        plain[0] += through;
        scaled[0] += through * normalised;
    }
    (plain.iter().sum(), scaled.iter().sum())
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn gradient(
    x: &[f32],
    grad: &[f32],
    out: &mut [MaybeUninit<f32>],
    n: Normaliser,
    mean: f32,
    mean_scaled: f32,
) {
    let scale = n.gamma * n.inverse;
    for ((out, x), grad) in out.iter_mut().zip(x).zip(grad) {
        let normalised = n.normalised(*x);
        out.write(scale * (n.through(normalised, *grad) - mean - normalised * mean_scaled));
    }
}
