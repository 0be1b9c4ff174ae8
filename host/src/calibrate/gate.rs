//! Chooses the temporal gate: in how many of how many frames a region must have been seen.
//!
//! Held-back stills, each seen for a second by a drifting camera ([`crate::calibrate::drift`]), go through the cart's engine; then every
//! gate of a grid is tried on what it found. A gate that shows more cannot miss more, but shows false alarms that last for
//! a moment, and outlines that come and go; one that shows less comes later.

use std::collections::BTreeMap;
use std::time::Instant;

use polyp_edge::bundle::manifest;
use polyp_edge::detect::{Bounds, Region};
use polyp_edge::track::{Gate, MIN_OVERLAP, Rule, Shown};

use crate::calibrate::decision::{Share, keep_lowest};
use crate::calibrate::drift::FRAMES;
use crate::numeric::mean_of_sets;
use crate::quantise::recipe::GateTrial;
use crate::score::steadiness::Observer;

/// Appear, window.
const GATES: [(u32, u32); 14] = [
    (1, 1),
    (2, 2),
    (2, 3),
    (2, 4),
    (3, 3),
    (3, 4),
    (3, 5),
    (3, 6),
    (4, 5),
    (4, 6),
    (4, 7),
    (5, 6),
    (5, 7),
    (5, 9),
];

/// What the network found while the camera drifted over a still.
pub struct Clip {
    /// The data set that its still is of.
    pub set: String,
    pub kind: ClipKind,
    /// Regions, largest first, and where the polyp was, if in view.
    pub frames: Vec<(Vec<Region>, Option<Bounds>)>,
}

/// What the still of a clip shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipKind {
    /// A frame with a polyp.
    Polyp,
    /// A frame without a polyp.
    Negative,
    /// The part of a frame with a polyp that shows none.
    CutOut,
}

/// Tries every gate of the grid.
pub fn sweep(clips: &[Clip]) -> Vec<GateTrial> {
    GATES.map(|(appear, window)| try_out(clips, manifest::Gate { appear, window })).to_vec()
}

fn try_out(clips: &[Clip], setting: manifest::Gate) -> GateTrial {
    let [mut negatives, mut cut_outs, mut withheld, mut outlined] = <[Share; 4]>::default();
    let (mut changes, mut frames, mut delays) = (0, 0, Vec::new());
    let mut alarms: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for clip in clips {
        let mut gate = Gate::new(&Rule::of(setting));
        let (mut shown, mut observer, mut anything) = (Shown::default(), Observer::new(setting), false);
        let [mut first_found, mut first_shown] = [None; 2];
        for (number, (regions, polyp)) in clip.frames.iter().enumerate() {
            // Nothing is held, so that a sighting's age means nothing here.
            gate.update(regions, Instant::now(), &mut shown);
            observer.frame(regions);
            anything |= !shown.list().is_empty();
            let Some(polyp) = polyp else { continue };
            let on_it = |of: &[Region]| of.iter().any(|region| region.bounds.overlap(polyp) >= MIN_OVERLAP);
            outlined.count(on_it(shown.list()));
            if on_it(regions) {
                first_found.get_or_insert(number);
            }
            if on_it(shown.list()) {
                first_shown.get_or_insert(number);
            }
        }
        match clip.kind {
            ClipKind::Negative => {
                negatives.count(anything);
                let minutes = clip.frames.len().max(1) as f64 / (60 * FRAMES) as f64;
                let newly_shown = observer.finish().delays.len() as f64;
                alarms.entry(&clip.set).or_default().push(newly_shown / minutes);
            }
            ClipKind::CutOut => cut_outs.count(anything),
            ClipKind::Polyp => {
                changes += observer.finish().changes_shown;
                frames += clip.frames.len();
                if let Some(found) = first_found {
                    withheld.count(first_shown.is_none());
                    delays.extend(first_shown.map(|shown: usize| shown.saturating_sub(found)));
                }
            }
        }
    }
    GateTrial {
        appear: setting.appear,
        window: setting.window,
        negative_share: negatives.share(),
        alarms_a_minute: mean_of_sets(alarms.values().map(Vec::as_slice)),
        cut_out_share: cut_outs.share(),
        withheld_share: withheld.share(),
        outlined_share: outlined.share(),
        changes_a_second: changes as f64 * FRAMES as f64 / frames.max(1) as f64,
        delay_frames: delays.iter().sum::<usize>() as f64 / delays.len().max(1) as f64,
    }
}

/// Figures are not known more closely than this: gates as good as the best to within it are chosen between by the next figure.
const WITHHELD_TOLERANCE: f64 = 0.02;
/// Twice the standard error of the difference of two shares of some sixty cut-outs.
const CUT_OUT_TOLERANCE: f64 = 0.1;
const CHANGES_TOLERANCE: f64 = 0.2;

/// Among the gates under which at most this share of polyp-free seconds shows anything, those about as good as the best in polyps
/// withheld, of these in cut-outs marked, of these in changes; and of what is left the quickest, of equally quick ones the one that outlines most. If no gate keeps to the
/// share, the one with the fewest alarms.
pub fn choose(trials: &[GateTrial], negative_share: f64) -> Option<GateTrial> {
    let mut kept: Vec<GateTrial> =
        trials.iter().filter(|trial| trial.negative_share <= negative_share).copied().collect();
    if kept.is_empty() {
        let alarms = |trial: &&GateTrial| (trial.negative_share, trial.delay_frames);
        return trials
            .iter()
            .min_by(|a, b| alarms(a).partial_cmp(&alarms(b)).unwrap_or(std::cmp::Ordering::Equal))
            .copied();
    }
    keep_lowest(&mut kept, |trial| trial.withheld_share, WITHHELD_TOLERANCE);
    keep_lowest(&mut kept, |trial| trial.cut_out_share, CUT_OUT_TOLERANCE);
    keep_lowest(&mut kept, |trial| trial.changes_a_second, CHANGES_TOLERANCE);
    kept.into_iter().min_by(|a, b| {
        a.delay_frames.total_cmp(&b.delay_frames).then(b.outlined_share.total_cmp(&a.outlined_share))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(left: f32) -> Bounds {
        Bounds { left, top: 0.0, right: left + 10.0, bottom: 10.0 }
    }

    /// A clip in which something is found in the frames that `found` names.
    fn clip(kind: ClipKind, found: impl Fn(usize) -> bool) -> Clip {
        let polyp = (kind == ClipKind::Polyp).then(|| at(0.0));
        let regions = |number| {
            if found(number) { vec![Region { bounds: at(0.0), ..Region::default() }] } else { Vec::new() }
        };
        Clip {
            set: "set".to_owned(),
            kind,
            frames: (0..FRAMES).map(|number| (regions(number), polyp)).collect(),
        }
    }

    fn of(trials: &[GateTrial], gate: (u32, u32)) -> GateTrial {
        *trials.iter().find(|trial| (trial.appear, trial.window) == gate).unwrap()
    }

    #[test]
    fn a_gate_is_judged_by_alarms_and_delay() {
        let clips = [
            clip(ClipKind::Polyp, |number| number >= 5 && number % 7 != 0),
            clip(ClipKind::Polyp, |number| number == 20),
            clip(ClipKind::Negative, |number| number % 10 < 2),
            clip(ClipKind::Negative, |_| false),
            clip(ClipKind::CutOut, |_| true),
        ];
        let trials = sweep(&clips);
        let open = of(&trials, (1, 1));
        assert_eq!((open.negative_share, open.cut_out_share, open.withheld_share), (0.5, 1.0, 0.0));
        // Three sightings in one of two seconds.
        assert_eq!(open.alarms_a_minute, 90.0);
        assert_eq!(open.delay_frames, 0.0);
        // Found in frames 5, 6, 8 … 13, 15 … 20, 22, 23, 24; and 20.
        assert_eq!(open.outlined_share, 18.0 / 50.0);
        // Comes, then goes and comes at 7, 14 and 21; comes and goes.
        assert_eq!(open.changes_a_second, (7.0 + 2.0) / 2.0);
        let gated = of(&trials, (3, 5));
        assert_eq!((gated.negative_share, gated.cut_out_share, gated.withheld_share), (0.0, 1.0, 0.5));
        // Found in 5, 6 and 8.
        assert_eq!(gated.delay_frames, 3.0);
    }

    #[test]
    fn the_quickest_of_those_about_as_good_is_chosen() {
        let trial =
            |appear, negative_share, withheld_share, cut_out_share, changes_a_second, delay_frames| {
                GateTrial {
                    appear,
                    negative_share,
                    withheld_share,
                    cut_out_share,
                    changes_a_second,
                    delay_frames,
                    ..GateTrial::default()
                }
            };
        let alarming = trial(1, 0.2, 0.0, 0.5, 9.0, 0.0);
        let lively = trial(2, 0.03, 0.01, 0.31, 4.0, 1.2);
        let good = trial(3, 0.02, 0.015, 0.3, 1.1, 2.5);
        let slow = trial(4, 0.0, 0.01, 0.29, 1.0, 3.5);
        let blind = trial(5, 0.0, 0.2, 0.1, 0.5, 4.0);
        let all = [alarming, lively, good, slow, blind];
        assert_eq!(choose(&all, 0.03), Some(good));
        assert_eq!(choose(&all, 0.01), Some(slow));
        let outlining = GateTrial { window: 5, outlined_share: 0.9, ..good };
        assert_eq!(choose(&[alarming, good, outlining, slow], 0.03), Some(outlining));
        assert_eq!(choose(&[alarming, trial(2, 0.1, 0.0, 0.0, 0.0, 1.0)], 0.01).unwrap().appear, 2);
        assert_eq!(choose(&[], 0.1), None);
    }
}
