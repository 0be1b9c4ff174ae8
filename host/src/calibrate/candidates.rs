//! Ways of quantising after training, tried on the calibration frames; the one with the best Dice is taken.

use std::collections::BTreeMap;

use crate::calibrate::decision::Truth;
use crate::calibrate::logits::{dice_at_half, is_worse};
use crate::graph::Graph;
use crate::graph::execute::Activation;
use crate::numeric::mean;
use crate::quantise::equalise::{self, Equalisation};
use crate::quantise::range::{Extremes, Observer};
use crate::quantise::refine::{Refined, refine};
use crate::quantise::statistics::Statistics;
use crate::quantise::{Quantisation, QuantisedGraph};

/// One way, and what came of it.
pub struct Candidate {
    /// `squared-error`, or where else ranges came from.
    pub observer: String,
    /// Whether biases were corrected.
    pub bias_correction: bool,
    /// Factors of channels; empty if they were left as they are.
    pub equalisation: Equalisation,
    /// How each tensor is stored, by name.
    pub tensors: BTreeMap<String, Quantisation>,
    /// What was seen of each tensor in float.
    pub extremes: BTreeMap<String, Extremes>,
    /// What the walk through both networks found.
    pub refined: Refined,
    /// Dice at one half of each frame with a polyp.
    pub dice: Vec<f64>,
}

impl Candidate {
    /// The name in tables, such as `squared-error equalised corrected`.
    pub fn name(&self) -> String {
        let equalised = if self.equalisation.is_empty() { "" } else { " equalised" };
        let corrected = if self.bias_correction { "corrected" } else { "plain" };
        format!("{}{equalised} {corrected}", self.observer)
    }

    /// The network as this way quantises it; `graph` is the float one, not equalised.
    pub fn quantised(&self, graph: &Graph) -> anyhow::Result<QuantisedGraph> {
        let graph = equalise::apply(graph, &self.equalisation);
        QuantisedGraph::new(&graph, self.tensors.clone(), &self.refined.corrections)
    }
}

/// Frames `[S, S, 3] u8` with their truths.
pub struct Frames<'a> {
    /// Pixels of each frame.
    pub pixels: &'a [Vec<u8>],
    /// What each frame shows, in the same order.
    pub truths: &'a [&'a Truth],
}

impl Frames<'_> {
    fn dice(&self, logits: &[Activation]) -> Vec<f64> {
        dice_at_half(&logits.iter().collect::<Vec<_>>(), self.truths)
    }

    /// Quantises with these ranges.
    pub fn candidate(
        &self,
        graph: &Graph,
        statistics: &Statistics,
        tensors: BTreeMap<String, Quantisation>,
        observer: String,
        bias_correction: bool,
        equalisation: Equalisation,
    ) -> anyhow::Result<Candidate> {
        let refined = refine(graph, &tensors, self.pixels, bias_correction)?;
        let dice = self.dice(&refined.logits);
        let extremes = statistics.extremes.clone();
        let candidate =
            Candidate { observer, bias_correction, equalisation, tensors, extremes, refined, dice };
        let (name, error) = (candidate.name(), candidate.refined.probability_error);
        log::info!("{name}: Dice {:.4}, probability error {error:.3e}", mean(&candidate.dice));
        Ok(candidate)
    }

    /// Every observer with bias correction; the best one also without, and with channels equalised first.
    pub fn candidates(&self, graph: &Graph, observers: &[Observer]) -> anyhow::Result<Vec<Candidate>> {
        let statistics = Statistics::gather(graph, self.pixels)?;
        let mut candidates = Vec::new();
        let with = |graph: &Graph, statistics: &Statistics, observer: Observer, correct, equalisation| {
            let tensors = statistics.quantisations(graph, observer);
            self.candidate(graph, statistics, tensors, observer.to_string(), correct, equalisation)
        };
        for observer in observers {
            candidates.push(with(graph, &statistics, *observer, true, Equalisation::new())?);
        }
        let Some(best) = best(&candidates).and_then(|best| best.observer.parse::<Observer>().ok()) else {
            return Ok(candidates);
        };
        candidates.push(with(graph, &statistics, best, false, Equalisation::new())?);
        let equalisation = equalise::find(graph, &equalise::channel_peaks(graph, self.pixels)?);
        if equalisation.values().flatten().any(|factor| *factor != 1.0) {
            let graph = equalise::apply(graph, &equalisation);
            let statistics = Statistics::gather(&graph, self.pixels)?;
            candidates.push(with(&graph, &statistics, best, true, equalisation)?);
        }
        Ok(candidates)
    }

    /// Mean Dice of each candidate by name, and of the float network.
    pub fn dice_of_all(&self, candidates: &[Candidate]) -> BTreeMap<String, f64> {
        let float = candidates.first().map(|first| self.dice(&first.refined.float_logits));
        let float = float.map(|dice| ("float".to_owned(), mean(&dice)));
        candidates.iter().map(|candidate| (candidate.name(), mean(&candidate.dice))).chain(float).collect()
    }
}

/// Of those that the best Dice tells no difference from, the one with the least error of its probabilities.
pub fn best(candidates: &[Candidate]) -> Option<&Candidate> {
    let best = candidates.iter().max_by(|a, b| mean(&a.dice).total_cmp(&mean(&b.dice)))?;
    let good = candidates.iter().filter(|candidate| !is_worse(&candidate.dice, &best.dice));
    good.min_by(|a, b| a.refined.probability_error.total_cmp(&b.refined.probability_error))
}
