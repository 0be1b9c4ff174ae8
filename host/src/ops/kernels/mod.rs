//! CPU kernels for training, `f32`, NCHW. Each works on plain slices and spreads planes or images over rayon's
//! threads; `ops::flex` gives them to burn.

pub mod batch_norm;
pub mod dense;
pub mod depthwise;
pub mod pointwise;
pub mod store;

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// The geometry of a two-dimensional convolution over `[N, C, H, W]`, square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub batch: usize,
    pub channels: usize,
    pub filters: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Zeros added at top, left, bottom, right.
    pub pads: [usize; 4],
    /// 1, or `channels` (depthwise, then `filters == channels`).
    pub groups: usize,
}

impl Geometry {
    pub fn out_height(&self) -> usize {
        (self.height + self.pads[0] + self.pads[2] - self.kernel) / self.stride + 1
    }
    pub fn out_width(&self) -> usize {
        (self.width + self.pads[1] + self.pads[3] - self.kernel) / self.stride + 1
    }
    pub fn in_plane(&self) -> usize {
        self.height * self.width
    }
    pub fn out_plane(&self) -> usize {
        self.out_height() * self.out_width()
    }
    fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.pads == [0; 4] && self.groups == 1
    }
    fn is_depthwise(&self) -> bool {
        self.groups == self.channels && self.groups == self.filters && self.groups > 1
    }
}

/// `x [N, C, H, W] * weight [F, C / groups, k, k]` → `[N, F, H', W']`.
pub fn conv2d(x: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    if g.is_pointwise() {
        pointwise::forward(x, weight, g)
    } else if g.is_depthwise() {
        depthwise::forward(x, weight, g)
    } else {
        dense::forward(x, weight, g)
    }
}

/// The gradient towards `x`.
pub fn conv2d_grad_input(grad: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    if g.is_pointwise() {
        pointwise::grad_input(grad, weight, g)
    } else if g.is_depthwise() {
        depthwise::grad_input(grad, weight, g)
    } else {
        dense::grad_input(grad, weight, g)
    }
}

/// The gradient towards `weight`.
pub fn conv2d_grad_weight(grad: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    if g.is_pointwise() {
        pointwise::grad_weight(grad, x, g)
    } else if g.is_depthwise() {
        depthwise::grad_weight(grad, x, g)
    } else {
        dense::grad_weight(grad, x, g)
    }
}

/// One operand of [`matmul`]: row-major, or its transpose.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Plain(&'a [f32]),
    Transposed(&'a [f32]),
}

/// `out [m, n] (+)= a [m, k] · b [k, n]`, one thread.
fn matmul(out: &mut [f32], a: Operand, b: Operand, extents: [usize; 3], accumulate: bool) {
    assert_eq!(out.len(), extents[0] * extents[1]);
    // SAFETY: `out` is borrowed mutably and holds m·n values.
    unsafe { gemm(out.as_mut_ptr(), a, b, extents, accumulate) }
}

/// `out [m, n] = a [m, k] · b [k, n]`, one thread; writes every value.
fn matmul_new(out: &mut [MaybeUninit<f32>], a: Operand, b: Operand, extents: [usize; 3]) {
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

/// `length` values in chunks; `f(scratch, number of the chunk, chunk)` must write every value of its chunk. Memory is
/// not zeroed first: outputs are large, and written whole.
fn written<T>(
    length: usize,
    chunk: usize,
    scratch: impl Fn() -> T + Sync + Send,
    f: impl Fn(&mut T, usize, &mut [MaybeUninit<f32>]) + Sync + Send,
) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(length);
    out.spare_capacity_mut()[..length]
        .par_chunks_mut(chunk)
        .enumerate()
        .for_each_init(scratch, |scratch, (i, chunk)| f(scratch, i, chunk));
    // SAFETY: the capacity is at least `length`, and every chunk was written by `f`, as its contract says.
    unsafe { out.set_len(length) };
    out
}

/// Sums `f(scratch, image)` over the batch, each thread into a buffer of its own.
fn sum_over_batch<T>(
    batch: usize,
    length: usize,
    scratch: impl Fn() -> T + Sync,
    f: impl Fn(&mut T, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let threads = rayon::current_num_threads().clamp(1, batch.max(1));
    let share = batch.div_ceil(threads);
    (0..threads)
        .into_par_iter()
        .map(|t| {
            let (mut scratch, mut sum) = (scratch(), vec![0.0; length]);
            (t * share..((t + 1) * share).min(batch)).for_each(|image| f(&mut scratch, image, &mut sum));
            sum
        })
        .reduce_with(|mut a, b| {
            a.iter_mut().zip(&b).for_each(|(a, b)| *a += b);
            a
        })
        .unwrap_or_else(|| vec![0.0; length])
}
