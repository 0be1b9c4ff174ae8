//! Where the endoscope's picture sits in the frame.
//!
//! A processor puts the picture of the tip's camera, an octagon or a circle, on black, with patient data, icons and
//! insets beside it. [`find`] gives the bounding box of the picture itself: the rounded corners stay inside, borders,
//! text and detached insets do not. [`Locator`] applies a bundle's or a cart's rule, and keeps the box still over a video.

mod locator;
mod steady;

pub use locator::{Locator, Rule, Sequence};

use crate::frame::Frame;
use crate::geometry::Rect;

/// Cells on the frame's longer side, at most.
const CELLS: usize = 128;
/// Samples on a cell's side, at most.
const SAMPLES: usize = 4;
/// A frame whose darkest cells are brighter than this has no black border.
const BLACK_AT_MOST: u8 = 40;
/// A picture that covers less of the frame than this must look like one, see [`Finder::stands_alone`].
const MIN_SHARE: f32 = 0.06;
/// Nothing smaller than this share of the frame is taken for the picture.
const SMALLEST_SHARE: f32 = 0.012;
/// The brightest and the darkest cell of a picture differ by at least this.
const TEXTURE: u8 = 24;
/// Levels that differ by no more than this are the same black.
const FLAT: u8 = 4;
/// A rectangle juts out of the picture by at least so many cells.
const SHORTEST_TAB: usize = 3;
/// Lit pieces this large against the largest belong to the picture too.
const PIECE_SHARE: f32 = 0.08;

/// The bounding box of the endoscope's picture. The whole frame where there is no border, where the frame is too dark
/// to tell, or where nothing in it is large enough to be the picture.
pub fn find(frame: &Frame) -> Rect {
    Finder::default().find(frame)
}

/// [`find`] for one frame after another: keeps its buffers.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    grid: Grid,
    lit: Vec<bool>,
    spare: Vec<bool>,
    /// `[rows, columns]`: the number of the lit piece, 0 where it is dark.
    piece_of: Vec<u32>,
    pieces: Vec<Piece>,
    stack: Vec<usize>,
}

impl Finder {
    pub(crate) fn find(&mut self, frame: &Frame) -> Rect {
        let whole = Rect::whole(frame.width_px(), frame.height_px());
        self.grid.sample(frame);
        let Some(light) = self.grid.light() else { return whole };
        self.open(light.lit_from);
        let Some(cells) = self.picture(light) else { return whole };
        let cells = without_tabs(&self.grid, &self.lit, light.black, cells);
        refine(frame, &self.grid, light.lit_from, trim(&self.grid, &self.lit, cells))
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

/// What is black in a frame and what is lit.
#[derive(Clone, Copy, Debug)]
struct Light {
    black: u8,
    lit_from: u8,
    /// Less than a tenth of the frame is lit.
    sparse: bool,
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
    /// The cell is distinctly redder than green and blue, as mucosa is and a panel of text or curves is not.
    reddish: Vec<bool>,
    /// The cell is not grey: mucosa in any light, narrow-band light too.
    coloured: Vec<bool>,
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
        self.reddish.clear();
        self.coloured.clear();
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
                self.reddish.push(tint < -12 * count as i32);
                self.coloured.push(tint.abs() > 6 * count as i32);
            }
        }
    }

    /// What is black in this frame and what is lit; `None` if it has no black border or nothing in it is lit.
    fn light(&self) -> Option<Light> {
        let mut counts = [0usize; 256];
        for &level in &self.level {
            counts[usize::from(level)] += 1;
        }
        let at = |rank: usize| {
            let mut seen = 0;
            (0..=u8::MAX).find(|&level| {
                seen += counts[usize::from(level)];
                seen > rank
            })
        };
        let cells = self.level.len();
        let black = at((cells as f32 * 0.01) as usize)?;
        if black > BLACK_AT_MOST {
            return None;
        }
        let distinct = black.saturating_add(16);
        let mut bright = at((cells as f32 * 0.9) as usize)?;
        let sparse = bright < distinct;
        if sparse {
            // Less than a tenth of the frame is lit: what is bright there is told by the lit cells alone.
            let lit: usize = counts.iter().skip(usize::from(distinct)).sum();
            if (lit as f32) < SMALLEST_SHARE * cells as f32 {
                return None;
            }
            bright = at(cells - lit.div_ceil(10))?;
        }
        let above = (f32::from(bright.saturating_sub(black)) * 0.06).clamp(8.0, 12.0) as u8;
        Some(Light { black, lit_from: black + above, sparse })
    }

    /// How many of these cells there are, and how many of them are as black as the border.
    fn count_black(&self, cells: Cells, black: u8) -> (usize, usize) {
        let (mut count, mut dark) = (0, 0);
        for row in cells.top..cells.bottom.min(self.rows) {
            let line = row * self.columns + cells.left..row * self.columns + cells.right.min(self.columns);
            for &level in self.level.get(line).unwrap_or(&[]) {
                count += 1;
                dark += usize::from(level <= black.saturating_add(FLAT));
            }
        }
        (count, dark)
    }

    /// Whether black lies between two boxes: a whole column or row as long as both together, or along the two sides of
    /// `b` that face a corner of `a`.
    fn are_apart(&self, a: Cells, b: Cells, black: u8) -> bool {
        let mut both = a;
        both.include(b);
        let columns = a.right.min(b.right)..a.left.max(b.left);
        let rows = a.bottom.min(b.bottom)..a.top.max(b.top);
        columns
            .into_iter()
            .map(|column| Cells { left: column, right: column + 1, ..both })
            .chain(rows.into_iter().map(|row| Cells { top: row, bottom: row + 1, ..both }))
            .any(|line| self.is_black(line, black))
            || self.is_cut_off(a, b, black)
    }

    fn is_black(&self, cells: Cells, black: u8) -> bool {
        let (count, dark) = self.count_black(cells, black);
        count == dark
    }

    /// Whether `b` juts out of a corner of `a`, with a black line along its two sides within `a`.
    fn is_cut_off(&self, a: Cells, b: Cells, black: u8) -> bool {
        let column = match (b.left > a.left && b.right > a.right, b.left < a.left && b.right < a.right) {
            (true, _) => b.left - 1,
            (_, true) => b.right,
            _ => return false,
        };
        let row = match (b.top > a.top && b.bottom > a.bottom, b.top < a.top && b.bottom < a.bottom) {
            (true, _) => b.top - 1,
            (_, true) => b.bottom,
            _ => return false,
        };
        let upright =
            Cells { left: column, right: column + 1, top: b.top.max(a.top), bottom: b.bottom.min(a.bottom) };
        let level =
            Cells { left: b.left.max(a.left), right: b.right.min(a.right), top: row, bottom: row + 1 };
        [upright, level].into_iter().all(|line| line.area() > 0 && self.is_black(line, black))
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

    fn area(self) -> usize {
        self.right.saturating_sub(self.left) * self.bottom.saturating_sub(self.top)
    }
}

/// Lit cells that touch.
#[derive(Clone, Copy, Debug)]
struct Piece {
    size: usize,
    /// The size, less where the piece does not look like the inside of a body.
    weight: usize,
    coloured: usize,
    /// Tinted all over, as the inset of a position display is and dyed mucosa hardly ever.
    is_inset: bool,
    cells: Cells,
}

impl Piece {
    /// Fills its box as a rectangle, an octagon or a circle does, and what dark folds leave of a picture seldom.
    fn is_solid(&self) -> bool {
        self.size * 5 >= self.cells.area() * 3
    }
}

impl Finder {
    /// The box of the heaviest lit piece and of those that are not small against it, other pictures left out.
    fn picture(&mut self, light: Light) -> Option<Cells> {
        self.split();
        self.pieces.sort_by_key(|piece| std::cmp::Reverse(piece.weight));
        let Finder { grid, pieces, .. } = &*self;
        let (&main, others) = pieces.split_first()?;
        let is_small = (main.size as f32) < MIN_SHARE * grid.cells() as f32;
        if (is_small || light.sparse) && !self.stands_alone(main, light) {
            return None;
        }
        let mut whole = main.cells;
        for other in others {
            if other.weight as f32 >= PIECE_SHARE * main.weight as f32
                && !(main.is_solid() && other.is_solid() && grid.are_apart(whole, other.cells, light.black))
            {
                whole.include(other.cells);
            }
        }
        Some(whole)
    }

    /// Whether a piece that covers little of the frame is a picture on black: solid, textured, of mucosa's colours,
    /// and with a hard edge. A lit fold in a dark picture fades out instead.
    fn stands_alone(&self, piece: Piece, light: Light) -> bool {
        let Finder { grid, lit, .. } = self;
        if (piece.size as f32) < SMALLEST_SHARE * grid.cells() as f32
            || piece.is_inset
            || !piece.is_solid()
            || piece.coloured * 4 < piece.size
        {
            return false;
        }
        let Cells { left, right, top, bottom } = piece.cells;
        let (mut darkest, mut brightest) = (u8::MAX, 0);
        for row in top..bottom {
            let line = row * grid.columns + left..row * grid.columns + right;
            for (&level, &lit) in
                grid.level.get(line.clone()).into_iter().flatten().zip(lit.get(line).into_iter().flatten())
            {
                if lit {
                    (darkest, brightest) = (darkest.min(level), brightest.max(level));
                }
            }
        }
        // The cells that touch the box hold its edge; most of the next ones must be black again.
        let (above, below) = (top.saturating_sub(2), bottom + 1);
        let (before, after) = (left.saturating_sub(2), right + 1);
        let sides = [
            (top >= 2, Cells { left, right, top: above, bottom: above + 1 }),
            (below < grid.rows, Cells { left, right, top: below, bottom: below + 1 }),
            (left >= 2, Cells { left: before, right: before + 1, top, bottom }),
            (after < grid.columns, Cells { left: after, right: after + 1, top, bottom }),
        ];
        let (mut count, mut dark) = (0, 0);
        for (_, side) in sides.into_iter().filter(|&(is_in_frame, _)| is_in_frame) {
            let (cells, black) = grid.count_black(side, light.black);
            (count, dark) = (count + cells, dark + black);
        }
        brightest.saturating_sub(darkest) >= TEXTURE && count > 0 && dark * 4 >= count * 3
    }

    /// Finds the lit pieces.
    fn split(&mut self) {
        let Finder { grid, lit, piece_of, pieces, stack, .. } = self;
        piece_of.clear();
        piece_of.resize(grid.cells(), 0);
        pieces.clear();
        for start in 0..grid.cells() {
            if !lit[start] || piece_of[start] != 0 {
                continue;
            }
            let number = pieces.len() as u32 + 1;
            let (mut size, mut tinted, mut reddish, mut coloured) = (0, 0, 0, 0);
            let mut cells = Cells { left: usize::MAX, right: 0, top: usize::MAX, bottom: 0 };
            piece_of[start] = number;
            stack.push(start);
            while let Some(index) = stack.pop() {
                let (column, row) = (index % grid.columns, index / grid.columns);
                size += 1;
                tinted += usize::from(grid.tinted[index]);
                reddish += usize::from(grid.reddish[index]);
                coloured += usize::from(grid.coloured[index]);
                cells.include(Cells { left: column, right: column + 1, top: row, bottom: row + 1 });
                let neighbours = [
                    (column > 0).then(|| index - 1),
                    (column + 1 < grid.columns).then_some(index + 1),
                    (row > 0).then(|| index - grid.columns),
                    (row + 1 < grid.rows).then_some(index + grid.columns),
                ];
                for next in neighbours.into_iter().flatten() {
                    if lit[next] && piece_of[next] == 0 {
                        piece_of[next] = number;
                        stack.push(next);
                    }
                }
            }
            // A panel of text or curves is grey.
            let is_inset = tinted * 10 > size * 9;
            let is_grey = (tinted + reddish) * 5 < size;
            let weight = if is_inset || is_grey { size / 4 } else { size };
            pieces.push(Piece { size, weight, coloured, is_inset, cells });
        }
    }
}

/// Takes off rectangles that jut out of the picture's box: insets that overlap its edge or corner. A picture's own outline
/// bends; a rectangle's begins at once, stays as wide, and has nothing but black beside it.
fn without_tabs(grid: &Grid, lit: &[bool], black: u8, mut cells: Cells) -> Cells {
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
    let whole = Rect::whole(width, height);
    if right > left && bottom > top {
        Rect { x: left, y: top, width: right - left, height: bottom - top }
    } else {
        whole
    }
}

#[cfg(test)]
mod tests;
