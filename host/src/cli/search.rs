//! `polyp-host search`: the student's shape.

use std::path::PathBuf;

use anyhow::Result;
use polyp_edge::fault::Fault;

use crate::data::lists::data_folder;
use crate::device;
use crate::experiments::part::{Part, Shard};
use crate::experiments::search::{Grid, Plan, markdown, search};
use crate::parallel::default_threads;
use crate::run::config::TrainConfig;

/// Trains the student in the same way in every shape of a grid (input size, encoder and decoder width, attention, output
/// stride), and compares int8 Dice on held-back frames with inference time in a table (search.md, search.csv) and a plot
/// (search.png). A search that was interrupted is continued.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder for the search: a run for each shape, and the results.
    #[arg(long)]
    out: PathBuf,
    /// The grid (TOML): input_sides, branch_channels, attention; optional: widths, output_strides, one_at_a_time.
    #[arg(long)]
    grid: PathBuf,
    /// Training configuration (TOML); keys that it leaves out have distill's defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Epochs of each run; the configuration's if not given.
    #[arg(long)]
    epochs: Option<u64>,
    /// A program that predicts a bundle's time on a Cortex-A76, such as scripts/predict-arm.
    #[arg(long, value_name = "PROGRAM")]
    predict: Option<PathBuf>,
    /// Device to train on: cpu, cuda[:N] or vulkan[:N].
    #[arg(long, default_value = "cpu")]
    device: String,
    #[arg(long)]
    threads: Option<usize>,
    /// Rounds of timing; in each, all shapes are timed in turn.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Train only the runs of shard I of N, for job arrays; all shards share the folder, and none writes results.
    #[arg(long, value_name = "I/N", conflicts_with = "merge")]
    shard: Option<Shard>,
    /// Train nothing: write the results once all shards have ended.
    #[arg(long)]
    merge: bool,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let student = TrainConfig::default();
    let mut base = match &arguments.config {
        Some(path) => TrainConfig::load(path, &student)?,
        None => student,
    };
    base.epochs = arguments.epochs.unwrap_or(base.epochs);
    base.check().map_err(Fault::configuration)?;
    let plan = Plan {
        folder: arguments.out,
        data: data_folder()?,
        base,
        grid: Grid::load(&arguments.grid)?,
        device: device::open(device::parse(&arguments.device)?)?,
        predict: arguments.predict,
        threads: arguments.threads.unwrap_or_else(default_threads).max(1),
        rounds: arguments.rounds,
        part: Part::of(arguments.shard, arguments.merge),
    };
    let rows = search(&plan)?;
    if plan.part.writes_results() {
        print!("{}", markdown(&rows));
    }
    Ok(())
}
