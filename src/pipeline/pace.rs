//! Which frames inference looks at while the machine is hot: all, as many as it may in a second, or none.

use std::time::{Duration, Instant};

use super::Settings;
use super::shared::Live;
use crate::thermal::Step;

/// Frames come with jitter: one that is early by this part of the interval is not left for the next, which would be a whole frame
/// later.
const EARLY: u32 = 8;
/// An interval is no longer, whatever the settings say.
const LONGEST_S: f64 = 3600.0;

/// Told the frames one after another.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seen: u64,
    step: Step,
    /// Between two frames that are looked at; zero: each one is.
    interval: Duration,
    /// When the next one may be.
    due: Option<Instant>,
}

impl Pace {
    /// Takes in settings that are new.
    pub(super) fn follow(&mut self, settings: &Live<Settings>) {
        if let Some(settings) = settings.newer(&mut self.seen) {
            self.set(&settings);
        }
    }

    fn set(&mut self, settings: &Settings) {
        self.step = settings.heat();
        let is_limited = self.step.is_reduced() && settings.reduced_hz > 0.0;
        let seconds = if is_limited { (1.0 / settings.reduced_hz).min(LONGEST_S) } else { 0.0 };
        self.interval = Duration::from_secs_f64(seconds);
    }

    /// Whether a frame that was captured at `at` is looked at.
    pub(super) fn takes(&mut self, at: Instant) -> bool {
        if self.step == Step::Off {
            self.due = None;
            return false;
        }
        // The rate holds on average: the next frame is due one interval after this one was, unless that is long past.
        let from = match self.due {
            Some(due) if at + self.interval / EARLY < due && due <= at + self.interval => return false,
            Some(due) if due <= at + self.interval && at < due + self.interval => due,
            _ => at,
        };
        self.due = Some(from + self.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(heat: Step, reduced_hz: f64) -> Settings {
        Settings { heat, reduced_hz, ..Settings::default() }
    }

    /// The milliseconds of the frames that are looked at, of one each `frame` for a second, `jitter` early or late in turn.
    fn looked_at(settings: &Settings, frame_us: u64, jitter_us: u64) -> Vec<u64> {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        pace.set(settings);
        let times = (1..=1_000_000 / frame_us)
            .map(|number| frame_us * number + if number % 2 == 0 { jitter_us } else { 0 });
        times.filter(|&at| pace.takes(begin + Duration::from_micros(at))).map(|at| at / 1000).collect()
    }

    #[test]
    fn every_frame_is_looked_at_where_it_is_cool_and_none_where_it_is_too_hot() {
        assert_eq!(looked_at(&settings(Step::None, 10.0), 16_667, 0).len(), 59);
        assert_eq!(looked_at(&settings(Step::Off, 10.0), 16_667, 0), [0; 0]);
        for step in [Step::Fewer, Step::Off] {
            let lock_step = Settings { lock_step: true, ..settings(step, 10.0) };
            assert_eq!(looked_at(&lock_step, 16_667, 0).len(), 59, "its time is not that of its scene");
        }
        let unlimited = settings(Step::Fewer, 0.0);
        assert_eq!(looked_at(&unlimited, 16_667, 0).len(), 59);
    }

    #[test]
    fn the_rate_holds_on_average_and_no_gap_is_longer_than_it_must_be() {
        for step in [Step::Fewer, Step::Lite] {
            for frame_us in [16_667, 20_000, 33_333, 40_000] {
                for jitter_us in [0, 3_000] {
                    let hz = 1000.0 / 60.0;
                    let looked = looked_at(&settings(step, hz), frame_us, jitter_us);
                    assert!((16..=17).contains(&looked.len()), "{frame_us} us: {looked:?}");
                    let longest = looked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
                    // An interval, and the rest of the frame in which it ends.
                    assert!(longest <= 60 + frame_us / 1000 + jitter_us / 1000, "{frame_us} us: {looked:?}");
                }
            }
        }
        // A camera that is slower than the rate is looked at whole.
        assert_eq!(looked_at(&settings(Step::Fewer, 1000.0 / 60.0), 100_000, 5_000).len(), 10);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        pace.set(&settings(Step::Fewer, 10.0));
        let mut takes = |ms| pace.takes(begin + Duration::from_millis(ms));
        assert_eq!(
            [0, 50, 100, 5000, 5020, 5050, 5100].map(&mut takes),
            [true, false, true, true, false, false, true]
        );
        // Times that go back, as those of another source may.
        assert_eq!([200, 250, 300].map(&mut takes), [true, false, true]);
    }
}
