//! The way back from a bundle's file to the graph: what [`super::quantised`] wrote, no other ONNX.
//!
//! Weights become what their integers stand for, so that quantising the graph again, with the ranges that come with it,
//! gives the network of the file.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use polyp_edge::fault::Fault;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use crate::graph::{Graph, INPUT, INPUT_SCALE, INPUT_ZERO_POINT, Node, Op};
use crate::quantise::{Quantisation, QuantisedConv};

/// ReLU6 ends at 6; a range learned below it cuts off earlier.
const RELU6: f32 = 6.0;
/// Relative error of a range's end, which was computed in f32.
const ROUNDING: f32 = 1e-4;

/// The float graph, and how each of its tensors is stored. Exit code 65 if the file is damaged or was not exported by
/// this program.
pub fn from_onnx(bytes: &[u8]) -> Result<(Graph, BTreeMap<String, Quantisation>)> {
    let model = ModelProto::decode(bytes).map_err(|error| foreign(&format!("no ONNX file: {error}")))?;
    let file = model.graph.ok_or_else(|| foreign("no graph"))?;
    let reader = Reader::new(&file);
    let [input] = file.input.as_slice() else { return Err(foreign("not one input")) };
    let [output] = file.output.as_slice() else { return Err(foreign("not one output")) };
    if input.name != INPUT {
        return Err(foreign(&format!("the input is named {:?}", input.name)));
    }
    let pixels = Quantisation { scale: INPUT_SCALE, zero_point: INPUT_ZERO_POINT };
    let mut tensors = BTreeMap::from([(INPUT.to_owned(), reader.stored(INPUT)?)]);
    if tensors[INPUT] != pixels {
        return Err(foreign("pixels are scaled in another way"));
    }
    let mut nodes = Vec::new();
    for node in &file.node {
        tensors.insert(node.name.clone(), reader.stored(&node.name)?);
        nodes.push(reader.node(node, &tensors)?);
    }
    let graph = Graph { input_side: side(input)?, nodes, output: output.name.clone() };
    graph.validate()?;
    Ok((graph, tensors))
}

fn foreign(what: &str) -> anyhow::Error {
    // Names come from the file.
    let what = what.replace(char::is_control, "?");
    Fault::data(format!("{what}; only a network that polyp-host exported for int8 can be read back"))
}

/// The height of an input `[1, 3, S, S]`.
fn side(input: &tract_onnx::pb::ValueInfoProto) -> Result<usize> {
    use tract_onnx::pb::{tensor_shape_proto::dimension, type_proto};
    let kind = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = kind else {
        return Err(foreign("an input without type"));
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| &dim.value);
    match dims.collect::<Vec<_>>().as_slice() {
        [_, _, Some(dimension::Value::DimValue(side)), _] if (1..=1 << 13).contains(side) => {
            Ok(*side as usize)
        }
        _ => Err(foreign("an input without size")),
    }
}

struct Reader<'a> {
    constants: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a GraphProto) -> Self {
        Reader { constants: file.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect() }
    }

    fn bytes(&self, name: &str, kind: DataType) -> Result<&'a [u8]> {
        let constant = self.constants.get(name).ok_or_else(|| foreign(&format!("no constant {name}")))?;
        if constant.data_type != kind as i32 {
            return Err(foreign(&format!("constant {name} has another type")));
        }
        Ok(&constant.raw_data)
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let words = self.bytes(name, DataType::Float)?.as_chunks::<4>().0;
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    fn integers(&self, name: &str) -> Result<Vec<i32>> {
        let words = self.bytes(name, DataType::Int32)?.as_chunks::<4>().0;
        Ok(words.iter().map(|word| i32::from_le_bytes(*word)).collect())
    }

    /// How a tensor is stored.
    fn stored(&self, tensor: &str) -> Result<Quantisation> {
        let scale = self.floats(&format!("{tensor}.scale"))?;
        let zero_point = self.bytes(&format!("{tensor}.zero_point"), DataType::Uint8)?;
        match (scale.as_slice(), zero_point) {
            ([scale], [zero_point]) if scale.is_normal() && *scale > 0.0 => {
                Ok(Quantisation { scale: *scale, zero_point: *zero_point })
            }
            _ => Err(foreign(&format!("{tensor} has no range"))),
        }
    }

    fn node(&self, node: &NodeProto, tensors: &BTreeMap<String, Quantisation>) -> Result<Node> {
        let name = &node.name;
        let (op, inputs) = match node.op_type.as_str() {
            "QLinearConv" => (self.conv(node, tensors)?, vec![0]),
            "QLinearAdd" => (Op::Add, vec![0, 3]),
            "QLinearMul" => (Op::Mul, vec![0, 3]),
            "QLinearSigmoid" => (Op::Sigmoid, vec![0]),
            "QLinearGlobalAveragePool" => (Op::GlobalAveragePool, vec![0]),
            // The output's scale and zero point come first.
            "QLinearConcat" => (Op::Concat, (2..node.input.len()).step_by(3).collect()),
            "MaxPool" => (Op::MaxPool { size: ints(node, "strides")?[0] }, vec![0]),
            "Resize" => {
                let scales = self.floats(&format!("{name}.scales"))?;
                let factor = scales.last().copied().filter(|scale| (1.0..=64.0).contains(scale));
                let factor = factor.ok_or_else(|| foreign(&format!("{name} has no factor")))? as usize;
                let mode = node.attribute.iter().find(|attribute| attribute.name == "mode");
                let nearest = mode.is_some_and(|mode| mode.s == b"nearest");
                let op = if nearest { Op::ResizeNearest { factor } } else { Op::ResizeBilinear { factor } };
                (op, vec![0])
            }
            other => return Err(foreign(&format!("{name} is a {other}"))),
        };
        let inputs = inputs.into_iter().map(|at| node.input.get(at).cloned());
        let inputs = inputs.collect::<Option<Vec<_>>>();
        let inputs = inputs.ok_or_else(|| foreign(&format!("{name} has too few inputs")))?;
        Ok(Node { name: name.clone(), op, inputs })
    }

    fn conv(&self, node: &NodeProto, tensors: &BTreeMap<String, Quantisation>) -> Result<Op> {
        let name = &node.name;
        let wrong = |what: &str| foreign(&format!("{name} has {what}"));
        let input = node.input.first().and_then(|input| tensors.get(input));
        let input = input.ok_or_else(|| wrong("an unknown input"))?;
        let file = format!("{name}.weight");
        let integers = self.bytes(&file, DataType::Int8)?;
        let shape: Vec<usize> = self.constants[file.as_str()].dims.iter().map(|dim| *dim as usize).collect();
        let shape = <[usize; 4]>::try_from(shape).map_err(|_| wrong("weights of another shape"))?;
        let conv = QuantisedConv {
            weight: integers.iter().map(|byte| *byte as i8).collect(),
            weight_scales: self.floats(&format!("{name}.weight_scale"))?,
            bias: self.integers(&format!("{name}.bias"))?,
        };
        let values = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        if values != Some(conv.weight.len()) || [conv.weight_scales.len(), conv.bias.len()] != [shape[0]; 2] {
            return Err(wrong("weights of another size"));
        }
        let pads = <[usize; 4]>::try_from(ints(node, "pads")?).map_err(|_| wrong("other pads"))?;
        let groups = node.attribute.iter().find(|attribute| attribute.name == "group").map_or(1, |one| one.i);
        let (low, high) = tensors[name].bounds();
        Ok(Op::Conv {
            weight: conv.real_weight(shape),
            bias: conv.real_bias(input.scale),
            stride: ints(node, "strides")?[0],
            pads,
            groups: usize::try_from(groups).map_err(|_| wrong("a number of groups below 0"))?,
            relu6: low == 0.0 && high <= RELU6 * (1.0 + ROUNDING),
        })
    }
}

/// A list of whole numbers, at least one.
fn ints(node: &NodeProto, name: &str) -> Result<Vec<usize>> {
    let found = node.attribute.iter().find(|attribute| attribute.name == name);
    let values = found.map(|attribute| attribute.ints.iter().map(|value| usize::try_from(*value)).collect());
    match values {
        Some(Ok(values)) if !Vec::is_empty(&values) => Ok(values),
        _ => Err(foreign(&format!("{} has no {name}", node.name))),
    }
}
