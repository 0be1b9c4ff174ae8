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
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

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
    /// `inputs` and `output` have the lengths of their shapes.
    fn run(&self, inputs: &[&[u8]], output: &mut [u8]);
}

/// The tract op around a [`Compute`].
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
        self.0.run(&slices, output.try_as_plain_ram_mut()?.as_slice_mut::<u8>()?);
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
