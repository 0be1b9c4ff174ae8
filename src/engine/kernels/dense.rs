//! Dense convolution for sets with dot products: patches of a strip of pixels, gathered into the first-level cache unless
//! the input itself is the patches, times packed weights.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Range;

use super::folded::{self, Sums};
use super::rows::{Line, Rows, Scratch, grow};
use super::{Convolution, RowKernel, scalar};
use crate::engine::quantise::Requantise;

/// What a patch holds: a stored u8 in the form that a set multiplies.
pub trait Value: Copy + Debug + Send + Sync + 'static {
    /// The form of a weight that goes with it.
    const WEIGHT_BYTES: usize;
    fn new(stored: u8) -> Self;
    /// What [`Self::new`] makes of a zero point, as a number.
    fn number(stored: u8) -> i32;
    fn scratch(scratch: &mut Scratch) -> &mut Vec<Self>;
    /// Stored values as they are, if nothing needs to be done to them.
    fn in_place(_stored: &[u8]) -> Option<&[Self]> {
        None
    }
}

impl Value for u8 {
    const WEIGHT_BYTES: usize = 1;
    #[inline(always)]
    fn new(stored: u8) -> Self {
        stored
    }
    fn number(stored: u8) -> i32 {
        i32::from(stored)
    }
    fn scratch(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.bytes
    }
    fn in_place(stored: &[u8]) -> Option<&[Self]> {
        Some(stored)
    }
}

/// Less 128, for dot products of signed bytes.
impl Value for i8 {
    const WEIGHT_BYTES: usize = 1;
    #[inline(always)]
    fn new(stored: u8) -> Self {
        (stored ^ 0x80) as i8
    }
    fn number(stored: u8) -> i32 {
        i32::from(stored) - 128
    }
    fn scratch(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.signed
    }
}

/// Widened, where products of bytes would not fit.
impl Value for i16 {
    const WEIGHT_BYTES: usize = 2;
    #[inline(always)]
    fn new(stored: u8) -> Self {
        i16::from(stored)
    }
    fn number(stored: u8) -> i32 {
        i32::from(stored)
    }
    fn scratch(scratch: &mut Scratch) -> &mut Vec<Self> {
        &mut scratch.words
    }
}

/// Instructions that multiply patches with packed weights.
pub trait DenseSet: Debug + Send + Sync + Sized + 'static {
    type Value: Value;
    /// Products that one lane of a vector adds up at a time.
    const UNIT: usize;
    /// Output channels of a block.
    const LANES: usize;
    /// Patches are padded to a multiple of this, with zeros for weights; a multiple of [`Self::UNIT`].
    const DEPTH: usize;
    /// Pixels of a full tile.
    const PIXELS: usize;
    /// How the set reads patches' rows where the input has them, each padded to a multiple of [`Self::UNIT`]; if it can.
    const BY_ROWS: Option<ByRows<Self>> = None;

    /// Writes all output channels of the pixels whose patches these are; pixels begin `stride` bytes apart in `output`,
    /// which ends with the last pixel's last channel or later.
    fn multiply(packed: &Packed<Self>, patches: &[Self::Value], output: &mut [u8], stride: usize);
}

/// What a set does with patches that are not gathered.
#[derive(Clone, Copy, Debug)]
pub struct ByRows<S> {
    /// [`DenseSet::multiply`].
    pub multiply: fn(&Packed<S>, &Patches<'_>, &mut [u8], usize),
    /// The sums themselves, `blocks × LANES` of each pixel.
    pub sum: fn(&Packed<S>, &Patches<'_>, &mut [i32]),
    /// Adds up sums of input pixels, and requantises them; arguments as [`folded::add_up`]'s.
    pub add_up: fn(&Sums, &[i32], &mut [u8], usize),
}

/// Patches of adjacent pixels, not gathered.
#[derive(Clone, Copy, Debug)]
pub struct Patches<'a> {
    /// Each kernel row's values, from the first pixel on.
    pub rows: &'a [&'a [u8]],
    /// Bytes of a patch's row, padded.
    pub row: usize,
    /// Bytes from pixel to pixel.
    pub step: usize,
    /// Pixels.
    pub count: usize,
}

impl Patches<'_> {
    /// That all rows have all pixels; kernels rely on it.
    pub fn check(&self) {
        let least = if self.count == 0 { 0 } else { (self.count - 1) * self.step + self.row };
        assert!(self.rows.iter().all(|row| row.len() >= least), "a row is too short");
    }
}

/// Weights and constants in the order in which a set reads them.
#[derive(Debug)]
pub struct Packed<S> {
    /// Values of a padded patch.
    pub depth: usize,
    /// Values of a patch's row, padded if the set reads [`Patches`].
    pub row: usize,
    /// Output channels.
    pub outputs: usize,
    /// `[block of LANES channels, depth / UNIT, LANES, UNIT]`, in the weights' form.
    pub weights: Vec<Line>,
    /// What a channel's sum starts with: bias, less zero point × sum of weights. Padded to a multiple of 16.
    pub start: Vec<i32>,
    /// Padded like `start`.
    pub factors: Vec<f32>,
    pub requantise: Requantise,
    /// The greatest |sum| of any channel, over all inputs that there can be.
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "ARM's faster requantisation"))]
    pub greatest_sum: i64,
    /// The greatest |sum × factor| of any channel.
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "ARM's faster requantisation"))]
    pub greatest_step: f64,
    set: PhantomData<S>,
}

impl<S: DenseSet> Packed<S> {
    pub fn new(convolution: &Convolution) -> Self {
        let sum_length = convolution.sum_length();
        let row_length = convolution.kernel[1] * convolution.group_channels();
        let row = if S::BY_ROWS.is_some() { row_length.next_multiple_of(S::UNIT) } else { row_length };
        let depth = (row * convolution.kernel[0]).next_multiple_of(S::DEPTH);
        let outputs = convolution.output[2];
        let size = S::Value::WEIGHT_BYTES;
        let blocks = outputs.div_ceil(S::LANES);
        let mut weights = vec![Line([0; 64]); (blocks * depth * S::LANES * size).div_ceil(64)];
        let rows = convolution.weights.chunks_exact(sum_length.max(1));
        for (output, weights_of) in rows.take(outputs).enumerate() {
            let (block, lane) = (output / S::LANES, output % S::LANES);
            for (index, &weight) in weights_of.iter().enumerate() {
                let index = index / row_length * row + index % row_length;
                let unit = block * (depth / S::UNIT) + index / S::UNIT;
                let place = ((unit * S::LANES + lane) * S::UNIT + index % S::UNIT) * size;
                set_weight(&mut weights, place, size, weight);
            }
        }
        let constants = Constants::new(convolution, S::Value::number(convolution.input_zero_point));
        Packed {
            depth,
            row,
            outputs,
            weights,
            start: constants.start,
            factors: constants.factors,
            requantise: convolution.requantise,
            greatest_sum: constants.greatest_sum,
            greatest_step: constants.greatest_step,
            set: PhantomData,
        }
    }

    pub fn blocks(&self) -> usize {
        self.outputs.div_ceil(S::LANES)
    }
}

/// Writes a weight of `size` bytes at byte `place`.
pub fn set_weight(lines: &mut [Line], place: usize, size: usize, weight: i8) {
    let bytes = i16::from(weight).to_le_bytes();
    for (index, &byte) in bytes.iter().take(size).enumerate() {
        lines[(place + index) / 64].0[(place + index) % 64] = byte;
    }
}

/// Each output channel's constants, padded with zeros to a multiple of 16.
#[derive(Debug)]
pub struct Constants {
    pub start: Vec<i32>,
    pub factors: Vec<f32>,
    pub greatest_sum: i64,
    pub greatest_step: f64,
}

impl Constants {
    /// `zero_point` is the input's, in the form that is multiplied.
    pub fn new(convolution: &Convolution, zero_point: i32) -> Self {
        let padded = convolution.output[2].next_multiple_of(16);
        let mut constants = Constants {
            start: vec![0; padded],
            factors: vec![0.0; padded],
            greatest_sum: 0,
            greatest_step: 0.0,
        };
        let rows = convolution.weights.chunks_exact(convolution.sum_length().max(1));
        let channels = convolution.bias.iter().zip(&convolution.factors).zip(rows);
        for (channel, ((&bias, &factor), weights)) in channels.enumerate() {
            let sum = weights.iter().fold(0i32, |sum, &weight| sum.wrapping_add(i32::from(weight)));
            constants.start[channel] = bias.wrapping_sub(sum.wrapping_mul(zero_point));
            constants.factors[channel] = factor;
            let sizes: i64 = weights.iter().map(|&weight| i64::from(weight).abs()).sum();
            let greatest = i64::from(bias).abs() + 255 * sizes;
            constants.greatest_sum = constants.greatest_sum.max(greatest);
            constants.greatest_step = constants.greatest_step.max(greatest as f64 * f64::from(factor));
        }
        constants
    }
}

/// Values of a strip of patches: about half of a first-level cache of 32 KiB.
const STRIP_BYTES: usize = 16_384;
/// Rows of a patch up to this length are copied at this length; what is too much is overwritten by the next row.
const SHORT_ROW: usize = 16;
/// From this output width on, edges are few enough for the rest to be read where it is.
const LEAST_WIDTH_BY_ROWS: usize = 20;
/// Kernels of more rows are left to the scalar set.
pub const MOST_KERNEL_ROWS: usize = 16;

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
                match input_x < width {
                    true => pixel
                        .iter_mut()
                        .zip(&row[input_x * channels..])
                        .for_each(|(to, &from)| *to = S::Value::new(from)),
                    false => pixel.fill(zero_point),
                }
            }
        }
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

#[inline(always)]
fn copy_all<V: Value>(from: &[u8], to: &mut [V]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = V::new(from);
    }
}
