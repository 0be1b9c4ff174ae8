//! What the logits of a batch are to be: like the truth, like what teachers say, or both.

use anyhow::{Context, Result};
use burn::tensor::{Gradients, Tensor};

use crate::net::resize::constant;
use crate::numeric::sigmoid;
use crate::run::config::TrainConfig;
use crate::train::batches::Batch;
use crate::train::loss::{Target, likeness_loss, segmentation_loss};

/// What the logits of a batch came to.
pub struct Descent {
    /// Over all depths.
    pub loss: f32,
    pub gradients: Gradients,
    /// The highest logit of each picture at the finest depth.
    pub peaks: Vec<f32>,
}

/// The loss over all depths, finest first, and the backward pass from it. `beside` is added to it.
pub fn descend(
    depths: Vec<Tensor<4>>,
    batch: &Batch,
    config: &TrainConfig,
    beside: Option<Tensor<1>>,
) -> Result<Descent> {
    let mut total = match &beside {
        Some(beside) => beside.to_data().try_to_vec::<f32>().context("losses are f32")?[0],
        None => 0.0,
    };
    let soft = Soft::of(batch, config);
    // The loss enters the graph as its own linearisation: the gradient of Σ logits · g is g.
    let (mut proxy, mut peaks) = (beside, Vec::new());
    for (logits, weight) in depths.into_iter().zip(&config.depth_weights) {
        let shape = logits.dims();
        let values = logits.to_data().try_to_vec::<f32>().context("logits are f32")?;
        if peaks.is_empty() {
            let highest = |plane: &[f32]| plane.iter().copied().fold(f32::MIN, f32::max);
            peaks = values.chunks(shape[2] * shape[3]).map(highest).collect();
        }
        let (loss, mut gradient) = loss(&values, shape[2], batch, soft.as_ref(), config);
        total += weight * loss;
        gradient.iter_mut().for_each(|g| *g *= weight);
        let part = (logits.clone() * constant(gradient, shape, &logits.device())).sum();
        proxy = Some(match proxy {
            Some(sum) => sum + part,
            None => part,
        });
    }
    let gradients = proxy.context("the network has no outputs")?.backward();
    Ok(Descent { loss: total, gradients, peaks })
}

/// Teachers' masks, which every depth is compared with.
struct Soft {
    values: Vec<f32>,
    weights: Vec<f32>,
}

impl Soft {
    /// `None` where they count nothing.
    fn of(batch: &Batch, config: &TrainConfig) -> Option<Self> {
        config.distillation.as_ref().filter(|own| own.soft > 0.0)?;
        let values: Vec<f32> = batch.teacher.iter().map(|logit| sigmoid(*logit)).collect();
        Some(Soft { weights: batch.weights_of(&values), values })
    }
}

/// One depth's loss and its gradient towards its logits.
fn loss(
    logits: &[f32],
    low: usize,
    batch: &Batch,
    soft: Option<&Soft>,
    config: &TrainConfig,
) -> (f32, Vec<f32>) {
    let Some(distillation) = &config.distillation else {
        let target = Target { values: &batch.targets, weights: &batch.weights, shares: Some(&batch.truth) };
        return segmentation_loss(logits, low, target, batch.side, config.bce);
    };
    let (mut total, mut gradient) = (0.0, vec![0.0; logits.len()]);
    let mut add = |share: f32, (loss, towards): (f32, Vec<f32>)| {
        total += share * loss;
        gradient.iter_mut().zip(towards).for_each(|(sum, g)| *sum += share * g);
    };
    if distillation.truth > 0.0 {
        let target = Target { values: &batch.targets, weights: &batch.weights, shares: Some(&batch.truth) };
        add(distillation.truth, segmentation_loss(logits, low, target, batch.side, config.bce));
    }
    if let Some(Soft { values, weights }) = soft {
        let target = Target { values, weights, shares: Some(&batch.confidence) };
        add(distillation.soft, segmentation_loss(logits, low, target, batch.side, config.bce));
    }
    if distillation.logits > 0.0 {
        let target = Target { values: &batch.teacher, weights: &[], shares: Some(&batch.confidence) };
        let likeness = likeness_loss(logits, low, target, batch.side, distillation.temperature);
        add(distillation.logits, likeness);
    }
    (total, gradient)
}
