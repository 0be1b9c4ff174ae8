use std::fmt::Debug;
use std::ops::Range;

use crate::engine::kernels::{Kernels, Rows, Scratch, grow};
use crate::engine::quantise::{Addition, Product};
use crate::fault::Fault;

use super::{Compute, Shape, by_row};

/// Which operand is one value a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broadcast {
    None,
    First,
    Second,
}

/// How two operands meet: both whole, or one of them one value a channel.
fn broadcast(a: Shape, b: Shape) -> anyhow::Result<(Broadcast, Shape)> {
    let a_channel = [1, 1, a[2]];
    match () {
        // onnxruntime takes a lone value for a scalar.
        () if a == b && a != [1, 1, 1] => Ok((Broadcast::None, a)),
        () if a == a_channel && a[2] == b[2] => Ok((Broadcast::First, b)),
        () if b == [1, 1, b[2]] && a[2] == b[2] => Ok((Broadcast::Second, a)),
        () => Err(Fault::data(format!("operands of {a:?} and {b:?} do not fit each other"))),
    }
}

/// What two operands come to. The first of them has the output's shape; the second has it too, or one value a channel.
pub trait Arithmetic: Debug + Send + Sync + 'static {
    /// `channels`: the second operand has one value a channel.
    fn describe(channels: bool) -> &'static str;
    fn whole(&self, kernels: &Kernels, first: &[u8], second: &[u8], output: &mut [u8]);
    fn channels(&self, kernels: &Kernels, first: &[u8], second: &[u8], output: &mut [u8]);
}

impl Arithmetic for Addition {
    fn describe(_: bool) -> &'static str {
        "add"
    }
    fn whole(&self, kernels: &Kernels, first: &[u8], second: &[u8], output: &mut [u8]) {
        (kernels.add)(self, first, second, output);
    }
    fn channels(&self, kernels: &Kernels, first: &[u8], second: &[u8], output: &mut [u8]) {
        (kernels.add_channels)(self, first, second, output);
    }
}

impl Arithmetic for Product {
    fn describe(channels: bool) -> &'static str {
        if channels { "gate" } else { "multiply" }
    }
    fn whole(&self, kernels: &Kernels, first: &[u8], second: &[u8], output: &mut [u8]) {
        (kernels.multiply)(self, first, second, output);
    }
    fn channels(&self, kernels: &Kernels, first: &[u8], second: &[u8], output: &mut [u8]) {
        (kernels.multiply_channels)(self, first, second, output);
    }
}

/// A quantised sum or product; one operand may be one value a channel.
#[derive(Debug)]
pub struct Binary<A> {
    inputs: [Shape; 2],
    output: Shape,
    broadcast: Broadcast,
    /// Of the whole operand and the broadcast one, in this order.
    arithmetic: A,
    kernels: &'static Kernels,
}

pub type Add = Binary<Addition>;
pub type Multiply = Binary<Product>;

impl<A: Arithmetic> Binary<A> {
    /// `arithmetic` is of first and second operand; `swapped` of second and first.
    pub fn new(
        inputs: [Shape; 2],
        arithmetic: A,
        swapped: A,
        kernels: &'static Kernels,
    ) -> anyhow::Result<Self> {
        let (broadcast, output) = broadcast(inputs[0], inputs[1])?;
        let arithmetic = if broadcast == Broadcast::First { swapped } else { arithmetic };
        Ok(Binary { inputs, output, broadcast, arithmetic, kernels })
    }
}

impl<A: Arithmetic> Compute for Binary<A> {
    fn describe(&self) -> String {
        A::describe(self.broadcast != Broadcast::None).into()
    }
    fn input_shapes(&self) -> Vec<Shape> {
        self.inputs.to_vec()
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
        let &[a, b] = inputs else { return };
        let (whole, other) = if self.broadcast == Broadcast::First { (b, a) } else { (a, b) };
        let [_, width, channels] = self.output;
        for (y, line) in rows.zip(output.chunks_mut((width * stride).max(1))) {
            let whole = whole.row(y);
            by_row(channels, &mut scratch.bytes[..width * channels], line, stride, |output| {
                match self.broadcast {
                    Broadcast::None => self.arithmetic.whole(self.kernels, whole, other.row(y), output),
                    _ => self.arithmetic.channels(self.kernels, whole, other.row(0), output),
                }
            });
        }
    }
}

/// Any function of one stored value, as a table; no table copies.
#[derive(Debug)]
pub struct Lookup {
    pub shape: Shape,
    pub what: &'static str,
    pub table: Option<Box<[u8; 256]>>,
    pub kernels: &'static Kernels,
}

impl Compute for Lookup {
    fn describe(&self) -> String {
        self.what.into()
    }
    fn input_shapes(&self) -> Vec<Shape> {
        vec![self.shape]
    }
    fn output_shape(&self) -> Shape {
        self.shape
    }
    fn reserve(&self, scratch: &mut Scratch) {
        grow(&mut scratch.bytes, self.shape[1] * self.shape[2], 0);
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
        let [_, width, channels] = self.shape;
        for (y, line) in rows.zip(output.chunks_mut((width * stride).max(1))) {
            let input = input.row(y);
            by_row(channels, &mut scratch.bytes[..width * channels], line, stride, |output| {
                match &self.table {
                    Some(table) => (self.kernels.lookup)(table, input, output),
                    None => output.copy_from_slice(input),
                }
            });
        }
    }
}
