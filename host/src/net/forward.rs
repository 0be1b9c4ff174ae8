//! Computes a network with burn, and keeps what training needs of it.

use std::collections::HashMap;

use burn::tensor::activation::{gelu, sigmoid};
use burn::tensor::module::{attention, avg_pool2d, layer_norm, linear, max_pool2d};
use burn::tensor::ops::{AttentionModuleOptions, AvgPoolOptions, MaxPoolOptions, PadMode};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};

use crate::net::parameters::{Array, Parameters};
use crate::net::resize::{self, along_both, constant};
use crate::net::windows::{joined, offsets, windowed};
use crate::net::{After, AttentionSpec, ConvSpec, Gate, Net, PatchSpec, PositionSpec, TokenNet};
use crate::numeric::Resize;
use crate::ops::{self, ConvAttributes, NormAttributes};

/// Values that stay as they are, on the device from pass to pass.
#[derive(Default)]
pub struct Resident(HashMap<String, (Vec<usize>, Tensor<1>)>);

impl Resident {
    /// Copies values to a device.
    pub fn upload(parameters: &Parameters, device: &Device) -> Self {
        let one = |(name, array): (&String, &Array)| {
            let tensor = constant(array.values.clone(), [array.values.len()], device);
            (name.clone(), (array.shape.clone(), tensor))
        };
        Resident(parameters.0.iter().map(one).collect())
    }

    /// Whether there is a value of this name.
    pub fn holds(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The values, back from the device.
    pub fn download(&self) -> Parameters {
        let one = |(name, (shape, tensor)): (&String, &(Vec<usize>, Tensor<1>))| {
            let values = tensor.to_data().try_to_vec::<f32>().expect("parameters are f32");
            (name.clone(), Array { shape: shape.clone(), values })
        };
        Parameters(self.0.iter().map(one).collect())
    }
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch norm by running statistics, nothing kept for gradients.
    Inference,
    /// Batch norm by the batch's statistics, nothing kept for gradients.
    Batch,
    /// The same, with gradients.
    Training,
}

/// One forward pass. What lies in `resident` is frozen: no gradient goes to it, and its batch norms use their running
/// statistics in every pass.
pub struct Forward<'a> {
    parameters: &'a Parameters,
    resident: Option<&'a Resident>,
    device: Device,
    pass: Pass,
    leaves: Vec<(String, Vec<usize>, Tensor<1>)>,
    met: HashMap<String, Tensor<1>>,
    /// Layer → `[2, C]` mean and biased variance of this batch, and the number of values behind them.
    statistics: Vec<(String, Tensor<2>, usize)>,
}

impl<'a> Forward<'a> {
    /// A pass with gradients, and nothing frozen.
    pub fn training(parameters: &'a Parameters, device: &Device) -> Self {
        Self::new(parameters, None, device, Pass::Training)
    }

    /// A pass by running statistics, without gradients.
    pub fn inference(parameters: &'a Parameters, device: &Device) -> Self {
        Self::new(parameters, None, device, Pass::Inference)
    }

    /// A pass on `device`. Values are looked for in `resident` first, then in `parameters`.
    pub fn new(
        parameters: &'a Parameters,
        resident: Option<&'a Resident>,
        device: &Device,
        pass: Pass,
    ) -> Self {
        let device = device.clone();
        let device = if pass == Pass::Training { device.autodiff() } else { device };
        let (leaves, met, statistics) = Default::default();
        Forward { parameters, resident, device, pass, leaves, met, statistics }
    }

    /// A tensor that no gradient reaches.
    pub fn tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        constant(values, shape, &self.device)
    }

    /// A tensor that keeps its gradient.
    pub fn leaf<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        tensor.autodiff().require_grad()
    }

    fn is_frozen(&self, name: &str) -> bool {
        self.resident.is_some_and(|resident| resident.holds(name))
    }

    fn value<const D: usize>(&mut self, name: &str) -> Tensor<D> {
        if let Some((shape, tensor)) = self.resident.and_then(|resident| resident.0.get(name)) {
            return tensor.clone().reshape(dims(shape));
        }
        let Array { shape, values } = self.parameters.get(name);
        let shape: [usize; D] = dims(shape);
        if let Some(known) = self.met.get(name) {
            return known.clone().reshape(shape);
        }
        let mut tensor = self.tensor(values.clone(), [values.len()]);
        if self.pass == Pass::Training && Parameters::is_trained(name) {
            tensor = tensor.require_grad();
            self.leaves.push((name.to_owned(), shape.to_vec(), tensor.clone()));
        }
        self.met.insert(name.to_owned(), tensor.clone());
        tensor.reshape(shape)
    }

    /// Whether anything that is not frozen was asked for.
    pub fn has_met_parameters(&self) -> bool {
        !self.met.is_empty()
    }

    /// Parameter → gradient, for every parameter that this pass touched and that has one.
    pub fn gradients(&self, gradients: &Gradients) -> Parameters {
        let values = |data: TensorData| data.try_to_vec::<f32>().expect("gradients are f32");
        let one = |(name, shape, leaf): &(String, Vec<usize>, Tensor<1>)| {
            let data = leaf.grad(gradients)?.into_data();
            Some((name.clone(), Array { shape: shape.clone(), values: values(data) }))
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

/// # Panics
/// If the parameter has another rank: the network was walked with parameters that are not its own.
fn dims<const D: usize>(shape: &[usize]) -> [usize; D] {
    shape.try_into().unwrap_or_else(|_| panic!("{shape:?} is not of rank {D}"))
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
        let weight = self.value(&format!("{name}.weight"));
        let x = ops::conv2d(x.clone(), weight, attributes);
        let (eps, relu6) = match spec.after {
            After::Bias => {
                let bias: Tensor<1> = self.value(&format!("{name}.bias"));
                return x + bias.reshape([1, spec.filters, 1, 1]);
            }
            After::Norm { eps } => (eps, false),
            After::NormRelu6 { eps } => (eps, true),
        };
        let gamma = self.value(&format!("{name}.gamma"));
        let beta = self.value(&format!("{name}.beta"));
        let running = self.pass == Pass::Inference || self.is_frozen(&format!("{name}.mean"));
        let statistics = if running {
            let mean: Tensor<1> = self.value(&format!("{name}.mean"));
            let variance: Tensor<1> = self.value(&format!("{name}.variance"));
            if self.pass == Pass::Training {
                // As constants of the batch they would get the gradient of its statistics.
                let one = |value: Tensor<1>| value.reshape([1, spec.filters, 1, 1]);
                let scale = one(gamma) / (one(variance) + eps).sqrt();
                let x = (x - one(mean)) * scale + one(beta);
                return if relu6 { ops::relu6(x) } else { x };
            }
            Tensor::stack(vec![mean, variance], 0)
        } else {
            let statistics = ops::batch_statistics(x.clone());
            let [_, _, height, width] = x.dims();
            self.statistics.push((name.to_owned(), statistics.clone(), batch * height * width));
            statistics
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

    fn enlarge(&mut self, _: &str, x: &Tensor<4>, factor: usize) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        resize::resize(x.clone(), [height * factor, width * factor], Resize::Bilinear)
    }

    fn channel_gate(&mut self, name: &str, x: &Tensor<4>, gate: Gate) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let mean =
            x.clone().reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        let sum = match gate {
            Gate::Eca { kernel } => {
                let weight: Tensor<1> = self.value(&format!("{name}.weight"));
                let zeros = self.tensor(vec![0.0; batch * (kernel / 2)], [batch, kernel / 2]);
                let padded = Tensor::cat(vec![zeros.clone(), mean, zeros], 1);
                let shifted = |tap: usize| padded.clone().slice([0..batch, tap..tap + channels]);
                let one = |tap: usize| shifted(tap) * weight.clone().slice(tap..tap + 1).reshape([1, 1]);
                (1..kernel).fold(one(0), |sum, tap| sum + one(tap))
            }
            Gate::SqueezeExcite { .. } => {
                let mut layer = |x, part: &str| {
                    let weight: Tensor<2> = self.value(&format!("{name}.{part}.weight"));
                    linear(x, weight.transpose(), Some(self.value(&format!("{name}.{part}.bias"))))
                };
                let narrow: Tensor<2> = layer(mean, "squeeze");
                layer(ops::relu6(narrow), "excite")
            }
        };
        x.clone() * sigmoid(sum).reshape([batch, channels, 1, 1])
    }
}

impl TokenNet for Forward<'_> {
    fn patches(&mut self, name: &str, x: &Tensor<4>, spec: PatchSpec) -> Tensor<4> {
        let attributes = ConvAttributes { stride: spec.stride, pads: [spec.pad; 4], groups: 1 };
        let weight = self.value(&format!("{name}.weight"));
        let bias: Tensor<1> = self.value(&format!("{name}.bias"));
        let x = ops::conv2d(x.clone(), weight, attributes).permute([0, 2, 3, 1]);
        x + bias.reshape([1, 1, 1, spec.filters])
    }

    fn position(&mut self, name: &str, x: &Tensor<4>, spec: PositionSpec) -> Tensor<4> {
        let [_, height, width, _] = x.dims();
        let background: Tensor<4> = self.value(&format!("{name}pos_embed"));
        let window: Tensor<4> = self.value(&format!("{name}pos_embed_window"));
        let background = resize::resize(background, [height, width], Resize::Bicubic);
        let repeated = window.repeat(&[1, 1, height / spec.window, width / spec.window]);
        x.clone() + (background + repeated).permute([0, 2, 3, 1])
    }

    fn layer_norm(&mut self, name: &str, x: &Tensor<4>, eps: f64) -> Tensor<4> {
        let (gamma, beta) = (self.value(&format!("{name}.weight")), self.value(&format!("{name}.bias")));
        layer_norm(x.clone(), gamma, Some(beta), eps)
    }

    fn linear(&mut self, name: &str, x: &Tensor<4>, outputs: usize, _: bool) -> Tensor<4> {
        let weight: Tensor<2> = self.value(&format!("{name}.weight"));
        let bias = self.value(&format!("{name}.bias"));
        let [batch, height, width, channels] = x.dims();
        let x = x.clone().reshape([batch * height * width, channels]);
        linear(x, weight.transpose(), Some(bias)).reshape([batch, height, width, outputs])
    }

    fn gelu(&mut self, x: &Tensor<4>) -> Tensor<4> {
        gelu(x.clone())
    }

    fn attention(
        &mut self,
        qkv: &Tensor<4>,
        AttentionSpec { heads, window, pool }: AttentionSpec,
    ) -> Tensor<4> {
        let [batch, height, width, values] = qkv.dims();
        let channels = values / 3;
        let [rows, columns] = window.map_or([height, width], |window| [window; 2]);
        let (down, across) = (height / rows, width / columns);
        let windows = batch * down * across;
        let parted = windowed(qkv.clone(), [rows, columns]);
        let part = |i: usize| {
            parted.clone().slice([0..windows, 0..rows, 0..columns, i * channels..(i + 1) * channels])
        };
        let by_head = |x: Tensor<4>| {
            let [_, rows, columns, _] = x.dims();
            x.reshape([windows, rows * columns, heads, channels / heads]).swap_dims(1, 2)
        };
        let query = if pool { self.halve(&part(0)) } else { part(0) };
        let [_, rows, columns, _] = query.dims();
        let out = attention(
            by_head(query),
            by_head(part(1)),
            by_head(part(2)),
            None,
            None,
            AttentionModuleOptions::default(),
        );
        joined(out.swap_dims(1, 2).reshape([windows, rows, columns, channels]), [batch, down, across])
    }

    fn offset_attention(&mut self, name: &str, qkv: &Tensor<4>, heads: usize, window: usize) -> Tensor<4> {
        let [batch, height, width, values] = qkv.dims();
        let (down, across, tokens) = (height / window, width / window, window * window);
        let (windows, depth) = (batch * down * across, values / (3 * heads));
        let by_head =
            windowed(qkv.clone(), [window; 2]).reshape([windows, tokens, heads, 3 * depth]).swap_dims(1, 2);
        let part =
            |i: usize| by_head.clone().slice([0..windows, 0..heads, 0..tokens, i * depth..(i + 1) * depth]);
        let biases: Tensor<2> = self.value(&format!("{name}.attention_biases"));
        let places = TensorData::new(offsets(window), [tokens * tokens]);
        let places: Tensor<1, Int> = Tensor::from_data(places, &biases.device());
        let bias = biases.select(1, places).reshape([1, heads, tokens, tokens]);
        let out = attention(part(0), part(1), part(2), None, Some(bias), AttentionModuleOptions::default());
        joined(out.swap_dims(1, 2).reshape([windows, window, window, values / 3]), [batch, down, across])
    }

    fn pad(&mut self, x: &Tensor<4>, height: usize, width: usize) -> Tensor<4> {
        let [_, from_height, from_width, _] = x.dims();
        if (from_height, from_width) == (height, width) {
            return x.clone();
        }
        let pads = [(0, 0), (0, height - from_height), (0, width - from_width), (0, 0)];
        x.clone().pad(pads, PadMode::Constant(0.0))
    }

    fn crop(&mut self, x: &Tensor<4>, height: usize, width: usize) -> Tensor<4> {
        let [batch, from_height, from_width, channels] = x.dims();
        if (from_height, from_width) == (height, width) {
            return x.clone();
        }
        x.clone().slice([0..batch, 0..height, 0..width, 0..channels])
    }

    fn halve(&mut self, x: &Tensor<4>) -> Tensor<4> {
        let map = x.clone().permute([0, 3, 1, 2]);
        max_pool2d(map, MaxPoolOptions::new([2, 2])).permute([0, 2, 3, 1])
    }

    fn shrink(&mut self, x: &Tensor<4>, factor: usize) -> Tensor<4> {
        if factor == 1 {
            return x.clone();
        }
        let options = AvgPoolOptions::new([factor; 2]);
        avg_pool2d(x.clone().permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
    }

    fn map(&mut self, x: &Tensor<4>) -> Tensor<4> {
        x.clone().permute([0, 3, 1, 2])
    }

    fn tokens(&mut self, x: &Tensor<4>) -> Tensor<4> {
        x.clone().permute([0, 2, 3, 1])
    }

    fn high_frequencies(&mut self, x: &Tensor<4>, share: f32) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let filter = |side: usize| self.tensor(resize::low_pass(side, share), [side, side]);
        x.clone() - along_both(x.clone(), filter(height), filter(width))
    }
}
