//! The full-scale decoder: at each of its levels every encoder level and every deeper decoder level meet (UNet 3+,
//! Huang et al., ICASSP 2020), then channel attention weighs what they brought. Narrow it is the student's, wide the
//! teacher's.

use serde::{Deserialize, Serialize};

use crate::net::{After, ConvSpec, Gate, Net, Padding};

/// The decoder's shape: `[network.decoder]` of a run's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecoderConfig {
    /// Channels that each branch brings to a level.
    pub branch_channels: usize,
    /// Channels that leave a level.
    pub level_channels: usize,
    /// Which levels of encoder and decoder meet.
    pub skips: Skips,
    /// How the branches of a level are mixed.
    pub mix: Mix,
    /// Which channel attention ends a level.
    pub attention: Attention,
    /// Neighbouring channels that `eca` looks at; odd.
    pub attention_kernel: usize,
    /// How many times fewer values `squeeze-excite` has between its layers.
    pub attention_reduction: usize,
    /// The finest level, counted from the finest encoder feature: for stride 4, 1 with EfficientNet-Lite and TinyViT, and
    /// 0 with Hiera.
    pub finest: usize,
}

/// What meets at a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skips {
    /// Every encoder level as fine or finer, every deeper decoder level.
    FullScale,
    /// The encoder level of the same size and the next deeper decoder level, as in U-Net.
    Neighbours,
}

/// How the branches of a level are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mix {
    /// 3×3 depthwise, then 1×1: for the cart.
    Separable,
    /// One 3×3 over all channels, as UNet 3+ has it.
    Dense,
}

/// Channel attention at the end of a decoder level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// The mixed channels leave as they are.
    None,
    /// Efficient channel attention, see [`Gate::Eca`].
    Eca,
    /// See [`Gate::SqueezeExcite`].
    SqueezeExcite,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        DecoderConfig {
            branch_channels: 24,
            level_channels: 48,
            skips: Skips::FullScale,
            mix: Mix::Separable,
            attention: Attention::Eca,
            attention_kernel: 3,
            attention_reduction: 8,
            finest: 1,
        }
    }
}

impl DecoderConfig {
    /// Levels between the finest and the coarsest encoder feature, which is the deepest level itself.
    pub fn levels(&self, features: usize) -> usize {
        (features - 1).saturating_sub(self.finest)
    }

    /// `features`: how many the encoder gives.
    pub fn check(&self, features: usize) -> Result<(), String> {
        if self.attention_kernel.is_multiple_of(2) {
            return Err("attention_kernel must be odd".to_owned());
        }
        if self.attention_reduction == 0 {
            return Err("attention_reduction must be at least 1".to_owned());
        }
        if self.branch_channels == 0 || self.level_channels == 0 {
            return Err("channels must be at least 1".to_owned());
        }
        if self.levels(features) == 0 {
            return Err(format!(
                "finest must be at most {}: the encoder has {features} features",
                features - 2
            ));
        }
        Ok(())
    }

    fn gate(&self) -> Option<Gate> {
        match self.attention {
            Attention::None => None,
            Attention::Eca => Some(Gate::Eca { kernel: self.attention_kernel }),
            Attention::SqueezeExcite => Some(Gate::SqueezeExcite { reduction: self.attention_reduction }),
        }
    }
}

const EPS: f32 = 1e-3;

fn conv(filters: usize, kernel: usize, depthwise: bool) -> ConvSpec {
    let after = After::NormRelu6 { eps: EPS };
    ConvSpec { filters, kernel, stride: 1, padding: Padding::Same, depthwise, after }
}

/// `features` from fine to coarse, each half the size of the one before. Gives the levels from coarse to fine; the
/// coarsest encoder feature is the deepest level.
pub fn decode<N: Net>(net: &mut N, features: &[N::Value], config: &DecoderConfig) -> Vec<N::Value> {
    let deepest = features.len() - 1;
    let mut levels: Vec<N::Value> = vec![features[deepest].clone()];
    // pooled[j]: encoder feature j at the size of the level being built.
    let mut pooled: Vec<Vec<N::Value>> = features.iter().map(|feature| vec![feature.clone()]).collect();
    let pools = if config.skips == Skips::FullScale { deepest } else { 0 };
    for (j, steps) in pooled.iter_mut().enumerate().take(pools) {
        for step in 1..deepest - j {
            let half = net.max_pool(&format!("decoder.pool{j}.{step}"), &steps[step - 1]);
            steps.push(half);
        }
    }
    for level in (config.finest..deepest).rev() {
        let name = format!("decoder.level{level}");
        let mut branches = Vec::new();
        for (j, steps) in pooled.iter().enumerate().take(level + 1) {
            if config.skips == Skips::Neighbours && j != level {
                continue;
            }
            let branch = format!("{name}.encoder{j}");
            branches.push(net.conv(&branch, &steps[level - j], conv(config.branch_channels, 1, false)));
        }
        for (k, deeper) in levels.iter().enumerate() {
            if config.skips == Skips::Neighbours && deepest - k != level + 1 {
                continue;
            }
            let branch = format!("{name}.deeper{}", deepest - k);
            let narrow = net.conv(&branch, deeper, conv(config.branch_channels, 1, false));
            branches.push(net.enlarge(&format!("{branch}.enlarged"), &narrow, 1 << (deepest - k - level)));
        }
        let joined = net.concat(&format!("{name}.joined"), &branches);
        let fused = match config.mix {
            Mix::Separable => {
                let joined_channels = net.shape(&joined)[0];
                let mixed = net.conv(&format!("{name}.mix"), &joined, conv(joined_channels, 3, true));
                net.conv(&format!("{name}.fuse"), &mixed, conv(config.level_channels, 1, false))
            }
            Mix::Dense => net.conv(&format!("{name}.fuse"), &joined, conv(config.level_channels, 3, false)),
        };
        levels.push(match config.gate() {
            Some(gate) => net.channel_gate(&format!("{name}.attention"), &fused, gate),
            None => fused,
        });
    }
    levels
}
