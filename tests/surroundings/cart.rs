//! A folder with everything that a run needs, and the commands that start it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io::{PipeReader, PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tempfile::TempDir;

use crate::bundle;
use crate::chance::Chance;

pub const FRAMES_PER_SECOND: f64 = 25.0;

/// Tests that measure time have the machine to themselves.
static MACHINE: RwLock<()> = RwLock::new(());

enum Turn {
    Alone(#[allow(dead_code)] RwLockWriteGuard<'static, ()>),
    Shared(#[allow(dead_code)] RwLockReadGuard<'static, ()>),
}

/// Lines of a profile, by key: `pipeline.max_age_ms` → `120`.
#[derive(Clone)]
pub struct Profile(BTreeMap<String, String>);

impl Profile {
    /// `value` as TOML has it: text with its quotation marks.
    pub fn with(mut self, key: &str, value: impl Display) -> Profile {
        self.0.insert(key.into(), value.to_string());
        self
    }

    pub fn with_path(self, key: &str, path: &Path) -> Profile {
        self.with(key, format!("{path:?}"))
    }

    pub fn text(&self) -> String {
        let lines = self.0.iter().map(|(key, value)| format!("{key} = {value}\n"));
        format!("name = \"test\"\ninherits = \"base\"\n{}", lines.collect::<String>())
    }
}

/// A cart's files: `boards/base.toml` as it is shipped, `boards/test.toml` over it, the bundle of two convolutions in
/// `model`, the state in `state/state.json`, reports and pictures in `out`.
pub struct Cart {
    _turn: Turn,
    folder: TempDir,
}

impl Cart {
    /// With the machine to itself, for as long as it lives.
    pub fn alone() -> Cart {
        Cart::new(Turn::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Beside other tests that do not measure time.
    pub fn shared() -> Cart {
        Cart::new(Turn::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn new(turn: Turn) -> Cart {
        let cart = Cart { _turn: turn, folder: tempfile::tempdir().unwrap() };
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards/base.toml");
        fs::create_dir(cart.at("boards")).unwrap();
        fs::copy(base, cart.at("boards/base.toml")).unwrap();
        fs::create_dir(cart.at("state")).unwrap();
        fs::create_dir(cart.at("temporary")).unwrap();
        bundle::write(&cart.at("model"));
        cart.put(&cart.profile());
        cart
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The rendered endoscope at 25 frames a second; in each of its pictures the small model finds something.
    pub fn profile(&self) -> Profile {
        Profile(BTreeMap::new())
            .with("camera.source", "\"synthetic:seed=7,size=160x120\"")
            .with("camera.rate_hz", format!("{FRAMES_PER_SECOND:.1}"))
            .with("model.bundle", "\"../model\"")
            .with("display.kind", "\"y4m\"")
            .with_path("pipeline.state_file", &self.at("state/state.json"))
    }

    /// Puts a profile in place in one step: a reload never meets half of it.
    pub fn put(&self, profile: &Profile) {
        self.put_text(&profile.text());
    }

    pub fn put_text(&self, text: &str) {
        fs::write(self.at("boards/next"), text).unwrap();
        fs::rename(self.at("boards/next"), self.at("boards/test.toml")).unwrap();
    }

    pub fn command(&self) -> Command {
        self.dressed(Command::new(env!("CARGO_BIN_EXE_polyp-edge")))
    }

    /// The program in the place of a shell that has done `first`, such as setting a limit.
    pub fn command_after(&self, first: &str) -> Command {
        self.dressed(shell(Command::new("sh"), first))
    }

    /// The same with mounts of its own, which go when the program does. Its files are under `/proc/PID/root`.
    pub fn command_with_mounts(&self, first: &str) -> Command {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh"]);
        self.dressed(shell(unshare, first))
    }

    fn dressed(&self, mut command: Command) -> Command {
        command
            .args(["run", "--board", "boards/test.toml"])
            .current_dir(self.folder.path())
            .env_remove("RUST_LOG")
            .env("TMPDIR", self.at("temporary"));
        command
    }

    /// A recording of `frames` frames of 160×120 without anything to find, but with much to write.
    pub fn recording(&self, frames: usize) -> PathBuf {
        let path = self.at("recording.y4m");
        let mut chance = Chance::of(3);
        let pixels: Vec<u8> = (0..3 * 160 * 120).map(|_| 90 + chance.below_count(20) as u8).collect();
        let frame = [&b"FRAME\n"[..], &pixels].concat();
        let header = &b"YUV4MPEG2 W160 H120 F25:1 C444\n"[..];
        fs::write(&path, [header, &frame.repeat(frames)].concat()).unwrap();
        path
    }

    pub fn state(&self) -> Option<serde_json::Value> {
        state_in(&self.at("state/state.json"))
    }
}

fn shell(mut command: Command, first: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_polyp-edge");
    command.args(["-c", &format!("{first} && exec \"$0\" \"$@\""), program]);
    command
}

/// What a state file says; `None` if there is none. One that is there must be whole.
pub fn state_in(path: &Path) -> Option<serde_json::Value> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text:?}", path.display())))
}

/// A pipe that takes no byte more until somebody reads.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    // Whole pages, so that none has room left.
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

pub fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Puts a FIFO that nobody writes in the place of a file.
pub fn replace_by_fifo(path: &Path) {
    fs::remove_file(path).unwrap();
    make_fifo(path);
}

/// Whether this user may mount file systems of his own; else says that the test is skipped.
pub fn may_mount(test: &str) -> bool {
    let mut command = Command::new("unshare");
    let tried = command.args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("{test}: skipped, because mounts are not permitted here");
    }
    may
}
