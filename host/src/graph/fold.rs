//! Writes a network as an inference graph: batch norm folded into the convolution before it, channel attention as a
//! banded 1×1 convolution.

use crate::graph::{Graph, INPUT, Node, Op, Tensor4};
use crate::net::parameters::Parameters;
use crate::net::{After, ConvSpec, Gate, Net};

/// Gathers the nodes while the network is walked.
pub struct Fold<'a> {
    parameters: &'a Parameters,
    nodes: Vec<Node>,
}

/// A tensor of the graph: its name and `[C, H, W]`.
#[derive(Clone, Debug)]
pub struct Named {
    name: String,
    shape: [usize; 3],
}

impl<'a> Fold<'a> {
    /// The inference graph of `network`, whose input is `[1, 3, side, side]`.
    pub fn graph(
        parameters: &'a Parameters,
        input_side: usize,
        network: impl FnOnce(&mut Self, &Named) -> Named,
    ) -> Graph {
        let mut fold = Fold { parameters, nodes: Vec::new() };
        let input = Named { name: INPUT.to_owned(), shape: [3, input_side, input_side] };
        let output = network(&mut fold, &input).name;
        Graph { input_side, nodes: fold.nodes, output }
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[&Named], shape: [usize; 3]) -> Named {
        let inputs = inputs.iter().map(|input| input.name.clone()).collect();
        self.nodes.push(Node { name: name.to_owned(), op, inputs });
        Named { name: name.to_owned(), shape }
    }

    fn vector(&self, layer: &str, part: &str) -> &'a [f32] {
        &self.parameters.get(&format!("{layer}.{part}")).values
    }
}

impl Net for Fold<'_> {
    type Value = Named;

    fn shape(&self, x: &Named) -> [usize; 3] {
        x.shape
    }

    fn conv(&mut self, name: &str, x: &Named, spec: ConvSpec) -> Named {
        let [channels, height, width] = x.shape;
        let array = self.parameters.get(&format!("{name}.weight"));
        let mut data = array.values.clone();
        let taps = data.len() / spec.filters;
        let (bias, relu6) = match spec.after {
            After::Bias => (self.vector(name, "bias").to_vec(), false),
            After::Norm { eps } | After::NormRelu6 { eps } => {
                let (gamma, beta) = (self.vector(name, "gamma"), self.vector(name, "beta"));
                let (mean, variance) = (self.vector(name, "mean"), self.vector(name, "variance"));
                let scale = |f: usize| gamma[f] / (variance[f] + eps).sqrt();
                for (f, filter) in data.chunks_exact_mut(taps).enumerate() {
                    filter.iter_mut().for_each(|weight| *weight *= scale(f));
                }
                let bias = (0..spec.filters).map(|f| beta[f] - mean[f] * scale(f)).collect();
                (bias, matches!(spec.after, After::NormRelu6 { .. }))
            }
        };
        let shape = [array.shape[0], array.shape[1], array.shape[2], array.shape[3]];
        let op = Op::Conv {
            weight: Tensor4 { shape, data },
            bias,
            stride: spec.stride,
            pads: spec.pads(height, width),
            groups: if spec.depthwise { channels } else { 1 },
            relu6,
        };
        let [height, width] = spec.extent(height, width);
        self.push(name, op, &[x], [spec.filters, height, width])
    }

    fn add(&mut self, name: &str, a: &Named, b: &Named) -> Named {
        self.push(name, Op::Add, &[a, b], a.shape)
    }

    fn concat(&mut self, name: &str, parts: &[Named]) -> Named {
        let shape = [parts.iter().map(|part| part.shape[0]).sum(), parts[0].shape[1], parts[0].shape[2]];
        self.push(name, Op::Concat, &parts.iter().collect::<Vec<_>>(), shape)
    }

    fn max_pool(&mut self, name: &str, x: &Named) -> Named {
        let [channels, height, width] = x.shape;
        self.push(name, Op::MaxPool { size: 2 }, &[x], [channels, height / 2, width / 2])
    }

    fn enlarge(&mut self, name: &str, x: &Named, factor: usize) -> Named {
        let [channels, height, width] = x.shape;
        self.push(name, Op::ResizeBilinear { factor }, &[x], [channels, height * factor, width * factor])
    }

    fn channel_gate(&mut self, name: &str, x: &Named, gate: Gate) -> Named {
        let channels = x.shape[0];
        let mean = self.push(&format!("{name}.mean"), Op::GlobalAveragePool, &[x], [channels, 1, 1]);
        let weights = match gate {
            Gate::Eca { kernel } => {
                let band = band(self.vector(name, "weight"), channels, kernel);
                self.point(&format!("{name}.band"), &mean, band, vec![0.0; channels], false)
            }
            Gate::SqueezeExcite { .. } => {
                let mut x = mean;
                for (part, relu6) in [("squeeze", true), ("excite", false)] {
                    let layer = format!("{name}.{part}");
                    let (weight, bias) = (self.vector(&layer, "weight"), self.vector(&layer, "bias"));
                    x = self.point(&layer, &x, weight.to_vec(), bias.to_vec(), relu6);
                }
                x
            }
        };
        let sigmoid = self.push(&format!("{name}.sigmoid"), Op::Sigmoid, &[&weights], weights.shape);
        self.push(name, Op::Mul, &[x, &sigmoid], x.shape)
    }
}

impl Fold<'_> {
    /// A 1×1 convolution, `data [filters, C]`.
    fn point(&mut self, name: &str, x: &Named, data: Vec<f32>, bias: Vec<f32>, relu6: bool) -> Named {
        let [channels, height, width] = x.shape;
        let filters = bias.len();
        let weight = Tensor4 { shape: [filters, channels, 1, 1], data };
        let op = Op::Conv { weight, bias, stride: 1, pads: [0; 4], groups: 1, relu6 };
        self.push(name, op, &[x], [filters, height, width])
    }
}

/// A one-dimensional convolution over channels as a matrix `[channels, channels]`.
fn band(weight: &[f32], channels: usize, kernel: usize) -> Vec<f32> {
    let mut data = vec![0.0; channels * channels];
    for out in 0..channels {
        for (tap, value) in weight.iter().enumerate() {
            let input = out + tap;
            if input >= kernel / 2 && input - kernel / 2 < channels {
                data[out * channels + input - kernel / 2] = *value;
            }
        }
    }
    data
}
