//! Rows of one op's output split over threads.

use std::ops::Range;

/// Work that outweighs starting a thread.
const MULTIPLY_ADDS_A_THREAD: u64 = 1_000_000;

/// How many of `threads` an op of so many multiply-adds keeps busy.
pub fn worth_while(threads: usize, multiply_adds: u64) -> usize {
    let most = usize::try_from(multiply_adds / MULTIPLY_ADDS_A_THREAD).unwrap_or(usize::MAX);
    threads.min(most).max(1)
}

/// Calls `work` with ranges of rows that together are `0..rows`, and with each range's part of `output`, whose rows are
/// `row` bytes long. With one thread nothing is started.
pub fn split_rows(
    threads: usize,
    rows: usize,
    row: usize,
    output: &mut [u8],
    work: impl Fn(Range<usize>, &mut [u8]) + Sync,
) {
    let each = rows.div_ceil(threads.max(1)).max(1);
    if each >= rows {
        return work(0..rows, output);
    }
    std::thread::scope(|scope| {
        let mut parts = output.chunks_mut((each * row).max(1)).enumerate();
        let first = parts.next();
        for (index, part) in parts {
            let work = &work;
            let start = index * each;
            scope.spawn(move || work(start..rows.min(start + each), part));
        }
        if let Some((_, part)) = first {
            work(0..each, part);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_written_once_by_any_number_of_threads() {
        for threads in 0..6 {
            let mut output = vec![0u8; 7 * 3];
            split_rows(threads, 7, 3, &mut output, |rows, part| {
                assert_eq!(part.len(), 3 * rows.len());
                for (row, bytes) in rows.zip(part.chunks_mut(3)) {
                    bytes.iter_mut().for_each(|byte| *byte += row as u8 + 1);
                }
            });
            let expected: Vec<u8> = (1..=7).flat_map(|row| [row; 3]).collect();
            assert_eq!(output, expected, "{threads} threads");
        }
    }
}
