//! What a set of kernels is, and what it works on.

use std::fmt::Debug;
use std::ops::Range;

use super::rows::{Rows, Scratch};
use crate::engine::quantise::{Addition, Product, Requantise};
use crate::fault::Fault;

/// A set of kernels.
#[derive(Debug)]
pub struct Kernels {
    /// For options, reports and logs: `scalar`.
    pub name: &'static str,
    /// Packs a convolution's weights for this set; any kernel size, stride, dilation, padding and grouping.
    pub convolution: fn(&Convolution) -> Box<dyn RowKernel>,
    /// The same for one input channel an output channel, as many groups as channels.
    pub depthwise: fn(&Convolution) -> Box<dyn RowKernel>,
    /// `(addition, outer, inner, output)`, all of one length.
    pub add: fn(&Addition, &[u8], &[u8], &mut [u8]),
    /// The same where the inner operand is one value a channel: `inner` repeats along `outer`.
    pub add_channels: fn(&Addition, &[u8], &[u8], &mut [u8]),
    /// `(product, a, b, output)`, all of one length.
    pub multiply: fn(&Product, &[u8], &[u8], &mut [u8]),
    /// The same where `b` is one value a channel and repeats along `a`.
    pub multiply_channels: fn(&Product, &[u8], &[u8], &mut [u8]),
    /// `(table, input, output)`, both of one length.
    pub lookup: fn(&[u8; 256], &[u8], &mut [u8]),
    /// Adds each channel's pixels to `sums`, whose length is the number of channels.
    pub sum_channels: fn(&[u8], &mut [i32]),
    /// `output = max(output, input)`, both of one length.
    pub maximum: fn(&[u8], &mut [u8]),
    /// `(columns, row, output, stride)`: each output pixel is the highest of its window's columns.
    pub maximum_columns: fn(&Windows, &[u8], &mut [u8], usize),
    /// `output = above × weights[0] + below × weights[1]`, all of one length; no sum is above 65,535.
    pub blend_rows: BlendRows,
    /// `(blends, row, output, stride)`: see [`Blends`].
    pub blend_columns: fn(&Blends<'_>, &[u16], &mut [u8], usize),
}

/// Two rows, their weights, and what they come to.
pub type BlendRows = fn(&[u8], &[u8], [u16; 2], &mut [u16]);

/// Windows along a row of `[W, C]`.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Of the input and of the output.
    pub channels: usize,
    /// Input pixels.
    pub input: usize,
    /// Output pixels.
    pub output: usize,
    /// Columns of a window.
    pub kernel: usize,
    /// Columns from one window to the next.
    pub stride: usize,
    /// Distance between neighbouring columns of a window; 1 if they are adjacent.
    pub dilation: usize,
    /// Columns left of the input, which do not count.
    pub padding: usize,
}

/// Linear interpolation along a row of `[W, C]`: each output pixel is `(left × (one − weight) + right × weight) >> shift`.
/// No sum is above 65,535.
#[derive(Clone, Copy, Debug)]
pub struct Blends<'a> {
    /// Of the input and of the output.
    pub channels: usize,
    /// Left and right input pixel and the weight of the right one.
    pub pairs: &'a [(u32, u32, u16)],
    /// What both weights of a pair add up to.
    pub one: u16,
    /// Bits by which a weighted sum is shifted right to give the output.
    pub shift: u32,
}

/// A packed convolution that computes any range of output rows.
pub trait RowKernel: Debug + Send + Sync {
    /// Makes `scratch` as large as [`Self::run`] needs it.
    fn reserve(&self, scratch: &mut Scratch);

    /// Writes output rows `rows`. Their pixels begin `stride` bytes apart in `output`; what lies between them is left alone.
    fn run(
        &self,
        input: Rows<'_>,
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    );
}

/// A convolution as the model has it. Invariants are [`Convolution::check`]'s.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Height, width, channels.
    pub input: [usize; 3],
    /// Height, width, channels.
    pub output: [usize; 3],
    /// Height, width.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub strides: [usize; 2],
    /// Rows and columns between the places of neighbouring weights; 1 if these are adjacent.
    pub dilations: [usize; 2],
    /// Rows above and columns left of the input, holding its zero point.
    pub padding: [usize; 2],
    /// Groups of channels: an output channel sees the input channels of its own group only. 1: it sees all.
    pub groups: usize,
    /// The stored value that means 0.
    pub input_zero_point: u8,
    /// `[output channel, kernel row, kernel column, input channel of the group]`.
    pub weights: Vec<i8>,
    /// One an output channel, in steps of input scale × weight scale.
    pub bias: Vec<i32>,
    /// One an output channel: from sums to steps of the output.
    pub factors: Vec<f32>,
    /// From steps of the output to its stored values.
    pub requantise: Requantise,
}

/// Sums of this many products of u8 and s8 fit into 32 bits.
const LONGEST_SUM: usize = 1 << 16;

impl Convolution {
    /// Input channels that one output channel sees.
    pub fn group_channels(&self) -> usize {
        self.input[2] / self.groups.max(1)
    }
    /// Products in the sum of one output.
    pub fn sum_length(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.group_channels()
    }
    /// For one frame.
    pub fn multiply_adds(&self) -> u64 {
        (self.output.iter().product::<usize>() * self.sum_length()) as u64
    }
    /// As many groups as input channels and as output channels.
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.input[2] && self.groups == self.output[2]
    }

    /// That the parts fit each other, so that kernels may rely on it.
    pub fn check(&self) -> anyhow::Result<()> {
        let outputs = self.output[2];
        let groups_fit = self.groups > 0
            && self.input[2].is_multiple_of(self.groups)
            && outputs.is_multiple_of(self.groups);
        let parts_fit = self.weights.len() == outputs * self.sum_length()
            && self.bias.len() == outputs
            && self.factors.len() == outputs;
        let factors_fit = self.factors.iter().all(|factor| factor.is_finite() && *factor >= 0.0);
        let steps_fit = self.strides.iter().chain(&self.dilations).all(|&step| step > 0);
        if !(groups_fit && parts_fit && steps_fit) {
            return Err(Fault::data("groups, weights, bias and scales do not fit each other"));
        }
        if !factors_fit {
            return Err(Fault::data("a scale is negative or not finite"));
        }
        if self.sum_length() > LONGEST_SUM {
            return Err(Fault::data(format!("{} products a sum are too many", self.sum_length())));
        }
        Ok(())
    }
}
