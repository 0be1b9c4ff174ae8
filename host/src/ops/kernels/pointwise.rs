//! 1×1 convolution as one matrix product an image.

use super::geometry::Geometry;
use super::products::{Operand, matmul, matmul_new};
use super::spread::{sum_over_batch, written};

pub fn forward(x: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    let (plane, inputs) = (g.in_plane(), g.channels * g.in_plane());
    written(
        g.batch * g.filters * plane,
        g.filters * plane,
        || (),
        |_, image, out| {
            let x = Operand::Plain(&x[image * inputs..][..inputs]);
            matmul_new(out, Operand::Plain(weight), x, [g.filters, plane, g.channels])
        },
    )
}

pub fn grad_input(grad: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    let (plane, outputs) = (g.in_plane(), g.filters * g.in_plane());
    written(
        g.batch * g.channels * plane,
        g.channels * plane,
        || (),
        |_, image, out| {
            let grad = Operand::Plain(&grad[image * outputs..][..outputs]);
            matmul_new(out, Operand::Transposed(weight), grad, [g.channels, plane, g.filters])
        },
    )
}

pub fn grad_weight(grad: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    let plane = g.in_plane();
    sum_over_batch(
        g.batch,
        g.filters * g.channels,
        || (),
        |_, image, sum| {
            let grad = &grad[image * g.filters * plane..][..g.filters * plane];
            let x = &x[image * g.channels * plane..][..g.channels * plane];
            matmul(sum, Operand::Plain(grad), Operand::Transposed(x), [g.filters, g.channels, plane], true)
        },
    )
}
