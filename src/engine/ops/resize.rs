use crate::engine::kernels::{Blend, Kernels};
use crate::fault::Fault;

use super::{Compute, Shape};

/// How one axis is resized.
#[derive(Clone, Debug, PartialEq)]
pub enum Axis {
    /// Each output's input.
    Nearest(Vec<usize>),
    /// Each output's two inputs, and how much the second counts, in 1024ths.
    Linear(Vec<(usize, usize, u32)>),
}

/// How a position of the output falls onto the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    HalfPixel,
    Asymmetric,
    AlignCorners,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    Floor,
    Ceil,
    RoundPreferFloor,
    RoundPreferCeil,
}

/// Weights of linear interpolation are whole numbers of this.
const ONE: u32 = 1024;

impl Coordinates {
    /// Where output `index` lies on the input, in f32 as onnxruntime has it.
    fn position(self, index: usize, scale: f32, input: usize, output: usize) -> f32 {
        let index = index as f32;
        match self {
            _ if scale == 1.0 => index,
            Coordinates::HalfPixel => (index + 0.5) / scale - 0.5,
            Coordinates::Asymmetric => index / scale,
            Coordinates::AlignCorners if output <= 1 => 0.0,
            Coordinates::AlignCorners => index * (input as f32 - 1.0) / (output as f32 - 1.0),
        }
    }
}

impl Axis {
    pub fn nearest(mode: Nearest, coordinates: Coordinates, scale: f32, input: usize, output: usize) -> Axis {
        let pick = |index| {
            let position = coordinates.position(index, scale, input, output);
            let rounded = match mode {
                _ if scale == 1.0 => position,
                Nearest::Floor => position.floor(),
                Nearest::Ceil => position.ceil(),
                Nearest::RoundPreferFloor if position.fract() == 0.5 => position.floor(),
                Nearest::RoundPreferFloor | Nearest::RoundPreferCeil => position.round(),
            };
            (rounded.max(0.0) as usize).min(input.saturating_sub(1))
        };
        Axis::Nearest((0..output).map(pick).collect())
    }

    pub fn linear(coordinates: Coordinates, scale: f32, input: usize, output: usize) -> Axis {
        let last = input.saturating_sub(1);
        let pair = |index| {
            let position = coordinates.position(index, scale, input, output) * ONE as f32;
            let position = (position.max(0.0) as usize).min(last * ONE as usize);
            let first = position / ONE as usize;
            match first == last {
                true => (last, last, ONE / 2),
                false => (first, first + 1, (position % ONE as usize) as u32),
            }
        };
        Axis::Linear((0..output).map(pair).collect())
    }

    fn len(&self) -> usize {
        match self {
            Axis::Nearest(inputs) => inputs.len(),
            Axis::Linear(pairs) => pairs.len(),
        }
    }

    fn is_linear(&self) -> bool {
        matches!(self, Axis::Linear(_))
    }

    /// Both inputs of an output and the weight of the second.
    fn pair(&self, index: usize) -> (usize, usize, u32) {
        match self {
            Axis::Nearest(inputs) => (inputs[index], inputs[index], 0),
            Axis::Linear(pairs) => pairs[index],
        }
    }
}

/// Resizing height and width; scale and zero point stay. Linear interpolation rounds towards 0, as onnxruntime does.
#[derive(Debug)]
pub struct Resize {
    input: Shape,
    rows: Axis,
    columns: Axis,
    /// Bits that all weights of both axes leave unused.
    spare_bits: u32,
    kernels: &'static Kernels,
}

impl Resize {
    pub fn new(input: Shape, rows: Axis, columns: Axis, kernels: &'static Kernels) -> anyhow::Result<Self> {
        if rows.is_linear() != columns.is_linear() || rows.len() == 0 || columns.len() == 0 {
            return Err(Fault::data("a resize to nothing"));
        }
        let weights = |axis: &Axis| (0..axis.len()).fold(ONE, |bits, index| bits | axis.pair(index).2);
        let spare_bits = (weights(&rows) | weights(&columns)).trailing_zeros();
        Ok(Resize { input, rows, columns, spare_bits, kernels })
    }
}

impl Compute for Resize {
    fn describe(&self) -> String {
        let how = if self.rows.is_linear() { "bilinear" } else { "nearest" };
        format!(
            "resize {how} {}×{} → {}×{}",
            self.input[0],
            self.input[1],
            self.rows.len(),
            self.columns.len()
        )
    }
    fn input_shapes(&self) -> Vec<Shape> {
        vec![self.input]
    }
    fn output_shape(&self) -> Shape {
        [self.rows.len(), self.columns.len(), self.input[2]]
    }
    fn run(&self, inputs: &[&[u8]], output: &mut [u8]) {
        let &[input] = inputs else { return };
        let [_, width, channels] = self.input;
        let pixel = |row: usize, column: usize| &input[(row * width + column) * channels..][..channels];
        let one = ONE >> self.spare_bits;
        let shift = 2 * one.trailing_zeros();
        for (y, line) in output.chunks_exact_mut((self.columns.len() * channels).max(1)).enumerate() {
            let (top, bottom, down) = self.rows.pair(y);
            let down = down >> self.spare_bits;
            for (x, output) in line.chunks_exact_mut(channels.max(1)).enumerate() {
                let (left, right, across) = self.columns.pair(x);
                if !self.rows.is_linear() {
                    output.copy_from_slice(pixel(top, left));
                    continue;
                }
                let across = across >> self.spare_bits;
                let weights = [
                    (one - across) * (one - down),
                    across * (one - down),
                    (one - across) * down,
                    across * down,
                ];
                let corners =
                    [pixel(top, left), pixel(top, right), pixel(bottom, left), pixel(bottom, right)];
                (self.kernels.blend)(corners, &Blend { weights, shift }, output);
            }
        }
    }
}
