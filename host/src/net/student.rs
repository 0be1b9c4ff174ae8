//! The network that a cart runs: EfficientNet-Lite0's encoder, a narrow full-scale decoder, one logit at stride 4. It is a
//! [`super::segmenter`] that can be exported.

use super::Net;
use super::decoder::DecoderConfig;
use super::encoder::efficientnet;
use super::segmenter;

/// Logits `[N, 1, S/4, S/4]`; the coarser levels' heads are not walked.
pub fn student<N: Net>(net: &mut N, input: &N::Value, config: &DecoderConfig) -> N::Value {
    let features = efficientnet::encode(net, input);
    segmenter::finest(net, &features, config)
}
