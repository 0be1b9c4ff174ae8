//! What is learned inside a frozen transformer: prompt layers before its blocks.
//!
//! Two forms. `adapter` is `x + GELU(up(GELU(down(x))))`, a bottleneck of a few values before each block. SAM2-UNet, the
//! nearest published relative of the paper that this project follows, has exactly this, and its code calls the bottleneck
//! `prompt_learn` and what comes of it "prompt": so "learnable prompt layers in the transformer blocks" are most likely
//! these, and they are the default. `high-frequency` is the explicit visual prompt of EVP (Liu et al., CVPR 2023): what
//! edges and texture the picture has at a place, and what the block gets, through a small layer of each block and one
//! way up that the blocks of a stage share. Prompt tokens (VPT) are not offered: Hiera cuts its tokens into windows and
//! pools them in place, where a token without a place has no window to be in.

use serde::{Deserialize, Serialize};

use crate::net::{PatchSpec, TokenNet};

/// Which prompt layers an encoder has: `[network.prompts]` of a run's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    /// What each layer computes.
    pub form: Form,
    /// Values in the bottleneck.
    pub width: usize,
    /// Which blocks get one, counted from 0; all of them if empty.
    pub blocks: Vec<usize>,
    /// Whether they change nothing before training: the way up begins at zero.
    pub identity_start: bool,
    /// `high-frequency`: the middle share of the spectrum, along both axes, that is taken away.
    pub low_share: f32,
}

/// What a prompt layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// There are no prompt layers.
    None,
    /// `x + GELU(up(GELU(down(x))))`.
    Adapter,
    /// The explicit visual prompt of EVP.
    HighFrequency,
}

impl Default for Prompts {
    fn default() -> Self {
        Prompts { form: Form::Adapter, width: 32, blocks: Vec::new(), identity_start: true, low_share: 0.25 }
    }
}

impl Prompts {
    /// No prompt layers.
    pub fn none() -> Self {
        Prompts { form: Form::None, ..Prompts::default() }
    }

    /// Whether there are no prompt layers.
    pub fn is_none(&self) -> bool {
        self.form == Form::None
    }

    /// Against an encoder of so many blocks.
    pub fn check(&self, blocks: usize) -> Result<(), String> {
        if self.width == 0 {
            return Err("prompts.width must be at least 1".to_owned());
        }
        if !(0.0..1.0).contains(&self.low_share) {
            return Err("prompts.low_share must lie in [0, 1)".to_owned());
        }
        match self.blocks.iter().find(|block| **block >= blocks) {
            Some(block) => Err(format!("prompts.blocks names block {block} of an encoder of {blocks}")),
            None => Ok(()),
        }
    }

    fn stands_before(&self, block: usize) -> bool {
        !self.is_none() && (self.blocks.is_empty() || self.blocks.contains(&block))
    }

    /// What block `block` sees: `x [N, H, W, C]` of stage `stage` with its prompt. `input` is the picture as a map.
    pub fn apply<N: TokenNet>(
        &self,
        net: &mut N,
        block: usize,
        stage: usize,
        input: &N::Value,
        x: &N::Value,
    ) -> N::Value {
        if !self.stands_before(block) {
            return x.clone();
        }
        let [_, _, channels] = net.shape(x);
        let name = format!("prompt.blocks.{block}");
        let random = !self.identity_start;
        let prompt = match self.form {
            Form::None => return x.clone(),
            Form::Adapter => {
                let narrow = net.linear(&format!("{name}.down"), x, self.width, true);
                let narrow = net.gelu(&narrow);
                let wide = net.linear(&format!("{name}.up"), &narrow, channels, random);
                net.gelu(&wide)
            }
            Form::HighFrequency => {
                let edges = net.high_frequencies(input, self.low_share);
                let spec = PatchSpec { filters: self.width, kernel: 7, stride: 4, pad: 3 };
                let edges = net.patches("prompt.edges", &edges, spec);
                let edges = net.shrink(&edges, 1 << stage);
                let own = net.linear(&format!("prompt.stages.{stage}.down"), x, self.width, true);
                let both = net.add(&format!("{name}.both"), &edges, &own);
                let tuned = net.linear(&format!("{name}.tune"), &both, self.width, true);
                let tuned = net.gelu(&tuned);
                net.linear(&format!("prompt.stages.{stage}.up"), &tuned, channels, random)
            }
        };
        net.add(&format!("{name}.prompted"), x, &prompt)
    }
}
