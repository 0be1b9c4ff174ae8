//! Encoders: what turns a picture into features of four or five scales. Each is a chain of links, so that training can
//! keep what lies between two of them and compute the rest again.
//!
//! To add one: a file with an [`Encoder`], and its variant in [`EncoderKind`].

mod chain;
pub mod checkpoint;
pub mod efficientnet;
pub mod hiera;
pub mod tiny_vit;

use std::path::Path;

use anyhow::Result;
use polyp_edge::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::net::TokenNet;
use crate::net::parameters::Parameters;
use crate::net::prompts::Prompts;
use crate::net::shapes::Shapes;
pub use chain::{Encoder, Normalisation};
use checkpoint::Checkpoint;
use efficientnet::{EfficientNet, Size};
use hiera::{Hiera, HieraConfig};
use tiny_vit::{TinyVit, TinyVitConfig};

/// An encoder by its name in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderKind {
    /// EfficientNet-Lite0, the student's.
    EfficientnetLite0,
    /// EfficientNet-Lite1: as wide, deeper.
    EfficientnetLite1,
    /// EfficientNet-Lite2: wider and deeper.
    EfficientnetLite2,
    /// SAM 2's tiny trunk: 96 channels in the first stage, 12 blocks.
    HieraTiny,
    /// SAM 2's small trunk: 96 channels, 16 blocks.
    HieraSmall,
    /// SAM 2's trunk of middle size: 112 channels, 24 blocks.
    HieraBasePlus,
    /// SAM 2's largest trunk: 144 channels, 48 blocks.
    HieraLarge,
    /// The reduced trunk of tests: 24 channels, seven blocks.
    HieraMini,
    /// LiteMedSAM's TinyViT: 64 to 320 channels, 12 blocks.
    LiteMedsam,
    /// The reduced TinyViT of tests: 4 to 16 channels, five blocks.
    TinyVitMini,
}

/// Any of the encoders.
#[derive(Clone, Debug)]
pub enum AnyEncoder {
    /// See [`efficientnet`].
    EfficientNet(EfficientNet),
    /// See [`hiera`].
    Hiera(Hiera),
    /// See [`tiny_vit`].
    TinyVit(TinyVit),
}

impl EncoderKind {
    /// The encoder in `width` times its published channels, with `prompts` before its blocks.
    pub fn build(self, width: f32, prompts: &Prompts) -> Result<AnyEncoder, String> {
        if width != 1.0 && self.efficientnet().is_none() {
            return Err(
                "network.encoder.width must be 1 for encoders other than efficientnet-lite".to_owned()
            );
        }
        if !(0.25..=1.0).contains(&width) {
            return Err("network.encoder.width must lie in [0.25, 1]".to_owned());
        }
        let efficientnet = |size| {
            if prompts.is_none() {
                Ok(AnyEncoder::EfficientNet(EfficientNet::new(size, width)))
            } else {
                Err("efficientnet-lite has no transformer blocks to put prompts before; set prompts.form = \"none\""
                    .to_owned())
            }
        };
        let hiera = |config: HieraConfig| Ok(AnyEncoder::Hiera(Hiera::new(config, prompts.clone())?));
        let tiny_vit =
            |config: TinyVitConfig| Ok(AnyEncoder::TinyVit(TinyVit::new(config, prompts.clone())?));
        match self {
            EncoderKind::EfficientnetLite0 => efficientnet(Size::Lite0),
            EncoderKind::EfficientnetLite1 => efficientnet(Size::Lite1),
            EncoderKind::EfficientnetLite2 => efficientnet(Size::Lite2),
            EncoderKind::HieraTiny => hiera(hiera::TINY),
            EncoderKind::HieraSmall => hiera(hiera::SMALL),
            EncoderKind::HieraBasePlus => hiera(hiera::BASE_PLUS),
            EncoderKind::HieraLarge => hiera(hiera::LARGE),
            EncoderKind::HieraMini => hiera(hiera::MINI),
            EncoderKind::LiteMedsam => tiny_vit(tiny_vit::LITE_MEDSAM),
            EncoderKind::TinyVitMini => tiny_vit(tiny_vit::MINI),
        }
    }

    /// Its size, if it is one that a cart can run.
    pub fn efficientnet(self) -> Option<Size> {
        match self {
            EncoderKind::EfficientnetLite0 => Some(Size::Lite0),
            EncoderKind::EfficientnetLite1 => Some(Size::Lite1),
            EncoderKind::EfficientnetLite2 => Some(Size::Lite2),
            _ => None,
        }
    }

    /// As configurations name it.
    pub fn word(self) -> String {
        toml::Value::try_from(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl AnyEncoder {
    /// The same encoder in its published width, whose values [`AnyEncoder::narrowed`] takes; `None` if this is it.
    pub fn published(&self) -> Option<AnyEncoder> {
        match self {
            AnyEncoder::EfficientNet(own) if *own != own.published() => {
                Some(AnyEncoder::EfficientNet(own.published()))
            }
            _ => None,
        }
    }

    /// This encoder's start, of the values of the published width.
    pub fn narrowed(&self, published: Parameters) -> Parameters {
        match self {
            AnyEncoder::EfficientNet(own) => own.narrowed(&published),
            AnyEncoder::Hiera(_) | AnyEncoder::TinyVit(_) => published,
        }
    }
}

macro_rules! each {
    ($self:expr, $encoder:ident => $body:expr) => {
        match $self {
            AnyEncoder::EfficientNet($encoder) => $body,
            AnyEncoder::Hiera($encoder) => $body,
            AnyEncoder::TinyVit($encoder) => $body,
        }
    };
}

impl Encoder for AnyEncoder {
    fn links(&self) -> usize {
        each!(self, encoder => encoder.links())
    }
    fn link<N: TokenNet>(&self, net: &mut N, k: usize, input: &N::Value, x: &N::Value) -> N::Value {
        each!(self, encoder => encoder.link(net, k, input, x))
    }
    fn taps(&self) -> &[usize] {
        each!(self, encoder => encoder.taps())
    }
    fn feature<N: TokenNet>(&self, net: &mut N, x: &N::Value) -> N::Value {
        each!(self, encoder => encoder.feature(net, x))
    }
    fn finest_stride(&self) -> usize {
        each!(self, encoder => encoder.finest_stride())
    }
    fn normalisation(&self) -> Normalisation {
        each!(self, encoder => encoder.normalisation())
    }
    fn published_key(&self, name: &str) -> String {
        each!(self, encoder => encoder.published_key(name))
    }
    fn published_prefix(&self) -> &'static str {
        each!(self, encoder => encoder.published_prefix())
    }
    fn is_other_part(&self, key: &str) -> bool {
        each!(self, encoder => encoder.is_other_part(key))
    }
}

/// All features of an input map `[N, 3, H, W]`.
pub fn encode<N: TokenNet>(encoder: &impl Encoder, net: &mut N, input: &N::Value) -> Vec<N::Value> {
    let mut x = input.clone();
    let mut features = Vec::new();
    for k in 0..encoder.links() {
        x = encoder.link(net, k, input, &x);
        if encoder.taps().contains(&k) {
            features.push(encoder.feature(net, &x));
        }
    }
    features
}

/// Whether a parameter is the encoder's own, as against prompts and decoder.
pub fn is_encoders(name: &str) -> bool {
    name.starts_with("encoder.")
}

/// Reads every `encoder.…` value of `shapes` from a published file (`.pt` or safetensors). Each key that is missing, of
/// another shape, or in the trunk and not known, is named.
pub fn load(encoder: &impl Encoder, shapes: &Shapes, path: &Path) -> Result<Parameters> {
    let checkpoint = Checkpoint::open(path)?;
    let wanted: Vec<_> = shapes
        .shapes()
        .filter(|(name, _)| is_encoders(name))
        .map(|(name, shape)| (name.to_owned(), encoder.published_key(name), shape.to_vec()))
        .collect();
    checkpoint
        .take(&wanted, encoder.published_prefix(), |key| encoder.is_other_part(key))
        .map_err(|why| Fault::data(format!("{} does not fit this encoder: {why}", path.display())))
}
