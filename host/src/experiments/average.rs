//! The mean of fine-tuned networks ("model soup", Wortsman et al., ICML 2022): networks that were trained on from the same
//! weights lie in one valley of the loss, and their mean often generalises better than each, at the cost of one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use polyp_edge::bundle::digest;
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view::Rule;
use serde::Serialize;

use crate::data::disturb::Disturbance;
use crate::data::lists::Sample;
use crate::graph::{Graph, Node, Op};
use crate::measures::overlap::Summary;
use crate::model::cart::Float;
use crate::score::lists::AT_HALF;
use crate::score::robustness::{Disturbed, disturbed_scores};
use crate::{files, onnx};

/// Disturbances are judged at this severity, the middle one.
const SEVERITY: usize = 3;

/// A network that may go in.
pub struct Member {
    /// The graph's file.
    pub path: PathBuf,
    /// The network.
    pub graph: Graph,
    sha256: String,
}

impl Member {
    /// # Errors
    /// Exit 65 if the file is no graph.
    pub fn open(path: &Path) -> Result<Member> {
        let bytes = files::read(path)?;
        let graph = Graph::from_bytes(&bytes).with_context(|| format!("graph {}", path.display()))?;
        Ok(Member { path: path.to_path_buf(), graph, sha256: digest(&bytes) })
    }
}

/// The mean of the members' weights and biases, each counting alike, for pictures of `side` pixels.
///
/// # Errors
/// Exit 65 if there is no member, or one is another network than the first: weights of other layers have no mean.
pub fn mean(members: &[&Member], side: usize) -> Result<Graph> {
    let [first, others @ ..] = members else { return Err(Fault::data("a mean of no networks")) };
    for other in others {
        if let Some(node) = difference(&first.graph, &other.graph) {
            return Err(Fault::data(format!(
                "{} and {} are different networks, see {node}: only networks of one shape have a mean",
                first.path.display(),
                other.path.display()
            )));
        }
    }
    let mut graph = Graph { input_side: side, ..first.graph.clone() };
    for (index, node) in graph.nodes.iter_mut().enumerate() {
        let Op::Conv { weight, bias, .. } = &mut node.op else { continue };
        let each = || {
            members.iter().filter_map(|member| match &member.graph.nodes.get(index)?.op {
                Op::Conv { weight, bias, .. } => Some((&weight.data, bias)),
                _ => None,
            })
        };
        for (at, value) in weight.data.iter_mut().enumerate() {
            *value = average(each().map(|(weight, _)| weight[at]));
        }
        for (at, value) in bias.iter_mut().enumerate() {
            *value = average(each().map(|(_, bias)| bias[at]));
        }
    }
    graph.validate()?;
    Ok(graph)
}

fn average(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + f64::from(value), count + 1));
    (sum / f64::from(count)) as f32
}

/// The first node in which two networks are not of one shape; their weights may differ.
fn difference(one: &Graph, other: &Graph) -> Option<String> {
    let bare = |node: &Node| {
        let mut node = node.clone();
        if let Op::Conv { weight, bias, .. } = &mut node.op {
            weight.data.clear();
            *bias = vec![0.0; bias.len()];
        }
        node
    };
    let pairs = one.nodes.iter().zip(&other.nodes);
    let differs =
        pairs.into_iter().find(|(a, b)| bare(a) != bare(b)).map(|(node, _)| format!("node {}", node.name));
    let count = (one.nodes.len() != other.nodes.len() || one.output != other.output)
        .then_some("how many layers they have");
    differs.or(count.map(str::to_owned))
}

/// Dice at one half, the mean over frames.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Score {
    /// Of the frames as they are.
    pub plain: f64,
    /// Of the frames disturbed, the mean over all disturbances at severity 3.
    pub disturbed: f64,
}

impl Score {
    /// What networks are compared by: as they are and every disturbance count alike.
    pub fn both(&self) -> f64 {
        let kinds = Disturbance::ALL.len() as f64;
        (self.plain + kinds * self.disturbed) / (kinds + 1.0)
    }
}

/// A network's score in float, the pictures going the cart's way.
pub fn judge(graph: &Graph, label: &str, samples: &[Sample], threads: usize) -> Result<Score> {
    let onnx = onnx::float::to_onnx(graph)?;
    let jobs = Disturbed::at(SEVERITY);
    let scores =
        disturbed_scores(label, samples, &jobs, 1, threads, || Float::new(&onnx), &AT_HALF, Rule::Find)?;
    let dice: Vec<f64> = scores.iter().map(|of_job| Summary::of(of_job).dice).collect();
    let (plain, disturbed) = dice.split_first().context("no scores")?;
    let score = Score { plain: *plain, disturbed: disturbed.iter().sum::<f64>() / disturbed.len() as f64 };
    log::info!("{label}: Dice {:.4}, disturbed {:.4}", score.plain, score.disturbed);
    Ok(score)
}

/// What became of a network that might have gone in; one row of soup.csv.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// The graph's file.
    pub graph: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// The network by itself: see [`Score::plain`].
    pub plain: f64,
    /// The network by itself: see [`Score::disturbed`].
    pub disturbed: f64,
    /// The network by itself: see [`Score::both`].
    pub both: f64,
    /// The same of the mean of what was in and this one; of the network by itself where it was the first.
    pub mixed_plain: f64,
    /// See `mixed_plain`.
    pub mixed_disturbed: f64,
    /// See `mixed_plain`. The network goes in if this is no worse than without it.
    pub mixed_both: f64,
    /// Whether it went in.
    pub is_in: bool,
}

/// Chooses greedily: the best network first, then each of the others, the better before the worse, if with it the mean
/// does not get worse.
pub fn choose(
    members: &[Member],
    side: usize,
    mut judge: impl FnMut(&Graph, &str) -> Result<Score>,
) -> Result<(Graph, Vec<Tried>)> {
    let mut alone = Vec::new();
    for member in members {
        let score = judge(&mean(&[member], side)?, &member.path.display().to_string())?;
        alone.push((member, score));
    }
    alone.sort_by(|(_, a), (_, b)| b.both().total_cmp(&a.both()));
    let (mut chosen, mut best, mut rows) = (Vec::new(), f64::NEG_INFINITY, Vec::new());
    for (member, score) in alone {
        let with: Vec<&Member> = chosen.iter().copied().chain([member]).collect();
        let mixed = if chosen.is_empty() {
            score
        } else {
            judge(&mean(&with, side)?, &format!("the mean of {}", with.len()))?
        };
        let is_in = mixed.both() >= best;
        rows.push(Tried {
            graph: member.path.display().to_string(),
            sha256: member.sha256.clone(),
            plain: score.plain,
            disturbed: score.disturbed,
            both: score.both(),
            mixed_plain: mixed.plain,
            mixed_disturbed: mixed.disturbed,
            mixed_both: mixed.both(),
            is_in,
        });
        if is_in {
            (chosen, best) = (with, mixed.both());
        }
    }
    Ok((mean(&chosen, side)?, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::every_op;

    /// All its weights times `factor`.
    fn member(name: &str, factor: f32) -> Member {
        let mut graph = every_op(4);
        for node in &mut graph.nodes {
            let Op::Conv { weight, bias, .. } = &mut node.op else { continue };
            weight.data.iter_mut().chain(bias).for_each(|value| *value *= factor);
        }
        Member { path: name.into(), graph, sha256: name.into() }
    }

    /// By what its first weight is of the network's that the members were made of.
    fn factor(graph: &Graph) -> f64 {
        let first = |graph: &Graph| match &graph.nodes[0].op {
            Op::Conv { weight, .. } => f64::from(weight.data[0]),
            _ => panic!("no convolution"),
        };
        first(graph) / first(&every_op(4))
    }

    #[test]
    fn a_mean_is_in_the_middle_and_of_the_side_asked_for() {
        let (one, other) = (member("a", 1.0), member("b", 3.0));
        let side = 2 * one.graph.input_side;
        let mixed = mean(&[&one, &other], side).unwrap();
        assert_eq!(mixed.input_side, side);
        let expected = member("c", 2.0).graph;
        for (node, expected) in mixed.nodes.iter().zip(&expected.nodes) {
            let (Op::Conv { weight, bias, .. }, Op::Conv { weight: w, bias: b, .. }) =
                (&node.op, &expected.op)
            else {
                assert_eq!(node, expected);
                continue;
            };
            for (value, expected) in weight.data.iter().chain(bias).zip(w.data.iter().chain(b)) {
                assert!(
                    (value - expected).abs() <= 1e-6 * expected.abs(),
                    "{}: {value}, {expected}",
                    node.name
                );
            }
        }
    }

    #[test]
    fn other_networks_have_no_mean() {
        let (one, mut other) = (member("a.safetensors", 1.0), member("b.safetensors", 1.0));
        let Op::Conv { bias, .. } = &mut other.graph.nodes[0].op else { panic!("no convolution") };
        bias.pop();
        let error = mean(&[&one, &other], one.graph.input_side).unwrap_err().to_string();
        let node = &one.graph.nodes[0].name;
        assert!(
            error.contains("a.safetensors and b.safetensors") && error.contains(node.as_str()),
            "{error}"
        );
        let mut fewer = member("c", 1.0);
        fewer.graph.nodes.pop();
        assert!(mean(&[&one, &fewer], one.graph.input_side).is_err());
        assert!(mean(&[], 32).is_err());
    }

    #[test]
    fn what_makes_the_mean_worse_stays_out() {
        let members = [member("far", 4.0), member("low", 0.5), member("near", 1.25)];
        // The nearer to 1, the better.
        let judge = |graph: &Graph, _: &str| {
            let plain = 1.0 - (factor(graph) - 1.0).abs();
            Ok(Score { plain, disturbed: plain })
        };
        let (graph, rows) = choose(&members, members[0].graph.input_side, judge).unwrap();
        let taken: Vec<(&str, bool)> = rows.iter().map(|row| (row.graph.as_str(), row.is_in)).collect();
        assert_eq!(taken, [("near", true), ("low", true), ("far", false)]);
        assert!((factor(&graph) - 0.875).abs() < 1e-5);
        assert!((rows[1].both - 0.5).abs() < 1e-5 && (rows[1].mixed_both - 0.875).abs() < 1e-5);
    }
}
