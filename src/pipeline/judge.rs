//! What the state is, from the frames that are shown and the results that come.
//!
//! A frame is shown as soon as it comes, so what can be drawn on it is the result of the frame before at best: a result is never
//! younger than the time between two frames. Where that is more than the age limit, none is ever drawn, however fast inference is.
//! Whatever the cause, a time without results that can be drawn has a reason in the end: [`Judge::frame`] gives
//! [`State::Passthrough`] for at most [`LATE_AFTER`] more of it than there was with them.

use std::time::{Duration, Instant};

use super::shared::Assistance;
use crate::state::{Reason, State};

/// Results that come this far apart still count as assistance: the state is not to flicker with each late one.
const ASSIST_LASTS: Duration = Duration::from_millis(300);
/// After so long without results that can be drawn, although some come, that is the reason.
const LATE_AFTER: Duration = Duration::from_secs(2);
/// Time with results that can be drawn makes up for so many times as much without: where fewer than a third of the frames have
/// one, outlines would only flash up.
const RECOVERS: u32 = 2;
/// What a single pause in the frames counts for at most.
const LONGEST_STEP: Duration = Duration::from_millis(500);
/// The same in the time between frames.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);
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
    last_frame: Option<Instant>,
    /// From one frame to the next, smoothed.
    interval: Duration,
    last_result: Option<Instant>,
    last_fresh: Option<Instant>,
    /// Time without a result that can be drawn, less [`RECOVERS`] times the time with one: from 0 to [`LATE_AFTER`].
    without: Duration,
    /// The age of the last result that came too late since that was 0.
    late: Option<Duration>,
    /// Why nothing is drawn, once it was said: it stays so until there is one in time, or, where results come too late, until most
    /// are, so that the state does not flicker.
    said: Option<Reason>,
}

impl Judge {
    pub(super) fn new(now: Instant) -> Judge {
        Judge {
            assistance: Assistance::Loading,
            since: now,
            flowing_since: None,
            last_frame: None,
            interval: Duration::ZERO,
            last_result: None,
            last_fresh: None,
            without: Duration::ZERO,
            late: None,
            said: None,
        }
    }

    /// Takes in whether results can be expected.
    pub(super) fn assistance(&mut self, assistance: Assistance, now: Instant) {
        if self.assistance != assistance {
            (self.assistance, self.since) = (assistance, now);
            (self.without, self.late) = (Duration::ZERO, None);
            self.no_frames();
        }
    }

    /// A result has come, whatever its age.
    pub(super) fn result_came(&mut self, now: Instant) {
        self.last_result = Some(now);
    }

    /// The frames have come to a stop.
    pub(super) fn no_frames(&mut self) {
        (self.flowing_since, self.said) = (None, None);
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
        let step = self.step(now);
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
            Result::Plausible | Result::Implausible => return Some(self.fresh(result, step, now)),
            Result::TooOld(age) => self.late = Some(age),
            Result::None => {}
        }
        self.without = (self.without + step).min(LATE_AFTER);
        let since = |at: Instant| now.saturating_duration_since(at);
        let quiet = since(self.last_result.map_or(flowing_since, |result| result.max(flowing_since)));
        let is_long = self.without >= LATE_AFTER;
        let reason = match self.late {
            Some(age) if is_long && quiet <= RARE * silent_after => Some(self.lateness(age, max_age)),
            _ if quiet > silent_after => Some(Reason::Silent),
            None if is_long => Some(Reason::Unmatched),
            _ => None,
        };
        match reason {
            Some(reason) => {
                self.said = Some(reason.clone());
                Some(State::Degraded(reason))
            }
            None if self.said.is_some() || self.last_fresh.is_some_and(|at| since(at) < ASSIST_LASTS) => None,
            None => Some(State::Passthrough),
        }
    }

    /// The time since the frame before, as far as one frame counts.
    fn step(&mut self, now: Instant) -> Duration {
        let Some(before) = self.last_frame.replace(now) else { return Duration::ZERO };
        let gap = now.saturating_duration_since(before);
        let counted = gap.min(LONGEST_INTERVAL);
        self.interval = if self.interval.is_zero() { counted } else { (3 * self.interval + counted) / 4 };
        gap.min(LONGEST_STEP)
    }

    /// The state with a result that can be drawn.
    fn fresh(&mut self, result: Result, step: Duration, now: Instant) -> State {
        self.last_fresh = Some(now);
        self.without = self.without.saturating_sub(RECOVERS * step);
        if let Some(reason) = &self.said
            && *reason != Reason::Silent
            && !self.without.is_zero()
        {
            return State::Degraded(reason.clone());
        }
        self.said = None;
        if self.without.is_zero() {
            self.late = None;
        }
        match result {
            Result::Implausible => State::Degraded(Reason::Implausible),
            _ => State::Assist,
        }
    }

    /// Why results are this old when they could be drawn.
    fn lateness(&self, age: Duration, max_age: Duration) -> Reason {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let limit_ms = millis(max_age);
        if self.interval > max_age {
            Reason::Slow { interval_ms: millis(self.interval), limit_ms }
        } else {
            Reason::Late { age_ms: millis(age), limit_ms }
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
        let slow = State::Degraded(Reason::Slow { interval_ms: 143, limit_ms: 120 });
        let seven_a_second = states(Assistance::Ready, 143, Some(143), 10);
        assert_eq!(seven_a_second, [State::Passthrough, slow.clone()]);
        let words = slow.reason().unwrap();
        assert!(words.contains("143 ms") && words.contains("pipeline.max_age_ms allows 120"), "{words}");
    }

    #[test]
    fn slow_inference_has_another_reason_than_a_slow_camera() {
        let late = State::Degraded(Reason::Late { age_ms: 150, limit_ms: 120 });
        assert_eq!(states(Assistance::Ready, 16, Some(150), 10), [State::Passthrough, late]);
    }

    /// The states of frames `interval` apart, where the result of each is as `result` says.
    fn with_results(interval_ms: u64, frames: u64, result: impl Fn(u64) -> Result) -> Vec<State> {
        let start = Instant::now();
        let (mut judge, mut states) = (Judge::new(start), Vec::new());
        for frame in 0..frames {
            let now = start + Duration::from_millis(frame * interval_ms);
            judge.assistance(Assistance::Ready, now);
            judge.result_came(now);
            states.extend(judge.frame(result(frame), now, SILENT, AGE));
        }
        states.dedup();
        states
    }

    /// At 8 frames a second one result in eight is in time by chance: outlines would flash up again and again, and nobody would
    /// be told why.
    #[test]
    fn results_that_are_in_time_by_chance_are_no_assistance() {
        let late = Duration::from_millis(125);
        let chance = |frame: u64| if frame % 8 == 7 { Result::Plausible } else { Result::TooOld(late) };
        let states = with_results(125, 400, chance);
        let told = State::Degraded(Reason::Slow { interval_ms: 125, limit_ms: 120 });
        assert_eq!(states.last(), Some(&told), "{states:?}");
        let changes = states.iter().filter(|state| **state == State::Assist).count();
        assert!(changes <= 4, "{states:?}");
        // Two of three in time are assistance.
        let mostly =
            |frame: u64| if frame.is_multiple_of(3) { Result::TooOld(late) } else { Result::Plausible };
        let states = with_results(60, 400, mostly);
        assert!(!states.iter().any(|state| matches!(state, State::Degraded(_))), "{states:?}");
    }

    #[test]
    fn results_of_other_frames_than_those_shown_have_a_reason() {
        let states = with_results(16, 400, |_| Result::None);
        assert_eq!(states, [State::Passthrough, State::Degraded(Reason::Unmatched)]);
    }

    /// At one frame a second there is no signal before each, and what is said between does not begin anew each time.
    #[test]
    fn pauses_between_frames_do_not_hide_the_reason() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let (mut judge, mut states) = (Judge::new(start), Vec::new());
        for second in 0..20 {
            judge.assistance(Assistance::Ready, at(1050 * second));
            judge.result_came(at(1050 * second));
            let result = Result::TooOld(Duration::from_millis(1050));
            states.extend(judge.frame(result, at(1050 * second), SILENT, AGE));
            judge.no_frames();
        }
        states.dedup();
        let slow = State::Degraded(Reason::Slow { interval_ms: 1000, limit_ms: 120 });
        assert_eq!(states, [State::Passthrough, slow]);
    }

    #[test]
    fn assistance_is_back_a_second_after_results_are_in_time_again() {
        let late = Duration::from_millis(400);
        let slow_at_first = |frame: u64| if frame < 300 { Result::TooOld(late) } else { Result::Plausible };
        let start = Instant::now();
        let mut judge = Judge::new(start);
        let mut back = None;
        for frame in 0..600 {
            let now = start + Duration::from_millis(16 * frame);
            judge.assistance(Assistance::Ready, now);
            judge.result_came(now);
            if judge.frame(slow_at_first(frame), now, SILENT, AGE) == Some(State::Assist) {
                back = back.or(Some(frame - 300));
            }
        }
        assert_eq!(back.map(|frames| frames * 16 / 100), Some(9), "{back:?}");
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
