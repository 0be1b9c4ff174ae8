//! `polyp-host finetune`: trains a teacher.

use anyhow::{Context, Result};

use crate::cli::measure::print_table;
use crate::cli::training::Training;
use crate::data::lists::{data_folder, read_list};
use crate::files;
use crate::run::config::TrainConfig;
use crate::score::maps::score_run;

/// Trains a teacher: SAM 2's encoder, frozen, with learnable prompt layers and a full-scale decoder, or another encoder
/// that the configuration names. At the end, the best epoch is scored on the configured lists.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    training: Training,
    /// Print the configuration that would be used, and train nothing.
    #[arg(long)]
    show_config: bool,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let config = arguments.training.configuration(&TrainConfig::teacher())?;
    if arguments.show_config {
        print!("{}", toml::to_string(&config)?);
        return Ok(());
    }
    // Said now, not after hours of training.
    let lists = data_folder()
        .and_then(|data| config.evaluate.iter().try_for_each(|list| read_list(list, &data).map(drop)));
    lists.context("of the lists to score at the end (`evaluate`; [] for none)")?;
    let device = arguments.training.device()?;
    let (folder, stopped) = (arguments.training.out.clone(), arguments.training.stop_after.is_some());
    let points = arguments.training.run(config.clone(), device.clone())?;
    if points.is_empty() || stopped || config.evaluate.is_empty() {
        return Ok(());
    }
    let report = score_run(&folder, &config.evaluate, &device, None)?;
    print_table(&report);
    files::write_whole(&folder.join("scores.json"), &serde_json::to_vec_pretty(&report)?)
}
