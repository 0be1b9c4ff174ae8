//! Post-training quantisation: ranges, shared scales, equalised channels, int8 weights, bias correction.
//!
//! Activations are u8 with one scale and zero point a tensor; weights s8, symmetric, one scale an output channel; biases
//! i32 in units of input scale × weight scale. ReLU6 costs nothing: its output's range starts at 0 and saturation clips.

pub mod equalise;
pub mod groups;
pub mod range;
pub mod recipe;
pub mod refine;
pub mod statistics;
#[cfg(test)]
mod tests;
pub mod weights;

use std::collections::BTreeMap;

use polyp_edge::fault::Fault;
pub use weights::QuantisedConv;

use crate::graph::{Graph, Op};
use crate::numeric::FLOOR_MARGIN;

/// Real value = `scale` × (stored − `zero_point`).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Quantisation {
    /// The real value of one step.
    pub scale: f32,
    /// The stored value that stands for 0.
    pub zero_point: u8,
}

impl Quantisation {
    /// Covers `low..=high`, widened to hold 0, which becomes exactly representable.
    pub fn covering(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE * 1e6);
        let zero_point = (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8;
        Quantisation { scale, zero_point }
    }

    /// To the nearest step, ties to even, saturating.
    pub fn quantise(self, value: f32) -> u8 {
        let steps = (value / self.scale).round_ties_even() + f32::from(self.zero_point);
        steps.clamp(0.0, 255.0) as u8
    }

    /// The value that a stored one stands for.
    pub fn real(self, stored: u8) -> f32 {
        self.scale * (f32::from(stored) - f32::from(self.zero_point))
    }

    /// What is left of a value once stored.
    pub fn rounded(self, value: f32) -> f32 {
        self.real(self.quantise(value))
    }

    /// As bilinear resizing of u8 rounds: to the next lower step.
    pub fn floored(self, value: f32) -> f32 {
        let steps = (value / self.scale + f32::from(self.zero_point) + FLOOR_MARGIN).floor();
        self.real(steps.clamp(0.0, 255.0) as u8)
    }

    /// Lowest and highest value that can be stored.
    pub fn bounds(self) -> (f32, f32) {
        (self.real(0), self.real(255))
    }
}

/// A network ready to be written: structure, and all integers and scales.
#[derive(Clone, Debug)]
pub struct QuantisedGraph {
    /// The structure. Its weights and biases are still float.
    pub graph: Graph,
    /// The input's and each node's, by name.
    pub tensors: BTreeMap<String, Quantisation>,
    /// By node name.
    pub convs: BTreeMap<String, QuantisedConv>,
}

impl QuantisedGraph {
    /// How a tensor is stored; exit code 65 if nothing is known of it.
    pub fn tensor(&self, name: &str) -> anyhow::Result<Quantisation> {
        let found = self.tensors.get(name).copied();
        found.ok_or_else(|| Fault::data(format!("tensor {name} has no range; calibrate this graph again")))
    }

    /// Quantises all weights. `corrections` are added to the biases, node by node; missing ones are 0.
    pub fn new(
        graph: &Graph,
        tensors: BTreeMap<String, Quantisation>,
        corrections: &BTreeMap<String, Vec<f32>>,
    ) -> anyhow::Result<Self> {
        let mut quantised = QuantisedGraph { graph: graph.clone(), tensors, convs: BTreeMap::new() };
        for node in &graph.nodes {
            quantised.tensor(&node.name)?;
            let (Op::Conv { weight, bias, .. }, Some(input)) = (&node.op, node.inputs.first()) else {
                continue;
            };
            let none = vec![0.0; bias.len()];
            let correction = corrections.get(&node.name).unwrap_or(&none);
            if correction.len() != bias.len() {
                return Err(Fault::data(format!(
                    "{}: {} bias corrections for {} channels; calibrate this graph again",
                    node.name,
                    correction.len(),
                    bias.len()
                )));
            }
            let corrected: Vec<f32> =
                bias.iter().zip(correction).map(|(bias, change)| bias + change).collect();
            let conv = weights::quantise(weight, &corrected, quantised.tensor(input)?.scale);
            quantised.convs.insert(node.name.clone(), conv);
        }
        Ok(quantised)
    }
}
