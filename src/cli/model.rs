//! `model`: what a bundle's network is made of, and what runs each node.

use std::path::PathBuf;

use crate::bundle::Bundle;
use crate::bundle::manifest::Manifest;
use crate::engine::{Engine, MemoryUse, Options};
use crate::fault::Fault;
use crate::files::{Claim, Input, OutputFolder, signals};

const INPUTS: &str = "inputs.bin";
const LOGITS: &str = "logits.bin";

/// Lists the nodes of a bundle's model with the kernel that runs each of them.
#[derive(clap::Args)]
pub struct Arguments {
    /// The bundle's folder.
    #[arg(long, value_name = "BUNDLE", required_unless_present = "bundle", conflicts_with = "bundle")]
    model: Option<PathBuf>,
    /// The same as --model BUNDLE.
    bundle: Option<PathBuf>,
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Let tract run nodes that have no int8 op.
    #[arg(long)]
    allow_fallback: bool,
    /// Run the model on this source's frames, and write its inputs and logits as raw bytes.
    #[arg(long, value_name = "SOURCE", requires = "out", hide = true)]
    dump: Option<String>,
    /// Kernel set; the best that this machine supports if not given.
    #[arg(long, value_name = "NAME")]
    kernels: Option<String>,
    /// Folder to write `inputs.bin`, `[N, H, W, 3] u8`, and `logits.bin`, `[N, H, W] u8`, to.
    #[arg(long, value_name = "DIR", hide = true)]
    out: Option<PathBuf>,
    /// Replace files in that folder that this program did not write.
    #[arg(long, hide = true)]
    force: bool,
    /// The largest number of frames to dump.
    #[arg(long, default_value_t = 50, hide = true)]
    frames: usize,
}

#[derive(serde::Serialize)]
struct ModelReport<'a> {
    schema: u32,
    name: &'a str,
    model_version: &'a str,
    kernels: &'a str,
    /// Height, width, channels.
    input: [usize; 3],
    output: [usize; 3],
    multiply_adds: u64,
    /// Beside the weights; none if tract runs the model.
    memory: Option<MemoryUse>,
    nodes: &'a [crate::engine::NodeInfo],
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    signals::end_cleanly()?;
    let path = arguments.model.as_ref().or(arguments.bundle.as_ref());
    let path = path.ok_or_else(|| Fault::usage("no bundle given; use --model BUNDLE"))?;
    let bundle = Bundle::open(path)?;
    let Arguments { allow_fallback, kernels, .. } = arguments;
    let options = Options { allow_fallback: *allow_fallback, kernels: kernels.clone(), ..Options::default() };
    let mut engine = Engine::load(&bundle, &options)?;
    if let (Some(source), Some(out)) = (&arguments.dump, &arguments.out) {
        let inputs: Vec<_> =
            Input::of_source(source.as_ref()).into_iter().chain([Input::Tree(path)]).collect();
        let out = OutputFolder::claim(&Claim {
            folder: out,
            names: &[INPUTS, LOGITS],
            what: "model --dump",
            inputs: &inputs,
            force: arguments.force,
        })?;
        return dump(&mut engine, &bundle.manifest, source, arguments.frames, &out);
    }
    let report = ModelReport {
        schema: 1,
        name: &bundle.manifest.name,
        model_version: &bundle.manifest.model_version,
        kernels: engine.kernels(),
        input: engine.input_shape(),
        output: engine.output_shape(),
        multiply_adds: engine.multiply_adds(),
        memory: engine.memory(),
        nodes: engine.nodes(),
    };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&report)?)
    } else {
        print_table(&report)?
    }
    Ok(())
}

fn print_table(report: &ModelReport<'_>) -> anyhow::Result<()> {
    let shape = |shape: &[usize]| {
        let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
        sides.join("×")
    };
    let width = |cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or(0);
    let names = width(&mut report.nodes.iter().map(|node| node.name.chars().count()));
    let ops = width(&mut report.nodes.iter().map(|node| node.op.chars().count()));
    say!("{} {}", report.name, report.model_version);
    say!(
        "{:names$}  {:ops$}  {:18}  {:>12}  {:>14}  kernel",
        "node",
        "op",
        "types",
        "shape",
        "multiply-adds"
    );
    for node in report.nodes {
        let multiply_adds = match node.multiply_adds {
            0 => "–".to_string(),
            count => count.to_string(),
        };
        say!(
            "{:names$}  {:ops$}  {:18}  {:>12}  {multiply_adds:>14}  {}",
            node.name,
            node.op,
            node.types,
            shape(&node.shape),
            node.kernel
        );
    }
    say!(
        "{} → {}, {} nodes, {:.1} M multiply-adds, kernels: {}",
        shape(&report.input),
        shape(&report.output),
        report.nodes.len(),
        report.multiply_adds as f64 / 1e6,
        report.kernels
    );
    if let Some(MemoryUse { arena, scratch }) = report.memory {
        let [arena, scratch] = [arena, scratch].map(|bytes| bytes as f64 / 1024.0);
        say!(
            "memory: {arena:.0} KiB for the tensors of a frame, {scratch:.0} KiB of scratch space, and the weights"
        );
    }
    Ok(())
}

/// What the cart feeds the model and gets from it, for comparing with other runtimes.
fn dump(
    engine: &mut Engine,
    manifest: &Manifest,
    source: &str,
    most: usize,
    out: &OutputFolder,
) -> anyhow::Result<()> {
    let mut output = vec![0; engine.output_shape().iter().product()];
    let (mut inputs, mut logits) = (vec![], vec![]);
    super::inputs::for_inputs(manifest, engine.input_shape(), source, most, |input| {
        engine.run(input, &mut output)?;
        inputs.extend_from_slice(input);
        logits.extend_from_slice(&output);
        Ok(())
    })?;
    out.write_bytes(INPUTS, &inputs)?;
    out.write_bytes(LOGITS, &logits)
}
