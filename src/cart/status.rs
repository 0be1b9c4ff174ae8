//! The device's state in a file, for whoever watches over carts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::Serialize;

use super::heat::Told;
use super::manager::Notice;
use super::prepare::Made;
use super::recordings::Told as Recorded;
use super::surroundings::Surroundings;
use crate::board::Board;
use crate::bundle::Identity;
use crate::fault::{Fault, one_line};
use crate::identity::{Program, boot_id};
use crate::pipeline::Status;
use crate::pipeline::mailbox::{Letter, Mailbox};
use crate::runtime;
use crate::runtime::sync::Mutex;
use crate::state::State;

/// How often the thread that writes looks whether there is something to write.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Written in place of a state that could not be replaced.
const STALE: &str = "{\"schema\": 1, \"stale\": true}\n";

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is shown yet.
    Starting,
    Running,
    /// It was told to end, or its source is at its end.
    Stopping,
    /// With this exit code.
    Stopped(u8),
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
            Phase::Stopped(_) => "stopped",
        }
    }

    fn exit_code(self) -> Option<u8> {
        match self {
            Phase::Stopped(code) => Some(code),
            _ => None,
        }
    }
}

/// What the file holds.
#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    program: &'a Program,
    board: &'a str,
    profile_digest: &'a str,
    /// In charge or being tested.
    model: Option<&'a Identity>,
    /// It was installed, and has yet to prove itself.
    on_trial: bool,
    /// Of the machine's start in which it was written.
    boot_id: &'a str,
    /// Of the process that wrote it.
    pid: u32,
    /// `starting`, `running`, `stopping` or `stopped`.
    phase: &'static str,
    /// Once it is stopped.
    exit_code: Option<u8>,
    /// `self-test`, `no-signal`, `passthrough`, `assist` or `degraded`.
    state: &'a str,
    reason: Option<String>,
    /// Seconds since 1970.
    since_unix_s: f64,
    /// The same; about once a second as long as the program shows pictures.
    written_unix_s: f64,
    /// Seconds since the machine's start: unlike the clock on the wall, it never jumps.
    written_uptime_s: f64,
    shown: u64,
    shown_with_regions: u64,
    heat: &'a Told,
    /// Outlines are drawn where there are any; `false` if somebody in the room has switched them off.
    outlines: bool,
    recording: &'a Recorded,
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

impl LastReport {
    /// Before the display's thread has told anything.
    fn at_start() -> LastReport {
        LastReport {
            state: State::SelfTest,
            since: runtime::wall_clock(),
            shown: 0,
            with_regions: 0,
            dark: None,
            feed: "none yet".into(),
            display: "none yet".into(),
        }
    }

    /// What a service manager shows of the run.
    fn line(&self) -> String {
        match &self.dark {
            Some(why) => format!("{}; nobody sees the picture: {why}", self.state),
            None => self.state.to_string(),
        }
    }
}

/// Where it is written to, and what it is of: changes with the profile.
#[derive(Clone)]
struct Target {
    board: String,
    profile_digest: String,
    path: Option<PathBuf>,
    made: Made,
}

impl Target {
    fn of(board: &Board, made: &Made) -> Target {
        Target {
            board: board.profile.name.clone(),
            profile_digest: board.digest.clone(),
            path: board.profile.pipeline.state_file.clone(),
            made: made.clone(),
        }
    }
}

/// Written by a thread of its own: a disk that hangs delays no picture. Whole or not at all, newest first.
pub(super) struct StatusFile {
    shared: Arc<Shared>,
}

struct Shared {
    program: Program,
    newest: Mailbox<LastReport>,
    target: Mutex<Target>,
    phase: Mutex<Phase>,
    heat: Mutex<Told>,
    outlines: AtomicBool,
    recording: Mutex<Recorded>,
    /// What the display's thread told last.
    last: Mutex<LastReport>,
    /// Of the machine's start, once the thread that writes has asked for it.
    boot_id: Mutex<String>,
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
    pub(super) fn start(surroundings: &impl Surroundings, board: &Board, made: &Made) -> Result<StatusFile> {
        let shared = Arc::new(Shared {
            program: Program::this(),
            newest: Mailbox::default(),
            target: Mutex::new(Target::of(board, made)),
            phase: Mutex::new(Phase::Starting),
            heat: Mutex::default(),
            outlines: AtomicBool::new(true),
            recording: Mutex::new(Recorded { state: "none", ..Recorded::default() }),
            last: Mutex::new(LastReport::at_start()),
            boot_id: Mutex::default(),
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

    /// Writes where another profile says from now on, and of which model.
    pub(super) fn set_target(&self, board: &Board, made: &Made) {
        *self.shared.target.lock() = Target::of(board, made);
        self.shared.is_moved.store(true, Ordering::Release);
    }

    /// What the sensors say and what is done about it: written with the next state, or at once if another step was taken.
    pub(super) fn set_heat(&self, told: Told) {
        let before = std::mem::replace(&mut *self.shared.heat.lock(), told.clone());
        if before.step != told.step {
            self.shared.is_moved.store(true, Ordering::Release);
        }
    }

    /// Outlines were switched off or on: written at once.
    pub(super) fn set_outlines(&self, are_on: bool) {
        self.shared.outlines.store(are_on, Ordering::Release);
        self.shared.is_moved.store(true, Ordering::Release);
    }

    /// How recordings go; with news, it is written at once.
    pub(super) fn set_recording(&self, told: Recorded, is_news: bool) {
        *self.shared.recording.lock() = told;
        if is_news {
            self.shared.is_moved.store(true, Ordering::Release);
        }
    }

    /// What the file would hold now; asks the system for nothing.
    ///
    /// # Errors
    /// If it cannot be put into words.
    pub(super) fn now(&self) -> Result<serde_json::Value> {
        let shared = &self.shared;
        let (last, target, phase) =
            (shared.last.lock().clone(), shared.target.lock().clone(), *shared.phase.lock());
        let boot_id = shared.boot_id.lock().clone();
        Ok(serde_json::from_str(&shared.text(&last, &boot_id, &target, phase)?)?)
    }

    /// The run is going to end.
    pub(super) fn stopping(&self) {
        *self.shared.phase.lock() = Phase::Stopping;
        self.shared.is_moved.store(true, Ordering::Release);
    }

    /// Waits until the last that was told is written with the exit code, as long as it may; whether it is.
    pub(super) fn finish(self, exit_code: u8, may_wait: impl Fn() -> bool) -> bool {
        *self.shared.phase.lock() = Phase::Stopped(exit_code);
        self.shared.newest.close();
        while !self.shared.ended.load(Ordering::Acquire) {
            if !may_wait() {
                return false;
            }
            runtime::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Shared {
    fn work(&self, surroundings: &impl Surroundings) {
        let boot_id = boot_id();
        self.boot_id.lock().clone_from(&boot_id);
        let (mut last, mut is_new, mut has_failed) = (LastReport::at_start(), true, false);
        let mut told = String::new();
        loop {
            let line = last.line();
            if line != told && surroundings.notify(&Notice::Status(&line)) {
                told = line;
            }
            let is_over = self.newest.is_over();
            let is_moved = self.is_moved.swap(false, Ordering::AcqRel);
            if is_new || is_moved || is_over {
                has_failed = !self.write(&last, &boot_id, surroundings, has_failed);
            }
            if is_over {
                break;
            }
            let told = self.newest.take(LOOK_EVERY);
            is_new = told.is_some();
            if let Some(told) = told {
                last = told;
                self.last.lock().clone_from(&last);
                let mut phase = self.phase.lock();
                if *phase == Phase::Starting {
                    *phase = Phase::Running;
                }
            }
        }
        self.ended.store(true, Ordering::Release);
    }

    /// Whether it could be written. `has_failed`: the last time it could not, which the log has said.
    fn write(
        &self,
        last: &LastReport,
        boot_id: &str,
        surroundings: &impl Surroundings,
        has_failed: bool,
    ) -> bool {
        let target = self.target.lock().clone();
        let phase = *self.phase.lock();
        let Some(path) = &target.path else { return true };
        let written =
            self.text(last, boot_id, &target, phase).and_then(|text| surroundings.write_state(path, &text));
        match &written {
            Err(error) if !has_failed => {
                log::warn!("cannot write the state file {}: {}", path.display(), one_line(error));
                surroundings.state_is_stale(path, STALE);
            }
            Ok(()) if has_failed => log::info!("the state file is written again"),
            _ => {}
        }
        written.is_ok()
    }

    fn text(&self, last: &LastReport, boot_id: &str, target: &Target, phase: Phase) -> Result<String> {
        let (heat, recording) = (self.heat.lock().clone(), self.recording.lock().clone());
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let known = target.made.get();
        Ok(serde_json::to_string_pretty(&Written {
            schema: 1,
            program: &self.program,
            board: &target.board,
            profile_digest: &target.profile_digest,
            model: known.as_ref().map(|known| &known.ingredients.identity),
            on_trial: known.as_ref().is_some_and(|known| known.trial.is_some()),
            boot_id,
            pid: std::process::id(),
            phase: phase.word(),
            exit_code: phase.exit_code(),
            state: last.state.word(),
            reason: last.state.reason(),
            since_unix_s: seconds(last.since),
            written_unix_s: seconds(runtime::wall_clock()),
            written_uptime_s: runtime::since_boot().as_secs_f64(),
            shown: last.shown,
            shown_with_regions: last.with_regions,
            heat: &heat,
            outlines: self.outlines.load(Ordering::Acquire),
            recording: &recording,
            dark: last.dark.as_deref(),
            feed: &last.feed,
            display: &last.display,
            running: !matches!(phase, Phase::Stopped(_)),
        })?)
    }
}
