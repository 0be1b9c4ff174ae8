//! `report latency`: how long everything took on one cart or on many, over any time, as a table and as a page.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::fault::Fault;
use crate::files;
use crate::latency::{self, Stage, StageReport};
use crate::latency_report::compare::{Difference, difference};
use crate::latency_report::gather::{Run, gather, time};
use crate::latency_report::page::{Content, page, times};
use crate::latency_report::summary::Summary;

/// The percentiles that runs are compared by.
const COMPARED: [f64; 3] = [0.5, 0.99, 0.999];
/// Of these stages.
const OF_STAGES: [Stage; 3] = [Stage::VideoDelay, Stage::Total, Stage::Inference];

/// Tells how long every stage of every frame took, from the logs that `pipeline.latency_folder` names: of one cart or of many, and how
/// runs differ.
#[derive(clap::Args)]
pub struct Arguments {
    /// Logs (`*.latency`), or folders of them, with the folders in them: each argument is a run, or one for each machine whose logs
    /// are in it. The first is what the others are compared with.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Write a page for a browser: one file, which needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a line for each minute and stage, for a spreadsheet.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Print JSON on standard output instead of a table.
    #[arg(long)]
    json: bool,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    for file in [&arguments.html, &arguments.csv].into_iter().flatten() {
        if !arguments.force && file.symlink_metadata().is_ok() {
            return Err(Fault::usage(format!(
                "{}: it is there already; --force replaces it",
                file.display()
            )));
        }
    }
    let runs = gather(&arguments.runs)?;
    let summaries: Vec<_> = runs.iter().map(Summary::of).collect();
    let differences = differences(&runs);
    if let Some(path) = &arguments.html {
        let content = Content { runs: &runs, summaries: &summaries, differences: &differences };
        write(path, |file| Ok(file.write_all(page(&content).as_bytes())?))?;
    }
    if let Some(path) = &arguments.csv {
        write(path, |file| csv(file, &runs))?;
    }
    if arguments.json {
        #[derive(Serialize)]
        struct Told<'a> {
            run: &'a str,
            than: &'a str,
            #[serde(flatten)]
            difference: &'a Difference,
        }
        let name = |place: usize| summaries.get(place).map_or("", |summary| summary.name.as_str());
        let told: Vec<_> = differences
            .iter()
            .map(|(place, difference)| Told { run: name(*place), than: name(0), difference })
            .collect();
        say!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({ "runs": summaries, "differences": told }))?
        );
        return Ok(());
    }
    print(&runs, &summaries, &differences)
}

fn print(runs: &[Run], summaries: &[Summary], differences: &[(usize, Difference)]) -> Result<()> {
    for (run, summary) in runs.iter().zip(summaries) {
        let total = run.total();
        say!(
            "{}: {} to {}, {:.0} s, started {}",
            summary.name,
            time(summary.from_unix_s),
            time(summary.to_unix_s),
            summary.seconds,
            times(summary.starts)
        );
        let stages: Vec<_> =
            Stage::ALL.into_iter().filter_map(|stage| StageReport::of(stage, &total.stage(stage))).collect();
        say!("{}", latency::table(&stages));
        let frames: Vec<_> =
            total.frames.list().iter().map(|(name, count)| format!("{name} {count}")).collect();
        say!("frames: {}", frames.join(", "));
        for note in &summary.notes {
            say!("missing: {note}");
        }
    }
    for (place, difference) in differences {
        if let (Some(first), Some(other)) = (summaries.first(), summaries.get(*place)) {
            say!("{}", difference.sentence(&first.name, &other.name));
        }
    }
    Ok(())
}

fn differences(runs: &[Run]) -> Vec<(usize, Difference)> {
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    let mut found = Vec::new();
    for (number, other) in others.iter().enumerate() {
        for stage in OF_STAGES {
            found.extend(
                COMPARED
                    .iter()
                    .filter_map(|&share| Some((number + 1, difference(first, other, stage, share)?))),
            );
        }
    }
    found
}

fn write(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    files::write_readable(path, write)?;
    log::info!("written: {}", path.display());
    Ok(())
}

/// A field of a line: quoted where it must be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A line for each minute and stage.
fn csv(file: &mut File, runs: &[Run]) -> Result<()> {
    let mut text = String::from(
        "run,minute_ends_unix_s,uptime_s,seconds,stage,count,mean_ms,p50_ms,p95_ms,p99_ms,p999_ms,max_ms,captured,shown,not_shown,damaged,\
         missed,hottest_c,display_lost_core\n",
    );
    for run in runs {
        for minute in &run.minutes {
            let interval = &minute.interval;
            let (frames, machine) = (&interval.frames, &interval.machine);
            for stage in Stage::ALL {
                let Some(report) = StageReport::of(stage, &interval.stage(stage)) else { continue };
                text += &format!(
                    "{},{:.3},{:.3},{:.3},{},{},{:.4},{:.3},{:.3},{:.3},{:.3},{:.3},{},{},{},{},{},{},{}\n",
                    field(&run.name),
                    interval.unix_s,
                    interval.uptime_s,
                    interval.seconds,
                    stage.name(),
                    report.count,
                    report.mean_ms,
                    report.p50_ms,
                    report.p95_ms,
                    report.p99_ms,
                    report.p999_ms,
                    report.max_ms,
                    frames.captured,
                    frames.shown,
                    frames.not_shown(),
                    frames.damaged,
                    frames.missed,
                    machine.hottest_c.map_or_else(String::new, |c| format!("{c:.1}")),
                    machine.switches.get("display").copied().unwrap_or(0),
                );
            }
        }
    }
    Ok(file.write_all(text.as_bytes())?)
}
