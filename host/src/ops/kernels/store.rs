//! A bias, then what is left of a value once it is stored in u8: the fake quantisation of training, `[N, C, H, W]`.

use std::mem::MaybeUninit;

use multiversion::multiversion;
use rayon::prelude::*;

use super::spread::written;
use crate::numeric::FLOOR_MARGIN;
use crate::ops::kernels::batch_norm::{Extent, sum};

/// Sums go by so many lanes.
const LANES: usize = 16;

/// How a tensor is stored: real value = step × (stored − `zero_point`), stored in 0..=255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storing {
    /// The stored value that stands for 0.
    pub zero_point: u8,
    /// To the next lower step, as bilinear resizing of u8 rounds, instead of the nearest (ties to even).
    pub floors: bool,
}

/// `x [N, C, H, W]` plus `bias [C]`, stored, as real values.
pub fn forward(x: &[f32], bias: &[f32], step: f32, s: Storing, e: Extent) -> Vec<f32> {
    written(
        x.len(),
        e.plane,
        || (),
        |_, i, out| {
            store(&x[i * e.plane..][..e.plane], out, bias[i % e.channels], step, s);
        },
    )
}

/// Gradients towards `x`, `bias` and `step`: straight through within the range, nothing beyond it; towards the step as
/// in LSQ+ (Bhalgat et al., CVPRW 2020).
pub fn backward(
    x: &[f32],
    bias: &[f32],
    step: f32,
    grad: &[f32],
    s: Storing,
    e: Extent,
) -> (Vec<f32>, Vec<f32>, f32) {
    let plane = |i: usize| i * e.plane..(i + 1) * e.plane;
    let out = written(
        x.len(),
        e.plane,
        || (),
        |_, i, out| {
            through(&x[plane(i)], &grad[plane(i)], out, bias[i % e.channels], step, s);
        },
    );
    let sums: Vec<(f64, f64)> = (0..e.channels)
        .into_par_iter()
        .map(|c| {
            let (mut towards_bias, mut towards_step) = (0.0, 0.0);
            for image in 0..e.batch {
                let i = image * e.channels + c;
                towards_bias += sum(&out[plane(i)]) as f64;
                towards_step += step_sum(&x[plane(i)], &grad[plane(i)], bias[c], step, s) as f64;
            }
            (towards_bias, towards_step)
        })
        .collect();
    let towards_step = sums.iter().map(|sum| sum.1).sum::<f64>() as f32;
    (out, sums.iter().map(|sum| sum.0 as f32).collect(), towards_step)
}

impl Storing {
    /// The stored value of `v`, a number of steps, less the zero point.
    #[inline(always)]
    fn steps(self, v: f32) -> f32 {
        let zero_point = f32::from(self.zero_point);
        let stored = if self.floors {
            (v + zero_point + FLOOR_MARGIN).floor()
        } else {
            v.round_ties_even() + zero_point
        };
        stored.clamp(0.0, 255.0) - zero_point
    }

    #[inline(always)]
    fn is_inside(self, v: f32) -> bool {
        let zero_point = f32::from(self.zero_point);
        (v >= -zero_point) & (v <= 255.0 - zero_point)
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn store(x: &[f32], out: &mut [MaybeUninit<f32>], bias: f32, step: f32, s: Storing) {
    for (out, x) in out.iter_mut().zip(x) {
        out.write(step * s.steps((x + bias) / step));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn through(x: &[f32], grad: &[f32], out: &mut [MaybeUninit<f32>], bias: f32, step: f32, s: Storing) {
    for ((out, x), grad) in out.iter_mut().zip(x).zip(grad) {
        out.write(if s.is_inside((x + bias) / step) { *grad } else { 0.0 });
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn step_sum(x: &[f32], grad: &[f32], bias: f32, step: f32, s: Storing) -> f32 {
    let slope = |x: f32| {
        let v = (x + bias) / step;
        s.steps(v) - if s.is_inside(v) { v } else { 0.0 }
    };
    let mut lanes = [0.0f32; LANES];
    let (mut xs, mut grads) = (x.chunks_exact(LANES), grad.chunks_exact(LANES));
    for (x, grad) in (&mut xs).zip(&mut grads) {
        for i in 0..LANES {
            lanes[i] += slope(x[i]) * grad[i];
        }
    }
    let rest = xs.remainder().iter().zip(grads.remainder()).map(|(x, grad)| slope(*x) * grad);
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}
