//! What an ONNX file must satisfy before tract sees it: sizes that make sense, names that resolve, no outside files.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use tract_onnx::pb::{
    self, GraphProto, ModelProto, NodeProto, TensorProto, tensor_proto::DataType,
    tensor_shape_proto::dimension, type_proto,
};

/// The longest side of any tensor.
pub const LONGEST_SIDE: usize = 1 << 14;
/// The most values of any tensor.
pub const MOST_VALUES: usize = 1 << 26;
/// The most multiply-adds of a whole model.
pub const MOST_MULTIPLY_ADDS: u64 = 1 << 40;
/// The most bytes of all nodes' tensors.
pub const MOST_BYTES: u64 = 400 << 20;
/// The most weights of all nodes, with what fills up vectors.
pub const MOST_WEIGHTS: u64 = 1 << 27;
const MOST_NODES: usize = 10_000;
/// The most inputs of all nodes.
const MOST_INPUTS: usize = 100_000;

/// What a person whose model was refused should do.
pub const WHAT_IS_READ: &str = "polyp-edge reads int8 models in QOperator form (QLinearConv, QLinearAdd …): write it with polyp-host export";

/// That the model can be handed to the importer.
pub fn check(model: &ModelProto) -> Result<()> {
    let graph = model.graph.as_ref().ok_or_else(|| anyhow::anyhow!("it contains no graph"))?;
    ensure!(model.functions.is_empty(), "it defines functions of its own");
    ensure!(graph.sparse_initializer.is_empty(), "it has sparse constants");
    ensure!(graph.node.len() <= MOST_NODES, "{} nodes are too many", graph.node.len());
    ensure!(!graph.node.is_empty(), "it has no nodes");
    let inputs: usize = graph.node.iter().map(|node| node.input.len()).sum();
    ensure!(inputs <= MOST_INPUTS, "{inputs} inputs of nodes are too many");
    let mut known = HashSet::new();
    for tensor in &graph.initializer {
        check_constant(tensor)?;
        ensure!(known.insert(tensor.name.as_str()), "two constants are called {:?}", tensor.name);
    }
    check_interface(graph, &mut known)?;
    for node in &graph.node {
        check_node(node, &mut known)?;
    }
    for output in &graph.output {
        ensure!(known.contains(output.name.as_str()), "nothing makes the output {:?}", output.name);
    }
    Ok(())
}

/// One u8 input of a fixed `[1, C, H, W]`, one output.
fn check_interface<'a>(graph: &'a GraphProto, known: &mut HashSet<&'a str>) -> Result<()> {
    let mut names = HashSet::new();
    let again = graph.input.iter().find(|input| !names.insert(input.name.as_str()));
    ensure!(again.is_none(), "two inputs are called {:?}", again.map_or("", |input| &input.name));
    let inputs: Vec<_> = graph.input.iter().filter(|input| !known.contains(input.name.as_str())).collect();
    let [input] = inputs.as_slice() else {
        anyhow::bail!("it has {} inputs instead of 1", inputs.len());
    };
    ensure!(graph.output.len() == 1, "it has {} outputs instead of 1", graph.output.len());
    let Some(type_proto::Value::TensorType(fact)) = input.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        anyhow::bail!("the input {:?} has no type", input.name);
    };
    if fact.elem_type != DataType::Uint8 as i32 {
        let given =
            DataType::try_from(fact.elem_type).map_or("unknown", |kind| kind.as_str_name()).to_lowercase();
        let between_floats =
            |node: &NodeProto| matches!(&*node.op_type, "QuantizeLinear" | "DequantizeLinear");
        let what = match graph.node.iter().any(between_floats) {
            true => "it is a model in QDQ form (float ops between QuantizeLinear and DequantizeLinear)",
            false if given.contains("float") || given == "double" => "it is a float model",
            false => "it is a model of another kind",
        };
        anyhow::bail!("{what}: its input {:?} is {given}, not u8; {WHAT_IS_READ}", input.name);
    }
    let shape: Vec<i64> = fact
        .shape
        .iter()
        .flat_map(|shape| &shape.dim)
        .map(|dim| match dim.value {
            Some(dimension::Value::DimValue(side)) => side,
            _ => 0,
        })
        .collect();
    let sensible = shape.len() == 4
        && shape[0] == 1
        && shape.iter().all(|&side| (1..=LONGEST_SIDE as i64).contains(&side))
        && shape.iter().product::<i64>() <= MOST_VALUES as i64;
    ensure!(
        sensible,
        "the input {:?} is {shape:?} instead of a fixed [1, C, H, W] (0 stands for a size that is not fixed)",
        input.name
    );
    known.insert(input.name.as_str());
    Ok(())
}

fn check_node<'a>(node: &'a NodeProto, known: &mut HashSet<&'a str>) -> Result<()> {
    let what = describe(node);
    for attribute in &node.attribute {
        ensure!(
            attribute.g.is_none() && attribute.graphs.is_empty(),
            "{what} has a graph of its own in {:?}",
            attribute.name
        );
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            check_constant(tensor)?;
        }
    }
    for input in node.input.iter().filter(|input| !input.is_empty()) {
        ensure!(known.contains(input.as_str()), "nothing before {what} makes its input {input:?}");
    }
    ensure!(node.output.iter().any(|output| !output.is_empty()), "{what} has no output");
    for output in node.output.iter().filter(|output| !output.is_empty()) {
        ensure!(known.insert(output.as_str()), "{what} makes {output:?} for the second time");
    }
    Ok(())
}

/// That a constant's shape and bytes agree, without asking for memory for either.
fn check_constant(tensor: &TensorProto) -> Result<()> {
    let name = &tensor.name;
    ensure!(
        tensor.external_data.is_empty() && tensor.data_location() == pb::tensor_proto::DataLocation::Default,
        "the constant {name:?} is stored in another file"
    );
    ensure!(tensor.segment.is_none(), "the constant {name:?} is stored in segments");
    let values = tensor.dims.iter().try_fold(1usize, |values, &dim| {
        let dim = usize::try_from(dim).ok().filter(|&dim| dim <= MOST_VALUES)?;
        values.checked_mul(dim).filter(|&values| values <= MOST_VALUES)
    });
    let Some(values) = values else {
        anyhow::bail!(
            "the constant {name:?} has the shape {:?}, which is not allowed: its sides and their product must lie between \
             0 and {MOST_VALUES}",
            tensor.dims
        );
    };
    let (bytes, listed) = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => (4, tensor.float_data.len()),
        Ok(DataType::Uint8 | DataType::Int8) => (1, tensor.int32_data.len()),
        Ok(DataType::Int32) => (4, tensor.int32_data.len()),
        Ok(DataType::Int64) => (8, tensor.int64_data.len()),
        _ => anyhow::bail!(
            "the constant {name:?} is of ONNX type {}, which no int8 op of polyp-edge takes",
            tensor.data_type
        ),
    };
    let agree =
        if tensor.raw_data.is_empty() { listed == values } else { tensor.raw_data.len() == values * bytes };
    ensure!(agree, "the constant {name:?} does not hold the {values} values of its shape {:?}", tensor.dims);
    Ok(())
}

/// A node's name, or its first output's if it has none, and its type.
pub fn describe(node: &NodeProto) -> String {
    let output = node.output.first().map_or("", String::as_str);
    let name = if node.name.is_empty() { output } else { &node.name };
    format!("node {name:?} ({})", node.op_type)
}

/// An error's chain on one line of a sensible length.
pub fn one_line(error: &anyhow::Error) -> String {
    const LONGEST: usize = 300;
    let words: Vec<_> = format!("{error:#}").split_whitespace().map(str::to_owned).collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
