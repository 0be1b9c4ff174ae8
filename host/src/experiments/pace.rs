//! How fast training is: whole steps on made-up pictures, timed one by one.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use polyp_edge::fault::Fault;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::data::augment::Example;
use crate::parallel::default_threads;
use crate::run::config::TrainConfig;
use crate::run::start::Start;
use crate::train::backward::FloatLearner;
use crate::train::batches::Batch;
use crate::train::learner::Learner;
use crate::train::optimizer::{AdamW, average};

/// Steps that compile kernels and touch memory for the first time: not counted.
const WARM_UP: usize = 2;

/// What was timed.
#[derive(Debug, Serialize)]
pub struct Pace {
    /// Of this format.
    pub schema: u32,
    /// This program.
    pub by: String,
    /// The encoder's name.
    pub encoder: String,
    /// Pictures a step.
    pub batch: usize,
    /// Pixels along each side of a picture.
    pub side: usize,
    /// Threads of the CPU.
    pub threads: usize,
    /// Values that are trained, without running statistics.
    pub parameters: usize,
    /// Of each step: forward, loss, backward, optimiser, moving average.
    pub seconds: Vec<f64>,
}

/// Times `steps` training steps of the configured network from random weights, on one made-up batch; nothing is read or
/// written.
///
/// # Errors
/// Exit 78 if there is no such network; exit 69 if the device fails.
pub fn pace(config: &TrainConfig, steps: usize, device: &Device) -> Result<Pace> {
    let mut config = config.clone();
    config.network.encoder.weights = Default::default();
    let segmenter = config.segmenter().map_err(Fault::configuration)?;
    let start = Start::new(&config, &segmenter, Path::new("."), device)?;
    let learner = FloatLearner {
        segmenter: &segmenter,
        config: &config,
        resident: &start.resident,
        teachers: None,
        device,
    };
    let (mut parameters, side) = (start.parameters, config.network.input_side);
    let (mut adam, mut averaged) = (AdamW::new(&parameters), parameters.clone());
    let batch = made_up(config.batch, side);
    let mut seconds = Vec::new();
    for step in 1..=steps + WARM_UP {
        let started = Instant::now();
        let outcome = learner.batch(&parameters, &batch)?;
        adam.step(&mut parameters, &outcome.gradients, &config.optimizer, 0.5, step as u64);
        average(&mut averaged, &parameters, config.optimizer.average_decay, step as u64);
        seconds.push(started.elapsed().as_secs_f64());
    }
    let trained = parameters.0.iter().filter(|(name, _)| crate::net::Parameters::is_trained(name));
    Ok(Pace {
        schema: 1,
        by: format!("polyp-host {}", env!("CARGO_PKG_VERSION")),
        encoder: config.network.encoder.kind.word(),
        batch: config.batch,
        side,
        threads: default_threads(),
        parameters: trained.map(|(_, array)| array.values.len()).sum(),
        seconds: seconds.split_off(WARM_UP),
    })
}

/// Noise with a rectangle for a polyp.
fn made_up(count: usize, side: usize) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let polyp = |at: usize| {
        (side / 4..side / 2).contains(&(at % side)) && (side / 3..side / 2).contains(&(at / side))
    };
    let examples: Vec<Example> = (0..count)
        .map(|_| Example {
            pixels: (0..3 * side * side).map(|_| rng.random_range(0.0..255.0)).collect(),
            target: (0..side * side).map(|at| f32::from(u8::from(polyp(at)))).collect(),
            truth: 1.0,
            teacher: Vec::new(),
            confidence: 1.0,
        })
        .collect();
    Batch::of(&examples, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_steps_are_timed_as_asked() {
        let mut config = TrainConfig { batch: 2, ..TrainConfig::default() };
        config.network.input_side = 64;
        let pace = pace(&config, 2, &Device::flex()).unwrap();
        assert_eq!((pace.seconds.len(), pace.batch, pace.side), (2, 2, 64));
        assert!(pace.seconds.iter().all(|seconds| *seconds > 0.0));
        assert_eq!(pace.encoder, "efficientnet-lite0");
        assert!(pace.parameters > 2_900_000, "{}", pace.parameters);
    }
}
