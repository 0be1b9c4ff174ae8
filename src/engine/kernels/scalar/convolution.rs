//! Dense and grouped convolution: a strip of pixels is gathered as `i16` patches, then multiplied with four output
//! channels' weights at a time.

use std::ops::Range;

use crate::engine::kernels::{Convolution, RowKernel};

/// Patches and weights are padded with zeros to a multiple of this, so that loops have no tail.
const STEP: usize = 16;
/// Output channels that share one pass over a patch.
const TOGETHER: usize = 4;
/// Values of a strip of patches: it stays in the first-level cache.
const STRIP: usize = 8192;

pub fn pack(convolution: &Convolution) -> Box<dyn RowKernel> {
    let sum_length = convolution.sum_length();
    let patch = sum_length.next_multiple_of(STEP);
    let group_outputs = convolution.output[2] / convolution.groups.max(1);
    let padded_outputs = group_outputs.next_multiple_of(TOGETHER);
    let mut weights = vec![0i16; convolution.groups * padded_outputs * patch];
    for (channel, row) in convolution.weights.chunks_exact(sum_length.max(1)).enumerate() {
        let (group, channel) = (channel / group_outputs, channel % group_outputs);
        let start = (group * padded_outputs + channel) * patch;
        for (packed, &weight) in weights[start..].iter_mut().zip(row) {
            *packed = i16::from(weight);
        }
    }
    let convolution = Convolution { weights: vec![], ..convolution.clone() };
    Box::new(Dense { convolution, patch, group_outputs, padded_outputs, weights })
}

#[derive(Debug)]
struct Dense {
    /// Without its weights.
    convolution: Convolution,
    /// Length of a padded patch.
    patch: usize,
    group_outputs: usize,
    padded_outputs: usize,
    /// `[group, padded output of the group, patch]`.
    weights: Vec<i16>,
}

impl RowKernel for Dense {
    fn run(&self, input: &[u8], rows: Range<usize>, output: &mut [u8]) {
        let convolution = &self.convolution;
        let [_, width, channels] = convolution.output;
        let strip = (STRIP / self.patch.max(self.padded_outputs)).clamp(1, width.max(1));
        let mut patches = vec![0i16; strip * self.patch];
        let mut sums = vec![0i32; strip * self.padded_outputs];
        for (y, row) in rows.zip(output.chunks_exact_mut((width * channels).max(1))) {
            for (index, pixels) in row.chunks_mut(strip * channels).enumerate() {
                let count = pixels.len() / channels;
                for group in 0..convolution.groups {
                    for (x, patch) in patches.chunks_exact_mut(self.patch).take(count).enumerate() {
                        self.gather(input, y, index * strip + x, group, patch);
                    }
                    self.multiply(&patches[..count * self.patch], group, &mut sums);
                    self.requantise(&sums, group, pixels);
                }
            }
        }
    }
}

impl Dense {
    /// The inputs that an output pixel of a group sees, less the zero point; 0 outside the input.
    fn gather(&self, input: &[u8], y: usize, x: usize, group: usize, patch: &mut [i16]) {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.input;
        let [kernel_height, kernel_width] = convolution.kernel;
        let group_channels = convolution.group_channels();
        let zero_point = i16::from(convolution.input_zero_point);
        let copy = |from: &[u8], to: &mut [i16]| {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = i16::from(from).wrapping_sub(zero_point);
            }
        };
        let left = (x * convolution.strides[1]).wrapping_sub(convolution.padding[1]);
        let adjacent = convolution.groups == 1
            && convolution.dilations[1] == 1
            && left < width
            && left + kernel_width <= width;
        let taps = patch.chunks_exact_mut((kernel_width * group_channels).max(1)).take(kernel_height);
        for (ky, row) in taps.enumerate() {
            let input_y = (y * convolution.strides[0] + ky * convolution.dilations[0])
                .wrapping_sub(convolution.padding[0]);
            if input_y >= height {
                row.fill(0);
                continue;
            }
            let line = &input[input_y * width * channels..][..width * channels];
            if adjacent {
                copy(&line[left * channels..], row);
                continue;
            }
            for (kx, pixel) in row.chunks_exact_mut(group_channels.max(1)).enumerate() {
                let input_x = left.wrapping_add(kx * convolution.dilations[1]);
                match input_x < width {
                    true => copy(&line[input_x * channels + group * group_channels..], pixel),
                    false => pixel.fill(0),
                }
            }
        }
    }

    /// `sums[pixel][output] = Σ patch × weights`.
    fn multiply(&self, patches: &[i16], group: usize, sums: &mut [i32]) {
        let size = self.padded_outputs * self.patch;
        let weights = &self.weights[group * size..][..size];
        for (index, weights) in weights.chunks_exact(TOGETHER * self.patch).enumerate() {
            let sums = sums.chunks_exact_mut(self.padded_outputs);
            for (patch, sums) in patches.chunks_exact(self.patch).zip(sums) {
                sums[index * TOGETHER..][..TOGETHER].copy_from_slice(&dot_products(patch, weights));
            }
        }
    }

    fn requantise(&self, sums: &[i32], group: usize, pixels: &mut [u8]) {
        let convolution = &self.convolution;
        let outputs = group * self.group_outputs..(group + 1) * self.group_outputs;
        let bias = &convolution.bias[outputs.clone()];
        let factors = &convolution.factors[outputs.clone()];
        let sums = sums.chunks_exact(self.padded_outputs);
        for (pixel, sums) in pixels.chunks_exact_mut(convolution.output[2]).zip(sums) {
            let pixel = &mut pixel[outputs.clone()];
            for (((output, &sum), &bias), &factor) in pixel.iter_mut().zip(sums).zip(bias).zip(factors) {
                *output = convolution.requantise.apply(sum.wrapping_add(bias), factor);
            }
        }
    }
}

/// The dot products of a patch with four rows of weights of its length.
#[inline(always)]
fn dot_products(patch: &[i16], weights: &[i16]) -> [i32; TOGETHER] {
    let length = patch.len();
    let (first, rest) = weights.split_at(length);
    let (second, rest) = rest.split_at(length);
    let (third, fourth) = rest.split_at(length);
    let product = |value: i16, weight: i16| i32::from(value) * i32::from(weight);
    let mut sums = [0i32; TOGETHER];
    for ((((&value, &a), &b), &c), &d) in patch.iter().zip(first).zip(second).zip(third).zip(fourth) {
        sums[0] = sums[0].wrapping_add(product(value, a));
        sums[1] = sums[1].wrapping_add(product(value, b));
        sums[2] = sums[2].wrapping_add(product(value, c));
        sums[3] = sums[3].wrapping_add(product(value, d));
    }
    sums
}
