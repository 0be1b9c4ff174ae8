//! Quantisation-aware training: batch norm is folded away, and the graph computes in floats what the cart's engine
//! computes in integers: s8 weights, one scale an output channel; i32 biases; each tensor stored in u8.
//!
//! Gradients pass straight through rounding (Jacob et al., CVPR 2018). A tensor's range is learned as the logarithm of
//! its step, by LSQ's gradient (Esser et al., ICLR 2020), or stays as calibration observed it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::activation::sigmoid;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Gradients, Tensor};
use polyp_edge::bundle::{Bundle, digest};
use polyp_edge::fault::Fault;
use rayon::prelude::*;

use crate::files;
use crate::graph::{Graph, INPUT, INPUT_SCALE, INPUT_ZERO_POINT, Node, Op, Tensor4};
use crate::net::parameters::{Array, Parameters};
use crate::net::resize::{constant, resize};
use crate::numeric::Resize;
use crate::onnx;
use crate::ops::{self, ConvAttributes, Storing};
use crate::quantise::groups::Groups;
use crate::quantise::recipe::{Calibration, write_ranges};
use crate::quantise::{Quantisation, equalise, weights};
use crate::run::GRAPH;
use crate::run::config::{Quantised, TrainConfig};
use crate::train::batches::Batch;
use crate::train::learner::{Learner, Logits, Outcome};
use crate::train::objective::{Descent, descend};

/// The ranges that training ends with, for `calibrate --ranges`.
pub const RANGES: &str = "ranges.csv";

/// ReLU6's outputs end at 6, so that the float graph is the same network.
const LARGEST_RELU6_STEP: f32 = 6.0 / 255.0;

/// A network where training for int8 begins.
pub struct QuantisedStart {
    /// Channels are equalised and biases corrected.
    graph: Graph,
    tensors: BTreeMap<String, Quantisation>,
    /// `graph:SHA256`, or `bundle:SHA256` of its ONNX file.
    origin: String,
}

impl QuantisedStart {
    /// What the configuration names.
    pub fn open(quantised: &Quantised) -> Result<Self> {
        match (&quantised.bundle, &quantised.graph, &quantised.calibration) {
            (Some(bundle), None, None) => Self::of_bundle(bundle),
            (None, Some(graph), Some(calibration)) => Self::of_run(graph, calibration),
            _ => Err(Fault::configuration("[quantised] needs bundle, or graph and calibration")),
        }
    }

    fn of_bundle(folder: &Path) -> Result<Self> {
        let bundle = Bundle::open(folder)?;
        let (graph, tensors) =
            onnx::import::from_onnx(bundle.model()).with_context(|| folder.display().to_string())?;
        Ok(QuantisedStart { graph, tensors, origin: format!("bundle:{}", digest(bundle.model())) })
    }

    fn of_run(graph: &Path, calibration: &Path) -> Result<Self> {
        let bytes = files::read(graph)?;
        let sha256 = digest(&bytes);
        let own = Graph::from_bytes(&bytes).with_context(|| graph.display().to_string())?;
        let calibrated = Calibration::load(calibration)?;
        if calibrated.recipe.graph_sha256 != sha256 {
            return Err(Fault::data(format!(
                "{} was made from another graph than {}; calibrate this one",
                calibration.display(),
                graph.display()
            )));
        }
        Ok(Self::calibrated(&own, &calibrated, format!("graph:{sha256}")))
    }

    /// A float graph with its calibration.
    pub fn calibrated(graph: &Graph, calibration: &Calibration, origin: String) -> Self {
        let mut graph = equalise::apply(graph, &calibration.equalisation);
        for node in &mut graph.nodes {
            let correction = calibration.corrections.get(&node.name);
            let (Op::Conv { bias, .. }, Some(correction)) = (&mut node.op, correction) else { continue };
            bias.iter_mut().zip(correction).for_each(|(bias, change)| *bias += change);
        }
        QuantisedStart { graph, tensors: calibration.tensors.clone(), origin }
    }

    /// S: height and width of the input in pixels.
    pub fn input_side(&self) -> usize {
        self.graph.input_side
    }
}

/// A folded graph that is trained for int8.
pub struct QuantisedLearner<'a> {
    graph: Graph,
    /// Where ranges start.
    tensors: BTreeMap<String, Quantisation>,
    /// Tensor → the parameter that its step's logarithm is moved by; without one the step stays.
    ranges: HashMap<String, String>,
    /// Largest steps, by parameter.
    limits: HashMap<String, f32>,
    config: &'a TrainConfig,
    device: &'a Device,
}

impl<'a> QuantisedLearner<'a> {
    /// The learner, the values that it starts from, and which network they belong to.
    pub fn open(
        quantised: &Quantised,
        config: &'a TrainConfig,
        device: &'a Device,
    ) -> Result<(Self, Parameters, String)> {
        let start = QuantisedStart::open(quantised)?;
        let origin = start.origin.clone();
        let (learner, parameters) = QuantisedLearner::new(start, quantised.learn_ranges, config, device)?;
        Ok((learner, parameters, origin))
    }

    /// The learner of a network, and the values that it starts from.
    pub fn new(
        start: QuantisedStart,
        learn_ranges: bool,
        config: &'a TrainConfig,
        device: &'a Device,
    ) -> Result<(Self, Parameters)> {
        let QuantisedStart { graph, tensors, .. } = start;
        for name in std::iter::once(INPUT).chain(graph.nodes.iter().map(|node| node.name.as_str())) {
            if !tensors.contains_key(name) {
                return Err(Fault::data(format!("tensor {name} has no range; calibrate this graph again")));
            }
        }
        let mut parameters = Parameters::default();
        for node in &graph.nodes {
            let Op::Conv { weight, bias, .. } = &node.op else { continue };
            let array =
                |shape: &[usize], values: &[f32]| Array { shape: shape.to_vec(), values: values.to_vec() };
            parameters.0.insert(format!("{}.weight", node.name), array(&weight.shape, &weight.data));
            parameters.0.insert(format!("{}.bias", node.name), array(&[bias.len()], bias));
        }
        let (mut ranges, mut limits) = (HashMap::new(), HashMap::new());
        if learn_ranges {
            let groups = Groups::behind(&graph, &tensors);
            let mut names = HashMap::new();
            for (tensor, group) in groups.iter() {
                let logits = groups.of(&graph.output) == Some(group);
                if logits || groups.fixed(group).is_some() {
                    continue;
                }
                let name = names.entry(group).or_insert_with(|| format!("{tensor}.range"));
                ranges.insert(tensor.to_owned(), name.clone());
                parameters.0.insert(name.clone(), Array::zeros(&[1]));
                if graph.node(tensor).is_some_and(|node| matches!(node.op, Op::Conv { relu6: true, .. })) {
                    limits.insert(name.clone(), LARGEST_RELU6_STEP);
                }
            }
        }
        Ok((QuantisedLearner { graph, tensors, ranges, limits, config, device }, parameters))
    }

    /// How each tensor is stored with these parameters.
    pub fn tensors(&self, parameters: &Parameters) -> BTreeMap<String, Quantisation> {
        let stored = |(name, start): (&String, &Quantisation)| {
            let moved = self.ranges.get(name).map(|range| {
                let limit = self.limits.get(range).copied().unwrap_or(f32::MAX);
                (start.scale * parameters.get(range).values[0].exp()).min(limit.max(start.scale))
            });
            let scale = moved.unwrap_or(start.scale);
            (name.clone(), Quantisation { scale, ..*start })
        };
        self.tensors.iter().map(stored).collect()
    }

    /// The float graph with these parameters.
    pub fn graph(&self, parameters: &Parameters) -> Graph {
        let mut graph = self.graph.clone();
        for node in &mut graph.nodes {
            let Op::Conv { weight, bias, .. } = &mut node.op else { continue };
            weight.data.clone_from(&parameters.get(&format!("{}.weight", node.name)).values);
            bias.clone_from(&parameters.get(&format!("{}.bias", node.name)).values);
        }
        graph
    }

    /// What the integers of each convolution stand for: weights and bias.
    fn rounded(
        &self,
        parameters: &Parameters,
        tensors: &BTreeMap<String, Quantisation>,
    ) -> HashMap<&str, (Vec<f32>, Vec<f32>)> {
        let convs = self.graph.nodes.par_iter().filter_map(|node| {
            let (Op::Conv { weight, .. }, Some(input)) = (&node.op, node.inputs.first()) else { return None };
            let data = parameters.get(&format!("{}.weight", node.name)).values.clone();
            let weight = Tensor4 { shape: weight.shape, data };
            let bias = &parameters.get(&format!("{}.bias", node.name)).values;
            let scale = tensors[input].scale;
            let conv = weights::quantise(&weight, bias, scale);
            Some((node.name.as_str(), (conv.real_weight(weight.shape).data, conv.real_bias(scale))))
        });
        convs.collect()
    }

    fn walk(&self, parameters: &Parameters, batch: &Batch, training: bool) -> Result<(Walk, Tensor<4>)> {
        let device = if training { self.device.clone().autodiff() } else { self.device.clone() };
        let tensors = self.tensors(parameters);
        let mut rounded = self.rounded(parameters, &tensors);
        let mut walk = Walk { device, training, leaves: Vec::new(), steps: HashMap::new() };
        let pixels =
            batch.pixels.iter().map(|pixel| (pixel - f32::from(INPUT_ZERO_POINT)) * INPUT_SCALE).collect();
        let input = constant(pixels, [batch.size, 3, batch.side, batch.side], &walk.device);
        let mut live: HashMap<&str, Tensor<4>> = HashMap::from([(INPUT, input)]);
        for (position, node) in self.graph.nodes.iter().enumerate() {
            let inputs = node
                .inputs
                .iter()
                .map(|name| live.get(name.as_str()).cloned().context("a tensor was never computed"))
                .collect::<Result<Vec<Tensor<4>>>>()?;
            let (out, bias) = walk.apply(node, inputs, rounded.remove(node.name.as_str()))?;
            let stored = tensors[&node.name];
            let keeps = match &node.op {
                Op::MaxPool { .. } | Op::ResizeNearest { .. } => true,
                Op::Concat => node.inputs.iter().all(|input| tensors[input] == stored),
                _ => false,
            };
            let out = if keeps {
                out
            } else {
                let floors = matches!(node.op, Op::ResizeBilinear { .. });
                let step = walk.step(self.ranges.get(&node.name), stored.scale, &out);
                let bias = bias.unwrap_or_else(|| {
                    let channels = out.dims()[1];
                    constant(vec![0.0; channels], [channels], &walk.device)
                });
                ops::store(out, bias, step, Storing { zero_point: stored.zero_point, floors })
            };
            live.insert(&node.name, out);
            let later = &self.graph.nodes[position + 1..];
            let needed = |name: &str| {
                name == self.graph.output
                    || later.iter().any(|node| node.inputs.iter().any(|input| input == name))
            };
            live.retain(|name, _| needed(name));
        }
        let logits = live.remove(self.graph.output.as_str()).context("the graph has no logits")?;
        Ok((walk, logits))
    }
}

impl Learner for QuantisedLearner<'_> {
    fn batch(&self, parameters: &Parameters, batch: &Batch) -> Result<Outcome> {
        let (walk, logits) = self.walk(parameters, batch, true)?;
        let Descent { loss, gradients, peaks } = descend(vec![logits], batch, self.config, None)?;
        Ok(Outcome { loss, peaks, gradients: walk.gradients(&gradients)?, statistics: Parameters::default() })
    }

    fn logits(&self, parameters: &Parameters, batch: &Batch) -> Result<Logits> {
        let (_, logits) = self.walk(parameters, batch, false)?;
        let low = logits.dims()[2];
        Ok(Logits { values: logits.into_data().try_to_vec::<f32>().context("logits are f32")?, low })
    }

    fn export(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        self.graph(parameters).save(&folder.join(GRAPH))?;
        write_ranges(&folder.join(RANGES), &self.tensors(parameters))
    }
}

/// One pass through the graph, and what gradients are wanted for.
struct Walk {
    device: Device,
    training: bool,
    leaves: Vec<Leaf>,
    /// Learned steps, by parameter.
    steps: HashMap<String, Tensor<1>>,
}

struct Leaf {
    name: String,
    shape: Vec<usize>,
    tensor: Tensor<1>,
    /// From the leaf's gradient to the parameter's.
    factor: f32,
}

impl Walk {
    fn leaf(&mut self, name: String, shape: &[usize], values: Vec<f32>, factor: f32) -> Tensor<1> {
        let tensor = constant(values, [shape.iter().product()], &self.device);
        if !self.training {
            return tensor;
        }
        let tensor = tensor.require_grad();
        self.leaves.push(Leaf { name, shape: shape.to_vec(), tensor: tensor.clone(), factor });
        tensor
    }

    /// A tensor's step, which `range` moves.
    fn step(&mut self, range: Option<&String>, step: f32, stored: &Tensor<4>) -> Tensor<1> {
        let Some(range) = range else { return constant(vec![step], [1], &self.device) };
        if let Some(known) = self.steps.get(range) {
            return known.clone();
        }
        // LSQ's scale of the gradient, and the logarithm's slope.
        let count = stored.dims().iter().product::<usize>() as f32;
        let leaf = self.leaf(range.clone(), &[1], vec![step], step / (255.0 * count).sqrt());
        self.steps.insert(range.clone(), leaf.clone());
        leaf
    }

    /// A node's output before it is stored, and the bias that is still to be added.
    fn apply(
        &mut self,
        node: &Node,
        inputs: Vec<Tensor<4>>,
        rounded: Option<(Vec<f32>, Vec<f32>)>,
    ) -> Result<(Tensor<4>, Option<Tensor<1>>)> {
        let mut inputs = inputs.into_iter();
        let first = inputs.next().context("a node has no input")?;
        let [batch, channels, height, width] = first.dims();
        let out = match &node.op {
            Op::Conv { weight, stride, pads, groups, .. } => {
                let (values, bias) = rounded.context("a convolution has no integers")?;
                let kernel = self.leaf(format!("{}.weight", node.name), &weight.shape, values, 1.0);
                let filters = bias.len();
                let bias = self.leaf(format!("{}.bias", node.name), &[filters], bias, 1.0);
                let attributes = ConvAttributes { stride: *stride, pads: *pads, groups: *groups };
                return Ok((ops::conv2d(first, kernel.reshape(weight.shape), attributes), Some(bias)));
            }
            Op::Add => first + inputs.next().context("a sum has one input")?,
            Op::Concat => Tensor::cat(std::iter::once(first).chain(inputs).collect(), 1),
            Op::MaxPool { size } => max_pool2d(first, MaxPoolOptions::new([*size; 2])),
            Op::ResizeBilinear { factor } => {
                resize(first, [height * factor, width * factor], Resize::Bilinear)
            }
            Op::ResizeNearest { factor } => first
                .reshape([batch, channels, height, 1, width, 1])
                .repeat(&[1, 1, 1, *factor, 1, *factor])
                .reshape([batch, channels, height * factor, width * factor]),
            Op::GlobalAveragePool => {
                let flat = first.reshape([batch, channels, height * width]);
                flat.mean_dim(2).reshape([batch, channels, 1, 1])
            }
            Op::Sigmoid => sigmoid(first),
            Op::Mul => first * inputs.next().context("a product has one input")?,
        };
        Ok((out, None))
    }

    fn gradients(&self, found: &Gradients) -> Result<Parameters> {
        let mut gradients = Parameters::default();
        for Leaf { name, shape, tensor, factor } in &self.leaves {
            let Some(gradient) = tensor.grad(found) else { continue };
            let mut values = gradient.into_data().try_to_vec::<f32>().context("gradients are f32")?;
            values.iter_mut().for_each(|value| *value *= factor);
            gradients.0.insert(name.clone(), Array { shape: shape.clone(), values });
        }
        Ok(gradients)
    }
}

#[cfg(test)]
mod tests;
