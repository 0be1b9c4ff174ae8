//! What the program is doing for the person at the screen, and why.

use std::fmt;

use crate::capture::live::Why;

/// Why assistance is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bundle or its model cannot be used. For good.
    Model(String),
    /// The network failed while running, or no longer gives what it gave when it was made. For good.
    Inference(String),
    /// The model is not loaded after a long time. Until it is.
    Loading,
    /// No result for a long time. Until there is one.
    Silent,
    /// Results come, but each is older than the limit when the next frame is shown. Until they come in time.
    Late {
        /// Age of the newest result when the next frame is shown.
        age_ms: u64,
        /// What `pipeline.max_age_ms` allows.
        limit_ms: u64,
    },
    /// Frames come so far apart that no result can be in time for the next one. Until they come faster.
    Slow {
        /// From one frame to the next.
        interval_ms: u64,
        /// What `pipeline.max_age_ms` allows.
        limit_ms: u64,
    },
    /// Results come, but each belongs to another source or size than the frame that is shown next. Until one does not.
    Unmatched,
    /// Results that no picture can have. Until they are plausible again.
    Implausible,
    /// The computer is too hot. Until it has cooled down.
    Hot,
}

impl Reason {
    /// Another profile, another bundle or a restart is needed.
    pub fn is_final(&self) -> bool {
        matches!(self, Reason::Model(_) | Reason::Inference(_))
    }

    /// By which `docs/messages.md` explains it: the monitor shows it after its words.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Model(_) => "M1",
            Reason::Inference(_) => "M2",
            Reason::Loading => "M3",
            Reason::Silent => "M4",
            Reason::Late { .. } => "M5",
            Reason::Slow { .. } => "M6",
            Reason::Unmatched => "M7",
            Reason::Implausible => "M8",
            Reason::Hot => "H1",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Model(what) => write!(f, "model: {what}"),
            Reason::Inference(what) => write!(f, "inference: {what}"),
            Reason::Loading => f.write_str("the model is not loaded yet"),
            Reason::Silent => f.write_str("inference gives no results"),
            Reason::Late { age_ms, limit_ms } => write!(
                f,
                "results are {age_ms} ms old when the next frame is shown, and pipeline.max_age_ms allows {limit_ms}: \
                 raise it, or use a faster camera rate or a smaller model"
            ),
            Reason::Slow { interval_ms, limit_ms } => write!(
                f,
                "frames come {interval_ms} ms apart, so a result is at least that old when the next frame is shown, and \
                 pipeline.max_age_ms allows {limit_ms}: use a faster camera rate, or set pipeline.max_age_ms to {}",
                interval_ms.saturating_mul(3) / 2
            ),
            Reason::Unmatched => f.write_str(
                "results come, but each is of another source or frame size than the frame that is shown next: the camera or \
                 its signal changes again and again",
            ),
            Reason::Implausible => f.write_str("inference gives implausible results"),
            Reason::Hot => f.write_str("the computer is too hot"),
        }
    }
}

/// SelfTest → NoSignal ⇄ Passthrough ⇄ Assist → Degraded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The model is being loaded and tested; pictures go through.
    SelfTest,
    /// There are no pictures.
    NoSignal(Why),
    /// The picture goes through; there is no result fresh enough to draw.
    Passthrough,
    /// The picture goes through with what was found in it.
    Assist,
    /// The picture goes through without assistance.
    Degraded(Reason),
}

impl State {
    /// The word for [`State::NoSignal`].
    pub const NO_SIGNAL: &str = "no-signal";
    /// All words that [`Self::word`] gives.
    pub const WORDS: [&str; 5] = ["self-test", State::NO_SIGNAL, "passthrough", "assist", "degraded"];

    /// One word, for machines.
    pub fn word(&self) -> &'static str {
        match self {
            State::SelfTest => "self-test",
            State::NoSignal(_) => State::NO_SIGNAL,
            State::Passthrough => "passthrough",
            State::Assist => "assist",
            State::Degraded(_) => "degraded",
        }
    }

    /// Whether it is the same state for the same reason, but for figures that change all the time.
    fn is_alike(&self, other: &State) -> bool {
        match (self, other) {
            (State::Degraded(Reason::Late { .. }), State::Degraded(Reason::Late { .. }))
            | (State::Degraded(Reason::Slow { .. }), State::Degraded(Reason::Slow { .. })) => true,
            (one, other) => one == other,
        }
    }

    /// By which the reason is told from others; empty where there is none.
    pub fn code(&self) -> &'static str {
        match self {
            State::Degraded(reason) => reason.code(),
            _ => "",
        }
    }

    /// Why it is so, where there is a reason.
    pub fn reason(&self) -> Option<String> {
        match self {
            State::NoSignal(why) => Some(why.to_string()),
            State::Degraded(reason) => Some(reason.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::NoSignal(why) => write!(f, "no signal: {why}"),
            State::Degraded(reason) => write!(f, "degraded: {reason}"),
            _ => f.write_str(self.word()),
        }
    }
}

/// Holds the state; every transition is logged once.
#[derive(Debug)]
pub(crate) struct Machine {
    state: State,
    /// Why there will be no assistance until another model is in charge.
    lost: Option<Reason>,
    transitions: u64,
}

impl Default for Machine {
    fn default() -> Self {
        Machine { state: State::SelfTest, lost: None, transitions: 0 }
    }
}

impl Machine {
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Why there will be no assistance until another model is in charge.
    pub fn lost(&self) -> Option<&Reason> {
        self.lost.as_ref()
    }

    /// What a picture is told as that comes after there was none, where assistance is lost: nobody else tells it again.
    pub fn regained(&self) -> Option<State> {
        match (&self.state, &self.lost) {
            (State::NoSignal(_), Some(lost)) => Some(State::Degraded(lost.clone())),
            _ => None,
        }
    }

    /// Another model is in charge: what was lost is forgotten.
    pub fn recover(&mut self) {
        self.lost = None;
    }

    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Goes to a state; says whether it is another one. A lateness or slowness that only differs in its figures is the same. Once
    /// degraded for good, pictures and assistance are told as that, with the first reason; that there are no pictures is
    /// always told as it is.
    pub fn go(&mut self, next: State) -> bool {
        if let State::Degraded(reason) = &next
            && reason.is_final()
        {
            self.lost.get_or_insert_with(|| reason.clone());
        }
        let next = match (&self.lost, next) {
            (_, State::NoSignal(why)) => State::NoSignal(why),
            (Some(lost), _) => {
                if matches!(&self.state, State::Degraded(reason) if reason == lost) {
                    return false;
                }
                State::Degraded(lost.clone())
            }
            (None, next) => next,
        };
        if self.state.is_alike(&next) {
            return false;
        }
        match next {
            State::Degraded(_) => log::error!("{} → {next}", self.state),
            State::NoSignal(_) => log::warn!("{} → {next}", self.state),
            _ => log::info!("{} → {next}", self.state),
        }
        self.state = next;
        self.transitions += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_state_twice_is_one_transition_and_lost_assistance_stays_lost() {
        let mut machine = Machine::default();
        for state in [State::Passthrough, State::Passthrough, State::Assist, State::Passthrough] {
            machine.go(state);
        }
        assert_eq!(machine.transitions(), 3);
        let first = State::Degraded(Reason::Inference("it broke".into()));
        machine.go(first.clone());
        machine.go(State::Assist);
        machine.go(State::Degraded(Reason::Model("later".into())));
        assert_eq!((machine.state(), machine.transitions()), (&first, 4));
        assert_eq!(first.to_string(), "degraded: inference: it broke");
        assert!(machine.go(State::NoSignal(Why::Unplugged)));
        assert_eq!(machine.state().to_string(), "no signal: camera unplugged");
        assert_eq!(machine.regained(), Some(first.clone()));
        machine.go(State::Assist);
        assert_eq!(machine.regained(), None);
        assert_eq!(machine.state(), &first);
        machine.recover();
        assert!(machine.go(State::Assist), "another model is in charge");
    }

    #[test]
    fn figures_that_change_all_the_time_are_no_other_state() {
        let mut machine = Machine::default();
        let late = |age_ms| State::Degraded(Reason::Late { age_ms, limit_ms: 120 });
        let slow = |interval_ms| State::Degraded(Reason::Slow { interval_ms, limit_ms: 120 });
        assert!(
            machine.go(late(130))
                && !machine.go(late(140))
                && machine.go(slow(143))
                && !machine.go(slow(150))
        );
        assert_eq!(machine.state(), &slow(143));
        let told = slow(143).to_string();
        assert!(told.contains("143 ms apart") && told.contains("set pipeline.max_age_ms to 214"), "{told}");
    }

    #[test]
    fn silence_implausible_results_and_heat_pass() {
        let mut machine = Machine::default();
        for reason in [Reason::Silent, Reason::Unmatched, Reason::Implausible, Reason::Hot] {
            assert!(machine.go(State::Degraded(reason)));
            assert!(machine.go(State::Assist));
        }
    }
}
