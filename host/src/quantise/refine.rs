//! Float and quantised network side by side, node by node, over all calibration frames: bias correction, and how much
//! noise each node adds.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use crate::graph::execute::{Activation, apply, convolve, input_from_pixels};
use crate::graph::{Graph, INPUT, Node, Op};
use crate::quantise::{Quantisation, QuantisedGraph};

/// What came of a walk through the network.
pub struct Refined {
    /// Added to the biases, by node: the mean error of each output channel, taken back.
    pub corrections: BTreeMap<String, Vec<f32>>,
    /// Node by node, in the graph's order.
    pub noise: Vec<Noise>,
    /// Mean squared difference of the probabilities that float and quantised logits stand for.
    pub probability_error: f64,
    /// The quantised network's logits, a frame each, as real values.
    pub logits: Vec<Activation>,
    /// The float network's logits, a frame each.
    pub float_logits: Vec<Activation>,
}

/// Signal-to-noise ratios of one node, in dB; higher is better.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Noise {
    /// The node's name.
    pub node: String,
    /// The operation, as [`Op::kind`] names it.
    pub op: &'static str,
    /// Of the node's output, all quantisation up to here included.
    pub total_db: f64,
    /// Of storing the node's output alone.
    pub storing_db: f64,
    /// Of the node's weights alone; infinite without weights.
    pub weights_db: f64,
}

struct Pair {
    float: Activation,
    quantised: Activation,
}

/// Walks through a graph with these scales. With `correct`, each convolution's bias is corrected before the next node
/// is looked at.
#[expect(clippy::too_many_lines, reason = "one walk through the graph, both networks side by side")]
pub fn refine(
    graph: &Graph,
    tensors: &BTreeMap<String, Quantisation>,
    frames: &[Vec<u8>],
    correct: bool,
) -> anyhow::Result<Refined> {
    let weights = QuantisedGraph::new(graph, tensors.clone(), &BTreeMap::new())?;
    let mut refined = Refined {
        corrections: BTreeMap::new(),
        noise: Vec::new(),
        probability_error: 0.0,
        logits: Vec::new(),
        float_logits: Vec::new(),
    };
    let input = |pixels: &Vec<u8>| {
        let float = input_from_pixels(graph.input_side, pixels)?;
        Ok(Pair { quantised: float.clone(), float })
    };
    let pixels = frames.iter().map(input).collect::<anyhow::Result<Vec<Pair>>>()?;
    let mut live: HashMap<&str, Vec<Pair>> = HashMap::from([(INPUT, pixels)]);
    for (position, node) in graph.nodes.iter().enumerate() {
        let inputs = node
            .inputs
            .iter()
            .map(|name| {
                live.get(name.as_str()).ok_or_else(|| anyhow::anyhow!("tensor {name} was never computed"))
            })
            .collect::<anyhow::Result<Vec<&Vec<Pair>>>>()?;
        let mut pairs = (0..frames.len())
            .into_par_iter()
            .map(|frame| step(node, &weights, &inputs, frame))
            .collect::<anyhow::Result<Vec<Pair>>>()?;
        let relu6 = matches!(node.op, Op::Conv { relu6: true, .. });
        if correct && matches!(node.op, Op::Conv { .. }) {
            let correction = mean_error(&pairs);
            pairs.par_iter_mut().for_each(|pair| {
                let planes = pair.quantised.data.chunks_exact_mut(pair.quantised.shape.area());
                for (plane, change) in planes.zip(&correction) {
                    plane.iter_mut().for_each(|value| *value += change);
                }
            });
            refined.corrections.insert(node.name.clone(), correction);
        }
        let quantisation = weights.tensor(&node.name)?;
        let powers: Vec<[f64; 3]> =
            pairs.par_iter_mut().map(|pair| store(node, quantisation, relu6, pair)).collect();
        let [signal, noise, rounding] =
            powers.iter().fold([0.0; 3], |sum, powers| [0, 1, 2].map(|part| sum[part] + powers[part]));
        refined.noise.push(Noise {
            node: node.name.clone(),
            op: node.op.kind(),
            total_db: decibels(signal, noise),
            storing_db: decibels(signal, rounding),
            weights_db: weights_noise(node, &weights),
        });
        live.insert(&node.name, pairs);
        let needed = |name: &str| {
            name == graph.output
                || graph
                    .nodes
                    .iter()
                    .skip(position + 1)
                    .any(|later| later.inputs.iter().any(|input| input == name))
        };
        live.retain(|name, _| needed(name));
    }
    let logits = live.remove(graph.output.as_str()).unwrap_or_default();
    let probability = |logit: f32| 1.0 / (1.0 + f64::from(-logit).exp());
    let errors = logits.iter().flat_map(|pair| pair.float.data.iter().zip(&pair.quantised.data));
    let (sum, count) = errors.fold((0.0, 0usize), |(sum, count), (&float, &quantised)| {
        (sum + (probability(float) - probability(quantised)).powi(2), count + 1)
    });
    refined.probability_error = sum / count.max(1) as f64;
    (refined.logits, refined.float_logits) =
        logits.into_iter().map(|pair| (pair.quantised, pair.float)).unzip();
    Ok(refined)
}

/// Both outputs of one node for one frame, before ReLU6 and before storing.
fn step(node: &Node, weights: &QuantisedGraph, inputs: &[&Vec<Pair>], frame: usize) -> anyhow::Result<Pair> {
    let pairs: Vec<&Pair> = inputs.iter().filter_map(|pairs| pairs.get(frame)).collect();
    match (&node.op, weights.convs.get(&node.name), node.inputs.first(), pairs.first()) {
        (Op::Conv { weight, bias, stride, pads, groups, .. }, Some(conv), Some(input), Some(pair)) => {
            let real_bias = conv.real_bias(weights.tensor(input)?.scale);
            let real_weight = conv.real_weight(weight.shape);
            Ok(Pair {
                float: convolve(&pair.float, weight, bias, *stride, *pads, *groups),
                quantised: convolve(&pair.quantised, &real_weight, &real_bias, *stride, *pads, *groups),
            })
        }
        _ => {
            let float: Vec<&Activation> = pairs.iter().map(|pair| &pair.float).collect();
            let quantised: Vec<&Activation> = pairs.iter().map(|pair| &pair.quantised).collect();
            Ok(Pair { float: apply(node, &float)?, quantised: apply(node, &quantised)? })
        }
    }
}

/// Applies ReLU6 and storage. Gives the powers of the signal, of all noise and of the noise of storing.
fn store(node: &Node, quantisation: Quantisation, relu6: bool, pair: &mut Pair) -> [f64; 3] {
    let mut powers = [0.0; 3];
    let floors = matches!(node.op, Op::ResizeBilinear { .. });
    for (float, quantised) in pair.float.data.iter_mut().zip(&mut pair.quantised.data) {
        if relu6 {
            *float = float.clamp(0.0, 6.0);
            *quantised = quantised.clamp(0.0, 6.0);
        }
        let stored = if floors { quantisation.floored(*quantised) } else { quantisation.rounded(*quantised) };
        powers[0] += f64::from(*float).powi(2);
        powers[1] += f64::from(stored - *float).powi(2);
        powers[2] += f64::from(stored - *quantised).powi(2);
        *quantised = stored;
    }
    powers
}

/// Mean of float − quantised of each channel over all frames.
fn mean_error(pairs: &[Pair]) -> Vec<f32> {
    let Some(shape) = pairs.first().map(|pair| pair.float.shape) else { return Vec::new() };
    let mut sums = vec![0f64; shape.channels];
    for pair in pairs {
        let planes =
            pair.float.data.chunks_exact(shape.area()).zip(pair.quantised.data.chunks_exact(shape.area()));
        for (sum, (float, quantised)) in sums.iter_mut().zip(planes) {
            *sum += float.iter().zip(quantised).map(|(f, q)| f64::from(f - q)).sum::<f64>();
        }
    }
    let count = (pairs.len() * shape.area()) as f64;
    sums.into_iter().map(|sum| brief(sum / count)).collect()
}

/// To four digits: corrections are kept as text, and more would be noise.
fn brief(value: f64) -> f32 {
    format!("{value:.3e}").parse().unwrap_or(value as f32)
}

fn weights_noise(node: &Node, weights: &QuantisedGraph) -> f64 {
    let (Op::Conv { weight, .. }, Some(conv)) = (&node.op, weights.convs.get(&node.name)) else {
        return f64::INFINITY;
    };
    let real = conv.real_weight(weight.shape);
    let pairs = || weight.data.iter().zip(&real.data);
    let signal = pairs().map(|(w, _)| f64::from(*w).powi(2)).sum();
    let noise = pairs().map(|(w, q)| f64::from(w - q).powi(2)).sum();
    decibels(signal, noise)
}

/// The ratio of two powers in dB; infinite without noise.
pub fn decibels(signal: f64, noise: f64) -> f64 {
    if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
}
