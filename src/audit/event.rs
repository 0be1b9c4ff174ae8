//! What an audit trail records.

use std::time::SystemTime;

use serde::Serialize;

use crate::bundle::Identity;
use crate::bundle::manifest::Sensitivity;
use crate::control::Way;
use crate::identity::Program;
use crate::runtime;

pub(super) const SCHEMA: u32 = 1;

/// Something worth knowing afterwards.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run has begun.
    Started {
        /// Which program.
        program: Program,
        /// The profile's name.
        board: String,
        /// The profile's digest.
        profile_digest: String,
    },
    /// Another profile is in force.
    Reloaded {
        /// The profile's digest.
        profile_digest: String,
    },
    /// A reload was refused, and all stays as it was.
    ReloadRefused {
        /// One line.
        why: String,
    },
    /// A model is being tested, or is in charge already.
    Model {
        /// Which.
        model: Identity,
        /// It was installed, and has yet to prove itself.
        on_trial: bool,
    },
    /// What the program does for the person at the screen has changed.
    State {
        /// As in the state file.
        state: &'static str,
        /// Why, if there is a reason.
        reason: Option<String>,
        /// Changes since the last that is recorded, of which there were too many.
        #[serde(skip_serializing_if = "is_none")]
        omitted: u64,
    },
    /// Another step against heat.
    Heat {
        /// As in the state file.
        step: &'static str,
        /// Of the hottest sensor.
        celsius: Option<f32>,
    },
    /// Somebody in the room has switched outlines off or on.
    Outlines {
        /// They are drawn now.
        on: bool,
        /// Who.
        by: Way,
    },
    /// Somebody in the room has changed how readily polyps are marked.
    Sensitivity {
        /// To this.
        to: Sensitivity,
        /// Who.
        by: Way,
    },
    /// Somebody in the room has switched to another source of pictures.
    Input {
        /// Its name in the profile.
        to: String,
        /// Who.
        by: Way,
    },
    /// Something that somebody in the room wants to find again.
    Mark {
        /// What.
        text: String,
        /// Who.
        by: Way,
    },
    /// Somebody in the room has kept a picture.
    Snapshot {
        /// The folder's name.
        name: String,
        /// Who.
        by: Way,
    },
    /// A recording has begun.
    RecordingBegun {
        /// The folder's name.
        name: String,
        /// Who asked for it; nobody where everything is recorded.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<Way>,
    },
    /// A recording has ended.
    RecordingEnded {
        /// The name of its last folder.
        name: String,
        /// Why.
        why: String,
        /// In all of its folders.
        pictures: u64,
        /// Pictures that could not be written in time.
        missing: u64,
    },
    /// A recording does not succeed; it is tried again.
    RecordingFailed {
        /// One line.
        why: String,
    },
    /// The run has ended.
    Stopped {
        /// With this code.
        exit_code: u8,
    },
    /// A bundle was installed, and is on trial from its next start on.
    Installed {
        /// Its name and version.
        bundle: String,
        /// Its digest.
        digest: String,
    },
    /// A bundle was not installed.
    InstallRefused {
        /// What was to be installed.
        path: String,
        /// One line.
        why: String,
    },
    /// A bundle on trial has become the good one.
    TrialPassed {
        /// Its name and version.
        bundle: String,
        /// Its digest.
        digest: String,
    },
    /// A bundle on trial was given up.
    TrialFailed {
        /// Its name and version.
        bundle: String,
        /// Its digest.
        digest: String,
        /// One line.
        why: String,
    },
    /// Somebody went back to another bundle.
    RolledBack {
        /// To this one.
        bundle: String,
        /// Its digest.
        digest: String,
    },
    /// Events that could not be recorded, for the disk did not keep up.
    Lost {
        /// How many.
        events: u64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What.
    pub event: Event,
    /// Seconds since 1970.
    pub unix_s: f64,
    /// Seconds since the machine's start.
    pub uptime_s: f64,
}

impl Entry {
    /// It happens now.
    pub fn now(event: Event) -> Entry {
        let time = runtime::wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Entry { event, unix_s: time.as_secs_f64(), uptime_s: runtime::since_boot().as_secs_f64() }
    }
}

/// A line.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub schema: u32,
    /// The first is 1.
    pub number: u64,
    pub unix_s: f64,
    pub uptime_s: f64,
    /// Of the machine's start in which it was written.
    pub boot_id: &'a str,
    /// Whether the clock was in step with a time server when it was written; `null` if the system does not say.
    pub clock_is_synchronised: Option<bool>,
    /// Bytes of a line that a loss of power had left unfinished, and that were removed before this one.
    #[serde(skip_serializing_if = "is_none")]
    pub unfinished_bytes: u64,
    #[serde(flatten)]
    pub event: &'a Event,
    /// The SHA-256 of the line before, in hex, with its end; empty before the first.
    pub before: &'a str,
}
