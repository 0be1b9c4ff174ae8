//! A whole network: encoder, prompts, decoder, a head for each decoder level.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::net::decoder::{self, DecoderConfig};
use crate::net::encoder::{self, AnyEncoder, Encoder, EncoderKind, Normalisation};
use crate::net::prompts::Prompts;
use crate::net::shapes::Shapes;
use crate::net::{After, ConvSpec, Net, Padding, TokenNet};

/// A network: `[network]` of a run's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmenterConfig {
    /// Pixels along each side of the input; a multiple of 32.
    pub input_side: usize,
    /// What turns pictures into features.
    pub encoder: EncoderConfig,
    /// Layers before the blocks of a transformer.
    pub prompts: Prompts,
    /// What turns features into logits.
    pub decoder: DecoderConfig,
}

/// The encoder: `[network.encoder]` of a run's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderConfig {
    /// Which encoder it is.
    pub kind: EncoderKind,
    /// Published weights (`.pt` or `.safetensors`), relative to the data folder; empty to start from random ones.
    pub weights: PathBuf,
    /// Share of the published channels, of EfficientNet-Lite alone: 0.25 to 1. Those with the largest norms stay.
    pub width: f32,
    /// Whether training leaves the encoder as it is.
    pub frozen: bool,
    /// The first so many links of the encoder (the stem is the first, then a block each) stay as they are, their norms too;
    /// the costliest ones to train, and the least peculiar to polyps.
    pub frozen_links: usize,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        EncoderConfig {
            kind: EncoderKind::EfficientnetLite0,
            weights: "weights/efficientnet_lite0.safetensors".into(),
            width: 1.0,
            frozen: false,
            frozen_links: 0,
        }
    }
}

impl Default for SegmenterConfig {
    /// The student.
    fn default() -> Self {
        SegmenterConfig {
            input_side: 224,
            encoder: EncoderConfig::default(),
            prompts: Prompts::none(),
            decoder: DecoderConfig::default(),
        }
    }
}

/// A network that a configuration describes.
#[derive(Clone, Debug)]
pub struct Segmenter {
    /// The encoder, its prompts included.
    pub encoder: AnyEncoder,
    /// The decoder's shape.
    pub decoder: DecoderConfig,
}

impl Segmenter {
    /// The reason, in the configuration's words, if there is no such network.
    pub fn new(config: &SegmenterConfig) -> Result<Self, String> {
        if config.input_side < 32 || !config.input_side.is_multiple_of(32) {
            return Err("input_side must be a multiple of 32".to_owned());
        }
        let encoder = config.encoder.kind.build(config.encoder.width, &config.prompts)?;
        config.decoder.check(encoder.taps().len())?;
        Ok(Segmenter { encoder, decoder: config.decoder })
    }

    /// The same network on the encoder in its published width; `None` if this is it.
    pub fn published(&self) -> Option<Segmenter> {
        self.encoder.published().map(|encoder| Segmenter { encoder, decoder: self.decoder })
    }

    /// What raw pixels go through before they are the input.
    pub fn normalisation(&self) -> Normalisation {
        self.encoder.normalisation()
    }

    /// How many logits maps [`Segmenter::supervised`] gives.
    pub fn depths(&self) -> usize {
        self.decoder.levels(self.encoder.taps().len())
    }

    /// Every parameter, met with a square input of `side` pixels.
    pub fn shapes(&self, side: usize) -> Shapes {
        let mut shapes = Shapes::default();
        self.supervised(&mut shapes, &[3, side, side]);
        shapes
    }

    /// Logits `[N, 1, H, W]` of the finest level, of an input map `[N, 3, S, S]`.
    pub fn logits<N: TokenNet>(&self, net: &mut N, input: &N::Value) -> N::Value {
        let features = encoder::encode(&self.encoder, net, input);
        finest(net, &features, &self.decoder)
    }

    /// Logits of every level, finest first, for deep supervision.
    pub fn supervised<N: TokenNet>(&self, net: &mut N, input: &N::Value) -> Vec<N::Value> {
        let features = encoder::encode(&self.encoder, net, input);
        let levels = decoder::decode(net, &features, &self.decoder);
        heads(net, &levels)
    }
}

/// Logits of the finest level, of an encoder's features.
pub fn finest<N: Net>(net: &mut N, features: &[N::Value], config: &DecoderConfig) -> N::Value {
    let levels = decoder::decode(net, features, config);
    head(net, levels.len() - 1, &levels)
}

/// Logits of every level that [`decoder::decode`] gave but the deepest, finest first.
pub fn heads<N: Net>(net: &mut N, levels: &[N::Value]) -> Vec<N::Value> {
    (1..levels.len()).rev().map(|level| head(net, level, levels)).collect()
}

fn head<N: Net>(net: &mut N, level: usize, levels: &[N::Value]) -> N::Value {
    let (padding, after) = (Padding::Same, After::Bias);
    let spec = ConvSpec { filters: 1, kernel: 3, stride: 1, padding, depthwise: false, after };
    net.conv(&format!("head{level}"), &levels[level], spec)
}
