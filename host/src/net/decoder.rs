//! The full-scale decoder: at each of its levels every encoder level and every deeper decoder level meet (UNet 3+,
//! Huang et al., ICASSP 2020), then channel attention weighs what they brought.

use super::{After, ConvSpec, Net};

#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Channels that each branch brings to a level.
    pub branch_channels: usize,
    /// Channels that leave a level.
    pub level_channels: usize,
    /// Neighbouring channels that the attention looks at; odd.
    pub attention_kernel: usize,
    /// The finest level, counted from the finest encoder feature: 1 for stride 4.
    pub finest: usize,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        DecoderConfig { branch_channels: 24, level_channels: 48, attention_kernel: 3, finest: 1 }
    }
}

const EPS: f32 = 1e-3;

fn conv(filters: usize, kernel: usize, depthwise: bool) -> ConvSpec {
    ConvSpec { filters, kernel, stride: 1, depthwise, after: After::NormRelu6 { eps: EPS } }
}

/// `features` from fine to coarse, each half the size of the one before. Gives the levels from coarse to fine; the
/// coarsest encoder feature is the deepest level.
pub fn decode<N: Net>(net: &mut N, features: &[N::Value], config: &DecoderConfig) -> Vec<N::Value> {
    let deepest = features.len() - 1;
    let mut levels: Vec<N::Value> = vec![features[deepest].clone()];
    // pooled[j]: encoder feature j at the size of the level being built.
    let mut pooled: Vec<Vec<N::Value>> = features.iter().map(|feature| vec![feature.clone()]).collect();
    for (j, steps) in pooled.iter_mut().enumerate().take(deepest) {
        for step in 1..deepest - j {
            let half = net.max_pool(&format!("decoder.pool{j}.{step}"), &steps[step - 1]);
            steps.push(half);
        }
    }
    for level in (config.finest..deepest).rev() {
        let name = format!("decoder.level{level}");
        let mut branches = Vec::new();
        for (j, steps) in pooled.iter().enumerate().take(level + 1) {
            let branch = format!("{name}.encoder{j}");
            branches.push(net.conv(&branch, &steps[level - j], conv(config.branch_channels, 1, false)));
        }
        for (k, deeper) in levels.iter().enumerate() {
            let branch = format!("{name}.deeper{}", deepest - k);
            let narrow = net.conv(&branch, deeper, conv(config.branch_channels, 1, false));
            branches.push(net.enlarge(&format!("{branch}.enlarged"), &narrow, 1 << (deepest - k - level)));
        }
        let joined = net.concat(&format!("{name}.joined"), &branches);
        let joined_channels = net.shape(&joined)[0];
        let mixed = net.conv(&format!("{name}.mix"), &joined, conv(joined_channels, 3, true));
        let fused = net.conv(&format!("{name}.fuse"), &mixed, conv(config.level_channels, 1, false));
        levels.push(net.channel_gate(&format!("{name}.attention"), &fused, config.attention_kernel));
    }
    levels
}
