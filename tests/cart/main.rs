//! The program from outside, as a person meets it and among surroundings that misbehave: a log that nobody reads, slow and
//! full disks, limits, wrong profiles, signals, kills.
//!
//! Every test begins with its turn, a `Workplace` or a `Cart`: those that measure time run alone. All together take four
//! to five minutes.

mod as_cart;
mod assistance;
mod audit;
mod bench;
mod bundle_files;
mod bundles;
mod control;
mod endings;
mod errors;
mod files;
mod heat;
mod installed;
mod kills;
mod late_camera;
mod latencies;
mod limits;
mod live;
mod log_pipe;
mod metrics;
mod recording;
mod reloads;
mod reloads_many;
mod replay;
mod report;
mod run;
mod sandbox;
mod service;
mod signals;
mod slow_disk;
mod snapshot;
mod state_file;
mod stopped_threads;
mod threads;

use testing::program::Program;

const PROGRAM: Program = Program(env!("CARGO_BIN_EXE_polyp-edge"));
