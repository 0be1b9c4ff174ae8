//! `bench loopback`: from glass to glass, by a cable from the monitor's output to the camera's input.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::board::{Board, DisplayKind};
use crate::cart::{self, Asked, Limits, Machine, Signals, Surroundings};
use crate::engine::Engine;
use crate::fault::{Exit, Fault};
use crate::identity::Program;
use crate::latency::Stage;
use crate::loopback::{Echo, Turns, echo::Turn, patch};
use crate::pipeline::{Event, Pipeline};
use crate::{health, heap, logging, runtime, store};

/// Between two looks at the threads.
const TICK: Duration = Duration::from_millis(4);
/// Fewer turns say nothing about a distribution.
const FEWEST: usize = 10;

/// Measures from glass to glass: connect the monitor's output to the camera's input by a cable, and the program counts how long a picture takes
/// out of the output, through the cable and the input, and through the program to the output again.
///
/// The output shows the camera's picture with a pattern of black and white cells in its upper left corner: a number, which goes up each time
/// that the camera has seen it. What lies between is as on a cart: the profile's camera, model and display. Nothing is written.
#[derive(clap::Args)]
pub struct Arguments {
    /// The board's profile. Its output and its camera have the same shape.
    #[arg(long, value_name = "FILE")]
    board: PathBuf,
    /// Do without a model.
    #[arg(long)]
    no_model: bool,
    /// How long to measure, s.
    #[arg(long, value_name = "N", default_value_t = 30.0, value_parser = super::pipeline::seconds)]
    seconds: f64,
    /// How long to run before that, s.
    #[arg(long, value_name = "N", default_value_t = 3.0, value_parser = super::pipeline::seconds)]
    warm_up: f64,
    /// The 99th percentile of a turn may be so long, ms, or the exit code is 1.
    #[arg(long, value_name = "MS", value_parser = super::pipeline::seconds)]
    most_ms: Option<f64>,
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    program: Program,
    hardware: String,
    board: String,
    profile_digest: String,
    model: Option<String>,
    feed: String,
    display: String,
    turns: usize,
    /// Numbers that did not come back within two seconds.
    lost: u64,
    /// Between two pictures of the output, ms, on average.
    refresh_ms: f64,
    /// The output has sent the whole pattern so long after the moment that is counted.
    error_ms: f64,
    /// Whether the moments at which the output began to send are the kernel's, or those at which pictures were handed over.
    flips_are_the_kernels: bool,
    whole: Figures,
    outside: Figures,
    inside: Figures,
}

/// Of a duration, ms.
#[derive(Serialize)]
struct Figures {
    mean_ms: f64,
    min_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Figures {
    fn of(turns: &[Turn], part: impl Fn(&Turn) -> Duration) -> Figures {
        let mut ms: Vec<f64> = turns.iter().map(|turn| 1e3 * part(turn).as_secs_f64()).collect();
        ms.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (share * ms.len().saturating_sub(1) as f64).round() as usize;
            ms.get(index).map_or(0.0, |ms| (ms * 1e3).round() / 1e3)
        };
        let mean = ms.iter().sum::<f64>() / ms.len().max(1) as f64;
        Figures {
            mean_ms: (mean * 1e3).round() / 1e3,
            min_ms: at(0.0),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    }

    fn line(&self, name: &str) -> String {
        let Figures { mean_ms, min_ms, p50_ms, p90_ms, p99_ms, max_ms } = self;
        format!("{name:38}{mean_ms:>8.2}{min_ms:>8.2}{p50_ms:>8.2}{p90_ms:>8.2}{p99_ms:>8.2}{max_ms:>8.2}")
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    logging::limit();
    heap::keep_small();
    let mut board = Board::load(&arguments.board)?;
    board.profile.pipeline.lock_step = false;
    let kind = board.profile.display.kind;
    if !matches!(kind, DisplayKind::Kms | DisplayKind::Y4m) {
        return Err(Fault::configuration(
            "display.kind: there is nothing to connect a cable to; it must be \"kms\", or \"y4m\" for something that sends what it reads",
        ));
    }
    let report = measure(arguments, &board, &Signals::watch()?)?;
    let text = if arguments.json { serde_json::to_string_pretty(&report)? } else { words(&report) };
    match kind {
        // Video on standard output leaves no room for words there.
        DisplayKind::Y4m => text.lines().for_each(logging::line),
        _ => say!("{text}"),
    }
    match arguments.most_ms.filter(|most| report.whole.p99_ms > *most) {
        Some(most) => Err(Fault::new(
            Exit::Assertion,
            format!("the 99th percentile of a turn is {:.2} ms, and {most} is allowed", report.whole.p99_ms),
        )),
        None => Ok(()),
    }
}

fn measure(arguments: &Arguments, board: &Board, signals: &Signals) -> Result<Report> {
    let (machine, profile, turns) = (Machine::default(), &board.profile, Turns::default());
    let mut model = None;
    let mut pipeline = Pipeline::start(cart::settings(&Limits::default(), board)?, Box::new(()))?;
    if !arguments.no_model {
        let bundle = store::bundle(board)?;
        model = Some(bundle.identity().to_string());
        let theirs = profile.clone();
        pipeline.load(Arc::new(move || cart::segmenter(&theirs, &bundle)))?;
    }
    let sink = machine.sink(profile, None)?;
    let flips_are_the_kernels = sink.tells_flips();
    pipeline.set_sink(Box::new(Echo::new(sink, &turns)));
    pipeline.set_feed(machine.feed(profile)?)?;
    let gauges = pipeline.gauges();
    let ended = watch(arguments, &mut pipeline, &turns, signals);
    let (lines, interval) = (gauges.lines(), gauges.latencies().stage(Stage::Interval));
    pipeline.end(&|| false);
    if let Some(error) = ended {
        return Err(error);
    }
    let (turns, lost) = turns.so_far();
    if turns.len() < FEWEST {
        return Err(Fault::device(format!(
            "the pattern came back {} times, {lost} times not: connect the output of the display ({}) to the camera's input ({}), and see \
             that both have the same size",
            turns.len(),
            lines.display,
            lines.feed
        )));
    }
    let refresh_ms = interval.sum_us() as f64 / 1e3 / interval.count().max(1) as f64;
    Ok(Report {
        schema: 1,
        program: Program::this(),
        hardware: health::names().0,
        board: profile.name.clone(),
        profile_digest: board.digest.clone(),
        model,
        feed: lines.feed.clone(),
        display: lines.display.clone(),
        lost,
        refresh_ms,
        error_ms: refresh_ms * patch::lower_edge(),
        flips_are_the_kernels,
        whole: Figures::of(&turns, |turn| turn.outside + turn.inside),
        outside: Figures::of(&turns, |turn| turn.outside),
        inside: Figures::of(&turns, |turn| turn.inside),
        turns: turns.len(),
    })
}

/// Looks after a pipeline until it has been measured for long enough; gives what ended it before, if that was an error.
fn watch(
    arguments: &Arguments,
    pipeline: &mut Pipeline<Engine>,
    turns: &Turns,
    signals: &Signals,
) -> Option<anyhow::Error> {
    let begun = runtime::now();
    let (warm_up, span) =
        (Duration::from_secs_f64(arguments.warm_up), Duration::from_secs_f64(arguments.seconds));
    let mut is_warm = false;
    loop {
        if signals.to_end().is_some() {
            break None;
        }
        match pipeline.attend() {
            Event::Over => break None,
            Event::SourceFailed(error) | Event::SinkFailed(error) => break Some(error),
            Event::CaptureLost | Event::DisplayLost => {
                break Some(Fault::new(Exit::Assertion, "a thread panicked; the log says which and where"));
            }
            Event::Going | Event::SinkReleased(_) => {}
        }
        let takes = runtime::since(begun);
        if !is_warm && takes >= warm_up {
            is_warm = true;
            turns.clear();
        }
        if takes >= warm_up + span {
            break None;
        }
        runtime::thread::sleep(TICK);
    }
}

fn words(report: &Report) -> String {
    let counted = if report.flips_are_the_kernels {
        "when the output begins to send a picture, as the kernel tells"
    } else {
        "when a picture has been handed over: this display does not tell when it is sent"
    };
    [
        report.program.to_string(),
        format!("machine   {}", report.hardware),
        format!("board     {}, profile {}", report.board, report.profile_digest),
        format!("model     {}", report.model.as_deref().unwrap_or("none")),
        format!("camera    {}", report.feed),
        format!("display   {}", report.display),
        format!("measured  {} turns, {} lost; a picture every {:.2} ms", report.turns, report.lost, report.refresh_ms),
        format!("counted   {counted}"),
        format!(
            "error     up to {:.2} ms more: the pattern's lower edge is sent so long after the picture's first line",
            report.error_ms
        ),
        String::new(),
        format!("{:38}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}", "ms", "mean", "min", "p50", "p90", "p99", "max"),
        report.whole.line("from glass to glass, one turn"),
        report.outside.line("  output → cable → input → program"),
        report.inside.line("  program → output"),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_turns() {
        let turn = |ms| Turn { outside: Duration::from_millis(ms), inside: Duration::from_millis(1) };
        let turns: Vec<Turn> = (1..=101).map(turn).collect();
        let figures = Figures::of(&turns, |turn| turn.outside);
        assert_eq!((figures.min_ms, figures.p50_ms, figures.max_ms), (1.0, 51.0, 101.0));
        assert_eq!((figures.p90_ms, figures.p99_ms, figures.mean_ms), (91.0, 100.0, 51.0));
    }
}
