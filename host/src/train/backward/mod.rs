//! One batch forward and back: loss, gradients, statistics; with everything kept between, or with only every few links
//! of the encoder kept and the rest computed again (activation checkpointing, Chen et al. 2016).

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};

use crate::graph::Graph;
use crate::graph::fold::Fold;
use crate::net::decoder;
use crate::net::encoder::{self, AnyEncoder, Encoder};
use crate::net::forward::{Forward, Pass, Resident};
use crate::net::parameters::{Array, Parameters};
use crate::net::segmenter::{self, Segmenter};
use crate::net::student::student;
use crate::run::GRAPH;
use crate::run::config::TrainConfig;
use crate::train::batches::Batch;
use crate::train::distillation::Teachers;
use crate::train::learner::{Learner, Logits, Outcome};
use crate::train::objective::{Descent, descend};

/// What does not change from batch to batch.
pub struct FloatLearner<'a> {
    /// The network.
    pub segmenter: &'a Segmenter,
    /// The run's configuration.
    pub config: &'a TrainConfig,
    /// The frozen encoder's values, on the device.
    pub resident: &'a Resident,
    /// Whose features are to be matched, if any.
    pub teachers: Option<&'a Teachers>,
    /// Where it is computed.
    pub device: &'a Device,
}

impl Learner for FloatLearner<'_> {
    fn batch(&self, parameters: &Parameters, batch: &Batch) -> Result<Outcome> {
        let (pixels, shape) = self.input(batch);
        match self.config.checkpoint_links {
            0 => self.whole(parameters, batch, pixels, shape),
            links => self.in_pieces(parameters, batch, pixels, shape, links),
        }
    }

    fn logits(&self, parameters: &Parameters, batch: &Batch) -> Result<Logits> {
        let (pixels, shape) = self.input(batch);
        let mut net = self.pass(parameters, Pass::Inference);
        let input = net.tensor(pixels, shape);
        let logits = self.segmenter.logits(&mut net, &input);
        let low = logits.dims()[2];
        Ok(Logits { values: logits.into_data().try_to_vec::<f32>().context("logits are f32")?, low })
    }

    fn export(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        match graph(self.segmenter, parameters, self.config) {
            Some(graph) => graph.save(&folder.join(GRAPH)),
            None => Ok(()),
        }
    }
}

/// The weights as an inference graph; `None` for a network that the cart cannot run.
pub fn graph(segmenter: &Segmenter, parameters: &Parameters, config: &TrainConfig) -> Option<Graph> {
    let side = config.network.input_side;
    let AnyEncoder::EfficientNet(encoder) = &segmenter.encoder else { return None };
    let exportable = !config.network.encoder.frozen;
    exportable
        .then(|| Fold::graph(parameters, side, |net, input| student(net, input, encoder, &segmenter.decoder)))
}

impl FloatLearner<'_> {
    fn pass<'a>(&'a self, parameters: &'a Parameters, pass: Pass) -> Forward<'a> {
        Forward::new(parameters, Some(self.resident), self.device, pass)
    }

    fn input(&self, batch: &Batch) -> (Vec<f32>, [usize; 4]) {
        let mut pixels = batch.pixels.clone();
        self.segmenter.normalisation().apply(&mut pixels, batch.side * batch.side);
        (pixels, [batch.size, 3, batch.side, batch.side])
    }

    /// The encoder's features; links that are frozen keep nothing for gradients.
    fn features(
        &self,
        parameters: &Parameters,
        net: &mut Forward,
        pixels: Vec<f32>,
        shape: [usize; 4],
    ) -> Vec<Tensor<4>> {
        let encoder = &self.segmenter.encoder;
        let frozen = self.config.network.encoder.frozen_links;
        if frozen == 0 {
            let input = net.tensor(pixels, shape);
            return encoder::encode(encoder, net, &input);
        }
        let mut below = self.pass(parameters, Pass::Inference);
        let mut input = below.tensor(pixels, shape);
        let (mut x, mut features) = (input.clone(), Vec::new());
        for k in 0..encoder.links() {
            if k == frozen {
                (x, input) = (x.autodiff(), input.autodiff());
                features = features.into_iter().map(Tensor::autodiff).collect();
            }
            x = if k < frozen {
                encoder.link(&mut below, k, &input, &x)
            } else {
                encoder.link(net, k, &input, &x)
            };
            if encoder.taps().contains(&k) {
                features.push(if k < frozen {
                    encoder.feature(&mut below, &x)
                } else {
                    encoder.feature(net, &x)
                });
            }
        }
        features
    }

    /// How far the decoder's levels are from the teachers', as a loss.
    fn beside(&self, levels: &[Tensor<4>], batch: &Batch) -> Result<Option<Tensor<1>>> {
        self.teachers.map(|teachers| teachers.features(levels, batch)).transpose()
    }

    fn whole(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        pixels: Vec<f32>,
        shape: [usize; 4],
    ) -> Result<Outcome> {
        let mut net = self.pass(parameters, Pass::Training);
        let features = self.features(parameters, &mut net, pixels, shape);
        let levels = decoder::decode(&mut net, &features, &self.segmenter.decoder);
        let depths = segmenter::heads(&mut net, &levels);
        let Descent { loss, gradients, peaks } =
            descend(depths, batch, self.config, self.beside(&levels, batch)?)?;
        Ok(Outcome { loss, peaks, gradients: net.gradients(&gradients), statistics: net.batch_statistics() })
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
        let levels = decoder::decode(&mut above, &features, &self.segmenter.decoder);
        let depths = segmenter::heads(&mut above, &levels);
        let Descent { loss, gradients: found, peaks } =
            descend(depths, batch, self.config, self.beside(&levels, batch)?)?;
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
                proxy = Some(proxy.take().map_or(part.clone(), |sum| sum + part));
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
        Ok(Outcome { loss, peaks, gradients, statistics })
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
mod tests;
