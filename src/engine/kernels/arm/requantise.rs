//! From sums to stored bytes, eight channels at a time, in three ways that give the same bytes.

use std::arch::aarch64::*;

use crate::engine::quantise::Requantise;

/// 1.5 × 2^23: added to an integer's bits it makes an f32 of it, added to an f32 it rounds half to even; below ±2^22.
const ROUNDING: f32 = 12_582_912.0;

/// How sums become bytes. The cheap ways stay clear of conversions, which take four times as long as an addition on a
/// Cortex-A76.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// For any sum: convert, clamp, round, add the zero point.
    Plain,
    /// For small sums: no conversions, and narrowing saturates.
    Small,
    /// The same, and the rounding adds the zero point, which is even.
    SmallEven,
}

impl Way {
    /// The cheapest one for sums and steps up to these.
    pub fn of(greatest_sum: i64, greatest_step: f64, requantise: &Requantise) -> Way {
        match greatest_sum < 1 << 22 && greatest_step < 32_000.0 {
            true if requantise.zero_point() % 2 == 0 => Way::SmallEven,
            true => Way::Small,
            false => Way::Plain,
        }
    }
}

/// A [`Way`], with what it needs of a block's eight channels.
pub trait Finish: Sized {
    /// What sums must start with besides their own start.
    const OFFSET: i32;

    fn new(requantise: &Requantise, factors: [float32x4_t; 2]) -> Self;

    /// [`Requantise::apply`] of each sum.
    fn bytes(&self, sums: [int32x4_t; 2]) -> uint8x8_t;
}

/// [`Way::Plain`].
pub struct Plain {
    factors: [float32x4_t; 2],
    low: float32x4_t,
    high: float32x4_t,
    zero_point: int32x4_t,
}

impl Finish for Plain {
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn new(requantise: &Requantise, factors: [float32x4_t; 2]) -> Self {
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe {
            Plain {
                factors,
                low: vdupq_n_f32(requantise.low()),
                high: vdupq_n_f32(requantise.high()),
                zero_point: vdupq_n_s32(requantise.zero_point()),
            }
        }
    }

    #[inline(always)]
    fn bytes(&self, sums: [int32x4_t; 2]) -> uint8x8_t {
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

/// [`Way::Small`] and [`Way::SmallEven`].
pub struct Small<const EVEN: bool> {
    factors: [float32x4_t; 2],
    offset: float32x4_t,
    rounding: float32x4_t,
    zero_point: int16x8_t,
}

impl<const EVEN: bool> Finish for Small<EVEN> {
    const OFFSET: i32 = ROUNDING.to_bits() as i32;

    #[inline(always)]
    fn new(requantise: &Requantise, factors: [float32x4_t; 2]) -> Self {
        let zero_point = requantise.zero_point();
        let rounding = if EVEN { ROUNDING + zero_point as f32 } else { ROUNDING };
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe {
            Small {
                factors,
                offset: vdupq_n_f32(ROUNDING),
                rounding: vdupq_n_f32(rounding),
                zero_point: vdupq_n_s16(zero_point as i16),
            }
        }
    }

    #[inline(always)]
    fn bytes(&self, sums: [int32x4_t; 2]) -> uint8x8_t {
        // SAFETY: all of 64-bit ARM has NEON.
        let rounded = |half: usize| unsafe {
            let sums = vsubq_f32(vreinterpretq_f32_s32(sums[half]), self.offset);
            vreinterpretq_s16_f32(vaddq_f32(vmulq_f32(sums, self.factors[half]), self.rounding))
        };
        // SAFETY: all of 64-bit ARM has NEON.
        unsafe {
            let steps = vuzp1q_s16(rounded(0), rounded(1));
            vqmovun_s16(if EVEN { steps } else { vqaddq_s16(steps, self.zero_point) })
        }
    }
}

/// Runs `$call` with `$way` standing for the type that a [`Way`] has.
macro_rules! with_way {
    ($value:expr, $way:ident => $call:expr) => {
        match $value {
            Way::Plain => {
                type $way = Plain;
                $call
            }
            Way::Small => {
                type $way = Small<false>;
                $call
            }
            Way::SmallEven => {
                type $way = Small<true>;
                $call
            }
        }
    };
}
pub(super) use with_way;
