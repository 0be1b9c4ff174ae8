//! Work spread over rayon's threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// `length` values in chunks; `f(scratch, number of the chunk, chunk)` must write every value of its chunk. Memory is
/// not zeroed first: outputs are large, and written whole.
pub(super) fn written<T>(
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
pub(super) fn sum_over_batch<T>(
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
