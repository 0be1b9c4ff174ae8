//! Frames that could not be read.

use std::ffi::OsStr;

use anyhow::Result;
use serde::Serialize;

use super::lines::readable;
use crate::capture::DamagedFrame;
use crate::fault::Fault;

/// So many damaged frames are named in the summary.
const MOST_NAMED: usize = 20;
/// So many damaged frames are named in the log.
const MOST_LOGGED: u64 = 100;

/// The frames that could not be read.
#[derive(Default, Serialize)]
pub(super) struct Damaged {
    pub count: u64,
    /// The first of them.
    names: Vec<String>,
}

impl Damaged {
    pub(super) fn add(&mut self, name: &OsStr, error: &DamagedFrame) {
        self.count += 1;
        let name = readable(name);
        if self.names.len() < MOST_NAMED {
            self.names.push(name.clone());
        }
        match self.count {
            ..=MOST_LOGGED => log::warn!("{name} is left out: {error}"),
            count if count == MOST_LOGGED + 1 => {
                log::warn!("further damaged frames are counted but not named")
            }
            _ => {}
        }
    }

    /// An error (exit 65) if there are any.
    pub(super) fn check(&self, frames: u64) -> Result<()> {
        let all = frames + self.count;
        match (self.count, self.names.first()) {
            (0, _) | (_, None) => Ok(()),
            (1, Some(name)) => Err(Fault::data(format!("1 of {all} frames is damaged and left out: {name}"))),
            (count, Some(name)) => Err(Fault::data(format!(
                "{count} of {all} frames are damaged and left out; the first of them is {name}"
            ))),
        }
    }
}

/// An error (exit 65) if there are any, whose names the log has.
pub(super) fn check(count: u64, frames: u64) -> Result<()> {
    match count {
        0 => Ok(()),
        _ => Err(Fault::data(format!(
            "{count} of {} frames are damaged and left out; the log names them",
            frames + count
        ))),
    }
}
