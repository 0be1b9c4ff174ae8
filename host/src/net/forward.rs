//! Computes a network with burn, and keeps what training needs of it.

use burn::tensor::activation::sigmoid;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::parameters::{Array, Parameters};
use super::{After, ConvSpec, Net};
use crate::ops::{self, ConvAttributes, NormAttributes};

enum Leaf {
    Vector(Tensor<1>),
    Filter(Tensor<4>),
}

/// One forward pass. On an autodiff device batch norm uses the batch's statistics, elsewhere the running ones.
pub struct Forward<'a> {
    parameters: &'a Parameters,
    device: Device,
    training: bool,
    leaves: Vec<(String, Leaf)>,
    /// Layer → `[2, C]` mean and biased variance of this batch, and the number of values behind them.
    statistics: Vec<(String, Tensor<2>, usize)>,
}

impl<'a> Forward<'a> {
    pub fn training(parameters: &'a Parameters, device: &Device) -> Self {
        Self::new(parameters, device.clone().autodiff(), true)
    }

    pub fn inference(parameters: &'a Parameters, device: &Device) -> Self {
        Self::new(parameters, device.clone(), false)
    }

    fn new(parameters: &'a Parameters, device: Device, training: bool) -> Self {
        Forward { parameters, device, training, leaves: Vec::new(), statistics: Vec::new() }
    }

    /// Raw pixels `[N, 3, H, W]`, `0..=255`, to the network's input `(x − 127) / 128`.
    pub fn input(&self, pixels: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        (Tensor::from_data(TensorData::new(pixels, shape), &self.device) - 127.0) / 128.0
    }

    pub fn tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn vector(&mut self, name: String) -> Tensor<1> {
        let array = self.parameters.get(&name);
        let tensor = self.tensor(array.values.clone(), [array.values.len()]);
        if !self.training || !Parameters::is_trained(&name) {
            return tensor;
        }
        let tensor = tensor.require_grad();
        self.leaves.push((name, Leaf::Vector(tensor.clone())));
        tensor
    }

    fn filter(&mut self, name: String) -> Tensor<4> {
        let Array { shape, values } = self.parameters.get(&name);
        let tensor = self.tensor(values.clone(), [shape[0], shape[1], shape[2], shape[3]]);
        if !self.training {
            return tensor;
        }
        let tensor = tensor.require_grad();
        self.leaves.push((name, Leaf::Filter(tensor.clone())));
        tensor
    }

    /// Parameter → gradient, for every parameter that this pass touched and that has one.
    pub fn gradients(&self, gradients: &Gradients) -> Parameters {
        let values = |data: TensorData| data.try_to_vec::<f32>().expect("gradients are f32");
        let one = |(name, leaf): &(String, Leaf)| {
            let (shape, data) = match leaf {
                Leaf::Vector(leaf) => (leaf.dims().to_vec(), leaf.grad(gradients)?.into_data()),
                Leaf::Filter(leaf) => (leaf.dims().to_vec(), leaf.grad(gradients)?.into_data()),
            };
            Some((name.clone(), Array { shape, values: values(data) }))
        };
        Parameters(self.leaves.iter().filter_map(one).collect())
    }

    /// Running statistics' names → this batch's values, the variance made unbiased.
    pub fn batch_statistics(&self) -> Parameters {
        let mut out = Parameters::default();
        for (name, statistics, count) in &self.statistics {
            let values = statistics.to_data().try_to_vec::<f32>().expect("statistics are f32");
            let (mean, variance) = values.split_at(values.len() / 2);
            let unbiased = *count as f32 / (count.max(&2) - 1) as f32;
            let variance = variance.iter().map(|v| v * unbiased).collect();
            let shape = vec![mean.len()];
            out.0.insert(format!("{name}.mean"), Array { shape: shape.clone(), values: mean.to_vec() });
            out.0.insert(format!("{name}.variance"), Array { shape, values: variance });
        }
        out
    }
}

impl Net for Forward<'_> {
    type Value = Tensor<4>;

    fn shape(&self, x: &Tensor<4>) -> [usize; 3] {
        let [_, channels, height, width] = x.dims();
        [channels, height, width]
    }

    fn conv(&mut self, name: &str, x: &Tensor<4>, spec: ConvSpec) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let groups = if spec.depthwise { channels } else { 1 };
        let attributes = ConvAttributes { stride: spec.stride, pads: spec.pads(height, width), groups };
        let weight = self.filter(format!("{name}.weight"));
        let x = ops::conv2d(x.clone(), weight, attributes);
        let (eps, relu6) = match spec.after {
            After::Bias => {
                let bias = self.vector(format!("{name}.bias"));
                return x + bias.reshape([1, spec.filters, 1, 1]);
            }
            After::Norm { eps } => (eps, false),
            After::NormRelu6 { eps } => (eps, true),
        };
        let (gamma, beta) = (self.vector(format!("{name}.gamma")), self.vector(format!("{name}.beta")));
        let statistics = if self.training {
            let statistics = ops::batch_statistics(x.clone());
            let [_, _, height, width] = x.dims();
            self.statistics.push((name.to_owned(), statistics.clone(), batch * height * width));
            statistics
        } else {
            let mean = self.vector(format!("{name}.mean"));
            let variance = self.vector(format!("{name}.variance"));
            Tensor::stack(vec![mean, variance], 0)
        };
        ops::batch_norm(x, statistics, gamma, beta, NormAttributes { eps, relu6 })
    }

    fn add(&mut self, _: &str, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        a.clone() + b.clone()
    }

    fn concat(&mut self, _: &str, parts: &[Tensor<4>]) -> Tensor<4> {
        Tensor::cat(parts.to_vec(), 1)
    }

    fn max_pool(&mut self, _: &str, x: &Tensor<4>) -> Tensor<4> {
        max_pool2d(x.clone(), MaxPoolOptions::new([2, 2]))
    }

    /// Two products with fixed matrices: burn's GPU backends have no backward for interpolation.
    fn enlarge(&mut self, _: &str, x: &Tensor<4>, factor: usize) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let across = self.tensor(bilinear_matrix(width, factor), [width, width * factor]);
        let down = self.tensor(bilinear_matrix(height, factor), [height, height * factor]);
        let x = x.clone().reshape([batch * channels * height, width]).matmul(across);
        let x = x.reshape([batch * channels, height, width * factor]).swap_dims(1, 2);
        let x = x.reshape([batch * channels * width * factor, height]).matmul(down);
        x.reshape([batch * channels, width * factor, height * factor]).swap_dims(1, 2).reshape([
            batch,
            channels,
            height * factor,
            width * factor,
        ])
    }

    fn channel_gate(&mut self, name: &str, x: &Tensor<4>, kernel: usize) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let weight = self.vector(format!("{name}.weight"));
        let mean =
            x.clone().reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        let side = kernel / 2;
        let zeros = Tensor::<2>::zeros([batch, side], &self.device);
        let padded = Tensor::cat(vec![zeros.clone(), mean, zeros], 1);
        let shifted = |tap: usize| padded.clone().slice([0..batch, tap..tap + channels]);
        let one = |tap: usize| shifted(tap) * weight.clone().slice(tap..tap + 1).reshape([1, 1]);
        let sum = (1..kernel).fold(one(0), |sum, tap| sum + one(tap));
        x.clone() * sigmoid(sum).reshape([batch, channels, 1, 1])
    }
}

/// `[side, side · factor]`: column `o` holds what output `o` takes from each input, half-pixel centres, edges
/// repeated.
pub fn bilinear_matrix(side: usize, factor: usize) -> Vec<f32> {
    let out = side * factor;
    let mut matrix = vec![0.0; side * out];
    for o in 0..out {
        let at = ((o as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, (side - 1) as f32);
        let (low, share) = (at as usize, at.fract());
        matrix[low * out + o] += 1.0 - share;
        matrix[(low + 1).min(side - 1) * out + o] += share;
    }
    matrix
}
