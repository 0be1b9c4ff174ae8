//! One batch forward and back: loss, gradients, statistics; with everything kept between, or with only every few links
//! of the encoder kept and the rest computed again (activation checkpointing, Chen et al. 2016).

use anyhow::{Context, Result};
use burn::tensor::{Device, Gradients, Tensor};

use super::batches::Batch;
use super::config::TrainConfig;
use super::loss::segmentation_loss;
use crate::net::encoder::Encoder;
use crate::net::forward::{Forward, Pass, Resident};
use crate::net::parameters::{Array, Parameters};
use crate::net::segmenter::{self, Segmenter};

/// What a batch came to.
pub struct Outcome {
    pub loss: f32,
    pub gradients: Parameters,
    pub statistics: Parameters,
}

/// What does not change from batch to batch.
pub struct Setting<'a> {
    pub segmenter: &'a Segmenter,
    pub config: &'a TrainConfig,
    /// The frozen encoder's values, on the device.
    pub resident: &'a Resident,
    pub device: &'a Device,
}

impl Setting<'_> {
    fn pass<'a>(&'a self, parameters: &'a Parameters, pass: Pass) -> Forward<'a> {
        Forward::new(parameters, Some(self.resident), self.device, pass)
    }

    /// Loss and gradients of a batch.
    pub fn batch(&self, parameters: &Parameters, batch: &Batch) -> Result<Outcome> {
        let mut pixels = batch.pixels.clone();
        self.segmenter.normalisation().apply(&mut pixels, batch.side * batch.side);
        let shape = [batch.size, 3, batch.side, batch.side];
        match self.config.checkpoint_links {
            0 => self.whole(parameters, batch, pixels, shape),
            links => self.in_pieces(parameters, batch, pixels, shape, links),
        }
    }

    fn whole(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        pixels: Vec<f32>,
        shape: [usize; 4],
    ) -> Result<Outcome> {
        let mut net = self.pass(parameters, Pass::Training);
        let input = net.tensor(pixels, shape);
        let depths = self.segmenter.supervised(&mut net, &input);
        let (loss, gradients) = self.descend(&net, depths, batch)?;
        Ok(Outcome { loss, gradients: net.gradients(&gradients), statistics: net.batch_statistics() })
    }

    fn in_pieces(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        pixels: Vec<f32>,
        shape: [usize; 4],
        links: usize,
    ) -> Result<Outcome> {
        let encoder = &self.segmenter.encoder;
        let mut below = self.pass(parameters, Pass::Batch);
        let input = below.tensor(pixels, shape);
        let (mut starts, mut features, mut x) = (Vec::new(), Vec::new(), input.clone());
        // The first link with anything to learn; gradients go no deeper.
        let mut first_learning = None;
        for k in 0..encoder.links() {
            if k % links == 0 {
                starts.push((k, x.clone()));
            }
            x = encoder.link(&mut below, k, &input, &x);
            if encoder.taps().contains(&k) {
                features.push(encoder.feature(&mut below, &x));
            }
            if first_learning.is_none() && below.has_met_parameters() {
                first_learning = Some(k);
            }
        }
        let mut above = self.pass(parameters, Pass::Training);
        let features: Vec<Tensor<4>> = features.into_iter().map(|feature| above.leaf(feature)).collect();
        let depths = segmenter::depths(&mut above, &features, &self.segmenter.decoder);
        let (loss, found) = self.descend(&above, depths, batch)?;
        let mut gradients = above.gradients(&found);
        let mut statistics = below.batch_statistics();
        statistics.0.extend(above.batch_statistics().0);
        let towards_features: Vec<Option<Tensor<4>>> = features.iter().map(|f| f.grad(&found)).collect();

        let mut end = encoder.links();
        let mut towards_end: Option<Tensor<4>> = None;
        while let Some((from, start)) = starts.pop() {
            if first_learning.is_none_or(|first| first >= end) {
                break;
            }
            let mut net = self.pass(parameters, Pass::Training);
            let start = net.leaf(start);
            let mut x = start.clone();
            let mut proxy: Option<Tensor<1>> = None;
            let mut pull = |value: &Tensor<4>, towards: &Tensor<4>| {
                let part = (value.clone() * towards.clone()).sum();
                proxy = Some(match proxy.take() {
                    Some(sum) => sum + part,
                    None => part,
                });
            };
            for k in from..end {
                x = encoder.link(&mut net, k, &input, &x);
                let tap = encoder.taps().iter().position(|tap| *tap == k);
                if let Some(towards) = tap.and_then(|tap| towards_features[tap].as_ref()) {
                    pull(&encoder.feature(&mut net, &x), towards);
                }
            }
            if let Some(towards) = &towards_end {
                pull(&x, towards);
            }
            let Some(proxy) = proxy else { break };
            let found = proxy.backward();
            add(&mut gradients, net.gradients(&found));
            towards_end = start.grad(&found);
            end = from;
        }
        Ok(Outcome { loss, gradients, statistics })
    }

    /// The loss over all depths, and the backward pass from it.
    fn descend(&self, net: &Forward, depths: Vec<Tensor<4>>, batch: &Batch) -> Result<(f32, Gradients)> {
        let mut total = 0.0;
        // The loss enters the graph as its own linearisation: the gradient of Σ logits · g is g.
        let mut proxy: Option<Tensor<1>> = None;
        for (logits, weight) in depths.into_iter().zip(&self.config.depth_weights) {
            let shape = logits.dims();
            let values = logits.to_data().try_to_vec::<f32>().context("logits are f32")?;
            let (loss, mut gradient) = segmentation_loss(
                &values,
                shape[2],
                &batch.targets,
                &batch.weights,
                batch.side,
                self.config.bce,
            );
            total += weight * loss;
            gradient.iter_mut().for_each(|g| *g *= weight);
            let part = (logits * net.tensor(gradient, shape)).sum();
            proxy = Some(match proxy {
                Some(sum) => sum + part,
                None => part,
            });
        }
        Ok((total, proxy.context("the network has no outputs")?.backward()))
    }
}

/// Adds gradients by name.
pub fn add(sum: &mut Parameters, more: Parameters) {
    for (name, array) in more.0 {
        match sum.0.get_mut(&name) {
            Some(Array { values, .. }) => values.iter_mut().zip(&array.values).for_each(|(a, b)| *a += b),
            None => {
                sum.0.insert(name, array);
            }
        }
    }
}

#[cfg(test)]
#[path = "backward_tests.rs"]
mod tests;
