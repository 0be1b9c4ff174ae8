//! Pictures and layers into memory that is written in order and never read.

use anyhow::{Result, ensure};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x4;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::gpu::BufferMemory;
use crate::convert;
use crate::frame::View;
use crate::geometry::Placement;
use crate::overlay::Layer;

/// Rows converted at once: as much as stays in the core's cache. Even, for formats whose rows come in pairs.
const STRIP_ROWS: usize = 16;

/// Draws pictures by way of cached memory, which is kept.
#[derive(Default)]
pub struct Brush {
    /// Rows of the surface, and one more, so that a strip that starts within a row is still whole.
    strip: Vec<u8>,
    /// Of a picture that is scaled: its own size, then the target's. `B G R X`.
    whole: Vec<u8>,
    scaled: Vec<u8>,
    resizer: Resizer,
}

impl Brush {
    /// Writes a whole surface of `B G R X`, rows `stride` bytes apart: the picture in its place, black around it, and
    /// the layer over both, if there is one. The target lies within the surface. An error if the placement is not the
    /// picture's.
    pub fn picture(
        &mut self,
        picture: Option<&View<'_>>,
        placement: &Placement,
        layer: Option<&Layer>,
        memory: &mut impl BufferMemory,
        stride: usize,
    ) -> Result<()> {
        let (width, height) = placement.surface;
        let target = placement.target;
        let row_bytes = 4 * width;
        self.strip.resize(row_bytes * (STRIP_ROWS + 1), 0);
        let rows = match picture {
            Some(view) => {
                ensure!(
                    (view.width_px(), view.height_px()) == placement.frame,
                    "a frame of {}×{} pixels has the placement of one of {:?}",
                    view.width_px(),
                    view.height_px(),
                    placement.frame
                );
                if !placement.is_unscaled() {
                    self.scale(view, (target.width, target.height))?;
                }
                target.y..target.y + target.height
            }
            None => 0..0,
        };
        let mut y = 0;
        while y < height {
            let inside = picture.filter(|_| rows.contains(&y));
            let end = if inside.is_some() {
                rows.end
            } else if y < rows.start {
                rows.start
            } else {
                height
            };
            let count = (end - y).min(STRIP_ROWS);
            if inside.is_none() || target.width < width {
                self.strip.fill(0);
            }
            if let Some(view) = inside {
                let first = y - target.y;
                let at = 4 * target.x;
                if placement.is_unscaled() {
                    let out = self.strip.get_mut(at..).unwrap_or(&mut []);
                    convert::to_bgrx(view, first..first + count, out, row_bytes)?;
                } else {
                    let from = self.scaled.chunks_exact(4 * target.width).skip(first);
                    for (from, to) in from.zip(self.strip.chunks_exact_mut(row_bytes).take(count)) {
                        if let Some(to) = to.get_mut(at..at + from.len()) {
                            to.copy_from_slice(from);
                        }
                    }
                }
            }
            for (index, row) in self.strip.chunks_exact_mut(row_bytes).take(count).enumerate() {
                if let Some(layer) = layer {
                    layer.over::<4, false>(y + index, row);
                }
                memory.write((y + index) * stride, row);
            }
            y += count;
        }
        Ok(())
    }

    fn scale(&mut self, view: &View<'_>, (width, height): (usize, usize)) -> Result<()> {
        let size = (view.width_px(), view.height_px());
        self.whole.resize(4 * size.0 * size.1, 0);
        self.scaled.resize(4 * width * height, 0);
        convert::to_bgrx(view, 0..size.1, &mut self.whole, 4 * size.0)?;
        let source = TypedImageRef::<U8x4>::from_buffer(size.0 as u32, size.1 as u32, &self.whole)?;
        let mut target = TypedImage::<U8x4>::from_buffer(width as u32, height as u32, &mut self.scaled)?;
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
        self.resizer.resize_typed(&source, &mut target, &options)?;
        Ok(())
    }
}

/// What a buffer for layers holds: bit n of row y, something in pixels `64 n .. 64 n + 64`.
#[derive(Default)]
pub struct Traces(Vec<u64>);

const TRACE_PX: usize = 64;

impl Traces {
    /// Writes a layer as `B G R A` into memory that holds an earlier one, or nothing: what is new in it and what was
    /// in the earlier one are written, nothing else. Rows are `stride` bytes apart.
    pub fn layer(
        &mut self,
        layer: &Layer,
        memory: &mut impl BufferMemory,
        stride: usize,
        size: (usize, usize),
    ) {
        let (width, height) = size;
        self.0.resize(height, 0);
        for (y, held) in self.0.iter_mut().enumerate() {
            let mut drawn = 0;
            for (start, pixels) in layer.runs(y) {
                let room = 4 * width.saturating_sub(start);
                let pixels = pixels.get(..room).unwrap_or(pixels);
                memory.write(y * stride + 4 * start, pixels);
                drawn |= blocks(start, start + pixels.len() / 4);
            }
            let mut gone = *held & !drawn;
            while gone != 0 {
                let first = TRACE_PX * gone.trailing_zeros() as usize;
                let count = TRACE_PX.min(width.saturating_sub(first));
                memory.zero(y * stride + 4 * first, 4 * count);
                gone &= gone - 1;
            }
            *held = drawn;
        }
    }
}

/// The bits of blocks that pixels `start..end` lie in.
fn blocks(start: usize, end: usize) -> u64 {
    let mut bits = 0;
    for block in start / TRACE_PX..end.div_ceil(TRACE_PX) {
        bits |= 1u64.checked_shl(block as u32).unwrap_or(0);
    }
    bits
}
