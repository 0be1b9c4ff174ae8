//! The network of the bundle.

use super::SIDE;
use crate::onnx::{field, ints, number, tensor};

fn value(place: u8, name: &str, dims: [u64; 4]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&dim| field(1, &number(1, dim))).collect();
    let kind = field(1, &[number(1, 2), field(2, &dims)].concat());
    field(place, &[field(1, name.as_bytes()), field(2, &kind)].concat())
}

/// Side, stride and padding of a convolution's window in pixels.
struct Window(u64, u64, u64);

/// A QLinearConv whose weights are all the same: `mean × gain`.
fn conv(
    (name, input, output): (&str, &str, &str),
    channels: u64,
    scales: [f32; 2],
    gain: f32,
    Window(side, stride, padding): Window,
) -> Vec<u8> {
    let taps = side * side * channels;
    let constant = |what: &str| format!("{name}_{what}");
    let weights = vec![100u8; taps as usize];
    let weight_scale = gain / (100.0 * taps as f32);
    let initializers = [
        tensor(&constant("xs"), &[], 1, &scales[0].to_le_bytes()),
        tensor(&constant("xz"), &[], 2, &[127]),
        tensor(&constant("w"), &[1, channels, side, side], 3, &weights),
        tensor(&constant("ws"), &[1], 1, &weight_scale.to_le_bytes()),
        tensor(&constant("wz"), &[1], 3, &[0]),
        tensor(&constant("ys"), &[], 1, &scales[1].to_le_bytes()),
        tensor(&constant("yz"), &[], 2, &[127]),
    ];
    let inputs = ["xs", "xz", "w", "ws", "wz", "ys", "yz"].map(|what| field(1, constant(what).as_bytes()));
    let node = [
        field(1, input.as_bytes()),
        inputs.concat(),
        field(2, output.as_bytes()),
        field(3, name.as_bytes()),
        field(4, b"QLinearConv"),
        ints("kernel_shape", &[side; 2]),
        ints("pads", &[padding; 4]),
        ints("strides", &[stride; 2]),
    ];
    [field(1, &node.concat()), initializers.concat()].concat()
}

/// Logit = 8 × mean of (pixel − 127) / 128.
pub fn onnx() -> Vec<u8> {
    let scale = 1.0 / 128.0;
    let convs = [
        conv(("first", "image", "middle"), 3, [scale, scale], 1.0, Window(3, 2, 1)),
        conv(("second", "middle", "logits"), 1, [scale, 8.0 * scale], 8.0, Window(3, 2, 1)),
    ];
    model(&convs.concat(), SIDE, SIDE / 4)
}

/// The same of each cell of a picture that has so many along each side.
pub fn cells(side: u64, count: u64) -> Vec<u8> {
    let (scale, window) = (1.0 / 128.0, Window(side / count, side / count, 0));
    model(&conv(("only", "image", "logits"), 3, [scale, 8.0 * scale], 8.0, window), side, count)
}

fn model(nodes: &[u8], side: u64, output_side: u64) -> Vec<u8> {
    let graph = [
        nodes,
        &field(2, b"bright"),
        &value(11, "image", [1, 3, side, side]),
        &value(12, "logits", [1, 1, output_side, output_side]),
    ];
    [number(1, 8), field(7, &graph.concat()), field(8, &number(2, 13))].concat()
}
