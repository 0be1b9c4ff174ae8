//! Exported files against other runtimes: tract in float, the cart's engine, and onnxruntime where Python has it.

use std::path::Path;
use std::process::Command;

use crate::graph::Graph;
use crate::graph::execute::{input_from_pixels, run};
use crate::graph::tests::{every_op, random_pixels};
use crate::model::cart::{Float, cart_engine, logits};
use crate::quantise::QuantisedGraph;
use crate::quantise::range::Observer;
use crate::quantise::refine::refine;
use crate::quantise::statistics::Statistics;

const FRAMES: u64 = 4;

fn frames() -> Vec<Vec<u8>> {
    (0..FRAMES).map(|seed| random_pixels(32, seed)).collect()
}

fn reference(graph: &Graph, pixels: &[u8]) -> Vec<f32> {
    run(graph, input_from_pixels(graph.input_side, pixels).unwrap(), |_, _| {}).unwrap().data
}

/// The exported int8 file, and the logits that the simulation gives for each frame.
fn quantised(graph: &Graph) -> (Vec<u8>, Vec<Vec<u8>>) {
    let statistics = Statistics::gather(graph, &frames()).unwrap();
    let tensors = statistics.quantisations(graph, Observer::MinMax);
    let refined = refine(graph, &tensors, &frames(), true).unwrap();
    let quantised = QuantisedGraph::new(graph, tensors, &refined.corrections).unwrap();
    let output = quantised.tensor(&graph.output).unwrap();
    let simulated = refined.logits.iter();
    let simulated = simulated.map(|logits| logits.data.iter().map(|&value| output.quantise(value)).collect());
    (super::quantised::to_onnx(&quantised).unwrap(), simulated.collect())
}

/// Checks a file with onnx.checker and runs it in onnxruntime; `None`, with a line that says so, without Python or the
/// packages. Bytes of all outputs, frame after frame.
fn onnxruntime(onnx: &[u8], frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/oracle/run_onnx.py");
    let folder = tempfile::tempdir().unwrap();
    let [model, input, output] = ["model.onnx", "input", "output"].map(|name| folder.path().join(name));
    std::fs::write(&model, onnx).unwrap();
    let planes = |pixels: &Vec<u8>| -> Vec<u8> {
        (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied()).collect()
    };
    std::fs::write(&input, frames.iter().flat_map(planes).collect::<Vec<u8>>()).unwrap();
    let result = Command::new("python3").arg(&script).args([&model, &input, &output]).output();
    let done = match result {
        Ok(done) if done.status.code() != Some(3) => done,
        _ => {
            println!("skipped: no python3 with onnx, onnxruntime and numpy");
            return None;
        }
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(std::fs::read(&output).unwrap())
}

fn assert_close(label: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{label}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst < 1e-4, "{label}: {worst}");
}

#[test]
fn float_onnx_in_tract() {
    let graph = every_op(11);
    let float = Float::new(&super::float::to_onnx(&graph).unwrap()).unwrap();
    for pixels in frames() {
        assert_close("tract", &float.logits(&pixels).unwrap(), &reference(&graph, &pixels));
    }
    assert!(Float::new(b"nonsense").is_err());
}

#[test]
fn float_onnx_in_onnxruntime() {
    let graph = every_op(12);
    let Some(bytes) = onnxruntime(&super::float::to_onnx(&graph).unwrap(), &frames()) else { return };
    let found: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let expected: Vec<f32> = frames().iter().flat_map(|pixels| reference(&graph, pixels)).collect();
    assert_close("onnxruntime", &found, &expected);
}

#[test]
fn int8_onnx_in_onnxruntime_is_the_engine_and_the_simulation() {
    for seed in [13, 14, 15] {
        let (onnx, simulated) = quantised(&every_op(seed));
        let mut cart = cart_engine(&onnx).unwrap();
        let mut engine = Vec::new();
        for pixels in frames() {
            engine.extend(logits(&mut cart, &pixels).unwrap());
        }
        let simulated = simulated.concat();
        let near = engine.iter().zip(&simulated).filter(|(a, b)| a.abs_diff(**b) <= 2).count();
        assert!(near * 100 >= engine.len() * 98, "{near} of {}", engine.len());
        assert!(engine.iter().any(|value| *value != engine[0]), "a constant says nothing");
        if let Some(oracle) = onnxruntime(&onnx, &frames()) {
            assert_eq!(oracle, engine, "seed {seed}");
        }
    }
}

/// The share of decisions at one half that are the cart's.
fn agreement(logits: &[f32], cart: &[Vec<u8>], zero_point: u8) -> f64 {
    let same = logits.iter().zip(cart.iter().flatten()).filter(|(z, q)| (**z >= 0.0) == (**q >= zero_point));
    same.count() as f64 / logits.len() as f64
}

#[test]
fn qdq_in_onnxruntime_decides_as_the_cart_does() {
    let graph = every_op(13);
    let statistics = Statistics::gather(&graph, &frames()).unwrap();
    let tensors = statistics.quantisations(&graph, Observer::MinMax);
    let refined = refine(&graph, &tensors, &frames(), true).unwrap();
    let quantised = QuantisedGraph::new(&graph, tensors, &refined.corrections).unwrap();
    let mut cart = cart_engine(&super::quantised::to_onnx(&quantised).unwrap()).unwrap();
    let logits: Vec<Vec<u8>> = frames().iter().map(|pixels| logits(&mut cart, pixels).unwrap()).collect();
    let zero_point = quantised.tensor(&graph.output).unwrap().zero_point;
    // Resizing rounds to the nearest step here, down in the bundle; symmetric steps are twice as wide.
    for (form, least) in [(super::qdq::Form::Unsigned, 0.97), (super::qdq::Form::Symmetric, 0.95)] {
        let onnx = super::qdq::to_onnx(&quantised, form).unwrap();
        let Some(bytes) = onnxruntime(&onnx, &frames()) else { return };
        let found: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let share = agreement(&found, &logits, zero_point);
        assert!(share >= least, "{form:?}: {share}");
    }
}
