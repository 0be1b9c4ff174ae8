use crate::engine::kernels::Kernels;
use crate::fault::Fault;

use super::{Compute, Shape};

/// A table that brings an input to the output's scale; `None` copies.
type Table = Option<Box<[u8; 256]>>;

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
    fn run(&self, inputs: &[&[u8]], output: &mut [u8]) {
        let mut start = 0;
        for (input, ([_, _, channels], table)) in inputs.iter().zip(&self.inputs) {
            let pixels = output.chunks_exact_mut(self.output[2].max(1));
            for (input, pixel) in input.chunks_exact((*channels).max(1)).zip(pixels) {
                let part = &mut pixel[start..start + channels];
                match table {
                    Some(table) => (self.kernels.lookup)(table, input, part),
                    None => part.copy_from_slice(input),
                }
            }
            start += channels;
        }
    }
}
