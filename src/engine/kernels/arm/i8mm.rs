//! Matrix products of unsigned and signed bytes (USMMLA, USDOT): two pixels times two channels, eight products each, an
//! instruction. Through `asm!`: the intrinsics are not stable.

use std::arch::aarch64::*;
use std::arch::asm;

use super::columns::{self, Columns};
use super::convolution::{self, Eight, LANES, Tile, load_again, set};
use super::requantise::{Finish, Plain, Positive, Rounding, Small, with_rounding};
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Sources, Target};
use crate::engine::kernels::folded;
use crate::engine::kernels::packed::{ByRows, DenseSet, Packed, Patches};
use crate::engine::kernels::rows::Line;

#[derive(Clone, Copy, Debug)]
pub struct I8mm;

set!(I8mm, u8, 8, 4, "neon,i8mm", multiply_rows);

/// `sums + values · weights`: `[pixel, channel]` of sums, `[pixel, 8]` of values, `[channel, 8]` of weights, two of each.
///
/// # Safety
/// As [`Tile`]'s.
#[inline(always)]
unsafe fn product(mut sums: int32x4_t, values: uint64x2_t, weights: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's; only registers are touched.
    unsafe {
        asm!("usmmla {sums:v}.4s, {values:v}.16b, {weights:v}.16b",
            sums = inout(vreg) sums, values = in(vreg) values, weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

impl Tile for I8mm {
    #[inline(always)]
    unsafe fn sums<const P: usize, const HALVES: usize>(
        start: &[i32; LANES],
        rows: impl Iterator<Item = *const u8>,
        length: usize,
        step: usize,
        weights: *const u8,
    ) -> [Eight; P] {
        // Pairs of channels' starts, one for each of two pixels.
        let start: [[i32; 4]; 4] = std::array::from_fn(|pair| {
            [start[2 * pair], start[2 * pair + 1], start[2 * pair], start[2 * pair + 1]]
        });
        // SAFETY: the caller's; each row and its weights are read to their end.
        unsafe {
            // Of each pair of pixels; a single pixel is its own partner. Those past the last pair are never used.
            let mut sums = [[vdupq_n_s32(0); 4]; P];
            let pairs = P.div_ceil(2);
            for sums in sums.iter_mut().take(pairs) {
                for (pair, sum) in sums.iter_mut().enumerate().take(2 * HALVES) {
                    *sum = load_again(start[pair].as_ptr());
                }
            }
            let mut weights = weights.cast::<i8>();
            for values in rows {
                let row = |pixel: usize| values.add(pixel.min(P - 1) * step);
                let mut at = 0;
                while at + 16 <= length {
                    let load = |pixel: usize| vreinterpretq_u64_u8(vld1q_u8(row(pixel).add(at)));
                    let (mut first, mut second) = ([vdupq_n_u64(0); P], [vdupq_n_u64(0); P]);
                    for pair in 0..pairs {
                        let (above, below) = (load(2 * pair), load(2 * pair + 1));
                        (first[pair], second[pair]) = (vtrn1q_u64(above, below), vtrn2q_u64(above, below));
                    }
                    eight::<P, HALVES>(&mut sums, &first, weights.add(at * LANES));
                    eight::<P, HALVES>(&mut sums, &second, weights.add((at + 8) * LANES));
                    at += 16;
                }
                if at < length {
                    let load = |pixel: usize| vreinterpret_u64_u8(vld1_u8(row(pixel).add(at)));
                    let mut last = [vdupq_n_u64(0); P];
                    for (pair, last) in last.iter_mut().enumerate().take(pairs) {
                        *last = vcombine_u64(load(2 * pair), load(2 * pair + 1));
                    }
                    eight::<P, HALVES>(&mut sums, &last, weights.add(at * LANES));
                }
                weights = weights.add(length * LANES);
            }
            let wide = |sums: int32x4_t| vreinterpretq_s64_s32(sums);
            std::array::from_fn(|pixel| {
                let sums = sums[pixel / 2];
                std::array::from_fn(|half| {
                    let (left, right) = (wide(sums[2 * half]), wide(sums[2 * half + 1]));
                    vreinterpretq_s32_s64(match pixel % 2 {
                        0 => vtrn1q_s64(left, right),
                        _ => vtrn2q_s64(left, right),
                    })
                })
            })
        }
    }
}

/// Eight values of each pair of pixels, with the weights that go with them.
#[inline(always)]
unsafe fn eight<const P: usize, const HALVES: usize>(
    sums: &mut [[int32x4_t; 4]; P],
    values: &[uint64x2_t; P],
    weights: *const i8,
) {
    for pair in 0..2 * HALVES {
        // SAFETY: the caller's; there are weights of eight values.
        unsafe {
            let weights = vld1q_s8(weights.add(16 * pair));
            for (sums, &values) in sums.iter_mut().zip(values).take(P.div_ceil(2)) {
                sums[pair] = product(sums[pair], values, weights);
            }
        }
    }
}

/// `sums + column · weights` in each lane, of four bytes each.
///
/// # Safety
/// As [`Columns`]'s.
#[inline(always)]
unsafe fn dot(mut sums: int32x4_t, column: uint8x16_t, weights: uint8x16_t) -> int32x4_t {
    // SAFETY: the caller's; only registers are touched.
    unsafe {
        asm!("usdot {sums:v}.4s, {column:v}.16b, {weights:v}.16b",
            sums = inout(vreg) sums, column = in(vreg) column, weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

impl Columns for I8mm {
    type Half = [uint8x16_t; 2];

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self::Half {
        // SAFETY: the caller's.
        unsafe { [vld1q_u8(from), vld1q_u8(from.add(16))] }
    }

    #[inline(always)]
    unsafe fn dot(sums: Eight, column: Self::Half, weights: Self::Half) -> Eight {
        // SAFETY: the caller's.
        unsafe { [dot(sums[0], column[0], weights[0]), dot(sums[1], column[1], weights[1])] }
    }

    #[inline(always)]
    unsafe fn write_column(rows: [uint8x16_t; 4], to: *mut u8) {
        let [a, b, c, d] = rows;
        // SAFETY: the caller's. The store itself interleaves.
        unsafe { vst4q_u8(to, uint8x16x4_t(a, b, c, d)) }
    }
}
