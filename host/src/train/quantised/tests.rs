use super::*;
use crate::data::augment::Example;
use crate::graph::tests::{every_op, random_pixels};
use crate::model::cart::{self, cart_engine};
use crate::onnx;
use crate::quantise::QuantisedGraph;
use crate::quantise::range::Observer;
use crate::quantise::recipe::{FORMAT, Recipe};
use crate::quantise::refine::refine;
use crate::quantise::statistics::Statistics;

const SIDE: usize = 32;

/// A calibration of random pictures.
pub fn calibration(graph: &Graph, frames: &[Vec<u8>]) -> Calibration {
    let statistics = Statistics::gather(graph, frames).unwrap();
    let tensors = statistics.quantisations(graph, Observer::SquaredError);
    let refined = refine(graph, &tensors, frames, true).unwrap();
    let recipe = Recipe {
        format: FORMAT,
        graph_sha256: String::new(),
        observer: "squared-error".into(),
        bias_correction: true,
        equalised: false,
        seed: 1,
        calibration_frames: frames.len(),
        held_back_polyp_frames: 0,
        held_back_negative_frames: 0,
        decision: polyp_edge::bundle::manifest::Decision {
            threshold: 0.5,
            min_region_share: 0.0,
            min_peak: 0.5,
        },
        held_back_dice: 0.0,
        held_back_missed_share: 0.0,
        held_back_negative_share: 0.0,
        held_back_cut_outs: 0,
        gate: None,
        held_back_cut_out_share: 0.0,
        points: BTreeMap::new(),
        curve: Vec::new(),
        tried: BTreeMap::new(),
        calibration_dice: BTreeMap::new(),
    };
    Calibration { recipe, tensors, corrections: refined.corrections, equalisation: BTreeMap::new() }
}

fn start(graph: &Graph, calibration: &Calibration) -> QuantisedStart {
    QuantisedStart::calibrated(graph, calibration, "graph:".into())
}

fn batch(frames: &[Vec<u8>]) -> Batch {
    let examples = frames.iter().map(|pixels| Example {
        pixels: (0..3)
            .flat_map(|c| pixels.iter().skip(c).step_by(3).map(|value| f32::from(*value)))
            .collect(),
        target: (0..SIDE * SIDE).map(|i| f32::from(i % SIDE > 12 && i / SIDE < 20)).collect(),
        truth: 1.0,
        teacher: Vec::new(),
        confidence: 1.0,
    });
    Batch::of(&examples.collect::<Vec<_>>(), SIDE)
}

/// Share of logits that are the cart's, and of decisions.
fn agreement(learner: &QuantisedLearner, parameters: &Parameters, frames: &[Vec<u8>]) -> (f64, f64) {
    let logits = learner.logits(parameters, &batch(frames)).unwrap();
    let tensors = learner.tensors(parameters);
    let stored = tensors[&learner.graph.output];
    let quantised = QuantisedGraph::new(&learner.graph(parameters), tensors, &BTreeMap::new()).unwrap();
    let mut engine = cart_engine(&onnx::quantised::to_onnx(&quantised).unwrap()).unwrap();
    let (mut same, mut decided, mut count) = (0, 0, 0);
    for (own, pixels) in logits.values.chunks(logits.low * logits.low).zip(frames) {
        let theirs = cart::logits(&mut engine, pixels).unwrap();
        for (own, theirs) in own.iter().zip(&theirs) {
            same += usize::from(stored.quantise(*own) == *theirs);
            decided += usize::from((*own >= 0.0) == (stored.real(*theirs) >= 0.0));
            count += 1;
        }
    }
    (same as f64 / count as f64, decided as f64 / count as f64)
}

#[test]
fn training_computes_what_the_cart_computes() {
    let (config, device) = (TrainConfig::default(), Device::flex());
    for seed in 0..12 {
        let graph = every_op(seed);
        let frames: Vec<Vec<u8>> = (0..6).map(|i| random_pixels(SIDE, 100 * seed + i)).collect();
        let (learner, mut parameters) =
            QuantisedLearner::new(start(&graph, &calibration(&graph, &frames)), true, &config, &device)
                .unwrap();
        // Ranges that were moved, too.
        for (name, array) in &mut parameters.0 {
            if name.ends_with(".range") {
                array.values[0] = 0.1 * (name.len() % 5) as f32 - 0.2;
            }
        }
        let (same, decided) = agreement(&learner, &parameters, &frames);
        assert!(same > 0.98 && decided > 0.999, "seed {seed}: {same} {decided}");
    }
}

#[test]
fn steps_go_down_and_ranges_move() {
    let (graph, device) = (every_op(3), Device::flex());
    let frames: Vec<Vec<u8>> = (0..4).map(|i| random_pixels(SIDE, i)).collect();
    let calibration = calibration(&graph, &frames);
    let config = TrainConfig { depth_weights: vec![1.0], ..TrainConfig::default() };
    for learn_ranges in [false, true] {
        let (learner, mut parameters) =
            QuantisedLearner::new(start(&graph, &calibration), learn_ranges, &config, &device).unwrap();
        let (before, first) = (learner.tensors(&parameters), batch(&frames));
        let mut losses = Vec::new();
        for _ in 0..40 {
            let outcome = learner.batch(&parameters, &first).unwrap();
            losses.push(outcome.loss);
            for (name, array) in &mut parameters.0 {
                let gradient = &outcome.gradients.get(name).values;
                array.values.iter_mut().zip(gradient).for_each(|(value, g)| *value -= 0.05 * g);
            }
        }
        let (start, end) = (losses[0], losses[losses.len() - 1]);
        assert!(end < start - 0.05, "{start} {end}");
        let moved = learner.tensors(&parameters) != before;
        assert_eq!(moved, learn_ranges);
        // ReLU6 stays ReLU6.
        assert!(learner.tensors(&parameters)["stem"].bounds().1 <= 6.0 + 1e-4);
        let (same, decided) = agreement(&learner, &parameters, &frames);
        assert!(same > 0.98 && decided > 0.999, "{same} {decided}");
    }
}
