//! What can be asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bundle::manifest::Sensitivity;
use crate::runtime::channel::Sender;

/// The longest text of a mark, in characters.
pub const LONGEST_MARK: usize = 200;
/// The longest name of a source, in characters.
pub const LONGEST_NAME: usize = 32;

/// What is asked for. On the socket: `{"order":"outlines","to":"toggle"}`, `{"order":"sensitivity","to":"quiet"}`,
/// `{"order":"mark","text":"caecum"}`, `{"order":"snapshot"}`, `{"order":"record","to":"start"}`, `{"order":"status"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Outlines are to be drawn, or not.
    Outlines {
        /// What they are to be.
        to: Switch,
    },
    /// How readily polyps are to be marked, until the profile is reloaded. A bundle may not have every point.
    Sensitivity {
        /// The point.
        to: Sensitivity,
    },
    /// Pictures are to come from another source, until the profile is reloaded.
    Input {
        /// Its name in the profile, or `next`.
        to: String,
    },
    /// An event worth finding again: into the audit trail.
    Mark {
        /// One line, at most [`LONGEST_MARK`] characters.
        text: String,
    },
    /// A picture is to be kept, with what is drawn on it.
    Snapshot,
    /// What is shown is to be recorded, or no longer.
    Record {
        /// Which.
        to: Record,
    },
    /// What the program is doing, as the state file has it.
    Status,
}

/// Off, on, or the other of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// Off.
    Off,
    /// On.
    On,
    /// On if it is off, off if it is on.
    Toggle,
}

impl Switch {
    /// What is on afterwards.
    pub fn of(self, is_on: bool) -> bool {
        match self {
            Switch::Off => false,
            Switch::On => true,
            Switch::Toggle => !is_on,
        }
    }
}

/// What is to become of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// Record from now on, with the last seconds before, if the profile has them held.
    Start,
    /// End the recording.
    Stop,
    /// Start if nothing is recorded, stop if something is.
    Toggle,
    /// Keep the last seconds alone.
    Last,
}

/// What a key or a button may be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// No outlines from the next frame on.
    OutlinesOff,
    /// Outlines again.
    OutlinesOn,
    /// The other of the two.
    OutlinesToggle,
    /// No outlines for as long as it is held down.
    OutlinesOffWhileHeld,
    /// A mark in the audit trail.
    Mark,
    /// A picture is kept.
    Snapshot,
    /// Pictures come from the next source.
    InputNext,
    /// A recording begins.
    RecordStart,
    /// It ends.
    RecordStop,
    /// It begins or ends.
    RecordToggle,
    /// The last seconds are kept.
    RecordLast,
}

impl Action {
    /// What is asked for when it is pressed, or let go; `by` names the key or the button in a mark.
    pub fn order(self, is_pressed: bool, by: &str) -> Option<Order> {
        match (self, is_pressed) {
            (Action::OutlinesOff | Action::OutlinesOffWhileHeld, true) => {
                Some(Order::Outlines { to: Switch::Off })
            }
            (Action::OutlinesOn, true) | (Action::OutlinesOffWhileHeld, false) => {
                Some(Order::Outlines { to: Switch::On })
            }
            (Action::OutlinesToggle, true) => Some(Order::Outlines { to: Switch::Toggle }),
            (Action::Snapshot, true) => Some(Order::Snapshot),
            (Action::InputNext, true) => Some(Order::Input { to: "next".into() }),
            (Action::RecordStart, true) => Some(Order::Record { to: Record::Start }),
            (Action::RecordStop, true) => Some(Order::Record { to: Record::Stop }),
            (Action::RecordToggle, true) => Some(Order::Record { to: Record::Toggle }),
            (Action::RecordLast, true) => Some(Order::Record { to: Record::Last }),
            (Action::Mark, true) => Some(Order::Mark { text: format!("{by} was pressed") }),
            _ => None,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A program of this user, by the socket.
    Socket {
        /// Its user's number.
        uid: u32,
    },
    /// A key, a pedal or a button, such as `KEY_F13 of /dev/input/event3` or `line 17 of /dev/gpiochip0`.
    Button(String),
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// It was carried out.
    pub ok: bool,
    /// Why not, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether outlines are drawn where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlines: Option<Switch>,
    /// How readily polyps are marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// The folder of the picture that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
    /// The name of the source that pictures come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Whether what is shown is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Switch>,
    /// The state file's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

impl Answer {
    /// It was done.
    pub fn done() -> Answer {
        Answer {
            ok: true,
            error: None,
            outlines: None,
            sensitivity: None,
            kept: None,
            input: None,
            recording: None,
            state: None,
        }
    }

    /// It was not, for this reason.
    pub fn refused(why: impl Into<String>) -> Answer {
        Answer { ok: false, error: Some(why.into()), ..Answer::done() }
    }

    /// Recording is so now.
    pub fn recording(is_on: bool) -> Answer {
        Answer { recording: Some(if is_on { Switch::On } else { Switch::Off }), ..Answer::done() }
    }

    /// Outlines are so now.
    pub fn outlines(are_on: bool) -> Answer {
        Answer { outlines: Some(if are_on { Switch::On } else { Switch::Off }), ..Answer::done() }
    }
}

/// An order on its way to the thread that carries it out.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub order: Order,
    /// By whom.
    pub way: Way,
    /// Where the answer goes, if anybody waits for one.
    pub answer: Option<Sender<Answer>>,
}

/// An order as a line has it.
///
/// # Errors
/// What is wrong with it, one line.
pub fn parse(line: &[u8]) -> Result<Order, String> {
    let order: Order = serde_json::from_slice(line).map_err(|error| {
        format!("this is no order: {error}; write, for example, {{\"order\":\"outlines\",\"to\":\"off\"}}")
    })?;
    match &order {
        Order::Input { to } if to.chars().count() > LONGEST_NAME => {
            Err(format!("a source's name has {LONGEST_NAME} characters at most"))
        }
        Order::Mark { text } if text.trim().is_empty() => Err("a mark needs a text".into()),
        Order::Mark { text } if text.chars().count() > LONGEST_MARK => {
            Err(format!("a mark's text may have {LONGEST_MARK} characters"))
        }
        Order::Mark { text } if text.chars().any(char::is_control) => {
            Err("a mark's text may have no control characters".into())
        }
        _ => Ok(order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_what_the_documentation_says() {
        let parsed = |line: &str| parse(line.as_bytes());
        assert_eq!(
            parsed(r#"{"order":"outlines","to":"toggle"}"#),
            Ok(Order::Outlines { to: Switch::Toggle })
        );
        assert_eq!(parsed(r#"{"order":"status"}"#), Ok(Order::Status));
        assert_eq!(parsed(r#"{"order":"snapshot"}"#), Ok(Order::Snapshot));
        assert_eq!(parsed(r#"{"order":"record","to":"last"}"#), Ok(Order::Record { to: Record::Last }));
        assert_eq!(parsed(r#"{"order":"mark","text":"caecum"}"#), Ok(Order::Mark { text: "caecum".into() }));
        let long = format!(r#"{{"order":"mark","text":"{}"}}"#, "ä".repeat(LONGEST_MARK + 1));
        for wrong in [
            "",
            "status",
            "[]",
            r#"{"order":"outlines"}"#,
            r#"{"order":"outlines","to":"maybe"}"#,
            r#"{"order":"outlines","to":"off","more":1}"#,
            r#"{"order":"record"}"#,
            r#"{"order":"shutdown"}"#,
            r#"{"order":"mark","text":" "}"#,
            r#"{"order":"mark","text":"two\nlines"}"#,
            &long,
        ] {
            assert!(parsed(wrong).is_err_and(|why| !why.contains('\n')), "{wrong}");
        }
        assert!(parse(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn a_switch_does_what_it_says() {
        for (switch, from_off, from_on) in
            [(Switch::Off, false, false), (Switch::On, true, true), (Switch::Toggle, true, false)]
        {
            assert_eq!((switch.of(false), switch.of(true)), (from_off, from_on));
        }
    }
}
