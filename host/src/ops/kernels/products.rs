//! Products of matrices.

use std::mem::MaybeUninit;

/// One operand of [`matmul`]: row-major, or its transpose.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Plain(&'a [f32]),
    Transposed(&'a [f32]),
}

/// `out [m, n] (+)= a [m, k] · b [k, n]`, one thread.
pub(super) fn matmul(out: &mut [f32], a: Operand, b: Operand, extents: [usize; 3], accumulate: bool) {
    assert_eq!(out.len(), extents[0] * extents[1]);
    // SAFETY: `out` is borrowed mutably and holds m·n values.
    unsafe { gemm(out.as_mut_ptr(), a, b, extents, accumulate) }
}

/// `out [m, n] = a [m, k] · b [k, n]`, one thread; writes every value.
pub(super) fn matmul_new(out: &mut [MaybeUninit<f32>], a: Operand, b: Operand, extents: [usize; 3]) {
    assert_eq!(out.len(), extents[0] * extents[1]);
    // SAFETY: `out` is borrowed mutably and has room for m·n values; what is not accumulated is not read.
    unsafe { gemm(out.as_mut_ptr().cast(), a, b, extents, false) }
}

/// # Safety
/// `out` must be good for writing `m · n` values, and for reading them if `accumulate`.
unsafe fn gemm(out: *mut f32, a: Operand, b: Operand, [m, n, k]: [usize; 3], accumulate: bool) {
    let unpack = |operand, rows: usize, columns: usize| match operand {
        Operand::Plain(data) => (data, columns as isize, 1),
        Operand::Transposed(data) => (data, 1, rows as isize),
    };
    let (a, a_row, a_column) = unpack(a, m, k);
    let (b, b_row, b_column) = unpack(b, k, n);
    assert!(a.len() == m * k && b.len() == k * n);
    // SAFETY: the lengths were checked above against the extents that the strides span; `out` is the caller's to
    // write, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n as isize,
            accumulate,
            a.as_ptr(),
            a_column,
            a_row,
            b.as_ptr(),
            b_column,
            b_row,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
