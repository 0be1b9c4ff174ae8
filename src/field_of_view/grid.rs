//! The frame's brightness and colour on a coarse grid.

use crate::frame::Frame;

/// Cells on the frame's longer side, at most.
const CELLS: usize = 128;
/// Samples on a cell's side, at most.
const SAMPLES: usize = 4;
/// A frame whose darkest cells are brighter than this has no black border.
const BLACK_AT_MOST: u8 = 40;
/// Nothing smaller than this share of the frame is taken for the picture.
pub(super) const SMALLEST_SHARE: f32 = 0.012;
/// Levels that differ by no more than this are the same black.
pub(super) const FLAT: u8 = 4;

/// What is black in a frame and what is lit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Light {
    pub(super) black: u8,
    pub(super) lit_from: u8,
    /// Less than a tenth of the frame is lit.
    pub(super) sparse: bool,
}

/// The frame's brightness on a coarse grid: `[rows, columns] u8`.
#[derive(Debug, Default)]
pub(super) struct Grid {
    pub(super) cell_px: usize,
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Lower quartile of max(R, G, B) over a cell's samples: strokes of text on black leave it black.
    pub(super) level: Vec<u8>,
    /// The cell is distinctly greener or bluer than red: an icon or inset rather than mucosa.
    pub(super) tinted: Vec<bool>,
    /// The cell is distinctly redder than green and blue, as mucosa is and a panel of text or curves is not.
    pub(super) reddish: Vec<bool>,
    /// The cell is not grey: mucosa in any light, narrow-band light too.
    pub(super) coloured: Vec<bool>,
}

impl Grid {
    pub(super) fn sample(&mut self, frame: &Frame) {
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

    /// Whether anything in this frame is as black as a border. An empty one has nothing.
    pub(super) fn has_black(&self) -> bool {
        let black = self.level.iter().filter(|&&level| level <= BLACK_AT_MOST).count();
        black > (self.level.len() as f32 * 0.01) as usize
    }

    /// What is black in this frame and what is lit; `None` if it has no black border or nothing in it is lit.
    pub(super) fn light(&self) -> Option<Light> {
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
    pub(super) fn count_black(&self, cells: Cells, black: u8) -> (usize, usize) {
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
    pub(super) fn are_apart(&self, a: Cells, b: Cells, black: u8) -> bool {
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

    pub(super) fn is_black(&self, cells: Cells, black: u8) -> bool {
        let (count, dark) = self.count_black(cells, black);
        count == dark
    }

    /// Whether `b` juts out of a corner of `a`, with a black line along its two sides within `a`.
    pub(super) fn is_cut_off(&self, a: Cells, b: Cells, black: u8) -> bool {
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

    pub(super) fn cells(&self) -> usize {
        self.columns * self.rows
    }
}

/// Cells `left..right`, `top..bottom`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cells {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) top: usize,
    pub(super) bottom: usize,
}

impl Cells {
    pub(super) fn include(&mut self, other: Cells) {
        self.left = self.left.min(other.left);
        self.right = self.right.max(other.right);
        self.top = self.top.min(other.top);
        self.bottom = self.bottom.max(other.bottom);
    }

    pub(super) fn area(self) -> usize {
        self.right.saturating_sub(self.left) * self.bottom.saturating_sub(self.top)
    }
}
