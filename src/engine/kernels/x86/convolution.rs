//! Dense convolution: pixels × blocks of 16 output channels in registers, four inputs a dot product.

use std::arch::x86_64::*;
use std::ops::Range;

use super::vectors::{BLOCK, Channels, Line};
use crate::engine::kernels::{Convolution, RowKernel, scalar};

/// Pixels whose sums are kept in registers at a time.
const PIXELS: usize = 8;
/// Blocks of output channels at a time: with [`PIXELS`], 24 of the 32 registers hold sums.
const BLOCKS: usize = 3;
/// Bytes of a strip of patches: it stays in the first-level cache.
const STRIP: usize = 16_384;
/// Rows of a patch up to this length are copied at this length; what is too much is overwritten by the next row.
const SHORT_ROW: usize = 16;

/// Groups are left to the scalar set.
pub fn pack(convolution: &Convolution) -> Box<dyn RowKernel> {
    if convolution.groups != 1 {
        return (scalar::KERNELS.convolution)(convolution);
    }
    let sum_length = convolution.sum_length();
    let depth = sum_length.div_ceil(4);
    let channels = Channels::pack(convolution);
    let mut weights = vec![Line([0; 64]); channels.len() * depth];
    let rows = convolution.weights.chunks_exact(sum_length.max(1));
    for (output, row) in rows.take(convolution.output[2]).enumerate() {
        let lines = &mut weights[output / BLOCK * depth..][..depth];
        for (index, &weight) in row.iter().enumerate() {
            lines[index / 4].set(output % BLOCK, index % 4, weight);
        }
    }
    let in_place = convolution.kernel == [1, 1]
        && convolution.strides == [1, 1]
        && convolution.padding == [0, 0]
        && convolution.input[..2] == convolution.output[..2]
        && convolution.input[2].is_multiple_of(4);
    let convolution = Convolution { weights: vec![], ..convolution.clone() };
    Box::new(Dense { convolution, depth, in_place, weights, channels })
}

#[derive(Debug)]
struct Dense {
    /// Without its weights.
    convolution: Convolution,
    /// Dot products of four in a sum.
    depth: usize,
    /// The input itself is the patches.
    in_place: bool,
    /// `[block of output channels, depth]`, each a line of `[output channel, 4] i8`.
    weights: Vec<Line>,
    /// One a block.
    channels: Vec<Channels>,
}

impl RowKernel for Dense {
    fn run(&self, input: &[u8], rows: Range<usize>, output: &mut [u8]) {
        let [_, width, channels] = self.convolution.output;
        let patch = self.depth * 4;
        let strip = (STRIP / patch.max(1)).next_multiple_of(PIXELS);
        if self.in_place {
            let pixels = &input[rows.start * width * patch..][..rows.len() * width * patch];
            let strips = pixels.chunks((strip * patch).max(1));
            for (patches, pixels) in strips.zip(output.chunks_mut((strip * channels).max(1))) {
                self.strip(patches, pixels);
            }
            return;
        }
        let strip = strip.min(width);
        let mut patches = vec![0u8; strip * patch + SHORT_ROW];
        for (y, row) in rows.zip(output.chunks_exact_mut((width * channels).max(1))) {
            for (index, pixels) in row.chunks_mut((strip * channels).max(1)).enumerate() {
                let count = pixels.len() / channels;
                for x in 0..count {
                    self.gather(input, y, index * strip + x, &mut patches[x * patch..]);
                }
                self.strip(&patches[..count * patch], pixels);
            }
        }
    }
}

impl Dense {
    /// The inputs that an output pixel sees; the zero point outside the input. May write up to [`SHORT_ROW`] bytes more.
    #[inline]
    fn gather(&self, input: &[u8], y: usize, x: usize, patch: &mut [u8]) {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.input;
        let [kernel_height, kernel_width] = convolution.kernel;
        let zero_point = convolution.input_zero_point;
        let length = kernel_width * channels;
        let left = (x * convolution.strides[1]).wrapping_sub(convolution.padding[1]);
        let adjacent = convolution.dilations[1] == 1 && left < width && left + kernel_width <= width;
        for ky in 0..kernel_height {
            let patch = &mut patch[ky * length..];
            let input_y = (y * convolution.strides[0] + ky * convolution.dilations[0])
                .wrapping_sub(convolution.padding[0]);
            if input_y >= height {
                patch[..length].fill(zero_point);
                continue;
            }
            let line = &input[input_y * width * channels..];
            if adjacent {
                let line = &line[left * channels..];
                let short = length <= SHORT_ROW;
                match (line.first_chunk::<SHORT_ROW>(), patch.first_chunk_mut::<SHORT_ROW>()) {
                    (Some(from), Some(to)) if short => *to = *from,
                    _ => patch[..length].copy_from_slice(&line[..length]),
                }
                continue;
            }
            for (kx, pixel) in patch[..length].chunks_exact_mut(channels.max(1)).enumerate() {
                let input_x = left.wrapping_add(kx * convolution.dilations[1]);
                match input_x < width {
                    true => pixel.copy_from_slice(&line[input_x * channels..][..channels]),
                    false => pixel.fill(zero_point),
                }
            }
        }
    }

    /// All output channels of the pixels whose patches these are.
    fn strip(&self, patches: &[u8], output: &mut [u8]) {
        let blocks = self.channels.len();
        let passes = blocks.div_ceil(BLOCKS);
        for pass in 0..passes {
            let range = pass * blocks / passes..(pass + 1) * blocks / passes;
            // SAFETY: the set is only given out where the CPU has what this function is compiled for.
            unsafe {
                match range.len() {
                    3 => self.blocks::<3>(range.start, patches, output),
                    2 => self.blocks::<2>(range.start, patches, output),
                    _ => self.blocks::<1>(range.start, patches, output),
                }
            }
        }
    }

    /// `B` blocks of output channels from `first` on, of all pixels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn blocks<const B: usize>(&self, first: usize, patches: &[u8], output: &mut [u8]) {
        let count = output.len() / self.convolution.output[2];
        let mut pixel = 0;
        while pixel < count {
            // The last tile begins earlier, so that it is full: some pixels are computed twice.
            pixel = match count {
                PIXELS.. => {
                    let start = pixel.min(count - PIXELS);
                    self.tile::<PIXELS, B>(first, start, patches, output);
                    start + PIXELS
                }
                4.. => {
                    let start = pixel.min(count - 4);
                    self.tile::<4, B>(first, start, patches, output);
                    start + 4
                }
                _ => {
                    self.tile::<1, B>(first, pixel, patches, output);
                    pixel + 1
                }
            };
        }
    }

    /// `P` pixels from `pixel` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn tile<const P: usize, const B: usize>(
        &self,
        first: usize,
        pixel: usize,
        patches: &[u8],
        output: &mut [u8],
    ) {
        let depth = self.depth;
        let patches = patches[pixel * depth * 4..][..P * depth * 4].as_ptr();
        let weights = self.weights[first * depth..][..B * depth].as_ptr();
        let channels = &self.channels[first..][..B];
        let mut sums = [[_mm512_setzero_si512(); B]; P];
        for sums in &mut sums {
            for block in 0..B {
                sums[block] = channels[block].start();
            }
        }
        for step in 0..depth {
            let mut lines = [_mm512_setzero_si512(); B];
            for (block, line) in lines.iter_mut().enumerate() {
                // SAFETY: block < B and step < depth, and there are B × depth lines.
                *line = unsafe { _mm512_load_si512(weights.add(block * depth + step).cast()) };
            }
            for (pixel, sums) in sums.iter_mut().enumerate() {
                // SAFETY: pixel < P and step < depth, and there are P × depth × 4 bytes.
                let four = unsafe { patches.add((pixel * depth + step) * 4).cast::<i32>().read_unaligned() };
                let four = _mm512_set1_epi32(four);
                for block in 0..B {
                    sums[block] = _mm512_dpbusd_epi32(sums[block], four, lines[block]);
                }
            }
        }
        let outputs = self.convolution.output[2];
        let output = &mut output[pixel * outputs..][..P * outputs];
        for (pixel, sums) in sums.iter().enumerate() {
            for block in 0..B {
                let output = &mut output[pixel * outputs + (first + block) * BLOCK..];
                channels[block].store(&self.convolution.requantise, sums[block], output);
            }
        }
    }
}
