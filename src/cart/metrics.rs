//! How the run goes, in a file for node_exporter's textfile collector, in Prometheus' text format. Written every few seconds by a
//! thread of its own: whether it hangs, nobody notices.

use std::fmt::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::prepare::Made;
use super::recordings::Told as Recorded;
use super::surroundings::Surroundings;
use crate::board::Board;
use crate::bundle::Identity;
use crate::fault::{Fault, one_line};
use crate::health;
use crate::identity::Program;
use crate::latency::{Latencies, Stage};
use crate::pipeline::Gauges;
use crate::runtime;
use crate::runtime::sync::{Condvar, Mutex};
use crate::state::State;
use crate::thermal::Step;

/// Between two writes.
const EVERY: Duration = Duration::from_secs(5);
/// Upper bounds of the classes in which a stage's durations are told, µs; those that are longer are in one more class. Finest around the
/// times of a frame at 60, 50, 30 and 25 frames a second; each is within 1/128 of the end of a class of the histograms.
const BOUNDS_US: [u64; 20] = [
    500, 1_000, 2_000, 3_000, 5_000, 7_000, 10_000, 13_000, 16_667, 20_000, 25_000, 33_333, 40_000, 50_000,
    66_667, 100_000, 150_000, 250_000, 500_000, 1_000_000,
];

/// Takes in what there is to tell. Clones tell the same file.
#[derive(Clone, Default)]
pub(super) struct Metrics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Clone, Default)]
struct Inner {
    path: Option<PathBuf>,
    board: String,
    profile_digest: String,
    made: Made,
    /// What is done against heat.
    heat: Option<&'static str>,
    /// Somebody has switched outlines off.
    outlines_off: bool,
    recording: Recorded,
    is_over: bool,
    has_ended: bool,
}

impl Metrics {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(
        &self,
        surroundings: &impl Surroundings,
        board: &Board,
        made: &Made,
        gauges: Gauges,
    ) -> Result<()> {
        self.set_target(board, made);
        let (theirs, surroundings) = (self.clone(), surroundings.clone());
        runtime::thread::spawn("metrics", move || theirs.work(&surroundings, &gauges))
            .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        Ok(())
    }

    /// Another profile or model is in force.
    pub(super) fn set_target(&self, board: &Board, made: &Made) {
        let mut inner = self.0.inner.lock();
        inner.path.clone_from(&board.profile.pipeline.metrics_file);
        inner.board.clone_from(&board.profile.name);
        inner.profile_digest.clone_from(&board.digest);
        inner.made = made.clone();
    }

    /// What is done against heat.
    pub(super) fn set_heat(&self, step: &'static str) {
        self.0.inner.lock().heat = Some(step);
    }

    /// Whether outlines are drawn where there are any.
    pub(super) fn set_outlines(&self, are_on: bool) {
        self.0.inner.lock().outlines_off = !are_on;
    }

    /// How recordings go.
    pub(super) fn set_recording(&self, told: &Recorded) {
        self.0.inner.lock().recording = told.clone();
    }

    /// The run has ended; what is written now is the last.
    pub(super) fn stopped(&self) {
        self.0.inner.lock().is_over = true;
        self.0.changed.notify_all();
    }

    /// Waits until the last is written, as long as it may.
    pub(super) fn wait(&self, may_wait: impl Fn() -> bool) {
        while !self.0.inner.lock().has_ended && may_wait() {
            runtime::thread::sleep(Duration::from_millis(1));
        }
    }

    fn work(&self, surroundings: &impl Surroundings, gauges: &Gauges) {
        let (program, started) = (Program::this(), unix_s());
        let mut has_failed = false;
        loop {
            let now = self.0.inner.lock().clone();
            if let Some(path) = &now.path {
                let text = text(&program, started, &now, gauges);
                let written = surroundings.write_metrics(path, &text);
                match &written {
                    Err(error) if !has_failed => log::warn!("no metrics are written: {}", one_line(error)),
                    Ok(()) if has_failed => log::info!("metrics are written again"),
                    _ => {}
                }
                has_failed = written.is_err();
            }
            if now.is_over {
                break;
            }
            let until = runtime::now() + EVERY;
            let mut inner = self.0.inner.lock();
            while !inner.is_over && runtime::now() < until {
                let left = until.saturating_duration_since(runtime::now());
                inner = self.0.changed.wait_timeout(inner, left);
            }
        }
        self.0.inner.lock().has_ended = true;
    }
}

fn unix_s() -> f64 {
    runtime::wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn text(program: &Program, started: f64, now: &Inner, gauges: &Gauges) -> String {
    let mut text = Text::default();
    identity(&mut text, program, now);
    text.one("polyp_edge_running", "gauge", "1 as long as the program runs.", number(!now.is_over));
    text.one("polyp_edge_start_time_seconds", "gauge", "When the run began, seconds since 1970.", started);
    text.family("polyp_edge_state", "gauge", "1 for the state that the program is in.");
    for state in State::WORDS {
        let is_so = gauges.state() == Some(state) && !now.is_over;
        text.value("polyp_edge_state", &[("state", state)], number(is_so));
    }
    text.family("polyp_edge_heat_step", "gauge", "1 for what is done against heat.");
    for step in [Step::None, Step::Fewer, Step::Lite, Step::Off].map(Step::word) {
        text.value("polyp_edge_heat_step", &[("step", step)], number(now.heat == Some(step) && !now.is_over));
    }
    let help = "1 if somebody in the room has switched outlines off.";
    text.one("polyp_edge_outlines_off", "gauge", help, number(now.outlines_off));
    text.family("polyp_edge_recording", "gauge", "1 for what recordings are doing.");
    for state in ["none", "off", "recording", "failed"] {
        let is_so = now.recording.state == state && !now.is_over;
        text.value("polyp_edge_recording", &[("state", state)], number(is_so));
    }
    for (name, help, count) in [
        ("pictures", "Pictures in the newest recording.", now.recording.pictures),
        ("missing", "Pictures that could not be written to it in time.", now.recording.missing),
    ] {
        text.one(&format!("polyp_edge_recording_{name}"), "gauge", help, count as f64);
    }
    text.one("polyp_edge_dark", "gauge", "1 if nobody sees the picture.", number(gauges.is_dark()));
    let frames = gauges.frames();
    let counts = [
        ("state_changes", "Changes of state.", gauges.transitions()),
        ("frames_captured", "Frames that the source gave.", frames.captured),
        ("frames_damaged", "Frames that could not be read.", frames.damaged),
        ("frames_missed", "Frames that are missing in the camera driver's numbering.", frames.missed),
        ("frames_stale", "Frames that were fetched from the camera's driver too late.", frames.stale),
        ("frames_shown", "Frames that the display took.", frames.shown),
        ("frames_outlined", "Frames shown with at least one outline.", frames.outlined),
        ("frames_overtaken", "Frames not shown, for a newer one came.", frames.overtaken),
        ("frames_not_taken", "Frames not shown, for the display could not take them.", frames.not_taken),
        ("inference_skipped", "Frames that inference did not see, for a newer one came.", frames.skipped),
        ("inference_spared", "Frames that inference left alone because of heat.", frames.spared),
        ("results_late", "Results that came too late to be drawn on any frame.", frames.late),
    ];
    for (name, help, count) in counts {
        text.one(&format!("polyp_edge_{name}_total"), "counter", help, count as f64);
    }
    stages(&mut text, gauges.latencies());
    temperatures(&mut text);
    text.0
}

fn number(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn identity(text: &mut Text, program: &Program, now: &Inner) {
    let known = now.made.get();
    let model = known.as_ref().map(|known| &known.ingredients.identity);
    let of_model = |value: fn(&Identity) -> &str| model.map_or("", value);
    text.family("polyp_edge_info", "gauge", "Which program and model run, with which profile; always 1.");
    let labels = [
        ("version", program.version),
        ("commit", program.commit),
        ("build", program.build),
        ("kernels", &program.kernels),
        ("board", &now.board),
        ("profile_digest", &now.profile_digest),
        ("model", of_model(|model| &model.name)),
        ("model_version", of_model(|model| &model.version)),
        ("model_digest", of_model(|model| &model.digest)),
        ("key", of_model(|model| model.key.as_deref().unwrap_or_default())),
    ];
    text.value("polyp_edge_info", &labels, 1.0);
    let on_trial = known.as_ref().is_some_and(|known| known.trial.is_some());
    let help = "1 if the model was installed and has yet to prove itself.";
    text.one("polyp_edge_model_on_trial", "gauge", help, number(on_trial));
}

fn stages(text: &mut Text, latencies: &Latencies) {
    let name = "polyp_edge_stage_seconds";
    text.family(name, "histogram", "How long each stage of a frame's way takes.");
    for stage in Stage::ALL {
        let durations = latencies.stage(stage);
        let (stage, count) = (stage.name(), durations.count() as f64);
        for bound in BOUNDS_US {
            let (bound, within) = ((bound as f64 / 1e6).to_string(), durations.within(bound));
            text.value(&format!("{name}_bucket"), &[("stage", stage), ("le", &bound)], within as f64);
        }
        text.value(&format!("{name}_bucket"), &[("stage", stage), ("le", "+Inf")], count);
        text.value(&format!("{name}_sum"), &[("stage", stage)], durations.sum_us() as f64 / 1e6);
        text.value(&format!("{name}_count"), &[("stage", stage)], count);
    }
}

/// A sensor that does not answer holds up this thread alone.
fn temperatures(text: &mut Text) {
    if runtime::is_simulated() {
        return;
    }
    let sensors = health::machine().heat.temperatures;
    if !sensors.is_empty() {
        text.family("polyp_edge_temperature_celsius", "gauge", "What the machine's sensors say.");
    }
    for (number, sensor) in sensors.iter().enumerate() {
        let labels = [("sensor", sensor.zone.as_str()), ("number", &number.to_string())];
        text.value("polyp_edge_temperature_celsius", &labels, f64::from(sensor.celsius));
    }
}

/// Prometheus' text format: <https://prometheus.io/docs/instrumenting/exposition_formats/>
#[derive(Default)]
struct Text(String);

impl Text {
    // Writing to a string cannot fail.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (name, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{name}=\"{}\"", Escaped(value));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }
}

/// A label's value as the format wants it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_any_text() {
        let mut text = Text::default();
        text.value("name", &[("a", "q\"b\\c\nd"), ("e", "")], 0.5);
        assert_eq!(text.0, "name{a=\"q\\\"b\\\\c\\nd\",e=\"\"} 0.5\n");
    }
}
