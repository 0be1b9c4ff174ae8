//! Dense convolution with few output channels: a block of lanes holds all kernel columns' weights, so that an input pixel is
//! multiplied once for all output pixels that see it; their sums are then added up.

use std::ops::Range;

use super::dense::{DenseSet, MOST_KERNEL_ROWS, Packed, Patches};
use super::rows::{Rows, Scratch, grow};
use super::{Convolution, RowKernel};
use crate::engine::quantise::{Requantise, clamp, round};

/// Sums of input pixels to output pixels.
#[derive(Debug)]
pub struct Sums {
    /// Output channels.
    pub outputs: usize,
    /// Kernel columns, and input columns from one to the next.
    pub taps: usize,
    pub dilation: usize,
    /// Input columns from output pixel to output pixel.
    pub stride: usize,
    pub padding: usize,
    /// Input and output pixels.
    pub input: usize,
    pub output: usize,
    /// Sums from input pixel to input pixel: at least `taps × outputs`.
    pub step: usize,
    pub bias: Vec<i32>,
    pub factors: Vec<f32>,
    pub requantise: Requantise,
}

/// Whether fewer dot products do.
pub fn pays<S: DenseSet>(convolution: &Convolution) -> bool {
    let [_, taps] = convolution.kernel;
    let blocks = |outputs: usize| outputs.div_ceil(S::LANES);
    S::BY_ROWS
        && taps > 1
        && convolution.groups == 1
        && convolution.input[2].is_multiple_of(S::UNIT)
        && 4 * blocks(taps * convolution.output[2]) < 3 * taps * blocks(convolution.output[2])
}

/// A convolution that [`pays`], packed.
pub fn pack<S: DenseSet>(convolution: &Convolution) -> Box<dyn RowKernel> {
    let [rows, taps] = convolution.kernel;
    let [height, width, channels] = convolution.input;
    let outputs = convolution.output[2];
    let mut weights = Vec::with_capacity(convolution.weights.len());
    for tap in 0..taps {
        for output in 0..outputs {
            for row in 0..rows {
                let start = ((output * rows + row) * taps + tap) * channels;
                weights.extend_from_slice(&convolution.weights[start..start + channels]);
            }
        }
    }
    // Without bias, and with the zero point taken off: a column outside the input adds nothing.
    let columns = Convolution {
        input: [height, width, channels],
        output: [convolution.output[0], width, taps * outputs],
        kernel: [rows, 1],
        strides: [convolution.strides[0], 1],
        dilations: [convolution.dilations[0], 1],
        padding: [convolution.padding[0], 0],
        weights,
        bias: vec![0; taps * outputs],
        factors: vec![0.0; taps * outputs],
        ..convolution.clone()
    };
    let packed = Packed::<S>::new(&columns);
    let sums = Sums {
        outputs,
        taps,
        dilation: convolution.dilations[1],
        stride: convolution.strides[1],
        padding: convolution.padding[1],
        input: width,
        output: convolution.output[1],
        step: packed.blocks() * S::LANES,
        bias: convolution.bias.clone(),
        factors: convolution.factors.clone(),
        requantise: convolution.requantise,
    };
    Box::new(Folded { convolution: Convolution { weights: vec![], ..columns }, packed, sums })
}

#[derive(Debug)]
struct Folded<S> {
    /// Of the columns, without its weights.
    convolution: Convolution,
    packed: Packed<S>,
    sums: Sums,
}

impl<S: DenseSet> RowKernel for Folded<S> {
    fn reserve(&self, scratch: &mut Scratch) {
        grow(&mut scratch.outside, self.convolution.input[1] * self.convolution.input[2], 0);
        grow(&mut scratch.sums, self.sums.input * self.sums.step, 0);
    }

    fn run(
        &self,
        input: Rows<'_>,
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.input;
        let kernel_rows = convolution.kernel[0];
        let sums = &mut scratch.sums[..width * self.sums.step];
        let outside = &mut scratch.outside[..width * channels];
        outside.fill(convolution.input_zero_point);
        for (y, output) in rows.zip(output.chunks_mut(self.sums.output * stride)) {
            let mut seen: [&[u8]; MOST_KERNEL_ROWS] = [&[]; MOST_KERNEL_ROWS];
            for (ky, seen) in seen.iter_mut().enumerate().take(kernel_rows) {
                let input_y = (y * convolution.strides[0] + ky * convolution.dilations[0])
                    .wrapping_sub(convolution.padding[0]);
                *seen = if input_y < height { input.row(input_y) } else { outside };
            }
            let patches = Patches { rows: &seen[..kernel_rows], row: channels, step: channels, count: width };
            S::sum_rows(&self.packed, &patches, sums);
            S::add_up(&self.sums, sums, output, stride);
        }
    }
}

/// [`DenseSet::add_up`], to be inlined into what is compiled for a set.
#[inline(always)]
pub fn add_up(sums: &Sums, columns: &[i32], output: &mut [u8], stride: usize) {
    match sums.outputs {
        1 => add_up_channels::<1>(sums, columns, output, stride),
        2 => add_up_channels::<2>(sums, columns, output, stride),
        4 => add_up_channels::<4>(sums, columns, output, stride),
        8 => add_up_channels::<8>(sums, columns, output, stride),
        _ => {
            let mut first = 0;
            while first < sums.outputs {
                add_up_some::<1>(sums, columns, first, output, stride);
                first += 1;
            }
        }
    }
}

#[inline(always)]
fn add_up_channels<const N: usize>(sums: &Sums, columns: &[i32], output: &mut [u8], stride: usize) {
    add_up_some::<N>(sums, columns, 0, output, stride);
}

/// `N` channels from `first` on.
#[inline(always)]
fn add_up_some<const N: usize>(sums: &Sums, columns: &[i32], first: usize, output: &mut [u8], stride: usize) {
    let (Some(bias), Some(factors)) =
        (sums.bias[first..].first_chunk::<N>(), sums.factors[first..].first_chunk::<N>())
    else {
        return;
    };
    let (low, high, zero_point) =
        (sums.requantise.low(), sums.requantise.high(), sums.requantise.zero_point());
    for (x, pixel) in output.chunks_mut(stride.max(1)).take(sums.output).enumerate() {
        let mut total = *bias;
        for tap in 0..sums.taps {
            let column = (x * sums.stride + tap * sums.dilation).wrapping_sub(sums.padding);
            if column >= sums.input {
                continue;
            }
            let place = column * sums.step + tap * sums.outputs + first;
            if let Some(part) = columns.get(place..).and_then(|rest| rest.first_chunk::<N>()) {
                for (total, &part) in total.iter_mut().zip(part) {
                    *total = total.wrapping_add(part);
                }
            }
        }
        if let Some(pixel) = pixel.get_mut(first..).and_then(|rest| rest.first_chunk_mut::<N>()) {
            for ((stored, &sum), &factor) in pixel.iter_mut().zip(&total).zip(factors) {
                *stored = (round(clamp(sum as f32 * factor, low, high)) + zero_point) as u8;
            }
        }
    }
}
