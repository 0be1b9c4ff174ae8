//! From sums to stored bytes, eight channels at a time, in three ways that give the same bytes.

use std::arch::aarch64::*;

use super::vectors::{Eight, LANES, load_again};
use crate::engine::quantise::Requantise;

/// 1.5 × 2^23: added to an integer's bits it makes an f32 of it, added to an f32 it rounds half to even; below ±2^22.
const ROUNDING: f32 = 12_582_912.0;

/// How sums become bytes. The cheap ways stay clear of conversions, which take four times as long as an addition on a
/// Cortex-A76.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rounding {
    /// For any sum: convert, clamp, round, add the zero point.
    Plain,
    /// For small sums: no conversions, and narrowing saturates.
    Small,
    /// The same for a zero point of 0, where it does not matter what becomes of negative sums if only it is not positive.
    Positive,
}

impl Rounding {
    /// The cheapest one for sums and steps up to these.
    pub fn of(greatest_sum: i64, greatest_step: f64, requantise: &Requantise) -> Rounding {
        match greatest_sum < 1 << 22 && greatest_step < GREATEST_STEP {
            true if requantise.zero_point() == 0 => Rounding::Positive,
            true => Rounding::Small,
            false => Rounding::Plain,
        }
    }
}

/// Steps below this leave room for a zero point in 16 bits.
const GREATEST_STEP: f64 = 32_000.0;

/// A [`Rounding`], with what it needs of a block's eight channels.
pub trait Finish: Sized {
    /// What sums must start with besides their own start.
    const OFFSET: i32;

    fn new(requantise: &Requantise, factors: &[f32; LANES]) -> Self;

    /// [`Requantise::apply`] of each sum.
    fn bytes(&self, sums: Eight) -> uint8x8_t;
}

fn load(values: &[f32; LANES]) -> [float32x4_t; 2] {
    // SAFETY: all of 64-bit ARM has NEON; there are eight values.
    unsafe { [vld1q_f32(values.as_ptr()), vld1q_f32(values.as_ptr().add(4))] }
}

/// [`Rounding::Plain`].
pub struct Plain {
    factors: [float32x4_t; 2],
    low: float32x4_t,
    high: float32x4_t,
    zero_point: int32x4_t,
}

impl Finish for Plain {
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn new(requantise: &Requantise, factors: &[f32; LANES]) -> Self {
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe {
            Plain {
                factors: load(factors),
                low: vdupq_n_f32(requantise.low()),
                high: vdupq_n_f32(requantise.high()),
                zero_point: vdupq_n_s32(requantise.zero_point()),
            }
        }
    }

    #[inline(always)]
    fn bytes(&self, sums: Eight) -> uint8x8_t {
        // SAFETY: all of 64-bit ARM has NEON.
        let stored = |half: usize| unsafe {
            let steps = vmulq_f32(vcvtq_f32_s32(sums[half]), self.factors[half]);
            let steps = vminq_f32(vmaxq_f32(steps, self.low), self.high);
            vaddq_s32(vcvtnq_s32_f32(steps), self.zero_point)
        };
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe { vqmovun_s16(vcombine_s16(vmovn_s32(stored(0)), vmovn_s32(stored(1)))) }
    }
}

/// [`Rounding::Small`].
pub struct Small {
    factors: [float32x4_t; 2],
    rounding: float32x4_t,
    zero_point: int16x8_t,
}

impl Finish for Small {
    const OFFSET: i32 = ROUNDING.to_bits() as i32;

    #[inline(always)]
    fn new(requantise: &Requantise, factors: &[f32; LANES]) -> Self {
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe {
            Small {
                factors: load(factors),
                rounding: vdupq_n_f32(ROUNDING),
                zero_point: vdupq_n_s16(requantise.zero_point() as i16),
            }
        }
    }

    #[inline(always)]
    fn bytes(&self, sums: Eight) -> uint8x8_t {
        // SAFETY: all of 64-bit ARM has NEON.
        let rounded = |half: usize| unsafe {
            let sums = vsubq_f32(vreinterpretq_f32_s32(sums[half]), self.rounding);
            vreinterpretq_s16_f32(vaddq_f32(vmulq_f32(sums, self.factors[half]), self.rounding))
        };
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe { vqmovun_s16(vqaddq_s16(vuzp1q_s16(rounded(0), rounded(1)), self.zero_point)) }
    }
}

/// 2^23: added to the bits of a positive integer below it, it makes an f32 of their sum. Its product with a factor is exact,
/// so that a fused multiply-add can take it away again and rounds as the product alone would be.
const POWER: f32 = 8_388_608.0;

/// [`Rounding::Positive`].
pub struct Positive {
    factors: [float32x4_t; 2],
    /// −2^23 × factor, in memory: an instruction that loads it takes up no pipe that multiplies.
    offsets: [f32; LANES],
    rounding: float32x4_t,
}

impl Finish for Positive {
    const OFFSET: i32 = POWER.to_bits() as i32;

    #[inline(always)]
    fn new(_requantise: &Requantise, factors: &[f32; LANES]) -> Self {
        // Channels with greater factors have no sum but 0.
        let factors = factors.map(|factor| factor.min(GREATEST_STEP as f32));
        // SAFETY: all of 64-bit ARM has NEON.
        let rounding = unsafe { vdupq_n_f32(ROUNDING) };
        Positive { factors: load(&factors), offsets: factors.map(|factor| -POWER * factor), rounding }
    }

    #[inline(always)]
    fn bytes(&self, sums: Eight) -> uint8x8_t {
        // SAFETY: all of 64-bit ARM has NEON; there are eight offsets.
        let rounded = |half: usize| unsafe {
            let offsets = vreinterpretq_f32_s32(load_again(self.offsets.as_ptr().add(4 * half).cast()));
            let steps = vfmaq_f32(offsets, vreinterpretq_f32_s32(sums[half]), self.factors[half]);
            vreinterpretq_s16_f32(vaddq_f32(steps, self.rounding))
        };
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe { vqmovun_s16(vuzp1q_s16(rounded(0), rounded(1))) }
    }
}

/// Runs `$call` with `$rounding` standing for the type that a [`Rounding`] has.
macro_rules! with_rounding {
    ($value:expr, $rounding:ident => $call:expr) => {
        match $value {
            Rounding::Plain => {
                type $rounding = Plain;
                $call
            }
            Rounding::Small => {
                type $rounding = Small;
                $call
            }
            Rounding::Positive => {
                type $rounding = Positive;
                $call
            }
        }
    };
}
pub(super) use with_rounding;
