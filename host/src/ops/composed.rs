//! The training operations from burn's own, for devices that our kernels do not run on.

use burn::tensor::Tensor;
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, PadMode};

use super::kernels::store::FLOOR_MARGIN;
use super::{ConvAttributes, NormAttributes, Storing, relu6};

/// Uneven padding is made beforehand: GPU backends' gradients are at home with even padding.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, attributes: ConvAttributes) -> Tensor<4> {
    let ConvAttributes { stride, pads: [top, left, bottom, right], groups } = attributes;
    let options = |pads| ConvOptions::new([stride; 2], pads, [1, 1], groups);
    if (top, left) == (bottom, right) {
        return module::conv2d(x, weight, None, options([top, left]));
    }
    let x = x.pad((left, right, top, bottom), PadMode::Constant(0.0));
    module::conv2d(x, weight, None, options([0, 0]))
}

pub fn batch_statistics(x: Tensor<4>) -> Tensor<2> {
    let x = x.detach();
    let channels = x.dims()[1];
    let mean = x.clone().mean_dims(&[0, 2, 3]);
    let variance = (x - mean.clone()).square().mean_dims(&[0, 2, 3]);
    Tensor::cat(vec![mean.reshape([1, channels]), variance.reshape([1, channels])], 0)
}

/// Where gradients are wanted, burn takes the statistics from `x` anew, in one operation that knows their gradient.
pub fn batch_norm(
    x: Tensor<4>,
    statistics: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    attributes: NormAttributes,
) -> Tensor<4> {
    let eps = f64::from(attributes.eps);
    let out = if x.device().is_autodiff() {
        module::batch_norm_train(x, gamma, beta, eps).output
    } else {
        let channels = x.dims()[1];
        let row = |n: usize| statistics.clone().slice(n..n + 1).reshape([channels]);
        module::batch_norm(x, gamma, beta, row(0), row(1), eps)
    };
    match attributes.relu6 {
        true => relu6(out),
        false => out,
    }
}

pub fn store(x: Tensor<4>, bias: Tensor<1>, step: Tensor<1>, storing: Storing) -> Tensor<4> {
    let (channels, zero_point) = (x.dims()[1], f32::from(storing.zero_point));
    let step = step.reshape([1, 1, 1, 1]);
    let inside =
        ((x + bias.reshape([1, channels, 1, 1])) / step.clone()).clamp(-zero_point, 255.0 - zero_point);
    let exact = inside.clone().detach();
    let stored = if storing.floors { (exact.clone() + FLOOR_MARGIN).floor() } else { exact.clone().round() };
    (inside + (stored - exact)) * step
}
