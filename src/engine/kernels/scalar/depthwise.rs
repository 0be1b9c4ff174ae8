//! Depthwise convolution: for each pixel the taps that lie inside the input, for each block of channels its sums.

use std::ops::Range;

use crate::engine::kernels::{Convolution, RowKernel, Rows, Scratch};

/// Channels whose sums are kept in registers.
const BLOCK: usize = 16;

pub fn pack(convolution: &Convolution) -> Box<dyn RowKernel> {
    let taps = convolution.kernel[0] * convolution.kernel[1];
    let channels = convolution.output[2];
    let mut weights = vec![0i16; taps * channels];
    for (channel, row) in convolution.weights.chunks_exact(taps.max(1)).enumerate() {
        for (tap, &weight) in row.iter().enumerate() {
            weights[tap * channels + channel] = i16::from(weight);
        }
    }
    let convolution = Convolution { weights: vec![], ..convolution.clone() };
    Box::new(Depthwise { convolution, weights })
}

#[derive(Debug)]
struct Depthwise {
    /// Without its weights.
    convolution: Convolution,
    /// `[kernel row, kernel column, channel]`.
    weights: Vec<i16>,
}

impl RowKernel for Depthwise {
    fn reserve(&self, _scratch: &mut Scratch) {}

    fn run(
        &self,
        input: Rows<'_>,
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        _scratch: &mut Scratch,
    ) {
        let [_, width, channels] = self.convolution.output;
        for (y, row) in rows.zip(output.chunks_mut((width * stride).max(1))) {
            for (x, pixel) in row.chunks_mut(stride.max(1)).take(width).enumerate() {
                self.pixel(input, [y, x], &mut pixel[..channels]);
            }
        }
    }
}

impl Depthwise {
    /// Where a tap of an output position lies on an axis of the input; outside of it if past its end.
    #[inline(always)]
    fn position(&self, axis: usize, output: usize, tap: usize) -> usize {
        let convolution = &self.convolution;
        (output * convolution.strides[axis] + tap * convolution.dilations[axis])
            .wrapping_sub(convolution.padding[axis])
    }

    fn pixel(&self, input: Rows<'_>, place: [usize; 2], output: &mut [u8]) {
        let (blocks, rest) = output.as_chunks_mut::<BLOCK>();
        let tail = blocks.len() * BLOCK;
        for (index, block) in blocks.iter_mut().enumerate() {
            self.block::<BLOCK>(input, place, index * BLOCK, block);
        }
        for (index, output) in rest.iter_mut().enumerate() {
            self.block::<1>(input, place, tail + index, std::array::from_mut(output));
        }
    }

    /// The outputs of `N` channels from `channel` on. Taps outside the input hold the zero point and add nothing.
    #[inline(always)]
    fn block<const N: usize>(
        &self,
        input: Rows<'_>,
        [y, x]: [usize; 2],
        channel: usize,
        output: &mut [u8; N],
    ) {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.input;
        let [kernel_height, kernel_width] = convolution.kernel;
        let zero_point = i16::from(convolution.input_zero_point);
        let mut sums = [0i32; N];
        for ky in 0..kernel_height {
            let input_y = self.position(0, y, ky);
            if input_y >= height {
                continue;
            }
            let row = input.row(input_y);
            for kx in 0..kernel_width {
                let input_x = self.position(1, x, kx);
                if input_x >= width {
                    continue;
                }
                let tap = (ky * kernel_width + kx) * channels;
                let values = row[input_x * channels + channel..].first_chunk::<N>();
                let weights = self.weights[tap + channel..].first_chunk::<N>();
                let (Some(values), Some(weights)) = (values, weights) else { continue };
                for index in 0..N {
                    // |value − zero point| ≤ 255 and |weight| ≤ 128: the product fits into 16 bits.
                    let value = i16::from(values[index]).wrapping_sub(zero_point);
                    sums[index] = sums[index].wrapping_add(i32::from(value.wrapping_mul(weights[index])));
                }
            }
        }
        let bias = &convolution.bias[channel..][..N];
        let factors = &convolution.factors[channel..][..N];
        for (((output, &sum), &bias), &factor) in output.iter_mut().zip(&sums).zip(bias).zip(factors) {
            *output = convolution.requantise.apply(sum.wrapping_add(bias), factor);
        }
    }
}
