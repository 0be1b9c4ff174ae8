//! Depthwise convolution for sets with dot products: adjacent rows of a column are the terms of one dot product. The
//! columns of a few rows are interleaved once, slid over, and shared by the output rows that see them.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Range;

use super::packed::{Constants, Value, set_weight};
use super::rows::{Line, Rows, Scratch, grow};
use super::{Convolution, RowKernel, scalar};
use crate::engine::quantise::Requantise;

/// Instructions that interleave rows and multiply columns with packed weights.
pub trait DepthwiseSet: Debug + Send + Sync + Sized + 'static {
    type Value: Value;
    /// Channels of a block.
    const LANES: usize;
    /// Rows of a dot product.
    const ROWS: usize;
    /// Bytes of a block's interleaved column, `[LANES, ROWS]` of values; divides 64.
    const COLUMN: usize = Self::LANES * Self::ROWS * size_of::<Self::Value>();

    /// Writes one quad of `count` columns: [`Self::COLUMN`] bytes each, `step` bytes apart, from the start of `columns`.
    fn interleave(rows: &Sources<'_>, count: usize, columns: &mut [Line], first: usize, step: usize);

    /// Computes `packed.rows` output rows of a block of channels from interleaved columns, and stores the first
    /// `output.rows` of them.
    fn multiply(packed: &PackedDepthwise<Self>, block: usize, columns: &[Line], output: Target<'_>);
}

/// Most rows of a dot product.
pub const MOST_ROWS: usize = 4;

/// Adjacent rows of a block of channels. A row outside the input holds the zero point.
#[derive(Debug)]
pub struct Sources<'a> {
    /// From the block's first channel on. Empty for rows outside the input.
    pub rows: [&'a [u8]; MOST_ROWS],
    /// Bytes from pixel to pixel.
    pub channels: usize,
    /// Channels of this block.
    pub lanes: usize,
    pub zero_point: u8,
}

impl Sources<'_> {
    /// That all rows have `count` pixels; kernels rely on it.
    pub fn check(&self, count: usize) {
        let least = if count == 0 { 0 } else { (count - 1) * self.channels + self.lanes };
        assert!(self.rows.iter().all(|row| row.is_empty() || row.len() >= least), "a row is too short");
    }
}

/// Where a block's outputs go.
#[derive(Debug)]
pub struct Target<'a> {
    /// From the block's first channel of the first pixel on.
    pub bytes: &'a mut [u8],
    /// Output rows that are wanted.
    pub rows: usize,
    /// Bytes from row to row, and from pixel to pixel.
    pub row: usize,
    pub stride: usize,
}

/// Weights and constants in the order in which a set reads them.
#[derive(Debug)]
pub struct PackedDepthwise<S> {
    /// Groups of [`DepthwiseSet::ROWS`] rows of which an output row sees at least one.
    pub quads: usize,
    /// Output rows that share columns: 1, 2 or 4.
    pub rows: usize,
    /// Kernel columns.
    pub taps: usize,
    /// Columns from tap to tap, and from output pixel to output pixel.
    pub dilation: usize,
    pub stride: usize,
    /// Output pixels of a row.
    pub width: usize,
    pub channels: usize,
    /// `[block, output row, kernel column, quad]` of `[LANES, ROWS]`, in the weights' form.
    pub weights: Vec<Line>,
    /// As in [`super::dense::Packed`].
    pub start: Vec<i32>,
    pub factors: Vec<f32>,
    pub requantise: Requantise,
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "ARM's faster requantisation"))]
    pub greatest_sum: i64,
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "ARM's faster requantisation"))]
    pub greatest_step: f64,
    set: PhantomData<S>,
}

impl<S: DepthwiseSet> PackedDepthwise<S> {
    fn new(convolution: &Convolution) -> Self {
        let [kernel_height, kernel_width] = convolution.kernel;
        let quads = kernel_height.div_ceil(S::ROWS);
        let spare = quads * S::ROWS - kernel_height;
        let rows = match convolution.dilations[0] {
            1 => match spare / convolution.strides[0] + 1 {
                4.. => 4,
                2.. => 2,
                _ => 1,
            },
            _ => 1,
        };
        let channels = convolution.output[2];
        let blocks = channels.div_ceil(S::LANES);
        let columns = rows * kernel_width * quads;
        let size = S::Value::WEIGHT_BYTES;
        let mut weights = vec![Line([0; 64]); (blocks * columns * S::COLUMN).div_ceil(64)];
        let kernels = convolution.weights.chunks_exact(convolution.sum_length().max(1));
        for (channel, kernel) in kernels.take(channels).enumerate() {
            let (block, lane) = (channel / S::LANES, channel % S::LANES);
            for row in 0..rows {
                for (index, &weight) in kernel.iter().enumerate() {
                    let (ky, kx) = (index / kernel_width, index % kernel_width);
                    let place = row * convolution.strides[0] + ky;
                    let column = ((block * rows + row) * kernel_width + kx) * quads + place / S::ROWS;
                    let byte = column * S::COLUMN + (lane * S::ROWS + place % S::ROWS) * size;
                    set_weight(&mut weights, byte, size, weight);
                }
            }
        }
        let constants = Constants::new(convolution, S::Value::number(convolution.input_zero_point));
        PackedDepthwise {
            quads,
            rows,
            taps: kernel_width,
            dilation: convolution.dilations[1],
            stride: convolution.strides[1],
            width: convolution.output[1],
            channels,
            weights,
            start: constants.start,
            factors: constants.factors,
            requantise: convolution.requantise,
            greatest_sum: constants.greatest_sum,
            greatest_step: constants.greatest_step,
            set: PhantomData,
        }
    }

    /// Channels of a block.
    pub fn lanes(&self, block: usize) -> usize {
        (self.channels - block * S::LANES).min(S::LANES)
    }
}

/// A depthwise convolution packed for a set.
pub fn pack<S: DepthwiseSet>(convolution: &Convolution) -> Box<dyn RowKernel> {
    let degenerate = convolution.output.contains(&0)
        || convolution.input.contains(&0)
        || convolution.kernel.contains(&0)
        || !convolution.is_depthwise();
    if degenerate {
        return (scalar::KERNELS.depthwise)(convolution);
    }
    let columns = (convolution.output[1] - 1) * convolution.strides[1]
        + (convolution.kernel[1] - 1) * convolution.dilations[1]
        + 1;
    let packed = PackedDepthwise::<S>::new(convolution);
    let convolution = Convolution { weights: vec![], ..convolution.clone() };
    Box::new(Depthwise { convolution, packed, columns })
}

#[derive(Debug)]
struct Depthwise<S> {
    /// Without its weights.
    convolution: Convolution,
    packed: PackedDepthwise<S>,
    /// Columns that an output row sees, padding included.
    columns: usize,
}

impl<S: DepthwiseSet> Depthwise<S> {
    /// Lines that all quads of all columns take.
    fn lines(&self) -> usize {
        (self.columns * self.packed.quads * S::COLUMN).div_ceil(64)
    }

    /// A quad's rows of a block of channels, from which `row` is the first.
    fn sources<'a>(&self, input: Rows<'a>, row: usize, quad: usize, block: usize) -> Sources<'a> {
        let [height, _, channels] = self.convolution.input;
        let rows = std::array::from_fn(|index| {
            let y = (row + (quad * S::ROWS + index) * self.convolution.dilations[0])
                .wrapping_sub(self.convolution.padding[0]);
            // Rows that no output row multiplies with anything but 0 may be of any value; a ring no longer has them.
            let seen = (self.packed.rows - 1) * self.convolution.strides[0] + self.convolution.kernel[0];
            if index < S::ROWS && y < height && quad * S::ROWS + index < seen {
                &input.row(y)[block * S::LANES..]
            } else {
                &[][..]
            }
        });
        let zero_point = self.convolution.input_zero_point;
        Sources { rows, channels, lanes: self.packed.lanes(block), zero_point }
    }
}

impl<S: DepthwiseSet> RowKernel for Depthwise<S> {
    fn reserve(&self, scratch: &mut Scratch) {
        grow(&mut scratch.lines, self.lines(), Line([0; 64]));
    }

    fn run(
        &self,
        input: Rows<'_>,
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let (convolution, packed) = (&self.convolution, &self.packed);
        let columns = &mut scratch.lines[..self.lines()];
        let step = packed.quads * S::COLUMN;
        let before = convolution.padding[1].min(self.columns);
        let inside = convolution.input[1].min(self.columns - before);
        let outside = Sources {
            rows: [&[]; MOST_ROWS],
            channels: 0,
            lanes: S::LANES,
            zero_point: convolution.input_zero_point,
        };
        for quad in 0..packed.quads {
            let after = before + inside;
            S::interleave(&outside, before, columns, quad * S::COLUMN, step);
            S::interleave(&outside, self.columns - after, columns, after * step + quad * S::COLUMN, step);
        }
        let row = packed.width * stride;
        for y in rows.clone().step_by(packed.rows) {
            let output = &mut output[(y - rows.start) * row..];
            for block in 0..packed.channels.div_ceil(S::LANES) {
                for quad in 0..packed.quads {
                    let sources = self.sources(input, y * convolution.strides[0], quad, block);
                    S::interleave(&sources, inside, columns, before * step + quad * S::COLUMN, step);
                }
                let bytes = &mut output[block * S::LANES..];
                let rows = packed.rows.min(rows.end - y);
                S::multiply(packed, block, columns, Target { bytes, rows, row, stride });
            }
        }
    }
}
