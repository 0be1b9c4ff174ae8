//! What a picture's coefficients show.

use super::tables::ZIGZAG;
use super::transform::{scale, wave};
use super::{Component, Encoded, QUANTISER};

impl Encoded {
    /// What the coefficients show, as RGB: an inverse transform in floating point, each sample repeated over the
    /// pixels that share it.
    pub fn reference(&self) -> Vec<u8> {
        let widest = self.plan.sampling.iter().map(|s| s.0).max().unwrap();
        let tallest = self.plan.sampling.iter().map(|s| s.1).max().unwrap();
        let planes: Vec<Vec<f64>> = self.components.iter().map(Component::samples).collect();
        let mut rgb = Vec::new();
        for (y, x) in (0..self.plan.height).flat_map(|y| (0..self.plan.width).map(move |x| (y, x))) {
            let sample = |index: usize| match (planes.get(index), self.components.get(index)) {
                (Some(plane), Some(component)) => {
                    let (x, y) = (x * component.across / widest, y * component.down / tallest);
                    plane[y * 8 * component.blocks_wide + x]
                }
                _ => 0.0,
            };
            let (light, blue, red) = (sample(0) + 128.0, sample(1), sample(2));
            let pixel =
                [light + 1.402 * red, light - 0.344_136 * blue - 0.714_136 * red, light + 1.772 * blue];
            rgb.extend(pixel.map(|value| value.round().clamp(0.0, 255.0) as u8));
        }
        rgb
    }
}

impl Component {
    fn samples(&self) -> Vec<f64> {
        let row = 8 * self.blocks_wide;
        let mut plane = vec![0.0; 64 * self.blocks.len()];
        for (index, block) in self.blocks.iter().enumerate() {
            let mut natural = [0.0; 64];
            for (at, &value) in block.iter().enumerate() {
                natural[ZIGZAG[at]] = (value * QUANTISER) as f64;
            }
            let (left, top) = (8 * (index % self.blocks_wide), 8 * (index / self.blocks_wide));
            for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
                let sum: f64 = (0..64)
                    .filter(|&at| natural[at] != 0.0)
                    .map(|at| {
                        let (u, v) = (at % 8, at / 8);
                        scale(u) * scale(v) * natural[at] * wave(u, x) * wave(v, y)
                    })
                    .sum();
                plane[(top + y) * row + left + x] = sum.clamp(-128.0, 127.0);
            }
        }
        plane
    }
}
