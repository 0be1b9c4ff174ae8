//! The int8 network as ONNX in QOperator form: pixels `[1, 3, S, S] u8` in, quantised logits u8 out.

use anyhow::Context;
use tract_onnx::pb::tensor_proto::DataType;

use crate::graph::{INPUT, Op, shapes};
use crate::onnx::proto::{self, Builder, MICROSOFT};
use crate::quantise::{Quantisation, QuantisedGraph};

/// The ONNX file's bytes. Every scale and zero point is a scalar initializer, every convolution's weights are s8 with one
/// scale an output channel.
pub fn to_onnx(quantised: &QuantisedGraph) -> anyhow::Result<Vec<u8>> {
    let graph = &quantised.graph;
    graph.validate()?;
    let shapes = shapes(graph)?;
    let mut onnx = Builder::new("polyp-int8");
    onnx.input(INPUT, DataType::Uint8, shapes[INPUT]);
    onnx.output(&graph.output, DataType::Uint8, shapes[graph.output.as_str()]);
    for name in std::iter::once(INPUT).chain(graph.nodes.iter().map(|node| node.name.as_str())) {
        let Quantisation { scale, zero_point } = quantised.tensor(name)?;
        onnx.floats(scale_of(name), &[], &[scale]);
        onnx.bytes(zero_point_of(name), &[], &[zero_point]);
    }
    for node in &graph.nodes {
        let name = &node.name;
        let inputs: Vec<&str> = node.inputs.iter().map(String::as_str).collect();
        let output = [scale_of(name), zero_point_of(name)];
        let with_parameters =
            || inputs.iter().flat_map(|input| [input.to_string(), scale_of(input), zero_point_of(input)]);
        let mut microsoft = |op: &str, inputs: Vec<String>, attributes| {
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            onnx.node(MICROSOFT, op, name, &inputs, attributes);
        };
        match &node.op {
            Op::Conv { weight, stride, pads, groups, .. } => {
                let conv =
                    quantised.convs.get(name).with_context(|| format!("{name} has no quantised weights"))?;
                let channels = weight.shape[0];
                let weights = onnx.signed_bytes(format!("{name}.weight"), &weight.shape, &conv.weight);
                let scales = onnx.floats(format!("{name}.weight_scale"), &[channels], &conv.weight_scales);
                let zeros = onnx.signed_bytes(format!("{name}.weight_zero"), &[channels], &vec![0; channels]);
                let bias = onnx.integers(format!("{name}.bias"), &[channels], &conv.bias);
                let inputs: Vec<String> =
                    with_parameters().chain([weights, scales, zeros]).chain(output).chain([bias]).collect();
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                let attributes = proto::conv_attributes(weight.shape, *stride, *pads, *groups);
                onnx.node("", "QLinearConv", name, &inputs, attributes);
            }
            Op::Add => microsoft("QLinearAdd", with_parameters().chain(output).collect(), vec![]),
            Op::Mul => microsoft("QLinearMul", with_parameters().chain(output).collect(), vec![]),
            Op::Sigmoid => microsoft("QLinearSigmoid", with_parameters().chain(output).collect(), vec![]),
            Op::GlobalAveragePool => {
                let attributes = vec![proto::int("channels_last", 0)];
                microsoft("QLinearGlobalAveragePool", with_parameters().chain(output).collect(), attributes);
            }
            Op::Concat => {
                let inputs = output.into_iter().chain(with_parameters()).collect();
                microsoft("QLinearConcat", inputs, vec![proto::int("axis", 1)]);
            }
            Op::MaxPool { size } => onnx.node("", "MaxPool", name, &inputs, proto::pool_attributes(*size)),
            Op::ResizeBilinear { factor } | Op::ResizeNearest { factor } => {
                let scales = onnx.floats(format!("{name}.scales"), &[4], &proto::resize_scales(*factor));
                let attributes = match node.op {
                    Op::ResizeBilinear { .. } => proto::bilinear_attributes(),
                    _ => proto::nearest_attributes(),
                };
                let inputs: Vec<&str> = inputs.into_iter().chain(["", scales.as_str()]).collect();
                onnx.node("", "Resize", name, &inputs, attributes);
            }
        }
    }
    Ok(onnx.finish("Polyp segmentation, int8"))
}

fn scale_of(tensor: &str) -> String {
    format!("{tensor}.scale")
}

fn zero_point_of(tensor: &str) -> String {
    format!("{tensor}.zero_point")
}
