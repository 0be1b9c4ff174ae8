//! What convolutions share: constants of sixteen channels a vector, and the way from sums to stored values.

use std::arch::x86_64::*;

use crate::engine::kernels::Convolution;
use crate::engine::quantise::Requantise;

/// Output channels of a vector of sums.
pub const BLOCK: usize = 16;

/// A vector in memory, one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 64]);

impl Line {
    /// `four[channel]` are the factors of one dot product.
    pub fn set(&mut self, channel: usize, place: usize, weight: i8) {
        self.0[channel * 4 + place] = weight as u8;
    }
}

/// What turns a block's sums into stored values. Channels beyond the last have zeros.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Channels {
    /// Bias, less input zero point × sum of weights: what the sums start with.
    start: [i32; BLOCK],
    factors: [f32; BLOCK],
    /// Channels that there are, at most [`BLOCK`].
    count: usize,
}

impl Channels {
    /// One entry a block of output channels.
    pub fn pack(convolution: &Convolution) -> Vec<Channels> {
        let outputs = convolution.output[2];
        let empty = Channels { start: [0; BLOCK], factors: [0.0; BLOCK], count: 0 };
        let mut blocks = vec![empty; outputs.div_ceil(BLOCK)];
        let rows = convolution.weights.chunks_exact(convolution.sum_length().max(1));
        let channels = convolution.bias.iter().zip(&convolution.factors).zip(rows);
        for (channel, ((&bias, &factor), weights)) in channels.take(outputs).enumerate() {
            let block = &mut blocks[channel / BLOCK];
            let sum = weights.iter().fold(0i32, |sum, &weight| sum.wrapping_add(i32::from(weight)));
            let correction = sum.wrapping_mul(i32::from(convolution.input_zero_point));
            block.start[channel % BLOCK] = bias.wrapping_sub(correction);
            block.factors[channel % BLOCK] = factor;
        }
        for (index, block) in blocks.iter_mut().enumerate() {
            block.count = (outputs - index * BLOCK).min(BLOCK);
        }
        blocks
    }

    pub fn count(&self) -> usize {
        self.count
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn start(&self) -> __m512i {
        // SAFETY: the array has the vector's size.
        unsafe { _mm512_loadu_si512(self.start.as_ptr().cast()) }
    }

    /// [`Requantise::apply`] of each sum, written to the first bytes of `output`, which must have `count` or more.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub fn store(&self, requantise: &Requantise, sums: __m512i, output: &mut [u8]) {
        // SAFETY: the array has the vector's size.
        let factors = unsafe { _mm512_loadu_ps(self.factors.as_ptr()) };
        let steps = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), factors);
        let low = _mm512_set1_ps(requantise.low());
        let high = _mm512_set1_ps(requantise.high());
        // In the default rounding mode: half to even.
        let steps = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(steps, low), high));
        let stored = _mm512_add_epi32(steps, _mm512_set1_epi32(requantise.zero_point()));
        let stored = _mm512_cvtepi32_epi8(stored);
        let output = &mut output[..self.count];
        match output.len() {
            // SAFETY: `output` has 16 bytes.
            16 => unsafe { _mm_storeu_si128(output.as_mut_ptr().cast(), stored) },
            // SAFETY: `output` has 8 bytes.
            8 => unsafe { _mm_storel_epi64(output.as_mut_ptr().cast(), stored) },
            count => {
                let mask = first(count);
                // SAFETY: only the first `count` bytes are touched, and `output` has them.
                unsafe { _mm_mask_storeu_epi8(output.as_mut_ptr().cast(), mask, stored) }
            }
        }
    }
}

/// A mask of the first `count` of 16.
pub fn first(count: usize) -> __mmask16 {
    match count {
        0..BLOCK => (1 << count) - 1,
        _ => __mmask16::MAX,
    }
}
