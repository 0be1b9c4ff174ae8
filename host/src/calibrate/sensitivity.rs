//! What each layer's quantisation costs by itself: the float network with this one node computed as the cart does.

use std::collections::HashMap;

use anyhow::Context;
use plotters::prelude::*;
use rayon::prelude::*;

use crate::calibrate::decision::Truth;
use crate::calibrate::logits::{dice_at_half, storable};
use crate::graph::execute::{Activation, apply, convolve, input_from_pixels};
use crate::graph::{INPUT, Node, Op};
use crate::numeric::mean;
use crate::plot;
use crate::quantise::QuantisedGraph;

/// One node of `sensitivity.csv`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct NodeSensitivity {
    /// The node's name.
    pub node: String,
    /// The operation, as [`Op::kind`] names it.
    pub op: &'static str,
    /// Signal-to-noise ratio of the logits in dB, both within what can be stored.
    pub logits_db: f64,
    /// Mean Dice at a probability of one half over the frames with polyps.
    pub dice: f64,
    /// How much less that is than in float.
    pub dice_lost: f64,
}

/// Node by node, over `frames [S, S, 3] u8` with their truths.
pub fn sensitivity(
    quantised: &QuantisedGraph,
    frames: &[Vec<u8>],
    truths: &[&Truth],
) -> anyhow::Result<Vec<NodeSensitivity>> {
    let graph = &quantised.graph;
    // [frame][node], the float network's own at the end.
    let logits: Vec<Vec<Activation>> =
        frames.par_iter().map(|pixels| one_by_one(quantised, pixels)).collect::<anyhow::Result<_>>()?;
    let of =
        |position: usize| -> Vec<&Activation> { logits.iter().map(|of_frame| &of_frame[position]).collect() };
    let float = of(graph.nodes.len());
    let best = mean(&dice_at_half(&float, truths));
    let rows = graph.nodes.iter().enumerate().map(|(position, node)| {
        let own = of(position);
        let pairs = || float.iter().zip(&own).flat_map(|(f, q)| f.data.iter().zip(&q.data));
        let signal: f64 = pairs().map(|(f, _)| storable(*f).powi(2)).sum();
        let noise: f64 = pairs().map(|(f, q)| (storable(*f) - storable(*q)).powi(2)).sum();
        let dice = mean(&dice_at_half(&own, truths));
        NodeSensitivity {
            node: node.name.clone(),
            op: node.op.kind(),
            logits_db: crate::quantise::refine::decibels(signal, noise),
            dice,
            dice_lost: best - dice,
        }
    });
    Ok(rows.collect())
}

/// The logits of one frame with each node quantised by itself, then those of the float network.
fn one_by_one(quantised: &QuantisedGraph, pixels: &[u8]) -> anyhow::Result<Vec<Activation>> {
    let graph = &quantised.graph;
    let mut floats: HashMap<&str, Activation> = HashMap::new();
    floats.insert(INPUT, input_from_pixels(graph.input_side, pixels)?);
    for node in &graph.nodes {
        let out = apply(node, &inputs(node, &HashMap::new(), &floats)?)?;
        floats.insert(&node.name, out);
    }
    let mut logits = Vec::with_capacity(graph.nodes.len() + 1);
    for (position, node) in graph.nodes.iter().enumerate() {
        let mut changed: HashMap<&str, Activation> = HashMap::new();
        changed.insert(&node.name, as_the_cart(quantised, node, &floats)?);
        for later in &graph.nodes[position + 1..] {
            if later.inputs.iter().any(|input| changed.contains_key(input.as_str())) {
                let out = apply(later, &inputs(later, &changed, &floats)?)?;
                changed.insert(&later.name, out);
            }
        }
        let unchanged = || floats.get(graph.output.as_str()).cloned();
        logits.push(changed.remove(graph.output.as_str()).or_else(unchanged).context("no logits")?);
    }
    logits.push(floats.remove(graph.output.as_str()).context("no logits")?);
    Ok(logits)
}

fn inputs<'a>(
    node: &Node,
    changed: &'a HashMap<&str, Activation>,
    floats: &'a HashMap<&str, Activation>,
) -> anyhow::Result<Vec<&'a Activation>> {
    let find = |name: &String| changed.get(name.as_str()).or_else(|| floats.get(name.as_str()));
    node.inputs.iter().map(|name| find(name).with_context(|| format!("{name} was never computed"))).collect()
}

/// A node's output from float inputs, its weights and its output stored as the cart stores them.
fn as_the_cart(
    quantised: &QuantisedGraph,
    node: &Node,
    floats: &HashMap<&str, Activation>,
) -> anyhow::Result<Activation> {
    let inputs = inputs(node, floats, floats)?;
    let stored = quantised.tensor(&node.name)?;
    let mut out = match (&node.op, quantised.convs.get(&node.name)) {
        (Op::Conv { weight, stride, pads, groups, relu6, .. }, Some(conv)) => {
            let bias = conv.real_bias(quantised.tensor(&node.inputs[0])?.scale);
            let mut out =
                convolve(inputs[0], &conv.real_weight(weight.shape), &bias, *stride, *pads, *groups);
            if *relu6 {
                out.data.iter_mut().for_each(|value| *value = value.clamp(0.0, 6.0));
            }
            out
        }
        _ => apply(node, &inputs)?,
    };
    let floors = matches!(node.op, Op::ResizeBilinear { .. });
    for value in &mut out.data {
        *value = if floors { stored.floored(*value) } else { stored.rounded(*value) };
    }
    Ok(out)
}

/// A PNG: bars, one a node in the network's order: how far the logits' noise lies under the signal, and the Dice lost.
pub fn draw(rows: &[NodeSensitivity]) -> anyhow::Result<Vec<u8>> {
    let finite = |db: f64| if db.is_finite() { db } else { 0.0 };
    let noise: Vec<f64> = rows.iter().map(|row| finite(row.logits_db)).collect();
    let lost: Vec<f64> = rows.iter().map(|row| row.dice_lost).collect();
    plot::png(1200, 700, |root| {
        let (upper, lower) = root.split_vertically(350);
        let title = format!("one of {} nodes quantised, from input to logits", rows.len());
        bars(&upper, &title, "logits' signal to noise, dB", &noise)?;
        bars(&lower, "", "Dice lost", &lost)
    })
}

fn bars(area: &plot::Area, title: &str, what: &str, values: &[f64]) -> plot::Drawn {
    let lowest = values.iter().copied().fold(0.0, f64::min);
    let highest = values.iter().copied().fold(1e-4, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(title, ("sans-serif", 20))
        .x_label_area_size(36)
        .y_label_area_size(76)
        .build_cartesian_2d(0.0..values.len() as f64, lowest * 1.05..highest * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc("node")
        .y_desc(what)
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .draw()?;
    let bar = |(i, value): (usize, &f64)| {
        let corners = [(i as f64 + 0.1, 0.0), (i as f64 + 0.9, *value)];
        Rectangle::new(corners, RGBColor(0, 110, 120).filled())
    };
    chart.draw_series(values.iter().enumerate().map(bar))?;
    Ok(())
}
