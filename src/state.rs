//! What the program is doing for the person at the screen, and why.

use std::fmt;

/// Why assistance is off for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bundle or its model cannot be used.
    Model(String),
    /// The network failed while running.
    Inference(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Model(what) => write!(f, "model: {what}"),
            Reason::Inference(what) => write!(f, "inference: {what}"),
        }
    }
}

/// SelfTest → NoSignal ⇄ Passthrough ⇄ Assist → Degraded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing has been shown yet.
    SelfTest,
    /// The source gives no frames.
    NoSignal,
    /// The picture goes through; there is no result fresh enough to draw.
    Passthrough,
    /// The picture goes through with what was found in it.
    Assist,
    /// The picture goes through; there will be no results until a restart.
    Degraded(Reason),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::SelfTest => f.write_str("self-test"),
            State::NoSignal => f.write_str("no signal"),
            State::Passthrough => f.write_str("passthrough"),
            State::Assist => f.write_str("assist"),
            State::Degraded(reason) => write!(f, "degraded: {reason}"),
        }
    }
}

/// Holds the state; every transition is logged once.
#[derive(Debug)]
pub struct Machine {
    state: State,
    transitions: u64,
}

impl Default for Machine {
    fn default() -> Self {
        Machine { state: State::SelfTest, transitions: 0 }
    }
}

impl Machine {
    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Goes to a state, if it is another one. Degraded is not left, and its first reason stays.
    pub fn go(&mut self, next: State) {
        if self.state == next || matches!(self.state, State::Degraded(_)) {
            return;
        }
        match next {
            State::Degraded(_) => log::error!("{} → {next}", self.state),
            _ => log::info!("{} → {next}", self.state),
        }
        self.state = next;
        self.transitions += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_state_twice_is_one_transition_and_degraded_stays() {
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
    }
}
