//! Exported files against other runtimes: tract in float, the cart's engine, and onnxruntime where Python has it.

use std::path::Path;
use std::process::Command;

use crate::graph::execute::{input_from_pixels, run};
use crate::graph::tests::{every_op, random_pixels};
use crate::graph::{Graph, Op};
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

/// The graph read back from a file, as int8 again.
fn read_back(onnx: &[u8]) -> QuantisedGraph {
    let (graph, tensors) = super::import::from_onnx(onnx).unwrap();
    QuantisedGraph::new(&graph, tensors, &Default::default()).unwrap()
}

/// Shares of logits and of stored weights that are the same.
fn sameness(onnx: &[u8], pixels: &[Vec<u8>]) -> (f64, f64) {
    let (first, second) = (read_back(onnx), read_back(&super::quantised::to_onnx(&read_back(onnx)).unwrap()));
    let again = super::quantised::to_onnx(&first).unwrap();
    let [mut theirs, mut ours] = [onnx, &again].map(|file| cart_engine(file).unwrap());
    let (mut same, mut count) = (0, 0);
    for pixels in pixels {
        let [theirs, ours] = [&mut theirs, &mut ours].map(|engine| logits(engine, pixels).unwrap());
        count += ours.len();
        same += ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
    }
    let (mut kept, mut weights) = (0, 0);
    for (name, conv) in &first.convs {
        weights += conv.weight.len();
        kept += conv.weight.iter().zip(&second.convs[name].weight).filter(|(a, b)| a == b).count();
    }
    (same as f64 / count as f64, kept as f64 / weights as f64)
}

#[test]
fn an_int8_file_is_read_back_as_the_same_network() {
    for seed in 0..20 {
        let graph = every_op(seed);
        let (onnx, _) = quantised(&graph);
        let (read, tensors) = super::import::from_onnx(&onnx).unwrap();
        assert_eq!((read.input_side, &read.output), (graph.input_side, &graph.output));
        assert_eq!(tensors.len(), graph.nodes.len() + 1);
        for (read, written) in read.nodes.iter().zip(&graph.nodes) {
            assert_eq!((&read.name, &read.inputs), (&written.name, &written.inputs));
            match (&read.op, &written.op) {
                (
                    Op::Conv { weight: w, stride: s, pads: p, groups: g, relu6: r, .. },
                    Op::Conv { weight, stride, pads, groups, relu6, .. },
                ) => {
                    assert_eq!((w.shape, s, p, g), (weight.shape, stride, pads, groups), "{}", read.name);
                    assert!(*r || !*relu6, "{}: ReLU6 was lost", read.name);
                }
                (read, written) => assert_eq!(read, written),
            }
        }
        let (logits, weights) = sameness(&onnx, &frames());
        assert!(logits > 0.99 && weights > 0.999, "seed {seed}: {logits} {weights}");
    }
}

#[test]
fn the_shipped_networks_are_read_back() {
    for name in ["full", "lite"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
        let onnx = std::fs::read(folder.join("model.onnx")).unwrap();
        let side = super::import::from_onnx(&onnx).unwrap().0.input_side;
        let pixels: Vec<_> = (0..2).map(|seed| random_pixels(side, seed)).collect();
        let (logits, weights) = sameness(&onnx, &pixels);
        assert!(logits > 0.97 && weights > 0.999, "{name}: {logits} {weights}");
    }
}

#[test]
fn a_damaged_or_foreign_file_is_refused_in_one_line() {
    let (onnx, _) = quantised(&every_op(16));
    let refused = |bytes: &[u8]| {
        if let Err(error) = super::import::from_onnx(bytes) {
            assert_eq!(polyp_edge::fault::exit_of(&error), polyp_edge::fault::Exit::Data, "{error:#}");
            assert!(!format!("{error:#}").contains('\n'), "{error:#}");
        }
    };
    (0..onnx.len()).step_by(7).for_each(|end| refused(&onnx[..end]));
    for at in 0..onnx.len() {
        let mut changed = onnx.clone();
        changed[at] ^= 1 << (at % 8);
        refused(&changed);
    }
    let float = super::float::to_onnx(&every_op(16)).unwrap();
    let error = format!("{:#}", super::import::from_onnx(&float).unwrap_err());
    assert!(error.contains("only a network that polyp-host exported for int8"), "{error}");
}
