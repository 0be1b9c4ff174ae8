//! A graph as one safetensors file: `NODE.weight` and `NODE.bias` as tensors, everything else as JSON in the metadata
//! under `graph`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Node, Op, Tensor4};
use polyp_edge::fault::Fault;

use crate::files;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphRecord {
    format: u32,
    input_side: usize,
    output: String,
    nodes: Vec<NodeRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeRecord {
    name: String,
    inputs: Vec<String>,
    op: OpRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OpRecord {
    Conv { stride: usize, pads: [usize; 4], groups: usize, relu6: bool },
    Add,
    Concat,
    MaxPool { size: usize },
    ResizeBilinear { factor: usize },
    ResizeNearest { factor: usize },
    GlobalAveragePool,
    Sigmoid,
    Mul,
}

impl Graph {
    /// Writes the file whole or not at all. The graph is validated first.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        files::write_whole(path, &self.to_bytes()?)
    }

    /// Reads and validates a graph; a damaged file is one line with exit code 65.
    pub fn load(path: &Path) -> anyhow::Result<Graph> {
        let bytes = files::read(path)?;
        Graph::from_bytes(&bytes).with_context(|| format!("graph {}", path.display()))
    }

    /// The bytes of the graph's file. The graph is validated first.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        self.validate()?;
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut nodes = Vec::new();
        for node in &self.nodes {
            if let Op::Conv { weight, bias, .. } = &node.op {
                tensors.push((
                    format!("{}.weight", node.name),
                    weight.shape.to_vec(),
                    bytes_of(&weight.data),
                ));
                tensors.push((format!("{}.bias", node.name), vec![bias.len()], bytes_of(bias)));
            }
            let (name, inputs) = (node.name.clone(), node.inputs.clone());
            nodes.push(NodeRecord { name, inputs, op: record(&node.op) });
        }
        let graph =
            GraphRecord { format: FORMAT, input_side: self.input_side, output: self.output.clone(), nodes };
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let metadata = HashMap::from([("graph".to_string(), serde_json::to_string(&graph)?)]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads and validates a graph from its file's bytes; damaged ones are exit code 65.
    pub fn from_bytes(bytes: &[u8]) -> anyhow::Result<Graph> {
        let damaged = |what: String| Fault::data(format!("{what}; export it again from the checkpoint"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
        let json = metadata.metadata().as_ref().and_then(|map| map.get("graph").cloned());
        let json = json.ok_or_else(|| damaged("no graph in the file's metadata".into()))?;
        let record: GraphRecord = serde_json::from_str(&json).map_err(|error| damaged(error.to_string()))?;
        if record.format != FORMAT {
            return Err(damaged(format!("graph format {} is not {FORMAT}", record.format)));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        let read = |name: String| -> anyhow::Result<(Vec<usize>, Vec<f32>)> {
            let view = tensors.tensor(&name).map_err(|error| damaged(error.to_string()))?;
            if view.dtype() != Dtype::F32 {
                return Err(damaged(format!("tensor {name} is not f32")));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            Ok((view.shape().to_vec(), values.collect()))
        };
        let mut nodes = Vec::new();
        for NodeRecord { name, inputs, op } in record.nodes {
            let op = match op {
                OpRecord::Conv { stride, pads, groups, relu6 } => {
                    let (shape, data) = read(format!("{name}.weight"))?;
                    let shape = <[usize; 4]>::try_from(shape)
                        .map_err(|shape| damaged(format!("tensor {name}.weight has shape {shape:?}")))?;
                    let (_, bias) = read(format!("{name}.bias"))?;
                    Op::Conv { weight: Tensor4 { shape, data }, bias, stride, pads, groups, relu6 }
                }
                OpRecord::Add => Op::Add,
                OpRecord::Concat => Op::Concat,
                OpRecord::MaxPool { size } => Op::MaxPool { size },
                OpRecord::ResizeBilinear { factor } => Op::ResizeBilinear { factor },
                OpRecord::ResizeNearest { factor } => Op::ResizeNearest { factor },
                OpRecord::GlobalAveragePool => Op::GlobalAveragePool,
                OpRecord::Sigmoid => Op::Sigmoid,
                OpRecord::Mul => Op::Mul,
            };
            nodes.push(Node { name, op, inputs });
        }
        let graph = Graph { input_side: record.input_side, nodes, output: record.output };
        graph.validate()?;
        Ok(graph)
    }
}

fn record(op: &Op) -> OpRecord {
    match *op {
        Op::Conv { stride, pads, groups, relu6, .. } => OpRecord::Conv { stride, pads, groups, relu6 },
        Op::Add => OpRecord::Add,
        Op::Concat => OpRecord::Concat,
        Op::MaxPool { size } => OpRecord::MaxPool { size },
        Op::ResizeBilinear { factor } => OpRecord::ResizeBilinear { factor },
        Op::ResizeNearest { factor } => OpRecord::ResizeNearest { factor },
        Op::GlobalAveragePool => OpRecord::GlobalAveragePool,
        Op::Sigmoid => OpRecord::Sigmoid,
        Op::Mul => OpRecord::Mul,
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
