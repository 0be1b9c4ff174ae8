//! `bench`: how long a model takes here, everything between camera and monitor, and from glass to glass.

mod loopback;
mod model;
mod pipeline;
mod require;

use anyhow::Result;
use clap::Subcommand;

/// Measures on this machine how long a model takes, or everything between camera and monitor.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Model(model::Arguments),
    Pipeline(pipeline::Arguments),
    Loopback(loopback::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Model(arguments) => model::run(arguments),
        What::Pipeline(arguments) => pipeline::run(arguments),
        What::Loopback(arguments) => loopback::run(arguments),
    }
}
