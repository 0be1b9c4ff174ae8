//! The contract between training and export: a float inference network, batch norm already folded.
//!
//! The tensor [`INPUT`] is `[1, 3, S, S] f32`, real value = (pixel − 127) / 128. Every other tensor is the output of one
//! node and bears its name. Layout NCHW, batch 1.

pub mod execute;
pub mod fold;
pub mod shape;
pub mod store;

use polyp_edge::fault::Fault;
pub use shape::{Shape, shapes};

/// Name of the input tensor.
pub const INPUT: &str = "input";
/// Real value of an input = `INPUT_SCALE` × (pixel − `INPUT_ZERO_POINT`).
pub const INPUT_SCALE: f32 = 1.0 / 128.0;
/// The pixel value that stands for 0, see [`INPUT_SCALE`].
pub const INPUT_ZERO_POINT: u8 = 127;

/// Row-major values of a four-dimensional tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor4 {
    /// Extents, the outermost axis first.
    pub shape: [usize; 4],
    /// The last axis varies fastest.
    pub data: Vec<f32>,
}

/// A network: its nodes, and where pictures enter and logits leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// S: height and width of the input in pixels.
    pub input_side: usize,
    /// In an order in which every node comes after its inputs.
    pub nodes: Vec<Node>,
    /// Name of the logits tensor.
    pub output: String,
}

/// One operation and what it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Also the name of its output tensor.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Names of the tensors that it reads, in the order that the operation expects.
    pub inputs: Vec<String>,
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Cross-correlation plus bias, then min(max(x, 0), 6) if `relu6`.
    Conv {
        /// `[out, in / groups, height, width]`
        weight: Tensor4,
        /// One value an output channel.
        bias: Vec<f32>,
        /// Pixels from one window to the next, along both axes.
        stride: usize,
        /// Zeros (real value 0) at top, left, bottom, right.
        pads: [usize; 4],
        /// Parts into which the channels are divided; 1 mixes all of them, as many as channels mixes none.
        groups: usize,
        /// Whether the output is clamped.
        relu6: bool,
    },
    /// Sum of two tensors of one shape.
    Add,
    /// Along the channels, any number of inputs of one size.
    Concat,
    /// Windows of `size` × `size`, `size` apart; the rest of a side that does not divide is dropped.
    MaxPool {
        /// In pixels.
        size: usize,
    },
    /// Bilinear, half-pixel centres, edges clamped.
    ResizeBilinear {
        /// How many times as large each side becomes.
        factor: usize,
    },
    /// Each value `factor` times along both axes.
    ResizeNearest {
        /// How many times as large each side becomes.
        factor: usize,
    },
    /// `[1, C, H, W]` → `[1, C, 1, 1]`
    GlobalAveragePool,
    /// 1 / (1 + e⁻ˣ) of each value.
    Sigmoid,
    /// `[1, C, H, W]` × `[1, C, 1, 1]`
    Mul,
}

impl Op {
    /// The name that messages and tables use.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Conv { .. } => "Conv",
            Op::Add => "Add",
            Op::Concat => "Concat",
            Op::MaxPool { .. } => "MaxPool",
            Op::ResizeBilinear { .. } => "ResizeBilinear",
            Op::ResizeNearest { .. } => "ResizeNearest",
            Op::GlobalAveragePool => "GlobalAveragePool",
            Op::Sigmoid => "Sigmoid",
            Op::Mul => "Mul",
        }
    }
}

impl Graph {
    /// Checks what every consumer counts on: names unique, inputs known before their use, shapes that fit, finite
    /// weights, an output `[1, 1, S / stride, S / stride]` with a stride of 2, 4, 8 or 16.
    pub fn validate(&self) -> anyhow::Result<()> {
        let shapes = shapes(self)?;
        for node in &self.nodes {
            let Op::Conv { weight, bias, .. } = &node.op else { continue };
            if !weight.data.iter().chain(bias).all(|value| value.is_finite()) {
                return Err(Fault::data(format!(
                    "graph node {}: a weight or bias is not finite; train again or use an earlier checkpoint",
                    node.name
                )));
            }
        }
        let logits = shapes.get(self.output.as_str()).copied();
        let fits = |shape: &Shape| {
            let of_stride = |stride: usize| shape.height * stride == self.input_side;
            shape.channels == 1 && shape.height == shape.width && [2, 4, 8, 16].into_iter().any(of_stride)
        };
        if self.output == INPUT || !logits.as_ref().is_some_and(fits) {
            let side = self.input_side;
            return Err(Fault::data(format!(
                "graph output {}: expected one channel, 2, 4, 8 or 16 times smaller than {side} × {side}, found {logits:?}",
                self.output
            )));
        }
        Ok(())
    }

    /// The node whose output is `name`.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Nodes that read the tensor `name`.
    pub fn consumers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> + 'a {
        self.nodes.iter().filter(move |node| node.inputs.iter().any(|input| input == name))
    }
}

#[cfg(test)]
pub(crate) mod tests;
