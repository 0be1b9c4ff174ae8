//! `model`: what a bundle's network is made of, and what runs each node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::bundle::Bundle;
use crate::engine::{Engine, Options};
use crate::fault::Fault;

/// Says what each node of a bundle's model is and which kernel runs it.
#[derive(clap::Args)]
pub struct Arguments {
    /// The bundle's folder.
    bundle: PathBuf,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Let tract run nodes that have no int8 op.
    #[arg(long)]
    allow_fallback: bool,
    /// Run the model on a file of raw inputs, `[N, H, W, 3] u8`.
    #[arg(long, value_name = "FILE", requires = "logits", hide = true)]
    run: Option<PathBuf>,
    /// Where the raw logits go, `[N, H, W] u8`.
    #[arg(long, value_name = "FILE", requires = "run", hide = true)]
    logits: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Report<'a> {
    schema: u32,
    name: &'a str,
    model_version: &'a str,
    kernels: &'a str,
    /// Height, width, channels.
    input: [usize; 3],
    output: [usize; 3],
    multiply_adds: u64,
    nodes: &'a [crate::engine::NodeInfo],
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bundle = Bundle::open(&arguments.bundle)?;
    let options = Options { allow_fallback: arguments.allow_fallback, ..Options::default() };
    let mut engine = Engine::load(&bundle, &options)?;
    if let (Some(inputs), Some(logits)) = (&arguments.run, &arguments.logits) {
        return run_file(&mut engine, inputs, logits);
    }
    let report = Report {
        schema: 1,
        name: &bundle.manifest.name,
        model_version: &bundle.manifest.model_version,
        kernels: engine.kernels(),
        input: engine.input_shape(),
        output: engine.output_shape(),
        multiply_adds: engine.multiply_adds(),
        nodes: engine.nodes(),
    };
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print_table(&report),
    }
    Ok(())
}

fn print_table(report: &Report<'_>) {
    let shape = |shape: &[usize]| {
        let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
        sides.join("×")
    };
    let width = |cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or(0);
    let names = width(&mut report.nodes.iter().map(|node| node.name.chars().count()));
    let ops = width(&mut report.nodes.iter().map(|node| node.op.chars().count()));
    println!("{} {}", report.name, report.model_version);
    println!(
        "{:names$}  {:ops$}  {:18}  {:>12}  {:>14}  kernel",
        "node", "op", "types", "shape", "multiply-adds"
    );
    for node in report.nodes {
        let multiply_adds = match node.multiply_adds {
            0 => "–".to_string(),
            count => count.to_string(),
        };
        println!(
            "{:names$}  {:ops$}  {:18}  {:>12}  {multiply_adds:>14}  {}",
            node.name,
            node.op,
            node.types,
            shape(&node.shape),
            node.kernel
        );
    }
    println!(
        "{} → {}, {} nodes, {:.1} million multiply-adds, kernels: {}",
        shape(&report.input),
        shape(&report.output),
        report.nodes.len(),
        report.multiply_adds as f64 / 1e6,
        report.kernels
    );
}

/// Raw inputs in, raw logits out: for comparing with other runtimes.
fn run_file(engine: &mut Engine, inputs: &Path, logits: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(inputs).with_context(|| inputs.display().to_string())?;
    let size: usize = engine.input_shape().iter().product();
    if bytes.is_empty() || bytes.len() % size != 0 {
        return Err(Fault::data(format!("{}: not a whole number of {size} bytes", inputs.display())));
    }
    let mut output = vec![0; engine.output_shape().iter().product()];
    let mut all = Vec::with_capacity(bytes.len() / size * output.len());
    for input in bytes.chunks_exact(size) {
        engine.run(input, &mut output)?;
        all.extend_from_slice(&output);
    }
    super::write_whole(logits, &all)
}
