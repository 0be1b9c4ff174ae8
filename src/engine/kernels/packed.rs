//! Weights and patches in the order in which a set of kernels reads them.

use std::fmt::Debug;
use std::marker::PhantomData;

use super::contract::Convolution;
use super::rows::{Line, Scratch};
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

/// Sums of input pixels to output pixels.
#[derive(Debug)]
pub struct Sums {
    /// Output channels.
    pub outputs: usize,
    /// Kernel columns, and input columns from one to the next.
    pub taps: usize,
    pub dilation: usize,
    /// Input columns from output pixel to output pixel.
    pub stride: usize,
    pub padding: usize,
    /// Input and output pixels.
    pub input: usize,
    pub output: usize,
    /// Sums from input pixel to input pixel: at least `taps × outputs`.
    pub step: usize,
    pub bias: Vec<i32>,
    pub factors: Vec<f32>,
    pub requantise: Requantise,
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

/// Kernels of more rows are left to the scalar set.
pub const MOST_KERNEL_ROWS: usize = 16;
