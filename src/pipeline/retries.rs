//! When a model that failed is started anew: after a while, and not for ever.

use std::time::{Duration, Instant};

/// How long after a failure, the first one, the second, and so on; then no more.
const AFTER: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
/// So long after the last failure, the next one is a first one.
const CALM: Duration = Duration::from_secs(1800);

/// What to do about a model that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, or nothing yet.
    Wait,
    /// Start it anew: the number of the try, from 1.
    Start(usize),
    /// It has failed too often; told once.
    GiveUp,
}

/// The failures of a model.
#[derive(Debug, Default)]
pub(super) struct Retries {
    tries: usize,
    failed: Option<Instant>,
    due: Option<Instant>,
    is_known: bool,
}

impl Retries {
    /// To be asked often. `is_lost`: it has failed, and nobody has started it anew.
    pub(super) fn next(&mut self, is_lost: bool, now: Instant) -> Next {
        if !is_lost {
            (self.is_known, self.due) = (false, None);
            return Next::Wait;
        }
        if !std::mem::replace(&mut self.is_known, true) {
            if self.failed.is_some_and(|failed| now.saturating_duration_since(failed) > CALM) {
                self.tries = 0;
            }
            self.failed = Some(now);
            self.due = AFTER.get(self.tries).map(|&after| now + after);
            if self.due.is_none() {
                return Next::GiveUp;
            }
        }
        if self.due.is_none_or(|due| now < due) {
            return Next::Wait;
        }
        self.due = None;
        self.tries += 1;
        Next::Start(self.tries)
    }

    /// How often it is started anew.
    pub(super) fn most() -> usize {
        AFTER.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Fails at `at`, and is asked until `until`; what was said, with the seconds.
    fn fails(retries: &mut Retries, begin: Instant, at: u32, until: u32) -> Vec<(u32, Next)> {
        let mut said = Vec::new();
        let mut is_lost = true;
        for second in at..until {
            match retries.next(is_lost, begin + second * SECOND) {
                Next::Wait => {}
                next => {
                    is_lost &= !matches!(next, Next::Start(_));
                    said.push((second, next));
                }
            }
        }
        said
    }

    #[test]
    fn a_model_is_started_anew_three_times_with_longer_pauses() {
        let (mut retries, begin) = (Retries::default(), crate::runtime::now());
        assert_eq!(fails(&mut retries, begin, 0, 100), [(5, Next::Start(1))]);
        assert_eq!(fails(&mut retries, begin, 100, 200), [(130, Next::Start(2))]);
        assert_eq!(fails(&mut retries, begin, 200, 400), [(320, Next::Start(3))]);
        assert_eq!(fails(&mut retries, begin, 400, 10_000), [(400, Next::GiveUp)]);
        assert_eq!(retries.next(false, begin + 10_000 * SECOND), Next::Wait);
        // Failures of long ago do not count.
        assert_eq!(fails(&mut retries, begin, 20_000, 20_100), [(20_005, Next::Start(1))]);
    }

    #[test]
    fn a_model_that_works_is_left_alone() {
        let (mut retries, begin) = (Retries::default(), crate::runtime::now());
        assert!((0..1000).all(|second| retries.next(false, begin + second * SECOND) == Next::Wait));
        // Somebody else has started it anew before it was due.
        assert_eq!(retries.next(true, begin), Next::Wait);
        assert_eq!(retries.next(false, begin + 2 * SECOND), Next::Wait);
        assert_eq!(retries.next(true, begin + 6 * SECOND), Next::Wait);
    }
}
