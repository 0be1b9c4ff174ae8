//! `polyp-host distill`: trains the student.

use std::path::PathBuf;

use crate::data::lists::data_folder;
use crate::train::trainer::{Run, TrainConfig, graph_of_checkpoint, train};

/// Trains the student network from labelled frames.
#[derive(clap::Args)]
pub struct Arguments {
    /// The run's folder: checkpoints, curve, held-back lists and the float graph for export.
    #[arg(long)]
    out: PathBuf,
    /// Training configuration (TOML); what it leaves out keeps its default.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Go on from the folder's checkpoint, with the folder's configuration unless --config is given.
    #[arg(long)]
    resume: bool,
    #[arg(long)]
    epochs: Option<u64>,
    #[arg(long)]
    seed: Option<u64>,
    /// Stop after so many steps in all, leaving a checkpoint.
    #[arg(long)]
    stop_after: Option<u64>,
    /// Steps between checkpoints within an epoch.
    #[arg(long, default_value_t = 50)]
    checkpoint_every: u64,
    /// Train nothing: write the float graph of the folder's last checkpoint.
    #[arg(long)]
    graph_only: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let graph = arguments.out.join("graph.safetensors");
    if arguments.graph_only {
        graph_of_checkpoint(&arguments.out)?.save(&graph)?;
        println!("{}", graph.display());
        return Ok(());
    }
    let own = arguments.out.join("config.toml");
    let mut config = match &arguments.config {
        Some(path) => TrainConfig::load(path)?,
        None if arguments.resume && own.exists() => TrainConfig::load(&own)?,
        None => TrainConfig::default(),
    };
    config.epochs = arguments.epochs.unwrap_or(config.epochs);
    config.seed = arguments.seed.unwrap_or(config.seed);
    config.check().map_err(polyp_edge::fault::Fault::configuration)?;
    log::debug!("configuration:\n{}", toml::to_string(&config)?.trim_end());
    let run = Run {
        folder: arguments.out,
        data: data_folder()?,
        config,
        resume: arguments.resume,
        stop_after: arguments.stop_after,
        checkpoint_every: arguments.checkpoint_every,
    };
    match train(&run)? {
        Some(point) => println!(
            "{} epochs: loss {:.4}, held-back Dice {:.4}, polyp-free frames lit {:.3}; graph in {}",
            point.epoch + 1,
            point.loss,
            point.held_back_dice,
            point.held_back_false,
            graph.display()
        ),
        None => println!("no epoch finished yet; go on with --resume"),
    }
    Ok(())
}
