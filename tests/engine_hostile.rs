//! Damaged and hostile models: one clear line, never a panic, never unbounded memory.

mod cases;

use std::path::Path;

use cases::Cases;
use polyp_edge::engine::{Engine, Options};
use polyp_edge::fault::{Exit, exit_of};
use rand::{Rng, SeedableRng};

fn fixtures(name: &str) -> Cases {
    Cases::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engine").join(name))
}

/// The message with which loading fails.
fn refusal(bytes: &[u8]) -> String {
    match Engine::from_onnx(bytes, &Options::default()) {
        Ok(_) => panic!("it must be refused"),
        Err(error) => {
            assert_eq!(exit_of(&error), Exit::Data, "{error:#}");
            let message = format!("{error:#}");
            assert!(!message.contains('\n') && message.len() < 1000, "{message}");
            message
        }
    }
}

#[test]
fn hostile_networks_are_refused_with_a_reason() {
    let cases = fixtures("hostile.cases");
    assert!(cases.iter().count() >= 30);
    for case in cases.iter() {
        let message = refusal(case.model);
        assert!(message.contains(case.message), "{}: {message}", case.name);
    }
}

#[test]
fn bytes_that_are_no_network_are_refused() {
    for bytes in [&b""[..], b"\0", b"not a network", &[0xff; 1000]] {
        refusal(bytes);
    }
}

#[test]
fn every_truncation_is_refused() {
    let cases = fixtures("ops.cases");
    let case = cases.iter().find(|case| case.name == "add-0").unwrap();
    for length in (0..case.model.len()).step_by(7) {
        refusal(&case.model[..length]);
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let cases = fixtures("ops.cases");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let (mut loaded, mut refused) = (0, 0);
    for case in cases.iter() {
        for _ in 0..15 {
            let mut bytes = case.model.to_vec();
            for _ in 0..random.random_range(1..4) {
                let index = random.random_range(0..bytes.len());
                bytes[index] = random.random();
            }
            match Engine::from_onnx(&bytes, &Options::default()) {
                Err(error) => {
                    assert_eq!(exit_of(&error), Exit::Data, "{}: {error:#}", case.name);
                    refused += 1;
                }
                Ok(mut engine) => {
                    loaded += 1;
                    if engine.multiply_adds() < 10_000_000 {
                        let input = vec![0; engine.input_shape().iter().product()];
                        let mut output = vec![0; engine.output_shape().iter().product()];
                        engine.run(&input, &mut output).unwrap();
                    }
                }
            }
        }
    }
    assert!(loaded > 100 && refused > 100, "{loaded} loaded, {refused} refused: the test proves little");
}

#[test]
fn inputs_and_outputs_of_the_wrong_size_are_refused() {
    let cases = fixtures("ops.cases");
    let case = cases.iter().next().unwrap();
    let mut engine = Engine::from_onnx(case.model, &Options::default()).unwrap();
    let mut output = vec![0; case.output.len()];
    assert!(engine.run(&case.input[1..], &mut output).is_err());
    assert!(engine.run(case.input, &mut output[1..]).is_err());
    engine.run(case.input, &mut output).unwrap();
    assert_eq!(output, case.output);
}

#[test]
fn unknown_kernels_are_a_usage_error() {
    let cases = fixtures("ops.cases");
    let case = cases.iter().next().unwrap();
    let options = Options { kernels: Some("abacus".into()), ..Options::default() };
    let error = Engine::from_onnx(case.model, &options).err().unwrap();
    assert_eq!(exit_of(&error), Exit::Usage);
    assert!(error.to_string().contains("scalar"), "{error}");
}

#[test]
fn only_with_leave_does_tract_run_a_node() {
    let cases = fixtures("hostile.cases");
    let case = cases.iter().find(|case| case.name == "float-in-the-middle").unwrap();
    assert!(refusal(case.model).contains("DequantizeLinear"));
    let options = Options { allow_fallback: true, kernels: Some("scalar".into()), ..Options::default() };
    let mut engine = Engine::from_onnx(case.model, &options).unwrap();
    let kernels: Vec<&str> = engine.nodes().iter().map(|node| node.kernel.as_str()).collect();
    assert!(kernels.contains(&"tract") && kernels.contains(&"scalar"), "{kernels:?}");
    let mut output = vec![0; case.output.len()];
    engine.run(case.input, &mut output).unwrap();
    assert_eq!(output, case.output);
}
