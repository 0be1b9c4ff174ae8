//! `run`: camera → model → display, as a board profile says.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::board::{Board, DisplayKind};
use crate::bundle::Bundle;
use crate::bundle::manifest;
use crate::capture;
use crate::display::{Images, Null, Sink, Y4m};
use crate::engine::{Engine, Options};
use crate::fault::Fault;
use crate::files::make_folder;
use crate::latency::{self, StageReport};
use crate::pipeline::{self, Following, Outcome, Settings, Walk};
use crate::score::{self, Scorer};

/// Runs the program as a cart does: camera to display, with what the model finds.
///
/// Ends with the source, after the profile's or the given number of frames or seconds, or on an interrupt. The latency
/// of each stage goes to latency.txt and latency.json in the display's folder, and, where the source knows its polyps
/// (the rendered endoscope does), the score to score.json. If the model cannot be used, the picture goes on without it;
/// the run then ends with the exit code of what was wrong.
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
    captured: u64,
    shown: u64,
    shown_with_regions: u64,
    skipped_by_inference: u64,
    lock_step: bool,
    stages: Vec<StageReport>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let board = Board::load(&arguments.board)?;
    let profile = &board.profile;
    let mut source = capture::open(&profile.camera.source)?;
    make_folder(&profile.display.folder)?;
    let mut sink: Box<dyn Sink> = match profile.display.kind {
        DisplayKind::Images => Box::new(Images::new(&profile.display.folder, profile.display.every_frames)?),
        DisplayKind::Y4m => {
            let rate =
                if profile.camera.rate_hz > 0.0 { profile.camera.rate_hz } else { capture::synthetic::FPS };
            Box::new(Y4m::new(std::io::stdout().lock(), rate.round() as usize))
        }
        DisplayKind::Null => Box::new(Null),
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGINT, libc::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|error| Fault::io(format!("cannot watch for signals: {error}")))?;
    }
    let seconds = arguments.seconds.or(profile.stop.after_s.filter(|_| arguments.frames.is_none()));
    let most_time = seconds.map(Duration::try_from_secs_f64).transpose();
    let most_time = most_time.map_err(|error| Fault::usage(format!("--seconds: {error}")))?;
    let most_frames = arguments.frames.or(profile.stop.after_frames.filter(|_| arguments.seconds.is_none()));

    // A bundle that cannot be opened is told by the walk's making: the picture goes on without it.
    let bundle = Bundle::open(&board.bundle());
    let gate = bundle.as_ref().map_or(manifest::Gate { appear: 1, window: 1 }, |bundle| bundle.manifest.gate);
    let settings = Settings {
        max_age: Duration::from_millis(profile.pipeline.max_age_ms),
        pace_hz: (profile.camera.rate_hz > 0.0).then_some(profile.camera.rate_hz),
        lock_step: profile.pipeline.lock_step,
        style: profile.style(),
        glyph: profile.overlay.glyph,
        gate,
        most_frames,
        most_time,
    };
    let options =
        Options { threads: profile.model.threads, cores: profile.model.cores.clone(), ..Options::default() };
    let load = move || {
        let bundle = bundle?;
        let engine = Engine::load(&bundle, &options)?;
        Walk::new(engine, &bundle.manifest, Following::Video)
    };
    let mut scorer = Scorer::default();
    let mut scored = false;
    let outcome =
        pipeline::run(&mut *source, load, &mut *sink, &settings, &stop, &mut |_, truth, regions| {
            if let Some(truth) = truth {
                scored = true;
                scorer.add(truth, regions);
            }
        })?;
    drop(sink);
    report(&board, outcome, scored.then(|| scorer.report()))
}

/// Prints and writes how the run went; an error if assistance was lost in it.
fn report(board: &Board, outcome: Outcome, score: Option<score::Report>) -> Result<()> {
    let profile = &board.profile;
    let report = Report {
        schema: 1,
        board: profile.name.clone(),
        state: outcome.state.to_string(),
        captured: outcome.captured,
        shown: outcome.shown,
        shown_with_regions: outcome.with_regions,
        skipped_by_inference: outcome.skipped,
        lock_step: profile.pipeline.lock_step,
        stages: outcome.latencies.report(),
    };
    let mut text = format!(
        "{}: {} frames captured, {} shown, {} with regions; inference skipped {}\n",
        report.board, report.captured, report.shown, report.shown_with_regions, report.skipped_by_inference
    );
    if report.lock_step {
        text += "lock step: each frame waited for its result; delays are not those of a cart\n";
    }
    text += &latency::table(&report.stages);
    let folder = &profile.display.folder;
    super::write_whole(&folder.join("latency.txt"), text.as_bytes())?;
    super::write_whole(&folder.join("latency.json"), serde_json::to_string_pretty(&report)?.as_bytes())?;
    if let Some(score) = &score {
        super::write_whole(&folder.join("score.json"), serde_json::to_string_pretty(score)?.as_bytes())?;
        let tally = &score.tally;
        let rate = score.hit_rate.map_or("–".into(), |rate| format!("{:.1} %", 100.0 * rate));
        text += &format!(
            "rendered polyps: {} of {} hit ({rate}); {} false regions, {:.3} a frame\n",
            tally.hits, tally.polyps, tally.false_regions, score.false_regions_per_frame
        );
    }
    text += &format!("pictures and reports in {}\n", folder.display());
    // Video on standard output leaves no room for words there.
    match profile.display.kind {
        DisplayKind::Y4m => eprint!("{text}"),
        _ => super::print(format_args!("{text}"))?,
    }
    outcome.lost.map_or(Ok(()), Err)
}
