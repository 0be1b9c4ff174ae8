//! Products of 16-bit values (SMLAL), for CPUs without dot products of bytes, such as a Cortex-A72.

use std::arch::aarch64::*;

use super::columns::{self, Columns};
use super::convolution::{self, Eight, LANES, Tile, load_again, set};
use super::requantise::{Finish, Plain, Positive, Rounding, Small, with_rounding};
use crate::engine::kernels::depthwise::{DepthwiseSet, PackedDepthwise, Sources, Target};
use crate::engine::kernels::packed::{DenseSet, Packed};
use crate::engine::kernels::rows::Line;

#[derive(Clone, Copy, Debug)]
pub struct Neon;

set!(Neon, i16, 1, 1, "neon");

impl Tile for Neon {
    #[inline(always)]
    unsafe fn sums<const P: usize, const HALVES: usize>(
        start: &[i32; LANES],
        rows: impl Iterator<Item = *const i16>,
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
            let mut weights = weights.cast::<i16>();
            for values in rows {
                let mut at = 0;
                while at < length {
                    let values: [int16x8_t; P] =
                        std::array::from_fn(|pixel| vld1q_s16(values.add(pixel * step + at)));
                    let weights = weights.add(at * LANES);
                    one::<P, HALVES, 0>(&mut sums, &values, weights);
                    one::<P, HALVES, 1>(&mut sums, &values, weights);
                    one::<P, HALVES, 2>(&mut sums, &values, weights);
                    one::<P, HALVES, 3>(&mut sums, &values, weights);
                    one::<P, HALVES, 4>(&mut sums, &values, weights);
                    one::<P, HALVES, 5>(&mut sums, &values, weights);
                    one::<P, HALVES, 6>(&mut sums, &values, weights);
                    one::<P, HALVES, 7>(&mut sums, &values, weights);
                    at += 8;
                }
                weights = weights.add(length * LANES);
            }
            sums
        }
    }
}

/// One value of each pixel, with the weights that go with it.
#[inline(always)]
unsafe fn one<const P: usize, const HALVES: usize, const LANE: i32>(
    sums: &mut [Eight; P],
    values: &[int16x8_t; P],
    weights: *const i16,
) {
    // SAFETY: the caller's; there are weights of eight values.
    unsafe {
        let weights = vld1q_s16(weights.add(LANE as usize * LANES));
        for (sums, &values) in sums.iter_mut().zip(values) {
            sums[0] = vmlal_laneq_s16::<LANE>(sums[0], vget_low_s16(weights), values);
            if HALVES > 1 {
                sums[1] = vmlal_high_laneq_s16::<LANE>(sums[1], weights, values);
            }
        }
    }
}

impl Columns for Neon {
    type Half = int16x8_t;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self::Half {
        // SAFETY: the caller's.
        unsafe { vld1q_s16(from.cast()) }
    }

    #[inline(always)]
    unsafe fn dot(sums: Eight, column: Self::Half, weights: Self::Half) -> Eight {
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe {
            [
                vmlal_s16(sums[0], vget_low_s16(column), vget_low_s16(weights)),
                vmlal_high_s16(sums[1], column, weights),
            ]
        }
    }

    #[inline(always)]
    unsafe fn write_column(rows: [uint8x16_t; 4], to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            vst1q_u16(to.cast(), vmovl_u8(vget_low_u8(rows[0])));
            vst1q_u16(to.add(16).cast(), vmovl_high_u8(rows[0]));
        }
    }
}
