//! What is drawn, apart from the picture: a layer that lies over it.

/// Pixels are told apart in blocks of this many: those of a block that nothing touched are never looked at.
const BLOCK_PX: usize = 64;
/// The longest side, in pixels: a row's blocks are the bits of one word.
pub const MAX_SIDE_PX: usize = BLOCK_PX * 64;

/// A sparse picture to be laid over another: premultiplied `[B, G, R, A]`, A 255 opaque, as KMS's `ARGB8888` has them
/// in memory. Keeps its memory; clearing it costs what was drawn.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    width_px: usize,
    height_px: usize,
    /// `[height, width, 4]`
    pixels: Vec<u8>,
    /// Bit n of row y: something was drawn in pixels `64 n .. 64 n + 64`.
    touched: Vec<u64>,
}

impl Layer {
    /// Empty. Sides are cut at 4096.
    pub fn new(width_px: usize, height_px: usize) -> Layer {
        let mut layer = Layer::default();
        layer.reset(width_px, height_px);
        layer
    }

    /// Clears the layer and gives it another size, if it is another one. Sides are cut at 4096.
    pub fn reset(&mut self, width_px: usize, height_px: usize) {
        let (width_px, height_px) = (width_px.min(MAX_SIDE_PX), height_px.min(MAX_SIDE_PX));
        if (self.width_px, self.height_px) == (width_px, height_px) {
            return self.clear();
        }
        (self.width_px, self.height_px) = (width_px, height_px);
        self.pixels.clear();
        self.pixels.resize(4 * width_px * height_px, 0);
        self.touched.clear();
        self.touched.resize(height_px, 0);
    }

    /// Makes all of it transparent again.
    pub fn clear(&mut self) {
        for y in 0..self.height_px {
            for (start, end) in blocks(self.touched.get(y).copied().unwrap_or(0), self.width_px) {
                let row = 4 * y * self.width_px;
                if let Some(pixels) = self.pixels.get_mut(row + 4 * start..row + 4 * end) {
                    pixels.fill(0);
                }
            }
        }
        self.touched.fill(0);
    }

    /// At most 4096.
    pub fn width_px(&self) -> usize {
        self.width_px
    }
    /// At most 4096.
    pub fn height_px(&self) -> usize {
        self.height_px
    }

    /// Lays a colour (red, green, blue) over a pixel; `share` 0 leaves it, 1 replaces it. Nothing happens outside.
    pub fn blend(&mut self, x: usize, y: usize, colour: [u8; 3], share: f32) {
        if x >= self.width_px || share <= 0.0 {
            return;
        }
        let at = 4 * (y.saturating_mul(self.width_px) + x);
        let (Some(pixel), Some(touched)) = (self.pixels.get_mut(at..at + 4), self.touched.get_mut(y)) else {
            return;
        };
        *touched |= 1 << (x / BLOCK_PX);
        let share = share.min(1.0);
        let [red, green, blue] = colour;
        for (byte, value) in pixel.iter_mut().zip([blue, green, red, 255]) {
            *byte = (f32::from(value) * share + f32::from(*byte) * (1.0 - share) + 0.5) as u8;
        }
    }

    /// Lays another layer over this one, its upper left corner at `left`, `top`. What lies outside is cut off.
    pub fn lay(&mut self, over: &Layer, left: usize, top: usize) {
        for row in 0..over.height_px.min(self.height_px.saturating_sub(top)) {
            let y = top + row;
            for (start, run) in over.runs(row) {
                let x = left + start;
                let count = (run.len() / 4).min(self.width_px.saturating_sub(x));
                let at = 4 * (y * self.width_px + x);
                let (Some(pixels), Some(touched)) =
                    (self.pixels.get_mut(at..at + 4 * count), self.touched.get_mut(y))
                else {
                    continue;
                };
                for block in x / BLOCK_PX..(x + count).div_ceil(BLOCK_PX) {
                    *touched |= 1 << block;
                }
                for (under, over) in pixels.chunks_exact_mut(4).zip(run.chunks_exact(4)) {
                    let alpha = over.last().copied().unwrap_or(0);
                    for (under, over) in under.iter_mut().zip(over) {
                        *under = composed(*under, *over, alpha);
                    }
                }
            }
        }
    }

    /// Whether anything was drawn in row `y`.
    pub fn is_touched(&self, y: usize) -> bool {
        self.touched.get(y).is_some_and(|&touched| touched != 0)
    }

    /// The runs of row `y` in which something may have been drawn: first column, premultiplied `[B, G, R, A]`.
    pub fn runs(&self, y: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let row = 4 * y * self.width_px;
        let touched = self.touched.get(y).copied().unwrap_or(0);
        blocks(touched, self.width_px).filter_map(move |(start, end)| {
            self.pixels.get(row + 4 * start..row + 4 * end).map(|pixels| (start, pixels))
        })
    }

    /// Lays row `y` over pixels of `N` bytes, the first three of them blue, green, red (`RED_FIRST`: red, green, blue).
    /// Bytes under nothing stay as they are, and so do those beyond the third.
    pub fn over<const N: usize, const RED_FIRST: bool>(&self, y: usize, row: &mut [u8]) {
        for (start, run) in self.runs(y) {
            let Some(pixels) = row.get_mut(N * start..) else { continue };
            for (pixel, over) in pixels.chunks_exact_mut(N).zip(run.chunks_exact(4)) {
                let &[blue, green, red, alpha] = over else { continue };
                if alpha == 0 {
                    continue;
                }
                let over = if RED_FIRST { [red, green, blue] } else { [blue, green, red] };
                for (byte, over) in pixel.iter_mut().zip(over) {
                    *byte = composed(*byte, over, alpha);
                }
            }
        }
    }
}

/// What a premultiplied value of opacity `alpha` / 255 makes of the value under it, rounded to nearest.
pub fn composed(under: u8, over: u8, alpha: u8) -> u8 {
    let rest = u32::from(under) * (255 - u32::from(alpha));
    (u32::from(over) + (rest + 127) / 255).min(255) as u8
}

/// Runs of set bits, as columns `start..end` of a row of `width` pixels.
fn blocks(mut touched: u64, width: usize) -> impl Iterator<Item = (usize, usize)> {
    std::iter::from_fn(move || {
        if touched == 0 {
            return None;
        }
        let first = touched.trailing_zeros();
        let count = (touched >> first).trailing_ones();
        touched &= u64::MAX.checked_shl(first + count).unwrap_or(0);
        let column = |block: u32| (BLOCK_PX * block as usize).min(width);
        Some((column(first), column(first + count)))
    })
}
