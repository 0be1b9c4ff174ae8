//! Which tensors share one scale and zero point.
//!
//! Resize and max pool keep their input's. A concat's inputs and output share one where their ranges are alike, so that
//! the concat is a copy. The input's is fixed, and so is a sigmoid's output.

use std::collections::{BTreeMap, HashMap};

use crate::graph::{Graph, INPUT, INPUT_SCALE, INPUT_ZERO_POINT, Node, Op};
use crate::quantise::Quantisation;

/// A concat's tensors share a scale if the widest range is at most so many times the narrowest.
pub const LARGEST_CONCAT_RATIO: f32 = 2.0;

/// Each tensor's group by name; tensors of one group share their quantisation.
#[derive(Clone, Debug)]
pub struct Groups {
    of: BTreeMap<String, usize>,
    fixed: HashMap<usize, Quantisation>,
}

impl Groups {
    /// `range` gives the lowest and highest value seen of each tensor.
    pub fn new(graph: &Graph, range: impl Fn(&str) -> (f32, f32)) -> Groups {
        Groups::joined(graph, |concat| {
            let widths = concat.inputs.iter().map(|input| {
                let (low, high) = range(input);
                high.max(0.0) - low.min(0.0)
            });
            let (narrow, wide) =
                widths.fold((f32::MAX, 0f32), |(narrow, wide), w| (narrow.min(w), wide.max(w)));
            wide <= LARGEST_CONCAT_RATIO * narrow
        })
    }

    /// The groups that led to these quantisations.
    pub fn behind(graph: &Graph, tensors: &BTreeMap<String, Quantisation>) -> Groups {
        Groups::joined(graph, |concat| {
            concat.inputs.iter().all(|input| tensors.get(input) == tensors.get(&concat.name))
        })
    }

    /// `is_copy` says of a concat whether its tensors share a scale.
    fn joined(graph: &Graph, is_copy: impl Fn(&Node) -> bool) -> Groups {
        let names: Vec<&str> =
            std::iter::once(INPUT).chain(graph.nodes.iter().map(|node| node.name.as_str())).collect();
        let mut group: HashMap<&str, usize> =
            names.iter().enumerate().map(|(id, &name)| (name, id)).collect();
        let mut join = |a: &str, b: &str| {
            let (Some(&from), Some(&to)) = (group.get(a), group.get(b)) else { return };
            group.values_mut().filter(|id| **id == from).for_each(|id| *id = to);
        };
        for node in &graph.nodes {
            let keeps =
                matches!(node.op, Op::MaxPool { .. } | Op::ResizeBilinear { .. } | Op::ResizeNearest { .. });
            if let (true, Some(input)) = (keeps, node.inputs.first()) {
                join(&node.name, input);
            }
        }
        for node in graph.nodes.iter().filter(|node| node.op == Op::Concat) {
            let from_pixels = node.inputs.iter().any(|input| input == INPUT);
            if !from_pixels && is_copy(node) {
                node.inputs.iter().for_each(|input| join(input, &node.name));
            }
        }
        let mut fixed = HashMap::new();
        let pixels = Quantisation { scale: INPUT_SCALE, zero_point: INPUT_ZERO_POINT };
        fixed.extend(group.get(INPUT).map(|&id| (id, pixels)));
        for node in graph.nodes.iter().filter(|node| node.op == Op::Sigmoid) {
            let share = Quantisation { scale: 1.0 / 256.0, zero_point: 0 };
            fixed.extend(group.get(node.name.as_str()).map(|&id| (id, share)));
        }
        Groups { of: group.into_iter().map(|(name, id)| (name.to_string(), id)).collect(), fixed }
    }

    /// A tensor's group; `None` if the graph has no tensor of this name.
    pub fn of(&self, tensor: &str) -> Option<usize> {
        self.of.get(tensor).copied()
    }

    /// The quantisation that a group has whatever its values are.
    pub fn fixed(&self, group: usize) -> Option<Quantisation> {
        self.fixed.get(&group).copied()
    }

    /// Names with their groups, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.of.iter().map(|(name, &group)| (name.as_str(), group))
    }
}
