//! Hiera (Ryali et al., ICML 2023) as SAM 2 has it (Ravi et al., 2024): windowed attention in four stages, queries pooled
//! where a stage begins, a few blocks that see the whole picture. Parameters bear the names of Meta's files.

use crate::net::encoder::chain::{Encoder, Normalisation};
use crate::net::prompts::Prompts;
use crate::net::{AttentionSpec, PatchSpec, PositionSpec, TokenNet};

/// What tells one trunk from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HieraConfig {
    /// Channels of the first stage; they double at each further one.
    pub channels: usize,
    /// Heads of the first stage; they double likewise.
    pub heads: usize,
    /// Blocks of each stage.
    pub stages: [usize; 4],
    /// Blocks whose attention sees all tokens; none of them the first of a stage.
    pub global: &'static [usize],
    /// Tokens along each side of the position embedding's background.
    pub background: [usize; 2],
    /// Tokens along a window's side in each stage.
    pub windows: [usize; 4],
}

const WINDOWS: [usize; 4] = [8, 4, 14, 7];
const NORM_EPS: f64 = 1e-6;

/// The trunk of SAM 2's `hiera_tiny`.
pub const TINY: HieraConfig = HieraConfig {
    channels: 96,
    heads: 1,
    stages: [1, 2, 7, 2],
    global: &[5, 7, 9],
    background: [7, 7],
    windows: WINDOWS,
};
/// The trunk of SAM 2's `hiera_small`.
pub const SMALL: HieraConfig = HieraConfig { stages: [1, 2, 11, 2], global: &[7, 10, 13], ..TINY };
/// The trunk of SAM 2's `hiera_base_plus`.
pub const BASE_PLUS: HieraConfig = HieraConfig {
    channels: 112,
    heads: 2,
    stages: [2, 3, 16, 3],
    global: &[12, 16, 20],
    background: [14, 14],
    windows: WINDOWS,
};
/// The trunk of SAM 2's `hiera_large`.
pub const LARGE: HieraConfig = HieraConfig {
    channels: 144,
    heads: 2,
    stages: [2, 6, 36, 4],
    global: &[23, 33, 43],
    background: [7, 7],
    windows: [8, 4, 16, 8],
};
/// Small enough for tests, with every kind of block in it.
pub const MINI: HieraConfig = HieraConfig { channels: 24, stages: [1, 2, 3, 1], global: &[4, 5], ..TINY };

/// The prefix of the trunk's keys in Meta's files.
pub const TRUNK: &str = "image_encoder.trunk.";
/// What else is in Meta's files: the neck, the video memory, the prompt encoder and the mask decoder.
const OTHER_PARTS: [&str; 11] = [
    "image_encoder.neck.",
    "memory_attention.",
    "memory_encoder.",
    "sam_mask_decoder.",
    "sam_prompt_encoder.",
    "mask_downsample.",
    "maskmem_tpos_enc",
    "no_mem_",
    "no_obj_",
    "obj_ptr_proj.",
    "obj_ptr_tpos_proj.",
];

/// A trunk, and the prompt layers before its blocks.
#[derive(Clone, Debug)]
pub struct Hiera {
    blocks: Vec<Block>,
    taps: Vec<usize>,
    config: HieraConfig,
    prompts: Prompts,
}

/// One transformer block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    channels: usize,
    heads: usize,
    /// `None`: the whole picture.
    window: Option<usize>,
    /// Whether a stage begins here.
    pool: bool,
    stage: usize,
}

impl Hiera {
    /// The trunk that `config` describes; the reason if a block that begins a stage is to be global, or the prompts do
    /// not fit.
    pub fn new(config: HieraConfig, prompts: Prompts) -> Result<Self, String> {
        let (mut blocks, mut taps) = (Vec::new(), Vec::new());
        for (stage, count) in config.stages.into_iter().enumerate() {
            for repeat in 0..count {
                let number = blocks.len();
                let pool = stage > 0 && repeat == 0;
                // A stage's first block still has the windows of the stage before.
                let window = config.windows[if pool { stage - 1 } else { stage }];
                let global = config.global.contains(&number);
                if global && pool {
                    return Err(format!("block {number} begins a stage and cannot be global"));
                }
                blocks.push(Block {
                    channels: config.channels << stage,
                    heads: config.heads << stage,
                    window: (!global).then_some(window),
                    pool,
                    stage,
                });
            }
            // Link 0 is what comes before the blocks.
            taps.push(blocks.len());
        }
        prompts.check(blocks.len())?;
        Ok(Hiera { blocks, taps, config, prompts })
    }

    fn embed<N: TokenNet>(&self, net: &mut N, input: &N::Value) -> N::Value {
        let spec = PatchSpec { filters: self.config.channels, kernel: 7, stride: 4, pad: 3 };
        let x = net.patches("encoder.patch_embed.proj", input, spec);
        let spec = PositionSpec { background: self.config.background, window: self.config.windows[0] };
        net.position("encoder.", &x, spec)
    }

    fn block<N: TokenNet>(&self, net: &mut N, number: usize, x: &N::Value) -> N::Value {
        let Block { channels, heads, window, pool, .. } = self.blocks[number];
        let name = format!("encoder.blocks.{number}");
        let [height, width, inputs] = net.shape(x);
        let normed = net.layer_norm(&format!("{name}.norm1"), x, NORM_EPS);
        let shortcut = if inputs == channels {
            x.clone()
        } else {
            let projected = net.linear(&format!("{name}.proj"), &normed, channels, true);
            net.halve(&projected)
        };
        let [rows, columns] =
            window.map_or([height, width], |w| [height.next_multiple_of(w), width.next_multiple_of(w)]);
        // Tokens of padding take part in attention: they are keys and values like all others.
        let padded = net.pad(&normed, rows, columns);
        let qkv = net.linear(&format!("{name}.attn.qkv"), &padded, 3 * channels, true);
        let attended = net.attention(&qkv, AttentionSpec { heads, window, pool });
        let attended = net.linear(&format!("{name}.attn.proj"), &attended, channels, true);
        let [height, width, _] = net.shape(&shortcut);
        let attended = net.crop(&attended, height, width);
        let x = net.add(&format!("{name}.attended"), &shortcut, &attended);
        let hidden = net.layer_norm(&format!("{name}.norm2"), &x, NORM_EPS);
        let hidden = net.linear(&format!("{name}.mlp.layers.0"), &hidden, 4 * channels, true);
        let hidden = net.gelu(&hidden);
        let hidden = net.linear(&format!("{name}.mlp.layers.1"), &hidden, channels, true);
        net.add(&format!("{name}.out"), &x, &hidden)
    }
}

impl Encoder for Hiera {
    fn links(&self) -> usize {
        self.blocks.len() + 1
    }

    fn link<N: TokenNet>(&self, net: &mut N, k: usize, input: &N::Value, x: &N::Value) -> N::Value {
        let Some(number) = k.checked_sub(1) else { return self.embed(net, input) };
        // A block that begins a stage still sees the tokens of the stage before.
        let Block { stage, pool, .. } = self.blocks[number];
        let x = self.prompts.apply(net, number, stage - usize::from(pool), input, x);
        self.block(net, number, &x)
    }

    fn taps(&self) -> &[usize] {
        &self.taps
    }

    fn feature<N: TokenNet>(&self, net: &mut N, x: &N::Value) -> N::Value {
        net.map(x)
    }

    fn finest_stride(&self) -> usize {
        4
    }

    /// ImageNet's, as SAM 2's own transforms.
    fn normalisation(&self) -> Normalisation {
        let of_255 = |values: [f32; 3]| values.map(|value| 255.0 * value);
        Normalisation { mean: of_255([0.485, 0.456, 0.406]), deviation: of_255([0.229, 0.224, 0.225]) }
    }

    fn published_key(&self, name: &str) -> String {
        name.trim_start_matches("encoder.").to_owned()
    }

    fn published_prefix(&self) -> &'static str {
        TRUNK
    }

    fn is_other_part(&self, key: &str) -> bool {
        OTHER_PARTS.iter().any(|part| key.starts_with(part))
    }
}
