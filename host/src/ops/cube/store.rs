//! A bias, then what is left of a value once it is stored in u8: the fake quantisation of training.

use burn::backend::ops::FloatTensorOps;
use burn::tensor::Slice;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::tensors::{dims, empty, place, sharers, spread, total};
use crate::numeric::FLOOR_MARGIN;
use crate::ops::Storing;

pub fn forward(x: CubeTensor, bias: CubeTensor, step: CubeTensor, s: Storing) -> CubeTensor {
    let shape: [usize; 4] = dims(&x);
    let out = empty(&x, shape);
    let (count, cube) = spread(&x, shape.iter().product());
    let client = x.client.clone();
    let [x, bias, step, to] = [x, bias, step, out.clone()].map(CubeTensor::into_tensor_arg);
    keep::launch(&client, count, cube, x, bias, step, to, f32::from(s.zero_point), s.floors);
    out
}

/// As on the CPU, see [`crate::ops::kernels::store::backward`].
pub fn backward(
    grad: CubeTensor,
    x: CubeTensor,
    bias: CubeTensor,
    step: CubeTensor,
    s: Storing,
) -> [CubeTensor; 3] {
    let shape: [usize; 4] = dims(&x);
    let [batch, channels, height, width] = shape;
    let zero_point = f32::from(s.zero_point);
    let client = x.client.clone();
    let arguments =
        |out: CubeTensor| [&grad, &x, &bias, &step, &out].map(|tensor| tensor.clone().into_tensor_arg());
    let out = empty(&x, shape);
    let (count, cube) = spread(&x, shape.iter().product());
    let [g, v, b, p, to] = arguments(out.clone());
    through::launch(&client, count, cube, g, v, b, p, to, zero_point);
    let threads = sharers(channels, batch * height * width);
    let parts = empty(&x, [2 * channels, threads]);
    let (count, cube) = spread(&x, channels * threads);
    let [g, v, b, p, to] = arguments(parts.clone());
    sums::launch(&client, count, cube, g, v, b, p, to, zero_point, s.floors);
    let sums = total(parts);
    let part = |from: usize| CubeBackend::float_slice(sums.clone(), &[Slice::from(from..from + channels)]);
    [out, part(0), CubeBackend::float_sum_dim(part(channels), 0)]
}

/// The stored value of `v`, a number of steps, less the zero point.
#[cube]
fn steps(v: f32, zero_point: f32, #[comptime] floors: bool) -> f32 {
    let mut stored = f32::floor(v);
    if comptime!(floors) {
        stored = f32::floor(v + zero_point + FLOOR_MARGIN);
    } else {
        // To the nearest, of two the even one, whatever the device's own rounding does.
        let beyond = v - stored;
        let is_odd = stored - 2.0f32 * f32::floor(stored * 0.5f32) > 0.5f32;
        if beyond > 0.5f32 || (beyond == 0.5f32 && is_odd) {
            stored += 1.0f32;
        }
        stored += zero_point;
    }
    f32::clamp(stored, 0.0f32, 255.0f32) - zero_point
}

#[cube]
fn is_inside(v: f32, zero_point: f32) -> bool {
    v >= -zero_point && v <= 255.0f32 - zero_point
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn keep(
    x: &Tensor<f32>,
    bias: &Tensor<f32>,
    step: &Tensor<f32>,
    out: &mut Tensor<f32>,
    zero_point: f32,
    #[comptime] floors: bool,
) {
    let (channels, plane) = (x.shape(1), x.shape(2) * x.shape(3));
    if ABSOLUTE_POS >= x.shape(0) * channels * plane {
        terminate!();
    }
    let v = (x[ABSOLUTE_POS] + bias[ABSOLUTE_POS / plane % channels]) / step[0];
    out[ABSOLUTE_POS] = step[0] * steps(v, zero_point, floors);
}

#[cube(launch)]
fn through(
    grad: &Tensor<f32>,
    x: &Tensor<f32>,
    bias: &Tensor<f32>,
    step: &Tensor<f32>,
    out: &mut Tensor<f32>,
    zero_point: f32,
) {
    let (channels, plane) = (x.shape(1), x.shape(2) * x.shape(3));
    if ABSOLUTE_POS >= x.shape(0) * channels * plane {
        terminate!();
    }
    let v = (x[ABSOLUTE_POS] + bias[ABSOLUTE_POS / plane % channels]) / step[0];
    let mut pull = 0.0f32;
    if is_inside(v, zero_point) {
        pull = grad[ABSOLUTE_POS];
    }
    out[ABSOLUTE_POS] = pull;
}

/// `parts [2 · C, threads]`: sums towards the bias, then towards the step.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn sums(
    grad: &Tensor<f32>,
    x: &Tensor<f32>,
    bias: &Tensor<f32>,
    step: &Tensor<f32>,
    parts: &mut Tensor<f32>,
    zero_point: f32,
    #[comptime] floors: bool,
) {
    let (channels, plane) = (x.shape(1), x.shape(2) * x.shape(3));
    let threads = parts.shape(1);
    if ABSOLUTE_POS >= channels * threads {
        terminate!();
    }
    let channel = ABSOLUTE_POS / threads;
    let pixels = x.shape(0) * plane;
    let mut towards_bias = 0.0f32;
    let mut towards_step = 0.0f32;
    let mut pixel = ABSOLUTE_POS % threads;
    while pixel < pixels {
        let at = place(pixel, channel, channels, plane);
        let v = (x[at] + bias[channel]) / step[0];
        let mut slope = steps(v, zero_point, floors);
        if is_inside(v, zero_point) {
            slope -= v;
            towards_bias += grad[at];
        }
        towards_step += slope * grad[at];
        pixel += threads;
    }
    parts[ABSOLUTE_POS] = towards_bias;
    parts[channels * threads + ABSOLUTE_POS] = towards_step;
}
