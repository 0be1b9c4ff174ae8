//! The int8 network as ONNX in QDQ form, float operators between `QuantizeLinear` and `DequantizeLinear`, for runtimes that
//! make their own int8 kernels of it: pixels `[1, 3, S, S] u8` in, logits `[1, 1, S / stride, S / stride] f32` out.
//!
//! [`Form::Unsigned`] has the very scales and zero points of the bundle; onnxruntime and OpenVINO take it. TensorRT knows
//! only symmetric s8 activations: [`Form::Symmetric`] stores each tensor with zero point 0 over the same range, which
//! leaves half of the steps to tensors that are never negative.

use anyhow::Context;
use tract_onnx::pb::tensor_proto::DataType;

use crate::graph::{INPUT, INPUT_SCALE, INPUT_ZERO_POINT, Op, shapes};
use crate::onnx::proto::{self, Builder};
use crate::quantise::{Quantisation, QuantisedGraph};

/// How activations are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// u8, with the bundle's scales and zero points.
    Unsigned,
    /// s8, with zero point 0.
    Symmetric,
}

/// The ONNX file's bytes; standard operators only.
pub fn to_onnx(quantised: &QuantisedGraph, form: Form) -> anyhow::Result<Vec<u8>> {
    let graph = &quantised.graph;
    graph.validate()?;
    let shapes = shapes(graph)?;
    let mut writer = Writer { onnx: Builder::new("polyp-qdq"), form };
    writer.onnx.input(INPUT, DataType::Uint8, shapes[INPUT]);
    writer.onnx.output(&graph.output, DataType::Float, shapes[graph.output.as_str()]);
    writer.pixels();
    for node in &graph.nodes {
        let name = node.name.as_str();
        let real = |input: &String| if input == INPUT { PIXELS.to_owned() } else { restored(input, graph) };
        let inputs: Vec<String> = node.inputs.iter().map(real).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let exact = format!("{name}.exact");
        let onnx = &mut writer.onnx;
        match &node.op {
            Op::Conv { weight, stride, pads, groups, relu6, .. } => {
                let conv =
                    quantised.convs.get(name).with_context(|| format!("{name} has no quantised weights"))?;
                let attributes = proto::conv_attributes(weight.shape, *stride, *pads, *groups);
                let scale = quantised.tensor(&node.inputs[0])?.scale;
                let weights = writer.weights(name, weight.shape, &conv.weight, &conv.weight_scales);
                let bias = writer.bias(name, scale, conv);
                let linear = if *relu6 { format!("{name}.linear") } else { exact.clone() };
                writer.onnx.node("", "Conv", &linear, &[inputs[0], &weights, &bias], attributes);
                if *relu6 {
                    writer.onnx.node("", "Clip", &exact, &[&linear, RELU6[0], RELU6[1]], vec![]);
                }
            }
            Op::Add => onnx.node("", "Add", &exact, &inputs, vec![]),
            Op::Mul => onnx.node("", "Mul", &exact, &inputs, vec![]),
            Op::Concat => onnx.node("", "Concat", &exact, &inputs, vec![proto::int("axis", 1)]),
            Op::Sigmoid => onnx.node("", "Sigmoid", &exact, &inputs, vec![]),
            Op::GlobalAveragePool => onnx.node("", "GlobalAveragePool", &exact, &inputs, vec![]),
            Op::MaxPool { size } => {
                onnx.node("", "MaxPool", &exact, &inputs, proto::pool_attributes(*size));
            }
            Op::ResizeBilinear { factor } | Op::ResizeNearest { factor } => {
                let scales = onnx.floats(format!("{name}.scales"), &[4], &proto::resize_scales(*factor));
                let attributes = match node.op {
                    Op::ResizeBilinear { .. } => proto::bilinear_attributes(),
                    _ => proto::nearest_attributes(),
                };
                onnx.node("", "Resize", &exact, &[inputs[0], "", &scales], attributes);
            }
        }
        writer.store(name, &exact, &restored(name, graph), quantised.tensor(name)?);
    }
    Ok(writer.onnx.finish("Polyp segmentation, int8 as QDQ"))
}

/// The tensor as floats again after it was stored; the graph's output keeps its name.
fn restored(tensor: &str, graph: &crate::graph::Graph) -> String {
    if tensor == graph.output { tensor.to_owned() } else { format!("{tensor}.restored") }
}

/// The pixels' real values.
const PIXELS: &str = "input.real";
const RELU6: [&str; 2] = ["relu6.low", "relu6.high"];

struct Writer {
    onnx: Builder,
    form: Form,
}

impl Writer {
    fn pixels(&mut self) {
        let pixels = Quantisation { scale: INPUT_SCALE, zero_point: INPUT_ZERO_POINT };
        match self.form {
            Form::Unsigned => {
                let [scale, zero] = self.step(INPUT, pixels);
                self.onnx.node("", "DequantizeLinear", PIXELS, &[INPUT, &scale, &zero], vec![]);
            }
            Form::Symmetric => {
                let offset = self.onnx.floats("input.offset".into(), &[], &[f32::from(INPUT_ZERO_POINT)]);
                let scale = self.onnx.floats("input.step".into(), &[], &[INPUT_SCALE]);
                let (raw, centred, exact) = ("input.raw", "input.centred", "input.exact");
                let to = vec![proto::int("to", DataType::Float as usize)];
                self.onnx.node("", "Cast", raw, &[INPUT], to);
                self.onnx.node("", "Sub", centred, &[raw, &offset], vec![]);
                self.onnx.node("", "Mul", exact, &[centred, &scale], vec![]);
                self.store(INPUT, exact, PIXELS, pixels);
            }
        }
        self.onnx.floats(RELU6[0].into(), &[], &[0.0]);
        self.onnx.floats(RELU6[1].into(), &[], &[6.0]);
    }

    /// Scale and zero point of a tensor, as names of constants.
    fn step(&mut self, tensor: &str, stored: Quantisation) -> [String; 2] {
        let (scale, zero) = (format!("{tensor}.scale"), format!("{tensor}.zero_point"));
        match self.form {
            Form::Unsigned => {
                self.onnx.floats(scale.clone(), &[], &[stored.scale]);
                self.onnx.bytes(zero.clone(), &[], &[stored.zero_point]);
            }
            Form::Symmetric => {
                let (low, high) = stored.bounds();
                self.onnx.floats(scale.clone(), &[], &[low.abs().max(high) / 127.0]);
                self.onnx.signed_bytes(zero.clone(), &[], &[0]);
            }
        }
        [scale, zero]
    }

    fn store(&mut self, tensor: &str, exact: &str, restored: &str, stored: Quantisation) {
        let [scale, zero] = self.step(tensor, stored);
        let bytes = format!("{tensor}.stored");
        self.onnx.node("", "QuantizeLinear", &bytes, &[exact, &scale, &zero], vec![]);
        self.onnx.node("", "DequantizeLinear", restored, &[&bytes, &scale, &zero], vec![]);
    }

    fn weights(&mut self, node: &str, shape: [usize; 4], weight: &[i8], scales: &[f32]) -> String {
        let stored = self.onnx.signed_bytes(format!("{node}.weight"), &shape, weight);
        let scale = self.onnx.floats(format!("{node}.weight_scale"), &[scales.len()], scales);
        let zeros = vec![0; scales.len()];
        let zero = self.onnx.signed_bytes(format!("{node}.weight_zero"), &[scales.len()], &zeros);
        let real = format!("{node}.weight_real");
        let axis = vec![proto::int("axis", 0)];
        self.onnx.node("", "DequantizeLinear", &real, &[&stored, &scale, &zero], axis);
        real
    }

    /// As i32 where the runtime has input scale × weight scale for it; as floats for TensorRT, which wants no other.
    fn bias(&mut self, node: &str, scale: f32, conv: &crate::quantise::QuantisedConv) -> String {
        let count = conv.bias.len();
        match self.form {
            Form::Symmetric => self.onnx.floats(format!("{node}.bias"), &[count], &conv.real_bias(scale)),
            Form::Unsigned => {
                let stored = self.onnx.integers(format!("{node}.bias"), &[count], &conv.bias);
                let units: Vec<f32> = conv.weight_scales.iter().map(|weight| scale * weight).collect();
                let units = self.onnx.floats(format!("{node}.bias_scale"), &[count], &units);
                let real = format!("{node}.bias_real");
                let axis = vec![proto::int("axis", 0)];
                self.onnx.node("", "DequantizeLinear", &real, &[&stored, &units], axis);
                real
            }
        }
    }
}
