//! The device's state in a file, for whoever watches over carts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde::Serialize;

use super::surroundings::Surroundings;
use crate::board::Profile;
use crate::fault::{Fault, one_line};
use crate::pipeline::Status;
use crate::pipeline::mailbox::{Letter, Mailbox};
use crate::runtime;
use crate::runtime::sync::Mutex;
use crate::state::State;

/// How often the thread that writes looks whether there is something to write.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the file holds.
#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    board: &'a str,
    /// Of the process that wrote it.
    pid: u32,
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
    /// The program goes on; `false` is the last that it says.
    running: bool,
}

/// What the display's thread tells.
#[derive(Clone)]
struct LastReport {
    state: State,
    since: SystemTime,
    shown: u64,
    with_regions: u64,
    dark: Option<String>,
    feed: String,
    display: String,
}

impl Letter for LastReport {}

/// Where it is written to: changes with the profile.
#[derive(Clone, PartialEq)]
struct Target {
    board: String,
    path: Option<PathBuf>,
}

impl Target {
    fn of(profile: &Profile) -> Target {
        Target { board: profile.name.clone(), path: profile.pipeline.state_file.clone() }
    }
}

/// Written by a thread of its own: a disk that hangs delays no picture. Whole or not at all, newest first.
pub(super) struct StatusFile {
    shared: Arc<Shared>,
}

struct Shared {
    newest: Mailbox<LastReport>,
    target: Mutex<Target>,
    /// The target is another one: it is written anew at once.
    is_moved: AtomicBool,
    ended: AtomicBool,
}

/// Tells the state; never waits.
pub(super) struct Teller(Arc<Shared>);

impl Teller {
    pub(super) fn tell(&self, status: &Status<'_>) {
        self.0.newest.put(LastReport {
            state: status.state.clone(),
            since: status.since,
            shown: status.shown,
            with_regions: status.with_regions,
            dark: status.dark.map(str::to_owned),
            feed: status.feed.to_owned(),
            display: status.display.to_owned(),
        });
    }
}

impl StatusFile {
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(surroundings: &impl Surroundings, profile: &Profile) -> Result<StatusFile> {
        let shared = Arc::new(Shared {
            newest: Mailbox::default(),
            target: Mutex::new(Target::of(profile)),
            is_moved: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let (theirs, surroundings) = (shared.clone(), surroundings.clone());
        runtime::thread::spawn("state file", move || theirs.work(&surroundings))
            .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        Ok(StatusFile { shared })
    }

    pub(super) fn teller(&self) -> Teller {
        Teller(self.shared.clone())
    }

    /// Writes where another profile says from now on.
    pub(super) fn set_target(&self, profile: &Profile) {
        let target = Target::of(profile);
        let mut current = self.shared.target.lock();
        if *current != target {
            *current = target;
            self.shared.is_moved.store(true, Ordering::Release);
        }
    }

    /// Waits until the last that was told is written, at most until `deadline`; whether it is.
    pub(super) fn finish(self, deadline: Instant) -> bool {
        self.shared.newest.close();
        while !self.shared.ended.load(Ordering::Acquire) {
            if runtime::now() >= deadline {
                return false;
            }
            runtime::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Shared {
    fn work(&self, surroundings: &impl Surroundings) {
        let (mut last, mut has_failed): (Option<LastReport>, bool) = (None, false);
        loop {
            let told = self.newest.take(LOOK_EVERY);
            let is_over = self.newest.is_over();
            let is_moved = self.is_moved.swap(false, Ordering::AcqRel);
            let is_new = told.is_some();
            last = told.or(last);
            if let Some(last) = last.as_ref().filter(|_| is_new || is_moved || is_over) {
                let target = self.target.lock().clone();
                let written = target.path.as_ref().map_or(Ok(()), |path| {
                    surroundings.write_state(path, &last.text(&target.board, !is_over)?)
                });
                match &written {
                    Err(error) if !has_failed => {
                        let path = target.path.as_deref().unwrap_or(Path::new(""));
                        log::warn!("cannot write the state file {}: {}", path.display(), one_line(error));
                    }
                    Ok(()) if has_failed => log::info!("the state file is written again"),
                    _ => {}
                }
                has_failed = written.is_err();
            }
            if is_over {
                break;
            }
        }
        self.ended.store(true, Ordering::Release);
    }
}

impl LastReport {
    fn text(&self, board: &str, running: bool) -> Result<String> {
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Ok(serde_json::to_string_pretty(&Written {
            schema: 1,
            board,
            pid: std::process::id(),
            state: self.state.word(),
            reason: self.state.reason(),
            since_unix_s: seconds(self.since),
            written_unix_s: seconds(runtime::wall_clock()),
            shown: self.shown,
            shown_with_regions: self.with_regions,
            dark: self.dark.as_deref(),
            feed: &self.feed,
            display: &self.display,
            running,
        })?)
    }
}
