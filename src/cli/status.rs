//! The device's state in a file, for whoever watches over carts.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::Serialize;

use crate::board::Profile;
use crate::fault::Fault;
use crate::files::make_folder;
use crate::pipeline::Status;
use crate::pipeline::mailbox::Mailbox;

/// What the file holds.
#[derive(Serialize)]
struct Told<'a> {
    schema: u32,
    board: &'a str,
    /// `self-test`, `no-signal`, `passthrough`, `assist` or `degraded`.
    state: &'a str,
    reason: Option<String>,
    /// Seconds since 1970.
    since_unix_s: f64,
    written_unix_s: f64,
    shown: u64,
    shown_with_regions: u64,
    /// Why nobody sees the picture.
    dark: Option<&'a str>,
    feed: &'a str,
    display: &'a str,
}

/// Written by a thread of its own: a disk that hangs delays no picture. Whole or not at all, newest first.
pub(super) struct StatusFile {
    board: String,
    newest: Arc<Mailbox<String>>,
}

impl StatusFile {
    /// `None` if the profile names no file.
    pub(super) fn start(profile: &Profile) -> Result<Option<StatusFile>> {
        let Some(path) = profile.pipeline.state_file.clone() else { return Ok(None) };
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let newest = Arc::new(Mailbox::default());
        let mailbox = newest.clone();
        thread::Builder::new()
            .name("state file".into())
            .spawn(move || write(path, &mailbox))
            .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        Ok(Some(StatusFile { board: profile.name.clone(), newest }))
    }

    pub(super) fn tell(&self, status: &Status<'_>) {
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let told = Told {
            schema: 1,
            board: &self.board,
            state: status.state.word(),
            reason: status.state.reason(),
            since_unix_s: seconds(status.since),
            written_unix_s: seconds(SystemTime::now()),
            shown: status.shown,
            shown_with_regions: status.with_regions,
            dark: status.dark,
            feed: status.feed,
            display: status.display,
        };
        if let Ok(text) = serde_json::to_string_pretty(&told) {
            self.newest.put(text);
        }
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        self.newest.close();
    }
}

fn write(path: PathBuf, newest: &Mailbox<String>) {
    let mut failed = false;
    while !newest.is_over() {
        let Some(text) = newest.take(Duration::from_secs(1)) else { continue };
        let written = super::write_whole(&path, text.as_bytes());
        if let (Err(error), false) = (&written, failed) {
            log::warn!("the state is not written down: {error:#}");
        }
        failed = written.is_err();
    }
}
