//! The loops of dense and depthwise convolution, for any set of vectors; eight channels at a time.

use std::arch::aarch64::*;
use std::arch::asm;

use super::requantise::Finish;
use crate::engine::kernels::dense::{DenseSet, Packed};
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Sources, Target};
use crate::engine::kernels::rows::Line;

/// Channels of a block of a dense convolution, and of half a block of a depthwise one.
pub const LANES: usize = 8;

/// Sums of eight channels. Where only four channels count, the upper half is left as it is.
pub type Eight = [int32x4_t; 2];

/// Dense dot products.
///
/// # Safety
/// The CPU has the set's features; the function is inlined into one that is compiled for them.
pub trait Tile: DenseSet {
    /// The sums of `P` pixels and of one block of `4 × HALVES` channels.
    ///
    /// `values` has `P` patches of `depth` values, `weights` the block's weights, `start` what its eight sums start with.
    unsafe fn sums<const P: usize, const HALVES: usize>(
        start: &[i32; LANES],
        values: *const Self::Value,
        weights: *const u8,
        depth: usize,
    ) -> [Eight; P];
}

/// All pixels of a block of output channels, of which only the first `4 × HALVES` are there.
///
/// # Safety
/// As [`Tile`]'s.
#[inline(always)]
pub unsafe fn dense<S: Tile, const HALVES: usize, F: Finish>(
    packed: &Packed<S>,
    block: usize,
    patches: &[S::Value],
    output: &mut [u8],
    stride: usize,
) {
    let depth = packed.depth;
    let count = patches.len() / depth;
    let size = depth * LANES * size_of::<S::Value>();
    let lines = &packed.weights[block * size / 64..];
    assert!(lines.len() * 64 >= block * size % 64 + size);
    // SAFETY: at most 63 bytes into lines that were found to be long enough.
    let weights = unsafe { lines.as_ptr().cast::<u8>().add(block * size % 64) };
    let channel = block * LANES;
    let lanes = (packed.outputs - channel).min(LANES);
    let (start, finish) = constants::<F>(&packed.start, &packed.factors, channel, &packed.requantise);
    let mut pixel = 0;
    macro_rules! tile {
        ($pixels:literal, $first:expr) => {{
            let first = $first;
            let values = patches[first * depth..][..$pixels * depth].as_ptr();
            // SAFETY: the caller's; there are that many patches and a block of weights.
            let sums = unsafe { S::sums::<$pixels, HALVES>(&start, values, weights, depth) };
            let output = &mut output[first * stride + channel..];
            let last = ($pixels - 1) * stride + lanes;
            store(&finish, &sums, &mut output[..last], stride, lanes);
            first + $pixels
        }};
    }
    // The last tile begins earlier, so that it is full: some pixels are computed twice.
    while pixel < count {
        pixel = match count {
            8.. => tile!(8, pixel.min(count - 8)),
            4.. => tile!(4, pixel.min(count - 4)),
            _ => tile!(1, pixel),
        };
    }
}

/// What eight channels' sums start with, and how they end.
#[inline(always)]
fn constants<F: Finish>(
    start: &[i32],
    factors: &[f32],
    channel: usize,
    requantise: &crate::engine::quantise::Requantise,
) -> ([i32; LANES], F) {
    let factors = &factors[channel..][..LANES];
    let start = &start[channel..][..LANES];
    let start = std::array::from_fn(|lane| start[lane].wrapping_add(F::OFFSET));
    // SAFETY: there are eight factors.
    let factors = unsafe { [vld1q_f32(factors.as_ptr()), vld1q_f32(factors.as_ptr().add(4))] };
    (start, F::new(requantise, factors))
}

/// Writes the bytes of adjacent pixels' channels; `output` ends with the last of them.
#[inline(always)]
fn store<F: Finish>(finish: &F, sums: &[Eight], output: &mut [u8], stride: usize, lanes: usize) {
    assert!(output.len() >= (sums.len() - 1) * stride + lanes);
    let to = output.as_mut_ptr();
    for (pixel, &sums) in sums.iter().enumerate() {
        // SAFETY: `output` was found to be long enough for each pixel's `lanes` bytes.
        unsafe { put(finish.bytes(sums), to.add(pixel * stride), lanes) };
    }
}

/// Writes the first `lanes` of eight bytes.
///
/// # Safety
/// There is room for them at `to`.
#[inline(always)]
unsafe fn put(bytes: uint8x8_t, to: *mut u8, lanes: usize) {
    // SAFETY: the caller's.
    unsafe {
        match lanes {
            LANES => vst1_u8(to, bytes),
            _ => {
                let mut all = [0u8; LANES];
                vst1_u8(all.as_mut_ptr(), bytes);
                std::ptr::copy_nonoverlapping(all.as_ptr(), to, lanes);
            }
        }
    }
}

/// Loads a vector; never turned into a copy of a register, which would take up a pipe that multiplies.
///
/// # Safety
/// There are four values at `from`.
#[inline(always)]
pub unsafe fn load_again(from: *const i32) -> int32x4_t {
    let loaded: int32x4_t;
    // SAFETY: the caller's. Not `pure`, so that equal loads are not merged.
    unsafe {
        asm!("ldr {loaded:q}, [{from}]", loaded = out(vreg) loaded, from = in(reg) from,
            options(readonly, nostack, preserves_flags));
    }
    loaded
}

/// Depthwise dot products of columns of sixteen channels.
///
/// # Safety
/// The CPU has the set's features; the functions are inlined into ones that are compiled for them.
pub trait Columns: DepthwiseSet {
    /// Eight channels of a column, or their weights.
    type Half: Copy;

    /// Half of [`DepthwiseSet::COLUMN`] bytes.
    unsafe fn load(from: *const u8) -> Self::Half;
    /// `sums + column · weights` in each lane.
    unsafe fn dot(sums: Eight, column: Self::Half, weights: Self::Half) -> Eight;
    /// Writes a column: sixteen channels of each of [`DepthwiseSet::ROWS`] rows.
    unsafe fn write_column(rows: [uint8x16_t; 4], to: *mut u8);
}

/// [`DepthwiseSet::multiply`].
///
/// # Safety
/// As [`Columns`]'s.
#[inline(always)]
pub unsafe fn depthwise<S: Columns, F: Finish>(
    packed: &PackedDepthwise<S>,
    block: usize,
    columns: &[Line],
    output: Target<'_>,
) {
    let taps = match packed.dilation {
        1 => packed.taps * packed.quads,
        _ => 0,
    };
    // SAFETY: the caller's.
    unsafe {
        match (packed.rows, taps, packed.stride * packed.quads) {
            (2, 3, 1) => row::<S, F, 4, 2, 3, 1>(packed, block, columns, output),
            (1, 3, 2) => row::<S, F, 4, 1, 3, 2>(packed, block, columns, output),
            (4, 10, 2) => row::<S, F, 2, 4, 10, 2>(packed, block, columns, output),
            (2, 10, 4) => row::<S, F, 4, 2, 10, 4>(packed, block, columns, output),
            (1, 9, 3) => row::<S, F, 4, 1, 9, 3>(packed, block, columns, output),
            (4, _, _) => row::<S, F, 2, 4, 0, 0>(packed, block, columns, output),
            (2, _, _) => row::<S, F, 4, 2, 0, 0>(packed, block, columns, output),
            _ => row::<S, F, 4, 1, 0, 0>(packed, block, columns, output),
        }
    }
}

/// `R` output rows. `TAPS` adjacent columns make a sum, and `STEP` columns lie between two sums' first; or both are 0 for
/// numbers only known when run and columns that may be apart.
#[inline(always)]
unsafe fn row<S: Columns, F: Finish, const P: usize, const R: usize, const TAPS: usize, const STEP: usize>(
    packed: &PackedDepthwise<S>,
    block: usize,
    columns: &[Line],
    mut output: Target<'_>,
) {
    let width = packed.width;
    let lanes = packed.lanes(block);
    for first in (0..lanes).step_by(LANES) {
        let channel = block * S::LANES + first;
        let (start, finish) = constants::<F>(&packed.start, &packed.factors, channel, &packed.requantise);
        let mut x = 0;
        while x < width {
            // The last tile begins earlier, so that it is full: some pixels are computed twice.
            // SAFETY: the caller's.
            unsafe {
                if width >= P {
                    let from = x.min(width - P);
                    let sums = tile::<S, P, R, TAPS, STEP>(packed, block, first, from, columns, &start);
                    store_rows(&finish, &sums, &mut output, first, from, (lanes - first).min(LANES));
                    x = from + P;
                } else {
                    let sums = tile::<S, 1, R, TAPS, STEP>(packed, block, first, x, columns, &start);
                    store_rows(&finish, &sums, &mut output, first, x, (lanes - first).min(LANES));
                    x += 1;
                }
            }
        }
    }
}

/// The sums of `P` pixels of each of `R` rows, from `x` on, of eight channels from the block's `first` on.
#[inline(always)]
unsafe fn tile<S: Columns, const P: usize, const R: usize, const TAPS: usize, const STEP: usize>(
    packed: &PackedDepthwise<S>,
    block: usize,
    first: usize,
    x: usize,
    columns: &[Line],
    start: &[i32; LANES],
) -> [[Eight; P]; R] {
    let quads = packed.quads;
    let taps = if TAPS > 0 { TAPS } else { packed.taps * quads };
    let last = (packed.taps - 1) * packed.dilation * quads + quads;
    let step = if STEP > 0 { STEP } else { packed.stride * quads };
    let weights_start = block * R * taps * S::COLUMN;
    assert!(columns.len() * 64 >= (x * step + (P - 1) * step + last) * S::COLUMN);
    assert!(packed.weights.len() * 64 >= weights_start + R * taps * S::COLUMN);
    assert!(taps == packed.taps * quads && step == packed.stride * quads && first < S::LANES);
    let half = first / LANES * (S::COLUMN / 2);
    // SAFETY, to the end: row < R, tap < taps, pixel < P and place < last; columns and weights were found to be long
    // enough, `start` has eight values. The features are the caller's.
    unsafe {
        let columns = columns.as_ptr().cast::<u8>().add(x * step * S::COLUMN + half);
        let weights = packed.weights.as_ptr().cast::<u8>().add(weights_start + half);
        let mut sums = [[[vdupq_n_s32(0); 2]; P]; R];
        for sum in sums.iter_mut().flatten() {
            *sum = [load_again(start.as_ptr()), load_again(start.as_ptr().add(4))];
        }
        for tap in 0..taps {
            let place = match TAPS {
                0 => tap / quads * packed.dilation * quads + tap % quads,
                _ => tap,
            };
            let columns: [S::Half; P] =
                std::array::from_fn(|pixel| S::load(columns.add((pixel * step + place) * S::COLUMN)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let weights = S::load(weights.add((row * taps + tap) * S::COLUMN));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = S::dot(*sum, column, weights);
                }
            }
        }
        sums
    }
}

#[inline(always)]
fn store_rows<F: Finish, const P: usize, const R: usize>(
    finish: &F,
    sums: &[[Eight; P]; R],
    output: &mut Target<'_>,
    first: usize,
    x: usize,
    lanes: usize,
) {
    for (row, sums) in sums.iter().enumerate().take(output.rows) {
        let place = row * output.row + x * output.stride + first;
        let last = (P - 1) * output.stride + lanes;
        store(finish, sums, &mut output.bytes[place..][..last], output.stride, lanes);
    }
}

/// Writes `count` columns, `step` bytes apart, from `to` on.
///
/// # Safety
/// As [`Columns`]'s; there is room at `to`, and all rows have `count` pixels.
#[inline(always)]
pub unsafe fn interleave<S: Columns>(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize) {
    let outside = [rows.zero_point; 16];
    // Rows outside the input are read again and again from one place.
    let from = rows.rows.map(|row| if row.is_empty() { outside.as_ptr() } else { row.as_ptr() });
    let steps = rows.rows.map(|row| if row.is_empty() { 0 } else { rows.channels });
    // Where sixteen bytes reach beyond a row's end, only those that are there may be read.
    let shortest = rows.rows.iter().filter(|row| !row.is_empty()).map(|row| row.len()).min();
    let whole = match shortest {
        None => count,
        Some(length) if length < 16 => 0,
        Some(length) => ((length - 16) / rows.channels + 1).min(count),
    };
    // SAFETY: the caller's; `whole` columns can be read at full width, all others have the block's lanes.
    unsafe {
        for column in 0..whole {
            let four = std::array::from_fn(|row| match row < S::ROWS {
                true => vld1q_u8(from[row].add(column * steps[row])),
                false => vdupq_n_u8(0),
            });
            S::write_column(four, to.add(column * step));
        }
        for column in whole..count {
            let four = std::array::from_fn(|row| {
                let mut bytes = [0u8; 16];
                if row < S::ROWS {
                    let from = from[row].add(column * steps[row]);
                    std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), rows.lanes);
                }
                vld1q_u8(bytes.as_ptr())
            });
            S::write_column(four, to.add(column * step));
        }
    }
}

/// Gives a set its [`DenseSet`] and [`DepthwiseSet`], from its [`Tile`] and [`Columns`].
macro_rules! set {
    ($set:ident, $value:ty, $unit:literal, $rows:literal, $features:literal) => {
        impl DenseSet for $set {
            type Value = $value;
            const UNIT: usize = $unit;
            const LANES: usize = convolution::LANES;
            const DEPTH: usize = 8;
            const PIXELS: usize = 8;

            fn multiply(packed: &Packed<Self>, patches: &[$value], output: &mut [u8], stride: usize) {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn dense<const HALVES: usize, F: Finish>(
                    packed: &Packed<$set>,
                    block: usize,
                    patches: &[$value],
                    output: &mut [u8],
                    stride: usize,
                ) {
                    // SAFETY: this function is compiled for what the vectors need.
                    unsafe { convolution::dense::<$set, HALVES, F>(packed, block, patches, output, stride) }
                }
                let way = Way::of(packed.greatest_sum, packed.greatest_step, &packed.requantise);
                for block in 0..packed.blocks() {
                    // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                    with_way!(way, F => unsafe {
                        match packed.outputs - block * LANES {
                            ..=4 => dense::<1, F>(packed, block, patches, output, stride),
                            _ => dense::<2, F>(packed, block, patches, output, stride),
                        }
                    })
                }
            }
        }

        impl DepthwiseSet for $set {
            type Value = $value;
            const LANES: usize = 16;
            const ROWS: usize = $rows;

            fn interleave(rows: &Sources<'_>, count: usize, columns: &mut [Line], first: usize, step: usize) {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn interleave(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize) {
                    // SAFETY: this function is compiled for what the vectors need; the caller found room.
                    unsafe { convolution::interleave::<$set>(rows, count, to, step) }
                }
                rows.check(count);
                assert!(count == 0 || columns.len() * 64 >= first + (count - 1) * step + Self::COLUMN);
                // SAFETY: the set is only given out where the CPU has what this function is compiled for; `columns` is
                // long enough, and `first` lies within.
                unsafe { interleave(rows, count, columns.as_mut_ptr().cast::<u8>().add(first), step) }
            }

            fn multiply(packed: &PackedDepthwise<Self>, block: usize, columns: &[Line], output: Target<'_>) {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn depthwise<F: Finish>(
                    packed: &PackedDepthwise<$set>,
                    block: usize,
                    columns: &[Line],
                    output: Target<'_>,
                ) {
                    // SAFETY: this function is compiled for what the vectors need.
                    unsafe { convolution::depthwise::<$set, F>(packed, block, columns, output) }
                }
                let way = Way::of(packed.greatest_sum, packed.greatest_step, &packed.requantise);
                // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                with_way!(way, F => unsafe { depthwise::<F>(packed, block, columns, output) })
            }
        }
    };
}
pub(super) use set;
