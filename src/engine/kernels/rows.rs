//! Rows in memory, and the memory that kernels work in.

/// Rows of `[H, W, C] u8`, channels adjacent. A ring holds only the last few of them.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    /// Bytes of a row.
    row: usize,
    /// Rows that there is room for.
    held: usize,
}

impl<'a> Rows<'a> {
    /// All rows of a tensor.
    pub fn whole(bytes: &'a [u8], row: usize) -> Self {
        Rows { bytes, row, held: usize::MAX }
    }

    /// As many of the last rows as `bytes` has room for: row `y` lies where row `y − held` was.
    pub fn ring(bytes: &'a [u8], row: usize) -> Self {
        Rows { bytes, row, held: (bytes.len() / row.max(1)).max(1) }
    }

    /// Row `y`.
    #[inline]
    pub fn row(&self, y: usize) -> &'a [u8] {
        let place = if self.held == usize::MAX { y } else { y % self.held };
        &self.bytes[place * self.row..][..self.row]
    }

    /// From row `first` on as many of `count` rows as are adjacent, at least one, and how many these are.
    #[inline]
    pub fn adjacent(&self, first: usize, count: usize) -> (&'a [u8], usize) {
        let place = if self.held == usize::MAX { first } else { first % self.held };
        let count = count.min(self.held - place);
        (&self.bytes[place * self.row..][..count * self.row], count)
    }
}

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 64]);

/// What kernels work in: one for each thread, grown once when a model is loaded, never after.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) bytes: Vec<u8>,
    /// A row outside the input.
    pub(crate) outside: Vec<u8>,
    /// Outputs of pixels at the edges.
    pub(crate) edges: Vec<u8>,
    pub(crate) signed: Vec<i8>,
    pub(crate) words: Vec<i16>,
    pub(crate) blends: Vec<u16>,
    pub(crate) sums: Vec<i32>,
    pub(crate) lines: Vec<Line>,
    /// Rows that pass from one op to the next without leaving the cache.
    pub(crate) rings: Vec<Vec<u8>>,
}

impl Scratch {
    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        let rings: usize = self.rings.iter().map(Vec::len).sum();
        self.bytes.len()
            + self.outside.len()
            + self.edges.len()
            + self.signed.len()
            + 2 * self.words.len()
            + 2 * self.blends.len()
            + 4 * self.sums.len()
            + size_of_val(self.lines.as_slice())
            + rings
    }
}

/// Makes `buffer` at least `length` long.
pub fn grow<T: Copy>(buffer: &mut Vec<T>, length: usize, value: T) {
    if buffer.len() < length {
        buffer.reserve_exact(length - buffer.len());
        buffer.resize(length, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_holds_the_last_rows() {
        let bytes: Vec<u8> = (0..12).collect();
        let ring = Rows::ring(&bytes, 3);
        assert_eq!(ring.row(5), [3, 4, 5]);
        assert_eq!(ring.adjacent(6, 4), (&bytes[6..], 2));
        let whole = Rows::whole(&bytes, 3);
        assert_eq!(whole.row(3), [9, 10, 11]);
        assert_eq!(whole.adjacent(1, 3), (&bytes[3..], 3));
    }
}
