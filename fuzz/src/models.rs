//! Edits of ONNX messages: what they make still reads as ONNX, and often still as a network.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto,
};

use crate::LONGEST;
use crate::dice::Dice;

const OPS: [&str; 12] = [
    "QLinearConv",
    "QLinearAdd",
    "QLinearMul",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearSigmoid",
    "MaxPool",
    "Resize",
    "Constant",
    "Identity",
    "DequantizeLinear",
    "Loop",
];
const LISTS: [&str; 5] = ["kernel_shape", "pads", "strides", "dilations", "axes"];
const SINGLE: [&str; 8] = [
    "group",
    "axis",
    "channels_last",
    "ceil_mode",
    "storage_order",
    "antialias",
    "exclude_outside",
    "value_int",
];
const TEXTS: [(&str, &[&str]); 5] = [
    ("auto_pad", &["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "OTHER"]),
    ("mode", &["linear", "nearest", "cubic"]),
    ("coordinate_transformation_mode", &["half_pixel", "asymmetric", "align_corners", "tf_crop_and_resize"]),
    ("nearest_mode", &["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
    ("value_string", &["", "text"]),
];

/// Edits a model in place; `None` if it is no ONNX or becomes longer than `longest`.
pub fn mutate(bytes: &[u8], longest: usize, dice: &mut Dice) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(bytes).ok()?;
    for _ in 0..=dice.below(4) {
        edit(&mut model, dice)?;
    }
    let encoded = model.encode_to_vec();
    (encoded.len() <= longest.min(LONGEST)).then_some(encoded)
}

fn edit(model: &mut ModelProto, dice: &mut Dice) -> Option<()> {
    if dice.one_in(60) {
        let version = dice.pick_mut(&mut model.opset_import)?;
        version.version = dice.number(version.version);
        return Some(());
    }
    let graph = model.graph.as_mut()?;
    match dice.below(16) {
        0 | 1 => attribute(dice.pick_mut(&mut graph.node)?, dice),
        2 => input_sides(graph, dice),
        3 => reshape(dice.pick_mut(&mut graph.initializer)?, dice),
        4 => values(dice.pick_mut(&mut graph.initializer)?, dice),
        5 => storage(dice.pick_mut(&mut graph.initializer)?, dice),
        6 => wires(graph, dice),
        7 | 8 => grow(graph, dice),
        9 => order(graph, dice),
        10 => rename(graph, dice),
        11..=14 => convolution(graph, dice),
        _ => interface(graph, dice),
    }
    Some(())
}

fn attribute(node: &mut NodeProto, dice: &mut Dice) {
    match dice.below(6) {
        0 if !node.attribute.is_empty() => {
            node.attribute.remove(dice.below(node.attribute.len()));
        }
        1 => {
            let name = LISTS[dice.below(LISTS.len())];
            let length = if dice.one_in(6) { dice.below(9) } else { if name == "pads" { 4 } else { 2 } };
            let ints =
                (0..length).map(|_| if dice.one_in(9) { dice.number(1) } else { dice.below(4) as i64 });
            let ints = ints.collect();
            set(node, AttributeProto { name: name.into(), ints, r#type: 7, ..AttributeProto::default() });
        }
        2 => {
            let name = SINGLE[dice.below(SINGLE.len())].into();
            let i = dice.number(1);
            set(node, AttributeProto { name, i, r#type: 2, ..AttributeProto::default() });
        }
        3 => {
            let (name, texts) = TEXTS[dice.below(TEXTS.len())];
            let s = texts[dice.below(texts.len())].into();
            set(node, AttributeProto { name: name.into(), s, r#type: 3, ..AttributeProto::default() });
        }
        _ => {
            let Some(attribute) = dice.pick_mut(&mut node.attribute) else { return };
            if dice.one_in(12) {
                attribute.r#type = dice.below(16) as i32;
            }
            attribute.i = dice.number(attribute.i);
            if let Some(value) = dice.pick_mut(&mut attribute.ints) {
                *value = dice.number(*value);
            }
            if let Some(tensor) = &mut attribute.t {
                if dice.one_in(2) { reshape(tensor, dice) } else { values(tensor, dice) }
            }
        }
    }
}

fn set(node: &mut NodeProto, attribute: AttributeProto) {
    node.attribute.retain(|old| old.name != attribute.name);
    node.attribute.push(attribute);
}

fn dimensions(value: &mut ValueInfoProto) -> Option<&mut Vec<Dimension>> {
    let type_proto::Value::TensorType(fact) = value.r#type.as_mut()?.value.as_mut()?;
    Some(&mut fact.shape.as_mut()?.dim)
}

fn input_sides(graph: &mut GraphProto, dice: &mut Dice) {
    let Some(dimensions) = graph.input.first_mut().and_then(dimensions) else { return };
    let place = if dice.one_in(6) { dice.below(4) } else { 2 + dice.below(2) };
    let Some(dimension) = dimensions.get_mut(place) else { return };
    let old = match dimension.value {
        Some(dimension::Value::DimValue(old)) => old,
        _ => 1,
    };
    let new = if dice.one_in(4) { dice.number(old) } else { dice.side() as i64 };
    dimension.value = Some(dimension::Value::DimValue(new));
}

/// How long a tensor of a type is, where the importer knows it.
fn width(data_type: i32) -> usize {
    match DataType::try_from(data_type) {
        Ok(DataType::Float | DataType::Int32) => 4,
        Ok(DataType::Int64) => 8,
        _ => 1,
    }
}

/// Gives a constant other sides; mostly, its values follow.
fn reshape(tensor: &mut TensorProto, dice: &mut Dice) {
    match dice.below(5) {
        0 => tensor.dims.push(1),
        1 => drop(tensor.dims.pop()),
        _ => {
            if let Some(dim) = dice.pick_mut(&mut tensor.dims) {
                *dim = dice.number(*dim);
            }
        }
    }
    if !dice.one_in(6) {
        fill(tensor);
    }
}

/// As many values as the shape says, if they are few: those there are, again and again.
fn fill(tensor: &mut TensorProto) {
    let values =
        tensor.dims.iter().try_fold(1usize, |values, &dim| values.checked_mul(usize::try_from(dim).ok()?));
    let Some(bytes) = values.and_then(|values| values.checked_mul(width(tensor.data_type))) else { return };
    if bytes > LONGEST {
        return;
    }
    let old = if tensor.raw_data.is_empty() { vec![1] } else { std::mem::take(&mut tensor.raw_data) };
    tensor.raw_data = old.into_iter().cycle().take(bytes).collect();
}

fn values(tensor: &mut TensorProto, dice: &mut Dice) {
    let size = width(tensor.data_type);
    for _ in 0..=dice.below(3) {
        let count = tensor.raw_data.len() / size;
        let place = dice.below(count) * size;
        let Some(value) = tensor.raw_data.get_mut(place..place + size) else { return };
        match *value {
            [a, b, c, d] if tensor.data_type == DataType::Float as i32 => {
                let old = f32::from_le_bytes([a, b, c, d]);
                value.copy_from_slice(&dice.float(old).to_le_bytes());
            }
            _ => {
                let bytes = dice.number(i64::from(value[0])).to_le_bytes();
                value.copy_from_slice(&bytes[..size]);
            }
        }
    }
}

/// Where and as what a constant's values are kept.
fn storage(tensor: &mut TensorProto, dice: &mut Dice) {
    match dice.below(6) {
        0 => tensor.data_type = dice.below(18) as i32,
        1 => tensor.raw_data.truncate(dice.below(tensor.raw_data.len() + 1)),
        2 => {
            let raw = std::mem::take(&mut tensor.raw_data);
            match DataType::try_from(tensor.data_type) {
                Ok(DataType::Float) => {
                    tensor.float_data =
                        raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                }
                Ok(DataType::Int64) => {
                    tensor.int64_data = raw.chunks_exact(8).map(|b| i64::from(b[0] as i8)).collect()
                }
                _ => tensor.int32_data = raw.iter().map(|&b| i32::from(b as i8)).collect(),
            }
        }
        3 => tensor.int32_data.push(dice.number(0) as i32),
        4 => tensor.data_location = Some(dice.below(3) as i32),
        _ => {
            let lanes = [DataType::Uint8, DataType::Int8, DataType::Float, DataType::Int32, DataType::Int64];
            tensor.data_type = lanes[dice.below(lanes.len())] as i32;
            fill(tensor);
        }
    }
}

/// A name that something gives.
fn name(graph: &GraphProto, dice: &mut Dice) -> String {
    let constants = graph.initializer.iter().map(|tensor| &tensor.name);
    let inputs = graph.input.iter().map(|input| &input.name);
    let outputs = graph.node.iter().flat_map(|node| &node.output);
    let names: Vec<&String> = constants.chain(inputs).chain(outputs).collect();
    dice.pick(&names).map(|&name| name.clone()).unwrap_or_default()
}

fn wires(graph: &mut GraphProto, dice: &mut Dice) {
    let name = if dice.one_in(8) { String::new() } else { name(graph, dice) };
    let times = if dice.one_in(20) { dice.below(300) } else { 1 };
    let Some(node) = dice.pick_mut(&mut graph.node) else { return };
    let place = dice.below(node.input.len() + 1);
    match dice.below(5) {
        0 if place < node.input.len() => drop(node.input.remove(place)),
        1 => (0..times).for_each(|_| node.input.insert(place, name.clone())),
        // A concatenation's inputs come in threes.
        2 if node.input.len() >= 5 => {
            let three = node.input[2..5].to_vec();
            (0..times).for_each(|_| node.input.extend(three.clone()));
        }
        _ => {
            if let Some(input) = node.input.get_mut(place) {
                *input = name;
            }
        }
    }
}

/// Copies of a node, one after the other, or side by side.
fn grow(graph: &mut GraphProto, dice: &mut Dice) {
    let times = match dice.below(12) {
        0 => dice.below(400),
        _ => 1 + dice.below(3),
    };
    let Some(node) = dice.pick(&graph.node).cloned() else { return };
    let mut before = graph.output.first().map(|output| output.name.clone()).unwrap_or_default();
    let chained = !dice.one_in(4);
    let tensors: &[usize] = match node.op_type.as_str() {
        "QLinearAdd" | "QLinearMul" if dice.one_in(2) => &[0, 3],
        "QLinearConcat" => &[2],
        _ => &[0],
    };
    let fresh = dice.bits() as u32;
    for copy in 0..times {
        let mut node = node.clone();
        let output = format!("{fresh:x}{copy}");
        node.name = if dice.one_in(2) { output.clone() } else { String::new() };
        for &place in tensors {
            if let Some(input) = node.input.get_mut(place) {
                *input = if chained || copy == 0 { before.clone() } else { input.clone() };
            }
        }
        node.output = vec![output.clone()];
        graph.node.push(node);
        before = output;
    }
    if let Some(output) = graph.output.first_mut() {
        output.name = before;
    }
}

fn order(graph: &mut GraphProto, dice: &mut Dice) {
    let (first, second) = (dice.below(graph.node.len()), dice.below(graph.node.len()));
    match dice.below(3) {
        0 if graph.node.len() > 1 => drop(graph.node.remove(first)),
        1 if graph.node.len() > 1 => {
            // A shorter network, whose result is an earlier one.
            graph.node.truncate(first + 1);
            if let (Some(output), Some(last)) = (graph.output.first_mut(), graph.node.last()) {
                output.name = last.output.first().cloned().unwrap_or_default();
            }
        }
        _ if first < graph.node.len() && second < graph.node.len() => graph.node.swap(first, second),
        _ => {}
    }
}

fn rename(graph: &mut GraphProto, dice: &mut Dice) {
    let known = name(graph, dice);
    let Some(node) = dice.pick_mut(&mut graph.node) else { return };
    match dice.below(6) {
        0 => node.domain = ["", "ai.onnx", "com.microsoft", "other"][dice.below(4)].into(),
        1 => node.name = known,
        2 => node.output = vec![known],
        3 => node.output.push(known),
        _ => {
            node.op_type = OPS[dice.below(OPS.len())].into();
            let ours = node.op_type.starts_with("QLinear") && node.op_type != "QLinearConv";
            node.domain = if ours { "com.microsoft" } else { "" }.into();
        }
    }
}

/// Another convolution that makes sense by itself: weights, bias and scales follow.
fn convolution(graph: &mut GraphProto, dice: &mut Dice) {
    let places: Vec<usize> =
        (0..graph.node.len()).filter(|&node| graph.node[node].op_type == "QLinearConv").collect();
    let Some(&place) = dice.pick(&places) else { return };
    let first = graph.input.first().map(|input| input.name.clone());
    let Some(weights) = constant(graph, graph.node[place].input.get(3)) else { return };
    let &[outputs, inputs, height, width] = graph.initializer[weights].dims.as_slice() else { return };
    let node = &graph.node[place];
    let groups = node.attribute.iter().find(|attribute| attribute.name == "group").map_or(1, |group| group.i);
    let [mut outputs, mut inputs, mut height, mut width, mut groups] =
        [outputs, inputs, height, width, groups].map(|side| side.clamp(1, 1 << 14));
    match dice.below(4) {
        0 => {
            let most = [2, 4, 8, 20, 64][dice.below(5)];
            (height, width) = (1 + dice.below(most) as i64, 1 + dice.below(most) as i64);
        }
        1 => outputs = groups * dice.side() as i64,
        2 if node.input.first() == first.as_ref() => {
            groups = if dice.one_in(2) { 1 } else { dice.side() as i64 };
            inputs = if dice.one_in(2) { 1 } else { dice.side() as i64 };
            outputs = groups * if dice.one_in(2) { 1 } else { dice.side() as i64 };
            let channels =
                graph.input.first_mut().and_then(dimensions).and_then(|dimensions| dimensions.get_mut(1));
            if let Some(channels) = channels {
                channels.value = Some(dimension::Value::DimValue(groups * inputs));
            }
        }
        _ => {
            let product = groups.saturating_mul(inputs);
            groups = [1, groups, product, 2][dice.below(4)];
            inputs = (product / groups).max(1);
            outputs = groups * dice.side() as i64;
        }
    }
    let node = &mut graph.node[place];
    set(node, ints("strides", (0..2).map(|_| 1 + dice.below(3) as i64).collect()));
    let dilations = (0..2).map(|_| if dice.one_in(3) { 1 + dice.below(4) as i64 } else { 1 });
    set(node, ints("dilations", dilations.collect()));
    let pads = [height, width, height, width].map(|side| dice.below(side as usize) as i64);
    set(node, ints("pads", pads.to_vec()));
    shape_convolution(graph, place, [outputs, inputs, height, width], groups);
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), ints, r#type: 7, ..AttributeProto::default() }
}

fn constant(graph: &GraphProto, name: Option<&String>) -> Option<usize> {
    graph.initializer.iter().position(|tensor| Some(&tensor.name) == name)
}

/// Gives a convolution weights of `[M, C, kH, kW]`, and scales and bias that fit them.
fn shape_convolution(graph: &mut GraphProto, node: usize, weights: [i64; 4], groups: i64) {
    let node = &mut graph.node[node];
    set(node, AttributeProto { name: "group".into(), i: groups, r#type: 2, ..AttributeProto::default() });
    set(node, ints("kernel_shape", weights[2..].to_vec()));
    let inputs = node.input.clone();
    for (place, shape) in
        [(3, weights.to_vec()), (4, vec![weights[0]]), (5, vec![weights[0]]), (8, vec![weights[0]])]
    {
        if let Some(tensor) = constant(graph, inputs.get(place)) {
            graph.initializer[tensor].dims = shape;
            fill(&mut graph.initializer[tensor]);
        }
    }
}

/// A network that begins with a convolution, with the input and the one output channel that a bundle's must have.
pub fn for_bundle(network: &[u8]) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(network).ok()?;
    let graph = model.graph.as_mut()?;
    if graph.node.len() != 1 || graph.node[0].op_type != "QLinearConv" {
        return None;
    }
    let weights = constant(graph, graph.node[0].input.get(3))?;
    let &[_, _, height, width] = graph.initializer[weights].dims.as_slice() else { return None };
    shape_convolution(graph, 0, [1, 3, height, width], 1);
    let sides = graph.input.first_mut().and_then(dimensions)?;
    for (dimension, side) in sides.iter_mut().zip([1, 3, 32, 32]) {
        dimension.value = Some(dimension::Value::DimValue(side));
    }
    Some(model.encode_to_vec())
}

fn interface(graph: &mut GraphProto, dice: &mut Dice) {
    let known = name(graph, dice);
    match dice.below(5) {
        0 => {
            if let Some(output) = graph.output.first_mut() {
                output.name = known;
            }
        }
        1 => {
            // An input that has a value already, or the same again.
            let Some(mut input) = graph.input.first().cloned() else { return };
            input.name = known;
            graph.input.push(input);
        }
        2 => {
            let text = match dice.below(4) {
                0 => "(".repeat(dice.below(30_000)),
                1 => format!("{}N", "-".repeat(dice.below(30_000))),
                2 => format!("floor({}", "N/2+".repeat(dice.below(3000))),
                _ => "N".into(),
            };
            let Some(dimensions) = dice.pick_mut(&mut graph.input).and_then(dimensions) else { return };
            if let Some(dimension) = dice.pick_mut(dimensions) {
                dimension.value = Some(dimension::Value::DimParam(text));
            }
        }
        3 => {
            let Some(tensor) = dice.pick_mut(&mut graph.initializer) else { return };
            tensor.name = known;
        }
        _ => {
            if let Some(output) = graph.output.first().cloned() {
                graph.value_info.push(output);
            }
        }
    }
}
