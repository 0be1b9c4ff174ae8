//! The loops of dense and depthwise convolution, for any set of vectors; eight channels at a time.

use std::arch::aarch64::*;
use std::arch::asm;

use super::requantise::Finish;
use crate::engine::kernels::dense::{DenseSet, Packed};
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Sources, Target};
use crate::engine::kernels::rows::Line;
use crate::engine::quantise::Requantise;

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
    requantise: &Requantise,
) -> ([i32; LANES], F) {
    let (factors, start) = (&factors[channel..][..LANES], &start[channel..][..LANES]);
    let start = std::array::from_fn(|lane| start[lane].wrapping_add(F::OFFSET));
    (start, F::new(requantise, &std::array::from_fn(|lane| factors[lane])))
}

/// Writes the bytes of adjacent pixels' channels; `output` ends with the last of them.
#[inline(always)]
fn store<F: Finish, const P: usize>(
    finish: &F,
    sums: &[Eight; P],
    output: &mut [u8],
    stride: usize,
    lanes: usize,
) {
    assert!(output.len() >= (P - 1) * stride + lanes && lanes <= LANES);
    let bytes: [uint8x8_t; P] = std::array::from_fn(|pixel| finish.bytes(sums[pixel]));
    // SAFETY: `output` was found to be long enough for each pixel's `lanes` bytes.
    unsafe { put(&bytes, output.as_mut_ptr(), stride, lanes) };
}

/// Writes the first `lanes` of eight bytes of each pixel.
///
/// # Safety
/// There is room for them from `to` on, `stride` bytes apart.
#[inline(always)]
unsafe fn put<const P: usize>(pixels: &[uint8x8_t; P], to: *mut u8, stride: usize, lanes: usize) {
    // SAFETY: the caller's.
    unsafe {
        if lanes == LANES {
            for (pixel, &bytes) in pixels.iter().enumerate() {
                vst1_u8(to.add(pixel * stride), bytes);
            }
        } else {
            // Of a copy: only here must they be in memory.
            let copies = *pixels;
            put_some(&copies, to, stride, lanes);
        }
    }
}

/// [`put`] of fewer than eight lanes, out of the way of loops that need all registers.
#[cold]
#[inline(never)]
unsafe fn put_some(pixels: &[uint8x8_t], to: *mut u8, stride: usize, lanes: usize) {
    for (pixel, &bytes) in pixels.iter().enumerate() {
        let mut all = [0u8; LANES];
        // SAFETY: `all` has eight bytes; the rest is the caller's.
        unsafe {
            vst1_u8(all.as_mut_ptr(), bytes);
            std::ptr::copy_nonoverlapping(all.as_ptr(), to.add(pixel * stride), lanes);
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
            (_, 3, 1) => rows::<S, F, 4, 1, 3, 1>(packed, block, columns, output),
            (_, 3, 2) => rows::<S, F, 4, 1, 3, 2>(packed, block, columns, output),
            (4, 10, 2) => rows::<S, F, 2, 4, 10, 2>(packed, block, columns, output),
            (2, 10, 4) => rows::<S, F, 4, 2, 10, 4>(packed, block, columns, output),
            (1, 9, 3) => rows::<S, F, 4, 1, 9, 3>(packed, block, columns, output),
            (1, 25, 5) => rows::<S, F, 4, 1, 25, 5>(packed, block, columns, output),
            _ => rows::<S, F, 4, 1, 0, 0>(packed, block, columns, output),
        }
    }
}

/// All output rows that share the columns, `R` at a time, of which there is a multiple. `TAPS` adjacent columns make a sum,
/// and `STEP` columns lie between two sums' first; or both are 0 for numbers only known when run and columns that may be
/// apart.
#[inline(always)]
unsafe fn rows<
    S: Columns,
    F: Finish,
    const P: usize,
    const R: usize,
    const TAPS: usize,
    const STEP: usize,
>(
    packed: &PackedDepthwise<S>,
    block: usize,
    columns: &[Line],
    output: Target<'_>,
) {
    let width = packed.width;
    let taps = packed.taps * packed.quads;
    let step = packed.stride * packed.quads;
    assert!((TAPS == 0 || TAPS == taps) && (STEP == 0 || STEP == step) && packed.rows.is_multiple_of(R));
    let last = (packed.taps - 1) * packed.dilation * packed.quads + packed.quads;
    assert!(columns.len() * 64 >= ((width - 1) * step + last) * S::COLUMN);
    let row_weights = taps * S::COLUMN;
    let block_weights = packed.rows * row_weights;
    assert!(packed.weights.len() * 64 >= (block + 1) * block_weights);
    let all_lanes = packed.lanes(block);
    for (half, first) in (0..all_lanes).step_by(LANES).enumerate() {
        let lanes = (all_lanes - first).min(LANES);
        let channel = block * S::LANES + first;
        let (start, finish) = constants::<F>(&packed.start, &packed.factors, channel, &packed.requantise);
        // SAFETY: weights and columns were found to be long enough for all rows and pixels.
        let (weights, columns) = unsafe {
            let weights = packed.weights.as_ptr().cast::<u8>().add(block * block_weights);
            (weights.add(half * (S::COLUMN / 2)), columns.as_ptr().cast::<u8>().add(half * (S::COLUMN / 2)))
        };
        for row in (0..output.rows.min(packed.rows)).step_by(R) {
            // Rows that are not wanted go where nobody looks, so that the loop need not know.
            let mut unwanted = [0u8; LANES];
            let mut to = [(unwanted.as_mut_ptr(), 0); R];
            for (row, to) in (row..output.rows).zip(&mut to) {
                let length = (width - 1) * output.stride + lanes;
                let bytes = &mut output.bytes[row * output.row + first..][..length];
                *to = (bytes.as_mut_ptr(), output.stride);
            }
            let mut x = 0;
            while x < width {
                // The last tile begins earlier, so that it is full: some pixels are computed twice.
                // SAFETY: the caller's; each row has room for the lanes of all pixels, or is the unwanted one.
                unsafe {
                    let weights = weights.add(row * row_weights);
                    if width >= P {
                        x = x.min(width - P);
                        let columns = columns.add(x * step * S::COLUMN);
                        let sums = tile::<S, P, R, TAPS, STEP>(packed, columns, weights, &start);
                        put_rows(&finish, &sums, &to, x, lanes);
                        x += P;
                    } else {
                        let columns = columns.add(x * step * S::COLUMN);
                        let sums = tile::<S, 1, R, 0, 0>(packed, columns, weights, &start);
                        put_rows(&finish, &sums, &to, x, lanes);
                        x += 1;
                    }
                }
            }
        }
    }
}

/// Writes the pixels of each row from `x` on; a row is where it begins, and how far its pixels are apart.
///
/// # Safety
/// There is room for them.
#[inline(always)]
unsafe fn put_rows<F: Finish, const P: usize, const R: usize>(
    finish: &F,
    sums: &[[Eight; P]; R],
    to: &[(*mut u8, usize); R],
    x: usize,
    lanes: usize,
) {
    for (sums, &(to, stride)) in sums.iter().zip(to) {
        let bytes: [uint8x8_t; P] = std::array::from_fn(|pixel| finish.bytes(sums[pixel]));
        // SAFETY: the caller's.
        unsafe { put(&bytes, to.add(x * stride), stride, lanes) };
    }
}

/// The sums of `P` pixels of each of `R` rows, of eight channels.
///
/// # Safety
/// As [`Columns`]'s. `columns` are those that the pixels see, `weights` those of all rows; both begin with the channels'.
#[inline(always)]
unsafe fn tile<S: Columns, const P: usize, const R: usize, const TAPS: usize, const STEP: usize>(
    packed: &PackedDepthwise<S>,
    columns: *const u8,
    weights: *const u8,
    start: &[i32; LANES],
) -> [[Eight; P]; R] {
    let quads = packed.quads;
    let taps = if TAPS > 0 { TAPS } else { packed.taps * quads };
    let step = if STEP > 0 { STEP } else { packed.stride * quads };
    // SAFETY: to the end, row < R, tap < taps and pixel < P; the rest is the caller's.
    unsafe {
        let [low, high] = [start.as_ptr(), start.as_ptr().add(4)];
        let begin = |_| std::array::from_fn(|_| [load_again(low), load_again(high)]);
        let mut sums: [[Eight; P]; R] = std::array::from_fn(begin);
        macro_rules! tap {
            ($tap:expr) => {{
                let tap = $tap;
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
            }};
        }
        if TAPS == 3 {
            tap!(0);
            tap!(1);
            tap!(2);
        } else {
            for tap in 0..taps {
                tap!(tap);
            }
        }
        sums
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
