//! The loops of depthwise convolution, for any set of vectors; eight channels at a time.

use std::arch::aarch64::*;

use super::convolution::{Eight, LANES, constants, load_again, put};
use super::requantise::Finish;
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Sources, Target};
use crate::engine::kernels::rows::Line;

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

/// What a loop over columns may know before it runs: output rows that share columns, columns that make a sum (0 if they are
/// not adjacent), columns between two sums' first.
pub fn known<S: Columns>(packed: &PackedDepthwise<S>) -> (usize, usize, usize) {
    let taps = if packed.dilation == 1 { packed.taps * packed.quads } else { 0 };
    (packed.rows, taps, packed.stride * packed.quads)
}

/// [`DepthwiseSet::multiply`] with tiles of `P` pixels of `R` output rows, of which there is a multiple. `TAPS` adjacent
/// columns make a sum, and `STEP` columns lie between two sums' first; or both are 0 for numbers only known when run and
/// columns that may be apart.
///
/// # Safety
/// As [`Columns`]'s.
#[inline(always)]
pub unsafe fn multiply<
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
            let four = std::array::from_fn(|row| {
                if row < S::ROWS { vld1q_u8(from[row].add(column * steps[row])) } else { vdupq_n_u8(0) }
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
