//! How long the stages of a frame take: counted as they happen, read at any time, and written down minute by minute.
//!
//! | module | job |
//! |---|---|
//! | [`stage`] | what is timed |
//! | [`histogram`] | durations counted in logarithmic steps, by one thread while others read |
//! | [`interval`] | what happened in a minute: each stage's durations, every frame's fate, the machine meanwhile |
//! | [`log`] | minutes on disk, appended so that a cut at any byte costs the last one alone |

pub mod histogram;
pub mod interval;
pub mod log;
pub mod stage;

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

pub use histogram::{Durations, Histogram};
pub use stage::Stage;

/// A histogram a stage, for all threads of a run.
#[derive(Debug, Default)]
pub struct Latencies {
    stages: [Histogram; Stage::ALL.len()],
}

impl Latencies {
    /// Counts a duration of a stage. Neither waits nor allocates.
    pub fn record(&self, stage: Stage, duration: Duration) {
        if let Some(histogram) = self.stages.get(stage as usize) {
            histogram.record(duration);
        }
    }

    /// What was counted of a stage so far.
    pub fn stage(&self, stage: Stage) -> Durations {
        self.stages.get(stage as usize).map(Histogram::read).unwrap_or_default()
    }

    /// As [`Self::stage`], without allocating where `durations` was read into before.
    pub fn read_into(&self, stage: Stage, durations: &mut Durations) {
        if let Some(histogram) = self.stages.get(stage as usize) {
            histogram.read_into(durations);
        }
    }

    /// The stages that were timed at least once.
    pub fn report(&self) -> Vec<StageReport> {
        let timed = Stage::ALL.into_iter().map(|stage| (stage, self.stage(stage)));
        timed.filter_map(|(stage, durations)| StageReport::of(stage, &durations)).collect()
    }
}

/// One stage's durations.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    pub(crate) stage: Stage,
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl StageReport {
    /// `None` where there are no durations.
    pub fn of(stage: Stage, durations: &Durations) -> Option<StageReport> {
        let ms = |us: u64| us as f64 / 1e3;
        let count = durations.count();
        (count > 0).then(|| StageReport {
            stage,
            count,
            mean_ms: ms(durations.sum_us()) / count as f64,
            p50_ms: ms(durations.quantile_us(0.5)),
            p95_ms: ms(durations.quantile_us(0.95)),
            p99_ms: ms(durations.quantile_us(0.99)),
            p999_ms: ms(durations.quantile_us(0.999)),
            max_ms: ms(durations.max_us()),
        })
    }
}

/// The report as a table, a line a stage, milliseconds.
pub fn table(report: &[StageReport]) -> String {
    let mut text = format!(
        "{:28} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "stage, ms", "count", "mean", "p50", "p95", "p99", "p99.9", "max"
    );
    for line in report {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:28} {:>7} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            line.stage.label(),
            line.count,
            line.mean_ms,
            line.p50_ms,
            line.p95_ms,
            line.p99_ms,
            line.p999_ms,
            line.max_ms
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_numbered_in_their_order() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
            assert_eq!(serde_json::to_string(&stage).unwrap(), format!("{:?}", stage.name()));
        }
        assert!(Latencies::default().report().is_empty());
    }
}
