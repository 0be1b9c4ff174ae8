//! Walks a network without computing it: which parameters it has, and what they start from.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::net::parameters::{Array, Parameters};
use crate::net::{After, AttentionSpec, ConvSpec, Gate, Net, PatchSpec, PositionSpec, TokenNet};

/// Gathers a network's parameters in the order in which it meets them.
#[derive(Default)]
pub struct Shapes {
    declared: Vec<Declared>,
    names: BTreeMap<String, usize>,
}

struct Declared {
    name: String,
    shape: Vec<usize>,
    start: Start,
}

/// What a fresh value is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Constant(f32),
    Normal { deviation: f32 },
}

impl Shapes {
    /// Name → shape.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.declared.iter().map(|declared| (declared.name.as_str(), declared.shape.as_slice()))
    }

    /// Fresh values for the names that are `wanted`: convolutions by He's rule over their fan-out (as EfficientNet),
    /// linear layers by their inputs, gates at 1/kernel.
    pub fn fresh(&self, rng: &mut ChaCha8Rng, wanted: impl Fn(&str) -> bool) -> Parameters {
        let mut parameters = Parameters::default();
        for Declared { name, shape, start } in self.declared.iter().filter(|d| wanted(&d.name)) {
            let count = shape.iter().product();
            let values = match *start {
                Start::Constant(value) => vec![value; count],
                // Irwin and Hall: the sum of twelve uniform numbers less six is as good as normal here.
                Start::Normal { deviation } => (0..count)
                    .map(|_| ((0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0) * deviation)
                    .collect(),
            };
            parameters.0.insert(name.clone(), Array { shape: shape.clone(), values });
        }
        parameters
    }

    /// A layer may be met again, as what is shared between blocks is.
    fn declare(&mut self, name: String, shape: &[usize], start: Start) {
        let (shape, next) = (shape.to_vec(), self.declared.len());
        match self.names.get(&name) {
            Some(known) => {
                let known = &self.declared[*known];
                assert!(known.shape == shape && known.start == start, "two layers are named {name}");
            }
            None => {
                self.names.insert(name.clone(), next);
                self.declared.push(Declared { name, shape, start });
            }
        }
    }
}

impl Net for Shapes {
    type Value = [usize; 3];

    fn shape(&self, x: &[usize; 3]) -> [usize; 3] {
        *x
    }

    fn conv(&mut self, name: &str, x: &[usize; 3], spec: ConvSpec) -> [usize; 3] {
        let [channels, height, width] = *x;
        let inputs = if spec.depthwise { 1 } else { channels };
        let shape = [spec.filters, inputs, spec.kernel, spec.kernel];
        let taps = spec.kernel * spec.kernel;
        let fan_out = if spec.depthwise { taps } else { taps * spec.filters };
        let deviation = match spec.after {
            After::Bias => 0.01,
            _ => (2.0 / fan_out as f32).sqrt(),
        };
        self.declare(format!("{name}.weight"), &shape, Start::Normal { deviation });
        if spec.after == After::Bias {
            self.declare(format!("{name}.bias"), &[spec.filters], Start::Constant(0.0));
        } else {
            for (part, value) in [("gamma", 1.0), ("beta", 0.0), ("mean", 0.0), ("variance", 1.0)] {
                self.declare(format!("{name}.{part}"), &[spec.filters], Start::Constant(value));
            }
        }
        let [height, width] = spec.extent(height, width);
        [spec.filters, height, width]
    }

    fn add(&mut self, _: &str, a: &[usize; 3], b: &[usize; 3]) -> [usize; 3] {
        assert_eq!(a, b, "adding maps of two shapes");
        *a
    }

    fn concat(&mut self, _: &str, parts: &[[usize; 3]]) -> [usize; 3] {
        assert!(parts.windows(2).all(|pair| pair[0][1..] == pair[1][1..]), "joining maps of two sizes");
        [parts.iter().map(|part| part[0]).sum(), parts[0][1], parts[0][2]]
    }

    fn max_pool(&mut self, _: &str, x: &[usize; 3]) -> [usize; 3] {
        [x[0], x[1] / 2, x[2] / 2]
    }

    fn enlarge(&mut self, _: &str, x: &[usize; 3], factor: usize) -> [usize; 3] {
        [x[0], x[1] * factor, x[2] * factor]
    }

    fn channel_gate(&mut self, name: &str, x: &[usize; 3], gate: Gate) -> [usize; 3] {
        match gate {
            Gate::Eca { kernel } => {
                let start = Start::Constant(1.0 / kernel as f32);
                self.declare(format!("{name}.weight"), &[kernel], start);
            }
            Gate::SqueezeExcite { reduction } => {
                let narrow = Gate::narrow(x[0], reduction);
                self.linear(&format!("{name}.squeeze"), &[1, 1, x[0]], narrow, true);
                self.linear(&format!("{name}.excite"), &[1, 1, narrow], x[0], true);
            }
        }
        *x
    }
}

impl TokenNet for Shapes {
    fn patches(&mut self, name: &str, x: &[usize; 3], spec: PatchSpec) -> [usize; 3] {
        let [channels, height, width] = *x;
        let taps = channels * spec.kernel * spec.kernel;
        let start = Start::Normal { deviation: (1.0 / taps as f32).sqrt() };
        self.declare(format!("{name}.weight"), &[spec.filters, channels, spec.kernel, spec.kernel], start);
        self.declare(format!("{name}.bias"), &[spec.filters], Start::Constant(0.0));
        let along = |side: usize| (side + 2 * spec.pad - spec.kernel) / spec.stride + 1;
        [along(height), along(width), spec.filters]
    }

    fn position(&mut self, name: &str, x: &[usize; 3], spec: PositionSpec) -> [usize; 3] {
        let ([rows, columns], window, start) =
            (spec.background, spec.window, Start::Normal { deviation: 0.02 });
        assert!(x[0].is_multiple_of(window) && x[1].is_multiple_of(window), "windows that do not fit {x:?}");
        self.declare(format!("{name}pos_embed"), &[1, x[2], rows, columns], start);
        self.declare(format!("{name}pos_embed_window"), &[1, x[2], window, window], start);
        *x
    }

    fn layer_norm(&mut self, name: &str, x: &[usize; 3], _: f64) -> [usize; 3] {
        self.declare(format!("{name}.weight"), &[x[2]], Start::Constant(1.0));
        self.declare(format!("{name}.bias"), &[x[2]], Start::Constant(0.0));
        *x
    }

    fn linear(&mut self, name: &str, x: &[usize; 3], outputs: usize, random: bool) -> [usize; 3] {
        let start = if random {
            Start::Normal { deviation: (1.0 / x[2] as f32).sqrt() }
        } else {
            Start::Constant(0.0)
        };
        self.declare(format!("{name}.weight"), &[outputs, x[2]], start);
        self.declare(format!("{name}.bias"), &[outputs], Start::Constant(0.0));
        [x[0], x[1], outputs]
    }

    fn gelu(&mut self, x: &[usize; 3]) -> [usize; 3] {
        *x
    }

    fn attention(&mut self, qkv: &[usize; 3], spec: AttentionSpec) -> [usize; 3] {
        let [height, width, channels] = *qkv;
        assert!(channels.is_multiple_of(3 * spec.heads), "{channels} values for {} heads", spec.heads);
        if let Some(window) = spec.window {
            assert!(height.is_multiple_of(window) && width.is_multiple_of(window), "windows that do not fit");
        }
        let halved = if spec.pool { 2 } else { 1 };
        [height / halved, width / halved, channels / 3]
    }

    fn offset_attention(&mut self, name: &str, qkv: &[usize; 3], heads: usize, window: usize) -> [usize; 3] {
        let start = Start::Normal { deviation: 0.02 };
        self.declare(format!("{name}.attention_biases"), &[heads, window * window], start);
        self.attention(qkv, AttentionSpec { heads, window: Some(window), pool: false })
    }

    fn pad(&mut self, x: &[usize; 3], height: usize, width: usize) -> [usize; 3] {
        [height, width, x[2]]
    }

    fn crop(&mut self, x: &[usize; 3], height: usize, width: usize) -> [usize; 3] {
        [height, width, x[2]]
    }

    fn halve(&mut self, x: &[usize; 3]) -> [usize; 3] {
        [x[0] / 2, x[1] / 2, x[2]]
    }

    fn shrink(&mut self, x: &[usize; 3], factor: usize) -> [usize; 3] {
        [x[0] / factor, x[1] / factor, x[2]]
    }

    fn map(&mut self, x: &[usize; 3]) -> [usize; 3] {
        [x[2], x[0], x[1]]
    }

    fn tokens(&mut self, x: &[usize; 3]) -> [usize; 3] {
        [x[1], x[2], x[0]]
    }

    fn high_frequencies(&mut self, x: &[usize; 3], _: f32) -> [usize; 3] {
        *x
    }
}
