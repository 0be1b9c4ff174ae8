//! Dense convolution for sets with dot products: patches of a strip of pixels, gathered into the first-level cache unless
//! the input itself is the patches, times packed weights.

use std::fmt::Debug;
use std::ops::Range;

use super::folded;
use super::packed::{ByRows, DenseSet, MOST_KERNEL_ROWS, Packed, Patches, Value};
use super::rows::{Rows, Scratch, grow};
use super::{Convolution, RowKernel, scalar};

/// Values of a strip of patches: about half of a first-level cache of 32 KiB.
const STRIP_BYTES: usize = 16_384;
/// Rows of a patch up to this length are copied at this length; what is too much is overwritten by the next row.
const SHORT_ROW: usize = 16;
/// From this output width on, edges are few enough for the rest to be read where it is.
const LEAST_WIDTH_BY_ROWS: usize = 20;

/// A convolution packed for a set; groups are left to the scalar set.
pub fn pack<S: DenseSet>(convolution: &Convolution) -> Box<dyn RowKernel> {
    let empty = convolution.output.contains(&0) || convolution.sum_length() == 0;
    if empty || convolution.groups != 1 || convolution.kernel[0] > MOST_KERNEL_ROWS {
        return (scalar::KERNELS.convolution)(convolution);
    }
    if let Some(folded) = folded::pack::<S>(convolution) {
        return folded;
    }
    let packed = Packed::<S>::new(convolution);
    let pointwise = convolution.kernel == [1, 1]
        && convolution.strides == [1, 1]
        && convolution.padding == [0, 0]
        && convolution.input[..2] == convolution.output[..2];
    let in_place = pointwise && packed.depth == convolution.input[2];
    let readable = !in_place
        && convolution.dilations[1] == 1
        && convolution.output[1] >= LEAST_WIDTH_BY_ROWS
        && packed.depth == packed.row * convolution.kernel[0];
    let by_rows = S::BY_ROWS.filter(|_| readable);
    let patch_bytes = packed.depth * size_of::<S::Value>();
    let strip = (STRIP_BYTES / patch_bytes).max(1).next_multiple_of(S::PIXELS);
    let convolution = Convolution { weights: vec![], ..convolution.clone() };
    Box::new(Dense { convolution, packed, in_place, by_rows, strip })
}

#[derive(Debug)]
struct Dense<S> {
    /// Without its weights.
    convolution: Convolution,
    packed: Packed<S>,
    /// The input is the patches, if its values need no change of form.
    in_place: bool,
    /// If patches' rows are read where they are.
    by_rows: Option<ByRows<S>>,
    /// Pixels of a strip.
    strip: usize,
}

impl<S: DenseSet> RowKernel for Dense<S> {
    fn reserve(&self, scratch: &mut Scratch) {
        let pixels = self.strip.min(self.convolution.output[0] * self.convolution.output[1]);
        grow(S::Value::scratch(scratch), pixels * self.packed.depth + SHORT_ROW, S::Value::new(0));
        if self.by_rows.is_some() {
            grow(&mut scratch.outside, self.convolution.input[1] * self.convolution.input[2], 0);
            grow(&mut scratch.edges, self.strip * self.packed.outputs, 0);
        }
    }

    fn run(
        &self,
        input: Rows<'_>,
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let width = self.convolution.output[1];
        let (depth, strip) = (self.packed.depth, self.strip);
        if self.in_place {
            let mut row = rows.start;
            while row < rows.end {
                let (stored, count) = input.adjacent(row, rows.end - row);
                let Some(patches) = S::Value::in_place(stored) else { break };
                let output = &mut output[(row - rows.start) * width * stride..];
                let strips = patches.chunks(strip * depth).zip(output.chunks_mut(strip * stride));
                strips.for_each(|(patches, output)| S::multiply(&self.packed, patches, output, stride));
                row += count;
            }
            if row >= rows.end {
                return;
            }
        }
        if let Some(by_rows) = &self.by_rows {
            self.run_edges(input, rows.clone(), output, stride, scratch);
            for (y, output) in rows.zip(output.chunks_mut(width * stride)) {
                self.run_row(by_rows, input, y, output, stride, scratch);
            }
            return;
        }
        let pixels = rows.start * width..rows.end * width;
        for start in pixels.clone().step_by(strip) {
            let end = pixels.end.min(start + strip);
            let output = &mut output[(start - pixels.start) * stride..];
            self.run_gathered(input, start..end, output, stride, scratch);
        }
    }
}

impl<S: DenseSet> Dense<S> {
    /// Pixels by their number in the output, at most a strip.
    fn run_gathered(
        &self,
        input: Rows<'_>,
        pixels: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let length = pixels.len() * self.packed.depth;
        let patches = &mut S::Value::scratch(scratch)[..length + SHORT_ROW];
        self.gather(input, pixels, patches);
        S::multiply(&self.packed, &patches[..length], output, stride);
    }

    /// The pixels of output rows that see columns outside the input: gathered together, so that tiles are full.
    fn run_edges(
        &self,
        input: Rows<'_>,
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let (first, end) = self.inside();
        let [_, columns, channels] = self.convolution.output;
        let (depth, each) = (self.packed.depth, first + columns - end);
        let place = |edge: usize| {
            let (row, edge) = (edge / each, edge % each);
            (row, if edge < first { edge } else { end + edge - first })
        };
        let mut results = std::mem::take(&mut scratch.edges);
        for start in (0..rows.len() * each).step_by(self.strip) {
            let edges = start..(rows.len() * each).min(start + self.strip);
            let patches = &mut S::Value::scratch(scratch)[..edges.len() * depth + SHORT_ROW];
            for (index, edge) in edges.clone().enumerate() {
                let (row, x) = place(edge);
                let pixel = (rows.start + row) * columns + x;
                self.gather(input, pixel..pixel + 1, &mut patches[index * depth..]);
            }
            let results = &mut results[..edges.len() * channels];
            S::multiply(&self.packed, &patches[..edges.len() * depth], results, channels);
            for (edge, result) in edges.zip(results.chunks_exact(channels)) {
                let (row, x) = place(edge);
                output[(row * columns + x) * stride..][..channels].copy_from_slice(result);
            }
        }
        scratch.edges = results;
    }

    /// The other pixels of an output row, from where their patches' rows are.
    fn run_row(
        &self,
        by_rows: &ByRows<S>,
        input: Rows<'_>,
        y: usize,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.input;
        let (first, end) = self.inside();
        if first == end {
            return;
        }
        let outside = &mut scratch.outside[..width * channels];
        let input_y = |ky: usize| {
            (y * convolution.strides[0] + ky * convolution.dilations[0]).wrapping_sub(convolution.padding[0])
        };
        let kernel_rows = 0..convolution.kernel[0];
        if kernel_rows.clone().any(|ky| input_y(ky) >= height) {
            outside.fill(convolution.input_zero_point);
        }
        let left = (first * convolution.strides[1] - convolution.padding[1]) * channels;
        let mut rows: [&[u8]; MOST_KERNEL_ROWS] = [&[]; MOST_KERNEL_ROWS];
        for ky in kernel_rows {
            rows[ky] = if input_y(ky) < height { &input.row(input_y(ky))[left..] } else { &outside[left..] };
        }
        let patches = Patches {
            rows: &rows[..convolution.kernel[0]],
            row: self.packed.row,
            step: convolution.strides[1] * channels,
            count: end - first,
        };
        (by_rows.multiply)(&self.packed, &patches, &mut output[first * stride..], stride);
    }

    /// First and end of the output columns whose patches' rows, padded, lie within the input's.
    fn inside(&self) -> (usize, usize) {
        let convolution = &self.convolution;
        let [_, width, channels] = convolution.input;
        let (stride, padding) = (convolution.strides[1], convolution.padding[1]);
        let first = padding.div_ceil(stride).min(convolution.output[1]);
        let room = (width * channels).checked_sub(self.packed.row);
        let last = room.map(|room| (room / channels + padding) / stride);
        let end = last.map_or(first, |last| (last + 1).clamp(first, convolution.output[1]));
        (first, end)
    }

    /// The inputs that output pixels see; the zero point outside the input. `patches` has [`SHORT_ROW`] values more than
    /// it needs.
    fn gather(&self, input: Rows<'_>, pixels: Range<usize>, patches: &mut [S::Value]) {
        let convolution = &self.convolution;
        let [height, _, _] = convolution.input;
        let width = convolution.output[1];
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let (y, x) = (pixel / width, pixel % width);
            let count = (width - x).min(pixels.end - pixel);
            if self.in_place {
                // The patches but for their form.
                let depth = self.packed.depth;
                let patches = &mut patches[(pixel - pixels.start) * depth..];
                copy_all(&input.row(y)[x * depth..][..count * depth], patches);
                pixel += count;
                continue;
            }
            let mut rows = [None; MOST_KERNEL_ROWS];
            for (ky, row) in rows.iter_mut().enumerate().take(convolution.kernel[0]) {
                let input_y = (y * convolution.strides[0] + ky * convolution.dilations[0])
                    .wrapping_sub(convolution.padding[0]);
                *row = (input_y < height).then(|| input.row(input_y));
            }
            let rows = &rows[..convolution.kernel[0]];
            for x in x..x + count {
                self.gather_pixel(rows, x, &mut patches[(pixel - pixels.start) * self.packed.depth..]);
                pixel += 1;
            }
        }
    }

    /// One patch. In order: what is written beyond a row is overwritten by the next one.
    #[inline(always)]
    fn gather_pixel(&self, rows: &[Option<&[u8]>], x: usize, patch: &mut [S::Value]) {
        let convolution = &self.convolution;
        let [_, width, channels] = convolution.input;
        let kernel_width = convolution.kernel[1];
        let length = kernel_width * channels;
        let row_length = self.packed.row;
        let zero_point = S::Value::new(convolution.input_zero_point);
        let left = (x * convolution.strides[1]).wrapping_sub(convolution.padding[1]);
        let adjacent = convolution.dilations[1] == 1 && left < width && left + kernel_width <= width;
        for (ky, row) in rows.iter().enumerate() {
            let patch = &mut patch[ky * row_length..];
            let Some(row) = row else {
                patch[..length].fill(zero_point);
                continue;
            };
            if adjacent {
                copy(&row[left * channels..], patch, length);
                continue;
            }
            for (kx, pixel) in patch[..length].chunks_exact_mut(channels.max(1)).enumerate() {
                let input_x = left.wrapping_add(kx * convolution.dilations[1]);
                if input_x < width {
                    pixel
                        .iter_mut()
                        .zip(&row[input_x * channels..])
                        .for_each(|(to, &from)| *to = S::Value::new(from))
                } else {
                    pixel.fill(zero_point)
                }
            }
        }
    }
}

#[inline(always)]
fn copy_all<V: Value>(from: &[u8], to: &mut [V]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = V::new(from);
    }
}

/// The first `length` values; more, up to [`SHORT_ROW`], where both sides have them.
#[inline(always)]
fn copy<V: Value>(from: &[u8], to: &mut [V], length: usize) {
    if length <= SHORT_ROW
        && let (Some(from), Some(to)) = (from.first_chunk::<SHORT_ROW>(), to.first_chunk_mut::<SHORT_ROW>())
    {
        *to = from.map(V::new);
        return;
    }
    copy_all(&from[..length], to);
}
