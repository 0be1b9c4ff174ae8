//! The reference: plain Rust that says what every other set of kernels must give. The element-wise functions are inlined
//! into the sets that compile them for wider vectors.

mod convolution;
mod depthwise;

use super::{Blends, Kernels, Windows};
use crate::engine::quantise::{Addition, Product};

pub static KERNELS: Kernels = Kernels {
    name: "scalar",
    convolution: convolution::pack,
    depthwise: depthwise::pack,
    add,
    add_channels,
    multiply,
    multiply_channels,
    lookup,
    sum_channels,
    maximum,
    maximum_columns,
    blend_rows,
    blend_columns,
};

#[inline(always)]
pub fn add(addition: &Addition, outer: &[u8], inner: &[u8], output: &mut [u8]) {
    // In blocks: first the table, then arithmetic that the compiler can put into vectors.
    const BLOCK: usize = 64;
    let mut terms = [0f32; BLOCK];
    for ((outer, inner), output) in outer.chunks(BLOCK).zip(inner.chunks(BLOCK)).zip(output.chunks_mut(BLOCK))
    {
        for (term, &stored) in terms.iter_mut().zip(inner) {
            *term = addition.inner[usize::from(stored)];
        }
        for ((output, &outer), &term) in output.iter_mut().zip(outer).zip(&terms) {
            *output = addition.apply(outer, term);
        }
    }
}

#[inline(always)]
pub fn add_channels(addition: &Addition, outer: &[u8], inner: &[u8], output: &mut [u8]) {
    let channels = inner.len().max(1);
    for (outer, output) in outer.chunks(channels).zip(output.chunks_mut(channels)) {
        add(addition, outer, inner, output);
    }
}

/// [`add`] for CPUs that have a fused multiply-add.
#[inline(always)]
pub fn add_fused(addition: &Addition, outer: &[u8], inner: &[u8], output: &mut [u8]) {
    for ((output, &outer), &inner) in output.iter_mut().zip(outer).zip(inner) {
        *output = addition.apply_fused(outer, inner);
    }
}

/// [`add_channels`] for CPUs that have a fused multiply-add.
#[inline(always)]
pub fn add_channels_fused(addition: &Addition, outer: &[u8], inner: &[u8], output: &mut [u8]) {
    let channels = inner.len().max(1);
    for (outer, output) in outer.chunks(channels).zip(output.chunks_mut(channels)) {
        add_fused(addition, outer, inner, output);
    }
}

#[inline(always)]
pub fn multiply(product: &Product, a: &[u8], b: &[u8], output: &mut [u8]) {
    for ((output, &a), &b) in output.iter_mut().zip(a).zip(b) {
        *output = product.apply(a, b);
    }
}

#[inline(always)]
pub fn multiply_channels(product: &Product, a: &[u8], b: &[u8], output: &mut [u8]) {
    let channels = b.len().max(1);
    for (a, output) in a.chunks(channels).zip(output.chunks_mut(channels)) {
        multiply(product, a, b, output);
    }
}

#[inline(always)]
pub fn lookup(table: &[u8; 256], input: &[u8], output: &mut [u8]) {
    for (output, &stored) in output.iter_mut().zip(input) {
        *output = table[usize::from(stored)];
    }
}

#[inline(always)]
pub fn sum_channels(input: &[u8], sums: &mut [i32]) {
    for pixel in input.chunks_exact(sums.len().max(1)) {
        for (sum, &stored) in sums.iter_mut().zip(pixel) {
            *sum += i32::from(stored);
        }
    }
}

#[inline(always)]
pub fn maximum(input: &[u8], output: &mut [u8]) {
    for (output, &stored) in output.iter_mut().zip(input) {
        *output = (*output).max(stored);
    }
}

/// Channels that are handled together, so that the compiler knows how many there are.
const CHUNK: usize = 8;

#[inline(always)]
pub fn maximum_columns(windows: &Windows, row: &[u8], output: &mut [u8], stride: usize) {
    let channels = windows.channels;
    for (x, pixel) in output.chunks_mut(stride.max(1)).take(windows.output).enumerate() {
        let pixel = &mut pixel[..channels];
        pixel.fill(0);
        for tap in 0..windows.kernel {
            let column = (x * windows.stride + tap * windows.dilation).wrapping_sub(windows.padding);
            if column >= windows.input {
                continue;
            }
            let input = &row[column * channels..][..channels];
            let (chunks, rest) = pixel.as_chunks_mut::<CHUNK>();
            let (input, input_rest) = input.as_chunks::<CHUNK>();
            for (pixel, input) in chunks.iter_mut().zip(input) {
                *pixel = std::array::from_fn(|index| pixel[index].max(input[index]));
            }
            maximum(input_rest, rest);
        }
    }
}

#[inline(always)]
pub fn blend_rows(above: &[u8], below: &[u8], weights: [u16; 2], output: &mut [u16]) {
    for ((output, &above), &below) in output.iter_mut().zip(above).zip(below) {
        *output =
            u16::from(above).wrapping_mul(weights[0]).wrapping_add(u16::from(below).wrapping_mul(weights[1]));
    }
}

#[inline(always)]
pub fn blend_columns(blends: &Blends<'_>, row: &[u16], output: &mut [u8], stride: usize) {
    let channels = blends.channels;
    for (pixel, &(left, right, weight)) in output.chunks_mut(stride.max(1)).zip(blends.pairs) {
        let weights = [blends.one - weight, weight];
        let pixel = &mut pixel[..channels];
        let left = &row[left as usize * channels..][..channels];
        let right = &row[right as usize * channels..][..channels];
        let blend = |left: u16, right: u16| {
            (left.wrapping_mul(weights[0]).wrapping_add(right.wrapping_mul(weights[1])) >> blends.shift) as u8
        };
        let (chunks, rest) = pixel.as_chunks_mut::<CHUNK>();
        let ((left, left_rest), (right, right_rest)) =
            (left.as_chunks::<CHUNK>(), right.as_chunks::<CHUNK>());
        for ((pixel, left), right) in chunks.iter_mut().zip(left).zip(right) {
            *pixel = std::array::from_fn(|index| blend(left[index], right[index]));
        }
        for ((pixel, &left), &right) in rest.iter_mut().zip(left_rest).zip(right_rest) {
            *pixel = blend(left, right);
        }
    }
}
