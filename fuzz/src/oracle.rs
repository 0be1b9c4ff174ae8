//! What loading must satisfy, whatever the bytes are; what it does not is a panic that reaches libFuzzer.

use polyp_edge::bundle::Bundle;
use polyp_edge::engine::{Engine, Options, kernels};
use polyp_edge::fault::{Exit, exit_of};

/// Networks that are run, not only loaded.
const MOST_MULTIPLY_ADDS: u64 = 2_000_000;
const MOST_BYTES: usize = 1 << 20;

/// Loads a model: it is refused with a reason on one line, or it runs, and every kernel set gives the same bytes.
pub fn model(bytes: &[u8]) {
    let engine = match Engine::from_onnx(bytes, &Options::default()) {
        Ok(engine) => engine,
        Err(error) => return refusal(&error, &[Exit::Data]),
    };
    run(engine, bytes);
}

/// An error that a person can read.
pub fn refusal(error: &anyhow::Error, exits: &[Exit]) {
    let message = format!("{error:#}");
    assert!(exits.contains(&exit_of(error)), "exit {:?}: {message}", exit_of(error));
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?} is no line");
    assert!(
        std::env::var_os("POLYP_FUZZ_STRICT").is_none() || !message.contains("the ONNX importer failed"),
        "the importer panicked"
    );
}

/// One frame, if it is a small one: on the set that was chosen, on the reference, and on one of the others.
pub fn run(mut engine: Engine, bytes: &[u8]) {
    let sizes = [engine.input_shape(), engine.output_shape()].map(|shape| shape.iter().product::<usize>());
    let nodes: usize = engine.nodes().iter().map(|node| node.shape.iter().product::<usize>()).sum();
    if engine.multiply_adds() > MOST_MULTIPLY_ADDS || nodes + sizes[0] + sizes[1] > MOST_BYTES {
        return;
    }
    let seed = bytes.iter().fold(0u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut dice = crate::dice::Dice::new(seed);
    let input: Vec<u8> = (0..sizes[0]).map(|_| dice.bits() as u8).collect();
    let mut expected = vec![0; sizes[1]];
    engine.run(&input, &mut expected).expect("a loaded model runs");
    let sets: Vec<&str> = kernels::available().iter().map(|kernels| kernels.name).collect();
    for set in ["scalar", sets[dice.below(sets.len())]] {
        // Rarely with threads: each load starts them.
        let threads = if dice.one_in(16) { 2 } else { 1 };
        let options = Options { kernels: Some(set.into()), threads, ..Options::default() };
        let mut other =
            Engine::from_onnx(bytes, &options).expect("each kernel set loads what another one loads");
        let mut output = vec![0; sizes[1]];
        other.run(&input, &mut output).expect("a loaded model runs");
        assert!(
            output == expected,
            "{set} with {threads} threads does not give what {} gives",
            engine.kernels()
        );
    }
}

/// Opens and loads a bundle.
pub fn bundle(folder: &std::path::Path) {
    let bundle = match Bundle::open(folder) {
        Ok(bundle) => bundle,
        Err(error) => return refusal(&error, &[Exit::Data, Exit::Io]),
    };
    match Engine::load(&bundle, &Options::default()) {
        Ok(engine) => run(engine, &bundle.read(&bundle.manifest.model).expect("it was just read")),
        Err(error) => refusal(&error, &[Exit::Data]),
    }
}
