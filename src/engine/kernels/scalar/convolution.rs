//! Dense and grouped convolution: a strip of pixels is gathered as `i16` patches, which one output channel's weights after
//! the other are multiplied with.

use std::ops::Range;

use crate::engine::kernels::{Convolution, RowKernel, Rows, Scratch, grow};

/// Patches and weights are padded with zeros to a multiple of this, so that loops have no tail.
const STEP: usize = 16;
/// Values of a strip of patches: it stays in the first-level cache.
const STRIP: usize = 8192;

pub fn pack(convolution: &Convolution) -> Box<dyn RowKernel> {
    let sum_length = convolution.sum_length();
    let patch = sum_length.next_multiple_of(STEP);
    let group_outputs = convolution.output[2] / convolution.groups.max(1);
    let mut weights = vec![0i16; convolution.output[2] * patch];
    let rows = convolution.weights.chunks_exact(sum_length.max(1));
    for (packed, row) in weights.chunks_exact_mut(patch.max(1)).zip(rows) {
        for (packed, &weight) in packed.iter_mut().zip(row) {
            *packed = i16::from(weight);
        }
    }
    let convolution = Convolution { weights: vec![], ..convolution.clone() };
    Box::new(Dense { convolution, patch, group_outputs, weights })
}

#[derive(Debug)]
struct Dense {
    /// Without its weights.
    convolution: Convolution,
    /// Length of a padded patch.
    patch: usize,
    /// Output channels of one group.
    group_outputs: usize,
    /// `[output channel, patch]`.
    weights: Vec<i16>,
}

impl Dense {
    /// Pixels of a strip.
    fn strip(&self) -> usize {
        (STRIP / self.patch.max(self.group_outputs).max(1)).clamp(1, self.convolution.output[1].max(1))
    }
}

impl RowKernel for Dense {
    fn reserve(&self, scratch: &mut Scratch) {
        grow(&mut scratch.words, self.strip() * self.patch, 0);
        grow(&mut scratch.sums, self.strip() * self.group_outputs, 0);
    }

    fn run(
        &self,
        input: Rows<'_>,
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let [_, width, channels] = self.convolution.output;
        let strip = self.strip();
        // A patch is padded with zeros, which the gathering leaves alone.
        let patches = &mut scratch.words[..strip * self.patch];
        patches.fill(0);
        let sums = &mut scratch.sums[..strip * self.group_outputs];
        for (y, row) in rows.zip(output.chunks_mut((width * stride).max(1))) {
            for (index, pixels) in row.chunks_mut((strip * stride).max(1)).enumerate() {
                let count = strip.min(width - index * strip);
                for group in 0..self.convolution.groups {
                    for (x, patch) in patches.chunks_exact_mut(self.patch.max(1)).take(count).enumerate() {
                        self.gather(input, y, index * strip + x, group, patch);
                    }
                    self.multiply(&patches[..count * self.patch], group, sums);
                    for (pixel, sums) in pixels
                        .chunks_mut(stride.max(1))
                        .zip(sums.chunks_exact(self.group_outputs.max(1)))
                        .take(count)
                    {
                        self.requantise(sums, group, &mut pixel[..channels]);
                    }
                }
            }
        }
    }
}

impl Dense {
    /// The inputs that an output pixel of a group sees, less the zero point; 0 outside the input.
    fn gather(&self, input: Rows<'_>, y: usize, x: usize, group: usize, patch: &mut [i16]) {
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
            let line = input.row(input_y);
            if adjacent {
                copy(&line[left * channels..], row);
                continue;
            }
            for (kx, pixel) in row.chunks_exact_mut(group_channels.max(1)).enumerate() {
                let input_x = left.wrapping_add(kx * convolution.dilations[1]);
                if input_x < width {
                    copy(&line[input_x * channels + group * group_channels..], pixel)
                } else {
                    pixel.fill(0)
                }
            }
        }
    }

    /// `sums[pixel][output] = Σ patch × weights`.
    fn multiply(&self, patches: &[i16], group: usize, sums: &mut [i32]) {
        let size = self.group_outputs * self.patch;
        let weights = &self.weights[group * size..][..size];
        for (output, weights) in weights.chunks_exact(self.patch).enumerate() {
            let sums = sums.iter_mut().skip(output).step_by(self.group_outputs);
            for (patch, sum) in patches.chunks_exact(self.patch).zip(sums) {
                *sum = dot_product(patch, weights);
            }
        }
    }

    fn requantise(&self, sums: &[i32], group: usize, pixel: &mut [u8]) {
        let convolution = &self.convolution;
        let outputs = group * self.group_outputs..(group + 1) * self.group_outputs;
        let bias = &convolution.bias[outputs.clone()];
        let factors = &convolution.factors[outputs.clone()];
        for (((output, &sum), &bias), &factor) in pixel[outputs].iter_mut().zip(sums).zip(bias).zip(factors) {
            *output = convolution.requantise.apply(sum.wrapping_add(bias), factor);
        }
    }
}

/// Of slices whose length is a multiple of [`STEP`]: a fixed step lets the compiler multiply and add pairs.
#[inline(always)]
fn dot_product(patch: &[i16], weights: &[i16]) -> i32 {
    let mut sum = 0i32;
    for (values, weights) in patch.as_chunks::<STEP>().0.iter().zip(weights.as_chunks::<STEP>().0) {
        for index in 0..STEP {
            sum = sum.wrapping_add(i32::from(values[index]) * i32::from(weights[index]));
        }
    }
    sum
}
