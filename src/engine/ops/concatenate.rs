use std::ops::Range;

use crate::engine::kernels::{Kernels, Rows, Scratch, grow};
use crate::fault::Fault;

use super::{Compute, Shape, by_row};

/// A table that brings an input to the output's scale; `None` copies.
pub type Table = Option<Box<[u8; 256]>>;

/// Channels of several inputs side by side, each brought to the output's scale.
#[derive(Debug)]
pub struct Concatenate {
    inputs: Vec<(Shape, Table)>,
    output: Shape,
    kernels: &'static Kernels,
}

impl Concatenate {
    pub fn new(inputs: Vec<(Shape, Table)>, kernels: &'static Kernels) -> anyhow::Result<Self> {
        let Some(&([height, width, _], _)) = inputs.first() else {
            return Err(Fault::data("a concatenation of nothing"));
        };
        if inputs.iter().any(|(shape, _)| shape[..2] != [height, width]) {
            let shapes: Vec<Shape> = inputs.iter().map(|(shape, _)| *shape).collect();
            return Err(Fault::data(format!("inputs of {shapes:?} do not fit side by side")));
        }
        let channels = inputs.iter().map(|(shape, _)| shape[2]).sum();
        Ok(Concatenate { inputs, output: [height, width, channels], kernels })
    }
}

impl Compute for Concatenate {
    fn describe(&self) -> String {
        format!("concat of {}", self.inputs.len())
    }
    fn input_shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(|(shape, _)| *shape).collect()
    }
    fn output_shape(&self) -> Shape {
        self.output
    }
    fn reserve(&self, scratch: &mut Scratch) {
        grow(&mut scratch.bytes, self.output[1] * self.output[2], 0);
    }
    fn run(
        &self,
        inputs: &[Rows<'_>],
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let mut start = 0;
        for (part, input) in inputs.iter().enumerate() {
            let lines = output[start..].chunks_mut((self.output[1] * stride).max(1));
            for (y, line) in rows.clone().zip(lines) {
                self.part(part, input.row(y), line, stride, scratch);
            }
            start += self.inputs[part].0[2];
        }
    }
    fn as_concatenation(&self) -> Option<&Concatenate> {
        Some(self)
    }
}

impl Concatenate {
    /// Shapes of the parts, and the tables that bring them to the output's scale.
    pub fn parts(&self) -> &[(Shape, Table)] {
        &self.inputs
    }

    pub fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// One part of a row.
    fn part(&self, part: usize, input: &[u8], output: &mut [u8], stride: usize, scratch: &mut Scratch) {
        let ([_, _, channels], table) = &self.inputs[part];
        by_row(*channels, &mut scratch.bytes[..input.len()], output, stride, |output| match table {
            Some(table) => (self.kernels.lookup)(table, input, output),
            None => output.copy_from_slice(input),
        });
    }
}
