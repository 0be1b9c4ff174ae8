//! What the state is, from the frames that are shown and the results that come.

use std::time::{Duration, Instant};

use super::shared::Assistance;
use crate::state::{Reason, State};

/// Results that come this far apart still count as assistance: the state is not to flicker with each late one.
const ASSIST_LASTS: Duration = Duration::from_millis(300);
/// After so long with results that all came too late, that is the reason.
const LATE_AFTER: Duration = Duration::from_secs(2);
/// Late results that come rarely are still results, up to so many times the span of silence apart.
const RARE: u32 = 10;
/// Loading may take so many times as long as silence may.
const LOADING_LASTS: u32 = 30;

/// What there is to draw on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Result {
    Plausible,
    Implausible,
    /// The newest one is so old, and may not be drawn.
    TooOld(Duration),
    None,
}

/// Remembers when what was last seen.
pub(super) struct Judge {
    assistance: Assistance,
    /// Since when the assistance is as it is.
    since: Instant,
    /// Since when frames come one after another.
    flowing_since: Option<Instant>,
    last_result: Option<Instant>,
    last_fresh: Option<Instant>,
    /// Since when there has been no result in time.
    without_since: Option<Instant>,
    /// The age of the last result that came too late since then.
    late: Option<Duration>,
    /// The lack of results was said since then: it stays so until there is one in time, so that the state does not flicker.
    is_said: bool,
}

impl Judge {
    pub(super) fn new(now: Instant) -> Judge {
        Judge {
            assistance: Assistance::Loading,
            since: now,
            flowing_since: None,
            last_result: None,
            last_fresh: None,
            without_since: None,
            late: None,
            is_said: false,
        }
    }

    /// Takes in whether results can be expected.
    pub(super) fn assistance(&mut self, assistance: Assistance, now: Instant) {
        if self.assistance != assistance {
            (self.assistance, self.since) = (assistance, now);
            self.no_frames();
        }
    }

    /// A result has come, whatever its age.
    pub(super) fn result_came(&mut self, now: Instant) {
        self.last_result = Some(now);
    }

    /// The frames have come to a stop.
    pub(super) fn no_frames(&mut self) {
        (self.flowing_since, self.without_since, self.late, self.is_said) = (None, None, None, false);
    }

    /// The state with a frame at hand; `None` if it stays as it is.
    pub(super) fn frame(
        &mut self,
        result: Result,
        now: Instant,
        silent_after: Duration,
        max_age: Duration,
    ) -> Option<State> {
        let flowing_since = *self.flowing_since.get_or_insert(now);
        match self.assistance {
            Assistance::Lost => return None,
            Assistance::Loading
                if now.saturating_duration_since(self.since) < LOADING_LASTS * silent_after =>
            {
                return Some(State::SelfTest);
            }
            Assistance::Loading => return Some(State::Degraded(Reason::Loading)),
            Assistance::Ready => {}
        }
        match result {
            Result::Plausible | Result::Implausible => {
                self.last_fresh = Some(now);
                (self.without_since, self.late, self.is_said) = (None, None, false);
                return Some(match result {
                    Result::Plausible => State::Assist,
                    _ => State::Degraded(Reason::Implausible),
                });
            }
            Result::TooOld(age) => self.late = Some(age),
            Result::None => {}
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let without = since(*self.without_since.get_or_insert(now));
        let quiet = since(self.last_result.map_or(flowing_since, |result| result.max(flowing_since)));
        let reason = match self.late {
            Some(age) if without >= LATE_AFTER && quiet <= RARE * silent_after => {
                let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                Some(Reason::Late { age_ms: millis(age), limit_ms: millis(max_age) })
            }
            _ if quiet > silent_after => Some(Reason::Silent),
            _ => None,
        };
        match reason {
            Some(reason) => {
                self.is_said = true;
                Some(State::Degraded(reason))
            }
            None if self.is_said || self.last_fresh.is_some_and(|at| since(at) < ASSIST_LASTS) => None,
            None => Some(State::Passthrough),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Duration = Duration::from_secs(1);
    const AGE: Duration = Duration::from_millis(120);

    /// States of frames `interval` apart for some seconds, whose results are `age` old when the next frame is shown, or never
    /// come.
    fn states(assistance: Assistance, interval_ms: u64, age_ms: Option<u64>, seconds: u64) -> Vec<State> {
        let start = Instant::now();
        let (mut judge, mut states) = (Judge::new(start), Vec::new());
        for frame in 0..seconds * 1000 / interval_ms {
            let now = start + Duration::from_millis(frame * interval_ms);
            judge.assistance(assistance, now);
            let result = match age_ms.filter(|_| frame > 0) {
                None => Result::None,
                Some(age) => {
                    judge.result_came(now);
                    let age = Duration::from_millis(age);
                    if age <= AGE { Result::Plausible } else { Result::TooOld(age) }
                }
            };
            if let Some(state) = judge.frame(result, now, SILENT, AGE)
                && states.last() != Some(&state)
            {
                states.push(state);
            }
        }
        states
    }

    #[test]
    fn a_camera_slower_than_the_age_limit_has_a_reason() {
        let late = State::Degraded(Reason::Late { age_ms: 143, limit_ms: 120 });
        let seven_a_second = states(Assistance::Ready, 143, Some(143), 10);
        assert_eq!(seven_a_second, [State::Passthrough, late.clone()]);
        let words = late.reason().unwrap();
        assert!(words.contains("143 ms") && words.contains("pipeline.max_age_ms allows 120"), "{words}");
    }

    #[test]
    fn no_result_at_all_is_silence_also_from_the_start() {
        assert_eq!(
            states(Assistance::Ready, 40, None, 10),
            [State::Passthrough, State::Degraded(Reason::Silent)]
        );
    }

    #[test]
    fn results_in_time_are_assistance() {
        assert_eq!(states(Assistance::Ready, 16, Some(40), 10), [State::Passthrough, State::Assist]);
    }

    #[test]
    fn a_model_that_never_loads_is_said() {
        assert_eq!(
            states(Assistance::Loading, 100, None, 60),
            [State::SelfTest, State::Degraded(Reason::Loading)]
        );
        assert_eq!(states(Assistance::Lost, 100, None, 60), []);
    }

    #[test]
    fn a_pause_in_the_frames_is_not_inferences_silence() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut judge = Judge::new(start);
        judge.assistance(Assistance::Ready, start);
        judge.result_came(start);
        assert_eq!(judge.frame(Result::Plausible, start, SILENT, AGE), Some(State::Assist));
        judge.no_frames();
        assert_eq!(judge.frame(Result::None, at(60_000), SILENT, AGE), Some(State::Passthrough));
        assert_eq!(judge.frame(Result::None, at(60_900), SILENT, AGE), Some(State::Passthrough));
        assert_eq!(judge.frame(Result::None, at(61_100), SILENT, AGE), Some(State::Degraded(Reason::Silent)));
    }

    #[test]
    fn slow_inference_does_not_flicker() {
        // A frame each 66 ms, a result each 2 s that is then 2 s old.
        let start = Instant::now();
        let (mut judge, mut states) = (Judge::new(start), Vec::new());
        for frame in 0..600 {
            let now = start + Duration::from_millis(66 * frame);
            judge.assistance(Assistance::Ready, now);
            let result = match frame {
                ..30 => Result::None,
                _ => Result::TooOld(Duration::from_secs(2)),
            };
            if frame % 30 == 29 {
                judge.result_came(now);
            }
            states.extend(judge.frame(result, now, SILENT, AGE));
        }
        states.dedup();
        let late = State::Degraded(Reason::Late { age_ms: 2000, limit_ms: 120 });
        assert_eq!(states, [State::Passthrough, State::Degraded(Reason::Silent), late]);
    }

    #[test]
    fn one_late_result_does_not_flicker() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut judge = Judge::new(start);
        judge.assistance(Assistance::Ready, start);
        judge.result_came(start);
        judge.frame(Result::Plausible, start, SILENT, AGE);
        assert_eq!(judge.frame(Result::TooOld(2 * AGE), at(200), SILENT, AGE), None);
        assert_eq!(judge.frame(Result::TooOld(2 * AGE), at(400), SILENT, AGE), Some(State::Passthrough));
    }
}
