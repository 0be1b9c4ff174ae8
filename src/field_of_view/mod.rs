//! Where the endoscope's picture sits in the frame.
//!
//! A processor puts the picture of the tip's camera, an octagon or a circle, on black, with patient data, icons and
//! insets beside it. [`find`] gives the bounding box of the picture itself: the rounded corners stay inside, borders,
//! text and detached insets do not. [`Steady`] keeps that box still over a video. [`Mapping`] ties the box to the
//! model's square.

mod mapping;
mod steady;

pub use mapping::{Mapping, Point};
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
    let whole = Rect { x: 0, y: 0, width: frame.width_px(), height: frame.height_px() };
    let grid = Grid::sample(frame);
    let Some(lit_from) = grid.lit_from() else { return whole };
    let lit = open(&grid, lit_from);
    let Some(cells) = picture(&grid, &lit) else { return whole };
    refine(frame, &grid, lit_from, cells)
}

/// The frame's brightness on a coarse grid: `[rows, columns] u8`.
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
    fn sample(frame: &Frame) -> Grid {
        let (width, height) = (frame.width_px(), frame.height_px());
        let cell_px = width.max(height).div_ceil(CELLS).max(1);
        let (columns, rows) = (width.div_ceil(cell_px), height.div_ceil(cell_px));
        let step = cell_px.div_ceil(SAMPLES);
        let mut level = Vec::with_capacity(columns * rows);
        let mut tinted = Vec::with_capacity(columns * rows);
        for row in 0..rows {
            for column in 0..columns {
                let (mut values, mut count, mut tint) = ([0u8; SAMPLES * SAMPLES], 0, 0i32);
                for y in (row * cell_px..((row + 1) * cell_px).min(height)).step_by(step) {
                    let pixels = frame.row(y);
                    for x in (column * cell_px..((column + 1) * cell_px).min(width)).step_by(step) {
                        if let (Some(&[r, g, b]), Some(slot)) =
                            (pixels.get(3 * x..3 * x + 3), values.get_mut(count))
                        {
                            *slot = r.max(g).max(b);
                            tint += i32::from(g.max(b)) - i32::from(r);
                            count += 1;
                        }
                    }
                }
                let values = values.get_mut(..count).unwrap_or(&mut []);
                values.sort_unstable();
                level.push(values.get(count / 4).copied().unwrap_or(0));
                tinted.push(tint > 24 * count as i32);
            }
        }
        Grid { cell_px, columns, rows, level, tinted }
    }

    /// The level from which a cell counts as lit; `None` if the frame has no black border or is black all over.
    fn lit_from(&self) -> Option<u8> {
        let mut sorted = self.level.clone();
        sorted.sort_unstable();
        let at = |share: f32| sorted.get((sorted.len() as f32 * share) as usize).copied().unwrap_or(0);
        let (black, bright) = (at(0.01), at(0.9));
        if black > BLACK_AT_MOST || bright < black.saturating_add(16) {
            return None;
        }
        Some(black + (f32::from(bright - black) * 0.06).clamp(8.0, 12.0) as u8)
    }

    fn cells(&self) -> usize {
        self.columns * self.rows
    }
}

/// The lit cells without structures thinner than three cells.
fn open(grid: &Grid, lit_from: u8) -> Vec<bool> {
    let lit: Vec<bool> = grid.level.iter().map(|&level| level >= lit_from).collect();
    let around = |cells: &[bool], index: usize, outside: bool, all: bool| {
        let (column, row) = ((index % grid.columns) as isize, (index / grid.columns) as isize);
        let mut neighbours =
            (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (column + dx, row + dy))).map(|(x, y)| {
                match x < 0 || y < 0 || x >= grid.columns as isize || y >= grid.rows as isize {
                    true => outside,
                    false => cells.get(y as usize * grid.columns + x as usize).copied().unwrap_or(outside),
                }
            });
        if all { neighbours.all(|is_lit| is_lit) } else { neighbours.any(|is_lit| is_lit) }
    };
    let eroded: Vec<bool> = (0..grid.cells()).map(|index| around(&lit, index, true, true)).collect();
    (0..grid.cells()).map(|index| around(&eroded, index, false, false)).collect()
}

/// Cells `left..right`, `top..bottom`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cells {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

/// The box of the largest lit piece and of those that are not small against it.
fn picture(grid: &Grid, lit: &[bool]) -> Option<Cells> {
    let mut piece_of = vec![0u32; grid.cells()];
    let mut pieces: Vec<(usize, Cells)> = Vec::new();
    let mut stack = Vec::new();
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
            cells.left = cells.left.min(column);
            cells.right = cells.right.max(column + 1);
            cells.top = cells.top.min(row);
            cells.bottom = cells.bottom.max(row + 1);
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
        whole.left = whole.left.min(cells.left);
        whole.right = whole.right.max(cells.right);
        whole.top = whole.top.min(cells.top);
        whole.bottom = whole.bottom.max(cells.bottom);
    }
    Some(trim(grid, lit, whole))
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
