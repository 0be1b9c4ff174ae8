//! `run`: camera → model → display, as a board profile says.

use std::path::PathBuf;

use anyhow::Result;

use crate::board::Board;
use crate::cart::sandbox::Sandbox;
use crate::cart::{self, Limits, Machine, Manager, Signals};
use crate::identity::Program;
use crate::{heap, logging};

/// Runs the program as on a cart: from the camera to the display, with outlines of what the model finds.
///
/// Ends with the source, after the number of frames or seconds given here or in the profile, or on a signal. The latency of
/// each stage is written to latency.txt and latency.json in the display's folder. If the source knows its polyps, as the
/// rendered endoscope does, the score is written to score.json. If the model cannot be used, the picture is shown without
/// it, and the run ends with the exit code of that problem.
///
/// SIGTERM, SIGINT and SIGQUIT end the run in under a second and restore the console; a second one ends it at once. SIGHUP
/// reloads the profile: everything that differs is opened and tested while the old profile stays in use, and is then taken
/// over in one step, or refused with a line in the log.
///
/// Started by systemd as a service of Type=notify, it says when it is ready, what it does, and that the display goes on in time.
/// From its start on it denies itself, by Landlock, all files that the profile does not let it need (pipeline.sandbox).
#[derive(clap::Args)]
pub struct Arguments {
    /// The board's profile.
    #[arg(long, value_name = "FILE")]
    board: PathBuf,
    /// Stop after this time.
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Stop after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Replace files in the display's folder that this program did not write.
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    logging::limit();
    heap::keep_small();
    let limits = Limits::new(arguments.seconds, arguments.frames)?;
    // Until here, and while the profile is read, a signal ends the program as it ends any other.
    let board = Board::load(&arguments.board)?;
    log::info!("{}: board {}, profile {}", Program::this(), board.profile.name, board.digest);
    for doubt in board.profile.doubts() {
        log::warn!("{doubt}");
    }
    let signals = Signals::watch()?;
    // First the manager: its socket lies elsewhere.
    let manager = Manager::from_environment();
    let sandbox = Sandbox::enter(&arguments.board, &board);
    let machine = Machine::new(manager, sandbox);
    cart::run(&machine, &signals, &arguments.board, arguments.force, limits, board)
}
