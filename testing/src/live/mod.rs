//! Live video without hardware, for benchmarks: a camera that lends rendered frames, and a monitor in memory. The way
//! between them, pipeline, colour, blending and commits, is the cart's.

mod camera;
mod monitor;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use polyp_edge::display::kms::Composition;
use polyp_edge::latency::Stage;
use polyp_edge::pipeline::{self, Feed, Outcome, Settings};
use polyp_edge::segment::{Network, Segmenter};

pub use camera::{Looped, buffers, rendered};
pub use watch::Seen;

use crate::lent::Lent;
use monitor::Monitor;
use watch::Watch;

/// Of the frames and of the monitor, in pixels.
pub const WIDTH: usize = 1920;
/// Of the frames and of the monitor, in pixels.
pub const HEIGHT: usize = 1080;
/// Frames and refreshes a second.
pub const RATE_HZ: f64 = 60.0;

/// Seconds that each case runs: `BENCH_SECONDS`, else ten.
pub fn seconds() -> f64 {
    std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10.0)
}

/// How a case went.
pub struct Run {
    /// What the pipeline says of it.
    pub outcome: Outcome,
    /// The displaying thread's share of a core.
    pub share: f64,
    /// What it held, and how often its core was taken away.
    pub seen: Seen,
}

/// Runs the pipeline for a while.
pub fn run<S: Network + Send + 'static>(
    buffers: Vec<Arc<Lent>>,
    composition: Composition,
    settings: Settings,
    load: impl Fn() -> Result<Segmenter<S>> + Send + Sync + 'static,
) -> Result<Run> {
    let monitor = Monitor::new(composition)?;
    let settings = Settings { most_time: Some(Duration::from_secs_f64(seconds())), ..settings };
    let feed = Feed::Live(Box::new(Looped::new(buffers)));
    let begun = Instant::now();
    let stop = AtomicBool::new(false);
    let watch = Watch::begin(monitor.thread());
    let outcome =
        pipeline::run(feed, Arc::new(load), Box::new(monitor.clone()), &settings, &stop, Box::new(()))?;
    let share = monitor.cpu().as_secs_f64() / begun.elapsed().as_secs_f64();
    Ok(Run { outcome, share, seen: watch.end() })
}

/// The head of the table of which [`line()`] prints a line.
pub fn header() {
    println!(
        "{:38} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>9} {:>12}",
        "", "shown", "p50 ms", "p95", "p99", "p99.9", "max", "core", "preempted", "grown"
    );
}

/// A stage's delays in a case.
pub fn line(name: &str, run: &Run, stage: Stage) {
    let durations = run.outcome.latencies.stage(stage);
    let ms = |quantile: f64| durations.quantile_us(quantile) as f64 / 1e3;
    println!(
        "{name:38} {:>6} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>6.1}% {:>9} {:>5} KiB, {}",
        run.outcome.frames.shown,
        ms(0.5),
        ms(0.95),
        ms(0.99),
        ms(0.999),
        ms(1.0),
        100.0 * run.share,
        run.seen.preempted,
        run.seen.grown.0,
        run.seen.grown.1
    );
}
