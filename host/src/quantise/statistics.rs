//! What calibration frames say about each tensor, and the scales that follow.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use crate::graph::execute::{input_from_pixels, run};
use crate::graph::{Graph, Op};
use crate::quantise::Quantisation;
use crate::quantise::groups::Groups;
use crate::quantise::range::{Extremes, Histogram, Observer};

/// Logits beyond ±this say nothing more: their probability is within 0.0003 of certainty.
pub const LARGEST_LOGIT: f32 = 8.0;

/// Ranges and histograms of every tensor over the calibration frames.
pub struct Statistics {
    /// Which tensors share a scale.
    pub groups: Groups,
    /// Lowest and highest value of each tensor, by name.
    pub extremes: BTreeMap<String, Extremes>,
    /// By group.
    histograms: HashMap<usize, Histogram>,
}

impl Statistics {
    /// Runs the float graph twice over `frames`, each `[S, S, 3] u8`.
    pub fn gather(graph: &Graph, frames: &[Vec<u8>]) -> anyhow::Result<Statistics> {
        let input = |pixels: &Vec<u8>| input_from_pixels(graph.input_side, pixels);
        let of_frames: Vec<BTreeMap<String, Extremes>> = frames
            .par_iter()
            .map(|pixels| {
                let mut extremes = BTreeMap::<String, Extremes>::new();
                run(graph, input(pixels)?, |name, value| {
                    extremes.entry(name.to_string()).or_default().observe(&value.data);
                })?;
                Ok(extremes)
            })
            .collect::<anyhow::Result<_>>()?;
        let mut extremes = BTreeMap::<String, Extremes>::new();
        for (name, seen) in of_frames.into_iter().flatten() {
            extremes.entry(name).or_default().merge(seen);
        }
        let groups =
            Groups::new(graph, |name| extremes.get(name).map_or((0.0, 0.0), |seen| (seen.low, seen.high)));
        let mut of_group = HashMap::<usize, Extremes>::new();
        for (name, group) in groups.iter() {
            of_group.entry(group).or_default().merge(extremes.get(name).copied().unwrap_or_default());
        }
        let empty: HashMap<usize, Histogram> =
            of_group.into_iter().map(|(group, seen)| (group, Histogram::new(seen))).collect();
        let histograms = frames
            .par_iter()
            .map(|pixels| {
                let mut histograms = empty.clone();
                run(graph, input(pixels)?, |name, value| {
                    let histogram = groups.of(name).and_then(|group| histograms.get_mut(&group));
                    if let Some(histogram) = histogram {
                        histogram.observe(&value.data);
                    }
                })?;
                Ok(histograms)
            })
            .try_reduce(
                || empty.clone(),
                |mut all, some| {
                    for (group, histogram) in &some {
                        all.entry(*group).and_modify(|of_all| of_all.merge(histogram));
                    }
                    Ok::<_, anyhow::Error>(all)
                },
            )?;
        Ok(Statistics { groups, extremes, histograms })
    }

    /// One quantisation a tensor. ReLU6 outputs lie within [0, 6] with zero point 0, logits within ±[`LARGEST_LOGIT`].
    pub fn quantisations(&self, graph: &Graph, observer: Observer) -> BTreeMap<String, Quantisation> {
        let mut of_group = HashMap::<usize, (f32, f32)>::new();
        for (&group, histogram) in &self.histograms {
            of_group.insert(group, histogram.range(observer));
        }
        if let Some(range) = self.groups.of(&graph.output).and_then(|group| of_group.get_mut(&group)) {
            // A threshold of 0.5 must lie inside, whatever the frames were.
            *range = (range.0.clamp(-LARGEST_LOGIT, -1.0), range.1.clamp(1.0, LARGEST_LOGIT));
        }
        let clipped = |node: &crate::graph::Node| matches!(node.op, Op::Conv { relu6: true, .. });
        for node in graph.nodes.iter().filter(|node| clipped(node)) {
            if let Some(range) = self.groups.of(&node.name).and_then(|group| of_group.get_mut(&group)) {
                range.1 = range.1.min(6.0);
            }
        }
        self.groups
            .iter()
            .map(|(name, group)| {
                let (low, high) = of_group.get(&group).copied().unwrap_or((0.0, 1.0));
                let quantisation =
                    self.groups.fixed(group).unwrap_or_else(|| Quantisation::covering(low, high));
                (name.to_string(), quantisation)
            })
            .collect()
    }
}
