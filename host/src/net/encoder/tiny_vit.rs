//! TinyViT (Wu et al., ECCV 2022) as LiteMedSAM has it (Ma et al., 2024): a stage of convolutions, then three of windowed
//! attention with a learned bias for each offset. LiteMedSAM embeds single pixels, so that its first stage sees the whole
//! picture and its last one has stride 4. Parameters bear the names of its published file, except those of batch norms,
//! which stand beside their convolution's weight.

use crate::net::encoder::chain::{Encoder, Normalisation};
use crate::net::prompts::{Form, Prompts};
use crate::net::{After, ConvSpec, Net, Padding, TokenNet};

/// What tells one TinyViT from another. The first stage is of convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TinyVitConfig {
    /// Channels of each stage.
    pub channels: [usize; 4],
    /// Blocks of each stage.
    pub blocks: [usize; 4],
    /// Heads of each transformer stage.
    pub heads: [usize; 3],
    /// Tokens along a window's side in each transformer stage.
    pub windows: [usize; 3],
}

/// The encoder of LiteMedSAM: 5.1 M parameters.
pub const LITE_MEDSAM: TinyVitConfig = TinyVitConfig {
    channels: [64, 128, 160, 320],
    blocks: [2, 2, 6, 2],
    heads: [4, 5, 10],
    windows: [7, 14, 7],
};
/// Small enough for tests, with every kind of block in it.
pub const MINI: TinyVitConfig =
    TinyVitConfig { channels: [4, 8, 12, 16], blocks: [1, 1, 2, 1], heads: [2, 3, 4], windows: [7, 16, 4] };

/// Steps from one stage's tokens to the next stage's.
const STRIDES: [usize; 3] = [2, 2, 1];
/// How many times as many values a block of either kind has inside.
const EXPANSION: usize = 4;
const BATCH_NORM_EPS: f32 = 1e-5;
const LAYER_NORM_EPS: f64 = 1e-5;

/// The prefix of the encoder's keys in LiteMedSAM's file.
const IMAGE_ENCODER: &str = "image_encoder.";
/// What else is in LiteMedSAM's file.
const OTHER_PARTS: [&str; 4] = ["image_encoder.neck.", "neck.", "mask_decoder.", "prompt_encoder."];
/// Counters, and what PyTorch computes of other values.
const OTHER_VALUES: [&str; 3] = [".num_batches_tracked", ".attention_bias_idxs", ".ab"];

/// The encoder, and the prompt layers before its transformer blocks.
///
/// Its features are at strides 2, 4, 8 and 16: the last tokens of stages 1 and 3, and the latter averaged once and twice,
/// since LiteMedSAM itself has nothing coarser.
#[derive(Clone, Debug)]
pub struct TinyVit {
    links: Vec<Link>,
    taps: Vec<usize>,
    config: TinyVitConfig,
    prompts: Prompts,
}

/// One link of the chain. Stages and their blocks are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Pixels → a map.
    Embed,
    /// An inverted residual of the first stage; map → map.
    Residual { block: usize },
    /// From `stage` to the next; the first stage's map or tokens → tokens.
    Merge { stage: usize },
    /// Tokens → tokens. `number` counts transformer blocks over all stages.
    Transformer { stage: usize, block: usize, number: usize },
    /// The mean of 2×2 tokens.
    Average,
}

impl TinyVit {
    /// The encoder that `config` describes; the reason if the prompts do not fit.
    pub fn new(config: TinyVitConfig, prompts: Prompts) -> Result<Self, String> {
        let (mut links, mut taps) = (vec![Link::Embed], Vec::new());
        let mut number = 0;
        for (stage, count) in config.blocks.into_iter().enumerate() {
            if stage > 0 {
                links.push(Link::Merge { stage: stage - 1 });
            }
            for block in 0..count {
                links.push(if stage == 0 {
                    Link::Residual { block }
                } else {
                    number += 1;
                    Link::Transformer { stage, block, number: number - 1 }
                });
            }
            if stage == 1 {
                taps.push(links.len() - 1);
            }
        }
        taps.push(links.len() - 1);
        for _ in 0..2 {
            links.push(Link::Average);
            taps.push(links.len() - 1);
        }
        prompts.check(number)?;
        if prompts.form == Form::HighFrequency {
            return Err("TinyViT takes no high-frequency prompts: they are made for tokens of stride 4 and coarser, and \
                        its second stage has stride 2; set prompts.form = \"adapter\""
                .to_owned());
        }
        Ok(TinyVit { links, taps, config, prompts })
    }

    fn embed<N: TokenNet>(&self, net: &mut N, input: &N::Value) -> N::Value {
        let channels = self.config.channels[0];
        let x = conv(net, "patch_embed.seq.0", input, point(channels / 2));
        let x = net.gelu(&x);
        conv(net, "patch_embed.seq.2", &x, point(channels))
    }

    fn residual<N: TokenNet>(&self, net: &mut N, block: usize, x: &N::Value) -> N::Value {
        let channels = self.config.channels[0];
        let name = format!("layers.0.blocks.{block}");
        let wide = EXPANSION * channels;
        let y = conv(net, &format!("{name}.conv1"), x, point(wide));
        let y = net.gelu(&y);
        let y = conv(net, &format!("{name}.conv2"), &y, depthwise(wide, 1));
        let y = net.gelu(&y);
        let y = conv(net, &format!("{name}.conv3"), &y, point(channels));
        let sum = net.add(&format!("encoder.{name}.sum"), x, &y);
        net.gelu(&sum)
    }

    fn merge<N: TokenNet>(&self, net: &mut N, stage: usize, x: &N::Value) -> N::Value {
        let channels = self.config.channels[stage + 1];
        let name = format!("layers.{stage}.downsample");
        let x = if stage == 0 { x.clone() } else { net.map(x) };
        let x = conv(net, &format!("{name}.conv1"), &x, point(channels));
        let x = net.gelu(&x);
        let x = conv(net, &format!("{name}.conv2"), &x, depthwise(channels, STRIDES[stage]));
        let x = net.gelu(&x);
        let x = conv(net, &format!("{name}.conv3"), &x, point(channels));
        net.tokens(&x)
    }

    fn transformer<N: TokenNet>(&self, net: &mut N, stage: usize, block: usize, x: &N::Value) -> N::Value {
        let channels = self.config.channels[stage];
        let (heads, window) = (self.config.heads[stage - 1], self.config.windows[stage - 1]);
        let within = format!("layers.{stage}.blocks.{block}");
        let name = format!("encoder.{within}");
        let [height, width, _] = net.shape(x);
        // Tokens of padding take part in attention as what the norm makes of zeros: its bias.
        let padded = net.pad(x, height.next_multiple_of(window), width.next_multiple_of(window));
        let normed = net.layer_norm(&format!("{name}.attn.norm"), &padded, LAYER_NORM_EPS);
        let qkv = net.linear(&format!("{name}.attn.qkv"), &normed, 3 * channels, true);
        let attended = net.offset_attention(&format!("{name}.attn"), &qkv, heads, window);
        let attended = net.crop(&attended, height, width);
        let attended = net.linear(&format!("{name}.attn.proj"), &attended, channels, true);
        let x = net.add(&format!("{name}.attended"), x, &attended);
        let x = net.map(&x);
        let x = conv(net, &format!("{within}.local_conv"), &x, depthwise(channels, 1));
        let x = net.tokens(&x);
        let hidden = net.layer_norm(&format!("{name}.mlp.norm"), &x, LAYER_NORM_EPS);
        let hidden = net.linear(&format!("{name}.mlp.fc1"), &hidden, EXPANSION * channels, true);
        let hidden = net.gelu(&hidden);
        let hidden = net.linear(&format!("{name}.mlp.fc2"), &hidden, channels, true);
        net.add(&format!("{name}.out"), &x, &hidden)
    }
}

/// A convolution and its batch norm; `name` as in the published file.
fn conv<N: Net>(net: &mut N, name: &str, x: &N::Value, spec: ConvSpec) -> N::Value {
    net.conv(&format!("encoder.{name}.c"), x, spec)
}

/// 1×1.
fn point(filters: usize) -> ConvSpec {
    let after = After::Norm { eps: BATCH_NORM_EPS };
    ConvSpec { filters, kernel: 1, stride: 1, padding: Padding::Sides(0), depthwise: false, after }
}

/// 3×3 of each channel.
fn depthwise(channels: usize, stride: usize) -> ConvSpec {
    ConvSpec { kernel: 3, stride, padding: Padding::Sides(1), depthwise: true, ..point(channels) }
}

impl Encoder for TinyVit {
    fn links(&self) -> usize {
        self.links.len()
    }

    fn link<N: TokenNet>(&self, net: &mut N, k: usize, input: &N::Value, x: &N::Value) -> N::Value {
        match self.links[k] {
            Link::Embed => self.embed(net, input),
            Link::Residual { block } => self.residual(net, block, x),
            Link::Merge { stage } => self.merge(net, stage, x),
            Link::Transformer { stage, block, number } => {
                let x = self.prompts.apply(net, number, stage, input, x);
                self.transformer(net, stage, block, &x)
            }
            Link::Average => net.shrink(x, 2),
        }
    }

    fn taps(&self) -> &[usize] {
        &self.taps
    }

    fn feature<N: TokenNet>(&self, net: &mut N, x: &N::Value) -> N::Value {
        net.map(x)
    }

    fn finest_stride(&self) -> usize {
        2
    }

    /// To 0..1. LiteMedSAM was trained on pictures each of which was spread from its own darkest to its own brightest value:
    /// the same for pictures that have black and white in them, as endoscopic ones nearly do.
    fn normalisation(&self) -> Normalisation {
        Normalisation { mean: [0.0; 3], deviation: [255.0; 3] }
    }

    /// `encoder.layers.0.blocks.0.conv1.c.gamma` → `layers.0.blocks.0.conv1.bn.weight`.
    fn published_key(&self, name: &str) -> String {
        let name = name.trim_start_matches("encoder.");
        let norms =
            [("gamma", "weight"), ("beta", "bias"), ("mean", "running_mean"), ("variance", "running_var")];
        let found = norms.iter().find_map(|(ours, theirs)| {
            let layer = name.strip_suffix(&format!(".c.{ours}"))?;
            Some(format!("{layer}.bn.{theirs}"))
        });
        found.unwrap_or_else(|| name.to_owned())
    }

    fn published_prefix(&self) -> &'static str {
        IMAGE_ENCODER
    }

    fn is_other_part(&self, key: &str) -> bool {
        OTHER_PARTS.iter().any(|part| key.starts_with(part))
            || OTHER_VALUES.iter().any(|value| key.ends_with(value))
    }
}
