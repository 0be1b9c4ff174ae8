//! What happened on a cart, for whoever has to answer for it: lines of JSON, each with the digest of the one before, so that a line
//! that was changed or taken out shows.
//!
//! | module | job |
//! |---|---|
//! | here | what is recorded |
//! | `trail` | the files: appending, rotation, and what an interrupted write has left |
//! | [`mod@check`] | whether the lines are all there and as they were written |
//!
//! # What is guaranteed, and what is not
//! Each line holds the SHA-256 of the line before it, over all files, and a file beside them holds the number and the digest of the last
//! one. So a line that was changed, taken out or put in between is found, and so is a cut at the end. Whoever can write to the folder can
//! write all of it anew: it is a record against accidents and against quiet corrections, not against the machine's owner. The oldest
//! lines are removed once all take 8 MiB.

pub mod check;
#[cfg(test)]
mod tests;
mod trail;

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use serde::Serialize;

use crate::bundle::Identity;
use crate::identity::{Program, boot_id};
use crate::runtime;
use trail::Trail;

const SCHEMA: u32 = 1;

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
struct Line<'a> {
    schema: u32,
    /// The first is 1.
    number: u64,
    unix_s: f64,
    uptime_s: f64,
    /// Of the machine's start in which it was written.
    boot_id: &'a str,
    /// Bytes of a line that a loss of power had left unfinished, and that were removed before this one.
    #[serde(skip_serializing_if = "is_none")]
    unfinished_bytes: u64,
    #[serde(flatten)]
    event: &'a Event,
    /// The SHA-256 of the line before, in hex, with its end; empty before the first.
    before: &'a str,
}

/// The files that a trail can have in its folder.
pub fn names() -> impl Iterator<Item = String> {
    trail::names().chain([trail::HEAD.to_owned()])
}

/// Appends to the audit trail in a folder, which is made if need be. On the disk when this returns.
///
/// # Errors
/// 74, with the folder.
pub fn append(folder: &Path, entry: &Entry) -> Result<()> {
    Trail::at(folder).append(entry, &boot_id())
}

/// As [`append`] for a command, whose work is done whether it can be recorded or not: that it cannot is a warning.
pub fn note(folder: Option<&Path>, event: Event) {
    if let Some(folder) = folder
        && let Err(error) = append(folder, &Entry::now(event))
    {
        log::warn!("{}", crate::fault::one_line(&error));
    }
}
