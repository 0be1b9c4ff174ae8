//! EfficientNet-Lite0 (Tan and Le 2019; the "lite" variant has ReLU6 and no squeeze-and-excite), without its
//! classifier.

use crate::net::encoder::chain::{Encoder, Normalisation};
use crate::net::parameters::{Array, Parameters};
use crate::net::{After, ConvSpec, Net, TokenNet};

const EPS: f32 = 1e-3;
const STEM: usize = 32;

/// Repeats, kernel, stride of the first, expansion, filters.
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

fn conv(filters: usize, kernel: usize, stride: usize, depthwise: bool, relu6: bool) -> ConvSpec {
    let after = if relu6 { After::NormRelu6 { eps: EPS } } else { After::Norm { eps: EPS } };
    ConvSpec { filters, kernel, stride, depthwise, after }
}

/// The encoder that the student has, and a strong teacher can have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EfficientNet {
    /// Share of the published network's channels, each number rounded to a multiple of 8.
    width: f32,
}

/// One inverted residual.
#[derive(Clone, Copy, Debug)]
struct Block {
    kernel: usize,
    stride: usize,
    expansion: usize,
    filters: usize,
}

const BLOCKS: [Block; 16] = blocks();
/// The last block of each stage in `TAPPED`, counted as links: the stem is link 0.
const TAPS: [usize; 5] = taps();

const fn blocks() -> [Block; 16] {
    let mut blocks = [Block { kernel: 0, stride: 0, expansion: 0, filters: 0 }; 16];
    let (mut stage, mut next) = (0, 0);
    while stage < STAGES.len() {
        let [repeats, kernel, stride, expansion, filters] = STAGES[stage];
        let mut repeat = 0;
        while repeat < repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            blocks[next] = Block { kernel, stride, expansion, filters };
            (repeat, next) = (repeat + 1, next + 1);
        }
        stage += 1;
    }
    blocks
}

const fn taps() -> [usize; 5] {
    let mut taps = [0; 5];
    let mut tap = 0;
    while tap < TAPPED.len() {
        let mut stage = 0;
        while stage <= TAPPED[tap] {
            taps[tap] += STAGES[stage][0];
            stage += 1;
        }
        tap += 1;
    }
    taps
}

impl EfficientNet {
    /// The encoder with `width` times the published channels, each number rounded to a multiple of 8.
    pub fn new(width: f32) -> Self {
        EfficientNet { width }
    }

    fn channels(&self, published: usize) -> usize {
        ((published as f32 * self.width / 8.0).round() as usize).max(1) * 8
    }

    /// Features at strides 2, 4, 8, 16, 32: in the published width 16, 24, 40, 112 and 320 channels.
    pub fn encode<N: Net>(&self, net: &mut N, input: &N::Value) -> Vec<N::Value> {
        let mut x = input.clone();
        let mut features = Vec::new();
        for k in 0..=BLOCKS.len() {
            x = self.link_of(net, k, &x);
            if TAPS.contains(&k) {
                features.push(x.clone());
            }
        }
        features
    }

    fn link_of<N: Net>(&self, net: &mut N, k: usize, x: &N::Value) -> N::Value {
        let Some(number) = k.checked_sub(1) else {
            return net.conv("encoder.stem", x, conv(self.channels(STEM), 3, 2, false, true));
        };
        let Block { kernel, stride, expansion, filters } = BLOCKS[number];
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
        for (k, block) in BLOCKS.iter().enumerate() {
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
            if k == 0 || BLOCKS[k - 1].filters != block.filters {
                let stage = BLOCKS.iter().enumerate().skip(k).take_while(|(_, b)| b.filters == block.filters);
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
        BLOCKS.len() + 1
    }
    fn link<N: TokenNet>(&self, net: &mut N, k: usize, _: &N::Value, x: &N::Value) -> N::Value {
        self.link_of(net, k, x)
    }
    fn taps(&self) -> &[usize] {
        &TAPS
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
