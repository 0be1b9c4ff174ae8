use std::ops::Range;

use crate::engine::kernels::{Convolution, Kernels, RowKernel, Rows, Scratch};

use super::{Compute, Shape};

/// A convolution with fused requantisation.
#[derive(Debug)]
pub struct Convolve {
    input: Shape,
    output: Shape,
    /// Height: of the kernel with its dilation, of a stride, of the padding above.
    reach: usize,
    stride: usize,
    padding: usize,
    description: String,
    multiply_adds: u64,
    kernel: Box<dyn RowKernel>,
}

impl Convolve {
    pub fn new(convolution: &Convolution, kernels: &Kernels) -> anyhow::Result<Self> {
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
            reach: height.saturating_sub(1) * convolution.dilations[0] + 1,
            stride: convolution.strides[0],
            padding: convolution.padding[0],
            description: format!("{what} {height}×{width}{stride}"),
            multiply_adds: convolution.multiply_adds(),
            kernel,
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
    fn needs(&self, rows: Range<usize>) -> Range<usize> {
        window(rows, self.reach, self.stride, self.padding, self.input[0])
    }
    fn reserve(&self, scratch: &mut Scratch) {
        self.kernel.reserve(scratch);
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
        self.kernel.run(input, rows, output, stride, scratch);
    }
}

/// Input rows that windows of `reach` rows see, of `height` that there are.
pub fn window(
    rows: Range<usize>,
    reach: usize,
    stride: usize,
    padding: usize,
    height: usize,
) -> Range<usize> {
    let start = (rows.start * stride).saturating_sub(padding).min(height);
    let end = (rows.end.saturating_sub(1) * stride + reach).saturating_sub(padding).min(height);
    start..end.max(start)
}
