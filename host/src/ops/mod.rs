//! Training operations that burn composes slowly, as backend extensions for the CPU and for GPUs: convolution with
//! asymmetric padding, batch normalisation fused with its statistics' gradient and ReLU6, and fake quantisation.

mod autodiff;
#[cfg(feature = "gpu")]
mod cube;
mod flex;
pub(crate) mod kernels;

use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

pub use kernels::store::Storing;

/// Attributes of a convolution with a square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvAttributes {
    /// Pixels from one output to the next, along both axes.
    pub stride: usize,
    /// Zeros added at top, left, bottom, right.
    pub pads: [usize; 4],
    /// 1, or the number of channels for a depthwise convolution.
    pub groups: usize,
}

/// Attributes of a batch normalisation and the activation after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormAttributes {
    /// Added to the variance.
    pub eps: f32,
    /// Whether ReLU6 follows.
    pub relu6: bool,
}

/// Forward operations, differentiable on an autodiff device.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait TrainingOps: Backend {
    /// See [`conv2d`].
    fn conv2d_padded(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        attributes: ConvAttributes,
    ) -> FloatTensor<Self>;

    /// See [`batch_statistics`].
    fn batch_statistics(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`batch_norm`].
    fn batch_norm_act(
        x: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        attributes: NormAttributes,
    ) -> FloatTensor<Self>;

    /// See [`store`].
    fn store(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        step: FloatTensor<Self>,
        storing: Storing,
    ) -> FloatTensor<Self>;
}

/// What the backward passes call on the backend below autodiff.
pub trait TrainingGradients: TrainingOps {
    /// The gradient towards `x`; `grad` is that towards the output.
    fn conv2d_grad_input(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        attributes: ConvAttributes,
    ) -> FloatTensor<Self>;

    /// The gradient towards `weight`.
    fn conv2d_grad_weight(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        attributes: ConvAttributes,
    ) -> FloatTensor<Self>;

    /// Gradients towards `x`, `gamma`, `beta`.
    fn batch_norm_grad(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        attributes: NormAttributes,
    ) -> [FloatTensor<Self>; 3];

    /// Gradients towards `x`, `bias`, `step`.
    fn store_grad(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        step: FloatTensor<Self>,
        storing: Storing,
    ) -> [FloatTensor<Self>; 3];
}

/// `x [N, C, H, W] * weight [F, C / groups, k, k]` → `[N, F, H', W']`; `groups` is 1 or `C`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, attributes: ConvAttributes) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::conv2d_padded(x.into_dispatch(), weight.into_dispatch(), attributes))
}

/// `[2, C]`: each channel's mean and biased variance over the batch. Carries no gradient: [`batch_norm`] accounts
/// for it.
pub fn batch_statistics(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::batch_statistics(x.into_dispatch()))
}

/// `gamma · (x − mean) / √(variance + eps) + beta`, then ReLU6 if asked for. On an autodiff device `statistics` must be
/// those of `x`: the gradient takes them as functions of it.
pub fn batch_norm(
    x: Tensor<4>,
    statistics: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    attributes: NormAttributes,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::batch_norm_act(
        x.into_dispatch(),
        statistics.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        attributes,
    ))
}

/// What is left of `x + bias` once stored in u8, `bias [C]`, one `step`: fake quantisation, straight through within the
/// range.
pub fn store(x: Tensor<4>, bias: Tensor<1>, step: Tensor<1>, storing: Storing) -> Tensor<4> {
    let out = Dispatch::store(x.into_dispatch(), bias.into_dispatch(), step.into_dispatch(), storing);
    Tensor::from_dispatch(out)
}

/// As a difference: its gradient is 0 from 6 on, and clamp's mask is slow.
pub fn relu6<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    relu(x.clone()) - relu(x - 6.0)
}

#[cfg(test)]
mod tests;
