//! `polyp-host ablate`: what the parts of the network are worth.

use std::path::PathBuf;

use anyhow::Result;
use polyp_edge::fault::Fault;

use crate::data::lists::data_folder;
use crate::device;
use crate::experiments::ablate::{Plan, ablate, markdown};
use crate::experiments::part::{Part, Shard};
use crate::run::config::TrainConfig;
use crate::score::maps::score_run;

/// Trains the configured network complete and without each of its parts (prompt layers, full-scale skips, channel
/// attention), with several seeds each, and writes a table of means and deviations (ablation.md, ablation.csv). A run
/// that was interrupted is continued.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder for the experiment: a run for each variant and seed, and the table.
    #[arg(long)]
    out: PathBuf,
    /// Training configuration (TOML); keys that it leaves out have finetune's defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Number of seeds for each variant.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Train every combination of parts, instead of the complete network and those without one part.
    #[arg(long)]
    factorial: bool,
    /// Device to train on: cpu, cuda[:N] or vulkan[:N].
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Epochs of each run; the configuration's if not given.
    #[arg(long)]
    epochs: Option<u64>,
    /// Steps between checkpoints within an epoch.
    #[arg(long, default_value_t = 50)]
    checkpoint_every: u64,
    /// Train only the runs of shard I of N, for job arrays; all shards share the folder, and none writes results.
    #[arg(long, value_name = "I/N", conflicts_with = "merge")]
    shard: Option<Shard>,
    /// Train nothing: write the results once all shards have ended.
    #[arg(long)]
    merge: bool,
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
        part: Part::of(arguments.shard, arguments.merge),
    };
    let rows = ablate(&plan, |folder, config| Ok(score_run(folder, &config.evaluate, &device, None)?.lists))?;
    if plan.part.writes_results() {
        print!("{}", markdown(&rows));
    }
    Ok(())
}
