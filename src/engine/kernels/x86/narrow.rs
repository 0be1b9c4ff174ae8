//! Sets of 256-bit vectors, eight channels each: with AVX-VNNI four u8 × s8 a dot product; with AVX2 two i16 × i16, since its
//! own product of bytes saturates.

use std::arch::x86_64::*;

use super::convolution;
use super::vectors::Vector;
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Sources, Target};
use crate::engine::kernels::folded;
use crate::engine::kernels::packed::{ByRows, DenseSet, Packed, Patches, Sums};
use crate::engine::kernels::rows::Line;
use crate::engine::quantise::Requantise;

#[derive(Clone, Copy, Debug)]
pub struct Vnni256;

#[derive(Clone, Copy, Debug)]
pub struct Avx2;

/// Pixels of a tile for 1, 2 and 3 blocks, 0 for none: sums, values and weights must fit into 16 registers, with room to spare.
macro_rules! tiles {
    ($function:ident, $set:ident, $vector:ident, [$one:literal, $two:literal, $three:literal]) => {
        convolution::$function::<$set, $vector, $one, $two, $three>
    };
}

macro_rules! set {
    ($set:ident, $vector:ident, $value:ty, $unit:literal, $by_rows:literal, $tiles:tt, $features:literal) => {
        impl DenseSet for $set {
            type Value = $value;
            const UNIT: usize = $unit;
            const LANES: usize = 8;
            const DEPTH: usize = $unit;
            const PIXELS: usize = 24;

            const BY_ROWS: Option<ByRows<Self>> = match $by_rows {
                true => {
                    Some(ByRows { multiply: Self::multiply_rows, sum: Self::sum_rows, add_up: Self::add_up })
                }
                false => None,
            };

            fn multiply(packed: &Packed<Self>, patches: &[$value], output: &mut [u8], stride: usize) {
                #[target_feature(enable = $features)]
                fn wide(packed: &Packed<$set>, patches: &[u8], output: &mut [u8], stride: usize) {
                    // SAFETY: this function is compiled for what the vectors need.
                    unsafe { tiles!(gathered, $set, $vector, $tiles)(packed, patches, output, stride) }
                }
                // SAFETY: values of one or two bytes have no padding. The set is only given out where the CPU has what
                // this function is compiled for.
                unsafe {
                    let patches = std::slice::from_raw_parts(patches.as_ptr().cast(), size_of_val(patches));
                    wide(packed, patches, output, stride);
                }
            }
        }

        impl $set {
            fn multiply_rows(packed: &Packed<Self>, patches: &Patches<'_>, output: &mut [u8], stride: usize) {
                #[target_feature(enable = $features)]
                fn wide(packed: &Packed<$set>, patches: &Patches<'_>, output: &mut [u8], stride: usize) {
                    // SAFETY: this function is compiled for what the vectors need.
                    unsafe { tiles!(dense, $set, $vector, $tiles)(packed, patches, output, stride) }
                }
                // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                unsafe { wide(packed, patches, output, stride) }
            }

            fn sum_rows(packed: &Packed<Self>, patches: &Patches<'_>, sums: &mut [i32]) {
                #[target_feature(enable = $features)]
                fn wide(packed: &Packed<$set>, patches: &Patches<'_>, sums: &mut [i32]) {
                    // SAFETY: this function is compiled for what the vectors need.
                    unsafe { convolution::sums::<$set, $vector, 8, 4>(packed, patches, sums) }
                }
                // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                unsafe { wide(packed, patches, sums) }
            }

            fn add_up(sums: &Sums, columns: &[i32], output: &mut [u8], stride: usize) {
                #[target_feature(enable = $features)]
                fn wide(sums: &Sums, columns: &[i32], output: &mut [u8], stride: usize) {
                    folded::add_up(sums, columns, output, stride);
                }
                // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                unsafe { wide(sums, columns, output, stride) }
            }
        }

        impl DepthwiseSet for $set {
            type Value = $value;
            const LANES: usize = 8;
            const ROWS: usize = $unit;

            fn interleave(rows: &Sources<'_>, count: usize, columns: &mut [Line], first: usize, step: usize) {
                #[target_feature(enable = $features)]
                fn wide(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize) {
                    // SAFETY: this function is compiled for what the vectors need; the caller found room.
                    unsafe { $vector::interleave(rows, count, to, step) }
                }
                rows.check(count);
                assert!(count == 0 || columns.len() * 64 >= first + (count - 1) * step + Self::COLUMN);
                // SAFETY: the set is only given out where the CPU has what this function is compiled for; `columns` is
                // long enough, and `first` lies within.
                unsafe { wide(rows, count, columns.as_mut_ptr().cast::<u8>().add(first), step) }
            }

            fn multiply(packed: &PackedDepthwise<Self>, block: usize, columns: &[Line], output: Target<'_>) {
                #[target_feature(enable = $features)]
                fn wide(packed: &PackedDepthwise<$set>, block: usize, columns: &[Line], output: Target<'_>) {
                    // SAFETY: this function is compiled for what the vectors need.
                    unsafe { convolution::depthwise::<$set, $vector, 16>(packed, block, columns, output) }
                }
                // SAFETY: the set is only given out where the CPU has what this function is compiled for.
                unsafe { wide(packed, block, columns, output) }
            }
        }
    };
}

set!(Vnni256, Fours, u8, 4, true, [8, 5, 0], "avx2,fma,avxvnni");
set!(Avx2, Pairs, i16, 2, false, [8, 4, 0], "avx2,fma");

macro_rules! vector {
    ($vector:ident) => {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn load(from: *const u8) -> Self {
            // SAFETY: the caller's.
            $vector(unsafe { _mm256_loadu_si256(from.cast()) })
        }

        #[inline(always)]
        unsafe fn repeat(from: *const u8) -> Self {
            // SAFETY: the caller's.
            $vector(unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) })
        }

        #[inline(always)]
        unsafe fn store_sums(self, to: *mut i32) {
            // SAFETY: the caller's.
            unsafe { _mm256_storeu_si256(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn store(self, factors: *const f32, requantise: &Requantise, to: *mut u8, count: usize) {
            // SAFETY: the caller's.
            unsafe { store(self.0, factors, requantise, to, count) }
        }
    };
}

/// Four u8 and four s8 a lane.
#[derive(Clone, Copy)]
struct Fours(__m256i);

impl Vector for Fours {
    vector!(Fours);

    #[inline(always)]
    unsafe fn dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        Fours(unsafe { _mm256_dpbusd_avx_epi32(self.0, values.0, weights.0) })
    }

    #[inline(always)]
    unsafe fn interleave(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize) {
        // SAFETY: the caller's.
        unsafe {
            for column in 0..count {
                let four: [__m128i; 4] = std::array::from_fn(|row| eight(rows, row, column));
                let (above, below) =
                    (_mm_unpacklo_epi8(four[0], four[1]), _mm_unpacklo_epi8(four[2], four[3]));
                let to = to.add(column * step);
                _mm_storeu_si128(to.cast(), _mm_unpacklo_epi16(above, below));
                _mm_storeu_si128(to.add(16).cast(), _mm_unpackhi_epi16(above, below));
            }
        }
    }
}

/// Two i16 a lane.
#[derive(Clone, Copy)]
struct Pairs(__m256i);

impl Vector for Pairs {
    vector!(Pairs);

    #[inline(always)]
    unsafe fn dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        Pairs(unsafe { _mm256_add_epi32(self.0, _mm256_madd_epi16(values.0, weights.0)) })
    }

    #[inline(always)]
    unsafe fn interleave(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize) {
        // SAFETY: the caller's.
        unsafe {
            for column in 0..count {
                let pairs = _mm_unpacklo_epi8(eight(rows, 0, column), eight(rows, 1, column));
                _mm256_storeu_si256(to.add(column * step).cast(), _mm256_cvtepu8_epi16(pairs));
            }
        }
    }
}

/// Eight channels of a row's pixel, in the lower half; zeros for those that there are not.
#[inline(always)]
unsafe fn eight(rows: &Sources<'_>, row: usize, column: usize) -> __m128i {
    let row = rows.rows[row];
    // SAFETY: the caller's; rows that are there have that many pixels of this block's lanes.
    unsafe {
        if row.is_empty() {
            return _mm_set1_epi8(rows.zero_point as i8);
        }
        let from = row.as_ptr().add(column * rows.channels);
        if rows.lanes == 8 {
            return _mm_loadl_epi64(from.cast());
        }
        let mut bytes = [0u8; 8];
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), rows.lanes);
        _mm_loadl_epi64(bytes.as_ptr().cast())
    }
}

/// [`Vector::store`].
#[inline(always)]
unsafe fn store(sums: __m256i, factors: *const f32, requantise: &Requantise, to: *mut u8, count: usize) {
    // SAFETY: the caller's; only the first `count` bytes are touched.
    unsafe {
        let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(factors));
        let low = _mm256_set1_ps(requantise.low());
        let high = _mm256_set1_ps(requantise.high());
        // In the default rounding mode: half to even.
        let steps = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(steps, low), high));
        let stored = _mm256_add_epi32(steps, _mm256_set1_epi32(requantise.zero_point()));
        let words = _mm_packs_epi32(_mm256_castsi256_si128(stored), _mm256_extracti128_si256::<1>(stored));
        let bytes = _mm_packus_epi16(words, words);
        match count {
            8 => _mm_storel_epi64(to.cast(), bytes),
            count => {
                let mut all = [0u8; 8];
                _mm_storel_epi64(all.as_mut_ptr().cast(), bytes);
                std::ptr::copy_nonoverlapping(all.as_ptr(), to, count.min(8));
            }
        }
    }
}
