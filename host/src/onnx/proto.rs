//! A small builder over the ONNX protobuf types.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use crate::graph::Shape;

const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
/// The domain of the quantised operators that the ONNX standard does not have.
pub const MICROSOFT: &str = "com.microsoft";

/// Collects nodes and initializers of one graph.
#[derive(Default)]
pub struct Builder {
    graph: GraphProto,
    uses_microsoft: bool,
}

impl Builder {
    /// A graph of this name, without nodes.
    pub fn new(name: &str) -> Self {
        Builder { graph: GraphProto { name: name.into(), ..Default::default() }, uses_microsoft: false }
    }

    /// Declares an input `[1, C, H, W]`.
    pub fn input(&mut self, name: &str, kind: DataType, shape: Shape) {
        self.graph.input.push(value_info(name, kind, shape));
    }

    /// Declares an output `[1, C, H, W]`; a node of the same name makes it.
    pub fn output(&mut self, name: &str, kind: DataType, shape: Shape) {
        self.graph.output.push(value_info(name, kind, shape));
    }

    /// Adds a node with one output, named like it; `domain` is empty for the standard's own operators.
    pub fn node(
        &mut self,
        domain: &str,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        self.uses_microsoft |= domain == MICROSOFT;
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|input| input.to_string()).collect(),
            output: vec![name.into()],
            name: name.into(),
            op_type: op.into(),
            domain: domain.into(),
            attribute: attributes,
            doc_string: String::new(),
        });
    }

    /// Adds a constant and gives back its name.
    fn constant(&mut self, name: String, kind: DataType, dims: &[usize], raw_data: Vec<u8>) -> String {
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: kind as i32,
            name: name.clone(),
            raw_data,
            ..Default::default()
        });
        name
    }

    /// Adds a constant of `f32` and gives back its name; no `dims` make a scalar.
    pub fn floats(&mut self, name: String, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::Float, dims, bytes)
    }

    /// The same of `i8`.
    pub fn signed_bytes(&mut self, name: String, dims: &[usize], values: &[i8]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::Int8, dims, bytes)
    }

    /// The same of `u8`.
    pub fn bytes(&mut self, name: String, dims: &[usize], values: &[u8]) -> String {
        self.constant(name, DataType::Uint8, dims, values.to_vec())
    }

    /// The same of `i32`.
    pub fn integers(&mut self, name: String, dims: &[usize], values: &[i32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::Int32, dims, bytes)
    }

    /// The whole file.
    pub fn finish(self, doc_string: &str) -> Vec<u8> {
        let mut opset_import = vec![OperatorSetIdProto { domain: String::new(), version: OPSET }];
        if self.uses_microsoft {
            opset_import.push(OperatorSetIdProto { domain: MICROSOFT.into(), version: 1 });
        }
        let note = StringStringEntryProto { key: "notice".into(), value: "not a medical device".into() };
        let model = ModelProto {
            ir_version: IR_VERSION,
            opset_import,
            producer_name: "polyp-host".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            doc_string: doc_string.into(),
            graph: Some(self.graph),
            metadata_props: vec![note],
            ..Default::default()
        };
        model.encode_to_vec()
    }
}

fn value_info(name: &str, kind: DataType, shape: Shape) -> ValueInfoProto {
    let dim = [1, shape.channels, shape.height, shape.width]
        .map(|side| Dimension { value: Some(dimension::Value::DimValue(side as i64)), ..Default::default() });
    let shape = TensorShapeProto { dim: dim.to_vec() };
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), doc_string: String::new() }
}

/// An attribute that holds a list of whole numbers.
pub fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.iter().map(|&value| value as i64).collect(),
        ..Default::default()
    }
}

/// An attribute that holds one whole number.
pub fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: value as i64,
        ..Default::default()
    }
}

/// An attribute that holds a string.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: value.into(),
        ..Default::default()
    }
}

/// Attributes of `Conv` and `QLinearConv`.
pub fn conv_attributes(
    weight: [usize; 4],
    stride: usize,
    pads: [usize; 4],
    groups: usize,
) -> Vec<AttributeProto> {
    vec![
        ints("dilations", &[1, 1]),
        int("group", groups),
        ints("kernel_shape", &[weight[2], weight[3]]),
        ints("pads", &pads),
        ints("strides", &[stride, stride]),
    ]
}

/// Attributes of `MaxPool` with windows side by side.
pub fn pool_attributes(size: usize) -> Vec<AttributeProto> {
    vec![ints("kernel_shape", &[size, size]), ints("strides", &[size, size])]
}

/// Attributes of a bilinear (half-pixel) `Resize`.
pub fn bilinear_attributes() -> Vec<AttributeProto> {
    vec![text("coordinate_transformation_mode", "half_pixel"), text("mode", "linear")]
}

/// Attributes of a nearest `Resize` that repeats each value.
pub fn nearest_attributes() -> Vec<AttributeProto> {
    vec![
        text("coordinate_transformation_mode", "asymmetric"),
        text("mode", "nearest"),
        text("nearest_mode", "floor"),
    ]
}

/// The scales input of `Resize`.
pub fn resize_scales(factor: usize) -> [f32; 4] {
    [1.0, 1.0, factor as f32, factor as f32]
}
