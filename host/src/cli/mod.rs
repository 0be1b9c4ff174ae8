//! The command line: one file a verb.

pub mod calibrate;
pub mod device;
pub mod distill;
pub mod evaluate;
pub mod export;
pub mod graph;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use polyp_edge::fault;

/// Trains, quantises and exports the networks that polyp-edge runs.
#[derive(Parser)]
#[command(name = "polyp-host", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Distill(distill::Arguments),
    Calibrate(calibrate::Arguments),
    Export(export::Arguments),
    Evaluate(evaluate::Arguments),
    Graph(graph::Arguments),
    Device(device::Arguments),
}

/// Parses the command line, runs the verb, and says how it ended.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let outcome = match Arguments::parse().verb {
        Verb::Distill(arguments) => distill::run(arguments),
        Verb::Calibrate(arguments) => calibrate::run(arguments),
        Verb::Export(arguments) => export::run(arguments),
        Verb::Evaluate(arguments) => evaluate::run(arguments),
        Verb::Graph(arguments) => graph::run(arguments),
        Verb::Device(arguments) => device::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fault::report("polyp-host", &error),
    }
}
