//! How a run went, at its end: printed and written by a thread that may hang, within the time that is left.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::latencies::LatencyLog;
use super::metrics::Metrics;
use super::prepare::{Destination, Opening};
use super::recorder::Recorder;
use super::recordings::Recordings;
use super::status::StatusFile;
use super::surroundings::{Asked, Surroundings};
use crate::board::{Board, DisplayKind};
use crate::bundle::Identity;
use crate::capture::live::Counts;
use crate::fault::{Exit, Fault, exit_of, one_line};
use crate::identity::Program;
use crate::latency::{self, StageReport};
use crate::pipeline::Outcome;
use crate::runtime;
use crate::score::{self, Scorer};

/// Names of the files that a run writes at its end into its display's folder.
pub(super) const REPORTS: [&str; 3] = ["latency.txt", "latency.json", "score.json"];
/// From the signal on, everything that a run still does must be done in this time; then it ends all the same.
const ENDS_WITHIN: Duration = Duration::from_millis(750);
/// The same with the last state in its file, written once the report is.
const LAST_WORD_WITHIN: Duration = Duration::from_millis(800);
/// The same with what threads that were left behind had begun to write removed.
const CLEANED_WITHIN: Duration = Duration::from_millis(840);
/// What a run that is told twice to end still does for its state file.
const HURRIED_WITHIN: Duration = Duration::from_millis(20);
/// A run that ends by itself waits so long for the state file.
const LAST_STATE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Serialize)]
struct RunReport {
    schema: u32,
    program: Program,
    board: String,
    profile_digest: String,
    model: Option<Identity>,
    state: String,
    transitions: u64,
    captured: u64,
    damaged: u64,
    shown: u64,
    shown_with_regions: u64,
    not_shown: u64,
    skipped_by_inference: u64,
    camera: Option<Counts>,
    lock_step: bool,
    stages: Vec<StageReport>,
}

/// A run that has ended, its threads too.
pub(super) struct Ending<W: Surroundings> {
    pub surroundings: W,
    pub board: Board,
    /// The one in charge, or the last that was to be.
    pub model: Option<Identity>,
    pub outcome: Outcome,
    pub score: Option<Scorer>,
    /// What ended it, if it should not have ended.
    pub error: Option<anyhow::Error>,
    pub status: StatusFile,
    pub recorder: Recorder,
    pub metrics: Metrics,
    pub latencies: LatencyLog,
    pub recordings: Recordings,
    /// Where reports go.
    pub output: Destination<W::Output>,
    /// When it was told to end.
    pub asked: Option<Instant>,
}

impl<W: Surroundings> Ending<W> {
    /// Prints and writes how the run went.
    ///
    /// # Errors
    /// What ended the run, that assistance was lost in it, that threads were, that frames could not be read, or that the
    /// reports could not be written.
    pub(super) fn tell(self, signals: &impl Asked) -> Result<()> {
        let asked = self.asked;
        signals.nothing_to_restore();
        let (recorder, metrics) = (self.recorder.clone(), self.metrics.clone());
        let latencies = self.latencies.clone();
        // It ends while the report is written.
        let recordings = self.recordings.clone();
        recordings.stopped();
        if signals.twice() {
            let in_time = runtime::now() + HURRIED_WITHIN;
            recorder.stopped(0);
            metrics.stopped();
            latencies.stopped(0);
            self.status.finish(0, || runtime::now() < in_time);
            return Ok(());
        }
        let (surroundings, status, told) = self.outcome(signals);
        let code = told.as_ref().err().map_or(0, |error| exit_of(error) as u8);
        let in_time = asked.map_or(runtime::now() + LAST_STATE_WITHIN, |asked| asked + LAST_WORD_WITHIN);
        recorder.stopped(code);
        metrics.stopped();
        latencies.stopped(code);
        if !status.finish(code, || runtime::now() < in_time && !signals.twice()) {
            log::warn!("the last state was not written: the disk of pipeline.state_file does not answer");
        }
        recorder.wait(|| runtime::now() < in_time && !signals.twice());
        metrics.wait(|| runtime::now() < in_time && !signals.twice());
        latencies.wait(|| runtime::now() < in_time && !signals.twice());
        recordings.wait(|| runtime::now() < in_time && !signals.twice());
        if asked.is_some() {
            // Whoever was left behind may hold what it needs. What stays is removed by the next run.
            let _ = within(CLEANED_WITHIN, asked, signals, "clean-up", move || {
                surroundings.clean_up();
                Ok(())
            });
        }
        told
    }

    /// The report, and what the run is to end with.
    fn outcome(self, signals: &impl Asked) -> (W, StatusFile, Result<()>) {
        let Ending { surroundings, board, model, mut outcome, score, error, status, output, asked, .. } =
            self;
        let (lost, lost_threads, damaged) = (outcome.lost.take(), outcome.lost_threads, outcome.unreadable);
        let kind = board.profile.display.kind;
        if outcome.display_lost {
            let lost = || Fault::new(Exit::Assertion, "the display thread panicked");
            return (surroundings, status, Err(error.unwrap_or_else(lost)));
        }
        // A source that cannot be read says why, and nothing else.
        let written = if error.is_some() && outcome.frames.captured == 0 {
            Ok(())
        } else {
            let theirs = surroundings.clone();
            within(ENDS_WITHIN, asked, signals, "report", move || {
                report(&theirs, &board, model, &outcome, score.map(|score| score.report()), &output)
            })
            .unwrap_or_else(|| {
                Err(Fault::io(
                    "the report was not written in time: standard output is not read, or the disk of display.folder \
                     does not answer",
                ))
            })
        };
        let told = match (error, written, kind) {
            (Some(error), ..) => Err(error),
            (None, Err(error), kind) if kind != DisplayKind::Kms => Err(error),
            (None, written, _) => {
                if let Err(error) = written {
                    log::warn!("{}", one_line(&error));
                }
                match (lost, lost_threads, damaged) {
                    (Some(error), ..) => Err(error),
                    (None, 0, 0) => Ok(()),
                    (None, 0, damaged) => Err(Fault::data(format!(
                        "{damaged} frames of the source could not be read and were left out; the log names them"
                    ))),
                    (None, lost, _) => Err(Fault::new(
                        Exit::Assertion,
                        format!(
                            "threads that panicked and were replaced: {lost}; the log says which and where"
                        ),
                    )),
                }
            }
        };
        (surroundings, status, told)
    }
}

/// Does what may hang in a thread of its own; `None` if it was given up, so long after the run was told to end, or when it was
/// told so once more.
fn within(
    time: Duration,
    asked: Option<Instant>,
    signals: &impl Asked,
    name: &str,
    work: impl FnOnce() -> Result<()> + Send + 'static,
) -> Option<Result<()>> {
    let mut working = match Opening::start(name, work) {
        Ok(working) => working,
        Err(error) => return Some(Err(error)),
    };
    loop {
        if let Some(outcome) = working.poll() {
            return Some(outcome);
        }
        let asked = asked.or(signals.to_end());
        signals.nothing_to_restore();
        if signals.twice() || asked.is_some_and(|asked| runtime::since(asked) >= time) {
            return None;
        }
        runtime::thread::sleep(LOOK_EVERY);
    }
}

fn report<W: Surroundings>(
    surroundings: &W,
    board: &Board,
    model: Option<Identity>,
    outcome: &Outcome,
    score: Option<score::ScoreReport>,
    output: &Destination<W::Output>,
) -> Result<()> {
    let profile = &board.profile;
    let report = RunReport {
        schema: 1,
        program: Program::this(),
        board: profile.name.clone(),
        profile_digest: board.digest.clone(),
        model,
        state: outcome.state.to_string(),
        transitions: outcome.transitions,
        captured: outcome.frames.captured,
        damaged: outcome.unreadable,
        shown: outcome.frames.shown,
        shown_with_regions: outcome.frames.outlined,
        not_shown: outcome.frames.not_shown(),
        skipped_by_inference: outcome.frames.not_looked_at(),
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
    if report.damaged > 0 {
        text += &format!("damaged frames left out: {}\n", report.damaged);
    }
    if let Some(counts) = &report.camera {
        text += &format!(
            "camera: {} frames, {} stale, {} damaged, {} missed, {} restarts\n",
            counts.pictures, counts.stale, counts.damaged, counts.missed, counts.restarts
        );
    }
    if report.lock_step {
        text += "lock step: each frame waited for its result, so delays are not those of a cart\n";
    }
    text += &latency::table(&report.stages);
    let written = match output {
        Destination::Place(folder) => write_reports(surroundings, folder, &report, score.as_ref(), &mut text),
        // It was told to end before it had a place to write to: there is nothing to report.
        Destination::Unknown => Ok(()),
        Destination::Nowhere => {
            Err(Fault::io("no reports were written: display.folder cannot be used; the log says why"))
        }
    };
    if let (Ok(()), Destination::Place(folder)) = (&written, output) {
        text += &format!("reports in {}\n", surroundings.folder(folder).display());
    }
    surroundings.print(profile, &text)?;
    written
}

fn write_reports<W: Surroundings>(
    surroundings: &W,
    folder: &W::Output,
    report: &RunReport,
    score: Option<&score::ScoreReport>,
    text: &mut String,
) -> Result<()> {
    let [as_text, as_json, scores] = REPORTS;
    surroundings.write_report(folder, as_text, text.as_bytes())?;
    surroundings.write_report(folder, as_json, serde_json::to_string_pretty(&report)?.as_bytes())?;
    if let Some(score) = score {
        surroundings.write_report(folder, scores, serde_json::to_string_pretty(score)?.as_bytes())?;
        *text += &format!("{score}\n");
    }
    Ok(())
}
