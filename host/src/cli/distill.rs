//! `polyp-host distill`: trains the student.

use polyp_edge::fault::Fault;

use crate::cli::training::Training;
use crate::run::GRAPH;
use crate::run::config::TrainConfig;
use crate::train::trainer::export_checkpoint;

/// Trains the student network from labelled frames. Its folder holds the float graph for `calibrate` and `export`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    training: Training,
    /// Train nothing: write the float graph of the folder's last checkpoint.
    #[arg(long)]
    graph_only: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let training = arguments.training;
    let graph = training.out.join(GRAPH);
    if arguments.graph_only {
        export_checkpoint(&training.out)?;
        println!("{}", graph.display());
        return Ok(());
    }
    let config = training.configuration(&TrainConfig::default())?;
    let network = &config.network;
    if network.encoder.kind.efficientnet().is_none() || network.decoder.finest != 1 {
        return Err(Fault::configuration(format!(
            "a student has an efficientnet-lite encoder and decoder.finest = 1, not {} and {}; train others with \
             finetune",
            network.encoder.kind.word(),
            network.decoder.finest
        )));
    }
    let device = training.device()?;
    training.run(config, device)?;
    println!("graph in {}", graph.display());
    Ok(())
}
