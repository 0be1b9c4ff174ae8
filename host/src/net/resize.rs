//! Resizing as products with fixed matrices: every backend has their gradients, which is not so for its own
//! interpolation.

use crate::numeric::Resize;
use burn::tensor::{Device, Tensor, TensorData};

/// `[N, C, H, W]` → `[N, C, height, width]`.
pub fn resize(x: Tensor<4>, [height, width]: [usize; 2], method: Resize) -> Tensor<4> {
    let [_, _, from_height, from_width] = x.dims();
    let device = x.device();
    let matrix = |from: usize, to: usize| constant(method.matrix(from, to), [from, to], &device);
    along_both(x, matrix(from_height, height), matrix(from_width, width))
}

/// `downᵀ · plane · across` for each plane.
pub fn along_both(x: Tensor<4>, down: Tensor<2>, across: Tensor<2>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let ([_, to_height], [_, to_width]) = (down.dims(), across.dims());
    let x = x.reshape([batch * channels * height, width]).matmul(across);
    let x = x.reshape([batch * channels, height, to_width]).swap_dims(1, 2);
    let x = x.reshape([batch * channels * to_width, height]).matmul(down);
    let x = x.reshape([batch * channels, to_width, to_height]).swap_dims(1, 2);
    x.reshape([batch, channels, to_height, to_width])
}

/// A tensor that no gradient reaches.
pub fn constant<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// `[side, side]`, symmetric: the projection onto the frequencies below `share` of the highest, as a Fourier transform
/// with all others made zero would do it.
pub fn low_pass(side: usize, share: f32) -> Vec<f32> {
    // Frequencies −k..=k of a transform of `side` values.
    let most = ((share * side as f32 / 2.0) as usize).min((side - 1) / 2);
    let kernel: Vec<f32> = (0..side)
        .map(|distance| {
            let turn = std::f64::consts::TAU * distance as f64 / side as f64;
            let sum: f64 = (1..=most).map(|k| 2.0 * (turn * k as f64).cos()).sum();
            ((1.0 + sum) / side as f64) as f32
        })
        .collect();
    (0..side * side).map(|i| kernel[(i / side).abs_diff(i % side)]).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::interpolate;
    use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
    use burn::tensor::{Distribution, Tensor};

    use super::*;

    #[test]
    fn matrices_do_what_burn_does() {
        let x = Tensor::<4>::random([2, 3, 7, 9], Distribution::Uniform(-1.0, 1.0), &Device::flex());
        let pairs =
            [(Resize::Bilinear, InterpolateMode::Bilinear), (Resize::Bicubic, InterpolateMode::Bicubic)];
        for (method, mode) in pairs {
            for size in [[14, 18], [5, 4], [7, 20], [88, 88]] {
                let ours = resize(x.clone(), size, method);
                let options =
                    InterpolateOptions::new(mode.clone()).with_align_corners(false).with_output_size(size);
                let theirs = interpolate(x.clone(), options);
                let difference = (ours - theirs).abs().max().into_scalar::<f32>();
                assert!(difference < 1e-5, "{method:?} {size:?}: {difference}");
            }
        }
    }

    #[test]
    fn a_low_pass_keeps_slow_waves_and_drops_fast_ones() {
        let side = 32;
        let matrix = low_pass(side, 0.25);
        let wave = |k: f32| move |i: usize| (std::f32::consts::TAU * k * i as f32 / side as f32 + 0.3).sin();
        let filtered = |signal: &dyn Fn(usize) -> f32| -> Vec<f32> {
            (0..side).map(|o| (0..side).map(|i| matrix[i * side + o] * signal(i)).sum()).collect()
        };
        for (k, kept) in [(0.0, 1.0), (3.0, 1.0), (4.0, 1.0), (5.0, 0.0), (15.0, 0.0)] {
            let signal = wave(k);
            for (i, value) in filtered(&signal).into_iter().enumerate() {
                assert!((value - kept * signal(i)).abs() < 1e-5, "{k}");
            }
        }
    }
}
