//! A cart's program watched from outside: the picture as it comes out of standard output, the log, the state file, and
//! what `/proc` says.
//!
//! What is measured is the time between pictures as a viewer sees it. The bound is two frame times and 20 ms, plus the
//! noise of the machine while the test ran, which is measured too (see [`noise`]) and told when a test fails.

pub mod chance;
mod files;
#[expect(unsafe_code, reason = "a call of the kernel")]
pub mod held_file;
#[expect(unsafe_code, reason = "calls of the kernel")]
pub mod killed;
pub mod log;
pub mod noise;
pub mod process;
mod profile;
pub mod running;
#[expect(unsafe_code, reason = "calls of the kernel")]
pub mod stopped;
pub mod system;
pub mod video;
mod workplace;

pub use files::{Cart, state_in};
pub use profile::{Profile, put_base, put_board};
pub use workplace::Workplace;

/// What a cart's rendered endoscope gives, unless its profile says otherwise.
pub const FRAMES_PER_SECOND: f64 = 25.0;
