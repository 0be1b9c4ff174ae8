//! Damaged and hostile models: one clear line, never a panic, never unbounded memory.

use std::time::{Duration, Instant};

use polyp_edge::engine::{Engine, Options, Tuning};
use polyp_edge::fault::{Exit, exit_of};
use rand::{Rng, SeedableRng};
use testing::cases::Cases;
use testing::onnx::{field, ints, number, tensor};

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
    let cases = Cases::hostile();
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
    let cases = Cases::ops();
    let case = cases.iter().find(|case| case.name == "add-0").unwrap();
    for length in (0..case.model.len()).step_by(7) {
        refusal(&case.model[..length]);
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let cases = Cases::ops();
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
    let cases = Cases::ops();
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
    let cases = Cases::ops();
    let case = cases.iter().next().unwrap();
    let options = Options { kernels: Some("abacus".into()), ..Options::default() };
    let error = Engine::from_onnx(case.model, &options).err().unwrap();
    assert_eq!(exit_of(&error), Exit::Usage);
    assert!(error.to_string().contains("scalar"), "{error}");
}

#[test]
fn cores_that_are_not_there_cost_no_result() {
    let models = testing::root().join("models/first-light");
    let bundle = polyp_edge::bundle::Bundle::open(&models).unwrap();
    let logits = |threads, cores| {
        let mut engine = Engine::load(&bundle, &Options { threads, cores, ..Options::default() }).unwrap();
        engine.enter_thread();
        let input: Vec<u8> =
            (0..engine.input_shape().iter().product()).map(|index: usize| (index % 251) as u8).collect();
        let mut logits = vec![0; engine.output_shape().iter().product()];
        engine.run(&input, &mut logits).unwrap();
        logits
    };
    let expected = logits(1, vec![]);
    assert_eq!(logits(1, vec![100_000]), expected);
    assert_eq!(logits(2, vec![0, 1000]), expected);
}

#[test]
fn only_with_leave_does_tract_run_a_node() {
    let cases = Cases::hostile();
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

/// A tensor's type for `ValueInfoProto`: u8 of sides that are messages of `TensorShapeProto.Dimension`.
fn typed(name: &str, sides: &[Vec<u8>]) -> Vec<u8> {
    let sides: Vec<u8> = sides.iter().flat_map(|side| field(1, side)).collect();
    let fact = field(1, &[number(1, 2), field(2, &sides)].concat());
    [field(1, name.as_bytes()), field(2, &fact)].concat()
}

fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    let domain = if op.starts_with("QLinear") && op != "QLinearConv" { "com.microsoft" } else { "" };
    field(
        1,
        &[inputs, field(2, output.as_bytes()), field(4, op.as_bytes()), field(7, domain.as_bytes())].concat(),
    )
}

/// A network of nodes from "x", `[1, channels, side, side]`, to "y", with a scale "s" and a zero point "z".
fn network(channels: u64, side: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    let sides = [1, channels, side, side].map(|side| number(1, side));
    let graph = [
        field(11, &typed("x", &sides)),
        field(12, &typed("y", &sides)),
        tensor("s", &[], 1, &0.5f32.to_le_bytes()),
        tensor("z", &[], 2, &[128]),
        parts.concat(),
    ];
    let version = field(8, &number(2, 13));
    [number(1, 8), version, field(7, &graph.concat())].concat()
}

/// `count` nodes one after the other; `inputs` come after the tensor that flows.
fn chain(count: usize, op: &str, inputs: &[&str]) -> Vec<Vec<u8>> {
    let name = |index: usize| match index {
        0 => "x".to_owned(),
        _ if index == count => "y".to_owned(),
        _ => format!("t{index}"),
    };
    let link = |index: usize| {
        let from = name(index);
        let inputs = [&[from.as_str()], inputs].concat();
        node(op, &inputs, &name(index + 1))
    };
    (0..count).map(link).collect()
}

const SIGMOID: [&str; 4] = ["s", "z", "s", "z"];

#[test]
fn a_chain_of_sums_has_no_more_inputs_than_a_step_holds() {
    // Six tensors, each used once, added up one after the other.
    let mut parts: Vec<Vec<u8>> =
        (0..6).map(|part| node("QLinearSigmoid", &["x", "s", "z", "s", "z"], &format!("p{part}"))).collect();
    for part in 1..6 {
        let before = if part == 1 { "p0".into() } else { format!("sum{}", part - 1) };
        let sum = if part == 5 { "y".into() } else { format!("sum{part}") };
        parts.push(node("QLinearAdd", &[&before, "s", "z", &format!("p{part}"), "s", "z", "s", "z"], &sum));
    }
    let model = network(8, 16, &parts);
    let input: Vec<u8> = (0..8 * 16 * 16).map(|index| (index * 37 % 251) as u8).collect();
    let run = |tuning, threads| {
        let mut engine =
            Engine::from_onnx(&model, &Options { tuning, threads, ..Options::default() }).unwrap();
        let mut output = vec![0; input.len()];
        engine.run(&input, &mut output).unwrap();
        (output, engine.steps().len())
    };
    let (expected, steps) = run(Tuning { chained_bytes: usize::MAX, work_a_part: u64::MAX }, 1);
    assert_eq!(steps, 11);
    for threads in [1, 3] {
        let (output, steps) = run(Tuning { chained_bytes: 0, work_a_part: 1 }, threads);
        assert!(steps < 11, "nothing is chained");
        assert_eq!(output, expected);
    }
}

#[test]
fn long_networks_load_in_time() {
    for op in ["Identity", "QLinearSigmoid"] {
        let inputs = if op == "Identity" { &[][..] } else { &SIGMOID };
        let model = network(1, 4, &chain(9_999, op, inputs));
        let start = Instant::now();
        let loaded = Engine::from_onnx(&model, &Options::default());
        assert!(start.elapsed() < Duration::from_secs(60), "{op}: {:?}", start.elapsed());
        assert!(op == "Identity" || loaded.is_ok(), "{:#}", loaded.err().unwrap());
    }
    assert!(refusal(&network(1, 4, &chain(10_001, "Identity", &[]))).contains("nodes"));
}

#[test]
fn deeply_nested_sizes_are_not_parsed() {
    // The importer parses sizes that are expressions by recursion, and would run out of stack.
    let nested = [field(2, "(".repeat(30_000).as_bytes())];
    let twice = [field(11, &typed("z", &nested)), field(11, &typed("z", &nested))];
    let model = network(1, 4, &[chain(1, "QLinearSigmoid", &SIGMOID), twice.to_vec()].concat());
    assert!(refusal(&model).contains("\"z\""));
}

#[test]
fn messages_that_would_take_much_memory_are_refused_unread() {
    let attributes = field(1, &field(5, &[]).repeat(1 << 18));
    for parts in [
        field(1, &[]).repeat(1 << 18),
        field(5, &[]).repeat(1 << 18),
        field(13, &[]).repeat(1 << 18),
        attributes,
    ] {
        let bomb = network(1, 4, &[parts]);
        assert!(refusal(&bomb).contains("fields"));
    }
    assert!(refusal(&vec![0; (64 << 20) + 1]).contains("bytes; at most"));
}

#[test]
fn constants_that_many_nodes_share_are_bounded() {
    let weights = tensor("w", &[1024, 1024, 1, 1], 3, &[1; 1 << 20]);
    let nodes = chain(200, "QLinearConv", &["s", "z", "w", "s", "", "s", "z"]);
    assert!(refusal(&network(1024, 1, &[vec![weights], nodes].concat())).contains("weights"));
}

#[test]
fn tensors_of_all_nodes_are_bounded() {
    let nodes = chain(20, "QLinearSigmoid", &SIGMOID);
    assert!(refusal(&network(1, 8192, &nodes)).contains("too large"));
}

#[test]
fn nodes_of_very_many_inputs_are_bounded() {
    let inputs = ["x", "s", "z"].repeat(40_000);
    let inputs = [&["s", "z"], inputs.as_slice()].concat();
    let nodes = (0..3).map(|index| node("QLinearConcat", &inputs, &format!("y{index}"))).collect::<Vec<_>>();
    refusal(&network(1, 4, &nodes));
}

#[test]
fn padding_that_every_output_sees_gives_the_same_bytes_on_every_kernel_set() {
    let convolution = [
        ["x", "s", "z", "w", "s", "", "s", "z"].map(|input| field(1, input.as_bytes())).concat(),
        field(2, b"y"),
        field(4, b"QLinearConv"),
        ints("pads", &[0, 30, 0, 0]),
    ];
    let weights: Vec<u8> = (0..16 * 31).map(|index| (index * 37 % 256) as u8).collect();
    let parts = [tensor("w", &[16, 1, 1, 31], 3, &weights), field(1, &convolution.concat())];
    let model = network(1, 24, &parts);
    let input: Vec<u8> = (0..24 * 24).map(|index| (index * 101 % 256) as u8).collect();
    let run = |kernels: &str| {
        let options = Options { kernels: Some(kernels.into()), ..Options::default() };
        let mut engine = Engine::from_onnx(&model, &options).unwrap();
        let mut output = vec![0; engine.output_shape().iter().product()];
        engine.run(&input, &mut output).unwrap();
        output
    };
    let expected = run("scalar");
    for kernels in polyp_edge::engine::kernels::available() {
        assert_eq!(run(kernels.name), expected, "{}", kernels.name);
    }
}

/// A network whose input is of an ONNX type, of nodes that are (op, output).
fn float_network(kind: u64, nodes: &[(&str, &str)]) -> Vec<u8> {
    let sides: Vec<u8> = [1, 3, 32, 32].iter().flat_map(|&side| field(1, &number(1, side))).collect();
    let fact = field(1, &[number(1, kind), field(2, &sides)].concat());
    let value = [field(1, b"input"), field(2, &fact)].concat();
    let mut before = "input";
    let mut graph = vec![field(11, &value), field(12, &[field(1, b"output"), field(2, &fact)].concat())];
    for (op, output) in nodes {
        graph.push(node(op, &[before], output));
        before = output;
    }
    [number(1, 8), field(7, &graph.concat()), field(8, &number(2, 13))].concat()
}

#[test]
fn models_of_another_form_are_told_which_form_is_read() {
    let qdq = [("QuantizeLinear", "q"), ("DequantizeLinear", "d"), ("Conv", "output")];
    let float = [("Conv", "c"), ("Relu", "output")];
    for (kind, nodes, parts) in [
        (1, &qdq[..], ["in QDQ form", "float, not u8"]),
        (1, &float, ["it is a float model", "float, not u8"]),
        (10, &float, ["it is a float model", "float16, not u8"]),
        (3, &float, ["of another kind", "int8, not u8"]),
        (2, &float, ["node \"c\" (Conv)", "no int8 op for"]),
    ] {
        let message = refusal(&float_network(kind, nodes));
        for part in parts.iter().chain(&["QOperator", "QLinearConv", "polyp-host export"]) {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}
