//! 1×1 convolution as one matrix product an image.

use rayon::prelude::*;

use super::{Geometry, Operand, matmul, sum_over_batch};

pub fn forward(x: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    let plane = g.in_plane();
    let mut out = vec![0.0; g.batch * g.filters * plane];
    out.par_chunks_mut(g.filters * plane).zip(x.par_chunks(g.channels * plane)).for_each(|(out, x)| {
        matmul(out, Operand::Plain(weight), Operand::Plain(x), [g.filters, plane, g.channels], false)
    });
    out
}

pub fn grad_input(grad: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    let plane = g.in_plane();
    let mut out = vec![0.0; g.batch * g.channels * plane];
    out.par_chunks_mut(g.channels * plane).zip(grad.par_chunks(g.filters * plane)).for_each(|(out, grad)| {
        matmul(out, Operand::Transposed(weight), Operand::Plain(grad), [g.channels, plane, g.filters], false)
    });
    out
}

pub fn grad_weight(grad: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    let plane = g.in_plane();
    sum_over_batch(g.batch, g.filters * g.channels, |image, sum| {
        let grad = &grad[image * g.filters * plane..][..g.filters * plane];
        let x = &x[image * g.channels * plane..][..g.channels * plane];
        matmul(sum, Operand::Plain(grad), Operand::Transposed(x), [g.filters, g.channels, plane], true)
    })
}
