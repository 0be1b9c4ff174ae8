//! Dice, IoU and E-measure at each of 256 levels, from two histograms.

use crate::measures::scene::{Curve, LEVELS, Scene};

/// How many pixels are at least as large as each level, 255 first.
pub(super) struct Counts {
    /// Inside the mask.
    hits: [usize; LEVELS],
    /// Outside.
    alarms: [usize; LEVELS],
    truth_px: usize,
    pixels: usize,
}

impl Counts {
    pub(super) fn of(scene: &Scene) -> Counts {
        let (mut hits, mut alarms) = ([0; LEVELS], [0; LEVELS]);
        for (value, &truth) in scene.map.iter().zip(&scene.truth) {
            let counts = if truth { &mut hits } else { &mut alarms };
            // Cut, not rounded: so does the reference.
            counts[LEVELS - 1 - usize::from((value * 255.0) as u8)] += 1;
        }
        for index in 1..LEVELS {
            hits[index] += hits[index - 1];
            alarms[index] += alarms[index - 1];
        }
        Counts { hits, alarms, truth_px: scene.truth_px, pixels: scene.map.len() }
    }

    fn curve(&self, value: impl Fn(usize, usize) -> f64) -> Curve {
        std::array::from_fn(|index| value(self.hits[index], self.alarms[index]))
    }

    /// 2·|A ∩ B| / (|A| + |B|); 0 where both are empty.
    pub(super) fn dice(&self) -> Curve {
        self.curve(|hits, alarms| share(2 * hits, self.truth_px + hits + alarms))
    }

    /// |A ∩ B| / |A ∪ B|; 0 where both are empty.
    pub(super) fn iou(&self) -> Curve {
        self.curve(|hits, alarms| share(hits, self.truth_px + alarms))
    }

    /// Enhanced alignment (Fan et al., IJCAI 2018): with a and b a pixel's map and mask less their means, the sum of
    /// (1 + 2ab / (a² + b²))² / 4 over all pixels, divided by one less than their number. A pixel is one of four kinds.
    pub(super) fn e_measure(&self) -> Curve {
        let pixels = self.pixels as f64;
        let truth_mean = self.truth_px as f64 / pixels;
        self.curve(|hits, alarms| {
            let shown = hits + alarms;
            let sum = if self.truth_px == 0 {
                (self.pixels - shown) as f64
            } else if self.truth_px == self.pixels {
                shown as f64
            } else {
                let shown_mean = shown as f64 / pixels;
                let misses = self.truth_px - hits;
                let kinds = [
                    (1.0, 1.0, hits),
                    (1.0, 0.0, alarms),
                    (0.0, 1.0, misses),
                    (0.0, 0.0, self.pixels - shown - misses),
                ];
                kinds
                    .into_iter()
                    .map(|(map, truth, count)| alignment(map - shown_mean, truth - truth_mean) * count as f64)
                    .sum()
            };
            sum / (pixels - 1.0 + f64::EPSILON)
        })
    }
}

fn share(part: usize, whole: usize) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64,
    }
}

fn alignment(a: f64, b: f64) -> f64 {
    let align = 2.0 * (a * b) / (a * a + b * b + f64::EPSILON);
    (align + 1.0) * (align + 1.0) / 4.0
}
