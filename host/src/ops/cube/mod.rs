//! The training operations on GPUs, `f32`, NCHW. Kernels of our own, but for products of matrices: what burn has chooses
//! among dozens of programs by their times, or computes a depthwise gradient channel by channel, thousands of launches
//! a step for an EfficientNet.

mod batch_norm;
mod convolution;
mod depthwise;
mod store;
mod tensors;

use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use crate::ops::{ConvAttributes, NormAttributes, Storing, TrainingGradients, TrainingOps};

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
