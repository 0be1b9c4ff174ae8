//! Quantised logits → mask and regions with outlines.
//!
//! The network's output is a coarse grid, `[H, W, 1] u8`; between the centres of its cells it is taken as bilinear.
//! A pixel is polyp where that surface reaches the threshold. Neighbouring cells (of eight) that reach it form a
//! region; a region stays if it is large enough and peaks high enough ([`Decision`]). The mask and the outlines are
//! the same level line of the same surface.

mod contour;
mod regions;

use anyhow::{Result, ensure};

use crate::bundle::manifest::Decision;
use crate::geometry::Rect;
use crate::geometry::{Mapping, Point};

use contour::Tracer;
use regions::Labels;
pub use regions::MAX_REGIONS;

/// One outlined region, in frame pixels.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Region {
    /// A closed polygon: the last point joins the first. Smooth, sub-pixel, inside the crop.
    pub outline: Vec<Point>,
    /// Area in square frame pixels, as the share of grid cells makes it.
    pub area_px: f32,
    /// Share of the field of view.
    pub share: f32,
    /// The outline's bounding box, rounded outwards.
    pub bounds: Bounds,
    /// The highest probability in the region.
    pub peak: f32,
}

/// `left..right`, `top..bottom` in frame pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Bounds {
    /// The least x.
    pub left: f32,
    /// The least y.
    pub top: f32,
    /// The greatest x.
    pub right: f32,
    /// The greatest y.
    pub bottom: f32,
}

impl Bounds {
    /// Intersection over union; 0 where both are empty.
    pub fn overlap(&self, other: &Bounds) -> f32 {
        let area = |bounds: &Bounds| (bounds.right - bounds.left) * (bounds.bottom - bounds.top);
        let width = (self.right.min(other.right) - self.left.max(other.left)).max(0.0);
        let height = (self.bottom.min(other.bottom) - self.top.max(other.top)).max(0.0);
        let all = area(self) + area(other) - width * height;
        if all > 0.0 { width * height / all } else { 0.0 }
    }
}

/// The regions of one frame, largest first.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Regions {
    /// At most [`MAX_REGIONS`].
    pub list: Vec<Region>,
}

/// Turns logits into regions by the rules of a bundle's [`Decision`]. Keeps its buffers from frame to frame.
pub struct Detector {
    scale: f32,
    zero_point: f32,
    /// In quantised units, not rounded.
    threshold: f32,
    min_peak: f32,
    min_region_share: f32,
    labels: Labels,
    tracer: Tracer,
    spare: Vec<Vec<Point>>,
    columns: Vec<(u32, u32, f32)>,
}

impl Detector {
    /// `scale` and `zero_point` are those of the model's output. An error if they or the decision are out of range.
    pub fn new(decision: &Decision, scale: f32, zero_point: u8) -> Result<Detector> {
        let probability = |p: f32| p > 0.0 && p < 1.0;
        ensure!(scale.is_finite() && scale > 0.0, "the output's scale is {scale}: it must be above 0");
        ensure!(
            probability(decision.threshold) && probability(decision.min_peak),
            "threshold {} and min_peak {} must lie between 0 and 1",
            decision.threshold,
            decision.min_peak
        );
        ensure!(
            (0.0..1.0).contains(&decision.min_region_share),
            "min_region_share {} must lie in 0..1",
            decision.min_region_share
        );
        let zero_point = f32::from(zero_point);
        let quantised = |p: f32| (p / (1.0 - p)).ln() / scale + zero_point;
        Ok(Detector {
            scale,
            zero_point,
            threshold: quantised(decision.threshold),
            min_peak: quantised(decision.min_peak),
            min_region_share: decision.min_region_share,
            labels: Labels::default(),
            tracer: Tracer::default(),
            spare: Vec::new(),
            columns: Vec::new(),
        })
    }

    /// Regions of `logits`, `[H, W, 1] u8`; an error if their number does not fit `shape`.
    pub fn detect(&mut self, logits: &[u8], shape: [usize; 3], mapping: &Mapping) -> Result<Regions> {
        let mut regions = Regions::default();
        self.detect_into(logits, shape, mapping, &mut regions)?;
        Ok(regions)
    }

    /// [`Self::detect`] into memory that is kept.
    pub fn detect_into(
        &mut self,
        logits: &[u8],
        shape: [usize; 3],
        mapping: &Mapping,
        regions: &mut Regions,
    ) -> Result<()> {
        self.spare.extend(regions.list.drain(..).map(|region| region.outline));
        let (height, width) = self.label(logits, shape)?;
        let (step_x, step_y) =
            (mapping.crop.width as f32 / width as f32, mapping.crop.height as f32 / height as f32);
        // Steps are rounded: the last place may come out a little beyond the crop.
        let Rect { x, y, width: crop_width, height: crop_height } = mapping.crop;
        let (left, top) = (x as f32, y as f32);
        let (right, bottom) = ((x + crop_width) as f32, (y + crop_height) as f32);
        self.tracer.start(logits, self.labels.cells(), width, height, self.threshold);
        for piece in self.labels.kept() {
            let mut outline = self.spare.pop().unwrap_or_default();
            self.tracer.outline(piece.label, piece.first_cell, &mut outline);
            for point in &mut outline {
                point.x = (left + point.x * step_x).min(right);
                point.y = (top + point.y * step_y).min(bottom);
            }
            let logit = (f32::from(piece.peak) - self.zero_point) * self.scale;
            regions.list.push(Region {
                bounds: bounds(&outline),
                outline,
                area_px: piece.cells as f32 * step_x * step_y,
                share: piece.cells as f32 / (width * height) as f32,
                peak: 1.0 / (1.0 + (-logit).exp()),
            });
        }
        Ok(())
    }

    /// The mask at the frame's size, `[frame_height, frame_width] u8`, 255 in regions that stay, else 0; it replaces
    /// what `out` holds. An error if the logits' number does not fit `shape`.
    pub fn mask(
        &mut self,
        logits: &[u8],
        shape: [usize; 3],
        mapping: &Mapping,
        frame_size: (usize, usize),
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (frame_width, frame_height) = frame_size;
        out.clear();
        out.resize(frame_width * frame_height, 0);
        let (height, width) = self.label(logits, shape)?;
        let Rect { x: crop_x, y: crop_y, width: crop_width, height: crop_height } = mapping.crop;
        self.columns.clear();
        self.columns.extend((0..crop_width).map(|x| sample_place(x, crop_width, width)));
        let cells = self.labels.cells();
        for y in 0..crop_height {
            let (upper, lower, down) = sample_place(y, crop_height, height);
            let (upper, lower) = (upper as usize * width, lower as usize * width);
            let start = (crop_y + y) * frame_width + crop_x;
            let Some(target) = out.get_mut(start..(start + crop_width).min((crop_y + y + 1) * frame_width))
            else {
                break;
            };
            if !cells[upper..upper + width]
                .iter()
                .chain(&cells[lower..lower + width])
                .any(|&label| label != 0)
            {
                continue;
            }
            for (pixel, &(left, right, along)) in target.iter_mut().zip(&self.columns) {
                let corners = [
                    upper + left as usize,
                    upper + right as usize,
                    lower + left as usize,
                    lower + right as usize,
                ];
                // A corner that reached the threshold carries its region's label, all four the same one.
                if corners.iter().all(|&corner| cells[corner] == 0) {
                    continue;
                }
                let [a, b, c, d] = corners.map(|corner| f32::from(logits[corner]));
                let (top, bottom) = (a + (b - a) * along, c + (d - c) * along);
                if top + (bottom - top) * down >= self.threshold {
                    *pixel = 255;
                }
            }
        }
        Ok(())
    }

    /// Labels the regions that stay; gives the grid's height and width.
    fn label(&mut self, logits: &[u8], shape: [usize; 3]) -> Result<(usize, usize)> {
        let [height, width, channels] = shape;
        ensure!(
            channels == 1 && height > 0 && width > 0 && Some(logits.len()) == height.checked_mul(width),
            "{} logits do not fill a grid of {height}×{width}×{channels}",
            logits.len()
        );
        let min_cells = self.min_region_share * (width * height) as f32;
        self.labels.find(logits, width, self.threshold, self.min_peak, min_cells);
        Ok((height, width))
    }
}

/// The two cells that pixel `place` of `length` lies between, and how far it is from the first to the second;
/// half-pixel centres, the outermost cells reach on to the edge.
fn sample_place(place: usize, length: usize, cells: usize) -> (u32, u32, f32) {
    let at = ((place as f32 + 0.5) * cells as f32 / length as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
    let first = at as usize;
    (first as u32, (first + 1).min(cells - 1) as u32, at - first as f32)
}

fn bounds(outline: &[Point]) -> Bounds {
    let Some(first) = outline.first() else { return Bounds::default() };
    let start = Bounds { left: first.x, top: first.y, right: first.x, bottom: first.y };
    let all = outline.iter().fold(start, |all, point| Bounds {
        left: all.left.min(point.x),
        top: all.top.min(point.y),
        right: all.right.max(point.x),
        bottom: all.bottom.max(point.y),
    });
    Bounds {
        left: all.left.floor(),
        top: all.top.floor(),
        right: all.right.ceil(),
        bottom: all.bottom.ceil(),
    }
}

#[cfg(test)]
mod tests;
