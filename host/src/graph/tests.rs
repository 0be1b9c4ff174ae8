use super::*;
use crate::graph::execute::{Activation, convolve, convolve_plainly, input_from_pixels, run};
use rand::{Rng, SeedableRng};

pub(crate) fn node(name: &str, op: Op, inputs: &[&str]) -> Node {
    Node { name: name.into(), op, inputs: inputs.iter().map(|name| name.to_string()).collect() }
}

/// A network that has every op, 32 pixels wide, with random weights.
pub(crate) fn every_op(seed: u64) -> Graph {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut conv =
        |out: usize, inp: usize, k: usize, stride: usize, pads: [usize; 4], groups: usize, relu6: bool| {
            let shape = [out, inp / groups, k, k];
            let spread = (3.0 / (shape[1] * k * k) as f32).sqrt() * 1.4;
            let data = (0..shape.iter().product()).map(|_| random.random_range(-spread..spread)).collect();
            let bias = (0..out).map(|_| random.random_range(-0.3..0.3)).collect();
            Op::Conv { weight: Tensor4 { shape, data }, bias, stride, pads, groups, relu6 }
        };
    let same = [1, 1, 1, 1];
    let nodes = vec![
        node("stem", conv(8, 3, 3, 2, [0, 0, 1, 1], 1, true), &[INPUT]),
        node("depthwise", conv(8, 8, 5, 2, [1, 1, 2, 2], 8, true), &["stem"]),
        node("project", conv(8, 8, 1, 1, [0; 4], 1, false), &["depthwise"]),
        node("pooled", Op::MaxPool { size: 2 }, &["stem"]),
        node("skip", conv(8, 8, 1, 1, [0; 4], 1, false), &["pooled"]),
        node("sum", Op::Add, &["project", "skip"]),
        node("deep", conv(8, 8, 3, 2, [0, 0, 1, 1], 1, true), &["sum"]),
        node("deeper", conv(4, 8, 3, 2, [0, 0, 1, 1], 1, true), &["deep"]),
        node("up", Op::ResizeBilinear { factor: 2 }, &["deep"]),
        node("up_more", Op::ResizeNearest { factor: 4 }, &["deeper"]),
        node("branch", conv(8, 8, 1, 1, [0; 4], 1, true), &["sum"]),
        node("fused", Op::Concat, &["branch", "up", "up_more"]),
        node("mixed", conv(8, 20, 3, 1, same, 1, true), &["fused"]),
        node("mean", Op::GlobalAveragePool, &["mixed"]),
        node("attention", conv(8, 8, 1, 1, [0; 4], 1, false), &["mean"]),
        node("gate", Op::Sigmoid, &["attention"]),
        node("gated", Op::Mul, &["mixed", "gate"]),
        node("logits", conv(1, 8, 1, 1, [0; 4], 1, false), &["gated"]),
    ];
    Graph { input_side: 32, nodes, output: "logits".into() }
}

pub(crate) fn random_pixels(side: usize, seed: u64) -> Vec<u8> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..3 * side * side).map(|_| random.random()).collect()
}

#[test]
fn a_graph_comes_back_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/graph.safetensors");
    let graph = every_op(1);
    graph.save(&path).unwrap();
    assert_eq!(Graph::load(&path).unwrap(), graph);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 5);
    assert_eq!(
        polyp_edge::fault::exit_of(&Graph::from_bytes(&bytes).unwrap_err()),
        polyp_edge::fault::Exit::Data
    );
}

#[test]
fn shapes_are_inferred_and_nonsense_is_refused() {
    let graph = every_op(2);
    let shapes = shapes(&graph).unwrap();
    assert_eq!(shapes["stem"], Shape { channels: 8, height: 16, width: 16 });
    assert_eq!(shapes["fused"], Shape { channels: 20, height: 8, width: 8 });
    assert_eq!(shapes["gate"], Shape { channels: 8, height: 1, width: 1 });

    let broken = |change: &dyn Fn(&mut Graph)| {
        let mut graph = every_op(2);
        change(&mut graph);
        graph.validate().unwrap_err().to_string()
    };
    assert!(broken(&|graph| graph.nodes[1].inputs[0] = "nobody".into()).contains("unknown input nobody"));
    assert!(broken(&|graph| graph.nodes[1].name = "stem".into()).contains("used twice"));
    assert!(
        broken(&|graph| graph.output = "sum".into())
            .contains("expected one channel, 2, 4, 8 or 16 times smaller than 32 × 32")
    );
    assert!(broken(&|graph| graph.nodes.swap(0, 1)).contains("unknown input stem"));
    assert!(
        broken(&|graph| match &mut graph.nodes[0].op {
            Op::Conv { bias, .. } => bias[0] = f32::NAN,
            _ => unreachable!(),
        })
        .contains("not finite")
    );
}

#[test]
fn a_convolution_by_hand() {
    let weight = Tensor4 { shape: [1, 1, 2, 2], data: vec![1.0, 2.0, 3.0, 4.0] };
    let op = Op::Conv { weight, bias: vec![0.5], stride: 2, pads: [1, 0, 0, 1], groups: 1, relu6: false };
    let graph = Graph { input_side: 3, nodes: vec![node("c", op, &[INPUT])], output: "c".into() };
    let input = Activation {
        shape: Shape { channels: 1, height: 3, width: 3 },
        data: (1..=9).map(|v| v as f32).collect(),
    };
    // Padded: [0 0 0 0 | 1 2 3 0 | 4 5 6 0 | 7 8 9 0]
    let output = run(&graph, input, |_, _| {}).unwrap();
    assert_eq!(output.shape, Shape { channels: 1, height: 2, width: 2 });
    assert_eq!(output.data, [3.0 + 8.0 + 0.5, 9.0 + 0.5, 4.0 + 10.0 + 21.0 + 32.0 + 0.5, 6.0 + 27.0 + 0.5]);
}

#[test]
fn fast_convolutions_are_the_plain_ones() {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    let mut values =
        |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
    for (channels, filters, kernel, stride, pads, groups) in [
        (6, 9, 1, 1, [0; 4], 1),
        (6, 6, 3, 2, [0, 0, 1, 1], 6),
        (6, 6, 5, 1, [2; 4], 6),
        (3, 8, 3, 2, [0, 0, 1, 1], 1),
        (3, 3, 4, 4, [0; 4], 1),
        (4, 8, 3, 1, [1; 4], 2),
    ] {
        let shape = Shape { channels, height: 12, width: 16 };
        let input = Activation { shape, data: values(shape.len()) };
        let shape = [filters, channels / groups, kernel, kernel];
        let weight = Tensor4 { shape, data: values(shape.iter().product()) };
        let bias = values(filters);
        let fast = convolve(&input, &weight, &bias, stride, pads, groups);
        let plain = convolve_plainly(&input, &weight, &bias, stride, pads, groups);
        assert_eq!(fast.shape, plain.shape);
        for (fast, plain) in fast.data.iter().zip(&plain.data) {
            assert!((fast - plain).abs() < 1e-4, "{kernel} {groups}: {fast} {plain}");
        }
    }
}

#[test]
fn bilinear_is_half_pixel_with_clamped_edges() {
    let op = Op::ResizeBilinear { factor: 2 };
    let graph = Graph { input_side: 2, nodes: vec![node("r", op, &[INPUT])], output: "r".into() };
    let input = Activation { shape: Shape { channels: 1, height: 1, width: 2 }, data: vec![0.0, 4.0] };
    let output = run(&graph, input, |_, _| {}).unwrap();
    assert_eq!(output.data, [0.0, 1.0, 3.0, 4.0, 0.0, 1.0, 3.0, 4.0]);
}

#[test]
fn every_tensor_is_shown_with_its_inferred_shape() {
    let graph = every_op(3);
    let shapes = shapes(&graph).unwrap();
    let mut seen = Vec::new();
    let input = input_from_pixels(32, &random_pixels(32, 3)).unwrap();
    run(&graph, input, |name, value| {
        assert_eq!(value.shape, shapes[name], "{name}");
        assert_eq!(value.data.len(), value.shape.len(), "{name}");
        seen.push(name.to_string());
    })
    .unwrap();
    assert_eq!(seen.len(), graph.nodes.len() + 1);
}
