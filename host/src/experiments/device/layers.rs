//! Every kind of layer that training computes, small, as a table: what [`crate::experiments::device`] runs on two devices.

use burn::tensor::activation::{gelu, sigmoid, softmax};
use burn::tensor::module::{attention, layer_norm, linear, max_pool2d};
use burn::tensor::ops::{MaxPoolOptions, PadMode};
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::net::decoder::{Attention, DecoderConfig, decode};
use crate::net::encoder::Encoder;
use crate::net::encoder::hiera::{self, Hiera};
use crate::net::encoder::tiny_vit::{self, TinyVit};
use crate::net::forward::{Forward, Pass};
use crate::net::prompts::{Form, Prompts};
use crate::net::resize::resize;
use crate::net::shapes::Shapes;
use crate::numeric::Resize;
use crate::ops::{self, ConvAttributes, NormAttributes, Storing};

/// One layer: its inputs and weights, and what it makes of them.
pub struct Layer {
    /// The name in tables.
    pub name: &'static str,
    /// Which bounds it must keep to.
    pub kind: LayerKind,
    /// What it computes from, weights included.
    pub inputs: &'static [Input],
    /// The layer: from its inputs to its output, flat.
    pub compute: fn(&Inputs) -> Tensor<1>,
}

/// What sets a layer's bounds, and whether it has a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Has no products of matrices and no convolutions.
    Elementwise,
    /// Has matrix products or convolutions, which tensor cores compute with less precise factors.
    Products,
    /// As elementwise, and never differentiated.
    Inference,
}

/// Values drawn evenly from a range, in a shape.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Extents, the outermost axis first.
    pub shape: &'static [usize],
    /// The lowest value, and the one that all lie below.
    pub range: (f32, f32),
}

/// Features or weights, around 0.
const fn around(shape: &'static [usize]) -> Input {
    Input { shape, range: (-1.0, 1.0) }
}

const fn between(low: f32, high: f32, shape: &'static [usize]) -> Input {
    Input { shape, range: (low, high) }
}

/// A layer's inputs on a device, each flat.
pub struct Inputs {
    /// Row-major, an input each.
    pub flat: Vec<Tensor<1>>,
    /// The inputs' shapes, in the same order.
    pub shapes: &'static [Input],
}

impl Inputs {
    /// Input `index` in its shape, which must have `D` axes.
    pub fn tensor<const D: usize>(&self, index: usize) -> Tensor<D> {
        let mut shape = [1; D];
        shape.copy_from_slice(self.shapes[index].shape);
        self.flat[index].clone().reshape(shape)
    }
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let length: usize = x.dims().iter().product();
    x.reshape([length])
}

const fn conv(stride: usize, pads: [usize; 4], groups: usize) -> ConvAttributes {
    ConvAttributes { stride, pads, groups }
}

fn convolve(inputs: &Inputs, attributes: ConvAttributes) -> Tensor<1> {
    flat(ops::conv2d(inputs.tensor(0), inputs.tensor(1), attributes))
}

fn normalise(inputs: &Inputs, relu6: bool) -> Tensor<1> {
    let x = inputs.tensor::<4>(0);
    let statistics = ops::batch_statistics(x.clone());
    let attributes = NormAttributes { eps: 1e-3, relu6 };
    flat(ops::batch_norm(x, statistics, inputs.tensor(1), inputs.tensor(2), attributes))
}

fn normalise_as_known(inputs: &Inputs, relu6: bool) -> Tensor<1> {
    let statistics = Tensor::stack(vec![inputs.tensor::<1>(3), inputs.tensor(4)], 0);
    let attributes = NormAttributes { eps: 1e-3, relu6 };
    flat(ops::batch_norm(inputs.tensor(0), statistics, inputs.tensor(1), inputs.tensor(2), attributes))
}

fn stored(inputs: &Inputs, floors: bool) -> Tensor<1> {
    let storing = Storing { zero_point: 120, floors };
    flat(ops::store(inputs.tensor(0), inputs.tensor(1), inputs.tensor(2), storing))
}

/// `[N, H, W, C]` → `[N · windows, side · side, C]`, zeros at the bottom and right.
fn windows(x: Tensor<4>, side: usize) -> Tensor<3> {
    let [batch, height, width, channels] = x.dims();
    let (down, across) = (height.div_ceil(side), width.div_ceil(side));
    let pads = [(0, 0), (0, down * side - height), (0, across * side - width), (0, 0)];
    x.pad(pads, PadMode::Constant(0.0))
        .reshape([batch, down, side, across, side, channels])
        .permute([0, 1, 3, 2, 4, 5])
        .reshape([batch * down * across, side * side, channels])
}

/// The way back from [`windows`], cropped to `[N, height, width, C]`.
fn unwindow(x: Tensor<3>, side: usize, [batch, height, width]: [usize; 3]) -> Tensor<4> {
    let channels = x.dims()[2];
    let (down, across) = (height.div_ceil(side), width.div_ceil(side));
    x.reshape([batch, down, across, side, side, channels])
        .permute([0, 1, 3, 2, 4, 5])
        .reshape([batch, down * side, across * side, channels])
        .slice([0..batch, 0..height, 0..width, 0..channels])
}

/// `x · sigmoid(a one-dimensional convolution over neighbouring channels of the mean over the plane)`.
fn gate(x: Tensor<4>, weight: Tensor<1>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let taps = weight.dims()[0];
    let mean = x.clone().reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
    let zeros = Tensor::<2>::zeros([batch, taps / 2], &x.device());
    let padded = Tensor::cat(vec![zeros.clone(), mean, zeros], 1);
    let one = |tap: usize| {
        padded.clone().slice([0..batch, tap..tap + channels])
            * weight.clone().slice(tap..tap + 1).reshape([1, 1])
    };
    let sum = (1..taps).fold(one(0), |sum, tap| sum + one(tap));
    x * sigmoid(sum).reshape([batch, channels, 1, 1])
}

/// Fresh values of a network that `walk` walks, and a pass over them whose only differentiated values are its inputs'.
fn walked(
    x: &Tensor<4>,
    walk: impl Fn(&mut Shapes),
    compute: impl Fn(&mut Forward) -> Tensor<4>,
) -> Tensor<1> {
    let mut shapes = Shapes::default();
    walk(&mut shapes);
    let parameters = shapes.fresh(&mut ChaCha8Rng::seed_from_u64(1), |_| true);
    let device = x.device().without_autodiff();
    flat(compute(&mut Forward::new(&parameters, None, &device, Pass::Batch)))
}

/// A block of the reduced trunk with its prompt: tokens `[N, H, W, C]`, then the picture for prompts that look at it.
fn block(inputs: &Inputs, form: Form, link: usize) -> Tensor<1> {
    let prompts = Prompts { form, identity_start: false, ..Prompts::default() };
    let hiera = Hiera::new(hiera::MINI, prompts).unwrap_or_else(|why| panic!("{why}"));
    let x = inputs.tensor::<4>(0);
    // An adapter does not look at it.
    let picture = inputs.tensor::<4>(inputs.shapes.len() - 1);
    let ([_, height, width, channels], [_, _, rows, columns]) = (x.dims(), picture.dims());
    let walk = |net: &mut Shapes| {
        hiera.link(net, link, &[3, rows, columns], &[height, width, channels]);
    };
    walked(&x, walk, |net| hiera.link(net, link, &picture, &x))
}

/// A link of the reduced TinyViT that takes tokens `[N, H, W, C]` and looks at nothing else.
fn tiny_vit_link(inputs: &Inputs, link: usize) -> Tensor<1> {
    let prompts = Prompts { identity_start: false, ..Prompts::default() };
    let encoder = TinyVit::new(tiny_vit::MINI, prompts).unwrap_or_else(|why| panic!("{why}"));
    let x = inputs.tensor::<4>(0);
    let [_, height, width, channels] = x.dims();
    let tokens = [height, width, channels];
    let walk = |net: &mut Shapes| {
        encoder.link(net, link, &tokens, &tokens);
    };
    walked(&x, walk, |net| encoder.link(net, link, &x, &x))
}

/// Two levels of the decoder over three features.
fn levels(inputs: &Inputs, attention: Attention) -> Tensor<1> {
    let config = DecoderConfig {
        branch_channels: 6,
        level_channels: 10,
        attention,
        attention_reduction: 2,
        finest: 0,
        ..DecoderConfig::default()
    };
    let features = [0, 1, 2].map(|n| inputs.tensor::<4>(n));
    let extents = [0, 1, 2].map(|n| {
        let [_, channels, height, width] = features[n].dims();
        [channels, height, width]
    });
    let walk = |net: &mut Shapes| {
        decode(net, &extents, &config);
    };
    walked(&features[0], walk, |net| {
        let levels = decode(net, &features, &config);
        levels.last().unwrap_or(&features[0]).clone()
    })
}

/// Training's layers. To add one, add its line: the comparison, its test and `polyp-host device --compare` take it up.
pub const LAYERS: &[Layer] = &[
    Layer {
        name: "convolution 3×3",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 12, 20, 28]), around(&[16, 12, 3, 3])],
        compute: |inputs| convolve(inputs, conv(1, [1; 4], 1)),
    },
    Layer {
        name: "convolution 3×3, stride 2, uneven padding",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 3, 28, 32]), around(&[16, 3, 3, 3])],
        compute: |inputs| convolve(inputs, conv(2, [0, 0, 1, 1], 1)),
    },
    Layer {
        name: "convolution 7×7, stride 4",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 3, 32, 28]), around(&[24, 3, 7, 7])],
        compute: |inputs| convolve(inputs, conv(4, [3; 4], 1)),
    },
    Layer {
        name: "convolution 1×1",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 24, 14, 18]), around(&[40, 24, 1, 1])],
        compute: |inputs| convolve(inputs, conv(1, [0; 4], 1)),
    },
    Layer {
        name: "depthwise 3×3",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 24, 14, 18]), around(&[24, 1, 3, 3])],
        compute: |inputs| convolve(inputs, conv(1, [1; 4], 24)),
    },
    Layer {
        name: "depthwise 5×5, stride 2, uneven padding",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 16, 28, 20]), around(&[16, 1, 5, 5])],
        compute: |inputs| convolve(inputs, conv(2, [1, 1, 2, 2], 16)),
    },
    Layer {
        name: "batch norm",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[4, 16, 14, 14]), between(1.0, 5.0, &[16]), between(0.0, 4.0, &[16])],
        compute: |inputs| normalise(inputs, false),
    },
    Layer {
        name: "batch norm, ReLU6",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[4, 16, 14, 14]), between(1.0, 5.0, &[16]), between(0.0, 4.0, &[16])],
        compute: |inputs| normalise(inputs, true),
    },
    Layer {
        name: "batch norm, running statistics",
        kind: LayerKind::Inference,
        inputs: &[
            around(&[2, 16, 14, 14]),
            between(1.0, 5.0, &[16]),
            between(0.0, 4.0, &[16]),
            around(&[16]),
            between(0.2, 2.0, &[16]),
        ],
        compute: |inputs| normalise_as_known(inputs, false),
    },
    Layer {
        name: "batch norm, running statistics, ReLU6",
        kind: LayerKind::Inference,
        inputs: &[
            around(&[2, 16, 14, 14]),
            between(1.0, 5.0, &[16]),
            between(0.0, 4.0, &[16]),
            around(&[16]),
            between(0.2, 2.0, &[16]),
        ],
        compute: |inputs| normalise_as_known(inputs, true),
    },
    Layer {
        name: "stored in u8, nearest",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[2, 6, 12, 16]), around(&[6]), between(0.006, 0.007, &[1])],
        compute: |inputs| stored(inputs, false),
    },
    Layer {
        name: "stored in u8, rounded down",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[2, 6, 12, 16]), around(&[6]), between(0.006, 0.007, &[1])],
        compute: |inputs| stored(inputs, true),
    },
    Layer {
        name: "max-pool 2×2",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[2, 16, 14, 20])],
        compute: |inputs| flat(max_pool2d(inputs.tensor(0), MaxPoolOptions::new([2, 2]))),
    },
    Layer {
        name: "bilinear enlargement",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 8, 14, 10])],
        compute: |inputs| flat(resize(inputs.tensor(0), [28, 20], Resize::Bilinear)),
    },
    Layer {
        name: "bilinear resize",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 8, 22, 22])],
        compute: |inputs| flat(resize(inputs.tensor(0), [14, 31], Resize::Bilinear)),
    },
    Layer {
        name: "bicubic resize",
        kind: LayerKind::Products,
        inputs: &[around(&[1, 24, 7, 7])],
        compute: |inputs| flat(resize(inputs.tensor(0), [22, 22], Resize::Bicubic)),
    },
    Layer {
        name: "matrix product",
        kind: LayerKind::Products,
        inputs: &[around(&[3, 33, 48]), around(&[3, 48, 40])],
        compute: |inputs| flat(inputs.tensor::<3>(0).matmul(inputs.tensor(1))),
    },
    Layer {
        name: "linear",
        kind: LayerKind::Products,
        inputs: &[around(&[4, 49, 32]), around(&[32, 96]), around(&[96])],
        compute: |inputs| flat(linear::<3>(inputs.tensor(0), inputs.tensor(1), Some(inputs.tensor(2)))),
    },
    Layer {
        name: "layer norm",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[4, 49, 32]), between(0.5, 2.0, &[32]), around(&[32])],
        compute: |inputs| {
            flat(layer_norm::<3>(inputs.tensor(0), inputs.tensor(1), Some(inputs.tensor(2)), 1e-6))
        },
    },
    Layer {
        name: "GELU",
        kind: LayerKind::Elementwise,
        inputs: &[between(-4.0, 4.0, &[4, 49, 32])],
        compute: |inputs| flat(gelu(inputs.tensor::<3>(0))),
    },
    Layer {
        name: "softmax",
        kind: LayerKind::Elementwise,
        inputs: &[between(-4.0, 4.0, &[8, 49, 49])],
        compute: |inputs| flat(softmax(inputs.tensor::<3>(0), 2)),
    },
    Layer {
        name: "attention, 6 windows, 2 heads",
        kind: LayerKind::Products,
        inputs: &[around(&[6, 2, 49, 16]), around(&[6, 2, 49, 16]), around(&[6, 2, 49, 16])],
        compute: |inputs| {
            let [q, k, v] = [0, 1, 2].map(|n| inputs.tensor::<4>(n));
            flat(attention(q, k, v, None, None, Default::default()))
        },
    },
    Layer {
        name: "attention, pooled queries",
        kind: LayerKind::Products,
        inputs: &[around(&[6, 4, 16, 16]), around(&[6, 4, 64, 16]), around(&[6, 4, 64, 16])],
        compute: |inputs| {
            let [q, k, v] = [0, 1, 2].map(|n| inputs.tensor::<4>(n));
            flat(attention(q, k, v, None, None, Default::default()))
        },
    },
    Layer {
        name: "channel gate",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[2, 24, 14, 14]), around(&[5])],
        compute: |inputs| flat(gate(inputs.tensor(0), inputs.tensor(1))),
    },
    Layer {
        name: "windows with zero padding",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[2, 13, 17, 8])],
        compute: |inputs| flat(windows(inputs.tensor(0), 7)),
    },
    Layer {
        name: "windows undone, cropped",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[12, 49, 8])],
        compute: |inputs| flat(unwindow(inputs.tensor(0), 7, [2, 13, 17])),
    },
    Layer {
        name: "concatenation and slice",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[2, 8, 14, 14]), around(&[2, 12, 14, 14])],
        compute: |inputs| {
            let joined = Tensor::cat(vec![inputs.tensor::<4>(0), inputs.tensor(1)], 1);
            flat(joined.clone().slice([0..2, 3..15]) * joined.slice([0..2, 8..20]))
        },
    },
    Layer {
        name: "sum with a broadcast",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[3, 14, 14, 16]), around(&[1, 14, 14, 16]), around(&[16])],
        compute: |inputs| {
            let bias = inputs.tensor::<1>(2).reshape([1, 1, 1, 16]);
            flat(inputs.tensor::<4>(0) + inputs.tensor(1) + bias)
        },
    },
    Layer {
        name: "logits against a gradient",
        kind: LayerKind::Elementwise,
        inputs: &[around(&[2, 1, 28, 28])],
        compute: |inputs| {
            let x = inputs.tensor::<4>(0);
            let gradient: Vec<f32> = (0..2 * 28 * 28).map(|n| (n % 13) as f32 / 13.0 - 0.5).collect();
            let gradient = Tensor::from_data(TensorData::new(gradient, [2, 1, 28, 28]), &x.device());
            (x * gradient).sum()
        },
    },
    Layer {
        name: "Hiera block, padded windows, pooled queries",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 20, 20, 24])],
        compute: |inputs| block(inputs, Form::Adapter, 2),
    },
    Layer {
        name: "Hiera block, global",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 6, 6, 96])],
        compute: |inputs| block(inputs, Form::Adapter, 5),
    },
    Layer {
        name: "Hiera block, high-frequency prompt",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 12, 12, 48]), around(&[2, 3, 96, 96])],
        compute: |inputs| block(inputs, Form::HighFrequency, 3),
    },
    Layer {
        name: "TinyViT block, padded windows, offset biases",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 10, 12, 8])],
        compute: |inputs| tiny_vit_link(inputs, 3),
    },
    Layer {
        name: "TinyViT merging, stride 2",
        kind: LayerKind::Products,
        inputs: &[around(&[2, 10, 12, 8])],
        compute: |inputs| tiny_vit_link(inputs, 4),
    },
    Layer {
        name: "decoder, ECA",
        kind: LayerKind::Products,
        inputs: &[around(&[3, 8, 16, 16]), around(&[3, 12, 8, 8]), around(&[3, 16, 4, 4])],
        compute: |inputs| levels(inputs, Attention::Eca),
    },
    Layer {
        name: "decoder, squeeze-excite",
        kind: LayerKind::Products,
        inputs: &[around(&[3, 8, 16, 16]), around(&[3, 12, 8, 8]), around(&[3, 16, 4, 4])],
        compute: |inputs| levels(inputs, Attention::SqueezeExcite),
    },
];
