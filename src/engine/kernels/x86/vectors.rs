//! What a set's vectors do; the loops around them are `convolution`'s.

use crate::engine::kernels::depthwise::Sources;
use crate::engine::quantise::Requantise;

/// A vector of sums, one an output channel, and the dot products that add to it.
///
/// # Safety
/// All functions need the CPU features of the set that they belong to, and pointers to as much memory as they say.
/// They are inlined into functions that are compiled for these features.
pub trait Vector: Copy {
    /// Sums of a vector; the 4 bytes of each hold a dot product's factors.
    const LANES: usize;

    /// `4 × LANES` bytes.
    unsafe fn load(from: *const u8) -> Self;
    /// 4 bytes, repeated.
    unsafe fn repeat(from: *const u8) -> Self;
    /// `self + values · weights` in each lane.
    unsafe fn dot(self, values: Self, weights: Self) -> Self;
    /// Writes the sums themselves.
    unsafe fn store_sums(self, to: *mut i32);
    /// [`Requantise::apply`] of each sum, the first `count` of which, at least 1, are written to `to`. `factors` has
    /// [`Self::LANES`] values.
    unsafe fn store(self, factors: *const f32, requantise: &Requantise, to: *mut u8, count: usize);
    /// Writes `count` interleaved columns, from `to` on, `step` bytes apart.
    unsafe fn interleave(rows: &Sources<'_>, count: usize, to: *mut u8, step: usize);
}
