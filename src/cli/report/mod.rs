//! `report`: what somebody needs who is to find out what is wrong with a cart, or how fast it was.

mod archive;
mod latency;

use anyhow::Result;
use clap::Subcommand;

/// Puts what is needed to find a fault into one archive: what this machine has and lacks, the profile, the state, installed bundles
/// by name, audit trail, latencies, metrics and log. There is no picture in it, and nothing of a patient's.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    archive: archive::Arguments,
}

#[derive(Subcommand)]
enum What {
    Latency(latency::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        Some(What::Latency(arguments)) => latency::run(arguments),
        None => archive::run(&arguments.archive),
    }
}
