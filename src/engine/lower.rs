//! From tract's typed model with [`Marker`]s, NCHW, to the same graph of our NHWC ops: no layout is changed at run time.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::import::Marker;
use super::info::NodeInfo;
use super::kernels::Kernels;
use super::marked::Quantised;
use super::operands::Operands;
use super::ops::{Int8, Shape};
use super::options::Options;
use super::proto::{MOST_BYTES, MOST_MULTIPLY_ADDS, MOST_WEIGHTS};
use super::quantise::Quantisation;

/// A model whose plan can be made.
pub struct Lowered {
    /// One input and one output, both `[1, H, W, C] u8`.
    pub model: TypedModel,
    pub nodes: Vec<NodeInfo>,
    pub input: Shape,
    pub output: Shape,
    pub output_quantisation: Quantisation,
}

/// Builds the graph of our ops. A node that none of them handles is an error that names it, unless
/// [`Options::allow_fallback`]: then tract runs it, between changes of layout.
pub fn lower(source: &TypedModel, kernels: &'static Kernels, options: &Options) -> Result<Lowered> {
    let mut lowering = Lowering {
        source,
        kernels,
        options,
        model: TypedModel::default(),
        outlets: HashMap::new(),
        quantisations: HashMap::new(),
        nodes: vec![],
        weights: 0,
        bytes: 0,
    };
    for id in source.eval_order()? {
        let node = source.node(id);
        lowering.node(node).with_context(|| format!("node {:?} ({})", node.name, node.op.name()))?;
    }
    lowering.finish()
}

struct Lowering<'a> {
    source: &'a TypedModel,
    kernels: &'static Kernels,
    options: &'a Options,
    model: TypedModel,
    /// From the source's outlets to the model's: `[1, H, W, C]` for every rank of 4.
    outlets: HashMap<OutletId, OutletId>,
    quantisations: HashMap<OutletId, Quantisation>,
    nodes: Vec<NodeInfo>,
    /// Of all nodes so far.
    weights: u64,
    bytes: u64,
}

impl Lowering<'_> {
    fn node(&mut self, node: &TypedNode) -> Result<()> {
        let outlet = OutletId::new(node.id, 0);
        if node.op_is::<TypedSource>() {
            let shape = self
                .source
                .outlet_fact(outlet)?
                .shape
                .as_concrete()
                .context("the input's size is not fixed")?;
            let &[1, channels, height, width] = shape else {
                bail!("the input is {shape:?} instead of [1, C, H, W]")
            };
            let mapped = self.model.add_source(&*node.name, u8::fact([1, height, width, channels]))?;
            self.outlets.insert(outlet, mapped);
            // Until a node gives pixels another meaning, they stand for themselves.
            self.quantisations.insert(outlet, Quantisation { scale: 1.0, zero_point: 0 });
        } else if let Some(marker) = node.op_as::<Marker>() {
            self.marked(node, &marker.0)?;
        } else if !node.op_is::<Const>() {
            ensure!(self.options.allow_fallback, "polyp-edge has no int8 op for it");
            self.fallback(node)?;
        }
        Ok(())
    }

    fn marked(&mut self, node: &TypedNode, quantised: &Quantised) -> Result<()> {
        let facts = self.source.node_input_facts(node.id)?;
        let operands = Operands { quantised, facts: &facts };
        let outlet = OutletId::new(node.id, 0);
        let source = |position: usize| {
            let index = quantised.inputs.get(position).copied().flatten();
            index.and_then(|index| node.inputs.get(index)).copied().context("an input is missing")
        };
        // Nodes may share constants: the file's size bounds neither.
        self.weights = self.weights.saturating_add(operands.packed_weights()?);
        ensure!(
            self.weights <= MOST_WEIGHTS,
            "the nodes up to this one have more than {MOST_WEIGHTS} weights in total"
        );
        let op = match operands.passing(self.kernels)? {
            Some(op) => {
                if let Some(&quantisation) = self.quantisations.get(&source(0)?) {
                    self.quantisations.insert(outlet, quantisation);
                }
                op
            }
            None => {
                let (op, quantisation) = operands.compute(self.kernels)?;
                self.quantisations.insert(outlet, quantisation);
                op
            }
        };
        self.bytes += op.output_shape().iter().product::<usize>() as u64;
        ensure!(
            self.bytes <= MOST_BYTES,
            "the results of the nodes up to this one are too large: more than {MOST_BYTES} bytes in total"
        );
        let mut inputs = vec![];
        for position in operands.tensors() {
            let mapped = self.outlets.get(&source(position)?);
            inputs.push(*mapped.with_context(|| format!("input {position} is a constant"))?);
        }
        self.nodes.push(NodeInfo {
            name: node.name.clone(),
            op: op.describe(),
            types: op.types().into(),
            shape: op.output_shape().to_vec(),
            multiply_adds: op.multiply_adds(),
            kernel: self.kernels.name.into(),
        });
        let wired = self.model.wire_node(&node.name, Int8(op), &inputs)?;
        self.outlets.insert(outlet, wired[0]);
        Ok(())
    }

    /// Lets tract run a node: rank 4 goes in and comes out as it was, NCHW.
    fn fallback(&mut self, node: &TypedNode) -> Result<()> {
        let mut inputs = vec![];
        for (index, outlet) in node.inputs.iter().enumerate() {
            let fact = self.source.outlet_fact(*outlet)?;
            let name = format!("{}.input-{index}", node.name);
            inputs.push(match (self.outlets.get(outlet), &fact.konst) {
                (Some(&mapped), _) if fact.rank() == 4 => {
                    self.model.wire_node(name, AxisOp::Move(3, 1), &[mapped])?[0]
                }
                (Some(&mapped), _) => mapped,
                (None, Some(constant)) => self.model.add_const(name, constant.clone())?,
                (None, None) => bail!("an input is missing"),
            });
        }
        let outputs = self.model.wire_node(&node.name, node.op.clone(), &inputs)?;
        for (slot, mut mapped) in outputs.into_iter().enumerate() {
            let fact = self.model.outlet_fact(mapped)?.clone();
            if slot == 0 {
                self.nodes.push(NodeInfo {
                    name: node.name.clone(),
                    op: node.op.name().into_owned(),
                    types: format!("{:?}", fact.datum_type),
                    shape: fact.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default(),
                    multiply_adds: 0,
                    kernel: "tract".into(),
                });
            }
            if fact.rank() == 4 {
                let name = format!("{}.output-{slot}", node.name);
                mapped = self.model.wire_node(name, AxisOp::Move(1, 3), &[mapped])?[0];
            }
            self.outlets.insert(OutletId::new(node.id, slot), mapped);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Lowered> {
        let &[input] = self.source.input_outlets()? else { bail!("it must have one input") };
        let &[output] = self.source.output_outlets()? else { bail!("it must have one output") };
        let input = *self.outlets.get(&input).context("nothing uses the input")?;
        let mapped = *self.outlets.get(&output).context("the output is a constant, or the input itself")?;
        let quantisation = self.quantisations.get(&output);
        let output_quantisation = *quantisation.context("the output has no scale and zero point")?;
        let total: u64 = self.nodes.iter().map(|node| node.multiply_adds).sum();
        ensure!(
            total <= MOST_MULTIPLY_ADDS,
            "a frame takes {total} multiply-adds, more than {MOST_MULTIPLY_ADDS}"
        );
        self.model.select_output_outlets(&[mapped])?;
        let shape = |model: &TypedModel, outlet| -> Result<Shape> {
            match model.outlet_fact(outlet)?.shape.as_concrete() {
                Some(&[1, height, width, channels]) => Ok([height, width, channels]),
                _ => bail!("the input or the output is not of rank 4 with a batch of 1"),
            }
        };
        Ok(Lowered {
            input: shape(&self.model, input)?,
            output: shape(&self.model, mapped)?,
            output_quantisation,
            nodes: self.nodes,
            model: self.model,
        })
    }
}
