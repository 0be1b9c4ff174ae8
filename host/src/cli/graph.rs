//! `polyp-host graph FILE`: what a float graph holds.

use std::path::PathBuf;

use serde::Serialize;

use crate::graph::{Graph, Op, shapes};

/// Lists the nodes of a float graph with shapes and multiply-adds.
#[derive(clap::Args)]
pub struct Arguments {
    file: PathBuf,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct GraphReport {
    schema: u32,
    input_side: usize,
    nodes: Vec<Row>,
    multiply_adds: usize,
    weights: usize,
}

#[derive(Serialize)]
struct Row {
    name: String,
    op: &'static str,
    channels: usize,
    height: usize,
    width: usize,
    multiply_adds: usize,
    weights: usize,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let graph = Graph::load(&arguments.file)?;
    let report = describe(&graph)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!("{:<28} {:<17} {:>18} {:>14} {:>10}", "node", "op", "output", "multiply-adds", "weights");
    for row in &report.nodes {
        let shape = format!("{} × {} × {}", row.channels, row.height, row.width);
        println!(
            "{:<28} {:<17} {:>18} {:>14} {:>10}",
            row.name, row.op, shape, row.multiply_adds, row.weights
        );
    }
    println!("{:<28} {:<17} {:>18} {:>14} {:>10}", "total", "", "", report.multiply_adds, report.weights);
    Ok(())
}

fn describe(graph: &Graph) -> anyhow::Result<GraphReport> {
    let shapes = shapes(graph)?;
    let nodes: Vec<Row> = graph
        .nodes
        .iter()
        .filter_map(|node| Some((node, *shapes.get(node.name.as_str())?)))
        .map(|(node, shape)| {
            let (weights, taps) = match &node.op {
                Op::Conv { weight, bias, .. } => {
                    (weight.data.len() + bias.len(), weight.shape.iter().skip(1).product())
                }
                _ => (0, 0),
            };
            Row {
                name: node.name.clone(),
                op: node.op.kind(),
                channels: shape.channels,
                height: shape.height,
                width: shape.width,
                multiply_adds: shape.len() * taps,
                weights,
            }
        })
        .collect();
    let multiply_adds = nodes.iter().map(|row| row.multiply_adds).sum();
    let weights = nodes.iter().map(|row| row.weights).sum();
    Ok(GraphReport { schema: 1, input_side: graph.input_side, nodes, multiply_adds, weights })
}

#[cfg(test)]
mod tests {
    #[test]
    fn multiply_adds_are_counted() {
        let report = super::describe(&crate::graph::tests::every_op(4)).unwrap();
        assert_eq!(report.nodes[0].multiply_adds, 16 * 16 * 8 * 27);
        assert_eq!(report.nodes[1].multiply_adds, 8 * 8 * 8 * 25);
    }
}
