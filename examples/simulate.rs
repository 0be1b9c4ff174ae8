//! A cart in simulated time, with the faults of a seed:
//!
//! ```sh
//! cargo run --release --example simulate -- --seed 7 --hours 2 --trace
//! cargo run --release --example simulate -- --seeds 1000 --hours 1
//! ```
//!
//! Prints what did not hold, with its simulated time, and ends with exit code 1 then. The same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use testing::simulation::plan::Plan;
use testing::simulation::shrink::shrink;
use testing::simulation::{Report, simulate, simulate_plan};

#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after another.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The simulated time of each.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// Print the story, a line an event.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let length = Duration::from_secs_f64(3600.0 * arguments.hours);
    // Panics are part of the simulation.
    std::panic::set_hook(Box::new(|_| ()));
    let (begun, mut faults, mut pictures, mut failed) = (Instant::now(), BTreeMap::new(), 0, Vec::new());
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        let Report { broken, pictures: shown, steps, digest, story, faults: found, .. } =
            simulate(seed, length, arguments.trace);
        story.iter().for_each(|line| println!("{line}"));
        if arguments.seeds == 1 {
            println!("seed {seed}: {shown} pictures, {steps} steps, digest {digest:016x}");
        }
        found.into_iter().for_each(|(kind, count)| *faults.entry(kind).or_insert(0) += count);
        pictures += shown;
        if let Some(first) = broken.first() {
            println!("seed {seed}: {first}");
            failed.push(seed);
            tell_short(seed, length);
        }
    }
    table(&faults);
    let hours = arguments.hours * arguments.seeds as f64;
    println!(
        "\n{hours} simulated hours and {pictures} pictures in {:.1} s; seeds that failed: {failed:?}",
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what is left of a seed's plan without faults that are not needed.
fn tell_short(seed: u64, length: Duration) {
    let (plan, length) = shrink(seed, length, &Plan::random(seed, length));
    let report = simulate_plan(seed, length, &plan, true);
    println!("{} faults are enough, and this is the story:", plan.0.len());
    report.story.iter().for_each(|line| println!("{line}"));
}

/// Kinds of faults, and the states in which they happened.
fn table(faults: &BTreeMap<(String, String), u64>) {
    let states: BTreeSet<&str> = faults.keys().map(|(_, state)| state.as_str()).collect();
    let kinds: BTreeSet<&str> = faults.keys().map(|(kind, _)| kind.as_str()).collect();
    println!("\n| fault | {} |", states.iter().copied().collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(states.len()));
    for kind in kinds {
        let count = |state: &&str| {
            faults.get(&(kind.to_owned(), (*state).to_owned())).copied().unwrap_or(0).to_string()
        };
        println!("| {kind} | {} |", states.iter().map(count).collect::<Vec<_>>().join(" | "));
    }
}
