//! The network that a cart runs: EfficientNet-Lite's encoder, a narrow full-scale decoder, logits at the
//! decoder's finest stride. It is a [`super::segmenter`] that can be exported.

use crate::net::decoder::DecoderConfig;
use crate::net::encoder::efficientnet::EfficientNet;
use crate::net::{Net, segmenter};

/// Logits `[N, 1, S / stride, S / stride]`; the coarser levels' heads are not walked.
pub fn student<N: Net>(
    net: &mut N,
    input: &N::Value,
    encoder: &EfficientNet,
    config: &DecoderConfig,
) -> N::Value {
    let features = encoder.encode(net, input);
    segmenter::finest(net, &features, config)
}
