//! The loops of dense and depthwise convolution, for any [`Vector`].

use std::marker::PhantomData;

use super::vectors::Vector;
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Target};
use crate::engine::kernels::packed::{DenseSet, Packed, Patches};
use crate::engine::kernels::rows::Line;

/// What is done with some adjacent pixels.
trait Tile {
    /// `P` pixels from `pixel` on.
    ///
    /// # Safety
    /// As [`Vector`]'s.
    unsafe fn run<const P: usize>(&mut self, pixel: usize);
}

/// Runs a tile for all of `count` pixels, `MOST` at a time, then 4 or 1. A last tile begins earlier, so that it is full: some
/// pixels are computed twice.
#[inline(always)]
unsafe fn cover<const MOST: usize>(count: usize, mut tile: impl Tile) {
    let mut pixel = 0;
    while pixel < count {
        // SAFETY: the caller's.
        pixel = unsafe {
            if count >= MOST && count - pixel > 4 {
                let start = pixel.min(count - MOST);
                tile.run::<MOST>(start);
                start + MOST
            } else if count >= 4 {
                let start = pixel.min(count - 4);
                tile.run::<4>(start);
                start + 4
            } else {
                tile.run::<1>(pixel);
                pixel + 1
            }
        };
    }
}

/// [`ByRows::multiply`](crate::engine::kernels::dense::ByRows) with tiles of `P1`, `P2` or `P3` pixels for 1, 2 or 3 blocks at a time.
///
/// # Safety
/// As [`Vector`]'s.
#[inline(always)]
pub unsafe fn dense<S: DenseSet, V: Vector, const P1: usize, const P2: usize, const P3: usize>(
    packed: &Packed<S>,
    patches: &Patches<'_>,
    output: &mut [u8],
    stride: usize,
) {
    patches.check();
    let blocks = packed.blocks();
    let most = if P3 > 0 { 3 } else { 2 };
    let passes = blocks.div_ceil(most);
    for pass in 0..passes {
        let range = pass * blocks / passes..(pass + 1) * blocks / passes;
        // SAFETY: the caller's.
        unsafe {
            match range.len() {
                3.. if P3 > 0 => pixels::<S, V, P3, 3>(packed, range.start, patches, output, stride),
                2.. => pixels::<S, V, P2, 2>(packed, range.start, patches, output, stride),
                _ => pixels::<S, V, P1, 1>(packed, range.start, patches, output, stride),
            }
        }
    }
}

/// [`DenseSet::multiply`], likewise.
///
/// # Safety
/// As [`Vector`]'s.
#[inline(always)]
pub unsafe fn gathered<S: DenseSet, V: Vector, const P1: usize, const P2: usize, const P3: usize>(
    packed: &Packed<S>,
    patches: &[u8],
    output: &mut [u8],
    stride: usize,
) {
    let patch = packed.depth * size_of::<S::Value>();
    let patches = Patches { rows: &[patches], row: patch, step: patch, count: patches.len() / patch };
    // SAFETY: the caller's.
    unsafe { dense::<S, V, P1, P2, P3>(packed, &patches, output, stride) }
}

/// [`ByRows::sum`](crate::engine::kernels::dense::ByRows) with tiles of `P1` or `P2` pixels for 1 or 2 blocks at a time.
///
/// # Safety
/// As [`Vector`]'s.
#[inline(always)]
pub unsafe fn sums<S: DenseSet, V: Vector, const P1: usize, const P2: usize>(
    packed: &Packed<S>,
    patches: &Patches<'_>,
    sums: &mut [i32],
) {
    patches.check();
    let blocks = packed.blocks();
    let step = blocks * V::LANES;
    assert!(sums.len() >= patches.count * step);
    let mut first = 0;
    while first < blocks {
        let to = sums.as_mut_ptr();
        // SAFETY: the caller's; `sums` has `step` values a pixel.
        first += unsafe {
            if blocks - first >= 2 {
                cover::<P2>(
                    patches.count,
                    Summed::<S, V, 2> { packed, first, patches, to, step, vector: PhantomData },
                );
                2
            } else {
                cover::<P1>(
                    patches.count,
                    Summed::<S, V, 1> { packed, first, patches, to, step, vector: PhantomData },
                );
                1
            }
        };
    }
}

/// Writes the sums of `B` blocks from `first` on, where [`sums`] found room.
struct Summed<'a, S, V, const B: usize> {
    packed: &'a Packed<S>,
    first: usize,
    patches: &'a Patches<'a>,
    to: *mut i32,
    step: usize,
    vector: PhantomData<V>,
}

impl<S: DenseSet, V: Vector, const B: usize> Tile for Summed<'_, S, V, B> {
    #[inline(always)]
    unsafe fn run<const P: usize>(&mut self, pixel: usize) {
        // SAFETY: the caller's.
        unsafe {
            let sums = accumulate::<S, V, P, B>(self.packed, self.first, pixel, self.patches);
            for (index, sums) in sums.into_iter().enumerate() {
                let to = self.to.add((pixel + index) * self.step + self.first * V::LANES);
                for (block, sum) in sums.into_iter().enumerate() {
                    sum.store_sums(to.add(block * V::LANES));
                }
            }
        }
    }
}

/// `B` blocks of output channels from `first` on, of all pixels.
#[inline(always)]
unsafe fn pixels<S: DenseSet, V: Vector, const MOST: usize, const B: usize>(
    packed: &Packed<S>,
    first: usize,
    patches: &Patches<'_>,
    output: &mut [u8],
    stride: usize,
) {
    let tile = Stored::<S, V, B> { packed, first, patches, output, stride, vector: PhantomData };
    // SAFETY: the caller's.
    unsafe { cover::<MOST>(patches.count, tile) }
}

/// Writes the outputs of `B` blocks from `first` on.
struct Stored<'a, S, V, const B: usize> {
    packed: &'a Packed<S>,
    first: usize,
    patches: &'a Patches<'a>,
    output: &'a mut [u8],
    stride: usize,
    vector: PhantomData<V>,
}

impl<S: DenseSet, V: Vector, const B: usize> Tile for Stored<'_, S, V, B> {
    #[inline(always)]
    unsafe fn run<const P: usize>(&mut self, pixel: usize) {
        let (packed, channel) = (self.packed, self.first * V::LANES);
        let factors = &packed.factors[channel..][..B * V::LANES];
        assert!(
            self.output.len() >= (pixel + P - 1) * self.stride + packed.outputs && channel < packed.outputs
        );
        let last = packed.outputs - channel - (B - 1) * V::LANES;
        // SAFETY: the caller's; pixel < P and block < B, `factors` has B × LANES values and `output` all channels of the
        // tile's pixels.
        unsafe {
            let output = self.output.as_mut_ptr().add(pixel * self.stride + channel);
            let sums = accumulate::<S, V, P, B>(packed, self.first, pixel, self.patches);
            // A copy, so that only it lies in memory if the compiler does not unroll what follows.
            let done = std::hint::black_box(sums);
            for (index, sums) in done.iter().enumerate() {
                let output = output.add(index * self.stride);
                for (block, sum) in sums.iter().enumerate() {
                    let count = if block + 1 == B { last.min(V::LANES) } else { V::LANES };
                    let factors = factors.as_ptr().add(block * V::LANES);
                    sum.store(factors, &packed.requantise, output.add(block * V::LANES), count);
                }
            }
        }
    }
}

/// The sums of `P` pixels from `pixel` on, of checked patches.
#[inline(always)]
unsafe fn accumulate<S: DenseSet, V: Vector, const P: usize, const B: usize>(
    packed: &Packed<S>,
    first: usize,
    pixel: usize,
    patches: &Patches<'_>,
) -> [[V; B]; P] {
    let line = V::LANES * 4;
    // Dot products of a sum, and of a patch's row.
    let steps = packed.depth / S::UNIT;
    let row_steps = patches.row / 4;
    assert!(row_steps * patches.rows.len() == steps && pixel + P <= patches.count);
    let weights = first * steps * line;
    assert!(packed.weights.len() * 64 >= weights + B * steps * line);
    let start = &packed.start[first * V::LANES..][..B * V::LANES];
    // SAFETY: pixel < P, block < B and step < steps; the patches' rows were found to have all pixels, `weights`
    // has B × steps × line bytes, `start` has B × LANES values.
    unsafe {
        let mut weights = packed.weights.as_ptr().cast::<u8>().add(weights);
        let mut sums = [[V::load(start.as_ptr().cast()); B]; P];
        for sums in &mut sums {
            for (block, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(start.as_ptr().add(block * V::LANES).cast());
            }
        }
        for row in patches.rows {
            let mut values = row.as_ptr().add(pixel * patches.step);
            for _ in 0..row_steps {
                let lines: [V; B] = std::array::from_fn(|block| V::load(weights.add(block * steps * line)));
                for (pixel, sums) in sums.iter_mut().enumerate() {
                    let four = V::repeat(values.add(pixel * patches.step));
                    for (sum, &line) in sums.iter_mut().zip(&lines) {
                        *sum = sum.dot(four, line);
                    }
                }
                weights = weights.add(line);
                values = values.add(4);
            }
        }
        sums
    }
}

/// [`DepthwiseSet::multiply`].
///
/// # Safety
/// As [`Vector`]'s.
#[inline(always)]
pub unsafe fn depthwise<S: DepthwiseSet, V: Vector, const REGISTERS: usize>(
    packed: &PackedDepthwise<S>,
    block: usize,
    columns: &[Line],
    output: Target<'_>,
) {
    let adjacent = packed.dilation == 1;
    // SAFETY: the caller's.
    unsafe {
        match (packed.rows, adjacent.then_some(packed.taps * packed.quads)) {
            (2, Some(3)) => row::<S, V, 4, 2, 3>(packed, block, columns, output),
            (1, Some(3)) => row::<S, V, 4, 1, 3>(packed, block, columns, output),
            (2, Some(6)) => row::<S, V, 4, 2, 6>(packed, block, columns, output),
            (4, Some(10)) if REGISTERS > 16 => row::<S, V, 4, 4, 10>(packed, block, columns, output),
            (4, Some(10)) => row::<S, V, 2, 4, 10>(packed, block, columns, output),
            (2, Some(10)) => row::<S, V, 4, 2, 10>(packed, block, columns, output),
            (2, Some(15)) => row::<S, V, 4, 2, 15>(packed, block, columns, output),
            (1, Some(15)) => row::<S, V, 4, 1, 15>(packed, block, columns, output),
            (4, _) => row::<S, V, 2, 4, 0>(packed, block, columns, output),
            (2, _) => row::<S, V, 4, 2, 0>(packed, block, columns, output),
            _ => row::<S, V, 4, 1, 0>(packed, block, columns, output),
        }
    }
}

/// `R` output rows; `TAPS` adjacent columns make a sum, or 0 for a number only known when run and columns that may be apart.
#[inline(always)]
unsafe fn row<S: DepthwiseSet, V: Vector, const P: usize, const R: usize, const TAPS: usize>(
    packed: &PackedDepthwise<S>,
    block: usize,
    columns: &[Line],
    mut output: Target<'_>,
) {
    let width = packed.width;
    let mut x = 0;
    while x < width {
        // The last tile begins earlier, so that it is full: some pixels are computed twice.
        // SAFETY: the caller's.
        x = unsafe {
            if width >= P {
                let start = x.min(width - P);
                depthwise_tile::<S, V, P, R, TAPS>(packed, block, start, columns, &mut output);
                start + P
            } else {
                depthwise_tile::<S, V, 1, R, TAPS>(packed, block, x, columns, &mut output);
                x + 1
            }
        };
    }
}

/// `P` pixels of each of `R` rows, from `x` on.
#[inline(always)]
unsafe fn depthwise_tile<S: DepthwiseSet, V: Vector, const P: usize, const R: usize, const TAPS: usize>(
    packed: &PackedDepthwise<S>,
    block: usize,
    x: usize,
    columns: &[Line],
    output: &mut Target<'_>,
) {
    let line = V::LANES * 4;
    let quads = packed.quads;
    let taps = if TAPS > 0 { TAPS } else { packed.taps * quads };
    let last = (packed.taps - 1) * packed.dilation * quads + quads;
    let stride = packed.stride * quads;
    assert!(columns.len() * 64 >= (x * stride + (P - 1) * stride + last) * line);
    let weights_start = block * R * taps * line;
    assert!(packed.weights.len() * 64 >= weights_start + R * taps * line && taps == packed.taps * quads);
    let channel = block * V::LANES;
    let start = &packed.start[channel..][..V::LANES];
    let factors = &packed.factors[channel..][..V::LANES];
    // SAFETY: row < R, tap < taps, pixel < P and place < last; columns and weights were found to be long
    // enough, `start` and `factors` have LANES values.
    unsafe {
        let columns = columns.as_ptr().cast::<u8>().add(x * stride * line);
        let weights = packed.weights.as_ptr().cast::<u8>().add(weights_start);
        let mut sums = [[V::load(start.as_ptr().cast()); P]; R];
        for tap in 0..taps {
            let place = match TAPS {
                0 => tap / quads * packed.dilation * quads + tap % quads,
                _ => tap,
            };
            let columns: [V; P] =
                std::array::from_fn(|pixel| V::load(columns.add((pixel * stride + place) * line)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let weights = V::load(weights.add((row * taps + tap) * line));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = sum.dot(column, weights);
                }
            }
        }
        let lanes = packed.lanes(block);
        let rows = output.rows.min(R);
        assert!(
            rows > 0 && output.bytes.len() >= (rows - 1) * output.row + (x + P - 1) * output.stride + lanes
        );
        let to = output.bytes.as_mut_ptr().add(x * output.stride);
        let done = std::hint::black_box(sums);
        for (row, sums) in done.iter().enumerate().take(rows) {
            for (pixel, sum) in sums.iter().enumerate() {
                let to = to.add(row * output.row + pixel * output.stride);
                sum.store(factors.as_ptr(), &packed.requantise, to, lanes);
            }
        }
    }
}
