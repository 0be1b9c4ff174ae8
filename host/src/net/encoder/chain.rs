//! What every encoder is: a chain of links, and the normalisation of its input.

use crate::net::TokenNet;

/// A chain of links from the picture to the coarsest feature.
pub trait Encoder {
    /// Links of the chain.
    fn links(&self) -> usize;
    /// Computes link `k` of `x`, which is what link `k − 1` gave, or the input map for the first.
    fn link<N: TokenNet>(&self, net: &mut N, k: usize, input: &N::Value, x: &N::Value) -> N::Value;
    /// The links after which a feature leaves, fine to coarse, each half the size of the one before.
    fn taps(&self) -> &[usize];
    /// What link `k` gave, as a map `[N, C, H, W]`.
    fn feature<N: TokenNet>(&self, net: &mut N, x: &N::Value) -> N::Value;
    /// Pixels between two values of the finest feature.
    fn finest_stride(&self) -> usize;
    /// What raw pixels go through before they are its input.
    fn normalisation(&self) -> Normalisation;
    /// The name in a published file of a parameter `encoder.…` of ours; it may stand behind `published_prefix`.
    fn published_key(&self, name: &str) -> String;
    /// What stands before every key of the encoder in a file of a whole model; empty if nothing does.
    fn published_prefix(&self) -> &'static str;
    /// Whether a published file may hold this key besides: parts of the model that are not the encoder.
    fn is_other_part(&self, key: &str) -> bool;
}

/// From raw pixels to what the encoder was trained on: `(pixel − mean) / deviation` for each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Means of red, green and blue, in raw pixel values.
    pub mean: [f32; 3],
    /// What red, green and blue are then divided by, in raw pixel values.
    pub deviation: [f32; 3],
}

impl Normalisation {
    /// `pixels [N, 3, H, W]`, `plane` = H · W.
    pub fn apply(&self, pixels: &mut [f32], plane: usize) {
        for (i, plane) in pixels.chunks_exact_mut(plane.max(1)).enumerate() {
            let (mean, deviation) = (self.mean[i % 3], self.deviation[i % 3]);
            plane.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
        }
    }
}
