//! Cross-layer equalisation (Nagel et al., ICCV 2019) for networks with ReLU6: channels that lie low are scaled up before
//! they are stored and down again in the weights that read them, so that all of a tensor's channels use its one range.
//!
//! ReLU6 does not commute with scaling, but a channel that never comes near 6 may be scaled as long as it stays under
//! it. Weights have a scale for each output channel, so that what a depthwise convolution reads costs nothing; where a
//! convolution mixes channels, its rows would become uneven, and half of the way (the square root) is gone.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::graph::execute::{input_from_pixels, run};
use crate::graph::{Graph, Node, Op};

/// Factors for each output channel of a convolution, by its name.
pub type Equalisation = BTreeMap<String, Vec<f32>>;

const LARGEST_FACTOR: f32 = 16.0;
/// A ReLU6 channel is scaled so that what was seen stays within this share of 6.
const HEADROOM: f32 = 0.9;

/// Largest absolute value of each output channel of each convolution, over frames `[S, S, 3] u8`.
pub fn channel_peaks(graph: &Graph, frames: &[Vec<u8>]) -> anyhow::Result<BTreeMap<String, Vec<f32>>> {
    let is_conv = |name: &str| graph.node(name).is_some_and(|node| matches!(node.op, Op::Conv { .. }));
    frames
        .par_iter()
        .map(|pixels| {
            let mut peaks = BTreeMap::new();
            run(graph, input_from_pixels(graph.input_side, pixels)?, |name, value| {
                if is_conv(name) {
                    let planes = value.data.chunks_exact(value.shape.area());
                    let peak = |plane: &[f32]| plane.iter().fold(0f32, |peak, v| peak.max(v.abs()));
                    peaks.insert(name.to_owned(), planes.map(peak).collect());
                }
            })?;
            Ok(peaks)
        })
        .try_reduce(BTreeMap::new, |mut all: BTreeMap<String, Vec<f32>>, some| {
            for (name, peaks) in some {
                let known = all.entry(name).or_insert_with(|| vec![0.0; peaks.len()]);
                known.iter_mut().zip(peaks).for_each(|(known, peak)| *known = known.max(peak));
            }
            Ok(all)
        })
}

/// Factors for every convolution whose output goes to convolutions alone.
pub fn find(graph: &Graph, peaks: &BTreeMap<String, Vec<f32>>) -> Equalisation {
    let factors = graph.nodes.iter().filter_map(|node| {
        let (Op::Conv { relu6, .. }, Some(peaks)) = (&node.op, peaks.get(&node.name)) else { return None };
        let readers: Vec<&Node> = graph.consumers(&node.name).collect();
        let by_convolutions = readers.iter().all(|reader| matches!(reader.op, Op::Conv { .. }));
        if readers.is_empty() || !by_convolutions || node.name == graph.output {
            return None;
        }
        let depthwise =
            readers.iter().all(|reader| matches!(reader.op, Op::Conv { groups, .. } if groups > 1));
        let highest = peaks.iter().fold(0f32, |highest, peak| highest.max(*peak));
        let factor = |peak: &f32| {
            if *peak <= 0.0 {
                return 1.0;
            }
            let whole = highest / peak;
            let wanted = if depthwise { whole } else { whole.sqrt() };
            let most = if *relu6 { (HEADROOM * 6.0 / peak).max(1.0) } else { LARGEST_FACTOR };
            wanted.clamp(1.0, most.min(LARGEST_FACTOR))
        };
        Some((node.name.clone(), peaks.iter().map(factor).collect()))
    });
    factors.collect()
}

/// The same network, its channels scaled.
pub fn apply(graph: &Graph, equalisation: &Equalisation) -> Graph {
    let mut graph = graph.clone();
    for node in &mut graph.nodes {
        let own = equalisation.get(&node.name);
        let read = node.inputs.first().and_then(|input| equalisation.get(input));
        let Op::Conv { weight, bias, groups, .. } = &mut node.op else { continue };
        let [filters, channels, height, width] = weight.shape;
        let taps = height * width;
        let rows = weight.data.chunks_exact_mut(channels * taps).zip(bias);
        for (filter, (row, bias)) in rows.enumerate() {
            if let Some(factor) = own.and_then(|own| own.get(filter)) {
                row.iter_mut().for_each(|weight| *weight *= factor);
                *bias *= factor;
            }
            if let Some(read) = read {
                let first = filter / (filters / *groups) * channels;
                for (taps, factor) in row.chunks_exact_mut(taps).zip(&read[first..]) {
                    taps.iter_mut().for_each(|weight| *weight /= factor);
                }
            }
        }
    }
    graph
}
