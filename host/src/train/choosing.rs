//! What an epoch is chosen by: how well the held-back frames are outlined, and how well those with a polyp are told from those
//! without. Every data set counts alike, however many frames it has.

use std::collections::BTreeMap;

use crate::numeric::mean;

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

/// The mean over data sets of each one's mean.
fn by_set<'a>(values: impl Iterator<Item = (&'a str, f64)>) -> f64 {
    let mut sets: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    values.for_each(|(set, value)| sets.entry(set).or_default().push(value));
    mean(&sets.values().map(|values| mean(values)).collect::<Vec<_>>())
}

fn separation(frames: &[Judged]) -> Option<f64> {
    let mut counts: BTreeMap<(&str, bool), f64> = BTreeMap::new();
    frames.iter().for_each(|frame| *counts.entry((&frame.set, frame.has_polyp)).or_default() += 1.0);
    let groups = |has_polyp: bool| counts.keys().filter(|(_, own)| *own == has_polyp).count() as f64;
    if groups(true) == 0.0 || groups(false) == 0.0 {
        return None;
    }
    let weight = |frame: &Judged| {
        let count = counts.get(&(frame.set.as_str(), frame.has_polyp)).copied().unwrap_or(1.0);
        1.0 / (count * groups(frame.has_polyp))
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
        let mut frames = vec![judged("a", Some(1.0), true, 3.0); 9];
        frames.push(judged("b", Some(0.0), true, -3.0));
        frames.extend(vec![judged("c", None, true, 5.0); 4]);
        frames.extend(vec![judged("d", None, false, 1.0), judged("d", None, false, -1.0)]);
        let judgement = Judgement::of(&frames);
        assert_eq!((judgement.dice, judgement.lit), (0.5, 0.5));
        // Of three data sets with polyps, one lies below both polyp-free frames.
        assert!((judgement.separation.unwrap() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(Judgement::of(&frames[..14]).separation, None);
    }

    #[test]
    fn equals_are_half_right() {
        let frames = [judged("a", None, true, 1.0), judged("a", None, false, 1.0)];
        assert_eq!(Judgement::of(&frames).separation, Some(0.5));
    }
}
