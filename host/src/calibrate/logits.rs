//! How good logits are before any decision rule.

use crate::calibrate::decision::{TRUTH_SIDE_PX, Truth};
use crate::graph::execute::Activation;
use crate::measures::overlap::Overlap;
use crate::numeric::{enlarged, mean};
use crate::quantise::statistics::LARGEST_LOGIT;

/// Dice at a probability of one half of each frame with a polyp, on the grid that truths have.
pub fn dice_at_half(logits: &[&Activation], truths: &[&Truth]) -> Vec<f64> {
    let pairs = logits.iter().zip(truths).filter_map(|(logits, truth)| match truth {
        Truth::Polyp(truth) => Some((logits, truth)),
        _ => None,
    });
    pairs
        .map(|(logits, truth)| {
            let map = enlarged(&logits.data, logits.shape.width, TRUTH_SIDE_PX);
            let mask: Vec<u8> = map.iter().map(|logit| if *logit >= 0.0 { 255 } else { 0 }).collect();
            Overlap::of(truth, &mask).dice()
        })
        .collect()
}

/// Whether `values` are worse than `best`, frame by frame, by more than the standard error of their difference.
pub fn is_worse(values: &[f64], best: &[f64]) -> bool {
    let lost: Vec<f64> = best.iter().zip(values).map(|(best, value)| best - value).collect();
    let (count, mean) = (lost.len() as f64, mean(&lost));
    let variance = lost.iter().map(|lost| (lost - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    mean > (variance / count.max(1.0)).sqrt()
}

/// A logit as it can be stored: see [`LARGEST_LOGIT`].
pub fn storable(logit: f32) -> f64 {
    f64::from(logit.clamp(-LARGEST_LOGIT, LARGEST_LOGIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_within_its_spread_is_not_worse() {
        let best = [0.9, 0.8, 0.7, 0.9];
        assert!(!is_worse(&best, &best));
        assert!(!is_worse(&[0.95, 0.7, 0.75, 0.85], &best));
        assert!(is_worse(&[0.89, 0.79, 0.69, 0.89], &best));
        assert!(!is_worse(&[], &[]));
    }
}
