//! The nearest pixel of a mask, and how far it is, exactly: first along columns, then along rows as the lower envelope of
//! parabolas (Felzenszwalb and Huttenlocher, 2012), all in whole numbers.
//!
//! Of several nearest pixels it is the one in the leftmost column, and there the upper: the one that scipy's
//! `distance_transform_edt` names.

/// For each pixel of a mask `[H, W]`.
pub(super) struct Nearest {
    /// The nearest mask pixel, y · W + x.
    pub index: Vec<usize>,
    /// Its distance, squared.
    pub squared_px: Vec<i64>,
}

impl Nearest {
    /// `None` for an empty mask.
    pub(super) fn of(mask: &[bool], width: usize) -> Option<Nearest> {
        if !mask.contains(&true) {
            return None;
        }
        let rows = nearest_in_column(mask, width);
        let (mut index, mut squared_px) = (Vec::with_capacity(mask.len()), Vec::with_capacity(mask.len()));
        let mut envelope = Vec::with_capacity(width);
        for y in 0..mask.len() / width {
            lower_envelope(&rows[y * width..(y + 1) * width], y, &mut envelope);
            let mut pieces = envelope.iter().peekable();
            let mut piece = pieces.next()?;
            for x in 0..width as i64 {
                while let Some(next) = pieces.next_if(|next| next.start <= x) {
                    piece = next;
                }
                index.push(piece.row * width + piece.column as usize);
                squared_px.push((x - piece.column).pow(2) + piece.height);
            }
        }
        Some(Nearest { index, squared_px })
    }
}

/// For each pixel the row of the nearest mask pixel in its column, the upper of two; `None` in an empty column.
fn nearest_in_column(mask: &[bool], width: usize) -> Vec<Option<usize>> {
    let mut rows = vec![None; mask.len()];
    let mut last = vec![None; width];
    for (y, (rows, mask)) in rows.chunks_exact_mut(width).zip(mask.chunks_exact(width)).enumerate() {
        for ((row, last), &polyp) in rows.iter_mut().zip(&mut last).zip(mask) {
            *last = if polyp { Some(y) } else { *last };
            *row = *last;
        }
    }
    let mut next: Vec<Option<usize>> = vec![None; width];
    for (y, (rows, mask)) in rows.chunks_exact_mut(width).zip(mask.chunks_exact(width)).enumerate().rev() {
        for ((row, next), &polyp) in rows.iter_mut().zip(&mut next).zip(mask) {
            *next = if polyp { Some(y) } else { *next };
            *row = match (*row, *next) {
                (Some(above), Some(below)) if below - y < y - above => Some(below),
                (None, next) => next,
                (above, _) => above,
            };
        }
    }
    rows
}

/// A parabola (x − column)² + height, and from which x on it is the lowest.
struct Piece {
    start: i64,
    column: i64,
    row: usize,
    height: i64,
}

fn lower_envelope(rows: &[Option<usize>], y: usize, envelope: &mut Vec<Piece>) {
    envelope.clear();
    for (column, row) in rows.iter().enumerate().filter_map(|(x, row)| Some((x as i64, (*row)?))) {
        let height = (row as i64 - y as i64).pow(2);
        let start = loop {
            let Some(top) = envelope.last() else { break 0 };
            // The first whole x at which the new one lies below.
            let rise = column * column + height - top.column * top.column - top.height;
            let start = rise.div_euclid(2 * (column - top.column)) + 1;
            if start > top.start {
                break start;
            }
            envelope.pop();
        };
        envelope.push(Piece { start, column, row, height });
    }
}
