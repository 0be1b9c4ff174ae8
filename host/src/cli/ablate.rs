//! `polyp-host ablate`: what the parts of the network are worth.

use std::path::PathBuf;

use anyhow::Result;
use polyp_edge::fault::Fault;

use crate::data::lists::data_folder;
use crate::device;
use crate::experiments::ablate::{Plan, ablate, markdown};
use crate::run::config::TrainConfig;
use crate::score::maps::score_run;

/// Trains the configured network whole and with each part taken away — prompt layers, full-scale skips, channel attention
/// — with several seeds each, and writes a table of means and deviations (ablation.md, ablation.csv). Goes on where it
/// was cut off.
#[derive(clap::Args)]
pub struct Arguments {
    /// The experiment's folder: a run for each variant and seed, and the table.
    #[arg(long)]
    out: PathBuf,
    /// Training configuration (TOML) over finetune's defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Every combination of parts, instead of everything and everything but one.
    #[arg(long)]
    factorial: bool,
    /// Where to compute: cpu, cuda[:N], vulkan[:N].
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Epochs of each run, if not the configuration's.
    #[arg(long)]
    epochs: Option<u64>,
    /// Steps between checkpoints within an epoch.
    #[arg(long, default_value_t = 50)]
    checkpoint_every: u64,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let teacher = TrainConfig::teacher();
    let mut base = match &arguments.config {
        Some(path) => TrainConfig::load(path, &teacher)?,
        None => teacher,
    };
    base.epochs = arguments.epochs.unwrap_or(base.epochs);
    base.check().map_err(Fault::configuration)?;
    let device = device::open(device::parse(&arguments.device)?)?;
    let plan = Plan {
        folder: arguments.out,
        data: data_folder()?,
        base,
        device: device.clone(),
        seeds: arguments.seeds,
        factorial: arguments.factorial,
        checkpoint_every: arguments.checkpoint_every,
    };
    let rows = ablate(&plan, |folder, config| Ok(score_run(folder, &config.evaluate, &device, None)?.lists))?;
    print!("{}", markdown(&rows));
    Ok(())
}
