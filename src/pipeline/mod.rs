//! The threads between camera and monitor, and the single-slot mailboxes between them.
//!
//! ```text
//!              ┌─ newest frame ─▶ display ─▶ sink
//!    capture ──┤                     ▲ newest result
//!              └─ newest frame ─▶ inference
//!
//!    supervisor: starts them, exchanges feed, sink, model and settings while they go on, replaces what is lost
//! ```
//!
//! The display never waits for inference, for a file or for the log. An outline carries when it was last seen, of which source
//! and in which size of frame: what is older than `max_age` or does not match the frame is not drawn. Whatever happens to
//! inference, an error, a panic, implausible results or silence, the picture goes on and the corner says so. In lock step,
//! which is for simulation only, capture waits for the display and the display for each frame's result, so that a slow machine
//! draws every frame as a fast one would.
//!
//! | thread | policy | may wait for |
//! |---|---|---|
//! | `display` | real time if the profile says so | frames, its own sink's flip; it rests a moment if it never has to wait |
//! | `capture` | real time if the profile says so | its own camera or file |
//! | `inference` | ordinary | frames; if it hangs, it is replaced |
//! | `second` | less than ordinary | its own monitor; hands on what it has shown |
//! | `recording` | less than ordinary | pictures that were shown |
//! | `loader` | ordinary | the model's file; if it hangs, it is left behind |
//! | `closer` | ordinary | a display that closes |
//! | the caller's | ordinary | nothing: it supervises, and ends all in under a second |

mod aside;
mod capture;
mod display;
mod fade;
mod frames;
mod gauges;
mod inference;
mod judge;
pub(crate) mod mailbox;
mod pace;
mod priority;
mod progress;
mod recording;
mod retries;
mod second;
mod shared;
mod supervisor;
mod tally;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use jiff::tz::TimeZone;

pub use gauges::Gauges;
pub use inference::tested;
pub use supervisor::{Event, Load, Pipeline, run};
pub use tally::Lines;

use crate::bundle::manifest;
use crate::capture::live::{Camera, Counts};
use crate::capture::{Mask, Source};
use crate::detect::Region;
use crate::display::Shows;
use crate::frame::FrameNumber;
use crate::language::Words;
use crate::latency::Latencies;
use crate::latency::interval::Frames;
use crate::overlay::{CornerWish, Style};
use crate::recording::{Sign, Wish};
use crate::state::State;
use crate::thermal::Step;
use crate::track::{Rule, Shown};

/// How long a thread waits before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(100);

/// Opens a recorded source, in the thread that reads it: that may take as long as it likes.
pub type OpenSource = Box<dyn FnOnce() -> Result<Box<dyn Source>> + Send>;

/// Where a run's pictures come from.
pub enum Feed {
    /// Read one after another; the run ends with it.
    Recorded(OpenSource),
    /// Comes at its own pace, goes away and comes back.
    Live(Box<dyn Camera>),
}

impl Feed {
    /// A source that is open.
    pub fn recorded(source: impl Source + 'static) -> Feed {
        Feed::Recorded(Box::new(|| Ok(Box::new(source))))
    }
}

/// What a run is to be like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A result is not drawn if its frame was captured longer ago than this. Lock step has no such limit.
    pub max_age: Duration,
    /// Frames a second at which a recorded feed is read; as fast as it gives them if `None`.
    pub pace_hz: Option<f64>,
    /// Capture waits for the display, and the display for each frame's result. For simulation alone.
    pub lock_step: bool,
    /// How outlines look.
    pub style: Style,
    /// Whether the corner says so while outlines are drawn. That they are not is always said.
    pub glyph: bool,
    /// Where it says so.
    pub corner: CornerWish,
    /// What the monitor says.
    pub words: Arc<Words>,
    /// Of the times that it shows.
    pub zone: TimeZone,
    /// Outlines are drawn: at first this; from then on, what [`Pipeline::set_outlines`] says.
    pub outlines: bool,
    /// How often a region must be seen before it is shown; the model's own rule if `None`.
    pub gate: Option<manifest::Gate>,
    /// Frames over which a region that is shown is held where it was, if it is not found.
    pub hold_frames: u32,
    /// How much of the last outline is in the next one, 0..1.
    pub steady: f32,
    /// Over which a new mark becomes opaque.
    pub fade_in: Duration,
    /// Outlines are drawn where the picture has moved to since the frame in which they were found.
    pub follow_motion: bool,
    /// Inference that gives no result for longer than this while frames come counts as silent.
    pub silent_after: Duration,
    /// An inference thread that does not answer for so long is replaced.
    pub stuck_after: Duration,
    /// How often a golden frame is looked at again.
    pub recheck_after: Duration,
    /// Of capture and display, 1..=99; 0: none.
    pub realtime_priority: u8,
    /// What is done against heat: at first this; from then on, what [`Pipeline::set_heat`] says.
    pub heat: Step,
    /// Inferences a second, at most, while there are to be fewer because of heat.
    pub reduced_hz: f64,
    /// How pictures are recorded: from what is coded, [`Pipeline::ring`] holds the last seconds.
    pub recording: Option<Wish>,
    /// What a second monitor shows, if the display has one.
    pub second: Option<Shows>,
    /// What the monitor says of a recording: at first this; from then on, what [`Pipeline::set_sign`] says.
    pub sign: Sign,
    /// Since the start of the pipeline, over all feeds.
    pub most_frames: Option<u64>,
    /// Since the start of the pipeline; without end if `None`.
    pub most_time: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_age: Duration::from_millis(120),
            pace_hz: None,
            lock_step: false,
            style: Style::default(),
            glyph: true,
            corner: CornerWish::default(),
            words: Words::english(),
            zone: TimeZone::UTC,
            outlines: true,
            gate: None,
            hold_frames: 0,
            steady: 0.0,
            fade_in: Duration::ZERO,
            follow_motion: true,
            silent_after: Duration::from_secs(1),
            stuck_after: Duration::from_secs(30),
            recheck_after: Duration::from_secs(60),
            realtime_priority: 0,
            heat: Step::None,
            reduced_hz: 20.0,
            recording: None,
            second: None,
            sign: Sign::Off,
            most_frames: None,
            most_time: None,
        }
    }
}

impl Settings {
    /// What is done against heat. Nothing in lock step, which waits for each result and keeps no patient waiting.
    fn heat(&self) -> Step {
        if self.lock_step { Step::None } else { self.heat }
    }

    /// In lock step each frame has a result of its own.
    fn follows_motion(&self) -> bool {
        self.follow_motion && !self.lock_step
    }

    /// The rule for a model whose own gate this is.
    fn rule(&self, of_model: manifest::Gate) -> Rule {
        Rule { gate: self.gate.unwrap_or(of_model), hold_frames: self.hold_frames, steady: self.steady }
    }
}

/// How a run went.
pub struct Outcome {
    /// What the program was doing in the end.
    pub state: State,
    /// Changes of state.
    pub transitions: u64,
    /// What became of the frames.
    pub frames: Frames,
    /// Pictures that were coded for recordings.
    pub coded: u64,
    /// Frames of a recorded or rendered source that could not be read and were left out.
    pub unreadable: u64,
    /// How long each stage took.
    pub latencies: Arc<Latencies>,
    /// What the last live camera counted.
    pub counts: Option<Counts>,
    /// Why there is no assistance, with its exit code.
    pub lost: Option<anyhow::Error>,
    /// Threads that panicked, the display's apart.
    pub lost_threads: u32,
    /// The display's thread panicked, and its part of the counts is lost.
    pub display_lost: bool,
}

impl Default for Outcome {
    fn default() -> Self {
        Outcome {
            state: State::SelfTest,
            transitions: 0,
            frames: Frames::default(),
            coded: 0,
            unreadable: 0,
            latencies: Arc::default(),
            counts: None,
            lost: None,
            lost_threads: 0,
            display_lost: false,
        }
    }
}

/// What a run is doing.
pub struct Status<'a> {
    /// What the program is doing for the person at the screen.
    pub state: &'a State,
    /// Since when.
    pub since: SystemTime,
    /// What is done against heat.
    pub heat: Step,
    /// Frames that the display has taken so far.
    pub shown: u64,
    /// Of those, the ones with at least one region drawn.
    pub with_regions: u64,
    /// Why nobody sees the picture.
    pub dark: Option<&'a str>,
    /// What the pictures come from, one line; empty before there is one.
    pub feed: &'a str,
    /// What the pictures go to, one line.
    pub display: &'a str,
}

/// A picture that was shown.
pub struct Picture<'a> {
    /// The frame's.
    pub number: FrameNumber,
    /// The frame's.
    pub name: &'a OsStr,
    /// The frame's width and height in pixels.
    pub size_px: (usize, usize),
    /// When the frame was handed over by its source.
    pub at: Instant,
    /// When it was drawn.
    pub drawn_at: Instant,
    /// The true polyps, where the source knows them.
    pub truth: Option<&'a Mask>,
    /// What the program was doing for the person at the screen.
    pub state: &'a State,
    /// What was drawn; `None` where no result could be.
    pub result: Option<Drawn<'a>>,
}

impl Picture<'_> {
    /// The regions drawn.
    pub fn regions(&self) -> &[Region] {
        self.result.as_ref().map_or(&[], |result| result.shown.list())
    }
}

/// The result that was drawn on a picture.
pub struct Drawn<'a> {
    /// Of the frame in which it was found, and when that was handed over.
    pub number: FrameNumber,
    /// When that frame was handed over by its source.
    pub at: Instant,
    /// All that was found there, those that the gate holds back included.
    pub found: &'a [Region],
    /// What was drawn, and what the gate made of each of `found`.
    pub shown: &'a Shown,
}

/// Is told of a run, in the thread that shows: must not wait.
pub trait Observer: Send {
    /// A frame was shown.
    fn shown(&mut self, picture: &Picture<'_>) {
        let _ = picture;
    }
    /// At each change of state, and about once a second.
    fn status(&mut self, status: &Status<'_>) {
        let _ = status;
    }
    /// The thread has looked after frames, orders and its sink once more: many times a second, also without pictures.
    fn turned(&mut self) {}
}

/// Watches nothing.
impl Observer for () {}
