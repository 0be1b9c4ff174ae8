//! Where the endoscope's picture sits in the frame.
//!
//! A processor puts the picture of the tip's camera, an octagon or a circle, on black, with patient data, icons and
//! insets beside it. [`find`] gives the bounding box of the picture itself: the rounded corners stay inside, borders,
//! text and detached insets do not. [`Steady`] keeps that box still over a video. [`Mapping`] ties the box to the
//! model's square.

mod mapping;
mod placement;
mod steady;

pub use mapping::{Mapping, Point};
pub use placement::Placement;
pub use steady::Steady;

use crate::frame::{Frame, Rect};

/// Cells on the frame's longer side, at most.
const CELLS: usize = 128;
/// Samples on a cell's side, at most.
const SAMPLES: usize = 4;
/// A frame whose darkest cells are brighter than this has no black border.
const BLACK_AT_MOST: u8 = 40;
/// The picture covers at least this share of the frame, else the frame is taken whole.
const MIN_SHARE: f32 = 0.06;
/// Lit pieces this large against the largest belong to the picture too.
const PIECE_SHARE: f32 = 0.08;

/// The bounding box of the endoscope's picture. The whole frame where there is no border, where the frame is too dark
/// to tell, or where nothing in it is large enough to be the picture.
pub fn find(frame: &Frame) -> Rect {
    Finder::default().find(frame)
}

/// [`find`] for one frame after another: keeps its buffers.
#[derive(Debug, Default)]
pub struct Finder {
    grid: Grid,
    lit: Vec<bool>,
    spare: Vec<bool>,
    /// `[rows, columns]`: the number of the lit piece, 0 where it is dark.
    piece_of: Vec<u32>,
    /// Weight and box of each piece.
    pieces: Vec<(usize, Cells)>,
    stack: Vec<usize>,
}

impl Finder {
    pub fn find(&mut self, frame: &Frame) -> Rect {
        let whole = Rect { x: 0, y: 0, width: frame.width_px(), height: frame.height_px() };
        self.grid.sample(frame);
        let Some(lit_from) = self.grid.lit_from() else { return whole };
        self.open(lit_from);
        let Some(cells) = self.picture() else { return whole };
        refine(frame, &self.grid, lit_from, trim(&self.grid, &self.lit, cells))
    }

    /// The lit cells without structures thinner than three cells. The frame's edge thins nothing.
    fn open(&mut self, lit_from: u8) {
        let Finder { grid, lit, spare, .. } = self;
        lit.clear();
        lit.extend(grid.level.iter().map(|&level| level >= lit_from));
        spare.clear();
        spare.resize(lit.len(), false);
        let (columns, rows) = (grid.columns, grid.rows);
        let both = |a: bool, b: bool| a & b;
        let either = |a: bool, b: bool| a | b;
        across(lit, spare, columns, both);
        down(spare, lit, columns, rows, both);
        across(lit, spare, columns, either);
        down(spare, lit, columns, rows, either);
    }
}

/// Joins each cell with its neighbours left and right.
fn across(from: &[bool], to: &mut [bool], columns: usize, join: impl Fn(bool, bool) -> bool) {
    for (from, to) in from.chunks_exact(columns).zip(to.chunks_exact_mut(columns)) {
        to.copy_from_slice(from);
        for (to, &left) in to.iter_mut().skip(1).zip(from) {
            *to = join(*to, left);
        }
        for (to, &right) in to.iter_mut().zip(from.iter().skip(1)) {
            *to = join(*to, right);
        }
    }
}

/// Joins each cell with its neighbours above and below.
fn down(from: &[bool], to: &mut [bool], columns: usize, rows: usize, join: impl Fn(bool, bool) -> bool) {
    to.copy_from_slice(from);
    let inner = columns * (rows - 1);
    for (to, &above) in to.iter_mut().skip(columns).zip(from) {
        *to = join(*to, above);
    }
    for (to, &below) in to.iter_mut().take(inner).zip(from.iter().skip(columns)) {
        *to = join(*to, below);
    }
}

/// The frame's brightness on a coarse grid: `[rows, columns] u8`.
#[derive(Debug, Default)]
struct Grid {
    cell_px: usize,
    columns: usize,
    rows: usize,
    /// Lower quartile of max(R, G, B) over a cell's samples: strokes of text on black leave it black.
    level: Vec<u8>,
    /// The cell is distinctly greener or bluer than red: an icon or inset rather than mucosa.
    tinted: Vec<bool>,
}

impl Grid {
    fn sample(&mut self, frame: &Frame) {
        let (width, height) = (frame.width_px(), frame.height_px());
        let cell_px = width.max(height).div_ceil(CELLS).max(1);
        (self.cell_px, self.columns, self.rows) =
            (cell_px, width.div_ceil(cell_px), height.div_ceil(cell_px));
        let step = cell_px.div_ceil(SAMPLES);
        self.level.clear();
        self.tinted.clear();
        for row in 0..self.rows {
            let top = row * cell_px;
            for column in 0..self.columns {
                let left = 3 * column * cell_px;
                let (mut values, mut count, mut tint) = ([0u8; SAMPLES * SAMPLES], 0, 0i32);
                for y in (top..(top + cell_px).min(height)).step_by(step) {
                    let pixels = frame.row(y);
                    let pixels = pixels.get(left..(left + 3 * cell_px).min(3 * width)).unwrap_or(&[]);
                    for pixel in pixels.chunks_exact(3).step_by(step) {
                        if let (&[r, g, b], Some(slot)) = (pixel, values.get_mut(count)) {
                            *slot = r.max(g).max(b);
                            tint += i32::from(g.max(b)) - i32::from(r);
                            count += 1;
                        }
                    }
                }
                let level = match values.get_mut(..count) {
                    Some(values) if count > 0 => *values.select_nth_unstable(count / 4).1,
                    _ => 0,
                };
                self.level.push(level);
                self.tinted.push(tint > 24 * count as i32);
            }
        }
    }

    /// The level from which a cell counts as lit; `None` if the frame has no black border or is black all over.
    fn lit_from(&self) -> Option<u8> {
        let mut counts = [0usize; 256];
        for &level in &self.level {
            counts[usize::from(level)] += 1;
        }
        let at = |share: f32| {
            let rank = (self.level.len() as f32 * share) as usize;
            let mut seen = 0;
            (0..=u8::MAX).find(|&level| {
                seen += counts[usize::from(level)];
                seen > rank
            })
        };
        let (black, bright) = (at(0.01)?, at(0.9)?);
        if black > BLACK_AT_MOST || bright < black.saturating_add(16) {
            return None;
        }
        Some(black + (f32::from(bright - black) * 0.06).clamp(8.0, 12.0) as u8)
    }

    fn cells(&self) -> usize {
        self.columns * self.rows
    }
}

/// Cells `left..right`, `top..bottom`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cells {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Cells {
    fn include(&mut self, other: Cells) {
        self.left = self.left.min(other.left);
        self.right = self.right.max(other.right);
        self.top = self.top.min(other.top);
        self.bottom = self.bottom.max(other.bottom);
    }
}

impl Finder {
    /// The box of the largest lit piece and of those that are not small against it.
    fn picture(&mut self) -> Option<Cells> {
        let Finder { grid, lit, piece_of, pieces, stack, .. } = self;
        piece_of.clear();
        piece_of.resize(grid.cells(), 0);
        pieces.clear();
        for start in 0..grid.cells() {
            if !lit[start] || piece_of[start] != 0 {
                continue;
            }
            let piece = pieces.len() as u32 + 1;
            let (mut size, mut tinted) = (0, 0);
            let mut cells = Cells { left: usize::MAX, right: 0, top: usize::MAX, bottom: 0 };
            piece_of[start] = piece;
            stack.push(start);
            while let Some(index) = stack.pop() {
                let (column, row) = (index % grid.columns, index / grid.columns);
                size += 1;
                tinted += usize::from(grid.tinted[index]);
                cells.include(Cells { left: column, right: column + 1, top: row, bottom: row + 1 });
                let neighbours = [
                    (column > 0).then(|| index - 1),
                    (column + 1 < grid.columns).then_some(index + 1),
                    (row > 0).then(|| index - grid.columns),
                    (row + 1 < grid.rows).then_some(index + grid.columns),
                ];
                for next in neighbours.into_iter().flatten() {
                    if lit[next] && piece_of[next] == 0 {
                        piece_of[next] = piece;
                        stack.push(next);
                    }
                }
            }
            // An inset of a position display is tinted all over; dyed mucosa hardly ever is.
            let weight = if tinted * 10 > size * 9 { size / 4 } else { size };
            pieces.push((weight, cells));
        }
        let &(largest, mut whole) = pieces.iter().max_by_key(|(size, _)| *size)?;
        if (largest as f32) < MIN_SHARE * grid.cells() as f32 {
            return None;
        }
        for (_, cells) in pieces.iter().filter(|(size, _)| *size as f32 >= PIECE_SHARE * largest as f32) {
            whole.include(*cells);
        }
        Some(whole)
    }
}

/// Takes off outer columns and rows that hold next to nothing, or nothing but an inset that juts out at a corner.
fn trim(grid: &Grid, lit: &[bool], mut cells: Cells) -> Cells {
    let is_picture = |line: &mut dyn Iterator<Item = usize>, length: usize| {
        let (mut count, mut tinted, mut central) = (0, 0, false);
        for (place, index) in line.enumerate() {
            if lit[index] {
                count += 1;
                tinted += usize::from(grid.tinted[index]);
                central |= place >= length / 3 && place < length - length / 3;
            }
        }
        count * 25 >= length && (central || tinted * 2 <= count)
    };
    let column_of =
        |column: usize, cells: Cells| (cells.top..cells.bottom).map(move |y| y * grid.columns + column);
    let row_of = |row: usize, cells: Cells| (cells.left..cells.right).map(move |x| row * grid.columns + x);
    let (max_x, max_y) = ((cells.right - cells.left) / 3, (cells.bottom - cells.top) / 3);
    let height = cells.bottom - cells.top;
    for _ in 0..max_x {
        if is_picture(&mut column_of(cells.left, cells), height) {
            break;
        }
        cells.left += 1;
    }
    for _ in 0..max_x {
        if is_picture(&mut column_of(cells.right - 1, cells), height) {
            break;
        }
        cells.right -= 1;
    }
    let width = cells.right - cells.left;
    for _ in 0..max_y {
        if is_picture(&mut row_of(cells.top, cells), width) {
            break;
        }
        cells.top += 1;
    }
    for _ in 0..max_y {
        if is_picture(&mut row_of(cells.bottom - 1, cells), width) {
            break;
        }
        cells.bottom -= 1;
    }
    cells
}

/// From cells to pixels: each side moves to the outermost line, near the cells' edge, that is lit.
fn refine(frame: &Frame, grid: &Grid, lit_from: u8, cells: Cells) -> Rect {
    let px = grid.cell_px;
    let (width, height) = (frame.width_px(), frame.height_px());
    let (mut left, mut right) = (cells.left * px, (cells.right * px).min(width));
    let (mut top, mut bottom) = (cells.top * px, (cells.bottom * px).min(height));
    let lit_at = |x: usize, y: usize| match frame.row(y).get(3 * x..3 * x + 3) {
        Some(&[r, g, b]) => r.max(g).max(b) >= lit_from,
        _ => false,
    };
    // A line is lit if a twentieth of it is.
    let (step_x, step_y) = (((right - left) / 160).max(1), ((bottom - top) / 160).max(1));
    let (rows, columns) = (top..bottom, left..right);
    let column_lit =
        |x: usize| 20 * rows.clone().step_by(step_y).filter(|&y| lit_at(x, y)).count() * step_y >= rows.len();
    let row_lit = |y: usize| {
        20 * columns.clone().step_by(step_x).filter(|&x| lit_at(x, y)).count() * step_x >= columns.len()
    };
    left = (left.saturating_sub(px)..(left + 2 * px).min(width)).find(|&x| column_lit(x)).unwrap_or(left);
    top = (top.saturating_sub(px)..(top + 2 * px).min(height)).find(|&y| row_lit(y)).unwrap_or(top);
    right = (right.saturating_sub(2 * px)..(right + px).min(width))
        .rev()
        .find(|&x| column_lit(x))
        .map_or(right, |x| x + 1);
    bottom = (bottom.saturating_sub(2 * px)..(bottom + px).min(height))
        .rev()
        .find(|&y| row_lit(y))
        .map_or(bottom, |y| y + 1);
    let whole = Rect { x: 0, y: 0, width, height };
    match right > left && bottom > top {
        true => Rect { x: left, y: top, width: right - left, height: bottom - top },
        false => whole,
    }
}

#[cfg(test)]
mod tests;
