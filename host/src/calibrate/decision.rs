//! Chooses the decision rules on held-back frames.
//!
//! Every threshold, smallest region and lowest peak of a grid is tried: among the settings under which at most a stated
//! share of polyp-free frames shows any region and that are about as good as the best in mean Dice, missed polyps and
//! marked cut-outs (see `held_back.rs`), the one that hides least is taken.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use polyp_edge::bundle::manifest::Decision;
use polyp_edge::detect::Detector;
use polyp_edge::geometry::Mapping;
use polyp_edge::geometry::Rect;
use rayon::prelude::*;

use crate::measures::overlap::Overlap;
use crate::numeric::{weight_of_set, weighted_mean};

/// Side in pixels of the square on which Dice is measured for choosing.
pub(crate) const TRUTH_SIDE_PX: usize = 128;

const THRESHOLDS: [f32; 9] = [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7];
const SHARES: [f32; 7] = [0.0, 0.001, 0.002, 0.004, 0.007, 0.012, 0.02];
const PEAKS: [f32; 17] =
    [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.987, 0.992, 0.995, 0.997, 0.9985];

/// What the model made of a held-back frame.
pub(crate) struct Seen {
    /// The data set that the frame is of.
    pub set: String,
    /// `[H, W, 1] u8`
    pub logits: Vec<u8>,
    /// What there was to find.
    pub truth: Truth,
}

/// What a held-back frame shows.
#[derive(Clone, Debug)]
pub(crate) enum Truth {
    /// A polyp, here: `[TRUTH_SIDE_PX, TRUTH_SIDE_PX] u8` over the field of view.
    Polyp(Vec<u8>),
    /// A polyp whose mask a machine made: only whether anything is found counts.
    Somewhere,
    /// A whole frame without a polyp.
    Negative,
    /// The part of a frame with a polyp that shows none.
    CutOut,
}

/// How the logits are to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// `[H, W, 1]`
    pub shape: [usize; 3],
    /// The real value of one step.
    pub scale: f32,
    /// The stored value that stands for 0.
    pub zero_point: u8,
}

/// What the choice of decision rules must keep to.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// At most this share of polyp-free frames may show a region.
    pub negative_share: f64,
    /// At most this share of frames with a polyp may be missed. It goes before the false alarms.
    pub missed_share: f64,
    /// Take this threshold instead of trying several.
    pub threshold: Option<f32>,
}

/// One setting and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Trial {
    /// Probability from which a pixel is polyp.
    pub threshold: f32,
    /// Smallest region, as a share of the field of view.
    pub min_region_share: f32,
    /// Lowest probability that a region must reach somewhere.
    pub min_peak: f32,
    /// Mean Dice over the frames with a polyp, their disturbed copies included; 0 without such frames.
    pub dice: f64,
    /// Share of frames with a polyp on which nothing of it was found, the mean over data sets; as all shares here.
    pub missed_share: f64,
    /// Share of polyp-free frames with any region; 0 without such frames.
    pub negative_share: f64,
    /// The same of cut-outs.
    pub cut_out_share: f64,
}

impl Trial {
    /// The rules by themselves.
    pub fn decision(&self) -> Decision {
        Decision {
            threshold: self.threshold,
            min_region_share: self.min_region_share,
            min_peak: self.min_peak,
        }
    }
}

/// Tries the whole grid. The trials are in the grid's order.
pub(crate) fn sweep(frames: &[Seen], output: Output, wishes: Wishes) -> anyhow::Result<Vec<Trial>> {
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
    let mut dice = Vec::new();
    let [mut missed, mut negatives, mut cut_outs] = <[SharesBySet; 3]>::default();
    let mut mask = Vec::new();
    for Seen { set, logits, truth } in frames {
        let mut alarm = || anyhow::Ok(!detector.detect(logits, output.shape, &mapping)?.list.is_empty());
        match truth {
            Truth::Negative => negatives.count(set, alarm()?),
            Truth::CutOut => cut_outs.count(set, alarm()?),
            Truth::Somewhere => missed.count(set, !alarm()?),
            Truth::Polyp(truth) => {
                detector.mask(logits, output.shape, &mapping, (TRUTH_SIDE_PX, TRUTH_SIDE_PX), &mut mask)?;
                let overlap = Overlap::of(truth, &mask);
                dice.push(overlap.dice());
                missed.count(set, overlap.both_px == 0);
            }
        }
    }
    Ok(Trial {
        threshold: decision.threshold,
        min_region_share: decision.min_region_share,
        min_peak: decision.min_peak,
        dice: dice.iter().sum::<f64>() / dice.len().max(1) as f64,
        missed_share: missed.share(),
        negative_share: negatives.share(),
        cut_out_share: cut_outs.share(),
    })
}

/// Figures on the held-back frames are not known more closely than this: settings as good as the best to within it are
/// chosen between by the next figure.
const DICE_TOLERANCE: f64 = 0.005;
const MISSED_TOLERANCE: f64 = 0.005;
const CUT_OUT_TOLERANCE: f64 = 0.05;

/// Trials that miss more polyps than wished are left out, unless all do. Among the trials that keep to the wished share of
/// false alarms, those about as good as the best in Dice, of these
/// in missed polyps, of these in marked cut-outs; and of what is left the mildest: the smallest region, then the lowest
/// peak, then the threshold nearest to one half. A rule that hides a polyp costs more than Dice shows. If no trial keeps
/// to the share, the one with the fewest alarms.
pub(crate) fn choose(trials: &[Trial], wishes: Wishes) -> Option<Trial> {
    let finds = |trial: &&Trial| trial.missed_share <= wishes.missed_share;
    let finding: Vec<Trial> = trials.iter().filter(finds).copied().collect();
    let trials = if finding.is_empty() { trials } else { &finding };
    let mut kept: Vec<Trial> =
        trials.iter().filter(|trial| trial.negative_share <= wishes.negative_share).copied().collect();
    if kept.is_empty() {
        let fewer = |a: &&Trial, b: &&Trial| {
            a.negative_share.total_cmp(&b.negative_share).then(b.dice.total_cmp(&a.dice))
        };
        return trials.iter().min_by(fewer).copied();
    }
    keep_lowest(&mut kept, |trial| -trial.dice, DICE_TOLERANCE);
    keep_lowest(&mut kept, |trial| trial.missed_share, MISSED_TOLERANCE);
    keep_lowest(&mut kept, |trial| trial.cut_out_share, CUT_OUT_TOLERANCE);
    let milder = |a: &Trial, b: &Trial| {
        let harshness = |t: &Trial| [t.min_region_share, t.min_peak, (t.threshold - 0.5).abs()];
        let (a, b) = (harshness(a), harshness(b));
        a.iter().zip(&b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    kept.into_iter().min_by(milder)
}

/// Leaves the trials whose figure lies within `tolerance` of the lowest.
pub(super) fn keep_lowest<T>(trials: &mut Vec<T>, figure: impl Fn(&T) -> f64, tolerance: f64) {
    let lowest = trials.iter().map(&figure).fold(f64::INFINITY, f64::min);
    trials.retain(|trial| figure(trial) <= lowest + tolerance);
}

/// How often something held.
#[derive(Default)]
pub(super) struct Share {
    of: usize,
    count: usize,
}

impl Share {
    pub(super) fn count(&mut self, holds: bool) {
        self.of += 1;
        self.count += usize::from(holds);
    }
    pub(super) fn share(&self) -> f64 {
        self.count as f64 / self.of.max(1) as f64
    }
}

/// The same for each data set.
#[derive(Default)]
pub(super) struct SharesBySet(BTreeMap<String, Share>);

impl SharesBySet {
    pub(super) fn count(&mut self, set: &str, holds: bool) {
        if let Some(share) = self.0.get_mut(set) {
            share.count(holds);
            return;
        }
        let mut share = Share::default();
        share.count(holds);
        self.0.insert(set.to_owned(), share);
    }
    /// The mean of the data sets' shares, which count alike; see [`weight_of_set`].
    pub(super) fn share(&self) -> f64 {
        weighted_mean(self.0.values().map(|share| (share.share(), weight_of_set(share.of))))
    }
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
        Seen {
            set: "set".to_owned(),
            logits,
            truth: if polyp { Truth::Polyp(truth.collect()) } else { Truth::Negative },
        }
    }

    #[test]
    fn false_alarms_are_bought_off_with_the_peak() {
        let mut frames: Vec<Seen> = (4..10).map(|side| frame(side, 4.0, true)).collect();
        frames.extend((0..10).map(|_| frame(6, 1.0, false)));
        let wishes = Wishes { negative_share: 0.1, missed_share: 0.1, threshold: None };
        let trials = sweep(&frames, OUTPUT, wishes).unwrap();
        let chosen = choose(&trials, wishes).unwrap();
        assert_eq!(chosen.negative_share, 0.0);
        assert!(chosen.dice > 0.9, "{chosen:?}");
        assert!(chosen.min_peak > 0.731 && chosen.min_peak < 0.982, "{chosen:?}");
        let pinned = Wishes { threshold: Some(0.5), ..wishes };
        assert!(sweep(&frames, OUTPUT, pinned).unwrap().iter().all(|trial| trial.threshold == 0.5));
    }

    #[test]
    fn impossible_wishes_give_the_fewest_alarms() {
        let trial = |dice, negative_share, cut_out_share, min_peak| Trial {
            threshold: 0.5,
            min_region_share: 0.0,
            min_peak,
            dice,
            missed_share: 0.0,
            negative_share,
            cut_out_share,
        };
        let wishes = Wishes { negative_share: 0.1, missed_share: 0.1, threshold: None };
        let chosen = |trials: &[Trial]| choose(trials, wishes);
        let fewest = trial(0.7, 0.3, 0.0, 0.5);
        assert_eq!(chosen(&[trial(0.9, 0.5, 0.0, 0.5), trial(0.6, 0.3, 0.0, 0.5), fewest]), Some(fewest));
        let better = trial(0.7, 0.05, 0.9, 0.6);
        assert_eq!(chosen(&[trial(0.9, 0.5, 0.0, 0.5), trial(0.6, 0.1, 0.0, 0.5), better]), Some(better));
        let quieter = trial(0.698, 0.05, 0.4, 0.9);
        assert_eq!(chosen(&[better, quieter, trial(0.69, 0.0, 0.1, 0.5)]), Some(quieter));
        let milder = trial(0.697, 0.05, 0.44, 0.8);
        assert_eq!(chosen(&[better, quieter, milder]), Some(milder));
        let missing = Trial { missed_share: 0.02, ..milder };
        assert_eq!(chosen(&[better, quieter, missing]), Some(quieter));
        // Quiet only because it misses a fifth: the alarms are taken.
        let blind = Trial { negative_share: 0.0, missed_share: 0.2, ..better };
        let alarming = Trial { negative_share: 0.4, missed_share: 0.05, ..better };
        assert_eq!(chosen(&[blind, alarming]), Some(alarming));
        assert_eq!(chosen(&[blind]), Some(blind));
        assert_eq!(chosen(&[]), None);
    }
}
