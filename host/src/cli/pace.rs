//! `polyp-host pace --config FILE`: how long a training step takes.

use std::path::PathBuf;

use anyhow::Result;
use polyp_edge::fault::Fault;

use crate::device;
use crate::experiments::pace::pace;
use crate::run::config::TrainConfig;

/// Times training steps of a configured network on made-up pictures. Reads no data and writes nothing.
///
/// scripts/training-pace sets these times against PyTorch's for the same network.
#[derive(clap::Args)]
pub struct Arguments {
    /// Training configuration (TOML) over distill's defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Steps to time, after two that are not counted.
    #[arg(long, default_value_t = 6)]
    steps: usize,
    /// Pictures a step, instead of the configuration's.
    #[arg(long)]
    batch: Option<usize>,
    /// Pixels along each side of the pictures, instead of the configuration's.
    #[arg(long)]
    side: Option<usize>,
    /// Where to compute: cpu, cuda or vulkan; a number picks one of several GPUs, as in cuda:1.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// One JSON object instead of a line.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let base = TrainConfig::default();
    let mut config = match &arguments.config {
        Some(path) => TrainConfig::load(path, &base)?,
        None => base,
    };
    config.batch = arguments.batch.unwrap_or(config.batch);
    config.network.input_side = arguments.side.unwrap_or(config.network.input_side);
    config.check().map_err(Fault::configuration)?;
    let device = device::open(device::parse(&arguments.device)?)?;
    let pace = pace(&config, arguments.steps.max(1), &device)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&pace)?);
        return Ok(());
    }
    let mut sorted = pace.seconds.clone();
    sorted.sort_by(f64::total_cmp);
    println!(
        "{}, {} pictures of {} px, {} threads: {:.3} s a step (median of {}; {:.3} to {:.3})",
        pace.encoder,
        pace.batch,
        pace.side,
        pace.threads,
        sorted[sorted.len() / 2],
        sorted.len(),
        sorted[0],
        sorted[sorted.len() - 1]
    );
    Ok(())
}
