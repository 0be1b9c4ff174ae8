//! The reference: plain Rust that says what every other set of kernels must give. The element-wise functions are inlined
//! into the sets that compile them for wider vectors.

mod convolution;
mod depthwise;

use super::{Blend, Corners, Kernels};
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
    blend,
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
    let terms: Vec<f32> = inner.iter().map(|&stored| addition.inner[usize::from(stored)]).collect();
    for (outer, output) in outer.chunks(channels).zip(output.chunks_mut(channels)) {
        for ((output, &outer), &term) in output.iter_mut().zip(outer).zip(&terms) {
            *output = addition.apply(outer, term);
        }
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

#[inline(always)]
pub fn blend(corners: Corners<'_>, blend: &Blend, output: &mut [u8]) {
    let [a, b, c, d] = corners;
    let pixels = output.iter_mut().zip(a).zip(b).zip(c).zip(d);
    if blend.shift <= 8 {
        // The sums fit into 16 bits: twice as many a vector.
        let weights = blend.weights.map(|weight| weight as u16);
        for ((((output, &a), &b), &c), &d) in pixels {
            let sum = [a, b, c, d].map(u16::from);
            let sum = sum[0] * weights[0] + sum[1] * weights[1] + sum[2] * weights[2] + sum[3] * weights[3];
            *output = (sum >> blend.shift) as u8;
        }
    } else {
        let weights = blend.weights;
        for ((((output, &a), &b), &c), &d) in pixels {
            let sum = [a, b, c, d].map(u32::from);
            let sum = sum[0] * weights[0] + sum[1] * weights[1] + sum[2] * weights[2] + sum[3] * weights[3];
            *output = (sum >> blend.shift) as u8;
        }
    }
}
