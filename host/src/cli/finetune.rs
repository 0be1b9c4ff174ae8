//! `polyp-host finetune`: trains a teacher.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use burn::tensor::Device;
use serde::Serialize;

use super::training::Training;
use crate::data::lists::{data_folder, read_list};
use crate::evaluate::list_name;
use crate::measures::Measures;
use crate::teacher::{Teacher, measure};
use crate::train::config::TrainConfig;
use crate::{device, files};

/// Trains a teacher: SAM 2's encoder, frozen, with learnable prompt layers and a full-scale decoder, or another encoder
/// that the configuration names. When it is done, the best epoch is scored on the configured lists.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    training: Training,
    /// Where to compute: cpu, cuda[:N], vulkan[:N].
    #[arg(long, default_value = "cpu")]
    device: String,
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
    let device = device::open(device::parse(&arguments.device)?)?;
    let (folder, stopped) = (arguments.training.out.clone(), arguments.training.stop_after.is_some());
    let points = arguments.training.run(config.clone(), device.clone())?;
    if points.is_empty() || stopped {
        return Ok(());
    }
    let scores = score(&folder, &config.evaluate, &device, None)?;
    print_table(&folder.display().to_string(), &scores);
    files::write_whole(&folder.join("scores.json"), &serde_json::to_vec_pretty(&Scores { schema: 1, lists: scores })?)
}

/// `scores.json` of a run's folder.
#[derive(Serialize)]
pub struct Scores {
    pub schema: u32,
    pub lists: BTreeMap<String, Measures>,
}

/// Measures a run's best epoch on lists.
pub fn score(
    run: &Path,
    lists: &[PathBuf],
    device: &Device,
    maps: Option<&Path>,
) -> Result<BTreeMap<String, Measures>> {
    let data = data_folder()?;
    let teacher = Teacher::open(run, &data, device)?;
    let mut scores = BTreeMap::new();
    for list in lists {
        let name = list_name(list);
        let measures = measure(&teacher, &name, &read_list(list, &data)?, maps)?;
        scores.insert(name, measures);
    }
    Ok(scores)
}

/// A line a list: the field's six measures, and Dice and IoU at 0.5.
pub fn print_table(title: &str, scores: &BTreeMap<String, Measures>) {
    let columns = ["frames", "mDice", "mIoU", "wF", "S", "mE", "maxE", "MAE", "Dice.5", "IoU.5"];
    let head: String = columns.iter().map(|column| format!(" {column:>6}")).collect();
    println!("{title:<26}{head}");
    for (name, m) in scores {
        let values = [
            m.mean_dice,
            m.mean_iou,
            m.weighted_f,
            m.s_measure,
            m.mean_e,
            m.max_e,
            m.mae,
            m.dice_at_half,
            m.iou_at_half,
        ];
        let row: String = values.iter().map(|value| format!(" {value:>6.3}")).collect();
        println!("{name:<26} {:>6}{row}", m.frames);
    }
}
