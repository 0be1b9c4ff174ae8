//! Chooses the decision rules on held-back frames.
//!
//! Every threshold, smallest region and lowest peak of a grid is tried: among the settings under which at most a stated
//! share of polyp-free frames shows any region and that are about as good as the best in mean Dice on frames with
//! polyps, the one that hides least is taken.

use std::cmp::Ordering;

use polyp_edge::bundle::manifest::Decision;
use polyp_edge::detect::Detector;
use polyp_edge::field_of_view::Mapping;
use polyp_edge::frame::Rect;
use rayon::prelude::*;

use crate::metrics::Overlap;

/// Side in pixels of the square on which Dice is measured for choosing.
pub const TRUTH_SIDE_PX: usize = 128;

const THRESHOLDS: [f32; 9] = [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7];
const SHARES: [f32; 7] = [0.0, 0.001, 0.002, 0.004, 0.007, 0.012, 0.02];
const PEAKS: [f32; 12] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98];

/// What the model made of a held-back frame.
pub struct Seen {
    /// `[H, W, 1] u8`
    pub logits: Vec<u8>,
    /// The field of view's truth, `[TRUTH_SIDE_PX, TRUTH_SIDE_PX] u8`; empty for a frame without a polyp.
    pub truth: Vec<u8>,
}

/// How the logits are to be read.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// `[H, W, 1]`
    pub shape: [usize; 3],
    pub scale: f32,
    pub zero_point: u8,
}

#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// At most this share of polyp-free frames may show a region.
    pub negative_share: f64,
    /// Take this threshold instead of trying several.
    pub threshold: Option<f32>,
}

/// One setting and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Trial {
    pub threshold: f32,
    pub min_region_share: f32,
    pub min_peak: f32,
    pub dice: f64,
    /// Share of polyp-free frames with any region; 0 without such frames.
    pub negative_share: f64,
}

impl Trial {
    pub fn decision(&self) -> Decision {
        Decision {
            threshold: self.threshold,
            min_region_share: self.min_region_share,
            min_peak: self.min_peak,
        }
    }
}

/// Tries the whole grid. The trials are in the grid's order.
pub fn sweep(frames: &[Seen], output: Output, wishes: Wishes) -> anyhow::Result<Vec<Trial>> {
    let thresholds = wishes.threshold.map_or(THRESHOLDS.to_vec(), |threshold| vec![threshold]);
    let mut grid = Vec::new();
    for threshold in thresholds {
        for min_region_share in SHARES {
            let peaks = PEAKS.into_iter().filter(|&peak| peak >= threshold);
            grid.extend(peaks.map(|min_peak| Decision { threshold, min_region_share, min_peak }));
        }
    }
    grid.into_par_iter().map(|decision| try_out(frames, output, decision)).collect()
}

fn try_out(frames: &[Seen], output: Output, decision: Decision) -> anyhow::Result<Trial> {
    let mut detector = Detector::new(&decision, output.scale, output.zero_point)?;
    let crop = Rect { x: 0, y: 0, width: TRUTH_SIDE_PX, height: TRUTH_SIDE_PX };
    let mapping = Mapping::new(crop, TRUTH_SIDE_PX);
    let (mut dice, mut alarms, mut negatives) = (0.0, 0, 0);
    let mut mask = Vec::new();
    for frame in frames {
        if frame.truth.is_empty() {
            negatives += 1;
            alarms += usize::from(!detector.detect(&frame.logits, output.shape, &mapping)?.list.is_empty());
        } else {
            detector.mask(
                &frame.logits,
                output.shape,
                &mapping,
                (TRUTH_SIDE_PX, TRUTH_SIDE_PX),
                &mut mask,
            )?;
            dice += Overlap::of(&frame.truth, &mask).dice();
        }
    }
    Ok(Trial {
        threshold: decision.threshold,
        min_region_share: decision.min_region_share,
        min_peak: decision.min_peak,
        dice: dice / (frames.len() - negatives).max(1) as f64,
        negative_share: f64::from(alarms as u32) / negatives.max(1) as f64,
    })
}

/// Dice on the held-back frames is not known more closely than this: settings as good as the best to within it are
/// chosen between by how little they hide.
const DICE_TOLERANCE: f64 = 0.005;

/// Among the trials that keep to the wished share of false alarms and lie within [`DICE_TOLERANCE`] of the best of
/// them, the mildest: the smallest region, then the lowest peak, then the threshold nearest to one half. A rule that
/// hides a polyp costs more than Dice shows. If no trial keeps to the share, the one with the fewest alarms.
pub fn choose(trials: &[Trial], wishes: Wishes) -> Option<Trial> {
    let keeps = |trial: &&Trial| trial.negative_share <= wishes.negative_share;
    let best = trials.iter().filter(keeps).map(|trial| trial.dice).max_by(f64::total_cmp);
    let Some(best) = best else {
        let fewer = |a: &&Trial, b: &&Trial| {
            a.negative_share.total_cmp(&b.negative_share).then(b.dice.total_cmp(&a.dice))
        };
        return trials.iter().min_by(fewer).copied();
    };
    let milder = |a: &&Trial, b: &&Trial| {
        let harshness = |t: &Trial| [t.min_region_share, t.min_peak, (t.threshold - 0.5).abs()];
        let (a, b) = (harshness(a), harshness(b));
        a.iter().zip(&b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    trials.iter().filter(keeps).filter(|trial| trial.dice >= best - DICE_TOLERANCE).min_by(milder).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: Output = Output { shape: [16, 16, 1], scale: 0.05, zero_point: 128 };

    /// Logits with one square region of `side` cells, and the truth that fits it.
    fn frame(side: usize, logit: f32, polyp: bool) -> Seen {
        let inside = |cell: usize| cell % 16 < side && cell / 16 < side;
        let stored = (logit / OUTPUT.scale + 128.0) as u8;
        let logits = (0..256).map(|cell| if inside(cell) { stored } else { 20 }).collect();
        let cell = TRUTH_SIDE_PX / 16;
        let truth = (0..TRUTH_SIDE_PX * TRUTH_SIDE_PX)
            .map(|pixel| pixel % TRUTH_SIDE_PX < side * cell && pixel / TRUTH_SIDE_PX < side * cell)
            .map(|inside| if inside { 255 } else { 0 });
        Seen { logits, truth: if polyp { truth.collect() } else { Vec::new() } }
    }

    #[test]
    fn false_alarms_are_bought_off_with_the_peak() {
        let mut frames: Vec<Seen> = (4..10).map(|side| frame(side, 4.0, true)).collect();
        frames.extend((0..10).map(|_| frame(6, 1.0, false)));
        let wishes = Wishes { negative_share: 0.1, threshold: None };
        let trials = sweep(&frames, OUTPUT, wishes).unwrap();
        let chosen = choose(&trials, wishes).unwrap();
        assert_eq!(chosen.negative_share, 0.0);
        assert!(chosen.dice > 0.9, "{chosen:?}");
        assert!(chosen.min_peak > 0.731 && chosen.min_peak < 0.982, "{chosen:?}");
        let pinned = Wishes { negative_share: 0.1, threshold: Some(0.5) };
        assert!(sweep(&frames, OUTPUT, pinned).unwrap().iter().all(|trial| trial.threshold == 0.5));
    }

    #[test]
    fn impossible_wishes_give_the_fewest_alarms() {
        let trial = |dice, negative_share| Trial {
            threshold: 0.5,
            min_region_share: 0.0,
            min_peak: 0.5,
            dice,
            negative_share,
        };
        let wishes = Wishes { negative_share: 0.1, threshold: None };
        assert_eq!(
            choose(&[trial(0.9, 0.5), trial(0.6, 0.3), trial(0.7, 0.3)], wishes),
            Some(trial(0.7, 0.3))
        );
        assert_eq!(
            choose(&[trial(0.9, 0.5), trial(0.6, 0.1), trial(0.7, 0.05)], wishes),
            Some(trial(0.7, 0.05))
        );
        assert_eq!(choose(&[], wishes), None);
    }
}
