//! Dense k×k convolution: the image's columns gathered, then one matrix product. `groups` must be 1.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::products::{Operand, matmul, matmul_new};
use super::spread::{sum_over_batch, written};

pub fn forward(x: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    assert_eq!(g.groups, 1, "grouped convolution that is not depthwise");
    let (inputs, outputs, rows) = (g.channels * g.in_plane(), g.filters * g.out_plane(), rows(g));
    let columns = || vec![0.0; rows * g.out_plane()];
    written(g.batch * outputs, outputs, columns, |columns, image, out| {
        gather(&x[image * inputs..][..inputs], columns, g);
        matmul_new(out, Operand::Plain(weight), Operand::Plain(columns), [g.filters, g.out_plane(), rows])
    })
}

pub fn grad_input(grad: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    let (inputs, outputs, rows) = (g.channels * g.in_plane(), g.filters * g.out_plane(), rows(g));
    let mut out = vec![0.0; g.batch * inputs];
    out.par_chunks_mut(inputs).zip(grad.par_chunks(outputs)).for_each_init(
        || vec![0.0; rows * g.out_plane()],
        |columns, (out, grad)| {
            matmul(
                columns,
                Operand::Transposed(weight),
                Operand::Plain(grad),
                [rows, g.out_plane(), g.filters],
                false,
            );
            scatter(columns, out, g);
        },
    );
    out
}

pub fn grad_weight(grad: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    let (inputs, outputs, rows) = (g.channels * g.in_plane(), g.filters * g.out_plane(), rows(g));
    let columns = || vec![0.0; rows * g.out_plane()];
    sum_over_batch(g.batch, g.filters * rows, columns, |columns, image, sum| {
        gather(&x[image * inputs..][..inputs], columns, g);
        let grad = &grad[image * outputs..][..outputs];
        matmul(
            sum,
            Operand::Plain(grad),
            Operand::Transposed(columns),
            [g.filters, rows, g.out_plane()],
            true,
        );
    })
}

fn rows(g: &Geometry) -> usize {
    g.channels * g.kernel * g.kernel
}

/// Calls `f(row, output start, input start, run)` for every run of taps inside the image.
fn taps(g: &Geometry, mut f: impl FnMut(usize, usize, usize, usize)) {
    let (height, width) = (g.out_height(), g.out_width());
    for row in 0..rows(g) {
        let (c, ky, kx) = (row / (g.kernel * g.kernel), row / g.kernel % g.kernel, row % g.kernel);
        for oy in 0..height {
            let iy = oy * g.stride + ky;
            if iy < g.pads[0] || iy >= g.pads[0] + g.height {
                continue;
            }
            let first = g.pads[1].saturating_sub(kx).div_ceil(g.stride);
            let end = (g.pads[1] + g.width).saturating_sub(kx).div_ceil(g.stride).min(width);
            if first >= end {
                continue;
            }
            let input = c * g.in_plane() + (iy - g.pads[0]) * g.width + first * g.stride + kx - g.pads[1];
            f(row, oy * width + first, input, end - first);
        }
    }
}

/// `columns` are zero where taps fall outside the image, and are left so: they serve image after image.
fn gather(x: &[f32], columns: &mut [f32], g: &Geometry) {
    taps(g, |row, output, input, run| {
        let columns = &mut columns[row * g.out_plane() + output..][..run];
        columns.iter_mut().zip(x[input..].iter().step_by(g.stride)).for_each(|(column, x)| *column = *x);
    });
}

fn scatter(columns: &[f32], out: &mut [f32], g: &Geometry) {
    taps(g, |row, output, input, run| {
        let columns = &columns[row * g.out_plane() + output..][..run];
        columns
            .iter()
            .zip(out[input..].iter_mut().step_by(g.stride))
            .for_each(|(column, out)| *out += column);
    });
}
