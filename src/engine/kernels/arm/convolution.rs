//! The loops of dense convolution, for any set of vectors, and what depthwise convolution shares with them; eight channels
//! at a time.

use std::arch::aarch64::*;

use super::requantise::Finish;
pub use super::vectors::{Eight, LANES, load_again};
use crate::engine::kernels::packed::{DenseSet, Packed, Patches};
use crate::engine::quantise::Requantise;

/// Dense dot products.
///
/// # Safety
/// The CPU has the set's features; the function is inlined into one that is compiled for them.
pub trait Tile: DenseSet {
    /// The sums of `P` pixels and of one block of `4 × HALVES` channels.
    ///
    /// `start` is what its eight sums start with; `rows` where each row of the first patch begins, of `length` values, a
    /// multiple of 8, and `step` values before the next patch's; `weights` the block's weights.
    unsafe fn sums<const P: usize, const HALVES: usize>(
        start: &[i32; LANES],
        rows: impl Iterator<Item = *const Self::Value>,
        length: usize,
        step: usize,
        weights: *const u8,
    ) -> [Eight; P];
}

/// [`DenseSet::multiply`] of a block of output channels, of which only the first `4 × HALVES` are there.
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
    let row = |pixel: usize| std::iter::once(patches[pixel * depth..].as_ptr());
    let patches = Source { count: patches.len() / depth, rows: row, length: depth, step: depth };
    // SAFETY: the caller's; there are as many patches.
    unsafe { pixels::<S, HALVES, F, _, _>(packed, block, &patches, output, stride) }
}

/// [`dense`], likewise for patches that are not gathered, for a set that multiplies stored values as they are.
///
/// # Safety
/// As [`Tile`]'s.
#[inline(always)]
pub unsafe fn dense_rows<S: Tile<Value = u8>, const HALVES: usize, F: Finish>(
    packed: &Packed<S>,
    block: usize,
    patches: &Patches<'_>,
    output: &mut [u8],
    stride: usize,
) {
    assert!(patches.row * patches.rows.len() == packed.depth);
    let rows = |pixel: usize| patches.rows.iter().map(move |row| row[pixel * patches.step..].as_ptr());
    let patches = Source { count: patches.count, rows, length: patches.row, step: patches.step };
    // SAFETY: the caller's, who checked that all rows have all pixels.
    unsafe { pixels::<S, HALVES, F, _, _>(packed, block, &patches, output, stride) }
}

/// Patches of `count` pixels; `rows` gives where the rows of a pixel's patch begin. The rest is as [`Tile::sums`] has it.
struct Source<R> {
    count: usize,
    rows: R,
    length: usize,
    step: usize,
}

#[inline(always)]
unsafe fn pixels<S: Tile, const HALVES: usize, F: Finish, R: Fn(usize) -> I, I>(
    packed: &Packed<S>,
    block: usize,
    patches: &Source<R>,
    output: &mut [u8],
    stride: usize,
) where
    I: Iterator<Item = *const S::Value>,
{
    let count = patches.count;
    let weights = weights(packed, block);
    let channel = block * LANES;
    let lanes = (packed.outputs - channel).min(LANES);
    let (start, finish) = constants::<F>(&packed.start, &packed.factors, channel, &packed.requantise);
    let mut pixel = 0;
    macro_rules! tile {
        ($pixels:literal, $first:expr) => {{
            let first = $first;
            let rows = (patches.rows)(first);
            let (length, step) = (patches.length, patches.step);
            // SAFETY: the caller's; there are that many patches and a block of weights.
            let sums = unsafe { S::sums::<$pixels, HALVES>(&start, rows, length, step, weights) };
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

/// A block's weights, all of which were found to be there.
#[inline(always)]
fn weights<S: DenseSet>(packed: &Packed<S>, block: usize) -> *const u8 {
    let size = packed.depth * LANES * size_of::<S::Value>();
    let lines = &packed.weights[block * size / 64..];
    assert!(lines.len() * 64 >= block * size % 64 + size);
    // SAFETY: at most 63 bytes into lines that were found to be long enough.
    unsafe { lines.as_ptr().cast::<u8>().add(block * size % 64) }
}

/// The sums of patches that are not gathered.
///
/// # Safety
/// As [`Tile`]'s.
#[inline(always)]
pub unsafe fn sum_rows<S: Tile<Value = u8>>(packed: &Packed<S>, patches: &Patches<'_>, sums: &mut [i32]) {
    let (count, blocks) = (patches.count, packed.blocks());
    assert!(patches.row * patches.rows.len() == packed.depth);
    patches.check();
    for block in 0..blocks {
        let start = std::array::from_fn(|lane| packed.start[block * LANES + lane]);
        let weights = weights(packed, block);
        let mut pixel = 0;
        macro_rules! tile {
            ($pixels:literal, $first:expr) => {{
                let first = $first;
                let rows = patches.rows.iter().map(|row| row[first * patches.step..].as_ptr());
                // SAFETY: the caller's; all rows have all pixels, and there is a block of weights.
                let tile = unsafe { S::sums::<$pixels, 2>(&start, rows, patches.row, patches.step, weights) };
                for (pixel, [low, high]) in tile.into_iter().enumerate() {
                    let sums = &mut sums[((first + pixel) * blocks + block) * LANES..][..LANES];
                    // SAFETY: there is room for eight sums.
                    unsafe {
                        vst1q_s32(sums.as_mut_ptr(), low);
                        vst1q_s32(sums.as_mut_ptr().add(4), high);
                    }
                }
                first + $pixels
            }};
        }
        while pixel < count {
            pixel = match count {
                4.. => tile!(4, pixel.min(count - 4)),
                _ => tile!(1, pixel),
            };
        }
    }
}

/// What eight channels' sums start with, and how they end.
#[inline(always)]
pub fn constants<F: Finish>(
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
pub unsafe fn put<const P: usize>(pixels: &[uint8x8_t; P], to: *mut u8, stride: usize, lanes: usize) {
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

/// [`put`] of fewer than eight lanes, out of the rounding of loops that need all registers.
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

/// Gives a set its [`DenseSet`] and [`DepthwiseSet`], from its [`Tile`] and [`Columns`].
macro_rules! set {
    ($set:ident, $value:ty, $unit:literal, $rows:literal, $features:literal $(, $by_rows:ident)?) => {
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
                let rounding = Rounding::of(packed.greatest_sum, packed.greatest_step, &packed.requantise);
                for block in 0..packed.blocks() {
                    // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                    with_rounding!(rounding, F => unsafe {
                        match packed.outputs - block * LANES {
                            ..=4 => dense::<1, F>(packed, block, patches, output, stride),
                            _ => dense::<2, F>(packed, block, patches, output, stride),
                        }
                    })
                }
            }

            $(
                const BY_ROWS: Option<ByRows<Self>> =
                    Some(ByRows { multiply: Self::$by_rows, sum: Self::sum_rows, add_up: folded::add_up });
            )?
        }

        $(
            impl $set {
                fn $by_rows(packed: &Packed<Self>, patches: &Patches<'_>, output: &mut [u8], stride: usize) {
                    #[target_feature(enable = $features)]
                    #[inline(never)]
                    fn dense_rows<const HALVES: usize, F: Finish>(
                        packed: &Packed<$set>,
                        block: usize,
                        patches: &Patches<'_>,
                        output: &mut [u8],
                        stride: usize,
                    ) {
                        // SAFETY: this function is compiled for what the vectors need; all rows have all pixels.
                        unsafe { convolution::dense_rows::<$set, HALVES, F>(packed, block, patches, output, stride) }
                    }
                    patches.check();
                    let rounding = Rounding::of(packed.greatest_sum, packed.greatest_step, &packed.requantise);
                    for block in 0..packed.blocks() {
                        // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                        with_rounding!(rounding, F => unsafe {
                            match packed.outputs - block * LANES {
                                ..=4 => dense_rows::<1, F>(packed, block, patches, output, stride),
                                _ => dense_rows::<2, F>(packed, block, patches, output, stride),
                            }
                        })
                    }
                }

                fn sum_rows(packed: &Packed<Self>, patches: &Patches<'_>, sums: &mut [i32]) {
                    #[target_feature(enable = $features)]
                    #[inline(never)]
                    fn sum_rows(packed: &Packed<$set>, patches: &Patches<'_>, sums: &mut [i32]) {
                        // SAFETY: this function is compiled for what the vectors need.
                        unsafe { convolution::sum_rows::<$set>(packed, patches, sums) }
                    }
                    // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                    unsafe { sum_rows(packed, patches, sums) }
                }
            }
        )?

        impl DepthwiseSet for $set {
            type Value = $value;
            const LANES: usize = 16;
            const ROWS: usize = $rows;

            fn interleave(rows: &Sources<'_>, count: usize, columns: &mut [Line], first: usize, step: usize) {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn interleave(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize) {
                    // SAFETY: this function is compiled for what the vectors need; the caller found room.
                    unsafe { columns::interleave::<$set>(rows, count, to, step) }
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
                fn depthwise<F: Finish, const P: usize, const R: usize, const TAPS: usize, const STEP: usize>(
                    packed: &PackedDepthwise<$set>,
                    block: usize,
                    columns: &[Line],
                    output: Target<'_>,
                ) {
                    // SAFETY: this function is compiled for what the vectors need.
                    unsafe {
                        columns::multiply::<$set, F, P, R, TAPS, STEP>(packed, block, columns, output)
                    }
                }
                let rounding = Rounding::of(packed.greatest_sum, packed.greatest_step, &packed.requantise);
                // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                with_rounding!(rounding, F => unsafe {
                    match columns::known(packed) {
                        (_, 3, 1) => depthwise::<F, 4, 1, 3, 1>(packed, block, columns, output),
                        (_, 3, 2) => depthwise::<F, 4, 1, 3, 2>(packed, block, columns, output),
                        (4, 10, 2) => depthwise::<F, 2, 4, 10, 2>(packed, block, columns, output),
                        (2, 10, 4) => depthwise::<F, 4, 2, 10, 4>(packed, block, columns, output),
                        (_, 9, 3) => depthwise::<F, 4, 1, 9, 3>(packed, block, columns, output),
                        (_, 9, 6) => depthwise::<F, 4, 1, 9, 6>(packed, block, columns, output),
                        (_, 25, 5) => depthwise::<F, 4, 1, 25, 5>(packed, block, columns, output),
                        (_, 25, 10) => depthwise::<F, 4, 1, 25, 10>(packed, block, columns, output),
                        _ => depthwise::<F, 4, 1, 0, 0>(packed, block, columns, output),
                    }
                })
            }
        }
    };
}
pub(super) use set;
