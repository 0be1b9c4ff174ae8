//! `run`: camera → model → display, as a board profile says.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::devices;
use super::status::StatusFile;
use crate::board::{self, Board, DisplayKind, FieldOfViewRule};
use crate::bundle::{Bundle, manifest};
use crate::capture::Mask;
use crate::capture::live::Counts;
use crate::detect::Region;
use crate::engine::{Engine, Options};
use crate::fault::Fault;
use crate::files::make_folder;
use crate::frame::Rect;
use crate::latency::{self, StageReport};
use crate::pipeline::{Following, Observer, Outcome, Pipeline, Placed, Settings, Status, Walk};
use crate::score::{self, Scorer};
use crate::track::Rule;

/// How often signals are looked after.
const SIGNALS_EVERY: Duration = Duration::from_millis(20);

/// Runs the program as a cart does: camera to display, with what the model finds.
///
/// Ends with the source, after the profile's or the given number of frames or seconds, or on an interrupt. The latency
/// of each stage goes to latency.txt and latency.json in the display's folder, and, where the source knows its polyps
/// (the rendered endoscope does), the score to score.json. If the model cannot be used, the picture goes on without it;
/// the run then ends with the exit code of what was wrong.
///
/// SIGTERM and SIGINT end the run in under a second, the console as it was. SIGHUP reads the profile anew; one that is
/// wrong is refused, and the run goes on as it was. What it leaves as it was, the loaded model too, goes on.
#[derive(clap::Args)]
pub struct Arguments {
    /// The board's profile.
    #[arg(long, value_name = "FILE")]
    board: PathBuf,
    /// Stop after this time.
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Stop after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    board: String,
    state: String,
    transitions: u64,
    captured: u64,
    shown: u64,
    shown_with_regions: u64,
    not_shown: u64,
    skipped_by_inference: u64,
    camera: Option<Counts>,
    lock_step: bool,
    stages: Vec<StageReport>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut board = Board::load(&arguments.board)?;
    let signals = Signals::watch(arguments.board.clone())?;
    make_folders(&board)?;
    let mut feed = Some(devices::feed(&board.profile)?);
    let mut sink = devices::sink(&board.profile)?;
    log::info!("display: {}", sink.describe());
    let mut watch = Watch { status: StatusFile::start(&board.profile)?, ..Watch::default() };
    let mut pipeline = Pipeline::start()?;
    let mut loaded: Option<Wanted> = None;
    let mut all: Option<Outcome> = None;
    loop {
        let settings = settings(arguments, &board)?;
        let taken = feed.take().map_or_else(|| devices::feed(&board.profile), Ok)?;
        let bundle = Bundle::open(&board.bundle());
        let settings =
            Settings { rule: Rule { gate: gate(&board, bundle.as_ref().ok()), ..settings.rule }, ..settings };
        let wanted = Wanted::of(&board, bundle.as_ref().ok());
        let load = (wanted.is_none() || wanted != loaded).then(|| loader(&board, bundle));
        loaded = wanted;
        let mut outcome = pipeline.run(taken, load, &mut *sink, &settings, &signals.stop, &mut watch)?;
        feed = outcome.feed.take();
        if outcome.lost.is_some() {
            loaded = None;
        }
        match &mut all {
            None => all = Some(outcome),
            Some(all) => all.add(outcome),
        }
        let Some(next) = signals.reloaded() else { break };
        // What stays as it was goes on: the picture is gone for as short a time as can be.
        if next.profile.camera != board.profile.camera {
            feed = None;
        }
        if next.profile.display != board.profile.display {
            drop(sink);
            sink = devices::sink(&next.profile)?;
            log::info!("display: {}", sink.describe());
        }
        if next.profile.pipeline.state_file != board.profile.pipeline.state_file {
            watch.status = StatusFile::start(&next.profile)?;
        }
        board = next;
    }
    // The console first: whatever the report takes, nobody waits for it.
    drop(sink);
    drop(feed);
    let Some(outcome) = all else { return Ok(()) };
    report(&board, outcome, watch.scored.then(|| watch.scorer.report()))
}

fn make_folders(board: &Board) -> Result<()> {
    let made = make_folder(&board.profile.display.folder);
    match board.profile.display.kind {
        // A cart may have nowhere to write to.
        DisplayKind::Kms => Ok(()),
        _ => made,
    }
}

/// What the profile and the command line say of the pipeline.
fn settings(arguments: &Arguments, board: &Board) -> Result<Settings> {
    let profile = &board.profile;
    let seconds = arguments.seconds.or(profile.stop.after_s.filter(|_| arguments.frames.is_none()));
    let most_time = seconds.map(Duration::try_from_secs_f64).transpose();
    Ok(Settings {
        max_age: Duration::from_millis(profile.pipeline.max_age_ms),
        pace_hz: (profile.camera.rate_hz > 0.0).then_some(profile.camera.rate_hz),
        lock_step: profile.pipeline.lock_step,
        style: profile.style(),
        glyph: profile.overlay.glyph,
        rule: Rule {
            gate: manifest::Gate { appear: 1, window: 1 },
            hold_frames: profile.gate.hold_frames,
            steady: profile.gate.steady_percent / 100.0,
        },
        realtime_priority: profile.pipeline.realtime_priority,
        most_frames: arguments.frames.or(profile.stop.after_frames.filter(|_| arguments.seconds.is_none())),
        most_time: most_time.map_err(|error| Fault::usage(format!("--seconds: {error}")))?,
        ..Settings::default()
    })
}

/// What a walk depends on: as long as it stays the same, what is loaded does.
#[derive(PartialEq)]
struct Wanted {
    bundle: PathBuf,
    manifest: manifest::Manifest,
    model: board::Model,
    field_of_view: board::FieldOfView,
}

impl Wanted {
    fn of(board: &Board, bundle: Option<&Bundle>) -> Option<Wanted> {
        Some(Wanted {
            bundle: board.bundle(),
            manifest: bundle?.manifest.clone(),
            model: board.profile.model.clone(),
            field_of_view: board.profile.field_of_view.clone(),
        })
    }
}

/// How often a region must be seen: the profile's word, else the bundle's.
fn gate(board: &Board, bundle: Option<&Bundle>) -> manifest::Gate {
    let gate = &board.profile.gate;
    match (gate.appear, gate.window, bundle) {
        (Some(appear), Some(window), _) => manifest::Gate { appear, window },
        (_, _, Some(bundle)) => bundle.manifest.gate,
        _ => manifest::Gate { appear: 1, window: 1 },
    }
}

/// What makes the walk. A bundle that cannot be opened is told by the making: the picture goes on without it.
fn loader(board: &Board, bundle: Result<Bundle>) -> impl FnOnce() -> Result<Walk<Engine>> + Send + use<> {
    let profile = &board.profile;
    let options =
        Options { threads: profile.model.threads, cores: profile.model.cores.clone(), ..Options::default() };
    let placed = match (profile.field_of_view.rule, profile.field_of_view.rect_px) {
        (FieldOfViewRule::Find, _) => Some(Placed::By(manifest::FieldOfViewRule::Find)),
        (FieldOfViewRule::WholeFrame, _) => Some(Placed::By(manifest::FieldOfViewRule::WholeFrame)),
        (FieldOfViewRule::Fixed, Some([x, y, width, height])) => {
            Some(Placed::At(Rect { x, y, width, height }))
        }
        _ => None,
    };
    move || {
        let bundle = bundle?;
        let engine = Engine::load(&bundle, &options)?;
        let walk =
            Walk::new(engine, &bundle.manifest, Following::Video)?.with_golden(bundle.golden_frames()?);
        Ok(match placed {
            Some(placed) => walk.with_field_of_view(placed),
            None => walk,
        })
    }
}

/// SIGTERM, SIGINT and SIGHUP, as flags.
struct Signals {
    /// The run is to end.
    stop: Arc<AtomicBool>,
    /// And the program with it.
    end: Arc<AtomicBool>,
    /// A profile that was read anew.
    next: Arc<Mutex<Option<Board>>>,
}

impl Signals {
    fn watch(path: PathBuf) -> Result<Signals> {
        let flag = || Arc::new(AtomicBool::new(false));
        let (stop, end, reload) = (flag(), flag(), flag());
        let cannot = |error: std::io::Error| Fault::io(format!("cannot watch for signals: {error}"));
        for signal in [libc::SIGINT, libc::SIGTERM] {
            signal_hook::flag::register(signal, end.clone()).map_err(cannot)?;
            signal_hook::flag::register(signal, stop.clone()).map_err(cannot)?;
        }
        signal_hook::flag::register(libc::SIGHUP, reload.clone()).map_err(cannot)?;
        let signals = Signals { stop: stop.clone(), end, next: Arc::default() };
        let next = signals.next.clone();
        let watcher = move || loop {
            thread::sleep(SIGNALS_EVERY);
            if !reload.swap(false, Ordering::Relaxed) {
                continue;
            }
            match Board::load(&path).and_then(|board| make_folders(&board).map(|()| board)) {
                Ok(board) => {
                    log::info!("{}: read anew", path.display());
                    *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(board);
                    stop.store(true, Ordering::Relaxed);
                }
                Err(error) => log::error!("the profile stays as it was: {error:#}"),
            }
        };
        thread::Builder::new().name("signals".into()).spawn(watcher).map_err(cannot)?;
        Ok(signals)
    }

    /// The new profile, if the run ended for one: the next run may start.
    fn reloaded(&self) -> Option<Board> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.stop.store(false, Ordering::Relaxed);
        (!self.end.load(Ordering::Relaxed)).then_some(next)
    }
}

/// Scores what the source knows, writes down the state.
#[derive(Default)]
struct Watch {
    scorer: Scorer,
    scored: bool,
    status: Option<StatusFile>,
}

impl Observer for Watch {
    fn shown(&mut self, truth: Option<&Mask>, regions: &[Region]) {
        if let Some(truth) = truth {
            self.scored = true;
            self.scorer.add(truth, regions);
        }
    }

    fn status(&mut self, status: &Status<'_>) {
        if let Some(file) = &self.status {
            file.tell(status);
        }
    }
}

/// Prints and writes how the run went; an error if assistance was lost in it.
fn report(board: &Board, outcome: Outcome, score: Option<score::Report>) -> Result<()> {
    let profile = &board.profile;
    let report = Report {
        schema: 1,
        board: profile.name.clone(),
        state: outcome.state.to_string(),
        transitions: outcome.transitions,
        captured: outcome.captured,
        shown: outcome.shown,
        shown_with_regions: outcome.with_regions,
        not_shown: outcome.not_shown,
        skipped_by_inference: outcome.skipped,
        camera: outcome.counts,
        lock_step: profile.pipeline.lock_step,
        stages: outcome.latencies.report(),
    };
    let mut text = format!(
        "{}: {} frames captured, {} shown, {} with regions; not shown {}; inference skipped {}\n",
        report.board,
        report.captured,
        report.shown,
        report.shown_with_regions,
        report.not_shown,
        report.skipped_by_inference
    );
    if let Some(counts) = &report.camera {
        text += &format!(
            "camera: {} pictures, {} stale, {} damaged, {} missed, {} restarts\n",
            counts.pictures, counts.stale, counts.damaged, counts.missed, counts.restarts
        );
    }
    if report.lock_step {
        text += "lock step: each frame waited for its result; delays are not those of a cart\n";
    }
    text += &latency::table(&report.stages);
    let written = write_reports(board, &report, score.as_ref(), &mut text);
    match (written, profile.display.kind) {
        (Ok(()), _) => text += &format!("reports in {}\n", profile.display.folder.display()),
        (Err(error), DisplayKind::Kms) => log::warn!("no reports: {error:#}"),
        (Err(error), _) => return Err(error),
    }
    // Video on standard output leaves no room for words there.
    match profile.display.kind {
        DisplayKind::Y4m => eprint!("{text}"),
        _ => super::print(format_args!("{text}"))?,
    }
    outcome.lost.map_or(Ok(()), Err)
}

fn write_reports(
    board: &Board,
    report: &Report,
    score: Option<&score::Report>,
    text: &mut String,
) -> Result<()> {
    let folder = &board.profile.display.folder;
    super::write_whole(&folder.join("latency.txt"), text.as_bytes())?;
    super::write_whole(&folder.join("latency.json"), serde_json::to_string_pretty(&report)?.as_bytes())?;
    if let Some(score) = score {
        super::write_whole(&folder.join("score.json"), serde_json::to_string_pretty(score)?.as_bytes())?;
        let tally = &score.tally;
        let rate = score.hit_rate.map_or("–".into(), |rate| format!("{:.1} %", 100.0 * rate));
        *text += &format!(
            "rendered polyps: {} of {} hit ({rate}); {} false regions, {:.3} a frame\n",
            tally.hits, tally.polyps, tally.false_regions, score.false_regions_per_frame
        );
    }
    Ok(())
}
