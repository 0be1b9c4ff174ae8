//! How much training changes pictures.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How far each change may go; 0 switches it off. Factors are drawn from `1 ± value`, scale from `e^±value`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Radians either way.
    pub rotation: f32,
    /// Natural logarithm of the largest change of size, either way. One axis is stretched and the other shrunk by up to a
    /// third of it besides.
    pub log_scale: f32,
    /// Share of the side.
    pub shift: f32,
    /// Probability that only a part of the picture fills the view, 0.4 to 0.8 of its sides, wherever it lies: with the
    /// polyp, with a piece of it, or with mucosa alone.
    pub zoom: f32,
    /// Probability of mirroring left to right.
    pub mirror: f32,
    /// Probability of mirroring top to bottom.
    pub flip: f32,
    /// How far the light changes, on all channels alike.
    pub brightness: f32,
    /// How far contrast changes: the distance of each value from the mean of all values.
    pub contrast: f32,
    /// How far each channel's gain changes by itself.
    pub channel_gain: f32,
    /// How far saturation changes: the distance of each value from its pixel's grey value.
    pub saturation: f32,
    /// Probability of a blur.
    pub blur: f32,
    /// Probability of specular highlights.
    pub glare: f32,
    /// Largest standard deviation of noise, in grey levels.
    pub noise: f32,
    /// Probability that a frame without a polyp gets another's, small.
    pub paste: f32,
    /// Probability that a picture gets the colours of one of another data set.
    pub exchange: f32,
    /// Probability of dark edges, or corners cut off.
    pub dark_edges: f32,
    /// Probability of a box or text in a corner.
    pub corner: f32,
    /// Probability of a camera in motion.
    pub motion: f32,
    /// Probability of JPEG compression of quality 12 to 69.
    pub compression: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation {
            rotation: std::f32::consts::PI,
            log_scale: 0.35,
            shift: 0.2,
            zoom: 0.2,
            mirror: 0.5,
            flip: 0.0,
            brightness: 0.3,
            contrast: 0.3,
            channel_gain: 0.12,
            saturation: 0.3,
            blur: 0.25,
            glare: 0.25,
            noise: 6.0,
            paste: 0.0,
            exchange: 0.0,
            dark_edges: 0.0,
            corner: 0.0,
            motion: 0.0,
            compression: 0.0,
        }
    }
}

impl Augmentation {
    /// Changes nothing.
    pub fn none() -> Self {
        Augmentation {
            rotation: 0.0,
            log_scale: 0.0,
            shift: 0.0,
            zoom: 0.0,
            mirror: 0.0,
            flip: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            channel_gain: 0.0,
            saturation: 0.0,
            blur: 0.0,
            glare: 0.0,
            noise: 0.0,
            paste: 0.0,
            exchange: 0.0,
            dark_edges: 0.0,
            corner: 0.0,
            motion: 0.0,
            compression: 0.0,
        }
    }
}

/// A number drawn evenly from within `reach` of 0.
pub(super) fn within(rng: &mut ChaCha8Rng, reach: f32) -> f32 {
    (2.0 * rng.random::<f32>() - 1.0) * reach
}
