//! A cart in simulated time, with the faults of a seed:
//!
//! ```sh
//! cargo run --release --example simulate -- --seed 7 --hours 2 --trace
//! cargo run --release --example simulate -- --seeds 1000 --hours 1 --jobs 2
//! ```
//!
//! Prints what did not hold, with its simulated time, and ends with exit code 1 then. The same seed gives the same run. Seeds
//! that 2 divides have the cart's drivers for V4L2 and KMS, those that 8 divides its engine, too.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
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
    /// Seeds that run at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Begin no further seed after so many minutes.
    #[arg(long)]
    minutes: Option<f64>,
    /// Do not look for a shorter plan that fails as well.
    #[arg(long)]
    as_planned: bool,
    /// Print the story, a line an event.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let length = Duration::from_secs_f64(3600.0 * arguments.hours);
    // Panics are part of the simulation.
    std::panic::set_hook(Box::new(|_| ()));
    let begun = Instant::now();
    let (mut faults, mut pictures, mut done, mut failed) = (BTreeMap::new(), 0, 0, Vec::new());
    let next = AtomicU64::new(arguments.seed);
    let is_over = || arguments.minutes.is_some_and(|minutes| begun.elapsed().as_secs_f64() > 60.0 * minutes);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..arguments.jobs.max(1) {
            let (sender, next, arguments) = (sender.clone(), &next, &arguments);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.seed + arguments.seeds || is_over() {
                        break;
                    }
                    let report = simulate(seed, length, arguments.trace);
                    let short =
                        (!arguments.as_planned && !report.broken.is_empty()).then(|| shortened(seed, length));
                    if sender.send((seed, report, short)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (seed, report, short) in receiver {
            let Report { broken, pictures: shown, steps, digest, story, faults: found, log_lines, .. } =
                report;
            story.iter().for_each(|line| println!("{line}"));
            if arguments.seeds == 1 {
                println!(
                    "seed {seed}: {shown} pictures, {log_lines} log lines, {steps} steps, digest {digest:016x}"
                );
            }
            found.into_iter().for_each(|(kind, count)| *faults.entry(kind).or_insert(0) += count);
            (pictures, done) = (pictures + shown, done + 1);
            if let Some(first) = broken.first() {
                println!("seed {seed}: {first}");
                failed.push(seed);
            }
            short.into_iter().flatten().for_each(|line| println!("{line}"));
        }
    });
    table(&faults);
    failed.sort_unstable();
    println!(
        "\n{done} seeds from {}, {} simulated hours, {} faults and {pictures} pictures in {:.1} s; seeds that failed: {failed:?}",
        arguments.seed,
        arguments.hours * f64::from(done),
        faults.values().sum::<u64>(),
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The story of what is left of a seed's plan without faults that are not needed.
fn shortened(seed: u64, length: Duration) -> Vec<String> {
    let (plan, length) = shrink(seed, length, &Plan::random(seed, length));
    let report = simulate_plan(seed, length, &plan, true);
    let head = format!("{} faults are enough, and this is the story:", plan.faults.len());
    [head].into_iter().chain(report.story).collect()
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
