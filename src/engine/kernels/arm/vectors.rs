//! Vectors of eight channels.

use std::arch::aarch64::*;
use std::arch::asm;

/// Channels of a block of a dense convolution, and of half a block of a depthwise one.
pub const LANES: usize = 8;

/// Sums of eight channels. Where only four channels count, the upper half is left as it is.
pub type Eight = [int32x4_t; 2];

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
