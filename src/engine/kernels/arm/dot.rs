//! Dot products of four signed bytes (SDOT), as a Cortex-A76 has them. Through `asm!`: the intrinsics are not stable.

use std::arch::aarch64::*;
use std::arch::asm;

use super::columns::{self, Columns};
use super::convolution::{self, Eight, LANES, Tile, load_again, set};
use super::requantise::{Finish, Plain, Positive, Rounding, Small, with_rounding};
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Sources, Target};
use crate::engine::kernels::packed::{DenseSet, Packed};
use crate::engine::kernels::rows::Line;

#[derive(Clone, Copy, Debug)]
pub struct Dot;

set!(Dot, i8, 4, 4, "neon,dotprod");

/// `sums + weights · values` in each lane, of the same four of `values` for all.
///
/// # Safety
/// As [`Tile`]'s.
#[inline(always)]
unsafe fn dot_four<const FOUR: usize>(
    mut sums: int32x4_t,
    weights: int8x16_t,
    values: int8x16_t,
) -> int32x4_t {
    // SAFETY: the caller's; only registers are touched.
    unsafe {
        asm!("sdot {sums:v}.4s, {weights:v}.16b, {values:v}.4b[{four}]",
            sums = inout(vreg) sums, weights = in(vreg) weights, values = in(vreg) values, four = const FOUR,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

impl Tile for Dot {
    #[inline(always)]
    unsafe fn sums<const P: usize, const HALVES: usize>(
        start: &[i32; LANES],
        rows: impl Iterator<Item = *const i8>,
        length: usize,
        step: usize,
        weights: *const u8,
    ) -> [Eight; P] {
        // SAFETY: the caller's; each row and its weights are read to their end.
        unsafe {
            let mut sums = [[vdupq_n_s32(0); 2]; P];
            for half in 0..HALVES {
                for sums in &mut sums {
                    sums[half] = load_again(start.as_ptr().add(4 * half));
                }
            }
            let mut weights = weights.cast::<i8>();
            for values in rows {
                let mut at = 0;
                while at + 16 <= length {
                    let values: [int8x16_t; P] =
                        std::array::from_fn(|pixel| vld1q_s8(values.add(pixel * step + at)));
                    let weights = weights.add(at * LANES);
                    quad::<P, HALVES, 0>(&mut sums, &values, weights);
                    quad::<P, HALVES, 1>(&mut sums, &values, weights);
                    quad::<P, HALVES, 2>(&mut sums, &values, weights);
                    quad::<P, HALVES, 3>(&mut sums, &values, weights);
                    at += 16;
                }
                if at < length {
                    let values: [int8x16_t; P] = std::array::from_fn(|pixel| {
                        vcombine_s8(vld1_s8(values.add(pixel * step + at)), vdup_n_s8(0))
                    });
                    let weights = weights.add(at * LANES);
                    quad::<P, HALVES, 0>(&mut sums, &values, weights);
                    quad::<P, HALVES, 1>(&mut sums, &values, weights);
                }
                weights = weights.add(length * LANES);
            }
            sums
        }
    }
}

/// Four values of each pixel, with the weights that go with them.
#[inline(always)]
unsafe fn quad<const P: usize, const HALVES: usize, const FOUR: usize>(
    sums: &mut [Eight; P],
    values: &[int8x16_t; P],
    weights: *const i8,
) {
    for half in 0..HALVES {
        // SAFETY: the caller's; there are weights of sixteen values.
        unsafe {
            let weights = vld1q_s8(weights.add(FOUR * 4 * LANES + 16 * half));
            for (sums, &values) in sums.iter_mut().zip(values) {
                sums[half] = dot_four::<FOUR>(sums[half], weights, values);
            }
        }
    }
}

/// `sums + column · weights` in each lane, of four bytes each.
///
/// # Safety
/// As [`Columns`]'s.
#[inline(always)]
unsafe fn dot(mut sums: int32x4_t, column: int8x16_t, weights: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's; only registers are touched.
    unsafe {
        asm!("sdot {sums:v}.4s, {column:v}.16b, {weights:v}.16b",
            sums = inout(vreg) sums, column = in(vreg) column, weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

impl Columns for Dot {
    type Half = [int8x16_t; 2];

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self::Half {
        // SAFETY: the caller's.
        unsafe { [vld1q_s8(from.cast()), vld1q_s8(from.add(16).cast())] }
    }

    #[inline(always)]
    unsafe fn dot(sums: Eight, column: Self::Half, weights: Self::Half) -> Eight {
        // SAFETY: the caller's.
        unsafe { [dot(sums[0], column[0], weights[0]), dot(sums[1], column[1], weights[1])] }
    }

    #[inline(always)]
    unsafe fn write_column(rows: [uint8x16_t; 4], to: *mut u8) {
        // SAFETY: the caller's. The store itself interleaves.
        unsafe {
            let sign = vdupq_n_u8(0x80);
            let [a, b, c, d] = rows.map(|row| veorq_u8(row, sign));
            vst4q_u8(to, uint8x16x4_t(a, b, c, d));
        }
    }
}
