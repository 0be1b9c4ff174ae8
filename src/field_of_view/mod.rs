//! Where the endoscope's picture sits in the frame.
//!
//! A processor puts the picture of the tip's camera, an octagon or a circle, on black, with patient data, icons and
//! insets beside it. [`find`] gives the bounding box of the picture itself: the rounded corners stay inside, borders,
//! text and detached insets do not. [`Locator`] applies a bundle's or a cart's rule, and keeps the box still over a video.

mod edges;
mod grid;
mod locator;
mod outline;
mod steady;

pub use locator::{Locator, Rule, Sequence};
pub(crate) use outline::Seen;
pub use outline::outline;

use edges::{refine, trim, without_tabs};
use grid::{Cells, Grid, Light, SMALLEST_SHARE};

use crate::frame::Frame;
use crate::geometry::Rect;

/// A picture that covers less of the frame than this must look like one, see [`Finder::stands_alone`].
const MIN_SHARE: f32 = 0.06;
/// The brightest and the darkest cell of a picture differ by at least this.
const TEXTURE: u8 = 24;
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
        self.look(frame).unwrap_or(Rect::whole(frame.width_px(), frame.height_px()))
    }

    /// As [`Finder::find`]; `None` where the frame is too dark to tell, or nothing in it is large enough to be the picture.
    fn look(&mut self, frame: &Frame) -> Option<Rect> {
        self.grid.sample(frame);
        let light = self.grid.light()?;
        self.open(light.lit_from);
        let cells = self.picture(light)?;
        let cells = without_tabs(&self.grid, &self.lit, light.black, cells);
        Some(refine(frame, &self.grid, light.lit_from, trim(&self.grid, &self.lit, cells)))
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

#[cfg(test)]
mod tests;
