//! Our ops inside tract's plan: NHWC u8 tensors in, one NHWC u8 tensor out, batch 1.

mod concatenate;
mod convolution;
mod elementwise;
mod pool;
mod resize;

pub use concatenate::Concatenate;
pub use convolution::Convolve;
pub use elementwise::{Add, Lookup, Multiply};
pub use pool::{GlobalAverage, MaxPool};
pub use resize::{Axis, Coordinates, Nearest, Resize};

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

use crate::engine::kernels::{Rows, Scratch, scatter};

/// Height, width, channels.
pub type Shape = [usize; 3];

/// What one node computes. Its inputs' shapes were checked when it was made.
pub trait Compute: Debug + Send + Sync + 'static {
    /// For people: `conv 3×3`.
    fn describe(&self) -> String;
    fn input_shapes(&self) -> Vec<Shape>;
    fn output_shape(&self) -> Shape;
    fn multiply_adds(&self) -> u64 {
        0
    }
    /// Element types, as in `u8 × s8 → u8`.
    fn types(&self) -> &'static str {
        "u8 → u8"
    }
    /// The rows of each input that output rows see. An input of one row is always seen whole.
    fn needs(&self, rows: Range<usize>) -> Range<usize> {
        rows
    }
    /// Makes `scratch` as large as [`Self::run`] needs it.
    fn reserve(&self, _scratch: &mut Scratch) {}
    /// Writes output rows `rows`. Their pixels begin `stride` bytes apart in `output`; what lies between them is left alone.
    fn run(
        &self,
        inputs: &[Rows<'_>],
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    );
    /// A concatenation is not run where its parts can be written in place.
    fn as_concatenation(&self) -> Option<&Concatenate> {
        None
    }
}

/// Lets `work` write an output row: in place, or, if there are other channels between, to `line` first.
fn by_row(channels: usize, line: &mut [u8], output: &mut [u8], stride: usize, work: impl FnOnce(&mut [u8])) {
    if stride == channels {
        let length = line.len();
        return work(&mut output[..length]);
    }
    work(line);
    scatter(channels, line, output, stride);
}

/// The tract op around a [`Compute`]. tract itself only runs it beside its own ops, where a model has some.
#[derive(Clone, Debug)]
pub struct Int8(pub Arc<dyn Compute>);

impl PartialEq for Int8 {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Int8 {}

impl Op for Int8 {
    fn name(&self) -> StaticName {
        "Int8".into()
    }
    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![self.0.describe()])
    }
    op_as_typed_op!();
}

impl EvalOp for Int8 {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let views = inputs.iter().map(|input| input.try_as_plain_ram()).collect::<TractResult<TVec<_>>>()?;
        let slices = views.iter().map(|view| view.as_slice::<u8>()).collect::<TractResult<TVec<_>>>()?;
        for (slice, shape) in slices.iter().zip(self.0.input_shapes()) {
            ensure!(slice.len() == shape.iter().product::<usize>(), "a tensor has another size than planned");
        }
        let [height, width, channels] = self.0.output_shape();
        let mut output = Tensor::zero::<u8>(&[1, height, width, channels])?;
        let rows = slices.iter().zip(self.0.input_shapes());
        let rows: TVec<_> =
            rows.map(|(slice, [_, width, channels])| Rows::whole(slice, width * channels)).collect();
        let mut scratch = Scratch::default();
        self.0.reserve(&mut scratch);
        {
            let mut view = output.try_as_plain_ram_mut()?;
            self.0.run(&rows, 0..height, view.as_slice_mut::<u8>()?, channels, &mut scratch);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Int8 {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shapes = self.0.input_shapes();
        ensure!(inputs.len() == shapes.len(), "{} inputs instead of {}", inputs.len(), shapes.len());
        for (fact, [height, width, channels]) in inputs.iter().zip(shapes) {
            let expected = u8::fact([1, height, width, channels]);
            ensure!(
                fact.datum_type == expected.datum_type && fact.shape == expected.shape,
                "an input is {fact:?} instead of {expected:?}"
            );
        }
        let [height, width, channels] = self.0.output_shape();
        Ok(tvec!(u8::fact([1, height, width, channels])))
    }
    as_op!();
}
