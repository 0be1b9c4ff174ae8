//! A folder with everything that a run needs, and the commands that start it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::chance::Chance;
use super::profile::put_base;
use super::{FRAMES_PER_SECOND, Profile, Workplace};
use crate::bundle;
use crate::program::Program;

/// A cart's files: `boards/base.toml` as it is shipped, `boards/test.toml` over it, the bundle of two convolutions in
/// `model`, the state in `state/state.json`, reports and pictures in `out`.
pub struct Cart {
    program: Program,
    place: Workplace,
}

impl Cart {
    /// With the machine to itself, for as long as it lives.
    pub fn alone(program: Program) -> Cart {
        Cart::new(program, Workplace::alone())
    }

    /// Beside other tests that do not measure time.
    pub fn shared(program: Program) -> Cart {
        Cart::new(program, Workplace::shared())
    }

    fn new(program: Program, place: Workplace) -> Cart {
        let cart = Cart { program, place };
        fs::create_dir(cart.at("boards")).unwrap();
        put_base(&cart.at("boards"));
        fs::create_dir(cart.at("state")).unwrap();
        fs::create_dir(cart.at("temporary")).unwrap();
        bundle::write(&cart.at("model"));
        cart.put(&cart.profile());
        cart
    }

    /// A path in the cart's folder.
    pub fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
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

    /// As [`Cart::put`], with any text.
    pub fn put_text(&self, text: &str) {
        fs::write(self.at("boards/next"), text).unwrap();
        fs::rename(self.at("boards/next"), self.at("boards/test.toml")).unwrap();
    }

    /// The program's verb `run` with the profile in place, in the cart's folder.
    pub fn command(&self) -> Command {
        self.dressed(self.program.command())
    }

    /// The program in the place of a shell that has done `first`, such as setting a limit.
    pub fn command_after(&self, first: &str) -> Command {
        self.dressed(self.shell(Command::new("sh"), first))
    }

    /// The same with mounts of its own, which go when the program does. Its files are under `/proc/PID/root`.
    pub fn command_with_mounts(&self, first: &str) -> Command {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh"]);
        self.dressed(self.shell(unshare, first))
    }

    fn shell(&self, mut command: Command, first: &str) -> Command {
        command.args(["-c", &format!("{first} && exec \"$0\" \"$@\""), self.program.0]);
        command
    }

    fn dressed(&self, mut command: Command) -> Command {
        command
            .args(["run", "--board", "boards/test.toml"])
            .current_dir(self.place.path())
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

    /// What the state file says; `None` if there is none. One that is there must be whole.
    pub fn state(&self) -> Option<serde_json::Value> {
        state_in(&self.at("state/state.json"))
    }
}

/// What a state file says; `None` if there is none. One that is there must be whole.
pub fn state_in(path: &Path) -> Option<serde_json::Value> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text:?}", path.display())))
}
