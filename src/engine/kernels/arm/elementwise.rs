//! Element-wise functions for which the compiler finds no vectors.

use std::arch::aarch64::*;

use crate::engine::kernels::scalar;

/// The table in four times four registers; an index beyond a quarter of it finds 0.
pub fn lookup(table: &[u8; 256], input: &[u8], output: &mut [u8]) {
    let (blocks, rest) = output.as_chunks_mut::<16>();
    let (input_blocks, input_rest) = input.as_chunks::<16>();
    // SAFETY: all of 64-bit ARM has NEON; the table has four quarters of 64 bytes, and each block the vector's size.
    unsafe {
        let quarters: [uint8x16x4_t; 4] =
            std::array::from_fn(|quarter| vld1q_u8_x4(table.as_ptr().add(64 * quarter)));
        for (output, input) in blocks.iter_mut().zip(input_blocks) {
            let stored = vld1q_u8(input.as_ptr());
            let find = |quarter: usize| {
                vqtbl4q_u8(quarters[quarter], veorq_u8(stored, vdupq_n_u8(64 * quarter as u8)))
            };
            let found = vorrq_u8(vorrq_u8(find(0), find(1)), vorrq_u8(find(2), find(3)));
            vst1q_u8(output.as_mut_ptr(), found);
        }
    }
    scalar::lookup(table, input_rest, rest);
}
