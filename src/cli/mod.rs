//! The command line: one file a verb.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::fault;

/// Outlines polyps on an endoscope's picture. Not a medical device.
#[derive(Parser)]
#[command(name = "polyp-edge", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {}

/// Parses the command line, runs the verb, and says how it ended.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let outcome: anyhow::Result<()> = match Arguments::parse().verb {};
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fault::report("polyp-edge", &error),
    }
}
