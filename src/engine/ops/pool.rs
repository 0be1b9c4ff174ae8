use crate::engine::kernels::Kernels;
use crate::engine::quantise::Requantise;

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
    fn run(&self, inputs: &[&[u8]], output: &mut [u8]) {
        let &[input] = inputs else { return };
        let [height, width, channels] = self.input;
        let mut sums = vec![-i32::from(self.input_zero_point) * (height * width) as i32; channels];
        (self.kernels.sum_channels)(input, &mut sums);
        for (output, sum) in output.iter_mut().zip(sums) {
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
    fn run(&self, inputs: &[&[u8]], output: &mut [u8]) {
        let &[input] = inputs else { return };
        let [height, width, channels] = self.input;
        let position = |axis: usize, output: usize, tap: usize| {
            (output * self.strides[axis] + tap * self.dilations[axis]).wrapping_sub(self.padding[axis])
        };
        for (index, pixel) in output.chunks_exact_mut(channels.max(1)).enumerate() {
            let (y, x) = (index / self.output[1], index % self.output[1]);
            pixel.fill(0);
            let rows = (0..self.kernel[0]).map(|tap| position(0, y, tap)).filter(|&row| row < height);
            for row in rows {
                let columns =
                    (0..self.kernel[1]).map(|tap| position(1, x, tap)).filter(|&column| column < width);
                for column in columns {
                    let start = (row * width + column) * channels;
                    (self.kernels.maximum)(&input[start..start + channels], pixel);
                }
            }
        }
    }
}
