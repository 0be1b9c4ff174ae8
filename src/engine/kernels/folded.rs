//! Dense convolution with few output channels: a block of lanes holds all kernel columns' weights, so that an input pixel is
//! multiplied once for all output pixels that see it; their sums are then added up.

use std::ops::Range;

use super::packed::{ByRows, DenseSet, MOST_KERNEL_ROWS, Packed, Patches, Sums};
use super::rows::{Rows, Scratch, grow};
use super::{Convolution, RowKernel};
use crate::engine::quantise::{clamp, round};

/// Whether fewer dot products do.
fn pays<S: DenseSet>(convolution: &Convolution) -> bool {
    let [_, taps] = convolution.kernel;
    let blocks = |outputs: usize| outputs.div_ceil(S::LANES);
    taps > 1
        && convolution.groups == 1
        && convolution.input[2].is_multiple_of(S::UNIT)
        && 4 * blocks(taps * convolution.output[2]) < 3 * taps * blocks(convolution.output[2])
}

/// The convolution packed, if the set reads rows where they are and this way pays.
pub fn pack<S: DenseSet>(convolution: &Convolution) -> Option<Box<dyn RowKernel>> {
    let by_rows = S::BY_ROWS.filter(|_| pays::<S>(convolution))?;
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
    Some(Box::new(FoldedConvolution {
        convolution: Convolution { weights: vec![], ..columns },
        packed,
        sums,
        by_rows,
    }))
}

#[derive(Debug)]
struct FoldedConvolution<S> {
    /// Of the columns, without its weights.
    convolution: Convolution,
    packed: Packed<S>,
    sums: Sums,
    by_rows: ByRows<S>,
}

impl<S: DenseSet> RowKernel for FoldedConvolution<S> {
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
            (self.by_rows.sum)(&self.packed, &patches, sums);
            (self.by_rows.add_up)(&self.sums, sums, output, stride);
        }
    }
}

/// [`ByRows::add_up`], to be inlined into what is compiled for a set.
#[inline(always)]
pub fn add_up(sums: &Sums, columns: &[i32], output: &mut [u8], stride: usize) {
    match (sums.outputs, sums.taps) {
        (1, 3) => add_up_channels::<1, 3>(sums, columns, 0, output, stride),
        (2, 3) => add_up_channels::<2, 3>(sums, columns, 0, output, stride),
        (4, 3) => add_up_channels::<4, 3>(sums, columns, 0, output, stride),
        (8, 3) => add_up_channels::<8, 3>(sums, columns, 0, output, stride),
        _ => {
            for first in 0..sums.outputs {
                add_up_channels::<1, 0>(sums, columns, first, output, stride);
            }
        }
    }
}

/// `N` channels from `first` on; `TAPS` kernel columns, or 0 for a number only known when run.
#[inline(always)]
fn add_up_channels<const N: usize, const TAPS: usize>(
    sums: &Sums,
    columns: &[i32],
    first: usize,
    output: &mut [u8],
    stride: usize,
) {
    let (Some(bias), Some(factors)) =
        (sums.bias[first..].first_chunk::<N>(), sums.factors[first..].first_chunk::<N>())
    else {
        return;
    };
    let taps = if TAPS > 0 { TAPS } else { sums.taps };
    let (low, high, zero_point) =
        (sums.requantise.low(), sums.requantise.high(), sums.requantise.zero_point());
    // From a tap's sums to the next one's, and all that a pixel's taps span.
    let apart = sums.dilation * sums.step + sums.outputs;
    let span = (taps - 1) * apart + N;
    let reach = (taps - 1) * sums.dilation;
    for (x, pixel) in output.chunks_mut(stride.max(1)).take(sums.output).enumerate() {
        let mut total = *bias;
        let mut add = |part: &[i32]| {
            if let Some(part) = part.first_chunk::<N>() {
                for (total, &part) in total.iter_mut().zip(part) {
                    *total = total.wrapping_add(part);
                }
            }
        };
        let left = (x * sums.stride).wrapping_sub(sums.padding);
        let inside = left < sums.input && left + reach < sums.input;
        match columns.get(left.wrapping_mul(sums.step).wrapping_add(first)..) {
            Some(seen) if inside && seen.len() >= span => {
                (0..taps).for_each(|tap| add(&seen[tap * apart..]));
            }
            _ => {
                for tap in 0..taps {
                    let column = left.wrapping_add(tap * sums.dilation);
                    if column < sums.input {
                        add(&columns[column * sums.step + tap * sums.outputs + first..]);
                    }
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
