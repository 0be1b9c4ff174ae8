//! A quantised node as the file has it: what it computes, its window, its padding.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::ops::{Coordinates, Nearest};

/// An ONNX node with an int8 op here: its attributes, before its constants are looked at.
#[derive(Clone, Debug)]
pub struct Quantised {
    pub op_type: String,
    pub kind: OpKind,
    /// For each ONNX input, which of tract's inputs it is; `None` if it was left out.
    pub inputs: Vec<Option<usize>>,
}

#[derive(Clone, Debug)]
pub enum OpKind {
    Convolution { window: Window, groups: usize },
    Add,
    Multiply,
    Concatenate,
    GlobalAverage,
    Sigmoid,
    MaxPool(Window),
    Resize { linear: bool, nearest: Nearest, coordinates: Coordinates },
}

/// A sliding window's attributes; all lists are height, width.
#[derive(Clone, Debug)]
pub struct Window {
    /// `None`: the weights say.
    pub kernel: Option<[usize; 2]>,
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    pub padding: Padding,
}

#[derive(Clone, Debug)]
pub enum Padding {
    /// Top, left, bottom, right.
    Explicit([usize; 4]),
    /// As much as keeps `ceil(input / stride)`; an odd one goes below and right, or above and left.
    Same { upper: bool },
}

impl Window {
    pub fn new(node: &NodeProto) -> TractResult<Window> {
        let pair = |name: &str| -> TractResult<Option<[usize; 2]>> {
            let values = node.get_attr_opt_vec::<usize>(name)?;
            values.map(|values| sensible(node, name, values)).transpose()
        };
        let pads = node.get_attr_opt_vec::<usize>("pads")?;
        let pads = pads.map(|values| sensible(node, "pads", values)).transpose()?;
        let padding = match node.get_attr_opt::<&str>("auto_pad")?.unwrap_or("NOTSET") {
            "NOTSET" => Padding::Explicit(pads.unwrap_or_default()),
            "VALID" => Padding::Explicit([0; 4]),
            "SAME_UPPER" => Padding::Same { upper: true },
            "SAME_LOWER" => Padding::Same { upper: false },
            other => bail!("auto_pad {other:?} is not known"),
        };
        let window = Window {
            kernel: pair("kernel_shape")?,
            strides: pair("strides")?.unwrap_or([1, 1]),
            dilations: pair("dilations")?.unwrap_or([1, 1]),
            padding,
        };
        let positive = window.strides.iter().chain(&window.dilations).all(|&step| step > 0);
        ensure!(positive, "a stride or dilation is 0");
        Ok(window)
    }

    /// Rows above and columns left, and the output's height and width.
    pub fn place(&self, kernel: [usize; 2], input: [usize; 2]) -> TractResult<([usize; 2], [usize; 2])> {
        let mut before = [0; 2];
        let mut output = [0; 2];
        for axis in 0..2 {
            ensure!(kernel[axis] > 0 && kernel[axis] <= 64, "a window of {kernel:?} is not within 1 to 64");
            let reach = (kernel[axis] - 1) * self.dilations[axis] + 1;
            let (first, last) = match &self.padding {
                Padding::Explicit(pads) => (pads[axis], pads[axis + 2]),
                Padding::Same { upper } => {
                    let outputs = input[axis].div_ceil(self.strides[axis]);
                    let covered = (outputs.max(1) - 1) * self.strides[axis] + reach;
                    let total = covered.saturating_sub(input[axis]);
                    if *upper { (total / 2, total.div_ceil(2)) } else { (total.div_ceil(2), total / 2) }
                }
            };
            ensure!(
                first < reach && last < reach || reach == 1 && first + last == 0,
                "the padding hides the input: it is as wide as the window"
            );
            let padded = input[axis] + first + last;
            ensure!(padded >= reach, "the window is larger than its padded input");
            before[axis] = first;
            output[axis] = (padded - reach) / self.strides[axis] + 1;
        }
        Ok((before, output))
    }
}

/// A list attribute of a known length and sensible values.
fn sensible<const N: usize>(node: &NodeProto, name: &str, values: Vec<usize>) -> TractResult<[usize; N]> {
    let given = format!("{values:?}");
    match <[usize; N]>::try_from(values) {
        Ok(values) if values.iter().all(|&value| value <= 1024) => Ok(values),
        _ => {
            node.bail_attr(name, &format!("it is {given}; it must have {N} values, each between 0 and 1024"))
        }
    }
}
