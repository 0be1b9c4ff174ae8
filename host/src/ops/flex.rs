//! The training operations on burn's CPU backend.

use burn::backend::Flex;
use burn::tensor::TensorData;
use burn_flex::FlexTensor;

use crate::ops::kernels::batch_norm::Extent;
use crate::ops::kernels::{self, Geometry};
use crate::ops::{ConvAttributes, NormAttributes, Storing, TrainingGradients, TrainingOps};

fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() { tensor } else { tensor.to_contiguous() }
}

fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("made contiguous f32 before")
}

fn tensor(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

fn dims(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

fn geometry(x: &FlexTensor, weight: &FlexTensor, a: ConvAttributes) -> Geometry {
    let [batch, channels, height, width] = dims(x);
    let [filters, _, kernel, _] = dims(weight);
    Geometry {
        batch,
        channels,
        filters,
        height,
        width,
        kernel,
        stride: a.stride,
        pads: a.pads,
        groups: a.groups,
    }
}

fn extent(x: &FlexTensor) -> Extent {
    let [batch, channels, height, width] = dims(x);
    Extent { batch, channels, plane: height * width }
}

impl TrainingOps for Flex {
    fn conv2d_padded(x: FlexTensor, weight: FlexTensor, attributes: ConvAttributes) -> FlexTensor {
        let (x, weight) = (contiguous(x), contiguous(weight));
        let g = geometry(&x, &weight, attributes);
        let out = kernels::conv2d(values(&x), values(&weight), &g);
        tensor(out, [g.batch, g.filters, g.out_height(), g.out_width()])
    }

    fn batch_statistics(x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let e = extent(&x);
        tensor(kernels::batch_norm::statistics(values(&x), e), [2, e.channels])
    }

    fn batch_norm_act(
        x: FlexTensor,
        statistics: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        a: NormAttributes,
    ) -> FlexTensor {
        let [x, statistics, gamma, beta] = [x, statistics, gamma, beta].map(contiguous);
        let out = kernels::batch_norm::forward(
            values(&x),
            values(&statistics),
            values(&gamma),
            values(&beta),
            a.eps,
            a.relu6,
            extent(&x),
        );
        tensor(out, dims(&x))
    }

    fn store(x: FlexTensor, bias: FlexTensor, step: FlexTensor, storing: Storing) -> FlexTensor {
        let [x, bias, step] = [x, bias, step].map(contiguous);
        let out = kernels::store::forward(values(&x), values(&bias), values(&step)[0], storing, extent(&x));
        tensor(out, dims(&x))
    }
}

impl TrainingGradients for Flex {
    fn conv2d_grad_input(
        grad: FlexTensor,
        x: FlexTensor,
        weight: FlexTensor,
        attributes: ConvAttributes,
    ) -> FlexTensor {
        let (grad, weight) = (contiguous(grad), contiguous(weight));
        let g = geometry(&x, &weight, attributes);
        tensor(kernels::conv2d_grad_input(values(&grad), values(&weight), &g), dims(&x))
    }

    fn conv2d_grad_weight(
        grad: FlexTensor,
        x: FlexTensor,
        weight: FlexTensor,
        attributes: ConvAttributes,
    ) -> FlexTensor {
        let (grad, x) = (contiguous(grad), contiguous(x));
        let g = geometry(&x, &weight, attributes);
        tensor(kernels::conv2d_grad_weight(values(&grad), values(&x), &g), dims(&weight))
    }

    fn batch_norm_grad(
        grad: FlexTensor,
        x: FlexTensor,
        statistics: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        a: NormAttributes,
    ) -> [FlexTensor; 3] {
        let [grad, x, statistics, gamma, beta] = [grad, x, statistics, gamma, beta].map(contiguous);
        let e = extent(&x);
        let (dx, dgamma, dbeta) = kernels::batch_norm::backward(
            values(&x),
            values(&statistics),
            values(&gamma),
            values(&beta),
            values(&grad),
            a.eps,
            a.relu6,
            e,
        );
        [tensor(dx, dims(&x)), tensor(dgamma, [e.channels]), tensor(dbeta, [e.channels])]
    }

    fn store_grad(
        grad: FlexTensor,
        x: FlexTensor,
        bias: FlexTensor,
        step: FlexTensor,
        storing: Storing,
    ) -> [FlexTensor; 3] {
        let [grad, x, bias, step] = [grad, x, bias, step].map(contiguous);
        let e = extent(&x);
        let (dx, dbias, dstep) =
            kernels::store::backward(values(&x), values(&bias), values(&step)[0], values(&grad), storing, e);
        [tensor(dx, dims(&x)), tensor(dbias, [e.channels]), tensor(vec![dstep], [1])]
    }
}
