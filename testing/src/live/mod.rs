//! Live video without hardware, for benchmarks: a camera that lends rendered frames, and a monitor in memory. The way
//! between them, pipeline, colour, blending and commits, is the cart's.

mod camera;
mod monitor;
mod watch;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use polyp_edge::display::kms::Composition;
use polyp_edge::latency::{Durations, Histogram, Stage};
use polyp_edge::pipeline::{self, Feed, Observer, Outcome, Picture, Settings};
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
    /// Video delays from [`WARM_UP_FRAMES`] on.
    pub video: Durations,
    /// The longest before that.
    pub first: Duration,
    /// From [`WARM_UP_FRAMES`] on, the frames with the longest video delay, the longest first.
    pub slowest: Vec<Slow>,
}

/// In these the run gets its memory, sets the mode and shapes its first words.
pub const WARM_UP_FRAMES: u64 = 60;

/// A slow frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slow {
    /// Its number.
    pub number: u64,
    /// From its capture until drawing began.
    pub waited: Duration,
    /// From then until it was handed over.
    pub drawn: Duration,
    /// For how long of that, and since the frame before, the thread that shows had a core, as the system counts it.
    pub had_core: Duration,
}

/// So many of them are kept.
const SLOWEST: usize = 5;

/// Keeps how long frames took.
#[derive(Default)]
struct Delays {
    video: Histogram,
    first: Duration,
    slowest: Vec<Slow>,
    cpu: Duration,
}

#[derive(Clone, Default)]
struct Watched(Arc<Mutex<Delays>>);

impl Observer for Watched {
    fn shown(&mut self, picture: &Picture<'_>) {
        let waited = picture.drawn_at.saturating_duration_since(picture.at);
        let drawn = picture.drawn_at.elapsed();
        let mut delays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu = monitor::cpu_time();
        let had_core = cpu.saturating_sub(std::mem::replace(&mut delays.cpu, cpu));
        let slow = Slow { number: picture.number.0, waited, drawn, had_core };
        let took = waited + slow.drawn;
        if slow.number < WARM_UP_FRAMES {
            delays.first = delays.first.max(took);
            return;
        }
        delays.video.record(took);
        let place = delays.slowest.partition_point(|other| other.waited + other.drawn > took);
        if place < SLOWEST {
            delays.slowest.truncate(SLOWEST - 1);
            delays.slowest.insert(place, slow);
        }
    }
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
    let watched = Watched::default();
    let observer = Box::new(watched.clone());
    let outcome = pipeline::run(feed, Arc::new(load), Box::new(monitor.clone()), &settings, &stop, observer)?;
    let share = monitor.cpu().as_secs_f64() / begun.elapsed().as_secs_f64();
    let delays = std::mem::take(&mut *watched.0.lock().unwrap_or_else(PoisonError::into_inner));
    let (video, first, slowest) = (delays.video.read(), delays.first, delays.slowest);
    Ok(Run { outcome, share, seen: watch.end(), video, first, slowest })
}

/// The head of the table of which [`line()`] prints a line.
pub fn header() {
    println!(
        "{:38} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>9} {:>12}",
        "", "shown", "p50 ms", "p95", "p99", "p99.9", "max", "core", "preempted", "grown"
    );
}

/// A stage's delays in a case; the video delay's without the first second's.
pub fn line(name: &str, run: &Run, stage: Stage) {
    let all = run.outcome.latencies.stage(stage);
    let durations = if stage == Stage::VideoDelay { &run.video } else { &all };
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

/// The slowest frames of a case: which, how long each waited and was drawn.
pub fn slowest(run: &Run) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let frames: Vec<String> = run
        .slowest
        .iter()
        .map(|slow| {
            let (waited, drawn, had_core) = (ms(slow.waited), ms(slow.drawn), ms(slow.had_core));
            format!("{} ({waited:.1} + {drawn:.1}, core for {had_core:.1} ms)", slow.number)
        })
        .collect();
    println!(
        "{:38} slowest, waited + drawn: {}; {:.1} ms in the first second",
        "",
        frames.join(", "),
        ms(run.first)
    );
}
