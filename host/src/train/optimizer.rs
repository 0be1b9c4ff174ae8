//! AdamW (Loshchilov and Hutter, ICLR 2019), the schedule of its rate, and the moving average of weights.
//!
//! Works on [`Parameters`] in host memory: all state lies by name, so that a checkpoint holds every bit of it.

use rayon::prelude::*;

use crate::net::Parameters;
use crate::run::config::OptimizerConfig;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// First and second moments of the gradients.
pub struct AdamW {
    /// Moving averages of the gradients.
    pub first: Parameters,
    /// Moving averages of their squares.
    pub second: Parameters,
}

impl AdamW {
    /// Before the first step: all zero.
    pub fn new(parameters: &Parameters) -> Self {
        AdamW { first: parameters.zeros_like(), second: parameters.zeros_like() }
    }

    /// One step; `step` counts from 1. Gives the gradient's norm before clipping.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: &Parameters,
        config: &OptimizerConfig,
        progress: f32,
        step: u64,
    ) -> f32 {
        let norm = norm(gradients);
        let clip = if norm > config.clip_norm { config.clip_norm / norm } else { 1.0 };
        let schedule = config.schedule(progress);
        let (correction_1, correction_2) = (1.0 - BETA_1.powf(step as f32), 1.0 - BETA_2.powf(step as f32));
        let moments = self.first.0.values_mut().zip(self.second.0.values_mut());
        let all: Vec<_> = parameters.0.iter_mut().zip(moments).collect();
        all.into_par_iter().for_each(|((name, array), (first, second))| {
            let Some(gradient) = gradients.0.get(name) else { return };
            let base = if name.starts_with("encoder.") { config.encoder_rate } else { config.rate };
            let rate = base * schedule;
            let decay = if array.shape.len() > 1 { 1.0 - rate * config.weight_decay } else { 1.0 };
            let moments = first.values.iter_mut().zip(&mut second.values);
            for ((value, gradient), (m, v)) in array.values.iter_mut().zip(&gradient.values).zip(moments) {
                let gradient = gradient * clip;
                *m = BETA_1 * *m + (1.0 - BETA_1) * gradient;
                *v = BETA_2 * *v + (1.0 - BETA_2) * gradient * gradient;
                let direction = (*m / correction_1) / ((*v / correction_2).sqrt() + EPSILON);
                *value = *value * decay - rate * direction;
            }
        });
        norm
    }
}

fn norm(gradients: &Parameters) -> f32 {
    let squares = |values: &Vec<f32>| values.iter().map(|v| (*v as f64).powi(2)).sum::<f64>();
    gradients.0.values().map(|array| squares(&array.values)).sum::<f64>().sqrt() as f32
}

/// Moves `average` towards `current`. Early on the decay is smaller, so that the start is forgotten.
pub fn average(average: &mut Parameters, current: &Parameters, decay: f32, step: u64) {
    let decay = decay.min((1.0 + step as f32) / (10.0 + step as f32));
    blend(average, current, decay);
}

/// `target = decay · target + (1 − decay) · source`, for the names that `source` has.
pub fn blend(target: &mut Parameters, source: &Parameters, decay: f32) {
    for (name, source) in &source.0 {
        let Some(target) = target.0.get_mut(name) else { continue };
        for (target, source) in target.values.iter_mut().zip(&source.values) {
            *target = decay * *target + (1.0 - decay) * source;
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::{AdamWConfig, Optimizer};
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::net::parameters::Array;

    #[test]
    fn steps_as_burn_does() {
        let config = OptimizerConfig { clip_norm: 1e9, warm_up: 0.0, ..Default::default() };
        let start = [0.3f32, -1.2, 2.0, 0.01];
        let named = |values: &[f32]| {
            let array = Array { shape: vec![2, 2], values: values.to_vec() };
            Parameters([("layer.weight".to_owned(), array)].into())
        };
        let mut ours = named(&start);
        let mut adam = AdamW::new(&ours);
        let device = Device::flex();
        let burn = AdamWConfig::new().with_epsilon(EPSILON).with_weight_decay(config.weight_decay).build();
        let mut theirs = Tensor::<2>::from_data([[start[0], start[1]], [start[2], start[3]]], &device);
        let mut state = None;
        for step in 1..=5 {
            let g: Vec<f32> = (0..4).map(|i| ((step * 7 + i * 3) % 5) as f32 - 2.0).collect();
            adam.step(&mut ours, &named(&g), &config, 0.0, step as u64);
            let gradient = Tensor::from_data([[g[0], g[1]], [g[2], g[3]]], &device);
            (theirs, state) = burn.step(config.rate as f64, theirs, gradient, state);
        }
        let theirs = theirs.into_data().try_to_vec::<f32>().unwrap();
        for (a, b) in ours.get("layer.weight").values.iter().zip(&theirs) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn the_rate_climbs_and_falls() {
        let config = OptimizerConfig::default();
        assert!(config.schedule(0.05) < config.schedule(0.1));
        assert!((config.schedule(0.1) - 1.0).abs() < 1e-6 && config.schedule(1.0) < 1e-6);
    }
}
