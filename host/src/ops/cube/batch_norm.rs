//! Batch normalisation with the activation that follows it.

use burn::backend::ops::FloatTensorOps;
use burn::tensor::Slice;
use burn_cubecl::CubeBackend;
use burn_cubecl::ops::numeric::zeros;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::tensors::{dims, empty, place, sharers, spread, total};
use crate::ops::NormAttributes;

/// `[2, C]`: each channel's mean, then its (biased) variance.
pub fn statistics(x: CubeTensor) -> CubeTensor {
    let [batch, channels, height, width] = dims(&x);
    let count = (batch * height * width) as f32;
    let none = zeros(x.device.clone(), [channels].into(), x.dtype);
    let mean = CubeBackend::float_mul_scalar(moments(&x, none, 1), (1.0 / count).into());
    let variance = CubeBackend::float_mul_scalar(moments(&x, mean.clone(), 2), (1.0 / count).into());
    let row = |values| CubeBackend::float_reshape(values, [1, channels].into());
    CubeBackend::float_cat(vec![row(mean), row(variance)], 0)
}

/// `[C]`: each channel's sum of `(x − from)` to a power.
fn moments(x: &CubeTensor, from: CubeTensor, power: u32) -> CubeTensor {
    let [batch, channels, height, width] = dims(x);
    let threads = sharers(channels, batch * height * width);
    let parts = empty(x, [channels, threads]);
    let (count, cube) = spread(x, channels * threads);
    let to = parts.clone().into_tensor_arg();
    sums::launch(&x.client, count, cube, x.clone().into_tensor_arg(), from.into_tensor_arg(), to, power);
    total(parts)
}

pub fn forward(
    x: CubeTensor,
    statistics: CubeTensor,
    gamma: CubeTensor,
    beta: CubeTensor,
    a: NormAttributes,
) -> CubeTensor {
    let shape: [usize; 4] = dims(&x);
    let out = empty(&x, shape);
    let (count, cube) = spread(&x, shape.iter().product());
    let client = x.client.clone();
    let [x, statistics, gamma, beta, to] =
        [x, statistics, gamma, beta, out.clone()].map(CubeTensor::into_tensor_arg);
    normalise::launch(&client, count, cube, x, statistics, gamma, beta, to, a.eps, a.relu6);
    out
}

/// Gradients towards `x`, `gamma` and `beta`; the statistics are taken as functions of `x`.
pub fn backward(
    grad: CubeTensor,
    x: CubeTensor,
    statistics: CubeTensor,
    gamma: CubeTensor,
    beta: CubeTensor,
    a: NormAttributes,
) -> [CubeTensor; 3] {
    let shape: [usize; 4] = dims(&x);
    let [batch, channels, height, width] = shape;
    let threads = sharers(channels, batch * height * width);
    let parts = empty(&x, [2 * channels, threads]);
    let client = x.client.clone();
    let arguments = |out: CubeTensor| {
        [&grad, &x, &statistics, &gamma, &beta, &out].map(|tensor| tensor.clone().into_tensor_arg())
    };
    let (count, cube) = spread(&x, channels * threads);
    let [g, v, s, c, b, to] = arguments(parts.clone());
    gradient_sums::launch(&client, count, cube, g, v, s, c, b, to, a.eps, a.relu6);
    let sums = total(parts);
    let out = empty(&x, shape);
    let (count, cube) = spread(&x, shape.iter().product());
    let [g, v, s, c, b, to] = arguments(out.clone());
    let share = sums.clone().into_tensor_arg();
    gradient::launch(&client, count, cube, g, v, s, c, b, share, to, a.eps, a.relu6);
    let part = |from: usize| CubeBackend::float_slice(sums.clone(), &[Slice::from(from..from + channels)]);
    [out, part(channels), part(0)]
}

#[cube]
fn open(y: f32, #[comptime] relu6: bool) -> bool {
    if comptime!(relu6) { y > 0.0f32 && y < 6.0f32 } else { true.runtime() }
}

/// `parts [C, threads]`; every thread takes every so-manyth pixel of a channel.
#[cube(launch)]
fn sums(x: &Tensor<f32>, from: &Tensor<f32>, parts: &mut Tensor<f32>, #[comptime] power: u32) {
    let (channels, plane) = (x.shape(1), x.shape(2) * x.shape(3));
    let threads = parts.shape(1);
    if ABSOLUTE_POS >= channels * threads {
        terminate!();
    }
    let channel = ABSOLUTE_POS / threads;
    let pixels = x.shape(0) * plane;
    let start = from[channel];
    let mut sum = 0.0f32;
    let mut pixel = ABSOLUTE_POS % threads;
    while pixel < pixels {
        let value = x[place(pixel, channel, channels, plane)] - start;
        if comptime!(power == 2) {
            sum += value * value;
        } else {
            sum += value;
        }
        pixel += threads;
    }
    parts[ABSOLUTE_POS] = sum;
}

/// `clamp(gamma · (x − mean) / √(variance + eps) + beta, 0, 6)`, without the clamp unless `relu6`.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn normalise(
    x: &Tensor<f32>,
    statistics: &Tensor<f32>,
    gamma: &Tensor<f32>,
    beta: &Tensor<f32>,
    out: &mut Tensor<f32>,
    eps: f32,
    #[comptime] relu6: bool,
) {
    let (channels, plane) = (x.shape(1), x.shape(2) * x.shape(3));
    if ABSOLUTE_POS >= x.shape(0) * channels * plane {
        terminate!();
    }
    let channel = ABSOLUTE_POS / plane % channels;
    let scale = gamma[channel] / f32::sqrt(statistics[channels + channel] + eps);
    let y = (x[ABSOLUTE_POS] - statistics[channel]) * scale + beta[channel];
    if comptime!(relu6) {
        out[ABSOLUTE_POS] = f32::clamp(y, 0.0f32, 6.0f32);
    } else {
        out[ABSOLUTE_POS] = y;
    }
}

/// `parts [2 · C, threads]`: sums of what the activation lets through of `grad`, then of that times the normalised `x`.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn gradient_sums(
    grad: &Tensor<f32>,
    x: &Tensor<f32>,
    statistics: &Tensor<f32>,
    gamma: &Tensor<f32>,
    beta: &Tensor<f32>,
    parts: &mut Tensor<f32>,
    eps: f32,
    #[comptime] relu6: bool,
) {
    let (channels, plane) = (x.shape(1), x.shape(2) * x.shape(3));
    let threads = parts.shape(1);
    if ABSOLUTE_POS >= channels * threads {
        terminate!();
    }
    let channel = ABSOLUTE_POS / threads;
    let pixels = x.shape(0) * plane;
    let (mean, g, b) = (statistics[channel], gamma[channel], beta[channel]);
    let inverse = 1.0f32 / f32::sqrt(statistics[channels + channel] + eps);
    let mut plain = 0.0f32;
    let mut scaled = 0.0f32;
    let mut pixel = ABSOLUTE_POS % threads;
    while pixel < pixels {
        let at = place(pixel, channel, channels, plane);
        let normalised = (x[at] - mean) * inverse;
        if open(g * normalised + b, relu6) {
            plain += grad[at];
            scaled += grad[at] * normalised;
        }
        pixel += threads;
    }
    parts[ABSOLUTE_POS] = plain;
    parts[channels * threads + ABSOLUTE_POS] = scaled;
}

/// Towards `x`; `sums [2 · C]` of [`gradient_sums`].
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn gradient(
    grad: &Tensor<f32>,
    x: &Tensor<f32>,
    statistics: &Tensor<f32>,
    gamma: &Tensor<f32>,
    beta: &Tensor<f32>,
    sums: &Tensor<f32>,
    out: &mut Tensor<f32>,
    eps: f32,
    #[comptime] relu6: bool,
) {
    let (channels, plane) = (x.shape(1), x.shape(2) * x.shape(3));
    if ABSOLUTE_POS >= x.shape(0) * channels * plane {
        terminate!();
    }
    let channel = ABSOLUTE_POS / plane % channels;
    let count = f32::cast_from(x.shape(0) * plane);
    let inverse = 1.0f32 / f32::sqrt(statistics[channels + channel] + eps);
    let normalised = (x[ABSOLUTE_POS] - statistics[channel]) * inverse;
    let mut through = 0.0f32;
    if open(gamma[channel] * normalised + beta[channel], relu6) {
        through = grad[ABSOLUTE_POS];
    }
    let level = sums[channel] / count + normalised * (sums[channels + channel] / count);
    out[ABSOLUTE_POS] = gamma[channel] * inverse * (through - level);
}
