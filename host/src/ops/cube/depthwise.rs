//! Depthwise convolution, any square kernel and stride.

use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::tensors::{dims, empty, sharers, spread, total};
use crate::ops::ConvAttributes;

pub fn forward(x: CubeTensor, weight: CubeTensor, a: ConvAttributes) -> CubeTensor {
    let [batch, channels, height, width] = dims(&x);
    let [_, _, kernel, _]: [usize; 4] = dims(&weight);
    let [top, left, bottom, right] = a.pads;
    let out_height = (height + top + bottom - kernel) / a.stride + 1;
    let out_width = (width + left + right - kernel) / a.stride + 1;
    let out = empty(&x, [batch, channels, out_height, out_width]);
    let (count, cube) = spread(&x, batch * channels * out_height * out_width);
    let client = x.client.clone();
    let (x, weight, to) = (x.into_tensor_arg(), weight.into_tensor_arg(), out.clone().into_tensor_arg());
    convolve::launch(&client, count, cube, x, weight, to, top, left, kernel, a.stride);
    out
}

pub fn grad_input(grad: CubeTensor, x: &CubeTensor, weight: CubeTensor, a: ConvAttributes) -> CubeTensor {
    let shape: [usize; 4] = dims(x);
    let [_, _, kernel, _]: [usize; 4] = dims(&weight);
    let out = empty(&grad, shape);
    let (count, cube) = spread(&grad, shape.iter().product());
    let client = grad.client.clone();
    let (grad, weight, to) =
        (grad.into_tensor_arg(), weight.into_tensor_arg(), out.clone().into_tensor_arg());
    gather::launch(&client, count, cube, grad, weight, to, a.pads[0], a.pads[1], kernel, a.stride);
    out
}

/// `[C, 1, k, k]`.
pub fn grad_weight(grad: CubeTensor, x: CubeTensor, kernel: usize, a: ConvAttributes) -> CubeTensor {
    let [batch, channels, out_height, out_width] = dims(&grad);
    let threads = sharers(channels, batch * out_height * out_width);
    let parts = empty(&grad, [kernel * kernel * channels, threads]);
    let (count, cube) = spread(&grad, channels * threads);
    let client = grad.client.clone();
    let (grad, x, to) = (grad.into_tensor_arg(), x.into_tensor_arg(), parts.clone().into_tensor_arg());
    correlate::launch(&client, count, cube, grad, x, to, a.pads[0], a.pads[1], kernel, a.stride);
    let taps = CubeBackend::float_reshape(total(parts), [kernel * kernel, channels].into());
    CubeBackend::float_reshape(CubeBackend::float_swap_dims(taps, 0, 1), [channels, 1, kernel, kernel].into())
}

/// `x [N, C, H, W]`, `weight [C, 1, k, k]`, a thread for each value of `out`.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn convolve(
    x: &Tensor<f32>,
    weight: &Tensor<f32>,
    out: &mut Tensor<f32>,
    top: usize,
    left: usize,
    #[comptime] kernel: usize,
    #[comptime] stride: usize,
) {
    let (channels, height, width) = (x.shape(1), x.shape(2), x.shape(3));
    let (out_height, out_width) = (out.shape(2), out.shape(3));
    if ABSOLUTE_POS >= out.shape(0) * channels * out_height * out_width {
        terminate!();
    }
    let row = ABSOLUTE_POS / out_width;
    let plane = row / out_height;
    let from_x = ABSOLUTE_POS % out_width * stride;
    let from_y = row % out_height * stride;
    let taps = plane % channels * comptime!(kernel * kernel);
    let mut sum = 0.0f32;
    #[unroll]
    for ky in 0..kernel {
        #[unroll]
        for kx in 0..kernel {
            let (y, x_at) = (from_y + ky, from_x + kx);
            if y >= top && y < top + height && x_at >= left && x_at < left + width {
                let at = (plane * height + y - top) * width + x_at - left;
                sum += x[at] * weight[taps + ky * kernel + kx];
            }
        }
    }
    out[ABSOLUTE_POS] = sum;
}

/// `grad [N, C, H', W']`, a thread for each value of `out [N, C, H, W]`.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn gather(
    grad: &Tensor<f32>,
    weight: &Tensor<f32>,
    out: &mut Tensor<f32>,
    top: usize,
    left: usize,
    #[comptime] kernel: usize,
    #[comptime] stride: usize,
) {
    let (channels, height, width) = (out.shape(1), out.shape(2), out.shape(3));
    let (grad_height, grad_width) = (grad.shape(2), grad.shape(3));
    if ABSOLUTE_POS >= out.shape(0) * channels * height * width {
        terminate!();
    }
    let row = ABSOLUTE_POS / width;
    let plane = row / height;
    // Where it lies in the padded plane.
    let at_x = ABSOLUTE_POS % width + left;
    let at_y = row % height + top;
    let taps = plane % channels * comptime!(kernel * kernel);
    let mut sum = 0.0f32;
    #[unroll]
    for ky in 0..kernel {
        #[unroll]
        for kx in 0..kernel {
            if at_y >= ky && at_x >= kx {
                let (y, x) = (at_y - ky, at_x - kx);
                if y % stride == 0 && x % stride == 0 && y / stride < grad_height && x / stride < grad_width {
                    let at = (plane * grad_height + y / stride) * grad_width + x / stride;
                    sum += grad[at] * weight[taps + ky * kernel + kx];
                }
            }
        }
    }
    out[ABSOLUTE_POS] = sum;
}

/// Of each channel every thread takes every so-manyth pixel of `grad`; `parts [k·k·C, threads]`.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn correlate(
    grad: &Tensor<f32>,
    x: &Tensor<f32>,
    parts: &mut Tensor<f32>,
    top: usize,
    left: usize,
    #[comptime] kernel: usize,
    #[comptime] stride: usize,
) {
    let (channels, height, width) = (x.shape(1), x.shape(2), x.shape(3));
    let (grad_height, grad_width) = (grad.shape(2), grad.shape(3));
    let threads = parts.shape(1);
    if ABSOLUTE_POS >= channels * threads {
        terminate!();
    }
    let channel = ABSOLUTE_POS / threads;
    let thread = ABSOLUTE_POS % threads;
    let plane = grad_height * grad_width;
    let pixels = grad.shape(0) * plane;
    let mut taps = Array::<f32>::new(comptime!(kernel * kernel));
    #[unroll]
    for tap in 0..comptime!(kernel * kernel) {
        taps[tap] = 0.0f32;
    }
    let mut pixel = thread;
    while pixel < pixels {
        let first = (pixel / plane) * channels + channel;
        let within = pixel % plane;
        let pull = grad[first * plane + within];
        let from_y = within / grad_width * stride;
        let from_x = within % grad_width * stride;
        #[unroll]
        for ky in 0..kernel {
            #[unroll]
            for kx in 0..kernel {
                let (y, x_at) = (from_y + ky, from_x + kx);
                if y >= top && y < top + height && x_at >= left && x_at < left + width {
                    taps[ky * kernel + kx] += pull * x[(first * height + y - top) * width + x_at - left];
                }
            }
        }
        pixel += threads;
    }
    #[unroll]
    for tap in 0..comptime!(kernel * kernel) {
        parts[(tap * channels + channel) * threads + thread] = taps[tap];
    }
}
