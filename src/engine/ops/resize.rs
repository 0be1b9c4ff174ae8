use std::ops::Range;

use crate::engine::kernels::{Blends, Kernels, Rows, Scratch, grow};
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
            if first == last {
                (last, last, ONE / 2)
            } else {
                (first, first + 1, (position % ONE as usize) as u32)
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
    /// The columns' pairs and the weight of the second, in `one`-ths.
    pairs: Vec<(u32, u32, u16)>,
    /// The sum of two weights of one axis.
    one: u32,
    kernels: &'static Kernels,
}

/// With weights up to this, sums fit into 16 bits.
const MOST_FOR_WORDS: u32 = 16;

impl Resize {
    pub fn new(input: Shape, rows: Axis, columns: Axis, kernels: &'static Kernels) -> anyhow::Result<Self> {
        if rows.is_linear() != columns.is_linear() || rows.len() == 0 || columns.len() == 0 {
            return Err(Fault::data("a resize to nothing"));
        }
        let weights = |axis: &Axis| (0..axis.len()).fold(ONE, |bits, index| bits | axis.pair(index).2);
        let spare_bits = (weights(&rows) | weights(&columns)).trailing_zeros();
        let pair = |index| {
            let (left, right, across) = columns.pair(index);
            (left as u32, right as u32, (across >> spare_bits) as u16)
        };
        let pairs = (0..columns.len()).map(pair).collect();
        Ok(Resize { input, rows, columns, pairs, one: ONE >> spare_bits, kernels })
    }

    /// Both input rows of an output row and the weight of the second, in `one`-ths.
    fn row(&self, y: usize) -> (usize, usize, u32) {
        let (above, below, down) = self.rows.pair(y);
        (above, below, down / (ONE / self.one))
    }

    /// A row of the general case.
    fn blend(&self, above: &[u8], below: &[u8], down: u32, line: &mut [u8], stride: usize) {
        let channels = self.input[2];
        let (one, shift) = (self.one, 2 * self.one.trailing_zeros());
        for (output, &(left, right, across)) in line.chunks_mut(stride.max(1)).zip(&self.pairs) {
            let (left, right, across) =
                (left as usize * channels, right as usize * channels, u32::from(across));
            for (channel, output) in output[..channels].iter_mut().enumerate() {
                let [a, b] = [above, below].map(|row| {
                    u32::from(row[left + channel]) * (one - across) + u32::from(row[right + channel]) * across
                });
                *output = ((a * (one - down) + b * down) >> shift) as u8;
            }
        }
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
    fn needs(&self, rows: Range<usize>) -> Range<usize> {
        let seen = rows.map(|y| self.row(y));
        let (start, end) = seen
            .fold((usize::MAX, 0), |(start, end), (above, below, _)| (start.min(above), end.max(below + 1)));
        start.min(end)..end
    }
    fn reserve(&self, scratch: &mut Scratch) {
        if self.rows.is_linear() {
            grow(&mut scratch.blends, self.input[1] * self.input[2], 0);
        }
    }
    fn run(
        &self,
        inputs: &[Rows<'_>],
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let &[input] = inputs else { return };
        let channels = self.input[2];
        for (y, line) in rows.zip(output.chunks_mut((self.columns.len() * stride).max(1))) {
            let (above, below, down) = self.row(y);
            let (above, below) = (input.row(above), input.row(below));
            if !self.rows.is_linear() {
                for (output, &(column, _, _)) in line.chunks_mut(stride.max(1)).zip(&self.pairs) {
                    output[..channels].copy_from_slice(&above[column as usize * channels..][..channels]);
                }
            } else if self.one <= MOST_FOR_WORDS {
                let blended = &mut scratch.blends[..above.len()];
                let weights = [self.one - down, down].map(|weight| weight as u16);
                (self.kernels.blend_rows)(above, below, weights, blended);
                let shift = 2 * self.one.trailing_zeros();
                let blends = Blends { channels, pairs: &self.pairs, one: self.one as u16, shift };
                (self.kernels.blend_columns)(&blends, blended, line, stride);
            } else {
                self.blend(above, below, down, line, stride);
            }
        }
    }
}
