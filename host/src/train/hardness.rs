//! How hard each training picture is: the highest logit that the network gave it when it last met it.
//!
//! Polyp-free pictures are drawn the more often the surer the network was to see a polyp on them (mining of hard negatives, as
//! in Shrivastava et al., CVPR 2016, by what training computes anyway). What is drawn changes between epochs alone, so that
//! a resumed run draws the same.

use crate::net::parameters::{Array, Parameters};
use crate::numeric::sigmoid;

/// Share of the value before that a new one leaves.
const KEPT: f32 = 0.5;

/// Highest logits by sample; 0 where a sample has not been met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hardness {
    /// What this epoch's pictures are drawn by.
    drawn_by: Vec<f32>,
    /// What has been seen since.
    latest: Vec<f32>,
}

impl Hardness {
    /// Of `count` samples, as it was saved, or fresh where that was of another number of samples.
    pub fn fitted(self, count: usize) -> Self {
        if self.drawn_by.len() == count && self.latest.len() == count {
            return self;
        }
        if !self.latest.is_empty() {
            log::warn!(
                "the checkpoint knows {} training images and there are {count}: which of them are hard is learned anew",
                self.latest.len()
            );
        }
        Hardness { drawn_by: vec![0.0; count], latest: vec![0.0; count] }
    }

    /// What the network says of pictures that it has just met.
    pub fn note(&mut self, numbers: &[usize], peaks: &[f32]) {
        for (number, peak) in numbers.iter().zip(peaks) {
            if let Some(latest) = self.latest.get_mut(*number) {
                *latest += (1.0 - KEPT) * (peak - *latest);
            }
        }
    }

    /// From now on is drawn by what has been seen.
    pub fn end_epoch(&mut self) {
        self.drawn_by.clone_from(&self.latest);
    }

    /// How often each sample is drawn, the easiest 1 and the hardest `ratio` times.
    pub fn weights(&self, ratio: f32) -> Vec<f32> {
        self.drawn_by.iter().map(|peak| 1.0 + (ratio - 1.0) * sigmoid(*peak)).collect()
    }

    /// For a checkpoint.
    pub fn saved(&self) -> Parameters {
        let array = |values: &Vec<f32>| Array { shape: vec![values.len()], values: values.clone() };
        let sets = [("drawn_by", &self.drawn_by), ("latest", &self.latest)];
        Parameters(sets.into_iter().map(|(name, values)| (name.to_owned(), array(values))).collect())
    }

    /// Of a checkpoint; fresh where it has none.
    pub fn restored(mut saved: Parameters) -> Self {
        let mut values = |name: &str| saved.0.remove(name).map_or(Vec::new(), |array| array.values);
        Hardness { drawn_by: values("drawn_by"), latest: values("latest") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_drawn_more_often_from_the_next_epoch_on() {
        let mut hardness = Hardness::default().fitted(3);
        (0..8).for_each(|_| hardness.note(&[0, 2], &[6.0, -6.0]));
        assert_eq!(hardness.weights(5.0), [3.0; 3]);
        hardness.end_epoch();
        let weights = hardness.weights(5.0);
        assert!(weights[0] > 4.9 && weights[1] == 3.0 && weights[2] < 1.1, "{weights:?}");
        assert_eq!(Hardness::restored(hardness.saved()).fitted(3), hardness);
        assert_eq!(hardness.fitted(4), Hardness::default().fitted(4));
    }
}
