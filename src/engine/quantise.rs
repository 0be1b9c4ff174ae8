//! The arithmetic of quantised tensors, rounding for rounding as onnxruntime does it on x86-64.
//!
//! Glossary: *scale* `s` and *zero point* `z` of a tensor say that the stored `q` means `s × (q − z)`; *requantise* is to
//! bring a 32-bit sum to the stored form of the next tensor.

use crate::fault::Fault;

/// What a stored u8 means: `scale × (stored − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Quantisation {
    /// What one step of the stored value is worth; above 0.
    pub scale: f32,
    /// The stored value that means 0.
    pub zero_point: u8,
}

impl Quantisation {
    /// Refuses scales that are zero, negative, subnormal or not finite.
    pub fn new(scale: f32, zero_point: u8) -> anyhow::Result<Self> {
        if scale.is_normal() && scale > 0.0 {
            Ok(Quantisation { scale, zero_point })
        } else {
            Err(Fault::data(format!("the scale {scale} is not a positive number")))
        }
    }

    /// `stored` for a real value: round half to even, saturate.
    fn store(&self, value: f32) -> u8 {
        let zero_point = f32::from(self.zero_point);
        let steps = (value / self.scale).clamp(-zero_point, 255.0 - zero_point);
        (steps.round_ties_even() + zero_point) as u8
    }

    fn value(&self, stored: u8) -> f32 {
        self.scale * f32::from(i16::from(stored) - i16::from(self.zero_point))
    }
}

/// Adding and taking away 1.5 × 2^23 rounds an f32 below 2^22 half to even, and leaves the integer in the low bits.
const ROUNDING: f32 = 12_582_912.0;

/// Round half to even of a value within ±2^22.
#[inline(always)]
pub fn round(value: f32) -> i32 {
    ((value + ROUNDING).to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32)
}

/// `min(max(value, low), high)` for values that are never NaN.
#[inline(always)]
pub fn clamp(value: f32, low: f32, high: f32) -> f32 {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

/// From a 32-bit sum to a stored u8: `sum × factor`, held within the output's range, rounded half to even, plus zero point.
#[derive(Clone, Copy, Debug)]
pub struct Requantise {
    low: f32,
    high: f32,
    zero_point: i32,
}

impl Requantise {
    /// To an output that has this zero point.
    pub fn new(zero_point: u8) -> Self {
        let low = -f32::from(zero_point);
        Requantise { low, high: 255.0 + low, zero_point: i32::from(zero_point) }
    }
    /// The least step, before the zero point is added.
    #[inline(always)]
    pub fn low(&self) -> f32 {
        self.low
    }
    /// The greatest step, before the zero point is added.
    #[inline(always)]
    pub fn high(&self) -> f32 {
        self.high
    }
    #[inline(always)]
    pub(crate) fn zero_point(&self) -> i32 {
        self.zero_point
    }
    #[inline(always)]
    pub(crate) fn apply(&self, sum: i32, factor: f32) -> u8 {
        (round(clamp(sum as f32 * factor, self.low, self.high)) + self.zero_point) as u8
    }
}

/// The factor that requantises the sums of a convolution's output channel.
pub fn convolution_factor(input: f32, weight: f32, output: f32) -> f32 {
    input * weight / output
}

/// `outer ⊕ inner` of two quantised tensors: `fma(stored outer, ratio, inner[stored inner])`.
#[derive(Clone, Debug)]
pub struct Addition {
    /// What the inner operand and all constants come to, by the inner operand's stored value.
    pub inner: Box<[f32; 256]>,
    /// Steps of the output per step of the outer operand.
    pub ratio: f32,
    /// What `inner` was made of: steps of the output per step of the inner operand, and all constants.
    inner_ratio: f32,
    fixed: f32,
}

impl Addition {
    /// The outer operand is the first; if the first is broadcast, onnxruntime swaps them, and so must the caller.
    pub fn new(outer: Quantisation, inner: Quantisation, output: Quantisation) -> anyhow::Result<Self> {
        let (ratio, inner_ratio) = (ratio(outer.scale / output.scale)?, ratio(inner.scale / output.scale)?);
        let offset = ratio.mul_add(f32::from(outer.zero_point), inner_ratio * f32::from(inner.zero_point));
        let fixed = f32::from(output.zero_point) - offset;
        let inner = std::array::from_fn(|stored| (stored as f32).mul_add(inner_ratio, fixed));
        Ok(Addition { inner: Box::new(inner), ratio, inner_ratio, fixed })
    }

    /// A fused multiply-add through f64: exact for the ratios that `ratio` lets pass.
    #[inline(always)]
    pub fn apply(&self, outer: u8, inner: f32) -> u8 {
        let sum = (f64::from(outer) * f64::from(self.ratio) + f64::from(inner)) as f32;
        round(clamp(sum, 0.0, 255.0)) as u8
    }

    /// The same with the CPU's own fused multiply-add; slow where it has none.
    #[inline(always)]
    pub fn apply_fused(&self, outer: u8, inner: u8) -> u8 {
        let inner = f32::from(inner).mul_add(self.inner_ratio, self.fixed);
        round(clamp(f32::from(outer).mul_add(self.ratio, inner), 0.0, 255.0)) as u8
    }
}

/// `a × b` of two quantised tensors.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    zero_a: i32,
    zero_b: i32,
    ratio: f32,
    zero_point: f32,
}

impl Product {
    /// An error if the scales are too far apart.
    pub fn new(a: Quantisation, b: Quantisation, output: Quantisation) -> anyhow::Result<Self> {
        Ok(Product {
            zero_a: i32::from(a.zero_point),
            zero_b: i32::from(b.zero_point),
            ratio: ratio(a.scale * b.scale / output.scale)?,
            zero_point: f32::from(output.zero_point),
        })
    }
    #[inline(always)]
    pub(crate) fn apply(&self, a: u8, b: u8) -> u8 {
        let product = (i32::from(a) - self.zero_a) * (i32::from(b) - self.zero_b);
        round(clamp(product as f32 * self.ratio + self.zero_point, 0.0, 255.0)) as u8
    }
}

/// Steps of the output per step of an input: beyond these bounds the tensors have nothing to do with each other, and
/// onnxruntime's conversions to integers would overflow.
fn ratio(ratio: f32) -> anyhow::Result<f32> {
    if (6.1e-5..16_384.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err(Fault::data(format!("the scales of input and output differ by a factor of {ratio:e}")))
    }
}

/// The factor of a global average over `pixels`: sums of `stored − zero point` to steps of the output.
pub fn average_factor(input: f32, output: f32, pixels: usize) -> anyhow::Result<f32> {
    let factor = input / (output * pixels as f32);
    if (2f32.powi(-32)..256.0).contains(&factor) {
        Ok(factor)
    } else {
        Err(Fault::data(format!("the scales of input and output differ by a factor of {factor:e}")))
    }
}

/// The table of a change of scale and zero point; `None` if both are the same.
pub fn rescale_table(input: Quantisation, output: Quantisation) -> Option<Box<[u8; 256]>> {
    (input != output).then(|| table(|stored| output.store(input.value(stored))))
}

/// The table of the logistic function.
pub fn sigmoid_table(input: Quantisation, output: Quantisation) -> Box<[u8; 256]> {
    table(|stored| output.store(logistic(input.value(stored))))
}

fn table(entry: impl Fn(u8) -> u8) -> Box<[u8; 256]> {
    Box::new(std::array::from_fn(|stored| entry(stored as u8)))
}

/// 1 / (1 + e^−x) as onnxruntime's vector code has it: a rational function in f32, with fused multiply-adds.
fn logistic(x: f32) -> f32 {
    let x = x.clamp(-18.0, 18.0);
    let square = x * x;
    let polynomial = |first: f32, rest: &[f32]| rest.iter().fold(first, |sum, &c| sum.mul_add(square, c));
    let numerator = polynomial(4.37031e-11, &[1.156_273_2e-7, 6.085_749e-5, 0.008_513_771, 0.248_287_95]);
    let denominator = polynomial(
        6.102_473_7e-13,
        &[5.761_021_4e-9, 6.291_068e-6, 0.001_701_988_2, 0.116_817_65, 0.993_151_9],
    );
    (x * numerator / denominator + 0.5).clamp(0.0, 1.0)
}
