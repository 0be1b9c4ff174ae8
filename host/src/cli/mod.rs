//! The command line: one file a verb.

mod ablate;
mod calibrate;
mod cost;
mod device;
mod distill;
mod evaluate;
mod export;
mod finetune;
mod flicker;
mod graph;
mod measure;
mod pace;
mod robustness;
mod search;
mod soup;
mod training;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use polyp_edge::fault;
use polyp_edge::files::signals;

use crate::files;

/// Trains, quantises and exports the networks that polyp-edge runs.
#[derive(Parser)]
#[command(name = "polyp-host", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Replace files that this program did not write, or that were changed since.
    #[arg(long, global = true)]
    force: bool,
}

#[derive(Subcommand)]
enum Verb {
    Finetune(finetune::Arguments),
    Ablate(ablate::Arguments),
    Cost(cost::Arguments),
    Distill(distill::Arguments),
    Search(search::Arguments),
    Soup(soup::Arguments),
    Calibrate(calibrate::Arguments),
    Export(export::Arguments),
    Evaluate(evaluate::Arguments),
    Measure(measure::Arguments),
    Robustness(robustness::Arguments),
    Flicker(flicker::Arguments),
    Graph(graph::Arguments),
    Device(device::Arguments),
    Pace(pace::Arguments),
}

/// Parses the command line, runs the verb, and says how it ended.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(
        env_logger::Env::default()
            .default_filter_or("info,cubecl_runtime=warn,wgpu_hal=warn,wgpu_core=warn,naga=warn"),
    )
    .init();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return polyp_edge::cli::not_understood("polyp-host", &error),
    };
    if let Err(error) = signals::end_cleanly() {
        return fault::report("polyp-host", &error);
    }
    if arguments.force {
        files::allow_replacing();
    }
    let outcome = match arguments.verb {
        Verb::Finetune(arguments) => finetune::run(arguments),
        Verb::Ablate(arguments) => ablate::run(arguments),
        Verb::Cost(arguments) => cost::run(arguments),
        Verb::Distill(arguments) => distill::run(arguments),
        Verb::Search(arguments) => search::run(arguments),
        Verb::Soup(arguments) => soup::run(arguments),
        Verb::Calibrate(arguments) => calibrate::run(arguments),
        Verb::Export(arguments) => export::run(arguments),
        Verb::Evaluate(arguments) => evaluate::run(arguments),
        Verb::Measure(arguments) => measure::run(arguments),
        Verb::Robustness(arguments) => robustness::run(arguments),
        Verb::Flicker(arguments) => flicker::run(arguments),
        Verb::Graph(arguments) => graph::run(arguments),
        Verb::Device(arguments) => device::run(arguments),
        Verb::Pace(arguments) => pace::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fault::report("polyp-host", &error),
    }
}
