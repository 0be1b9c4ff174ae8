//! Depthwise convolution: for each pixel the taps that lie inside the input, for each block of channels its sums.

use std::ops::Range;

use crate::engine::kernels::{Convolution, RowKernel};

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

/// Where a tap reads: the pixel's channels in the input, the tap's in the weights.
type Tap = (usize, usize);

impl RowKernel for Depthwise {
    fn run(&self, input: &[u8], rows: Range<usize>, output: &mut [u8]) {
        let [_, width, channels] = self.convolution.output;
        let mut taps: Vec<Tap> = Vec::with_capacity(self.weights.len() / channels.max(1));
        for (y, row) in rows.zip(output.chunks_exact_mut((width * channels).max(1))) {
            for (x, pixel) in row.chunks_exact_mut(channels.max(1)).enumerate() {
                self.find_taps(y, x, &mut taps);
                self.pixel(input, &taps, pixel);
            }
        }
    }
}

impl Depthwise {
    /// The taps of an output pixel that lie inside the input; those outside hold the zero point and add nothing.
    fn find_taps(&self, y: usize, x: usize, taps: &mut Vec<Tap>) {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.input;
        let [kernel_height, kernel_width] = convolution.kernel;
        let position = |axis: usize, output: usize, tap: usize| {
            (output * convolution.strides[axis] + tap * convolution.dilations[axis])
                .wrapping_sub(convolution.padding[axis])
        };
        taps.clear();
        for ky in 0..kernel_height {
            let input_y = position(0, y, ky);
            for kx in 0..kernel_width {
                let input_x = position(1, x, kx);
                if input_y < height && input_x < width {
                    taps.push(((input_y * width + input_x) * channels, (ky * kernel_width + kx) * channels));
                }
            }
        }
    }

    fn pixel(&self, input: &[u8], taps: &[Tap], output: &mut [u8]) {
        let (blocks, rest) = output.as_chunks_mut::<BLOCK>();
        let tail = blocks.len() * BLOCK;
        for (index, block) in blocks.iter_mut().enumerate() {
            self.block::<BLOCK>(input, taps, index * BLOCK, block);
        }
        for (index, output) in rest.iter_mut().enumerate() {
            self.block::<1>(input, taps, tail + index, std::array::from_mut(output));
        }
    }

    /// The outputs of `N` channels from `channel` on.
    #[inline(always)]
    fn block<const N: usize>(&self, input: &[u8], taps: &[Tap], channel: usize, output: &mut [u8; N]) {
        let convolution = &self.convolution;
        let zero_point = i16::from(convolution.input_zero_point);
        let bias = &convolution.bias[channel..][..N];
        let factors = &convolution.factors[channel..][..N];
        let mut sums = [0i32; N];
        for &(pixel, tap) in taps {
            let values = input[pixel + channel..].first_chunk::<N>();
            let weights = self.weights[tap + channel..].first_chunk::<N>();
            let (Some(values), Some(weights)) = (values, weights) else { continue };
            for index in 0..N {
                // |value − zero point| ≤ 255 and |weight| ≤ 128: the product fits into 16 bits.
                let value = i16::from(values[index]).wrapping_sub(zero_point);
                sums[index] = sums[index].wrapping_add(i32::from(value.wrapping_mul(weights[index])));
            }
        }
        for (((output, &sum), &bias), &factor) in output.iter_mut().zip(&sums).zip(bias).zip(factors) {
            *output = convolution.requantise.apply(sum.wrapping_add(bias), factor);
        }
    }
}
