//! Which way a convolution goes: 1×1 as a product of matrices, depthwise by [`super::depthwise`], any other with burn's
//! direct kernels, its weights' gradient as a product for each tap.

use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::tensor::Slice;
use burn::tensor::ops::ConvOptions;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::conv::{ConvStrategy, conv_forward};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::zeros;
use burn_cubecl::tensor::CubeTensor;

use super::depthwise;
use super::tensors::dims;
use crate::ops::ConvAttributes;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Pointwise,
    Depthwise,
    Direct,
}

fn way(weight: &CubeTensor, a: ConvAttributes) -> Way {
    let [filters, inputs, kernel, _] = dims(weight);
    if kernel == 1 && a.stride == 1 && a.pads == [0; 4] && a.groups == 1 {
        Way::Pointwise
    } else if inputs == 1 && a.groups == filters && filters > 1 {
        Way::Depthwise
    } else {
        Way::Direct
    }
}

pub fn forward(x: CubeTensor, weight: CubeTensor, a: ConvAttributes) -> CubeTensor {
    match way(&weight, a) {
        Way::Pointwise => pointwise(weight_matrix(weight), x),
        Way::Depthwise => depthwise::forward(x, weight, a),
        Way::Direct => {
            let options = ConvOptions::new([a.stride; 2], [0, 0], [1, 1], a.groups);
            conv_forward(padded(x, a), weight, None, options, ConvStrategy::Direct)
                .expect("the direct convolution takes any shape")
        }
    }
}

/// Of `x` only its shape counts.
pub fn grad_input(grad: CubeTensor, x: CubeTensor, weight: CubeTensor, a: ConvAttributes) -> CubeTensor {
    match way(&weight, a) {
        Way::Pointwise => pointwise(CubeBackend::float_swap_dims(weight_matrix(weight), 1, 2), grad),
        Way::Depthwise => depthwise::grad_input(grad, &x, weight, a),
        Way::Direct => {
            let place = inside(&x, a);
            let options = ConvOptions::new([a.stride; 2], [0, 0], [1, 1], a.groups);
            let dx = CubeBackend::conv2d_x_backward(padded(x, a), weight, grad, options);
            CubeBackend::float_slice(dx, &place)
        }
    }
}

/// Of `weight` only its shape counts.
pub fn grad_weight(grad: CubeTensor, x: CubeTensor, weight: CubeTensor, a: ConvAttributes) -> CubeTensor {
    let shape: [usize; 4] = dims(&weight);
    match way(&weight, a) {
        Way::Pointwise => CubeBackend::float_reshape(correlation(grad, x), shape.into()),
        Way::Depthwise => depthwise::grad_weight(grad, x, shape[2], a),
        Way::Direct if a.groups == 1 => by_taps(grad, padded(x, a), shape, a.stride),
        Way::Direct => {
            let options = ConvOptions::new([a.stride; 2], [0, 0], [1, 1], a.groups);
            CubeBackend::conv2d_weight_backward(padded(x, a), weight, grad, options)
        }
    }
}

/// `[F, C, 1, 1]` → `[1, F, C]`.
fn weight_matrix(weight: CubeTensor) -> CubeTensor {
    let [filters, inputs, ..]: [usize; 4] = dims(&weight);
    CubeBackend::float_reshape(weight, [1, filters, inputs].into())
}

/// `[N, C, H, W]` → `[N, C, H·W]`.
fn planes(x: CubeTensor) -> CubeTensor {
    let [batch, channels, height, width] = dims(&x);
    CubeBackend::float_reshape(x, [batch, channels, height * width].into())
}

/// `matrix [1, F, C] · x [N, C, H, W]` → `[N, F, H, W]`.
fn pointwise(matrix: CubeTensor, x: CubeTensor) -> CubeTensor {
    let [batch, _, height, width]: [usize; 4] = dims(&x);
    let [_, filters, _]: [usize; 3] = dims(&matrix);
    let out = CubeBackend::float_matmul(matrix, planes(x));
    CubeBackend::float_reshape(out, [batch, filters, height, width].into())
}

/// `[F, C]`: over all images and pixels, `grad [N, F, H, W]` times `x [N, C, H, W]`.
fn correlation(grad: CubeTensor, x: CubeTensor) -> CubeTensor {
    let ([_, filters, ..], [_, channels, ..]): ([usize; 4], [usize; 4]) = (dims(&grad), dims(&x));
    let turned = CubeBackend::float_swap_dims(planes(x), 1, 2);
    let each = CubeBackend::float_matmul(planes(grad), turned);
    CubeBackend::float_reshape(CubeBackend::float_sum_dim(each, 0), [filters, channels].into())
}

fn by_taps(
    grad: CubeTensor,
    x: CubeTensor,
    [filters, channels, kernel, _]: [usize; 4],
    stride: usize,
) -> CubeTensor {
    let [batch, _, height, width]: [usize; 4] = dims(&grad);
    let from = |first: usize, count: usize| {
        Slice::with_step(first as isize, Some((first + (count - 1) * stride + 1) as isize), stride as isize)
    };
    let taps = (0..kernel * kernel).map(|tap| {
        let place = [
            Slice::from(0..batch),
            Slice::from(0..channels),
            from(tap / kernel, height),
            from(tap % kernel, width),
        ];
        let seen = into_contiguous(CubeBackend::float_slice(x.clone(), &place));
        CubeBackend::float_reshape(correlation(grad.clone(), seen), [filters, channels, 1].into())
    });
    let gradient = CubeBackend::float_cat(taps.collect(), 2);
    CubeBackend::float_reshape(gradient, [filters, channels, kernel, kernel].into())
}

/// Where `x` lies within itself padded.
fn inside(x: &CubeTensor, a: ConvAttributes) -> [Slice; 4] {
    let [batch, channels, height, width]: [usize; 4] = dims(x);
    let [top, left, ..] = a.pads;
    [
        Slice::from(0..batch),
        Slice::from(0..channels),
        Slice::from(top..top + height),
        Slice::from(left..left + width),
    ]
}

fn padded(x: CubeTensor, a: ConvAttributes) -> CubeTensor {
    if a.pads == [0; 4] {
        return x;
    }
    let [batch, channels, height, width]: [usize; 4] = dims(&x);
    let [top, left, bottom, right] = a.pads;
    let shape = [batch, channels, height + top + bottom, width + left + right];
    let whole = zeros(x.device.clone(), shape.into(), x.dtype);
    let place = inside(&x, a);
    CubeBackend::float_slice_assign(whole, &place, x)
}
