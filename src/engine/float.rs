//! The second way: the same network in float, run by tract's own ops. It is what the int8 engine is checked against, and
//! never what a cart runs.
//!
//! Each quantised node becomes *DequantizeLinear → float op → QuantizeLinear* (the form called QDQ), so both ways store the
//! same tensors in the same steps, and may differ by a rounding here and there.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto, tensor_proto::DataType};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;

use super::{finished, import, memory};
use crate::panics;

/// A network in float.
pub struct FloatTwin {
    state: SimpleState<TypedFact, Box<dyn TypedOp>>,
}

impl FloatTwin {
    /// From the ONNX file that [`super::Engine::from_onnx`] loads.
    ///
    /// # Errors
    /// As [`super::Engine::from_onnx`].
    pub fn from_onnx(bytes: &[u8]) -> Result<FloatTwin> {
        let build = || -> Result<FloatTwin> {
            let model = rewrite(import::checked(bytes)?)?;
            let model = tract_onnx::onnx().with_ignore_value_info(true).model_for_proto_model(&model)?;
            let plan = TypedSimplePlan::new(model.into_optimized()?)?;
            Ok(FloatTwin { state: SimpleState::new(&plan)? })
        };
        memory::check(bytes.len())?;
        finished(panics::caught(build))
    }

    /// Runs the network: `input` is `[H, W, C] u8`, `logits` the output's stored values.
    pub fn run(&mut self, shape: [usize; 3], input: &[u8], logits: &mut [u8]) -> Result<()> {
        let [height, width, channels] = shape;
        ensure!(input.len() == height * width * channels, "an input of {} bytes", input.len());
        let planes: Vec<u8> = (0..channels)
            .flat_map(|channel| input.iter().skip(channel).step_by(channels.max(1)).copied())
            .collect();
        let planes = Tensor::from_shape(&[1, channels, height, width], &planes)?.into_tvalue();
        let outputs = self.state.run(tvec!(planes))?;
        super::copy_logits(&outputs, logits)
    }
}

/// Names of a tensor's scale and zero point.
#[derive(Clone)]
struct Steps {
    scale: String,
    zero_point: String,
}

struct Rewrite {
    constants: HashMap<String, TensorProto>,
    /// Of tensors that are stored.
    steps: HashMap<String, Steps>,
    nodes: Vec<NodeProto>,
    added: Vec<TensorProto>,
}

/// The QDQ form of a checked model.
fn rewrite(mut model: ModelProto) -> Result<ModelProto> {
    let graph = model.graph.as_mut().context("it contains no graph")?;
    let constants = graph.initializer.iter().map(|constant| (constant.name.clone(), constant.clone()));
    let mut rewrite =
        Rewrite { constants: constants.collect(), steps: HashMap::new(), nodes: vec![], added: vec![] };
    for (index, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        let name = if node.name.is_empty() { format!("node {index}") } else { node.name.clone() };
        rewrite.node(NodeProto { name: name.clone(), ..node }).with_context(|| format!("node {name:?}"))?;
    }
    graph.node = rewrite.nodes;
    graph.initializer.extend(rewrite.added);
    model.opset_import.retain(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    Ok(model)
}

impl Rewrite {
    fn node(&mut self, node: NodeProto) -> Result<()> {
        let at = |position: usize| -> Result<String> {
            let name = node.input.get(position).filter(|name| !name.is_empty());
            name.cloned().with_context(|| format!("input {position} is missing"))
        };
        let steps = |position: usize| -> Result<Steps> {
            Ok(Steps { scale: at(position)?, zero_point: at(position + 1)? })
        };
        let (op, tensors, output): (&str, Vec<(usize, Steps)>, Steps) = match node.op_type.as_str() {
            "QLinearConv" => {
                let weights = format!("{}.float weights", node.name);
                let bias = format!("{}.float bias", node.name);
                self.float_weights(&node, &weights, &bias)?;
                let input = self.dequantise(&node.name, &at(0)?, &steps(1)?);
                let inputs = [Some(input), Some(weights), at(8).is_ok().then_some(bias)];
                let inputs = inputs.into_iter().flatten().collect();
                return self.finish(node.clone(), "Conv", inputs, steps(6)?);
            }
            "QLinearAdd" => ("Add", vec![(0, steps(1)?), (3, steps(4)?)], steps(6)?),
            "QLinearMul" => ("Mul", vec![(0, steps(1)?), (3, steps(4)?)], steps(6)?),
            "QLinearConcat" => {
                let parts = (2..node.input.len()).step_by(3).map(|part| Ok((part, steps(part + 1)?)));
                ("Concat", parts.collect::<Result<_>>()?, steps(0)?)
            }
            "QLinearGlobalAveragePool" => ("GlobalAveragePool", vec![(0, steps(1)?)], steps(3)?),
            "QLinearSigmoid" => ("Sigmoid", vec![(0, steps(1)?)], steps(3)?),
            op @ ("MaxPool" | "Resize") => {
                let known = self
                    .steps
                    .get(&at(0)?)
                    .cloned()
                    .context("the scale and zero point of its input are not known")?;
                (op, vec![(0, known.clone())], known)
            }
            "Identity" | "Constant" => {
                self.nodes.push(node);
                return Ok(());
            }
            other => bail!("polyp-edge has no float form of {other}"),
        };
        let mut inputs = vec![];
        for (position, steps) in tensors {
            let tensor = at(position)?;
            inputs.push(self.dequantise(&format!("{} {position}", node.name), &tensor, &steps));
        }
        if op == "Resize" {
            inputs.extend(node.input.iter().skip(1).cloned());
        }
        self.finish(node.clone(), op, inputs, output)
    }

    /// The float tensor that a stored one stands for.
    fn dequantise(&mut self, name: &str, tensor: &str, steps: &Steps) -> String {
        let output = format!("{name}.{tensor} in float");
        self.nodes.push(NodeProto {
            name: output.clone(),
            op_type: "DequantizeLinear".into(),
            input: vec![tensor.into(), steps.scale.clone(), steps.zero_point.clone()],
            output: vec![output.clone()],
            ..NodeProto::default()
        });
        output
    }

    /// The float op, and what stores its result.
    fn finish(&mut self, node: NodeProto, op: &str, inputs: Vec<String>, steps: Steps) -> Result<()> {
        let output = node.output.first().context("it has no output")?.clone();
        let result = format!("{output} in float");
        let attribute = node.attribute.into_iter().filter(|attribute| attribute.name != "channels_last");
        self.nodes.push(NodeProto {
            name: format!("{} in float", node.name),
            op_type: op.into(),
            domain: String::new(),
            input: inputs,
            output: vec![result.clone()],
            attribute: attribute.collect(),
            ..NodeProto::default()
        });
        self.nodes.push(NodeProto {
            name: node.name,
            op_type: "QuantizeLinear".into(),
            input: vec![result, steps.scale.clone(), steps.zero_point.clone()],
            output: vec![output.clone()],
            ..NodeProto::default()
        });
        self.steps.insert(output, steps);
        Ok(())
    }

    /// A convolution's weights and bias as float constants.
    fn float_weights(&mut self, node: &NodeProto, weights_name: &str, bias_name: &str) -> Result<()> {
        let constant = |position: usize| -> Result<&TensorProto> {
            let name = node.input.get(position).context("an input is missing")?;
            self.constants.get(name).with_context(|| format!("input {position} is not a constant"))
        };
        let weights = constant(3)?;
        let scales = numbers(constant(4)?)?;
        let outputs = weights.dims.first().copied().unwrap_or(0).max(1) as usize;
        ensure!(scales.len() == 1 || scales.len() == outputs, "{} weight scales", scales.len());
        let scale = |output: usize| scales[output.min(scales.len() - 1)];
        let stored = numbers(weights)?;
        let each = stored.len() / outputs;
        let values = stored.iter().enumerate().map(|(index, stored)| stored * scale(index / each.max(1)));
        let float = |name: &str, dims: Vec<i64>, values: Vec<f64>| TensorProto {
            name: name.into(),
            dims,
            data_type: DataType::Float as i32,
            raw_data: values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect(),
            ..TensorProto::default()
        };
        let mut added = vec![float(weights_name, weights.dims.clone(), values.collect())];
        if node.input.get(8).is_some_and(|name| !name.is_empty()) {
            let input = numbers(constant(1)?)?;
            let input = input.first().context("the input has no scale")?;
            let bias = numbers(constant(8)?)?;
            let values = bias.iter().enumerate().map(|(output, stored)| stored * input * scale(output));
            added.push(float(bias_name, vec![bias.len() as i64], values.collect()));
        }
        self.added.extend(added);
        Ok(())
    }
}

/// A constant's values.
fn numbers(tensor: &TensorProto) -> Result<Vec<f64>> {
    let raw = &tensor.raw_data;
    let of = |data_type: DataType| tensor.data_type == data_type as i32;
    Ok(if of(DataType::Float) {
        if raw.is_empty() {
            tensor.float_data.iter().map(|&value| f64::from(value)).collect()
        } else {
            raw.as_chunks::<4>().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
        }
    } else if raw.is_empty() && (of(DataType::Int32) || of(DataType::Int8)) {
        tensor.int32_data.iter().map(|&value| f64::from(value)).collect()
    } else if of(DataType::Int32) {
        raw.as_chunks::<4>().0.iter().map(|&bytes| f64::from(i32::from_le_bytes(bytes))).collect()
    } else if of(DataType::Int8) {
        raw.iter().map(|&byte| f64::from(byte as i8)).collect()
    } else {
        bail!("the constant {:?} is of type {}", tensor.name, tensor.data_type)
    })
}
