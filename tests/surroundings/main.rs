//! `run` among surroundings that misbehave: a log that nobody reads, slow and full disks, limits, wrong profiles,
//! signals, kills. Each test drives the real program and watches it from outside: the picture as it comes out of
//! standard output, the log, the state file, and what `/proc` says.
//!
//! What is measured is the time between pictures as a viewer sees it. The bound is two frame times and 20 ms, plus the
//! noise of the machine while the test ran, which is measured too (see [`noise`]) and told when a test fails.
//!
//! Tests that measure time run alone. All together take three to four minutes.

#[path = "../bundle/mod.rs"]
mod bundle;

mod cart;
mod chance;
mod held_file;
mod log;
mod noise;
mod process;
mod running;
mod video;

mod assistance;
mod endings;
mod kills;
mod late_camera;
mod limits;
mod log_pipe;
mod reloads;
mod reloads_many;
mod slow_disk;
mod state_file;
mod threads;
