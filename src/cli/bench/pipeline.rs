//! `bench pipeline`: everything between camera and monitor, as a board's profile says.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::require::{Measured, Requirement, assert_none, missed};
use crate::board::{Board, DisplayKind};
use crate::cart::{self, Limits, Machine, Signals, Surroundings};
use crate::display::{Null, Sink};
use crate::fault::{Exit, Fault};
use crate::health::{self, LoadMeter};
use crate::identity::Program;
use crate::latency::interval::{Frames, Load, SlowFrame};
use crate::latency::{self, Durations, Stage, StageReport};
use crate::pipeline::{Event, Pipeline};
use crate::{heap, logging, runtime, store};

/// Between two looks at the threads.
const TICK: Duration = Duration::from_millis(4);

/// Measures everything between camera and monitor: the profile's camera, model and display, paced at the camera's rate. Nothing is
/// written, and no trial of a bundle goes on.
///
/// A profile whose pictures go to files is measured without them, as with --no-display. SIGTERM and SIGINT end it early, and what was measured by
/// then is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// The board's profile.
    #[arg(long, value_name = "FILE")]
    board: PathBuf,
    /// Another source than the profile's: `v4l2:/dev/video0`, `synthetic:seed=7,size=1920x1080`, or a file or folder as `replay` takes.
    #[arg(long, value_name = "SOURCE")]
    camera: Option<String>,
    /// Another rate than the profile's, frames a second.
    #[arg(long, value_name = "HZ", value_parser = rate)]
    rate: Option<f64>,
    /// Show nothing: pictures are drawn, and handed to nobody.
    #[arg(long)]
    no_display: bool,
    /// Do without a model.
    #[arg(long)]
    no_model: bool,
    /// How long to measure, s.
    #[arg(long, value_name = "N", default_value_t = 60.0, value_parser = seconds)]
    seconds: f64,
    /// How long to run before that, s, counted from the first result: what is new and cold is not measured.
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = seconds)]
    warm_up: f64,
    /// So many other threads take all of a core each meanwhile, with ordinary priority: how a busy machine treats the picture.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=256))]
    busy: u16,
    /// What must hold, or the exit code is 1: `video_delay.p99.9<=5.75ms`, `interval.max<=40ms`, `frames.not_shown<=0`. Stages as in the JSON;
    /// mean, max or a percentile. May be given several times.
    #[arg(long, value_name = "LIMIT")]
    require: Vec<Requirement>,
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    within(text, 0.1..=1e6)
}

fn rate(text: &str) -> Result<f64, String> {
    within(text, 1.0..=240.0)
}

fn within(text: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if range.contains(&number) {
        Ok(number)
    } else {
        Err(format!("{text}: it must lie between {} and {}", range.start(), range.end()))
    }
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    program: Program,
    hardware: String,
    board: String,
    profile_digest: String,
    /// Name, version and digest.
    model: Option<String>,
    feed: String,
    display: String,
    driver_clock: &'static str,
    seconds: f64,
    busy_threads: u16,
    state: String,
    stages: Vec<StageReport>,
    frames: Frames,
    machine: Load,
    slowest: Vec<SlowFrame>,
    missed: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    logging::limit();
    heap::keep_small();
    let mut board = Board::load(&arguments.board)?;
    let profile = &mut board.profile;
    if let Some(source) = &arguments.camera {
        profile.camera.source.clone_from(source);
    }
    profile.camera.rate_hz = arguments.rate.unwrap_or(profile.camera.rate_hz);
    if profile.pipeline.lock_step {
        log::warn!("pipeline.lock_step is set: delays are not those of a cart, so it is left out here");
        profile.pipeline.lock_step = false;
    }
    let signals = Signals::watch()?;
    let busy = Busy::start(arguments.busy)?;
    let outcome = measure(arguments, &board, &signals);
    drop(busy);
    let report = outcome?;
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report)?;
    }
    assert_none(&report.missed)
}

#[expect(clippy::too_many_lines, reason = "one measurement, from its start to its report")]
fn measure(arguments: &Arguments, board: &Board, signals: &Signals) -> Result<Report> {
    let machine = Machine::default();
    let profile = &board.profile;
    let mut model = None;
    let settings = cart::settings(&Limits::default(), board)?;
    let mut pipeline = Pipeline::start(settings, Box::new(()))?;
    // A model that cannot be used is said before anything is measured.
    if !arguments.no_model {
        let bundle = store::bundle(board)?;
        model = Some(bundle.identity().to_string());
        let theirs = profile.clone();
        pipeline.load(Arc::new(move || cart::segmenter(&theirs, &bundle)))?;
    }
    let is_shown = profile.display.kind == DisplayKind::Kms && !arguments.no_display;
    let sink: Box<dyn Sink> = if is_shown { machine.sink(profile, None)? } else { Box::new(Null) };
    pipeline.set_sink(sink);
    pipeline.set_feed(machine.feed(profile)?)?;
    let gauges = pipeline.gauges();

    let (warm_up, span) =
        (Duration::from_secs_f64(arguments.warm_up), Duration::from_secs_f64(arguments.seconds));
    let has_begun = |frames: &Frames| {
        let looked_at = gauges.latencies().stage(Stage::Inference).count() > 0;
        frames.shown > 0 && (looked_at || arguments.no_model || gauges.state() == Some("degraded"))
    };
    let mut begun = None;
    let mut from: Option<Start> = None;
    let mut load = LoadMeter::new();
    let mut ended = None;
    while crate::cart::Asked::to_end(signals).is_none() {
        match pipeline.attend() {
            Event::Over => break,
            Event::SourceFailed(error) | Event::SinkFailed(error) => {
                ended = Some(error);
                break;
            }
            Event::CaptureLost | Event::DisplayLost => {
                ended = Some(Fault::new(Exit::Assertion, "a thread panicked; the log says which and where"));
                break;
            }
            Event::Going | Event::SinkReleased(_) => {}
        }
        let now = runtime::now();
        if begun.is_none() && has_begun(&gauges.frames()) {
            begun = Some(now);
        }
        match &from {
            None if begun.is_some_and(|begun| now.saturating_duration_since(begun) >= warm_up) => {
                load.read();
                gauges.take_slowest();
                from = Some(Start {
                    at: now,
                    stages: Stage::ALL.map(|stage| gauges.latencies().stage(stage)),
                    frames: gauges.frames(),
                });
            }
            Some(from) if now.saturating_duration_since(from.at) >= span => break,
            _ => runtime::thread::sleep(TICK),
        }
    }
    let machine_load = load.read();
    let (lines, clock, state) = (gauges.lines(), gauges.driver_clock(), gauges.state());
    let slowest = gauges.take_slowest().list();
    let until = runtime::now();
    pipeline.end(&|| false);
    if let Some(error) = ended {
        return Err(error);
    }
    let Some(from) = from else {
        return Err(Fault::new(
            Exit::Assertion,
            format!(
                "nothing was measured: the source ended, or the run was told to end, within {} s of its first result",
                arguments.warm_up
            ),
        ));
    };
    let stage = |stage: Stage| -> Durations {
        let before = from.stages.get(stage as usize).cloned().unwrap_or_default();
        gauges.latencies().stage(stage).since(&before)
    };
    let frames = gauges.frames().since(&from.frames);
    Ok(Report {
        schema: 1,
        program: Program::this(),
        hardware: health::names().0,
        board: profile.name.clone(),
        profile_digest: board.digest.clone(),
        model,
        feed: lines.feed.clone(),
        display: lines.display.clone(),
        driver_clock: clock.words(),
        seconds: until.saturating_duration_since(from.at).as_secs_f64(),
        busy_threads: arguments.busy,
        state: state.unwrap_or("none").to_owned(),
        stages: Stage::ALL.into_iter().filter_map(|which| StageReport::of(which, &stage(which))).collect(),
        missed: missed(&arguments.require, &Measured { stage: &stage, frames }),
        frames,
        machine: machine_load,
        slowest,
    })
}

/// What was counted when the measurement began.
struct Start {
    at: std::time::Instant,
    stages: [Durations; Stage::ALL.len()],
    frames: Frames,
}

fn print(report: &Report) -> Result<()> {
    say!("{}", report.program);
    say!("machine   {}", report.hardware);
    say!("board     {}, profile {}", report.board, report.profile_digest);
    say!("model     {}", report.model.as_deref().unwrap_or("none"));
    say!("camera    {}; driver's clock: {}", report.feed, report.driver_clock);
    say!("display   {}", report.display);
    say!(
        "measured  {:.1} s beside {} busy threads; at the end: {}",
        report.seconds,
        report.busy_threads,
        report.state
    );
    say!("\n{}", latency::table(&report.stages));
    let frames: Vec<_> = report.frames.list().iter().map(|(name, count)| format!("{name} {count}")).collect();
    say!("frames    {}", frames.join(", "));
    let machine = &report.machine;
    let switches: Vec<_> =
        machine.switches.iter().map(|(thread, count)| format!("{thread} {count}")).collect();
    say!("core lost {}", if switches.is_empty() { "never".to_owned() } else { switches.join(", ") });
    for frame in &report.slowest {
        let part = |us: u32| f64::from(us) / 1e3;
        say!(
            "slowest   frame {}: {:.2} ms = ready {:.2} + waited {:.2} + drawn {:.2} + handed over {:.2}",
            frame.number,
            frame.video_delay_us() as f64 / 1e3,
            part(frame.ready_us),
            part(frame.waited_us),
            part(frame.draw_us),
            part(frame.display_us)
        );
    }
    Ok(())
}

/// Threads that take all of a core each, until this is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start(count: u16) -> Result<Busy> {
        let over = Arc::new(AtomicBool::new(false));
        let busy = Busy(over.clone());
        for _ in 0..count {
            let over = over.clone();
            runtime::thread::spawn("busy", move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
            .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
