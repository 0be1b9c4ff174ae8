//! Walks a network without computing it: which parameters it has, and what they start from.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::parameters::{Array, Parameters};
use super::{After, ConvSpec, Net};

/// Gathers fresh parameters: convolutions by He's rule over their fan-out (as EfficientNet), gates at 1/kernel.
pub struct Shapes<'a> {
    pub parameters: Parameters,
    rng: &'a mut ChaCha8Rng,
}

impl<'a> Shapes<'a> {
    pub fn new(rng: &'a mut ChaCha8Rng) -> Self {
        Shapes { parameters: Parameters::default(), rng }
    }

    fn insert(&mut self, name: String, shape: &[usize], values: Vec<f32>) {
        let array = Array { shape: shape.to_vec(), values };
        assert!(self.parameters.0.insert(name, array).is_none(), "two layers of one name");
    }

    fn normal(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        // Irwin and Hall: the sum of twelve uniform numbers less six is as good as normal here.
        (0..count)
            .map(|_| ((0..12).map(|_| self.rng.random::<f32>()).sum::<f32>() - 6.0) * deviation)
            .collect()
    }
}

impl Net for Shapes<'_> {
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
        let values = self.normal(shape.iter().product(), deviation);
        self.insert(format!("{name}.weight"), &shape, values);
        let filters = spec.filters;
        if spec.after == After::Bias {
            self.insert(format!("{name}.bias"), &[filters], vec![0.0; filters]);
        } else {
            for (part, value) in [("gamma", 1.0), ("beta", 0.0), ("mean", 0.0), ("variance", 1.0)] {
                self.insert(format!("{name}.{part}"), &[filters], vec![value; filters]);
            }
        }
        [spec.filters, height.div_ceil(spec.stride), width.div_ceil(spec.stride)]
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

    fn channel_gate(&mut self, name: &str, x: &[usize; 3], kernel: usize) -> [usize; 3] {
        self.insert(format!("{name}.weight"), &[kernel], vec![1.0 / kernel as f32; kernel]);
        *x
    }
}
