//! The program, started as a person would.

use std::path::Path;
use std::process::{Command, Output};

/// Where the program is. Cargo says that to the integration tests of its package alone:
/// `Program(env!("CARGO_BIN_EXE_polyp-edge"))`.
#[derive(Clone, Copy, Debug)]
pub struct Program(pub &'static str);

impl Program {
    /// The program's file.
    pub fn path(self) -> &'static Path {
        Path::new(self.0)
    }

    /// A command that starts it, without arguments.
    pub fn command(self) -> Command {
        Command::new(self.0)
    }

    /// Runs it in a folder, with a log of warnings and errors.
    pub fn run(self, folder: &Path, arguments: &[&str]) -> Output {
        self.command().args(arguments).current_dir(folder).env("RUST_LOG", "warn").output().unwrap()
    }
}
