//! From ONNX bytes to tract's typed model, in which every node that has an int8 op here is a [`Quantised`] marker.

use prost::Message;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

use super::marked::{OpKind, Quantised, Window};
use super::ops::{Coordinates, Nearest};
use super::proto;
use super::wire;
use crate::fault::Fault;

fn absent(node: &NodeProto, name: &str, usual: i64) -> TractResult<()> {
    let value = node.get_attr_opt::<i64>(name)?.unwrap_or(usual);
    ensure!(value == usual, "{name} = {value} is not supported; it must be {usual}");
    Ok(())
}

fn kind(node: &NodeProto, opset: i64) -> TractResult<OpKind> {
    let contributed = node.op_type.starts_with("QLinear") && node.op_type != "QLinearConv";
    let domain = if contributed { "com.microsoft" } else { "" };
    let given = node.domain.trim_start_matches("ai.onnx");
    ensure!(given == domain, "its operator domain is {:?}; it must be {domain:?}", node.domain);
    ensure!(node.output.len() == 1, "it has {} outputs instead of 1", node.output.len());
    Ok(match node.op_type.as_str() {
        "QLinearConv" => {
            let groups = node.get_attr_opt::<usize>("group")?.unwrap_or(1);
            ensure!(
                (1..=proto::LONGEST_SIDE).contains(&groups),
                "group = {groups}; it must lie between 1 and {}",
                proto::LONGEST_SIDE
            );
            OpKind::Convolution { window: Window::new(node)?, groups }
        }
        "QLinearAdd" => OpKind::Add,
        "QLinearMul" => OpKind::Multiply,
        "QLinearConcat" => {
            let axis = node.get_attr_opt::<i64>("axis")?;
            ensure!(
                matches!(axis, Some(1 | -3)),
                "it joins along axis {axis:?}; only the channels, axis 1, can be joined"
            );
            OpKind::Concatenate
        }
        "QLinearGlobalAveragePool" => {
            absent(node, "channels_last", 0)?;
            OpKind::GlobalAverage
        }
        "QLinearSigmoid" => OpKind::Sigmoid,
        "MaxPool" => {
            absent(node, "ceil_mode", 0)?;
            absent(node, "storage_order", 0)?;
            OpKind::MaxPool(Window::new(node)?)
        }
        "Resize" => resize(node, opset)?,
        other => bail!("polyp-edge has no int8 op {other}"),
    })
}

fn resize(node: &NodeProto, opset: i64) -> TractResult<OpKind> {
    ensure!(opset >= 11, "operator set {opset} is not supported; it must be 11 or higher");
    absent(node, "antialias", 0)?;
    absent(node, "exclude_outside", 0)?;
    ensure!(node.get_attr_opt_vec::<i64>("axes")?.is_none(), "axes are not supported");
    let policy = node.get_attr_opt::<&str>("keep_aspect_ratio_policy")?.unwrap_or("stretch");
    ensure!(policy == "stretch", "keep_aspect_ratio_policy = {policy:?} is not supported");
    let linear = match node.get_attr_opt::<&str>("mode")?.unwrap_or("nearest") {
        "linear" => true,
        "nearest" => false,
        other => bail!("mode {other:?} is not supported"),
    };
    let coordinates = match node.get_attr_opt::<&str>("coordinate_transformation_mode")? {
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("align_corners") => Coordinates::AlignCorners,
        Some(other) => bail!("coordinate_transformation_mode {other:?} is not supported"),
    };
    let nearest = match node.get_attr_opt::<&str>("nearest_mode")? {
        None | Some("round_prefer_floor") => Nearest::RoundPreferFloor,
        Some("round_prefer_ceil") => Nearest::RoundPreferCeil,
        Some("floor") => Nearest::Floor,
        Some("ceil") => Nearest::Ceil,
        Some(other) => bail!("nearest_mode {other:?} is not supported"),
    };
    Ok(OpKind::Resize { linear, nearest, coordinates })
}

/// ONNX ops that become ours.
const OURS: [&str; 8] = [
    "QLinearConv",
    "QLinearAdd",
    "QLinearMul",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearSigmoid",
    "MaxPool",
    "Resize",
];

/// tract's own that leave nothing to run.
const HARMLESS: [&str; 2] = ["Constant", "Identity"];

fn build(context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let kind = kind(node, context.onnx_operator_set_version)?;
    let mut given = 0..;
    let inputs = node.input.iter().map(|name| if name.is_empty() { None } else { given.next() }).collect();
    Ok((expand(Quantised { op_type: node.op_type.clone(), kind, inputs }), vec![]))
}

impl Expansion for Quantised {
    fn name(&self) -> StaticName {
        self.op_type.clone().into()
    }

    /// Only the type: shapes are worked out when the typed model is lowered.
    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        _inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, u8::datum_type())?;
        solver.equals(&outputs[0].rank, 4)
    }

    fn runs_out_of_plan(&self) -> bool {
        false
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, Marker(self.clone()), inputs)
    }
}

/// A [`Quantised`] node in the typed model. It is never run.
#[derive(Clone, Debug)]
pub struct Marker(pub Quantised);

impl PartialEq for Marker {
    fn eq(&self, _other: &Self) -> bool {
        false
    }
}
impl Eq for Marker {}

impl Op for Marker {
    fn name(&self) -> StaticName {
        self.0.op_type.clone().into()
    }
    op_as_typed_op!();
}

impl EvalOp for Marker {
    not_out_of_plan!();
}

impl TypedOp for Marker {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = super::operands::output_shape(&self.0, inputs)?;
        Ok(tvec!(u8::fact(shape)))
    }
    as_op!();
}

/// An ONNX file whose sizes and names make sense.
pub fn checked(bytes: &[u8]) -> anyhow::Result<ModelProto> {
    wire::check(bytes)?;
    let model = ModelProto::decode(bytes).map_err(|_| Fault::data("it is not ONNX, or it is damaged"))?;
    proto::check(&model).map_err(|error| Fault::data(format!("{error:#}")))?;
    Ok(model)
}

/// Reads an ONNX file's bytes. Without `allow_fallback`, tract's own ops are not even looked at.
pub fn typed_model(bytes: &[u8], allow_fallback: bool) -> anyhow::Result<TypedModel> {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    for op in OURS {
        onnx.op_register.insert(op, build);
    }
    let model = checked(bytes)?;
    let known = |node: &NodeProto| {
        if allow_fallback {
            onnx.op_register.0.contains_key(&node.op_type)
        } else {
            OURS.contains(&node.op_type.as_str()) || HARMLESS.contains(&node.op_type.as_str())
        }
    };
    let mut nodes = model.graph.iter().flat_map(|graph| &graph.node);
    if let Some(node) = nodes.find(|node| !known(node)) {
        return Err(Fault::data(format!(
            "polyp-edge has no int8 op for {}; {}",
            proto::describe(node),
            proto::WHAT_IS_READ
        )));
    }
    onnx.model_for_proto_model(&model)
        .and_then(|model| model.into_typed())
        .map_err(|error| anyhow::anyhow!(proto::one_line(&error)))
}
