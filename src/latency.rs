//! A clock a stage: fixed-size histograms, and the report made of them; and coarser ones that others read while a run goes on.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// What is timed, in the order in which a frame meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Getting a frame from its source: for a rendered or recorded one, rendering or decoding it.
    Capture,
    /// A live camera's JPEG → RGB.
    Decode,
    /// For inference: a live camera's pixels → RGB.
    Convert,
    /// Field of view and resize: frame → model input.
    Prepare,
    /// The network: its input → logits.
    Inference,
    /// Logits → regions.
    Detect,
    /// Which regions have lasted.
    Gate,
    /// Outlines, glyph and text into the picture.
    Draw,
    /// Colour, blending, and handing the picture over.
    Display,
    /// From a frame's capture until its picture was handed to the display.
    VideoDelay,
    /// From a frame's capture until the first picture with what was found in it was handed to the display.
    Total,
    /// From a frame's capture until the monitor showed it, where the display tells.
    OnMonitor,
}

impl Stage {
    /// In the order in which a frame meets them.
    pub const ALL: [Stage; 12] = [
        Stage::Capture,
        Stage::Decode,
        Stage::Convert,
        Stage::Prepare,
        Stage::Inference,
        Stage::Detect,
        Stage::Gate,
        Stage::Draw,
        Stage::Display,
        Stage::VideoDelay,
        Stage::Total,
        Stage::OnMonitor,
    ];

    /// For machines: as serde writes it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Capture => "capture",
            Stage::Decode => "decode",
            Stage::Convert => "convert",
            Stage::Prepare => "prepare",
            Stage::Inference => "inference",
            Stage::Detect => "detect",
            Stage::Gate => "gate",
            Stage::Draw => "draw",
            Stage::Display => "display",
            Stage::VideoDelay => "video_delay",
            Stage::Total => "total",
            Stage::OnMonitor => "on_monitor",
        }
    }

    /// As it stands in the report.
    pub fn label(self) -> &'static str {
        match self {
            Stage::Capture => "capture",
            Stage::Decode => "decode",
            Stage::Convert => "convert",
            Stage::Prepare => "field of view + preprocess",
            Stage::Inference => "inference",
            Stage::Detect => "detect",
            Stage::Gate => "gate",
            Stage::Draw => "draw",
            Stage::Display => "display",
            Stage::VideoDelay => "video delay",
            Stage::Total => "total (capture → outlined)",
            Stage::OnMonitor => "capture → on the monitor",
        }
    }
}

/// Steps in each doubling of time: a quantile is at most 1/32 too high.
const STEPS: usize = 32;
const STEP_BITS: u32 = 5;
/// Doublings: up to 2^32 µs, more than an hour; what is longer counts as the longest.
const DOUBLINGS: usize = 28;
const BUCKETS: usize = STEPS * DOUBLINGS;

/// Durations counted in logarithmic steps; its size does not depend on how many there are.
#[derive(Clone)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    sum_us: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: Box::new([0; BUCKETS]), count: 0, sum_us: 0, max_us: 0 }
    }
}

impl Histogram {
    /// Counts a duration, cut to whole microseconds.
    pub fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(us)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration, in µs, that a share of all durations (0..=1) does not exceed; 0 where there are none.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && index + 1 < BUCKETS {
                return upper_us(index).min(self.max_us);
            }
        }
        self.max_us
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
    }
}

fn bucket_of(us: u64) -> usize {
    if us < STEPS as u64 {
        return us as usize;
    }
    let doubling = us.ilog2() - STEP_BITS;
    let step = (us >> doubling) as usize - STEPS;
    (STEPS * (doubling as usize + 1) + step).min(BUCKETS - 1)
}

/// The longest duration that falls into a bucket.
fn upper_us(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let (doubling, step) = (index / STEPS - 1, index % STEPS);
    (((STEPS + step + 1) as u64) << doubling) - 1
}

/// A histogram a stage. Each thread keeps its own; they are merged at the end.
#[derive(Clone, Default)]
pub struct Latencies {
    stages: [Histogram; Stage::ALL.len()],
    meters: Option<Arc<Meters>>,
}

impl Latencies {
    /// What is recorded is counted in `meters`, too.
    pub fn metered(meters: &Arc<Meters>) -> Latencies {
        Latencies { meters: Some(meters.clone()), ..Latencies::default() }
    }

    /// Counts a duration of a stage.
    pub fn record(&mut self, stage: Stage, duration: Duration) {
        self.stages[stage as usize].record(duration);
        if let Some(meters) = &self.meters {
            meters.record(stage, duration);
        }
    }

    pub(crate) fn merge(&mut self, other: &Latencies) {
        for (mine, theirs) in self.stages.iter_mut().zip(&other.stages) {
            mine.merge(theirs);
        }
    }

    /// All durations of a stage.
    pub fn stage(&self, stage: Stage) -> &Histogram {
        &self.stages[stage as usize]
    }

    /// The stages that were timed at least once.
    pub fn report(&self) -> Vec<StageReport> {
        let ms = |us: u64| us as f64 / 1e3;
        let timed = Stage::ALL.into_iter().map(|stage| (stage, self.stage(stage)));
        let reports =
            timed.filter(|(_, histogram)| histogram.count > 0).map(|(stage, histogram)| StageReport {
                stage,
                count: histogram.count,
                mean_ms: ms(histogram.sum_us) / histogram.count as f64,
                p50_ms: ms(histogram.quantile_us(0.5)),
                p95_ms: ms(histogram.quantile_us(0.95)),
                p99_ms: ms(histogram.quantile_us(0.99)),
                p999_ms: ms(histogram.quantile_us(0.999)),
                max_ms: ms(histogram.max_us),
            });
        reports.collect()
    }
}

/// Upper bounds of the classes in which a run's durations can be read while it goes on, µs; those that are longer are in one more
/// class. Finest around the times of a frame at 60, 50, 30 and 25 frames a second.
pub const BOUNDS_US: [u64; 20] = [
    500, 1_000, 2_000, 3_000, 5_000, 7_000, 10_000, 13_000, 16_667, 20_000, 25_000, 33_333, 40_000, 50_000,
    66_667, 100_000, 150_000, 250_000, 500_000, 1_000_000,
];

/// Durations of each stage in coarse classes: written by the threads that record them, read by whoever wants to.
#[derive(Debug, Default)]
pub struct Meters {
    stages: [Meter; Stage::ALL.len()],
}

#[derive(Debug, Default)]
struct Meter {
    classes: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What a meter says at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How many durations were at most as long as each of [`BOUNDS_US`].
    pub within: [u64; BOUNDS_US.len()],
    /// All of them.
    pub count: u64,
    /// How long all took together.
    pub sum_us: u64,
}

impl Meters {
    fn record(&self, stage: Stage, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS_US.partition_point(|&bound| bound < us);
        let Some(meter) = self.stages.get(stage as usize) else { return };
        if let Some(class) = meter.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        meter.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What a stage's meter says now. A duration that is being recorded may be in the sum and not yet in the count, or the other
    /// way round.
    pub fn read(&self, stage: Stage) -> Reading {
        let mut reading = Reading { within: [0; BOUNDS_US.len()], count: 0, sum_us: 0 };
        let Some(meter) = self.stages.get(stage as usize) else { return reading };
        reading.sum_us = meter.sum_us.load(Ordering::Relaxed);
        for (index, class) in meter.classes.iter().enumerate() {
            reading.count += class.load(Ordering::Relaxed);
            if let Some(within) = reading.within.get_mut(index) {
                *within = reading.count;
            }
        }
        reading
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

/// The report as a table, a line a stage, milliseconds.
pub fn table(report: &[StageReport]) -> String {
    let mut text = format!(
        "{:27} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "stage, ms", "count", "mean", "p50", "p95", "p99", "p99.9", "max"
    );
    for line in report {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:27} {:>7} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stages_are_numbered_in_their_order() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
            assert_eq!(serde_json::to_string(&stage).unwrap(), format!("{:?}", stage.name()));
        }
    }

    #[test]
    fn an_empty_histogram_says_nothing() {
        assert_eq!(Histogram::default().quantile_us(0.5), 0);
        assert!(Latencies::default().report().is_empty());
    }

    #[test]
    fn the_longest_durations_are_counted() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_secs(u64::MAX));
        histogram.record(Duration::from_secs(7200));
        assert_eq!(histogram.count(), 2);
        assert_eq!(histogram.quantile_us(1.0), histogram.max_us);
    }

    proptest! {
        #[test]
        fn meters_count_what_the_histograms_do(durations in proptest::collection::vec(0u64..2_000_000, 0..200)) {
            let meters = Arc::new(Meters::default());
            let mut latencies = Latencies::metered(&meters);
            durations.iter().for_each(|&us| latencies.record(Stage::Draw, Duration::from_micros(us)));
            let reading = meters.read(Stage::Draw);
            for (within, bound) in reading.within.iter().zip(BOUNDS_US) {
                let expected = durations.iter().filter(|&&us| us <= bound).count();
                prop_assert_eq!(*within, expected as u64);
            }
            prop_assert_eq!(reading.count, latencies.stage(Stage::Draw).count());
            prop_assert_eq!(reading.sum_us, durations.iter().sum::<u64>());
            prop_assert_eq!(meters.read(Stage::Gate).count, 0);
        }

        #[test]
        fn quantiles_are_a_thirtysecond_too_high_at_most(
            mut durations in proptest::collection::vec(0u64..100_000_000, 1..200), share in 0.01f64..1.0,
        ) {
            let (mut first, mut second) = (Histogram::default(), Histogram::default());
            for (index, &us) in durations.iter().enumerate() {
                let half = if index % 2 == 0 { &mut first } else { &mut second };
                half.record(Duration::from_micros(us));
            }
            first.merge(&second);
            durations.sort_unstable();
            let rank = ((durations.len() as f64 * share).ceil() as usize).clamp(1, durations.len());
            let (exact, found) = (durations[rank - 1], first.quantile_us(share));
            prop_assert!(found >= exact && found <= exact + exact / 32, "{} for {}", found, exact);
        }
    }
}
