//! Another source's colours: mean and spread of each channel are brought towards those of a picture of another data set
//! (Reinhard et al., "Color Transfer between Images", 2001, here in RGB), so that a network cannot tell sources by their
//! colours.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::data::cache::Cached;

/// Pixels darker than this, as the sum of their channels, are the mask around the picture.
const DARKEST: f32 = 45.0;

/// Mean and standard deviation of each channel, over what is not dark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look([(f32, f32); 3]);

impl Look {
    /// Of every seventh pixel; `None` of a dark picture.
    pub fn of(sample: &Cached) -> Option<Look> {
        Look::gather(
            sample.pixels.chunks_exact(3).step_by(7).map(|pixel| [0, 1, 2].map(|c| f32::from(pixel[c]))),
        )
    }

    fn gather(pixels: impl Iterator<Item = [f32; 3]>) -> Option<Look> {
        let (mut sums, mut squares, mut count) = ([0.0f64; 3], [0.0f64; 3], 0.0f64);
        for pixel in pixels.filter(|pixel| pixel.iter().sum::<f32>() > DARKEST) {
            for c in 0..3 {
                sums[c] += f64::from(pixel[c]);
                squares[c] += f64::from(pixel[c] * pixel[c]);
            }
            count += 1.0;
        }
        (count > 64.0).then(|| {
            Look(std::array::from_fn(|c| {
                let mean = sums[c] / count;
                (mean as f32, (squares[c] / count - mean * mean).max(0.0).sqrt() as f32)
            }))
        })
    }
}

/// Brings planes `[3, side, side]` part of the way, at random, to another look.
pub(super) fn exchange(pixels: &mut [f32], side: usize, other: Look, rng: &mut ChaCha8Rng) {
    let plane = side * side;
    let own = Look::gather((0..plane).step_by(7).map(|at| [0, 1, 2].map(|c| pixels[c * plane + at])));
    let Some(Look(own)) = own else { return };
    let share = rng.random_range(0.3..1.0f32);
    let lit: Vec<bool> =
        (0..plane).map(|at| (0..3).map(|c| pixels[c * plane + at]).sum::<f32>() > DARKEST).collect();
    for (c, values) in pixels.chunks_exact_mut(plane).enumerate() {
        let ((mean, spread), (their_mean, their_spread)) = (own[c], other.0[c]);
        let gain = (their_spread / spread.max(1.0)).clamp(0.5, 2.0);
        for (value, _) in values.iter_mut().zip(&lit).filter(|(_, lit)| **lit) {
            let theirs = (*value - mean) * gain + their_mean;
            *value = (*value + share * (theirs - *value)).clamp(0.0, 255.0);
        }
    }
}
