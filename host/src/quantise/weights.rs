//! Weights to s8 and biases to i32.

use multiversion::multiversion;

use crate::graph::Tensor4;

/// Integers of one convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantisedConv {
    /// Like the float weight, row-major, in −127..=127.
    pub weight: Vec<i8>,
    /// One an output channel.
    pub weight_scales: Vec<f32>,
    /// One an output channel, in units of input scale × weight scale.
    pub bias: Vec<i32>,
}

/// How far below the largest weight the clipping search goes, in steps of a hundredth.
const CLIP_STEPS: usize = 30;
/// Biases stay this far inside i32, so that the sum over all taps cannot leave it.
const LARGEST_BIAS: f64 = (1u64 << 30) as f64;

/// Quantises per output channel, each scale the one with the least squared error among slightly clipped ones.
pub fn quantise(weight: &Tensor4, bias: &[f32], input_scale: f32) -> QuantisedConv {
    let channels = weight.shape[0].max(1);
    let per_channel = (weight.data.len() / channels).max(1);
    let mut quantised = QuantisedConv {
        weight: Vec::with_capacity(weight.data.len()),
        weight_scales: Vec::with_capacity(channels),
        bias: Vec::with_capacity(channels),
    };
    for (row, &bias) in weight.data.chunks_exact(per_channel).zip(bias) {
        let smallest = (f64::from(bias.abs()) / (f64::from(input_scale) * LARGEST_BIAS)) as f32;
        let scale = best_scale(row).max(smallest);
        quantised.weight.extend(row.iter().map(|&value| steps(value, scale) as i8));
        quantised.weight_scales.push(scale);
        let unit = f64::from(input_scale) * f64::from(scale);
        quantised
            .bias
            .push((f64::from(bias) / unit).round_ties_even().clamp(-LARGEST_BIAS, LARGEST_BIAS) as i32);
    }
    quantised
}

impl QuantisedConv {
    /// The float weights that the integers stand for.
    pub fn real_weight(&self, shape: [usize; 4]) -> Tensor4 {
        let per_channel = (self.weight.len() / shape[0].max(1)).max(1);
        let rows = self.weight.chunks_exact(per_channel).zip(&self.weight_scales);
        let data = rows.flat_map(|(row, &scale)| row.iter().map(move |&w| f32::from(w) * scale)).collect();
        Tensor4 { shape, data }
    }

    /// The float biases that the integers stand for.
    pub fn real_bias(&self, input_scale: f32) -> Vec<f32> {
        let units = self.weight_scales.iter().map(|&scale| f64::from(scale) * f64::from(input_scale));
        self.bias.iter().zip(units).map(|(&bias, unit)| (f64::from(bias) * unit) as f32).collect()
    }
}

#[inline(always)]
fn steps(value: f32, scale: f32) -> f32 {
    (value / scale).round_ties_even().clamp(-127.0, 127.0)
}

fn best_scale(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return 1.0 / 127.0;
    }
    let candidates = (0..=CLIP_STEPS).map(|step| largest * (1.0 - 0.01 * step as f32) / 127.0);
    let scored = candidates.map(|scale| (squared_error(row, scale), scale));
    scored.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(largest / 127.0, |(_, scale)| scale)
}

/// Training asks for this at every step, for every weight and candidate.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn squared_error(row: &[f32], scale: f32) -> f32 {
    const LANES: usize = 16;
    let squared = |value: f32| {
        let error = value - steps(value, scale) * scale;
        error * error
    };
    let mut lanes = [0f32; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += squared(*value));
    }
    lanes.iter().sum::<f32>() + chunks.remainder().iter().map(|value| squared(*value)).sum::<f32>()
}
