//! A run's figures: percentiles, fates, time in each state.

use std::collections::BTreeMap;

use serde::Serialize;

use super::gather::Run;
use crate::latency::interval::{Interval, Load};
use crate::latency::log::Setup;
use crate::latency::{Durations, Stage};

/// The shares of which percentiles are told, and what they are called.
pub const SHARES: [(f64, &str); 5] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

/// What two figures of a cleared device were accepted on: see docs/latency.md.
pub const LIMITS: [(Stage, f64); 2] = [(Stage::VideoDelay, 5.75), (Stage::Total, 120.0)];

/// A run in figures.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The run's.
    pub name: String,
    /// Seconds since 1970: of its first minute's beginning and of its last one's end.
    pub from_unix_s: f64,
    /// See above.
    pub to_unix_s: f64,
    /// How long the program ran in that time.
    pub seconds: f64,
    /// How often it was started.
    pub starts: usize,
    /// What ran.
    pub setups: Vec<Setup>,
    /// Each stage's figures, in the order of a frame's way.
    pub stages: Vec<Figures>,
    /// What became of the frames, by name.
    pub frames: BTreeMap<&'static str, u64>,
    /// Seconds in each state.
    pub states: BTreeMap<String, f64>,
    /// Changes of state.
    pub transitions: u64,
    /// The machine.
    pub machine: Load,
    /// What is missing or damaged.
    pub notes: Vec<String>,
}

/// A stage's figures, ms.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Which.
    pub stage: Stage,
    /// How many durations there were.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// Of [`SHARES`], by name; at most 1/128 too high.
    pub percentiles_ms: BTreeMap<&'static str, f64>,
    /// The longest.
    pub max_ms: f64,
    /// How many per cent were within the stage's limit, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_limit_percent: Option<f64>,
}

impl Figures {
    /// `None` where there are no durations.
    pub fn of(stage: Stage, durations: &Durations) -> Option<Figures> {
        let count = durations.count();
        let ms = |us: u64| us as f64 / 1e3;
        let limit = LIMITS.iter().find(|(of, _)| *of == stage).map(|(_, ms)| ms);
        (count > 0).then(|| Figures {
            stage,
            count,
            mean_ms: ms(durations.sum_us()) / count as f64,
            percentiles_ms: SHARES
                .iter()
                .map(|&(share, name)| (name, ms(durations.quantile_us(share))))
                .collect(),
            max_ms: ms(durations.max_us()),
            within_limit_percent: limit
                .map(|ms| 100.0 * durations.within((ms * 1e3) as u64) as f64 / count as f64),
        })
    }
}

impl Summary {
    /// Of a run, which has a minute at least.
    pub fn of(run: &Run) -> Summary {
        let total = run.total();
        let begins = |interval: &Interval| interval.unix_s - interval.seconds;
        let from = run.minutes.iter().map(|minute| begins(&minute.interval)).fold(f64::INFINITY, f64::min);
        let to = run.minutes.iter().map(|minute| minute.interval.unix_s).fold(0.0, f64::max);
        Summary {
            name: run.name.clone(),
            from_unix_s: from,
            to_unix_s: to,
            seconds: total.seconds,
            starts: run.minutes.iter().filter(|minute| minute.is_first).count(),
            setups: run.setups.clone(),
            stages: Stage::ALL
                .into_iter()
                .filter_map(|stage| Figures::of(stage, &total.stage(stage)))
                .collect(),
            frames: total.frames.list().into_iter().collect(),
            states: total.states,
            transitions: total.transitions,
            machine: total.machine,
            notes: run.notes.clone(),
        }
    }

    /// A stage's figures, if it was timed.
    pub fn stage(&self, stage: Stage) -> Option<&Figures> {
        self.stages.iter().find(|figures| figures.stage == stage)
    }
}
