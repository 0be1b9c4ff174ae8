//! Observers: from the values that a tensor takes to the range that is worth storing.

use std::fmt;
use std::str::FromStr;

use polyp_edge::fault::Fault;

const BINS: usize = 2048;

/// How a range is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observer {
    /// All values seen.
    MinMax,
    /// Leaves out this share of the values at each end.
    Percentile(f64),
    /// Least squared error of rounding and clipping together.
    SquaredError,
    /// Least divergence of the stored values' distribution from the values' (Migacz, GTC 2017).
    Entropy,
}

impl fmt::Display for Observer {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Observer::MinMax => write!(out, "min-max"),
            Observer::Percentile(share) => write!(out, "percentile-{share}"),
            Observer::SquaredError => write!(out, "squared-error"),
            Observer::Entropy => write!(out, "entropy"),
        }
    }
}

impl FromStr for Observer {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let share = text.strip_prefix("percentile-").and_then(|share| share.parse::<f64>().ok());
        match (text, share) {
            ("min-max", _) => Ok(Observer::MinMax),
            ("squared-error", _) => Ok(Observer::SquaredError),
            ("entropy", _) => Ok(Observer::Entropy),
            (_, Some(share)) if (0.0..0.5).contains(&share) => Ok(Observer::Percentile(share)),
            _ => Err(Fault::usage(format!(
                "unknown observer {text}; use min-max, squared-error, entropy or percentile-SHARE with a share below 0.5"
            ))),
        }
    }
}

/// Lowest and highest value, 0 included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extremes {
    /// The lowest value; at most 0.
    pub low: f32,
    /// The highest value; at least 0.
    pub high: f32,
}

impl Extremes {
    /// Widens the range to these values.
    pub fn observe(&mut self, values: &[f32]) {
        let (low, high) =
            values.iter().fold((self.low, self.high), |(low, high), &v| (low.min(v), high.max(v)));
        *self = Extremes { low, high };
    }
    /// Widens the range to another one.
    pub fn merge(&mut self, other: Extremes) {
        *self = Extremes { low: self.low.min(other.low), high: self.high.max(other.high) };
    }
}

/// Counts of values over a range that is known beforehand.
#[derive(Clone, Debug)]
pub struct Histogram {
    extremes: Extremes,
    counts: Vec<u64>,
}

impl Histogram {
    /// Nothing counted yet, in 2,048 bins over this range.
    pub fn new(extremes: Extremes) -> Self {
        Histogram { extremes, counts: vec![0; BINS] }
    }

    fn width(&self) -> f32 {
        ((self.extremes.high - self.extremes.low) / BINS as f32).max(f32::MIN_POSITIVE)
    }

    /// Counts values; those outside the range go to the bin at its end.
    pub fn observe(&mut self, values: &[f32]) {
        let (low, scale) = (self.extremes.low, 1.0 / self.width());
        for &value in values {
            let bin = (((value - low) * scale) as usize).min(BINS - 1);
            self.counts[bin] += 1;
        }
    }

    /// Adds the counts of another histogram, which must be over the same range.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
    }

    /// The range to store, within what was seen and holding 0.
    pub fn range(&self, observer: Observer) -> (f32, f32) {
        let Extremes { low, high } = self.extremes;
        let (low, high) = match observer {
            Observer::MinMax => (low, high),
            Observer::Percentile(share) => (self.below(share), self.below(1.0 - share)),
            Observer::SquaredError => self.least_error(),
            Observer::Entropy => self.least_divergence(),
        };
        (low.min(0.0), high.max(0.0))
    }

    /// The value under which this share of all values lies, at a bin's outer edge.
    fn below(&self, share: f64) -> f32 {
        let total: u64 = self.counts.iter().sum();
        let wanted = share * total as f64;
        let mut seen = 0f64;
        for (bin, &count) in self.counts.iter().enumerate() {
            seen += count as f64;
            if count > 0 && seen >= wanted {
                let edge = if share < 0.5 { bin } else { bin + 1 };
                return self.extremes.low + edge as f32 * self.width();
            }
        }
        self.extremes.high
    }

    fn least_error(&self) -> (f32, f32) {
        let Extremes { low, high } = self.extremes;
        let shrunk = |step: usize| 1.0 - 0.02 * step as f32;
        let steps_of = |end: f32| if end == 0.0 { 1 } else { 40 };
        let mut best = (self.error(low, high), low, high);
        // The ends are searched in turn; the error has one valley in each.
        for _ in 0..2 {
            for step in 0..steps_of(high) {
                let error = self.error(best.1, high * shrunk(step));
                if error < best.0 {
                    best = (error, best.1, high * shrunk(step));
                }
            }
            for step in 0..steps_of(low) {
                let error = self.error(low * shrunk(step), best.2);
                if error < best.0 {
                    best = (error, low * shrunk(step), best.2);
                }
            }
        }
        (best.1, best.2)
    }

    /// Both ends are drawn in alike: a tensor has one step.
    fn least_divergence(&self) -> (f32, f32) {
        let Extremes { low, high } = self.extremes;
        let shares = (0..45).map(|step| 1.0 - 0.02 * step as f32);
        let scored = shares.map(|share| (self.divergence(low * share, high * share), share));
        let best = scored.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |(_, share)| share);
        (low * best, high * best)
    }

    /// Kullback-Leibler divergence between the values clipped to a range and the same through 256 steps, each of which
    /// spreads what falls to it evenly over its bins that hold anything. Zeros are exact, and left out.
    fn divergence(&self, low: f32, high: f32) -> f64 {
        let (start, width) = (self.extremes.low, self.width());
        let bin_of = |value: f32| (((value - start) / width) as usize).min(BINS - 1);
        let (first, last) = (bin_of(low), bin_of(high - width * 0.5).max(bin_of(low)));
        let mut kept: Vec<f64> = self.counts[first..=last].iter().map(|count| *count as f64).collect();
        let zero = bin_of(0.0);
        let is_zero = |bin: usize| low <= 0.0 && bin + first == zero;
        let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
        let mut quantised = kept.clone();
        let (below, beyond) = (total(&self.counts[..first]), total(&self.counts[last + 1..]));
        let end = kept.len() - 1;
        kept[0] += below;
        kept[end] += beyond;
        let step_of = |bin: usize| bin * 256 / (end + 1);
        let mut bin = 0;
        while bin <= end {
            let next = (bin..=end).find(|other| step_of(*other) != step_of(bin)).unwrap_or(end + 1);
            let filled = (bin..next).filter(|b| kept[*b] > 0.0 && !is_zero(*b)).count();
            let sum: f64 = (bin..next).filter(|b| !is_zero(*b)).map(|b| quantised[b]).sum();
            for b in (bin..next).filter(|b| !is_zero(*b)) {
                quantised[b] = if kept[b] > 0.0 { sum / filled as f64 } else { 0.0 };
            }
            bin = next;
        }
        let sum = |values: &[f64]| -> f64 {
            values.iter().enumerate().filter(|(b, _)| !is_zero(*b)).map(|(_, value)| value).sum()
        };
        let (of_kept, of_quantised) = (sum(&kept).max(1e-9), sum(&quantised).max(1e-9));
        let parts = kept.iter().zip(&quantised).enumerate().filter(|(b, (p, _))| **p > 0.0 && !is_zero(*b));
        // What was clipped into an empty step diverges most.
        parts.map(|(_, (p, q))| (p / of_kept) * ((p / of_kept) / (q / of_quantised).max(1e-9)).ln()).sum()
    }

    /// Sum of squared errors: a twelfth of a squared step inside the range, the distance beyond it. Zeros are exact.
    fn error(&self, low: f32, high: f32) -> f64 {
        let step = f64::from(high - low) / 255.0;
        let (low, high, width) = (f64::from(low), f64::from(high), f64::from(self.width()));
        let start = f64::from(self.extremes.low);
        let zero_bin = ((-start / width) as usize).min(BINS - 1);
        let errors = self.counts.iter().enumerate().map(|(bin, &count)| {
            if count == 0 || bin == zero_bin {
                return 0.0;
            }
            let centre = start + (bin as f64 + 0.5) * width;
            let beyond = (low - centre).max(centre - high).max(0.0);
            count as f64 * (beyond * beyond + step * step / 12.0)
        });
        errors.sum()
    }
}
