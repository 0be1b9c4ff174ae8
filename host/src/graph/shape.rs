//! Shapes of every tensor of a graph.

use std::collections::HashMap;
use std::fmt;

use crate::graph::{Graph, INPUT, Node, Op};
use polyp_edge::fault::Fault;

/// `[1, channels, height, width]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Feature maps.
    pub channels: usize,
    /// Rows of each map.
    pub height: usize,
    /// Columns of each map.
    pub width: usize,
}

impl Shape {
    /// How many values a tensor of this shape has.
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }
    /// Whether that is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
    /// How many values one channel has.
    pub fn area(self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "[1, {}, {}, {}]", self.channels, self.height, self.width)
    }
}

/// Shape of each tensor by name, the input's included. Fails with one line that names the node.
pub fn shapes(graph: &Graph) -> anyhow::Result<HashMap<&str, Shape>> {
    let side = graph.input_side;
    if side == 0 || !side.is_multiple_of(32) {
        return Err(Fault::data(format!("graph: input side {side} is not a multiple of 32")));
    }
    let mut known = HashMap::from([(INPUT, Shape { channels: 3, height: side, width: side })]);
    for node in &graph.nodes {
        let complain =
            |what: String| Fault::data(format!("graph node {} ({}): {what}", node.name, node.op.kind()));
        let inputs = node
            .inputs
            .iter()
            .map(|name| {
                known.get(name.as_str()).copied().ok_or_else(|| complain(format!("unknown input {name}")))
            })
            .collect::<anyhow::Result<Vec<Shape>>>()?;
        let shape = output_shape(node, &inputs).map_err(complain)?;
        if known.insert(&node.name, shape).is_some() {
            return Err(complain("its name is used twice".into()));
        }
    }
    Ok(known)
}

fn output_shape(node: &Node, inputs: &[Shape]) -> Result<Shape, String> {
    let first = *inputs.first().ok_or("it has no input")?;
    let expected_inputs = match node.op {
        Op::Add | Op::Mul => 2,
        Op::Concat => inputs.len(),
        _ => 1,
    };
    if inputs.len() != expected_inputs {
        return Err(format!("it takes {expected_inputs} inputs, {} given", inputs.len()));
    }
    let shape = match &node.op {
        Op::Conv { weight, bias, stride, pads, groups, .. } => {
            let [out, in_per_group, kernel_height, kernel_width] = weight.shape;
            if weight.data.len() != weight.shape.iter().product::<usize>() || bias.len() != out {
                return Err("weight or bias has the wrong number of values".into());
            }
            if *groups == 0 || in_per_group * groups != first.channels || out % groups != 0 {
                return Err(format!("weight {:?} in {groups} groups does not fit {first}", weight.shape));
            }
            let [top, left, bottom, right] = *pads;
            let slide = |side: usize, kernel: usize| {
                (*stride > 0 && kernel > 0 && side >= kernel).then(|| (side - kernel) / stride + 1)
            };
            let height =
                slide(first.height + top + bottom, kernel_height).ok_or("kernel larger than its input")?;
            let width =
                slide(first.width + left + right, kernel_width).ok_or("kernel larger than its input")?;
            Shape { channels: out, height, width }
        }
        Op::Add => match inputs {
            [a, b] if a == b => *a,
            _ => return Err(format!("shapes differ: {}", list(inputs))),
        },
        Op::Mul => match inputs {
            [a, b] if *b == (Shape { channels: a.channels, height: 1, width: 1 }) => *a,
            _ => return Err(format!("the second input is not [1, C, 1, 1] of the first: {}", list(inputs))),
        },
        Op::Concat => {
            if inputs.iter().any(|other| (other.height, other.width) != (first.height, first.width)) {
                return Err(format!("sizes differ: {}", list(inputs)));
            }
            Shape { channels: inputs.iter().map(|shape| shape.channels).sum(), ..first }
        }
        Op::MaxPool { size } if *size > 0 => {
            Shape { height: first.height / size, width: first.width / size, ..first }
        }
        Op::MaxPool { .. } => return Err("size 0".into()),
        Op::ResizeBilinear { factor } | Op::ResizeNearest { factor } => {
            Shape { height: first.height * factor, width: first.width * factor, ..first }
        }
        Op::GlobalAveragePool => Shape { height: 1, width: 1, ..first },
        Op::Sigmoid => first,
    };
    if shape.is_empty() { Err(format!("its output {shape} is empty")) } else { Ok(shape) }
}

fn list(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ")
}
