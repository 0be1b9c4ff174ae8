//! The float graph as ONNX: pixels `[1, 3, S, S] u8` in, logits `[1, 1, S / stride, S / stride] f32` out.

use tract_onnx::pb::tensor_proto::DataType;

use crate::graph::{Graph, INPUT, INPUT_SCALE, INPUT_ZERO_POINT, Op, shapes};
use crate::onnx::proto::{self, Builder};

/// The ONNX file's bytes; standard operators only.
pub fn to_onnx(graph: &Graph) -> anyhow::Result<Vec<u8>> {
    graph.validate()?;
    let shapes = shapes(graph)?;
    let mut onnx = Builder::new("polyp");
    onnx.input(INPUT, DataType::Uint8, shapes[INPUT]);
    onnx.output(&graph.output, DataType::Float, shapes[graph.output.as_str()]);
    let offset = onnx.floats("input.offset".into(), &[], &[f32::from(INPUT_ZERO_POINT)]);
    let scale = onnx.floats("input.scale".into(), &[], &[INPUT_SCALE]);
    let (raw, centred, real) = ("input.raw", "input.centred", "input.real");
    onnx.node("", "Cast", raw, &[INPUT], vec![proto::int("to", DataType::Float as usize)]);
    onnx.node("", "Sub", centred, &[raw, &offset], vec![]);
    onnx.node("", "Mul", real, &[centred, &scale], vec![]);
    let zero = onnx.floats("relu6.low".into(), &[], &[0.0]);
    let six = onnx.floats("relu6.high".into(), &[], &[6.0]);
    for node in &graph.nodes {
        let name = &node.name;
        let inputs: Vec<&str> =
            node.inputs.iter().map(|input| if input == INPUT { real } else { input.as_str() }).collect();
        match &node.op {
            Op::Conv { weight, bias, stride, pads, groups, relu6 } => {
                let attributes = proto::conv_attributes(weight.shape, *stride, *pads, *groups);
                let weight = onnx.floats(format!("{name}.weight"), &weight.shape, &weight.data);
                let bias = onnx.floats(format!("{name}.bias"), &[bias.len()], bias);
                let conv = if *relu6 { format!("{name}.linear") } else { name.clone() };
                let inputs: Vec<&str> = inputs.into_iter().chain([weight.as_str(), bias.as_str()]).collect();
                onnx.node("", "Conv", &conv, &inputs, attributes);
                if *relu6 {
                    onnx.node("", "Clip", name, &[&conv, &zero, &six], vec![]);
                }
            }
            Op::Add => onnx.node("", "Add", name, &inputs, vec![]),
            Op::Mul => onnx.node("", "Mul", name, &inputs, vec![]),
            Op::Concat => onnx.node("", "Concat", name, &inputs, vec![proto::int("axis", 1)]),
            Op::Sigmoid => onnx.node("", "Sigmoid", name, &inputs, vec![]),
            Op::GlobalAveragePool => onnx.node("", "GlobalAveragePool", name, &inputs, vec![]),
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
    Ok(onnx.finish("Polyp segmentation, float"))
}
