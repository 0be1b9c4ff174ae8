//! The network that a cart runs: EfficientNet-Lite0's encoder, a narrow full-scale decoder, one logit at stride 4.

use serde::{Deserialize, Serialize};

use super::decoder::{self, DecoderConfig};
use super::{After, ConvSpec, Net, efficientnet};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// Pixels along each side of the input; a multiple of 32.
    pub input_side: usize,
    #[serde(default)]
    pub decoder: DecoderConfig,
}

impl Default for StudentConfig {
    fn default() -> Self {
        StudentConfig { input_side: 224, decoder: DecoderConfig::default() }
    }
}

/// Logits `[N, 1, S/4, S/4]`.
pub fn student<N: Net>(net: &mut N, input: &N::Value, config: &StudentConfig) -> N::Value {
    let levels = levels(net, input, config);
    head(net, levels.len() - 1, &levels)
}

/// As [`student`], with the coarser levels' logits after it, for deep supervision; their heads are not exported.
pub fn student_supervised<N: Net>(net: &mut N, input: &N::Value, config: &StudentConfig) -> Vec<N::Value> {
    let levels = levels(net, input, config);
    (1..levels.len()).rev().map(|level| head(net, level, &levels)).collect()
}

fn levels<N: Net>(net: &mut N, input: &N::Value, config: &StudentConfig) -> Vec<N::Value> {
    let features = efficientnet::encode(net, input);
    decoder::decode(net, &features, &config.decoder)
}

fn head<N: Net>(net: &mut N, level: usize, levels: &[N::Value]) -> N::Value {
    let spec = ConvSpec { filters: 1, kernel: 3, stride: 1, depthwise: false, after: After::Bias };
    net.conv(&format!("head{level}"), &levels[level], spec)
}
