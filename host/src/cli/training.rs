//! What `finetune` and `distill` share: options of a training run.

use std::path::PathBuf;

use anyhow::Result;
use burn::tensor::Device;
use polyp_edge::fault::Fault;

use crate::data::lists::data_folder;
use crate::device;
use crate::run::config::TrainConfig;
use crate::train::curve::Point;
use crate::train::trainer::{Run, train};

#[derive(clap::Args)]
pub struct Training {
    /// Folder of the run: checkpoints, curve, held-back lists.
    #[arg(long)]
    pub out: PathBuf,
    /// Training configuration (TOML); keys that it leaves out keep their defaults.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Continue from the folder's checkpoint, with the folder's configuration unless --config is given.
    #[arg(long)]
    pub resume: bool,
    /// Number of epochs; the configuration's if not given.
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Seed; the configuration's if not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Another value for one key of the configuration, such as network.encoder.kind=hiera-tiny; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Stop after this many steps of the whole run, and write a checkpoint.
    #[arg(long)]
    pub stop_after: Option<u64>,
    /// Steps between checkpoints within an epoch.
    #[arg(long, default_value_t = 50)]
    pub checkpoint_every: u64,
    /// Device to train on: cpu, cuda or vulkan; a number selects one of several GPUs, as in cuda:1.
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

impl Training {
    pub fn device(&self) -> Result<Device> {
        device::open(device::parse(&self.device)?)
    }

    /// The configuration: the file's, or the resumed run's, or `base`.
    pub fn configuration(&self, base: &TrainConfig) -> Result<TrainConfig> {
        let own = self.out.join("config.toml");
        let mut config = match &self.config {
            Some(path) => TrainConfig::load(path, base)?,
            None if self.resume && own.exists() => TrainConfig::load(&own, base)?,
            None => base.clone(),
        };
        config = config.set(&self.set)?;
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.seed = self.seed.unwrap_or(config.seed);
        config.check().map_err(Fault::configuration)?;
        log::debug!("configuration:\n{}", toml::to_string(&config)?.trim_end());
        Ok(config)
    }

    /// Trains, and says what came of it.
    pub fn run(self, config: TrainConfig, device: Device) -> Result<Vec<Point>> {
        let (resume, stop_after, checkpoint_every) = (self.resume, self.stop_after, self.checkpoint_every);
        let (folder, data) = (self.out, data_folder()?);
        let points = train(&Run { folder, data, config, device, resume, stop_after, checkpoint_every })?;
        match points.last() {
            Some(point) => println!(
                "{} epochs: loss {:.4}, held-back Dice {:.4}, false alarms {:.3}",
                point.epoch + 1,
                point.loss,
                point.held_back_dice,
                point.held_back_false,
            ),
            None => println!("no epoch has finished yet; continue with --resume"),
        }
        Ok(points)
    }
}
