//! The six measures by which the field compares polyp segmentation, of predicted maps against masks.
//!
//! Mean Dice and IoU, weighted F, S, E and MAE, computed as the public reference implementation does (PyPI
//! `pysodmetrics` 1.6.2): each map is first stretched from its least to its greatest value to 0…1, and Dice, IoU and E are
//! curves over 256 levels, averaged over a list's images level by level before their mean or maximum is taken. A map
//! that is the same everywhere is not stretched. Where the mask is empty, Dice, IoU and weighted F are 0, whatever the
//! map says; S and E reward a dark map.
//!
//! Beside them stand Dice and IoU at probability 0.5, of the map as it is, by the rules of [`crate::measures::overlap`].

mod curves;
mod distance;
pub mod map;
pub mod overlap;
mod scene;
mod structure;
mod weighted;

use polyp_edge::fault::Fault;
use serde::Serialize;

pub use map::Map;
pub use scene::{Curve, LEVELS};

use scene::Scene;

use crate::measures::overlap::Overlap;

/// What one image comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameMeasures {
    /// Dice at each level.
    pub dice: Curve,
    /// IoU at each level.
    pub iou: Curve,
    /// E-measure (enhanced alignment, Fan et al., IJCAI 2018) at each level.
    pub e: Curve,
    /// Weighted F-measure (Margolin et al., CVPR 2014), β² = 1.
    pub weighted_f: f64,
    /// S-measure (structure, Fan et al., ICCV 2017), α = 0.5.
    pub s: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Of the pixels of at least probability 0.5, before stretching.
    pub at_half: Overlap,
}

impl FrameMeasures {
    /// Measures a map against `truth`, `[height_px, width_px] u8`, polyp where not 0. Another number of values than
    /// pixels, and probabilities outside 0…1, are exit code 65.
    pub fn of(map: Map, truth: &[u8], width_px: usize, height_px: usize) -> anyhow::Result<FrameMeasures> {
        let pixels = width_px * height_px;
        if pixels == 0 || map.len() != pixels || truth.len() != pixels {
            return Err(Fault::data(format!(
                "a map of {} and a mask of {} values are not {width_px} × {height_px} pixels",
                map.len(),
                truth.len()
            )));
        }
        let predicted: Vec<u8> = map.at_least_half();
        let at_half = Overlap::of(truth, &predicted);
        let truth: Vec<bool> = truth.iter().map(|&value| value != 0).collect();
        let scene = Scene { map: map.stretched()?, truth, truth_px: at_half.truth_px, width_px, height_px };
        let counts = curves::Counts::of(&scene);
        Ok(FrameMeasures {
            dice: counts.dice(),
            iou: counts.iou(),
            e: counts.e_measure(),
            weighted_f: weighted::weighted_f(&scene),
            s: structure::s_measure(&scene),
            mae: scene.errors().sum::<f64>() / pixels as f64,
            at_half,
        })
    }
}

/// A list's measures: means over its images; of curves, the mean or the maximum of the mean curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// How many images there are.
    pub frames: usize,
    /// Mean Dice over all levels.
    pub mean_dice: f64,
    /// Mean IoU over all levels.
    pub mean_iou: f64,
    /// Dice at the best level.
    pub max_dice: f64,
    /// Weighted F-measure.
    pub weighted_f: f64,
    /// S-measure.
    pub s_measure: f64,
    /// Mean E-measure over all levels.
    pub mean_e: f64,
    /// E-measure at the best level.
    pub max_e: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Dice of the pixels of at least probability 0.5, before stretching.
    pub dice_at_half: f64,
    /// IoU of the same pixels.
    pub iou_at_half: f64,
}

/// Sums over a list's images. Measure the images in parallel and add them in order: the same sums whatever the number of
/// threads.
#[derive(Clone, Debug)]
pub struct Accumulator {
    frames: usize,
    dice: Curve,
    iou: Curve,
    e: Curve,
    weighted_f: f64,
    s: f64,
    mae: f64,
    dice_at_half: f64,
    iou_at_half: f64,
}

impl Default for Accumulator {
    fn default() -> Self {
        let nothing = [0.0; LEVELS];
        Accumulator {
            frames: 0,
            dice: nothing,
            iou: nothing,
            e: nothing,
            weighted_f: 0.0,
            s: 0.0,
            mae: 0.0,
            dice_at_half: 0.0,
            iou_at_half: 0.0,
        }
    }
}

impl Accumulator {
    /// Measures an image, as [`FrameMeasures::of`], and adds it.
    pub fn add(&mut self, map: Map, truth: &[u8], width_px: usize, height_px: usize) -> anyhow::Result<()> {
        self.add_frame(&FrameMeasures::of(map, truth, width_px, height_px)?);
        Ok(())
    }

    /// Adds an image that is already measured.
    pub fn add_frame(&mut self, frame: &FrameMeasures) {
        self.frames += 1;
        let curves = [(&mut self.dice, &frame.dice), (&mut self.iou, &frame.iou), (&mut self.e, &frame.e)];
        for (sums, curve) in curves {
            sums.iter_mut().zip(curve).for_each(|(sum, value)| *sum += value);
        }
        self.weighted_f += frame.weighted_f;
        self.s += frame.s;
        self.mae += frame.mae;
        self.dice_at_half += frame.at_half.dice();
        self.iou_at_half += frame.at_half.iou();
    }

    /// The means; all 0 where nothing was added.
    pub fn finish(&self) -> Measures {
        let frames = self.frames.max(1) as f64;
        let mean = |curve: &Curve| curve.iter().sum::<f64>() / LEVELS as f64 / frames;
        let max = |curve: &Curve| curve.iter().copied().fold(0.0, f64::max) / frames;
        Measures {
            frames: self.frames,
            mean_dice: mean(&self.dice),
            mean_iou: mean(&self.iou),
            max_dice: max(&self.dice),
            weighted_f: self.weighted_f / frames,
            s_measure: self.s / frames,
            mean_e: mean(&self.e),
            max_e: max(&self.e),
            mae: self.mae / frames,
            dice_at_half: self.dice_at_half / frames,
            iou_at_half: self.iou_at_half / frames,
        }
    }
}

impl<'a> FromIterator<&'a FrameMeasures> for Accumulator {
    fn from_iter<I: IntoIterator<Item = &'a FrameMeasures>>(frames: I) -> Self {
        let mut sums = Accumulator::default();
        frames.into_iter().for_each(|frame| sums.add_frame(frame));
        sums
    }
}

#[cfg(test)]
mod tests;
