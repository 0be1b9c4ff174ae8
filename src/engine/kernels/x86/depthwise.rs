//! Depthwise convolution: four rows of a column are the four taps of one dot product; the columns of an output row are
//! interleaved once and then slid over.

use std::arch::x86_64::*;
use std::ops::Range;

use super::vectors::{BLOCK, Channels, Line, first};
use crate::engine::kernels::{Convolution, RowKernel, scalar};

/// Pixels whose sums are kept in registers at a time.
const PIXELS: usize = 4;

pub fn pack(convolution: &Convolution) -> Box<dyn RowKernel> {
    let [kernel_height, kernel_width] = convolution.kernel;
    if !convolution.is_depthwise() || convolution.output.contains(&0) || convolution.input.contains(&0) {
        return (scalar::KERNELS.depthwise)(convolution);
    }
    let quads = kernel_height.div_ceil(4);
    let taps = kernel_width * quads;
    let channels = Channels::pack(convolution);
    let mut weights = vec![Line([0; 64]); channels.len() * taps];
    let rows = convolution.weights.chunks_exact(convolution.sum_length().max(1));
    for (channel, row) in rows.take(convolution.output[2]).enumerate() {
        let lines = &mut weights[channel / BLOCK * taps..][..taps];
        for (index, &weight) in row.iter().enumerate() {
            let (ky, kx) = (index / kernel_width, index % kernel_width);
            lines[kx * quads + ky / 4].set(channel % BLOCK, ky % 4, weight);
        }
    }
    let columns = (convolution.output[1] - 1) * convolution.strides[1]
        + kernel_width.saturating_sub(1) * convolution.dilations[1]
        + 1;
    let convolution = Convolution { weights: vec![], ..convolution.clone() };
    Box::new(Depthwise { convolution, quads, columns, weights, channels })
}

#[derive(Debug)]
struct Depthwise {
    /// Without its weights.
    convolution: Convolution,
    /// Fours of kernel rows; those that the kernel lacks have zeros for weights.
    quads: usize,
    /// Columns that an output row sees, padding included.
    columns: usize,
    /// `[block of channels, kernel column, quad]`, each a line of `[channel, 4] i8`.
    weights: Vec<Line>,
    /// One a block.
    channels: Vec<Channels>,
}

impl RowKernel for Depthwise {
    fn run(&self, input: &[u8], rows: Range<usize>, output: &mut [u8]) {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.input;
        let outside = vec![convolution.input_zero_point; width * channels];
        let mut columns = vec![Line([convolution.input_zero_point; 64]); self.columns * self.quads];
        let mut seen: Vec<&[u8]> = Vec::with_capacity(self.quads * 4);
        let output_row = convolution.output[1] * channels;
        for (y, output) in rows.zip(output.chunks_exact_mut(output_row.max(1))) {
            seen.clear();
            for ky in 0..self.quads * 4 {
                let input_y = (y * convolution.strides[0] + ky * convolution.dilations[0])
                    .wrapping_sub(convolution.padding[0]);
                seen.push(match input_y < height && ky < convolution.kernel[0] {
                    true => &input[input_y * width * channels..][..width * channels],
                    false => &outside,
                });
            }
            for block in 0..self.channels.len() {
                // SAFETY: the set is only given out where the CPU has what these functions are compiled for.
                unsafe {
                    for (quad, rows) in seen.as_chunks::<4>().0.iter().enumerate() {
                        self.interleave(rows, block, quad, &mut columns);
                    }
                    self.block(&columns, block, output);
                }
            }
        }
    }
}

impl Depthwise {
    /// Writes a quad's rows of a block of channels to `columns [column, quad]`, a line of `[channel, 4] u8` each.
    /// Columns outside the input are left alone: they hold the zero point from the start.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    fn interleave(&self, rows: &[&[u8]; 4], block: usize, quad: usize, columns: &mut [Line]) {
        let [_, width, channels] = self.convolution.input;
        let before = self.convolution.padding[1];
        let inside = width.min(self.columns.saturating_sub(before));
        let rows = rows.map(|row| row[..width * channels].as_ptr());
        let mask = first(self.channels[block].count());
        let lines = columns.iter_mut().skip(before * self.quads + quad).step_by(self.quads);
        let order = interleaving();
        for (column, line) in lines.take(inside).enumerate() {
            let place = column * channels + block * BLOCK;
            let mut four = [_mm_setzero_si128(); 4];
            for (four, row) in four.iter_mut().zip(rows) {
                // SAFETY: column < width, and the mask keeps to the channels that there are.
                *four = unsafe { _mm_maskz_loadu_epi8(mask, row.add(place).cast()) };
            }
            let rows = _mm512_castsi128_si512(four[0]);
            let rows = _mm512_inserti32x4::<1>(rows, four[1]);
            let rows = _mm512_inserti32x4::<2>(rows, four[2]);
            let rows = _mm512_inserti32x4::<3>(rows, four[3]);
            // SAFETY: a line is as long as the vector, and aligned.
            unsafe { _mm512_store_si512(line.0.as_mut_ptr().cast(), _mm512_permutexvar_epi8(order, rows)) };
        }
    }

    /// A block of channels of an output row.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn block(&self, columns: &[Line], block: usize, output: &mut [u8]) {
        let width = self.convolution.output[1];
        match (self.convolution.kernel[1], self.quads, self.convolution.dilations[1]) {
            (3, 1, 1) => self.pixels::<3>(columns, block, width, output),
            (5, 2, 1) => self.pixels::<10>(columns, block, width, output),
            _ => self.pixels::<0>(columns, block, width, output),
        }
    }

    /// `TAPS` adjacent lines make a sum; 0 for a number only known when run, and columns that may be apart.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn pixels<const TAPS: usize>(&self, columns: &[Line], block: usize, width: usize, output: &mut [u8]) {
        let mut x = 0;
        while x < width {
            // The last tile begins earlier, so that it is full: some pixels are computed twice.
            x = if width >= PIXELS {
                let start = x.min(width - PIXELS);
                self.tile::<PIXELS, TAPS>(columns, block, start, output);
                start + PIXELS
            } else {
                self.tile::<1, TAPS>(columns, block, x, output);
                x + 1
            };
        }
    }

    /// `P` pixels from `x` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn tile<const P: usize, const TAPS: usize>(
        &self,
        columns: &[Line],
        block: usize,
        x: usize,
        output: &mut [u8],
    ) {
        let convolution = &self.convolution;
        let stride = convolution.strides[1] * self.quads;
        let taps = if TAPS > 0 { TAPS } else { convolution.kernel[1] * self.quads };
        let last = match TAPS {
            0 => (convolution.kernel[1].saturating_sub(1) * convolution.dilations[1] + 1) * self.quads,
            _ => TAPS,
        };
        let columns = columns[x * stride..][..(P - 1) * stride + last].as_ptr();
        let weights = self.weights[block * taps..][..taps].as_ptr();
        let mut sums = [self.channels[block].start(); P];
        for tap in 0..taps {
            let place = match TAPS {
                0 => tap / self.quads * convolution.dilations[1] * self.quads + tap % self.quads,
                _ => tap,
            };
            // SAFETY: tap < taps, and there are that many lines.
            let line = unsafe { _mm512_load_si512(weights.add(tap).cast()) };
            for (pixel, sum) in sums.iter_mut().enumerate() {
                // SAFETY: pixel < P and place < last, and there are (P − 1) × stride + last lines.
                let column = unsafe { _mm512_load_si512(columns.add(pixel * stride + place).cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, column, line);
            }
        }
        let channels = convolution.output[2];
        let output = &mut output[x * channels..][..P * channels];
        for (pixel, &sum) in sums.iter().enumerate() {
            let output = &mut output[pixel * channels + block * BLOCK..];
            self.channels[block].store(&convolution.requantise, sum, output);
        }
    }
}

/// For each byte of `[channel, row]` its place in `[row, channel]`.
#[inline]
#[target_feature(enable = "avx512f")]
fn interleaving() -> __m512i {
    let order: [u8; 64] = std::array::from_fn(|index| (index % 4 * BLOCK + index / 4) as u8);
    // SAFETY: the array has the vector's size.
    unsafe { _mm512_loadu_si512(order.as_ptr().cast()) }
}
