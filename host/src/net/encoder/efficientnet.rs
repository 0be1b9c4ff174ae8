//! EfficientNet-Lite (Tan and Le 2019; the "lite" variants have ReLU6 and no squeeze-and-excite) in its three smaller
//! published sizes, without its classifier.

use crate::net::encoder::chain::{Encoder, Normalisation};
use crate::net::parameters::{Array, Parameters};
use crate::net::{After, ConvSpec, Net, Padding, TokenNet};

const EPS: f32 = 1e-3;
const STEM: usize = 32;

/// Of Lite0: repeats, kernel, stride of the first, expansion, filters.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 1, 16],
    [2, 3, 2, 6, 24],
    [2, 5, 2, 6, 40],
    [3, 3, 2, 6, 80],
    [3, 5, 1, 6, 112],
    [4, 5, 2, 6, 192],
    [1, 3, 1, 6, 320],
];
/// The stages whose outputs the decoder sees: the last at each stride from 2 to 32.
const TAPPED: [usize; 5] = [0, 1, 2, 4, 6];

/// A published size of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 3.4 M parameters without the classifier.
    Lite0,
    /// The same channels, 1.1 times as deep: 4.1 M parameters.
    Lite1,
    /// 1.1 times as wide, 1.2 times as deep: 4.8 M parameters.
    Lite2,
}

impl Size {
    /// What Lite0's channels and repeats are multiplied by.
    fn coefficients(self) -> (f64, f64) {
        match self {
            Size::Lite0 => (1.0, 1.0),
            Size::Lite1 => (1.0, 1.1),
            Size::Lite2 => (1.1, 1.2),
        }
    }

    /// A multiple of 8, and no less than nine tenths of what the coefficient says.
    fn filters(self, lite0: usize) -> usize {
        let exact = lite0 as f64 * self.coefficients().0;
        let near = ((exact + 4.0) as usize / 8 * 8).max(8);
        if (near as f64) < 0.9 * exact { near + 8 } else { near }
    }

    /// Rounded up; the first and the last stage have one block in every size.
    fn repeats(self, stage: usize) -> usize {
        let [repeats, ..] = STAGES[stage];
        if stage == 0 || stage == STAGES.len() - 1 {
            return repeats;
        }
        (repeats as f64 * self.coefficients().1).ceil() as usize
    }
}

fn conv(filters: usize, kernel: usize, stride: usize, depthwise: bool, relu6: bool) -> ConvSpec {
    let after = if relu6 { After::NormRelu6 { eps: EPS } } else { After::Norm { eps: EPS } };
    ConvSpec { filters, kernel, stride, padding: Padding::Same, depthwise, after }
}

/// The encoder that the student has, and a strong teacher can have.
#[derive(Clone, Debug, PartialEq)]
pub struct EfficientNet {
    size: Size,
    /// Share of the published network's channels, each number rounded to a multiple of 8.
    width: f32,
    blocks: Vec<Block>,
    /// The last block of each stage in `TAPPED`, counted as links: the stem is link 0.
    taps: Vec<usize>,
}

/// One inverted residual.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Block {
    kernel: usize,
    stride: usize,
    expansion: usize,
    /// In the published width.
    filters: usize,
}

impl EfficientNet {
    /// The encoder of a published size with `width` times its channels, each number rounded to a multiple of 8.
    pub fn new(size: Size, width: f32) -> Self {
        let (mut blocks, mut taps) = (Vec::new(), Vec::new());
        for (stage, &[_, kernel, stride, expansion, filters]) in STAGES.iter().enumerate() {
            for repeat in 0..size.repeats(stage) {
                let stride = if repeat == 0 { stride } else { 1 };
                blocks.push(Block { kernel, stride, expansion, filters: size.filters(filters) });
            }
            if TAPPED.contains(&stage) {
                taps.push(blocks.len());
            }
        }
        EfficientNet { size, width, blocks, taps }
    }

    /// The same network in its published width.
    pub fn published(&self) -> EfficientNet {
        EfficientNet::new(self.size, 1.0)
    }

    fn channels(&self, published: usize) -> usize {
        ((published as f32 * self.width / 8.0).round() as usize).max(1) * 8
    }

    /// Features at strides 2, 4, 8, 16, 32: of Lite0 and Lite1 in the published width 16, 24, 40, 112 and 320 channels.
    pub fn encode<N: Net>(&self, net: &mut N, input: &N::Value) -> Vec<N::Value> {
        let mut x = input.clone();
        let mut features = Vec::new();
        for k in 0..self.links() {
            x = self.link_of(net, k, &x);
            if self.taps.contains(&k) {
                features.push(x.clone());
            }
        }
        features
    }

    fn link_of<N: Net>(&self, net: &mut N, k: usize, x: &N::Value) -> N::Value {
        let Some(number) = k.checked_sub(1) else {
            return net.conv("encoder.stem", x, conv(self.channels(STEM), 3, 2, false, true));
        };
        let Block { kernel, stride, expansion, filters } = self.blocks[number];
        let filters = self.channels(filters);
        let name = format!("encoder.blocks.{number}");
        let inputs = net.shape(x)[0];
        let wide = inputs * expansion;
        let mut y = x.clone();
        if expansion > 1 {
            y = net.conv(&format!("{name}.expand"), &y, conv(wide, 1, 1, false, true));
        }
        y = net.conv(&format!("{name}.depthwise"), &y, conv(wide, kernel, stride, true, true));
        y = net.conv(&format!("{name}.project"), &y, conv(filters, 1, 1, false, false));
        if stride == 1 && inputs == filters { net.add(&format!("{name}.sum"), x, &y) } else { y }
    }

    /// Of the published network's values those of the channels that weigh most, by the scale of their batch norm (network
    /// slimming, Liu et al., ICCV 2017): a start for training in this width. What is not the encoder's is left out.
    pub fn narrowed(&self, published: &Parameters) -> Parameters {
        let mut narrow = Narrowing { published, out: Parameters::default() };
        let mut enter = narrow.heaviest(&["encoder.stem".to_owned()], self.channels(STEM));
        narrow.take("encoder.stem", &enter, None);
        for (k, block) in self.blocks.iter().enumerate() {
            let name = format!("encoder.blocks.{k}");
            let [expand, depthwise, project] =
                ["expand", "depthwise", "project"].map(|layer| format!("{name}.{layer}"));
            let mut wide = enter.clone();
            if block.expansion > 1 {
                wide = narrow.heaviest(std::slice::from_ref(&depthwise), enter.len() * block.expansion);
                narrow.take(&expand, &wide, Some(&enter));
            }
            narrow.take(&depthwise, &wide, None);
            // What residuals add up must be the same channels in all blocks of a stage.
            if k == 0 || self.blocks[k - 1].filters != block.filters {
                let same = |(_, other): &(usize, &Block)| other.filters == block.filters;
                let stage = self.blocks.iter().enumerate().skip(k).take_while(same);
                let layers: Vec<String> = stage.map(|(k, _)| format!("encoder.blocks.{k}.project")).collect();
                enter = narrow.heaviest(&layers, self.channels(block.filters));
            }
            narrow.take(&project, &enter, Some(&wide));
        }
        narrow.out
    }
}

struct Narrowing<'a> {
    published: &'a Parameters,
    out: Parameters,
}

impl Narrowing<'_> {
    /// The `count` output channels with the largest sums of their norms' scales over `layers`, in order.
    fn heaviest(&self, layers: &[String], count: usize) -> Vec<usize> {
        let mut weight: Vec<f32> = Vec::new();
        for layer in layers {
            let gamma = &self.published.get(&format!("{layer}.gamma")).values;
            weight.resize(gamma.len(), 0.0);
            weight.iter_mut().zip(gamma).for_each(|(sum, gamma)| *sum += gamma.abs());
        }
        let mut order: Vec<usize> = (0..weight.len()).collect();
        order.sort_by(|a, b| weight[*b].total_cmp(&weight[*a]));
        order.truncate(count);
        order.sort_unstable();
        order
    }

    /// A layer's filters `rows`, of each the input channels `columns`; all of them if `None`.
    fn take(&mut self, layer: &str, rows: &[usize], columns: Option<&[usize]>) {
        for value in ["weight", "gamma", "beta", "mean", "variance"] {
            let name = format!("{layer}.{value}");
            let Array { shape, values } = self.published.get(&name);
            let (mut shape, row) = (shape.clone(), values.len() / shape[0]);
            shape[0] = rows.len();
            let mut taken = Vec::new();
            match columns.filter(|_| value == "weight") {
                None => rows.iter().for_each(|r| taken.extend_from_slice(&values[r * row..][..row])),
                Some(columns) => {
                    let one = row / shape[1];
                    shape[1] = columns.len();
                    for r in rows {
                        columns
                            .iter()
                            .for_each(|c| taken.extend_from_slice(&values[r * row + c * one..][..one]));
                    }
                }
            }
            self.out.0.insert(name, Array { shape, values: taken });
        }
    }
}

impl Encoder for EfficientNet {
    fn links(&self) -> usize {
        self.blocks.len() + 1
    }
    fn link<N: TokenNet>(&self, net: &mut N, k: usize, _: &N::Value, x: &N::Value) -> N::Value {
        self.link_of(net, k, x)
    }
    fn taps(&self) -> &[usize] {
        &self.taps
    }
    fn feature<N: TokenNet>(&self, _: &mut N, x: &N::Value) -> N::Value {
        x.clone()
    }
    fn finest_stride(&self) -> usize {
        2
    }
    fn normalisation(&self) -> Normalisation {
        Normalisation { mean: [127.0; 3], deviation: [128.0; 3] }
    }
    fn published_key(&self, name: &str) -> String {
        published_key(name)
    }
    fn published_prefix(&self) -> &'static str {
        ""
    }
    /// The classifier, and counters.
    fn is_other_part(&self, key: &str) -> bool {
        ["_conv_head.", "_bn1.", "_fc."].iter().any(|part| key.starts_with(part))
            || key.ends_with(".num_batches_tracked")
    }
}

/// `encoder.blocks.3.project.gamma` → `_blocks.3._bn2.weight`.
fn published_key(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let [.., layer, value] = parts[..] else { return name.to_owned() };
    let (conv, norm) = match layer {
        "stem" => ("_conv_stem", "_bn0"),
        "expand" => ("_expand_conv", "_bn0"),
        "depthwise" => ("_depthwise_conv", "_bn1"),
        _ => ("_project_conv", "_bn2"),
    };
    let field = match value {
        "weight" => format!("{conv}.weight"),
        "gamma" => format!("{norm}.weight"),
        "beta" => format!("{norm}.bias"),
        "mean" => format!("{norm}.running_mean"),
        _ => format!("{norm}.running_var"),
    };
    match parts[1] {
        "blocks" => format!("_blocks.{}.{field}", parts[2]),
        _ => field,
    }
}
