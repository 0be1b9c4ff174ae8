//! What an epoch is chosen by: how well the held-back frames are outlined, and how well those with a polyp are told from those
//! without. Data sets count alike, see [`weight_of_set`].

use std::collections::BTreeMap;

use crate::numeric::{mean_of_sets, weight_of_set};

/// What the network made of a held-back frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The data set.
    pub set: String,
    /// Dice at 0.5 where the frame shows a polyp and its mask is true.
    pub dice: Option<f64>,
    /// Whether the frame shows a polyp.
    pub has_polyp: bool,
    /// The highest logit.
    pub peak: f32,
}

/// Of all held-back frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Mean Dice at 0.5 of frames with a polyp, over data sets.
    pub dice: f64,
    /// Share of polyp-free frames with any pixel at or over 0.5, over data sets.
    pub lit: f64,
    /// Probability that a frame with a polyp has a higher peak than one without (area under the ROC curve); `None` where
    /// there are not both.
    pub separation: Option<f64>,
}

impl Judgement {
    /// Of frames, in any order.
    pub fn of(frames: &[Judged]) -> Self {
        let dice = by_set(frames.iter().filter_map(|frame| Some((frame.set.as_str(), frame.dice?))));
        let lit = frames.iter().filter(|frame| !frame.has_polyp);
        let lit = by_set(lit.map(|frame| (frame.set.as_str(), f64::from(u8::from(frame.peak >= 0.0)))));
        Judgement { dice, lit, separation: separation(frames) }
    }
}

/// The mean over data sets.
fn by_set<'a>(values: impl Iterator<Item = (&'a str, f64)>) -> f64 {
    let mut sets: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    values.for_each(|(set, value)| sets.entry(set).or_default().push(value));
    mean_of_sets(sets.values().map(Vec::as_slice))
}

fn separation(frames: &[Judged]) -> Option<f64> {
    let mut counts: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    frames.iter().for_each(|frame| *counts.entry((&frame.set, frame.has_polyp)).or_default() += 1);
    let total = |has_polyp: bool| -> f64 {
        counts.iter().filter(|((_, own), _)| *own == has_polyp).map(|(_, count)| weight_of_set(*count)).sum()
    };
    let totals = [total(false), total(true)];
    if totals.contains(&0.0) {
        return None;
    }
    let weight = |frame: &Judged| {
        let count = counts.get(&(frame.set.as_str(), frame.has_polyp)).copied().unwrap_or(1);
        weight_of_set(count) / (count as f64 * totals[usize::from(frame.has_polyp)])
    };
    let mut order: Vec<&Judged> = frames.iter().collect();
    order.sort_by(|a, b| a.peak.total_cmp(&b.peak));
    let (mut area, mut below) = (0.0, 0.0);
    for equals in order.chunk_by(|a, b| a.peak == b.peak) {
        let sum = |has_polyp: bool| -> f64 {
            equals.iter().filter(|frame| frame.has_polyp == has_polyp).map(|frame| weight(frame)).sum()
        };
        let (with, without) = (sum(true), sum(false));
        area += with * (below + without / 2.0);
        below += without;
    }
    Some(area)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(set: &str, dice: Option<f64>, has_polyp: bool, peak: f32) -> Judged {
        Judged { set: set.to_owned(), dice, has_polyp, peak }
    }

    #[test]
    fn data_sets_count_alike() {
        let mut frames = vec![judged("a", Some(1.0), true, 3.0); 90];
        frames.extend(vec![judged("b", Some(0.0), true, -3.0); 20]);
        frames.extend(vec![judged("c", None, true, 5.0); 40]);
        let polyps = frames.len();
        frames.extend(vec![judged("d", None, false, 1.0); 10]);
        frames.extend(vec![judged("d", None, false, -1.0); 10]);
        let judgement = Judgement::of(&frames);
        assert_eq!((judgement.dice, judgement.lit), (0.5, 0.5));
        // Of three data sets with polyps, one lies below both polyp-free frames.
        assert!((judgement.separation.unwrap() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(Judgement::of(&frames[..polyps]).separation, None);
        // Five frames of another hospital count a quarter of it.
        frames.extend(vec![judged("e", None, false, 4.0); 5]);
        let judgement = Judgement::of(&frames);
        assert!((judgement.lit - (0.5 + 0.25) / 1.25).abs() < 1e-9);
        // Of the polyp-free fifth that it is, one data set of three lies above.
        let expected = (2.0 / 3.0 + 0.25 / 3.0) / 1.25;
        assert!((judgement.separation.unwrap() - expected).abs() < 1e-9);
    }

    #[test]
    fn equals_are_half_right() {
        let frames = [judged("a", None, true, 1.0), judged("a", None, false, 1.0)];
        assert_eq!(Judgement::of(&frames).separation, Some(0.5));
    }
}
