//! `polyp-host export --graph FILE --calibration DIR --out DIR --name NAME`: the bundle that the cart runs.

use std::path::PathBuf;

use polyp_edge::bundle::manifest::COMPATIBLE;

use crate::export::{Request, export};
use crate::parallel::default_threads;

/// Quantises a graph with a calibration and writes the bundle.
#[derive(clap::Args)]
pub struct Arguments {
    /// The float graph that training exported.
    #[arg(long)]
    graph: PathBuf,
    /// The folder that `calibrate` wrote for this graph.
    #[arg(long)]
    calibration: PathBuf,
    /// The bundle's folder; an earlier bundle there is replaced.
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "0.1.0")]
    model_version: String,
    /// Grows with each release that replaces one which must not run any more: carts refuse bundles with a lower one than theirs.
    #[arg(long, default_value_t = 1)]
    rollback_index: u64,
    /// What the bundle is made for: carts take only what has their profile's text.
    #[arg(long, value_name = "TEXT", default_value = COMPATIBLE)]
    compatible: String,
    /// Also write the float network, outside the bundle.
    #[arg(long = "f32", value_name = "FILE")]
    float: Option<PathBuf>,
    /// Also write the int8 network in QDQ form, with the bundle's scales, for onnxruntime, OpenVINO and others.
    #[arg(long, value_name = "FILE")]
    qdq: Option<PathBuf>,
    /// Also write the int8 network in QDQ form with symmetric s8 activations, for TensorRT.
    #[arg(long, value_name = "FILE")]
    qdq_symmetric: Option<PathBuf>,
    /// Temporal gate: a region is shown once it was found in APPEAR of the last WINDOW frames; the calibration's if not given.
    #[arg(long, requires = "window")]
    appear: Option<u32>,
    #[arg(long, requires = "appear")]
    window: Option<u32>,
    /// Lists that the network was trained on, for the manifest.
    #[arg(long = "trained-on", default_values = ["train", "negative-train"])]
    trained_on: Vec<PathBuf>,
    /// Seeds of the training, for the manifest; the runs' if not given.
    #[arg(long = "seed")]
    seeds: Vec<u64>,
    /// Runs that produced this network, in order: their epochs, seeds and hours are written to the model card. Repeat for more.
    #[arg(long = "run", value_name = "FOLDER")]
    runs: Vec<PathBuf>,
    /// Hardware that the runs used, for the model card.
    #[arg(long, value_name = "TEXT")]
    hardware: Option<String>,
    /// Number of the worst rendered frames that are drawn for the model card.
    #[arg(long, default_value_t = 3)]
    failures: usize,
    /// Commit of the programs, for the manifest; git's current commit if not given.
    #[arg(long)]
    commit: Option<String>,
    /// Lists whose scores, in int8 and float, are written to manifest and model card. Repeat for more.
    #[arg(long = "evaluate", value_name = "LIST")]
    lists: Vec<PathBuf>,
    /// A paragraph for the model card. Repeat for more.
    #[arg(long = "remark")]
    remarks: Vec<String>,
    #[arg(long)]
    threads: Option<usize>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let request = Request {
        graph: arguments.graph,
        calibration: arguments.calibration,
        out: arguments.out,
        name: arguments.name,
        model_version: arguments.model_version,
        rollback_index: arguments.rollback_index,
        compatible: arguments.compatible,
        float: arguments.float,
        qdq: arguments.qdq,
        qdq_symmetric: arguments.qdq_symmetric,
        appear: arguments.appear,
        window: arguments.window,
        trained_on: arguments.trained_on,
        seeds: arguments.seeds,
        runs: arguments.runs,
        hardware: arguments.hardware,
        failures: arguments.failures,
        commit: arguments.commit,
        lists: arguments.lists,
        remarks: arguments.remarks,
        threads: arguments.threads.unwrap_or_else(default_threads).max(1),
    };
    let description = export(&request)?;
    println!("{}: {} {}", request.out.display(), description.name, description.model_version);
    for (list, of_list) in &description.provenance.scores {
        let measures: Vec<String> =
            of_list.iter().map(|(measure, value)| format!("{measure} {value:.3}")).collect();
        println!("  {list:<28} {}", measures.join("  "));
    }
    Ok(())
}
