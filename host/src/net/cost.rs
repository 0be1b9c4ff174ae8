//! Walks a network to count what it costs: multiply-adds, and the values that a backward pass needs kept.
//!
//! Kept values are what autodiff holds on to of each operation: the operands of products, what lies under a norm, a GELU
//! or a softmax. Views and constants are not counted, nor what an operation needs while it runs: see [`Cost::widest`].

use crate::net::shapes::Shapes;
use crate::net::{After, AttentionSpec, ConvSpec, Gate, Net, PatchSpec, PositionSpec, TokenNet};

/// For one picture.
#[derive(Default)]
pub struct Cost {
    /// Multiply-adds of the forward pass.
    pub multiply_adds: u64,
    /// Values kept for the backward pass.
    pub kept: u64,
    /// The most values that one operation has in hand beside what is kept.
    pub widest: u64,
    shapes: Shapes,
}

type Extent = [usize; 3];

fn values(x: &Extent) -> u64 {
    x.iter().product::<usize>() as u64
}

impl Cost {
    fn note(&mut self, multiply_adds: u64, kept: u64, out: &Extent) {
        self.multiply_adds += multiply_adds;
        self.kept += kept;
        // The output and its gradient.
        self.widest = self.widest.max(2 * values(out) + kept);
    }
}

impl Net for Cost {
    type Value = Extent;

    fn shape(&self, x: &Extent) -> Extent {
        *x
    }

    fn conv(&mut self, name: &str, x: &Extent, spec: ConvSpec) -> Extent {
        let out = self.shapes.conv(name, x, spec);
        let inputs = if spec.depthwise { 1 } else { x[0] };
        let products = values(&out) * (inputs * spec.kernel * spec.kernel) as u64;
        // The input, and below a norm the convolution's output.
        let normed = if spec.after == After::Bias { 0 } else { values(&out) };
        self.note(products, values(x) + normed, &out);
        out
    }

    fn add(&mut self, name: &str, a: &Extent, b: &Extent) -> Extent {
        self.shapes.add(name, a, b)
    }

    fn concat(&mut self, name: &str, parts: &[Extent]) -> Extent {
        self.shapes.concat(name, parts)
    }

    fn max_pool(&mut self, name: &str, x: &Extent) -> Extent {
        let out = self.shapes.max_pool(name, x);
        // The input, and an eight-byte index for each output.
        self.note(0, values(x) + 2 * values(&out), &out);
        out
    }

    fn enlarge(&mut self, name: &str, x: &Extent, factor: usize) -> Extent {
        let out = self.shapes.enlarge(name, x, factor);
        let products = values(x) * (x[2] * factor) as u64 + values(&out) * x[1] as u64;
        self.note(products, 0, &out);
        out
    }

    fn channel_gate(&mut self, name: &str, x: &Extent, gate: Gate) -> Extent {
        let out = self.shapes.channel_gate(name, x, gate);
        self.note(values(x), values(x), &out);
        out
    }
}

impl TokenNet for Cost {
    fn patches(&mut self, name: &str, x: &Extent, spec: PatchSpec) -> Extent {
        let out = self.shapes.patches(name, x, spec);
        self.note(values(&out) * (x[0] * spec.kernel * spec.kernel) as u64, values(x), &out);
        out
    }

    fn position(&mut self, name: &str, x: &Extent, spec: PositionSpec) -> Extent {
        self.shapes.position(name, x, spec)
    }

    fn layer_norm(&mut self, name: &str, x: &Extent, eps: f64) -> Extent {
        // Composed: the input less its mean, that squared, and divided.
        self.note(values(x), 3 * values(x), x);
        self.shapes.layer_norm(name, x, eps)
    }

    fn linear(&mut self, name: &str, x: &Extent, outputs: usize, random: bool) -> Extent {
        let out = self.shapes.linear(name, x, outputs, random);
        self.note(values(&out) * x[2] as u64, values(x), &out);
        out
    }

    fn gelu(&mut self, x: &Extent) -> Extent {
        self.note(0, values(x), x);
        *x
    }

    fn attention(&mut self, qkv: &Extent, spec: AttentionSpec) -> Extent {
        let out = self.shapes.attention(qkv, spec);
        let [height, width, channels] = *qkv;
        let channels = channels as u64 / 3;
        let keys = spec.window.map_or(height * width, |window| window * window) as u64;
        let queries = (out[0] * out[1]) as u64;
        let scores = spec.heads as u64 * queries * keys;
        // Query, key, value in windows; scores, their exponentials and their softmax.
        self.note(2 * queries * keys * channels, values(qkv) + 3 * scores, &out);
        out
    }

    fn offset_attention(&mut self, name: &str, qkv: &Extent, heads: usize, window: usize) -> Extent {
        self.shapes.offset_attention(name, qkv, heads, window);
        // What comes to the scores is small, and its addition keeps nothing.
        self.attention(qkv, AttentionSpec { heads, window: Some(window), pool: false })
    }

    fn pad(&mut self, x: &Extent, height: usize, width: usize) -> Extent {
        self.shapes.pad(x, height, width)
    }

    fn crop(&mut self, x: &Extent, height: usize, width: usize) -> Extent {
        self.shapes.crop(x, height, width)
    }

    fn halve(&mut self, x: &Extent) -> Extent {
        let out = self.shapes.halve(x);
        self.note(0, values(x) + 2 * values(&out), &out);
        out
    }

    fn shrink(&mut self, x: &Extent, factor: usize) -> Extent {
        self.shapes.shrink(x, factor)
    }

    fn map(&mut self, x: &Extent) -> Extent {
        self.shapes.map(x)
    }

    fn tokens(&mut self, x: &Extent) -> Extent {
        self.shapes.tokens(x)
    }

    fn high_frequencies(&mut self, x: &Extent, _: f32) -> Extent {
        *x
    }
}
