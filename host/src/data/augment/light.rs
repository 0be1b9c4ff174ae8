//! Light and colour, and the camera's noise.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::amounts::{Augmentation, within};

/// Brightness, contrast, gain of each channel, saturation, noise; rounded back to what a camera gives.
pub(super) fn light(pixels: &mut [f32], side: usize, a: &Augmentation, rng: &mut ChaCha8Rng) {
    let plane = side * side;
    let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
    let contrast = 1.0 + within(rng, a.contrast);
    let brightness = 1.0 + within(rng, a.brightness);
    let saturation = 1.0 + within(rng, a.saturation);
    let gains = [0; 3].map(|_| brightness * (1.0 + within(rng, a.channel_gain)));
    let noise = rng.random::<f32>() * a.noise * if rng.random::<f32>() < 0.3 { 1.0 } else { 0.0 };
    let (red, rest) = pixels.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let grey = 0.299 * *r + 0.587 * *g + 0.114 * *b;
        for (value, gain) in [r, g, b].into_iter().zip(gains) {
            let coloured = grey + saturation * (*value - grey);
            let lit = ((coloured - mean) * contrast + mean) * gain;
            let grain = if noise > 0.0 { within(rng, noise) * 1.73 } else { 0.0 };
            *value = (lit + grain).clamp(0.0, 255.0).round();
        }
    }
}
