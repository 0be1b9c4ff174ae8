//! Durations counted in logarithmic steps, by one thread while others read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps in each doubling of time: a quantile is at most 1/128 too high. The classes are those of an
/// [HdrHistogram](https://hdrhistogram.github.io/HdrHistogram/) of two digits.
const STEPS: usize = 1 << STEP_BITS;
const STEP_BITS: u32 = 7;
/// Doublings: up to 2^32 µs, more than an hour; what is longer counts as the longest.
const DOUBLINGS: usize = 26;
const CLASSES: usize = STEPS * DOUBLINGS;
/// The longest duration that is told from longer ones, µs.
pub const LONGEST_US: u64 = (1 << 32) - 1;

/// Counts durations; its size does not depend on how many there are. Recording neither waits nor allocates.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = (0..CLASSES).map(|_| AtomicU64::new(0)).collect();
        Histogram { counts, sum_us: AtomicU64::new(0), max_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts a duration, cut to whole microseconds.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(LONGEST_US);
        if let Some(count) = self.counts.get(class_of(us)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    /// What was counted so far. A duration that is being recorded may be in the sum and not yet in the counts, or the other way
    /// round.
    pub fn read(&self) -> Durations {
        let mut durations = Durations::default();
        self.read_into(&mut durations);
        durations
    }

    /// As [`Self::read`], without allocating where `durations` was read into before.
    pub fn read_into(&self, durations: &mut Durations) {
        durations.counts.clear();
        durations.counts.extend(self.counts.iter().map(|count| count.load(Ordering::Relaxed)));
        durations.sum_us = self.sum_us.load(Ordering::Relaxed);
        durations.max_us = self.max_us.load(Ordering::Relaxed);
    }
}

/// What a histogram had counted at some time, or between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// A count for each class; none at all where nothing was read.
    counts: Vec<u64>,
    sum_us: u64,
    /// The longest, if that is known better than by its class.
    max_us: u64,
}

impl Durations {
    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all took together, µs.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The longest, µs; at most 1/128 too high.
    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// How many were at most so long, which should be the upper end of a class: within 1/128 of it else.
    pub fn within(&self, us: u64) -> u64 {
        self.counts.iter().take(class_of(us.min(LONGEST_US)) + 1).sum()
    }

    /// The duration, in µs, that a share of all durations (0..=1) does not exceed; 0 where there are none.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let count = self.count();
        let wanted = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (class, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && class + 1 < CLASSES {
                return upper_us(class).min(self.max_us);
            }
        }
        self.max_us
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Durations) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
    }

    /// What came since an earlier reading of the same histogram.
    pub fn since(&self, earlier: &Durations) -> Durations {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        let counts: Vec<u64> =
            self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect();
        let longest = counts.iter().rposition(|&count| count > 0).map_or(0, upper_us);
        Durations {
            counts,
            sum_us: self.sum_us.wrapping_sub(earlier.sum_us),
            max_us: longest.min(self.max_us),
        }
    }

    /// The classes that have any: the longest duration of each, µs, and how many there are.
    pub fn classes(&self) -> impl Iterator<Item = (u64, u64)> {
        let some = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        some.map(|(class, &count)| (upper_us(class), count))
    }

    /// The longest is known better than by its class.
    pub fn set_max_us(&mut self, us: u64) {
        self.max_us = us.min(self.max_us);
    }

    /// From counts of durations, each given to its class.
    pub fn from_classes(classes: impl Iterator<Item = (u64, u64)>, sum_us: u64) -> Durations {
        let mut durations = Durations { counts: vec![0; CLASSES], sum_us, max_us: 0 };
        for (us, count) in classes {
            let us = us.min(LONGEST_US);
            if let Some(mine) = durations.counts.get_mut(class_of(us)) {
                *mine = mine.saturating_add(count);
            }
            durations.max_us = durations.max_us.max(us);
        }
        durations
    }
}

fn class_of(us: u64) -> usize {
    if us < STEPS as u64 {
        return us as usize;
    }
    let doubling = us.ilog2() - STEP_BITS;
    let step = (us >> doubling) as usize - STEPS;
    (STEPS * (doubling as usize + 1) + step).min(CLASSES - 1)
}

/// The longest duration that falls into a class.
fn upper_us(class: usize) -> u64 {
    if class < STEPS {
        return class as u64;
    }
    let (doubling, step) = (class / STEPS - 1, class % STEPS);
    (((STEPS + step + 1) as u64) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[u64]) -> Histogram {
        let histogram = Histogram::default();
        durations.iter().for_each(|&us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    #[test]
    fn an_empty_histogram_says_nothing() {
        for empty in [Durations::default(), Histogram::default().read()] {
            assert_eq!((empty.quantile_us(0.5), empty.max_us(), empty.count()), (0, 0, 0));
            assert_eq!(empty.classes().count(), 0);
        }
    }

    #[test]
    fn the_longest_durations_are_counted() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_secs(u64::MAX));
        histogram.record(Duration::from_secs(7200));
        let read = histogram.read();
        assert_eq!((read.count(), read.quantile_us(1.0)), (2, LONGEST_US));
    }

    proptest! {
        #[test]
        fn quantiles_are_exact_within_a_128th(
            mut durations in proptest::collection::vec(0u64..100_000_000, 1..200), share in 0.01f64..1.0,
        ) {
            let read = of(&durations).read();
            durations.sort_unstable();
            let rank = ((durations.len() as f64 * share).ceil() as usize).clamp(1, durations.len());
            let (exact, found) = (durations[rank - 1], read.quantile_us(share));
            prop_assert!(found >= exact && found <= exact + exact / 128, "{} for {}", found, exact);
            prop_assert_eq!(read.max_us(), *durations.last().unwrap());
            prop_assert_eq!(read.sum_us(), durations.iter().sum::<u64>());
        }

        /// Of two runs together, and of a run's second part alone.
        #[test]
        fn merging_and_taking_away_lose_nothing(
            first in proptest::collection::vec(0u64..10_000_000_000, 0..100),
            second in proptest::collection::vec(0u64..10_000_000_000, 0..100),
        ) {
            let whole = of(&first);
            let earlier = whole.read();
            second.iter().for_each(|&us| whole.record(Duration::from_micros(us)));
            let (whole, alone) = (whole.read(), of(&second).read());
            let mut merged = earlier.clone();
            merged.merge(&alone);
            prop_assert_eq!(&merged, &whole);
            let since = whole.since(&earlier);
            prop_assert_eq!(&since.counts, &alone.counts);
            prop_assert_eq!(since.sum_us, alone.sum_us);
            prop_assert!(since.max_us >= alone.max_us && since.max_us <= alone.max_us + alone.max_us / 128);
            // And by its classes.
            let again = Durations::from_classes(whole.classes(), whole.sum_us());
            prop_assert_eq!(&again.counts, &whole.counts);
            for us in [0, 127, 1023, 100_000] {
                let exact = first.iter().chain(&second).filter(|&&one| one.min(LONGEST_US) <= upper_us(class_of(us))).count();
                prop_assert_eq!(whole.within(us), exact as u64);
            }
        }
    }
}
