//! Depthwise convolution, one plane at a time.
//!
//! A plane is first laid out padded and split by column phase (`column mod stride`), so that each tap reads
//! consecutive values whatever the stride; then 16 columns of output are made at once, all taps in registers.

use std::mem::MaybeUninit;

use multiversion::multiversion;
use rayon::prelude::*;

use super::geometry::Geometry;
use super::spread::written;

const LANES: usize = 16;

pub fn forward(x: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    let (taps, plane) = (g.kernel * g.kernel, g.in_plane());
    written(
        g.batch * g.channels * g.out_plane(),
        g.out_plane(),
        || Padded::new(g),
        |padded, i, out| {
            padded.fill(&x[i * plane..][..plane], g);
            correlate(padded, &weight[i % g.channels * taps..][..taps], out, g);
        },
    )
}

pub fn grad_input(grad: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    if g.stride == 1 && g.pads.iter().all(|pad| *pad < g.kernel) {
        return forward(grad, &flipped(weight, g.kernel), &mirrored(g));
    }
    let (taps, plane) = (g.kernel * g.kernel, g.out_plane());
    written(
        g.batch * g.channels * g.in_plane(),
        g.in_plane(),
        || Padded::new(g),
        |padded, i, out| {
            spread(padded, &weight[i % g.channels * taps..][..taps], &grad[i * plane..][..plane], g);
            padded.drain(out, g);
        },
    )
}

pub fn grad_weight(grad: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    let taps = g.kernel * g.kernel;
    let columns = g.out_width().next_multiple_of(LANES);
    let mut out = vec![0.0; g.channels * taps];
    out.par_chunks_mut(taps).enumerate().for_each_init(
        || (Padded::new(g), vec![0.0; g.out_height() * columns]),
        |(padded, wide), (c, out)| {
            for image in 0..g.batch {
                let plane = image * g.channels + c;
                padded.fill(&x[plane * g.in_plane()..][..g.in_plane()], g);
                let grad = &grad[plane * g.out_plane()..][..g.out_plane()];
                for (wide, grad) in wide.chunks_exact_mut(columns).zip(grad.chunks_exact(g.out_width())) {
                    wide[..grad.len()].copy_from_slice(grad);
                }
                correlate_weight(padded, wide, out, g);
            }
        },
    );
    out
}

/// Each filter turned by 180 degrees.
fn flipped(weight: &[f32], kernel: usize) -> Vec<f32> {
    weight.chunks(kernel * kernel).flat_map(|taps| taps.iter().rev().copied()).collect()
}

/// The geometry that takes the gradient at the output back to the input, at stride 1.
fn mirrored(g: &Geometry) -> Geometry {
    let pads = g.pads.map(|pad| g.kernel - 1 - pad);
    Geometry { height: g.out_height(), width: g.out_width(), pads, ..*g }
}

/// One plane with its zeros around it, columns split by phase: `[phase][row][column]`.
struct Padded {
    data: Vec<f32>,
    rows: usize,
    /// Columns a phase, with room for a last, partly filled group of lanes.
    columns: usize,
}

impl Padded {
    fn new(g: &Geometry) -> Self {
        let rows = g.height + g.pads[0] + g.pads[2];
        let needed = g.out_width().next_multiple_of(LANES) + g.kernel;
        let columns = (g.width + g.pads[1] + g.pads[3]).div_ceil(g.stride).max(needed);
        Padded { data: vec![0.0; g.stride * rows * columns], rows, columns }
    }

    fn fill(&mut self, plane: &[f32], g: &Geometry) {
        for (y, source) in plane.chunks_exact(g.width).enumerate() {
            for phase in 0..g.stride {
                let (first, start) = self.place(y, phase, g);
                let data = &mut self.data[start..];
                match g.stride {
                    1 => data[..source.len()].copy_from_slice(source),
                    2 => data.iter_mut().zip(source[first..].chunks(2)).for_each(|(to, from)| *to = from[0]),
                    stride => {
                        let source = source[first..].iter().step_by(stride);
                        data.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    }

    fn drain(&self, plane: &mut [MaybeUninit<f32>], g: &Geometry) {
        for (y, target) in plane.chunks_exact_mut(g.width).enumerate() {
            for phase in 0..g.stride {
                let (first, start) = self.place(y, phase, g);
                let target = target.iter_mut().skip(first).step_by(g.stride);
                for (to, from) in target.zip(&self.data[start..]) {
                    to.write(*from);
                }
            }
        }
    }

    /// The first column of an image row that belongs to a phase, and where it lies.
    fn place(&self, y: usize, phase: usize, g: &Geometry) -> (usize, usize) {
        let first = (phase + g.stride - g.pads[1] % g.stride) % g.stride;
        let start = (phase * self.rows + y + g.pads[0]) * self.columns + (first + g.pads[1]) / g.stride;
        (first, start)
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn correlate(padded: &Padded, weight: &[f32], out: &mut [MaybeUninit<f32>], g: &Geometry) {
    match (g.kernel, g.stride) {
        (3, 1) => correlate_by::<3, 1>(padded, weight, out, g),
        (3, 2) => correlate_by::<3, 2>(padded, weight, out, g),
        (5, 1) => correlate_by::<5, 1>(padded, weight, out, g),
        (5, 2) => correlate_by::<5, 2>(padded, weight, out, g),
        (kernel, stride) => panic!("depthwise {kernel}×{kernel}, stride {stride}: 3 or 5, stride 1 or 2"),
    }
}

#[inline(always)]
fn correlate_by<const K: usize, const S: usize>(
    padded: &Padded,
    weight: &[f32],
    out: &mut [MaybeUninit<f32>],
    g: &Geometry,
) {
    for (oy, out) in out.chunks_exact_mut(g.out_width()).enumerate() {
        for (group, out) in out.chunks_mut(LANES).enumerate() {
            let mut sum = [0.0f32; LANES];
            for ky in 0..K {
                for kx in 0..K {
                    let row = (kx % S) * padded.rows + oy * S + ky;
                    let taps = &padded.data[row * padded.columns + group * LANES + kx / S..][..LANES];
                    for i in 0..LANES {
                        sum[i] = taps[i].mul_add(weight[ky * K + kx], sum[i]);
                    }
                }
            }
            for (out, sum) in out.iter_mut().zip(sum) {
                out.write(sum);
            }
        }
    }
}

/// `grad` has rows of whole groups of lanes, zeros at their ends.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn correlate_weight(padded: &Padded, grad: &[f32], out: &mut [f32], g: &Geometry) {
    match (g.kernel, g.stride) {
        (3, 1) => correlate_weight_by::<3, 1>(padded, grad, out, g),
        (3, 2) => correlate_weight_by::<3, 2>(padded, grad, out, g),
        (5, 1) => correlate_weight_by::<5, 1>(padded, grad, out, g),
        (5, 2) => correlate_weight_by::<5, 2>(padded, grad, out, g),
        (kernel, stride) => panic!("depthwise {kernel}×{kernel}, stride {stride}: 3 or 5, stride 1 or 2"),
    }
}

/// At most three taps at once: their sums stay in registers.
#[inline(always)]
fn correlate_weight_by<const K: usize, const S: usize>(
    padded: &Padded,
    grad: &[f32],
    out: &mut [f32],
    g: &Geometry,
) {
    for (ky, out) in out.chunks_exact_mut(K).enumerate() {
        correlate_taps::<S, 3>(padded, grad, &mut out[..3], g, [ky, 0]);
        if K == 5 {
            correlate_taps::<S, 2>(padded, grad, &mut out[3..], g, [ky, 3]);
        }
    }
}

/// The `N` taps from `[ky, kx]` on.
#[inline(always)]
fn correlate_taps<const S: usize, const N: usize>(
    padded: &Padded,
    grad: &[f32],
    out: &mut [f32],
    g: &Geometry,
    [ky, kx]: [usize; 2],
) {
    let columns = g.out_width().next_multiple_of(LANES);
    let mut sums = [[0.0f32; LANES]; N];
    for (oy, grad) in grad.chunks_exact(columns).enumerate() {
        let rows: [&[f32]; N] = std::array::from_fn(|tap| {
            let start = (((kx + tap) % S) * padded.rows + oy * S + ky) * padded.columns + (kx + tap) / S;
            &padded.data[start..][..columns]
        });
        for (group, grad) in grad.chunks_exact(LANES).enumerate() {
            for tap in 0..N {
                let taps = &rows[tap][group * LANES..][..LANES];
                for i in 0..LANES {
                    sums[tap][i] = taps[i].mul_add(grad[i], sums[tap][i]);
                }
            }
        }
    }
    out.iter_mut().zip(&sums).for_each(|(out, sum)| *out += sum.iter().sum::<f32>());
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn spread(padded: &mut Padded, weight: &[f32], grad: &[f32], g: &Geometry) {
    padded.data.fill(0.0);
    let (kernel, stride) = (g.kernel, g.stride);
    for (oy, grad) in grad.chunks_exact(g.out_width()).enumerate() {
        for ky in 0..kernel {
            for kx in 0..kernel {
                let row = (kx % stride) * padded.rows + oy * stride + ky;
                let target = &mut padded.data[row * padded.columns + kx / stride..][..grad.len()];
                let weight = weight[ky * kernel + kx];
                target.iter_mut().zip(grad).for_each(|(to, grad)| *to = grad.mul_add(weight, *to));
            }
        }
    }
}
