use crate::engine::kernels::{Convolution, Kernels, RowKernel};
use crate::engine::threads;

use super::{Compute, Shape};

/// A convolution with fused requantisation.
#[derive(Debug)]
pub struct Convolve {
    input: Shape,
    output: Shape,
    description: String,
    multiply_adds: u64,
    kernel: Box<dyn RowKernel>,
    threads: usize,
}

impl Convolve {
    pub fn new(convolution: &Convolution, kernels: &Kernels, threads: usize) -> anyhow::Result<Self> {
        convolution.check()?;
        let (what, kernel) = match convolution.is_depthwise() {
            true => ("depthwise", (kernels.depthwise)(convolution)),
            false if convolution.groups > 1 => ("grouped conv", (kernels.convolution)(convolution)),
            false => ("conv", (kernels.convolution)(convolution)),
        };
        let [height, width] = convolution.kernel;
        let stride = match convolution.strides {
            [1, 1] => String::new(),
            [down, right] if down == right => format!(" /{down}"),
            [down, right] => format!(" /{down}×{right}"),
        };
        Ok(Convolve {
            input: convolution.input,
            output: convolution.output,
            description: format!("{what} {height}×{width}{stride}"),
            multiply_adds: convolution.multiply_adds(),
            kernel,
            threads,
        })
    }
}

impl Compute for Convolve {
    fn describe(&self) -> String {
        self.description.clone()
    }
    fn input_shapes(&self) -> Vec<Shape> {
        vec![self.input]
    }
    fn output_shape(&self) -> Shape {
        self.output
    }
    fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }
    fn types(&self) -> &'static str {
        "u8 × s8 → i32 → u8"
    }
    fn run(&self, inputs: &[&[u8]], output: &mut [u8]) {
        let &[input] = inputs else { return };
        let [height, width, channels] = self.output;
        let threads = threads::worth_while(self.threads, self.multiply_adds);
        threads::split_rows(threads, height, width * channels, output, |rows, output| {
            self.kernel.run(input, rows, output);
        });
    }
}
