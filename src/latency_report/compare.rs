//! How much a percentile differs between two runs, and how sure that is.
//!
//! Minutes are drawn anew with replacement, from each run as many as it has, a thousand times (a block bootstrap: frames of one minute
//! are alike, minutes less so). Of the thousand differences of the percentile, the middle 95 % are the confidence interval.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::gather::Run;
use crate::latency::{Durations, Stage};

/// How often minutes are drawn anew.
const DRAWS: usize = 1000;
/// Longer runs are drawn in so many pieces of several minutes each.
const MOST_PIECES: usize = 240;
/// A difference of fewer pieces than this is told without an interval.
const FEWEST_PIECES: usize = 8;

/// By how much a percentile of one run is longer than that of another, ms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Of which stage.
    pub stage: Stage,
    /// Which percentile, 0..1.
    pub share: f64,
    /// Of the first run, and of the other.
    pub before_ms: f64,
    /// See above.
    pub after_ms: f64,
    /// Between which values the difference lies with 95 % confidence; `None` where a run is too short to say.
    pub interval_ms: Option<(f64, f64)>,
}

impl Difference {
    /// How much longer it is.
    pub fn ms(&self) -> f64 {
        self.after_ms - self.before_ms
    }

    /// A sentence: what differs, by how much, and whether that can be chance.
    pub fn sentence(&self, before: &str, after: &str) -> String {
        let percent = 100.0 * self.ms() / self.before_ms.max(1e-3);
        let which = format!("{} % of all durations of “{}”", trimmed(100.0 * self.share), self.stage.label());
        let figures = format!(
            "take at most {:.2} ms in {after} and {:.2} ms in {before}, {:+.2} ms ({percent:+.0} %)",
            self.after_ms,
            self.before_ms,
            self.ms()
        );
        let sure = match self.interval_ms {
            None => "a run is too short to say whether that is chance".to_owned(),
            Some((low, high)) if low <= 0.0 && high >= 0.0 => {
                format!(
                    "that can be chance: with 95 % confidence the difference lies between {low:+.2} and {high:+.2} ms"
                )
            }
            Some((low, high)) => format!("with 95 % confidence between {low:+.2} and {high:+.2} ms"),
        };
        format!("{which} {figures}; {sure}.")
    }
}

fn trimmed(percent: f64) -> String {
    format!("{percent:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Compares two runs' percentile of a stage; `None` where one of them has no such durations.
pub fn difference(before: &Run, after: &Run, stage: Stage, share: f64) -> Option<Difference> {
    let (one, other) = (pieces(before, stage), pieces(after, stage));
    let ms = |pieces: &[Durations]| {
        let mut all = Durations::default();
        pieces.iter().for_each(|piece| all.merge(piece));
        (all.count() > 0).then(|| all.quantile_us(share) as f64 / 1e3)
    };
    let (before_ms, after_ms) = (ms(&one)?, ms(&other)?);
    let interval_ms = (one.len() >= FEWEST_PIECES && other.len() >= FEWEST_PIECES).then(|| {
        // The same runs give the same interval.
        let mut random = ChaCha8Rng::seed_from_u64(stage as u64 ^ share.to_bits());
        let (one, other) = (Classes::of(&one), Classes::of(&other));
        let mut differences: Vec<f64> =
            (0..DRAWS).map(|_| other.drawn(&mut random, share) - one.drawn(&mut random, share)).collect();
        differences.sort_by(f64::total_cmp);
        let at = |share: f64| differences.get((share * DRAWS as f64) as usize).copied().unwrap_or_default();
        (at(0.025), at(0.975))
    });
    Some(Difference { stage, share, before_ms, after_ms, interval_ms })
}

/// A stage's durations minute by minute, neighbours together where there are many.
fn pieces(run: &Run, stage: Stage) -> Vec<Durations> {
    let size = run.minutes.len().div_ceil(MOST_PIECES).max(1);
    let pieces = run.minutes.chunks(size).map(|minutes| {
        let mut all = Durations::default();
        minutes.iter().for_each(|minute| all.merge(&minute.interval.stage(stage)));
        all
    });
    pieces.filter(|piece| piece.count() > 0).collect()
}

/// Pieces by the classes that any of them has: what is drawn a thousand times.
struct Classes {
    upper_us: Vec<u64>,
    /// A count for each class, a row a piece.
    counts: Vec<Vec<u64>>,
}

impl Classes {
    fn of(pieces: &[Durations]) -> Classes {
        let mut upper_us: Vec<u64> =
            pieces.iter().flat_map(|piece| piece.classes().map(|(us, _)| us)).collect();
        upper_us.sort_unstable();
        upper_us.dedup();
        let row = |piece: &Durations| {
            let mut row = vec![0; upper_us.len()];
            for (us, count) in piece.classes() {
                if let Ok(class) = upper_us.binary_search(&us)
                    && let Some(mine) = row.get_mut(class)
                {
                    *mine = count;
                }
            }
            row
        };
        Classes { counts: pieces.iter().map(row).collect(), upper_us }
    }

    /// The percentile of as many pieces drawn at random, ms.
    fn drawn(&self, random: &mut ChaCha8Rng, share: f64) -> f64 {
        let mut sum = vec![0u64; self.upper_us.len()];
        for _ in 0..self.counts.len() {
            let Some(row) = self.counts.get(random.random_range(0..self.counts.len())) else { continue };
            sum.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        }
        let wanted = (sum.iter().sum::<u64>() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (&us, &count) in self.upper_us.iter().zip(&sum) {
            seen += count;
            if seen >= wanted.max(1) {
                return us as f64 / 1e3;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::latency::Histogram;
    use crate::latency::interval::{Coded, Interval};
    use crate::latency_report::gather::Minute;

    /// Minutes of frames around `ms`, which wander by a fifth of it from minute to minute.
    fn run(seed: u64, minutes: usize, ms: f64) -> Run {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let minute = |_| {
            let histogram = Histogram::default();
            let wanders = ms * (1.0 + 0.2 * random.random_range(-1.0..1.0));
            for _ in 0..600 {
                let us = 1e3 * wanders * (1.0 + 0.3 * random.random::<f64>());
                histogram.record(Duration::from_micros(us as u64));
            }
            let mut interval = Interval { seconds: 60.0, ..Interval::default() };
            interval.stages.insert(Stage::VideoDelay, Coded(histogram.read()));
            Minute { setup: 0, interval, is_first: false }
        };
        Run { minutes: (0..minutes).map(minute).collect(), ..Run::default() }
    }

    /// Of a hundred pairs of runs that do not differ, about five look as if they did; of pairs that do, the interval has the truth.
    #[test]
    fn the_interval_has_the_truth_as_often_as_it_says() {
        let holds = |seed: u64, factor: f64, truth: f64| {
            let (before, after) = (run(2 * seed, 40, 2.0), run(2 * seed + 1, 40, 2.0 * factor));
            let found = difference(&before, &after, Stage::VideoDelay, 0.5).unwrap();
            let (low, high) = found.interval_ms.unwrap();
            low <= truth && truth <= high
        };
        // The median of 2 ms × (1 + 0.3 × 0.5), and a half more of it.
        for (factor, truth) in [(1.0, 0.0), (1.5, 0.5 * 2.0 * 1.15)] {
            let count = (0..60).filter(|&seed| holds(seed, factor, truth)).count();
            assert!(count >= 50, "{count} of 60 intervals have the truth, factor {factor}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        let (short, long) = (run(1, 3, 2.0), run(2, 600, 2.0));
        assert_eq!(difference(&short, &long, Stage::VideoDelay, 0.99).unwrap().interval_ms, None);
        assert_eq!(difference(&short, &long, Stage::Draw, 0.99), None);
        let same = difference(&long, &long, Stage::VideoDelay, 0.99).unwrap();
        assert_eq!(same.ms(), 0.0);
        let sentence = same.sentence("A", "B");
        assert!(
            sentence.contains("99 % of all durations of “video delay”")
                && sentence.contains("that can be chance"),
            "{sentence}"
        );
    }
}
