//! What was drawn against what was there: for sources that know their true polyps.

use std::fmt;

use serde::Serialize;

use crate::capture::Mask;
use crate::detect::Region;
use crate::overlay::Filler;

/// A polyp counts from this share of the frame's pixels.
const MIN_POLYP_SHARE: f64 = 0.002;
/// A polyp is hit if regions that are not false cover at least this share of it.
const HIT_SHARE: f64 = 0.2;
/// A region is false if less than this share of it is polyp.
const TRUE_SHARE: f64 = 0.1;

/// Counts hits and false regions over frames. Keeps its buffers.
#[derive(Default)]
pub struct Scorer {
    tally: Tally,
    filler: Filler,
    /// `[H, W]`: the polyp's number, 0 where there is none.
    polyps: Vec<u32>,
    areas: Vec<u32>,
    covered: Vec<u32>,
    painted: Vec<bool>,
    /// `[H, W]`: inside a region that is not false.
    inside: Vec<bool>,
    /// Over the frames in which a polyp was hit: the sum of their overlaps, and how many they are.
    overlap: (f64, u64),
    stack: Vec<usize>,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    pub(crate) frames: u64,
    /// Polyps large enough to count, once a frame; and those of them that a region covers.
    pub(crate) polyps: u64,
    pub(crate) hits: u64,
    pub(crate) regions: u64,
    pub(crate) false_regions: u64,
}

/// The tally with its rates and rules, as it is written.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreReport {
    pub(crate) schema: u32,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) hit_rate: Option<f64>,
    /// Of the frames in which a polyp was hit: intersection over union of those that were with the regions that are not false, on
    /// average.
    pub(crate) mean_overlap: Option<f64>,
    pub(crate) false_regions_per_frame: f64,
    pub(crate) min_polyp_share: f64,
    pub(crate) hit_share: f64,
    pub(crate) true_share: f64,
}

impl fmt::Display for ScoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let rate = self.hit_rate.map_or("–".into(), |rate| format!("{:.1} %", 100.0 * rate));
        write!(
            f,
            "rendered polyps: {} of {} found ({rate}); {} false regions, {:.3} a frame",
            tally.hits, tally.polyps, tally.false_regions, self.false_regions_per_frame
        )?;
        match self.mean_overlap {
            Some(overlap) => write!(f, "; overlap with those found (IoU) {overlap:.3}"),
            None => Ok(()),
        }
    }
}

impl Scorer {
    /// Takes a frame's true mask and the regions drawn on it.
    pub fn add(&mut self, truth: &Mask, regions: &[Region]) {
        let (width, height) = (truth.width, truth.height);
        self.label(truth);
        self.covered.clear();
        self.covered.resize(self.areas.len(), 0);
        self.painted.clear();
        self.painted.resize(self.polyps.len(), false);
        self.inside.clear();
        self.inside.resize(self.polyps.len(), false);
        self.tally.frames += 1;
        for region in regions {
            let (mut inside, mut true_pixels) = (0u64, 0u64);
            self.filler.spans(&region.outline, width, height, |y, columns| {
                inside += columns.len() as u64;
                let row = self.polyps.get(y * width..(y + 1) * width).unwrap_or(&[]);
                let polyps = row.get(columns).unwrap_or(&[]).iter().filter(|&&polyp| polyp > 0);
                true_pixels += polyps.count() as u64;
            });
            self.tally.regions += 1;
            if (true_pixels as f64) < TRUE_SHARE * inside.max(1) as f64 {
                self.tally.false_regions += 1;
                continue;
            }
            self.filler.spans(&region.outline, width, height, |y, columns| {
                for index in columns.map(|x| y * width + x) {
                    if let Some(inside) = self.inside.get_mut(index) {
                        *inside = true;
                    }
                    let polyp = self.polyps.get(index).copied().unwrap_or(0) as usize;
                    if let (Some(covered), Some(painted)) =
                        (self.covered.get_mut(polyp), self.painted.get_mut(index))
                        && !*painted
                    {
                        *painted = true;
                        *covered += 1;
                    }
                }
            });
        }
        let least = MIN_POLYP_SHARE * (width * height) as f64;
        // Of the polyps that were hit.
        let (mut common, mut area_hit) = (0, 0);
        for (&area, &covered) in self.areas.iter().zip(&self.covered).skip(1) {
            if f64::from(area) >= least {
                let is_hit = f64::from(covered) >= HIT_SHARE * f64::from(area);
                self.tally.polyps += 1;
                self.tally.hits += u64::from(is_hit);
                if is_hit {
                    (common, area_hit) = (common + u64::from(covered), area_hit + u64::from(area));
                }
            }
        }
        if area_hit > 0 {
            let drawn = self.inside.iter().filter(|inside| **inside).count() as u64;
            self.overlap.0 += common as f64 / (drawn + area_hit - common) as f64;
            self.overlap.1 += 1;
        }
    }

    /// Tells the polyps apart: pixels that touch by their sides are one.
    fn label(&mut self, truth: &Mask) {
        let (width, pixels) = (truth.width, &truth.pixels);
        self.polyps.clear();
        self.polyps.resize(pixels.len(), 0);
        self.areas.clear();
        self.areas.push(0);
        for start in 0..pixels.len() {
            if pixels[start] == 0 || self.polyps[start] != 0 {
                continue;
            }
            let (polyp, mut area) = (self.areas.len() as u32, 0);
            self.polyps[start] = polyp;
            self.stack.push(start);
            while let Some(index) = self.stack.pop() {
                area += 1;
                let x = index % width;
                let neighbours = [
                    (x > 0).then(|| index - 1),
                    (x + 1 < width).then_some(index + 1),
                    index.checked_sub(width),
                    Some(index + width).filter(|&below| below < pixels.len()),
                ];
                for near in neighbours.into_iter().flatten() {
                    if pixels[near] != 0 && self.polyps[near] == 0 {
                        self.polyps[near] = polyp;
                        self.stack.push(near);
                    }
                }
            }
            self.areas.push(area);
        }
    }

    /// What was counted so far.
    pub fn report(&self) -> ScoreReport {
        let tally = self.tally.clone();
        ScoreReport {
            schema: 1,
            hit_rate: (tally.polyps > 0).then(|| tally.hits as f64 / tally.polyps as f64),
            mean_overlap: (self.overlap.1 > 0).then(|| self.overlap.0 / self.overlap.1 as f64),
            false_regions_per_frame: tally.false_regions as f64 / tally.frames.max(1) as f64,
            min_polyp_share: MIN_POLYP_SHARE,
            hit_share: HIT_SHARE,
            true_share: TRUE_SHARE,
            tally,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;

    fn mask(boxes: &[(usize, usize, usize)]) -> Mask {
        let mut pixels = vec![0; 100 * 80];
        for &(left, top, side) in boxes {
            for y in top..top + side {
                pixels[y * 100 + left..y * 100 + left + side].fill(255);
            }
        }
        Mask { width: 100, height: 80, pixels }
    }

    fn region(left: f32, top: f32, side: f32) -> Region {
        let corner = |x, y| Point { x, y };
        let outline = vec![
            corner(left, top),
            corner(left + side, top),
            corner(left + side, top + side),
            corner(left, top + side),
        ];
        Region { outline, ..Region::default() }
    }

    #[test]
    fn hits_misses_and_false_regions_are_told_apart() {
        let mut scorer = Scorer::default();
        // One polyp covered by half, one missed, one too small to count; one region beside them all.
        let truth = mask(&[(10, 10, 20), (60, 40, 10), (90, 70, 3)]);
        scorer.add(&truth, &[region(20.0, 10.0, 20.0), region(5.0, 60.0, 10.0)]);
        let tally = Tally { frames: 1, polyps: 2, hits: 1, regions: 2, false_regions: 1 };
        assert_eq!(scorer.report().tally, tally);
        assert_eq!(scorer.report().hit_rate, Some(0.5));
        // 200 pixels in common, 600 in either.
        assert_eq!(scorer.report().mean_overlap, Some(200.0 / 600.0));
        scorer.add(&mask(&[]), &[]);
        assert_eq!(scorer.report().false_regions_per_frame, 0.5);
    }

    #[test]
    fn regions_over_one_another_cover_once() {
        let mut scorer = Scorer::default();
        let corner = region(10.0, 10.0, 8.0);
        // 64 of 400 pixels, three times over: still below a fifth.
        scorer.add(&mask(&[(10, 10, 20)]), &[corner.clone(), corner.clone(), corner]);
        assert_eq!((scorer.report().tally.hits, scorer.report().tally.false_regions), (0, 0));
    }

    #[test]
    fn a_region_over_everything_hits_nothing() {
        let mut scorer = Scorer::default();
        scorer.add(&mask(&[(10, 10, 20)]), &[region(-10.0, -10.0, 200.0)]);
        assert_eq!((scorer.report().tally.hits, scorer.report().tally.false_regions), (0, 1));
    }

    #[test]
    fn nothing_to_find_has_no_rate() {
        assert_eq!(Scorer::default().report().hit_rate, None);
    }
}
