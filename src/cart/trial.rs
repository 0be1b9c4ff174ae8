//! Whether a newly installed bundle proves itself: it must assist for a time without degradation, else the one before returns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::prepare::{Made, Opening};
use super::surroundings::Surroundings;
use crate::board::Board;
use crate::fault::one_line;
use crate::pipeline::mailbox::{Letter, Mailbox};
use crate::runtime;
use crate::state::{Reason, State};
use crate::store::{OnTrial, Verdict};

/// A program that has gone on for so long with a new bundle has survived its start. Progress is kept as often.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// Degradation that passes by itself may last so long.
const BEARABLE: Duration = Duration::from_secs(10);
/// And happen so often.
const MOST_LAPSES: u32 = 3;
/// A disk that does not answer is not waited for any longer.
const DISK_HANGS_AFTER: Duration = Duration::from_secs(10);
/// So many writes may be left behind; then nothing more is written.
const MOST_HANGING: u32 = 3;
/// A bundle that has failed and is still in charge after so long, for it could not be replaced, is to be replaced again.
const REPLACE_EVERY: Duration = Duration::from_secs(60);

/// The state, as the display's thread tells it.
#[derive(Default)]
pub(super) struct Watched(Mailbox<Told>);

struct Told(State);

impl Letter for Told {}

impl Watched {
    pub(super) fn tell(&self, state: &State) {
        self.0.put(Told(state.clone()));
    }
}

/// The trial of the bundle in charge, if it is on trial.
#[derive(Default)]
pub(super) struct Watch {
    states: Arc<Watched>,
    progress: Option<Progress>,
    /// A verdict that is being kept.
    keeping: Option<Keeping>,
    hanging: u32,
}

struct Keeping {
    digest: String,
    verdict: Verdict,
    kept: Opening<()>,
}

impl Watch {
    /// What the display's thread tells.
    pub(super) fn states(&self) -> Arc<Watched> {
        self.states.clone()
    }

    /// To be called every few milliseconds. Whether the bundle in charge has failed and another one is to be taken.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn attend(
        &mut self,
        surroundings: &impl Surroundings,
        board: &Board,
        made: &Made,
    ) -> Result<bool> {
        let state = self.states.0.try_take().map(|Told(state)| state);
        if let Some(Keeping { digest, verdict, kept }) = &mut self.keeping {
            match kept.poll() {
                Some(Ok(())) if *verdict == Verdict::Good => made.has_proved_itself(digest),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    log::warn!("how the trial of a new bundle goes cannot be kept: {}", one_line(&error));
                }
                None if kept.takes() > DISK_HANGS_AFTER => {
                    self.hanging += 1;
                    log::warn!(
                        "how the trial of a new bundle goes cannot be kept: the disk of store.folder has not answered for {} s",
                        DISK_HANGS_AFTER.as_secs()
                    );
                }
                None => return Ok(false),
            }
            let has_failed = matches!(verdict, Verdict::Failed(_));
            self.keeping = None;
            if has_failed {
                return Ok(true);
            }
        }
        let known = made.get();
        let Some(trial) = known.as_ref().and_then(|known| known.trial.as_ref()) else {
            self.progress = None;
            return Ok(false);
        };
        let now = runtime::now();
        if self.progress.as_ref().is_none_or(|progress| progress.trial != *trial) {
            self.progress = Some(Progress::new(trial.clone(), now));
        }
        let Some(progress) = &mut self.progress else { return Ok(false) };
        if progress.replace_at.is_some_and(|at| now >= at) {
            progress.replace_at = Some(now + REPLACE_EVERY);
            return Ok(true);
        }
        let needed = Duration::try_from_secs_f64(60.0 * board.profile.store.trial_minutes);
        let Some(verdict) = progress.look(state.as_ref(), now, needed.unwrap_or(Duration::MAX)) else {
            return Ok(false);
        };
        let has_failed = matches!(verdict, Verdict::Failed(_));
        if has_failed {
            progress.replace_at = Some(now + REPLACE_EVERY);
        } else if self.hanging >= MOST_HANGING {
            return Ok(false);
        }
        let (theirs, board, digest) = (surroundings.clone(), board.clone(), trial.digest.clone());
        let (its_digest, its_verdict) = (digest.clone(), verdict.clone());
        let keep = move || theirs.judge(&board, &its_digest, &its_verdict);
        self.keeping = Some(Keeping { digest, verdict, kept: Opening::start("bundle trial", keep)? });
        Ok(false)
    }
}

/// How one bundle's trial goes.
struct Progress {
    trial: OnTrial,
    /// Without degradation.
    assisted: Duration,
    /// How much of that is kept on the disk.
    kept: Duration,
    begun: Instant,
    looked: Instant,
    has_survived: bool,
    is_assisting: bool,
    /// Since when assistance is off for a reason, and for which.
    ill: Option<(Instant, String)>,
    /// How often it went off.
    lapses: u32,
    /// A verdict was given: there is none after it.
    is_over: bool,
    /// Once it has failed: when to ask again that another one takes its place.
    replace_at: Option<Instant>,
}

impl Progress {
    fn new(trial: OnTrial, now: Instant) -> Progress {
        Progress {
            assisted: trial.assisted,
            kept: trial.assisted,
            trial,
            begun: now,
            looked: now,
            has_survived: false,
            is_assisting: false,
            ill: None,
            lapses: 0,
            is_over: false,
            replace_at: None,
        }
    }

    /// Takes in a new state, if there is one, and what time it is.
    fn look(&mut self, state: Option<&State>, now: Instant, needed: Duration) -> Option<Verdict> {
        if self.is_over {
            return None;
        }
        if self.is_assisting {
            self.assisted += now.saturating_duration_since(self.looked);
        }
        self.looked = now;
        let mut is_final = false;
        if let Some(state) = state {
            self.is_assisting = *state == State::Assist;
            match state {
                // That is no fault of the bundle's.
                State::Degraded(Reason::Hot) => self.ill = None,
                State::Degraded(reason) => {
                    self.assisted = Duration::ZERO;
                    is_final = reason.is_final();
                    let since = self.ill.take().map_or_else(
                        || {
                            self.lapses += 1;
                            now
                        },
                        |(since, _)| since,
                    );
                    self.ill = Some((since, reason.to_string()));
                }
                _ => self.ill = None,
            }
        }
        if let Some((since, reason)) = &self.ill
            && self.trial.has_other
            && (is_final || self.lapses > MOST_LAPSES || now.saturating_duration_since(*since) >= BEARABLE)
        {
            self.is_over = true;
            let lapses = self.lapses;
            let often = if lapses > 1 { format!(", {lapses} times") } else { String::new() };
            return Some(Verdict::Failed(format!(
                "assistance was off while it was on trial{often}: {reason}"
            )));
        }
        if self.assisted >= needed {
            self.is_over = true;
            return Some(Verdict::Good);
        }
        let survives = !self.has_survived && now.saturating_duration_since(self.begun) >= KEEP_EVERY;
        if survives || self.assisted.abs_diff(self.kept) >= KEEP_EVERY {
            self.has_survived = true;
            self.kept = self.assisted;
            return Some(Verdict::Survives(self.assisted));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NEEDED: Duration = Duration::from_secs(150);

    fn progress(has_other: bool) -> (Progress, Instant) {
        let now = runtime::now();
        let trial = OnTrial { digest: "d".into(), what: "new 2".into(), assisted: Duration::ZERO, has_other };
        (Progress::new(trial, now), now)
    }

    /// What is said when the state is this one from one second to another.
    fn goes(
        progress: &mut Progress,
        begin: Instant,
        state: &State,
        seconds: std::ops::Range<u32>,
    ) -> Vec<(u32, Verdict)> {
        let mut look = |second| progress.look(Some(state), begin + second * SECOND, NEEDED);
        seconds
            .map(|second| (second, look(second)))
            .filter_map(|(second, said)| Some((second, said?)))
            .collect()
    }

    fn survives(seconds: u64) -> Verdict {
        Verdict::Survives(Duration::from_secs(seconds))
    }

    #[test]
    fn a_bundle_that_assists_for_long_enough_is_good() {
        let (mut progress, begin) = progress(true);
        let said = goes(&mut progress, begin, &State::Assist, 0..1000);
        assert_eq!(said, [(60, survives(60)), (120, survives(120)), (150, Verdict::Good)]);
    }

    #[test]
    fn time_without_pictures_does_not_count() {
        let (mut progress, begin) = progress(true);
        assert_eq!(goes(&mut progress, begin, &State::Passthrough, 0..500), [(60, survives(0))]);
        assert_eq!(goes(&mut progress, begin, &State::Assist, 500..560), []);
        let hot = State::Degraded(Reason::Hot);
        assert_eq!(goes(&mut progress, begin, &hot, 560..700), [(560, survives(60))]);
        let quiet = State::NoSignal(crate::capture::live::Why::NoDevice);
        assert_eq!(goes(&mut progress, begin, &quiet, 700..900), []);
        let said = goes(&mut progress, begin, &State::Assist, 900..1000);
        assert_eq!(said, [(960, survives(120)), (990, Verdict::Good)]);
    }

    #[test]
    fn a_model_that_fails_is_given_up_at_once_and_one_that_is_late_after_a_while() {
        let failed = State::Degraded(Reason::Inference("broken".into()));
        let late = State::Degraded(Reason::Silent);
        let (mut one, begin) = progress(true);
        assert_eq!(goes(&mut one, begin, &State::Assist, 0..50), []);
        let said = goes(&mut one, begin, &failed, 50..100);
        assert!(
            matches!(&said[..], [(50, Verdict::Failed(why))] if why.contains("inference: broken")),
            "{said:?}"
        );

        let (mut one, begin) = progress(true);
        goes(&mut one, begin, &State::Assist, 0..50);
        assert_eq!(goes(&mut one, begin, &late, 50..59), []);
        // It passed, and the time counts anew.
        assert_eq!(goes(&mut one, begin, &State::Assist, 59..209).last(), Some(&(180, survives(121))));
        assert_eq!(goes(&mut one, begin, &State::Assist, 209..220), [(209, Verdict::Good)]);

        let (mut one, begin) = progress(true);
        let said = goes(&mut one, begin, &late, 0..100);
        assert!(matches!(&said[..], [(10, Verdict::Failed(_))]), "{said:?}");
    }

    #[test]
    fn a_bundle_that_lapses_again_and_again_is_given_up() {
        let (mut one, begin) = progress(true);
        let mut said = Vec::new();
        for round in 0..5 {
            said.extend(goes(&mut one, begin, &State::Assist, 20 * round..20 * round + 18));
            said.extend(goes(
                &mut one,
                begin,
                &State::Degraded(Reason::Implausible),
                20 * round + 18..20 * round + 20,
            ));
        }
        let [(60, Verdict::Survives(_)), (78, Verdict::Failed(why))] = &said[..] else { panic!("{said:?}") };
        assert!(why.contains("4 times: inference gives implausible"), "{why}");
    }

    #[test]
    fn where_there_is_no_other_none_is_given_up() {
        let (mut one, begin) = progress(false);
        let failed = State::Degraded(Reason::Inference("broken".into()));
        assert_eq!(goes(&mut one, begin, &failed, 0..1000), [(60, survives(0))]);
        assert_eq!(goes(&mut one, begin, &State::Assist, 1000..2000).last(), Some(&(1150, Verdict::Good)));
    }
}
