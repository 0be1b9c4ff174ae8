use std::ops::Range;

use crate::engine::kernels::{Kernels, Rows, Scratch, Windows, grow};
use crate::engine::quantise::Requantise;

use super::convolution::window;
use super::{Compute, Shape};

/// The mean of each channel over all pixels.
#[derive(Debug)]
pub struct GlobalAverage {
    pub input: Shape,
    pub input_zero_point: u8,
    /// From sums to steps of the output.
    pub factor: f32,
    pub requantise: Requantise,
    pub kernels: &'static Kernels,
}

impl Compute for GlobalAverage {
    fn describe(&self) -> String {
        "global average".into()
    }
    fn input_shapes(&self) -> Vec<Shape> {
        vec![self.input]
    }
    fn output_shape(&self) -> Shape {
        [1, 1, self.input[2]]
    }
    fn needs(&self, _rows: Range<usize>) -> Range<usize> {
        0..self.input[0]
    }
    fn reserve(&self, scratch: &mut Scratch) {
        grow(&mut scratch.sums, self.input[2], 0);
    }
    fn run(
        &self,
        inputs: &[Rows<'_>],
        _rows: Range<usize>,
        output: &mut [u8],
        _stride: usize,
        scratch: &mut Scratch,
    ) {
        let &[input] = inputs else { return };
        let [height, width, channels] = self.input;
        let sums = &mut scratch.sums[..channels];
        sums.fill(-i32::from(self.input_zero_point) * (height * width) as i32);
        for y in 0..height {
            (self.kernels.sum_channels)(input.row(y), sums);
        }
        for (output, &sum) in output.iter_mut().zip(sums.iter()) {
            *output = self.requantise.apply(sum, self.factor);
        }
    }
}

/// The highest of each window; what lies outside the input does not count.
#[derive(Debug)]
pub struct MaxPool {
    pub input: Shape,
    pub output: Shape,
    /// Height, width.
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Rows above and columns left of the input.
    pub padding: [usize; 2],
    pub kernels: &'static Kernels,
}

impl Compute for MaxPool {
    fn describe(&self) -> String {
        format!("max pool {}×{} /{}", self.kernel[0], self.kernel[1], self.strides[0])
    }
    fn input_shapes(&self) -> Vec<Shape> {
        vec![self.input]
    }
    fn output_shape(&self) -> Shape {
        self.output
    }
    fn needs(&self, rows: Range<usize>) -> Range<usize> {
        let reach = self.kernel[0].saturating_sub(1) * self.dilations[0] + 1;
        window(rows, reach, self.strides[0], self.padding[0], self.input[0])
    }
    fn reserve(&self, scratch: &mut Scratch) {
        grow(&mut scratch.bytes, self.input[1] * self.input[2], 0);
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
        let [height, width, channels] = self.input;
        let windows = Windows {
            channels,
            input: width,
            output: self.output[1],
            kernel: self.kernel[1],
            stride: self.strides[1],
            dilation: self.dilations[1],
            padding: self.padding[1],
        };
        let highest = &mut scratch.bytes[..width * channels];
        for (y, line) in rows.zip(output.chunks_mut((self.output[1] * stride).max(1))) {
            highest.fill(0);
            for tap in 0..self.kernel[0] {
                let row = (y * self.strides[0] + tap * self.dilations[0]).wrapping_sub(self.padding[0]);
                if row < height {
                    (self.kernels.maximum)(input.row(row), highest);
                }
            }
            (self.kernels.maximum_columns)(&windows, highest, line, stride);
        }
    }
}
