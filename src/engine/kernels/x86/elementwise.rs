//! The scalar set's element-wise functions, compiled for wider vectors: the same operations, so the same bits.

use std::arch::x86_64::*;

use crate::engine::kernels::{Blends, Windows, scalar};
use crate::engine::quantise::{Addition, Product};

macro_rules! widened {
    ($features:literal: $($name:ident = $scalar:ident($($argument:ident: $type:ty),*);)*) => {$(
        pub fn $name($($argument: $type),*) {
            #[target_feature(enable = $features)]
            fn wide($($argument: $type),*) {
                scalar::$scalar($($argument),*);
            }
            // SAFETY: the set is only given out where the CPU has what this function is compiled for.
            unsafe { wide($($argument),*) }
        }
    )*};
}

macro_rules! all {
    ($module:ident, $features:literal) => {
        pub mod $module {
            use super::*;
            widened! { $features:
                add = add_fused(addition: &Addition, outer: &[u8], inner: &[u8], output: &mut [u8]);
                add_channels = add_channels_fused(addition: &Addition, outer: &[u8], inner: &[u8], output: &mut [u8]);
                multiply = multiply(product: &Product, a: &[u8], b: &[u8], output: &mut [u8]);
                multiply_channels = multiply_channels(product: &Product, a: &[u8], b: &[u8], output: &mut [u8]);
                sum_channels = sum_channels(input: &[u8], sums: &mut [i32]);
                maximum = maximum(input: &[u8], output: &mut [u8]);
                maximum_columns = maximum_columns(windows: &Windows, row: &[u8], output: &mut [u8], stride: usize);
                blend_rows = blend_rows(above: &[u8], below: &[u8], weights: [u16; 2], output: &mut [u16]);
                blend_columns = blend_columns(blends: &Blends<'_>, row: &[u16], output: &mut [u8], stride: usize);
            }
        }
    };
}

all!(avx512, "avx512f,avx512bw,avx512vl,avx512dq,fma");
all!(avx2, "avx2,fma");

pub fn lookup(table: &[u8; 256], input: &[u8], output: &mut [u8]) {
    // SAFETY: the set is only given out where the CPU has what this function is compiled for.
    unsafe { lookup_wide(table, input, output) }
}

/// The table in four registers: two permutations of 128 entries, the input's highest bit says which one counts.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn lookup_wide(table: &[u8; 256], input: &[u8], output: &mut [u8]) {
    let mut quarters = [_mm512_setzero_si512(); 4];
    for (quarter, entries) in quarters.iter_mut().zip(table.as_chunks::<64>().0) {
        // SAFETY: the array has the vector's size.
        *quarter = unsafe { _mm512_loadu_si512(entries.as_ptr().cast()) };
    }
    let (blocks, rest) = output.as_chunks_mut::<64>();
    let (input_blocks, input_rest) = input.as_chunks::<64>();
    for (output, input) in blocks.iter_mut().zip(input_blocks) {
        // SAFETY: the array has the vector's size.
        let stored = unsafe { _mm512_loadu_si512(input.as_ptr().cast()) };
        let low = _mm512_permutex2var_epi8(quarters[0], stored, quarters[1]);
        let high = _mm512_permutex2var_epi8(quarters[2], stored, quarters[3]);
        let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(stored), low, high);
        // SAFETY: the array has the vector's size.
        unsafe { _mm512_storeu_si512(output.as_mut_ptr().cast(), found) };
    }
    scalar::lookup(table, input_rest, rest);
}
