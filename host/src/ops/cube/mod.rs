//! The training operations on GPUs, `f32`, NCHW. Kernels of our own, but for products of matrices: what burn has chooses
//! among dozens of programs by their times, or computes a depthwise gradient channel by channel, thousands of launches
//! a step for an EfficientNet.

mod batch_norm;
mod convolution;
mod depthwise;
mod store;

use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

use crate::ops::{ConvAttributes, NormAttributes, Storing, TrainingGradients, TrainingOps};

/// Threads of a cube.
const CUBE: u32 = 256;

/// Threads that a sum is spread over, about: several for each core of a large GPU.
const SUMMING: usize = 1 << 18;

fn dims<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    tensor.meta.shape().dims()
}

/// Uninitialised, beside `like`.
fn empty(like: &CubeTensor, shape: impl Into<Vec<usize>>) -> CubeTensor {
    let shape = shape.into().into();
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, like.dtype)
}

/// A launch of at least so many threads.
fn spread(like: &CubeTensor, threads: usize) -> (CubeCount, CubeDim) {
    let cube = CubeDim::new_1d(CUBE);
    (calculate_cube_count_elemwise(&like.client, threads, cube), cube)
}

/// Threads that share each of so many sums of `terms`.
fn sharers(sums: usize, terms: usize) -> usize {
    (SUMMING / sums).next_power_of_two().min(terms.div_ceil(4)).max(1)
}

/// `[sums, sharers]` → `[sums]`.
fn total(parts: CubeTensor) -> CubeTensor {
    let [sums, _] = dims(&parts);
    CubeBackend::float_reshape(CubeBackend::float_sum_dim(parts, 1), [sums].into())
}

/// Where pixel `pixel` of a channel lies in `[N, C, H, W]`, counted through all images; `plane` is H · W.
#[cube]
fn place(pixel: usize, channel: usize, channels: usize, plane: usize) -> usize {
    (pixel / plane * channels + channel) * plane + pixel % plane
}

impl TrainingOps for CubeBackend {
    fn conv2d_padded(x: CubeTensor, weight: CubeTensor, attributes: ConvAttributes) -> CubeTensor {
        convolution::forward(into_contiguous(x), into_contiguous(weight), attributes)
    }

    fn batch_statistics(x: CubeTensor) -> CubeTensor {
        batch_norm::statistics(into_contiguous(x))
    }

    fn batch_norm_act(
        x: CubeTensor,
        statistics: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        attributes: NormAttributes,
    ) -> CubeTensor {
        let [x, statistics, gamma, beta] = [x, statistics, gamma, beta].map(into_contiguous);
        batch_norm::forward(x, statistics, gamma, beta, attributes)
    }

    fn store(x: CubeTensor, bias: CubeTensor, step: CubeTensor, storing: Storing) -> CubeTensor {
        let [x, bias, step] = [x, bias, step].map(into_contiguous);
        store::forward(x, bias, step, storing)
    }
}

impl TrainingGradients for CubeBackend {
    fn conv2d_grad_input(
        grad: CubeTensor,
        x: CubeTensor,
        weight: CubeTensor,
        attributes: ConvAttributes,
    ) -> CubeTensor {
        let [grad, weight] = [grad, weight].map(into_contiguous);
        convolution::grad_input(grad, x, weight, attributes)
    }

    fn conv2d_grad_weight(
        grad: CubeTensor,
        x: CubeTensor,
        weight: CubeTensor,
        attributes: ConvAttributes,
    ) -> CubeTensor {
        let [grad, x] = [grad, x].map(into_contiguous);
        convolution::grad_weight(grad, x, weight, attributes)
    }

    fn batch_norm_grad(
        grad: CubeTensor,
        x: CubeTensor,
        statistics: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        attributes: NormAttributes,
    ) -> [CubeTensor; 3] {
        let [grad, x, statistics, gamma, beta] = [grad, x, statistics, gamma, beta].map(into_contiguous);
        batch_norm::backward(grad, x, statistics, gamma, beta, attributes)
    }

    fn store_grad(
        grad: CubeTensor,
        x: CubeTensor,
        bias: CubeTensor,
        step: CubeTensor,
        storing: Storing,
    ) -> [CubeTensor; 3] {
        let [grad, x, bias, step] = [grad, x, bias, step].map(into_contiguous);
        store::backward(grad, x, bias, step, storing)
    }
}
