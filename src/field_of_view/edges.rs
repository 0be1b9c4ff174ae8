//! From the cells of a picture to its sides: what juts out or holds next to nothing goes.

use super::grid::{Cells, FLAT, Grid};
use crate::frame::Frame;
use crate::geometry::Rect;

/// A rectangle juts out of the picture by at least so many cells.
const SHORTEST_TAB: usize = 3;

/// Takes off rectangles that jut out of the picture's box: insets that overlap its edge or corner. A picture's own outline
/// bends; a rectangle's begins at once, stays as wide, and has nothing but black beside it.
pub(super) fn without_tabs(grid: &Grid, lit: &[bool], black: u8, mut cells: Cells) -> Cells {
    for side in [Side::Left, Side::Right, Side::Top, Side::Bottom] {
        let depth = tab(grid, lit, black, cells, side);
        match side {
            Side::Left => cells.left += depth,
            Side::Right => cells.right -= depth,
            Side::Top => cells.top += depth,
            Side::Bottom => cells.bottom -= depth,
        }
    }
    cells
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

/// How many lines of cells a rectangle juts out on one side; 0 if there is none.
fn tab(grid: &Grid, lit: &[bool], black: u8, cells: Cells, side: Side) -> usize {
    let (width, height) = (cells.right - cells.left, cells.bottom - cells.top);
    let (depth, length) = match side {
        Side::Left | Side::Right => (width, height),
        Side::Top | Side::Bottom => (height, width),
    };
    let index = |line: usize, place: usize| {
        let (column, row) = match side {
            Side::Left => (cells.left + line, cells.top + place),
            Side::Right => (cells.right - 1 - line, cells.top + place),
            Side::Top => (cells.left + place, cells.top + line),
            Side::Bottom => (cells.left + place, cells.bottom - 1 - line),
        };
        row * grid.columns + column
    };
    // From the first lit cell of a line to behind the last.
    let lit_span = |line: usize| {
        let first = (0..length).find(|&place| lit[index(line, place)])?;
        let last = (0..length).rev().find(|&place| lit[index(line, place)])?;
        Some((first, last + 1))
    };
    let Some(outermost) = lit_span(0) else { return 0 };
    // The rectangle's own edge may take a part of a cell.
    let is_of_tab = |line: usize, (first, end): (usize, usize)| {
        let filled = (first..end).filter(|&place| lit[index(line, place)]).count();
        let beside = (0..length).filter(|place| *place + 1 < first || *place > end);
        first.abs_diff(outermost.0) <= 1
            && end.abs_diff(outermost.1) <= 1
            && filled * 10 >= (end - first) * 9
            && beside.into_iter().all(|place| grid.level[index(line, place)] <= black.saturating_add(FLAT))
    };
    let deepest = depth / 3;
    for line in 0..=deepest {
        match lit_span(line) {
            Some(span) if is_of_tab(line, span) => {}
            Some((first, end)) => {
                let is_step = 2 * (end - first) >= 3 * (outermost.1 - outermost.0);
                return if line >= SHORTEST_TAB && is_step { line } else { 0 };
            }
            None => return 0,
        }
    }
    0
}

/// Takes off outer columns and rows that hold next to nothing, or nothing but an inset that juts out at a corner.
pub(super) fn trim(grid: &Grid, lit: &[bool], mut cells: Cells) -> Cells {
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
pub(super) fn refine(frame: &Frame, grid: &Grid, lit_from: u8, cells: Cells) -> Rect {
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
    let whole = Rect::whole(width, height);
    if right > left && bottom > top {
        Rect { x: left, y: top, width: right - left, height: bottom - top }
    } else {
        whole
    }
}
