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

/// Runs `$wide` with the constant `$count` for numbers of channels that networks have, so that the compiler knows how long
/// its loops are; else `$any`.
macro_rules! for_channels {
    ($channels:expr, $count:ident => $wide:expr, $any:expr) => {
        for_channels!($channels, $count => $wide, $any, 8 16 24 32 40 48 56 64 80 96 112 128)
    };
    ($channels:expr, $count:ident => $wide:expr, $any:expr, $($known:literal)*) => {
        match $channels {
            $($known => {
                const $count: usize = $known;
                $wide
            })*
            _ => $any,
        }
    };
}

#[inline(always)]
pub fn maximum_columns(windows: &Windows, row: &[u8], output: &mut [u8], stride: usize) {
    for_channels!(
        windows.channels,
        C => columns_maximum(windows, row, output, stride, |pixel, input| {
            match (pixel.first_chunk_mut::<C>(), input.and_then(|input| input.first_chunk::<C>())) {
                (Some(pixel), Some(input)) => maximum(input, pixel),
                (Some(pixel), None) => *pixel = [0; C],
                (None, _) => {}
            }
        }),
        columns_maximum(windows, row, output, stride, |pixel, input| match input {
            Some(input) => maximum(input, pixel),
            None => pixel.fill(0),
        })
    );
}

/// `update(pixel, input)` takes the highest of both; without an input it begins.
#[inline(always)]
fn columns_maximum(
    windows: &Windows,
    row: &[u8],
    output: &mut [u8],
    stride: usize,
    update: impl Fn(&mut [u8], Option<&[u8]>),
) {
    let channels = windows.channels;
    for (x, pixel) in output.chunks_mut(stride.max(1)).take(windows.output).enumerate() {
        let pixel = &mut pixel[..channels];
        update(pixel, None);
        for tap in 0..windows.kernel {
            let column = (x * windows.stride + tap * windows.dilation).wrapping_sub(windows.padding);
            if column < windows.input {
                update(pixel, Some(&row[column * channels..][..channels]));
            }
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
    for_channels!(
        blends.channels,
        C => columns_blend(blends, row, output, stride, |left, right, weights, pixel| {
            let sides = (left.first_chunk::<C>(), right.first_chunk::<C>(), pixel.first_chunk_mut::<C>());
            if let (Some(left), Some(right), Some(pixel)) = sides {
                blend_pixel(left, right, weights, blends.shift, pixel);
            }
        }),
        columns_blend(blends, row, output, stride, |left, right, weights, pixel| {
            blend_pixel(left, right, weights, blends.shift, pixel);
        })
    );
}

#[inline(always)]
fn columns_blend(
    blends: &Blends<'_>,
    row: &[u16],
    output: &mut [u8],
    stride: usize,
    blend: impl Fn(&[u16], &[u16], [u16; 2], &mut [u8]),
) {
    let channels = blends.channels;
    for (pixel, &(left, right, weight)) in output.chunks_mut(stride.max(1)).zip(blends.pairs) {
        let left = &row[left as usize * channels..][..channels];
        let right = &row[right as usize * channels..][..channels];
        blend(left, right, [blends.one - weight, weight], &mut pixel[..channels]);
    }
}

#[inline(always)]
fn blend_pixel(left: &[u16], right: &[u16], weights: [u16; 2], shift: u32, pixel: &mut [u8]) {
    for ((pixel, &left), &right) in pixel.iter_mut().zip(left).zip(right) {
        let sum = left.wrapping_mul(weights[0]).wrapping_add(right.wrapping_mul(weights[1]));
        *pixel = (sum >> shift) as u8;
    }
}

/// Copies a row's pixels to where they begin `stride` bytes apart.
pub fn scatter(channels: usize, row: &[u8], output: &mut [u8], stride: usize) {
    let pixels = row.chunks_exact(channels.max(1)).zip(output.chunks_mut(stride.max(1)));
    for_channels!(
        channels,
        C => pixels.for_each(|(from, to)| {
            if let (Some(from), Some(to)) = (from.first_chunk::<C>(), to.first_chunk_mut::<C>()) {
                *to = *from;
            }
        }),
        pixels.for_each(|(from, to)| to[..channels].copy_from_slice(from))
    );
}
