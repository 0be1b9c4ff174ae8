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

/// Quantised addition; an operand may be one value a channel.
#[derive(Debug)]
pub struct Add {
    inputs: [Shape; 2],
    output: Shape,
    broadcast: Broadcast,
    /// Of the whole operand and the broadcast one, in this order.
    addition: Addition,
    kernels: &'static Kernels,
}

impl Add {
    /// `addition` is of first and second operand; `swapped` of second and first.
    pub fn new(
        inputs: [Shape; 2],
        addition: Addition,
        swapped: Addition,
        kernels: &'static Kernels,
    ) -> anyhow::Result<Self> {
        let (broadcast, output) = broadcast(inputs[0], inputs[1])?;
        let addition = if broadcast == Broadcast::First { swapped } else { addition };
        Ok(Add { inputs, output, broadcast, addition, kernels })
    }
}

impl Compute for Add {
    fn describe(&self) -> String {
        "add".into()
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
                    Broadcast::None => (self.kernels.add)(&self.addition, whole, other.row(y), output),
                    _ => (self.kernels.add_channels)(&self.addition, whole, other.row(0), output),
                }
            });
        }
    }
}

/// Quantised product; an operand may be one value a channel: a gate.
#[derive(Debug)]
pub struct Multiply {
    inputs: [Shape; 2],
    output: Shape,
    broadcast: Broadcast,
    /// Of the whole operand and the broadcast one, in this order.
    product: Product,
    kernels: &'static Kernels,
}

impl Multiply {
    /// `product` is of first and second operand; `swapped` of second and first.
    pub fn new(
        inputs: [Shape; 2],
        product: Product,
        swapped: Product,
        kernels: &'static Kernels,
    ) -> anyhow::Result<Self> {
        let (broadcast, output) = broadcast(inputs[0], inputs[1])?;
        let product = if broadcast == Broadcast::First { swapped } else { product };
        Ok(Multiply { inputs, output, broadcast, product, kernels })
    }
}

impl Compute for Multiply {
    fn describe(&self) -> String {
        if self.broadcast == Broadcast::None { "multiply" } else { "gate" }.into()
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
                    Broadcast::None => (self.kernels.multiply)(&self.product, whole, other.row(y), output),
                    _ => (self.kernels.multiply_channels)(&self.product, whole, other.row(0), output),
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
