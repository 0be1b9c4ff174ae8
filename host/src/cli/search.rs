//! `polyp-host search`: the student's shape.

use std::path::PathBuf;

use anyhow::Result;
use polyp_edge::fault::Fault;

use crate::data::lists::data_folder;
use crate::device;
use crate::experiments::search::{Grid, Plan, markdown, search};
use crate::parallel::default_threads;
use crate::run::config::TrainConfig;

/// Trains the student in every shape of a grid (input size, encoder and decoder width, attention, output stride) alike,
/// and sets what each finds on held-back frames, in int8, against the time that it takes: a table (search.md,
/// search.csv) and a plot (search.png). Goes on where it was cut off.
#[derive(clap::Args)]
pub struct Arguments {
    /// The search's folder: a run for each shape, and the results.
    #[arg(long)]
    out: PathBuf,
    /// The grid (TOML): input_sides, branch_channels, attention; optional: widths, output_strides, one_at_a_time.
    #[arg(long)]
    grid: PathBuf,
    /// Training configuration (TOML) over distill's defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Epochs of each run, if not the configuration's.
    #[arg(long)]
    epochs: Option<u64>,
    /// A program that predicts a bundle's time on a Cortex-A76, such as scripts/predict-arm.
    #[arg(long, value_name = "PROGRAM")]
    predict: Option<PathBuf>,
    /// Where to train: cpu, cuda[:N], vulkan[:N].
    #[arg(long, default_value = "cpu")]
    device: String,
    #[arg(long)]
    threads: Option<usize>,
    /// Rounds in which all shapes take turns to be timed.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let student = TrainConfig::default();
    let mut base = match &arguments.config {
        Some(path) => TrainConfig::load(path, &student)?,
        None => student,
    };
    base.epochs = arguments.epochs.unwrap_or(base.epochs);
    base.check().map_err(Fault::configuration)?;
    let rows = search(&Plan {
        folder: arguments.out,
        data: data_folder()?,
        base,
        grid: Grid::load(&arguments.grid)?,
        device: device::open(device::parse(&arguments.device)?)?,
        predict: arguments.predict,
        threads: arguments.threads.unwrap_or_else(default_threads).max(1),
        rounds: arguments.rounds,
    })?;
    print!("{}", markdown(&rows));
    Ok(())
}
