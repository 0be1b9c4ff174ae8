//! AVX-512 with VNNI: sixteen dot products of four u8 × s8 an instruction, without saturation.

use std::arch::x86_64::*;

use super::convolution;
use super::vectors::Vector;
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Sources, Target};
use crate::engine::kernels::folded;
use crate::engine::kernels::packed::{ByRows, DenseSet, Packed, Patches, Sums};
use crate::engine::kernels::rows::Line;
use crate::engine::quantise::Requantise;

#[derive(Clone, Copy, Debug)]
pub struct Vnni512;

impl DenseSet for Vnni512 {
    type Value = u8;
    const UNIT: usize = 4;
    const LANES: usize = 16;
    const DEPTH: usize = 4;
    const PIXELS: usize = 48;

    const BY_ROWS: Option<ByRows<Self>> =
        Some(ByRows { multiply: Self::multiply_rows, sum: Self::sum_rows, add_up: Self::add_up });

    fn multiply(packed: &Packed<Self>, patches: &[u8], output: &mut [u8], stride: usize) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        fn wide(packed: &Packed<Vnni512>, patches: &[u8], output: &mut [u8], stride: usize) {
            // SAFETY: this function is compiled for what the vectors need.
            unsafe { convolution::gathered::<Vnni512, Sixteen, 16, 12, 8>(packed, patches, output, stride) }
        }
        // SAFETY: the set is only given out where the CPU has what this function is compiled for.
        unsafe { wide(packed, patches, output, stride) }
    }
}

impl Vnni512 {
    fn multiply_rows(packed: &Packed<Self>, patches: &Patches<'_>, output: &mut [u8], stride: usize) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        fn wide(packed: &Packed<Vnni512>, patches: &Patches<'_>, output: &mut [u8], stride: usize) {
            // SAFETY: this function is compiled for what the vectors need.
            unsafe { convolution::dense::<Vnni512, Sixteen, 16, 12, 8>(packed, patches, output, stride) }
        }
        // SAFETY: the set is only given out where the CPU has what this function is compiled for.
        unsafe { wide(packed, patches, output, stride) }
    }

    fn sum_rows(packed: &Packed<Self>, patches: &Patches<'_>, sums: &mut [i32]) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        fn wide(packed: &Packed<Vnni512>, patches: &Patches<'_>, sums: &mut [i32]) {
            // SAFETY: this function is compiled for what the vectors need.
            unsafe { convolution::sums::<Vnni512, Sixteen, 16, 12>(packed, patches, sums) }
        }
        // SAFETY: the set is only given out where the CPU has what this function is compiled for.
        unsafe { wide(packed, patches, sums) }
    }

    fn add_up(sums: &Sums, columns: &[i32], output: &mut [u8], stride: usize) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
        fn wide(sums: &Sums, columns: &[i32], output: &mut [u8], stride: usize) {
            folded::add_up(sums, columns, output, stride);
        }
        // SAFETY: the set is only given out where the CPU has what this function is compiled for.
        unsafe { wide(sums, columns, output, stride) }
    }
}

impl DepthwiseSet for Vnni512 {
    type Value = u8;
    const LANES: usize = 16;
    const ROWS: usize = 4;

    fn interleave(rows: &Sources<'_>, count: usize, columns: &mut [Line], first: usize, step: usize) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
        fn wide(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize) {
            // SAFETY: this function is compiled for what the vectors need; the caller found room.
            unsafe { Sixteen::interleave(rows, count, to, step) }
        }
        rows.check(count);
        assert!(count == 0 || columns.len() * 64 >= first + (count - 1) * step + Self::COLUMN);
        // SAFETY: the set is only given out where the CPU has what this function is compiled for; `columns` is long
        // enough, and `first` lies within.
        unsafe { wide(rows, count, columns.as_mut_ptr().cast::<u8>().add(first), step) }
    }

    fn multiply(packed: &PackedDepthwise<Self>, block: usize, columns: &[Line], output: Target<'_>) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        fn wide(packed: &PackedDepthwise<Vnni512>, block: usize, columns: &[Line], output: Target<'_>) {
            // SAFETY: this function is compiled for what the vectors need.
            unsafe { convolution::depthwise::<Vnni512, Sixteen, 32>(packed, block, columns, output) }
        }
        // SAFETY: the set is only given out where the CPU has what this function is compiled for.
        unsafe { wide(packed, block, columns, output) }
    }
}

#[derive(Clone, Copy)]
struct Sixteen(__m512i);

impl Vector for Sixteen {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the caller's.
        Sixteen(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn repeat(from: *const u8) -> Self {
        // SAFETY: the caller's.
        Sixteen(unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) })
    }

    #[inline(always)]
    unsafe fn dot(self, values: Self, weights: Self) -> Self {
        // SAFETY: the caller's.
        Sixteen(unsafe { _mm512_dpbusd_epi32(self.0, values.0, weights.0) })
    }

    #[inline(always)]
    unsafe fn store_sums(self, to: *mut i32) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn store(self, factors: *const f32, requantise: &Requantise, to: *mut u8, count: usize) {
        // SAFETY: the caller's; only the first `count` bytes are touched.
        unsafe {
            let steps = _mm512_mul_ps(_mm512_cvtepi32_ps(self.0), _mm512_loadu_ps(factors));
            let low = _mm512_set1_ps(requantise.low());
            let high = _mm512_set1_ps(requantise.high());
            // In the default rounding mode: half to even.
            let steps = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(steps, low), high));
            let stored = _mm512_add_epi32(steps, _mm512_set1_epi32(requantise.zero_point()));
            let stored = _mm512_cvtepi32_epi8(stored);
            match count {
                16 => _mm_storeu_si128(to.cast(), stored),
                8 => _mm_storel_epi64(to.cast(), stored),
                count => _mm_mask_storeu_epi8(to.cast(), first(count), stored),
            }
        }
    }

    #[inline(always)]
    unsafe fn interleave(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize) {
        let order: [u8; 64] = std::array::from_fn(|index| (index % 4 * 16 + index / 4) as u8);
        let mask = first(rows.lanes);
        // SAFETY: the caller's; rows that are there have `count` pixels of this block's lanes, and the mask keeps to them.
        unsafe {
            let order = _mm512_loadu_si512(order.as_ptr().cast());
            let outside = _mm_set1_epi8(rows.zero_point as i8);
            let quarter = |row: &[u8], column: usize| {
                if row.is_empty() {
                    outside
                } else {
                    _mm_maskz_loadu_epi8(mask, row.as_ptr().add(column * rows.channels).cast())
                }
            };
            for column in 0..count {
                let four = _mm512_castsi128_si512(quarter(rows.rows[0], column));
                let four = _mm512_inserti32x4::<1>(four, quarter(rows.rows[1], column));
                let four = _mm512_inserti32x4::<2>(four, quarter(rows.rows[2], column));
                let four = _mm512_inserti32x4::<3>(four, quarter(rows.rows[3], column));
                _mm512_storeu_si512(to.add(column * step).cast(), _mm512_permutexvar_epi8(order, four));
            }
        }
    }
}

/// A mask of the first `count` of 16.
fn first(count: usize) -> __mmask16 {
    match count {
        0..16 => (1 << count) - 1,
        _ => __mmask16::MAX,
    }
}
