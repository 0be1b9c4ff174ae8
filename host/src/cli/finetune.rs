//! `polyp-host finetune`: trains a teacher.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;

use super::measure::{Report, print_table};
use super::training::Training;
use crate::data::lists::{data_folder, read_list};
use crate::evaluate::list_name;
use crate::files;
use crate::teacher::{Teacher, measure};
use crate::train::config::TrainConfig;

/// Trains a teacher: SAM 2's encoder, frozen, with learnable prompt layers and a full-scale decoder, or another encoder
/// that the configuration names. When it is done, the best epoch is scored on the configured lists.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    training: Training,
    /// Write the configuration that would be used, and train nothing.
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
    let report = score(&folder, &config.evaluate, &device, None)?;
    print_table(&report);
    files::write_whole(&folder.join("scores.json"), &serde_json::to_vec_pretty(&report)?)
}

/// Measures a run's best epoch on lists.
pub(super) fn score(run: &Path, lists: &[PathBuf], device: &Device, maps: Option<&Path>) -> Result<Report> {
    let data = data_folder()?;
    let teacher = Teacher::open(run, &data, device)?;
    let mut report = Report { schema: 1, lists: BTreeMap::new() };
    for list in lists {
        let name = list_name(list);
        let measures = measure(&teacher, &name, &read_list(list, &data)?, maps)?;
        report.lists.insert(name, measures);
    }
    Ok(report)
}
