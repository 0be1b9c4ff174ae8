//! The three threads and the single-slot mailboxes between them.
//!
//! ```text
//!              ┌─ newest frame ─▶ display ─▶ sink
//!    capture ──┤                     ▲ newest result
//!              └─ newest frame ─▶ inference
//! ```
//!
//! The display never waits for inference; a result older than `max_age` is not drawn. Whatever happens to inference,
//! an error, a panic or silence, the picture goes on and the corner says so. In lock step, which is for simulation
//! only, capture waits for the display and the display for each frame's result, so that a slow machine draws every
//! frame as a fast one would.

mod display;
mod inference;
pub mod mailbox;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

pub use walk::{Following, Segmenter, Walk};

use crate::bundle::manifest;
use crate::capture::{Mask, Source};
use crate::detect::{Region, Regions};
use crate::display::Sink;
use crate::fault::Fault;
use crate::frame::{Frame, FrameNumber};
use crate::latency::{Latencies, Stage};
use crate::overlay::Style;
use crate::state::{Reason, State};

use mailbox::{ClosesOnDrop, Mailbox};

/// How long a thread waits before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a run is to be like.
#[derive(Clone, Debug)]
pub struct Settings {
    pub max_age: Duration,
    /// Frames a second at which the source is read; as fast as it gives them if `None`.
    pub pace_hz: Option<f64>,
    pub lock_step: bool,
    pub style: Style,
    pub glyph: bool,
    pub gate: manifest::Gate,
    pub most_frames: Option<u64>,
    pub most_time: Option<Duration>,
}

/// How a run went.
pub struct Outcome {
    pub state: State,
    /// Frames that the source gave, those shown, and those shown with at least one region drawn.
    pub captured: u64,
    pub shown: u64,
    pub with_regions: u64,
    /// Frames that inference never saw, because a newer one came.
    pub skipped: u64,
    pub latencies: Latencies,
    /// Why assistance was lost, with its exit code.
    pub lost: Option<anyhow::Error>,
}

/// Told of every frame shown, with its true mask where the source knows it and the regions drawn.
pub type Observer<'a> = dyn FnMut(&Frame, Option<&Mask>, &[Region]) + 'a;

/// A frame on its way.
struct Captured {
    frame: Frame,
    name: String,
    truth: Option<Mask>,
    at: Instant,
}

impl Captured {
    fn blank() -> Captured {
        Captured { frame: Frame::black(1, 1), name: String::new(), truth: None, at: Instant::now() }
    }

    fn copy_from(&mut self, other: &Captured) {
        self.frame.copy_from(&other.frame);
        self.name.clone_from(&other.name);
        self.at = other.at;
    }
}

/// What was found in a frame.
struct Found {
    number: FrameNumber,
    at: Instant,
    regions: Regions,
}

impl Found {
    fn blank() -> Found {
        Found { number: FrameNumber(0), at: Instant::now(), regions: Regions::default() }
    }
}

#[derive(Default)]
struct Boxes {
    display: Mailbox<Captured>,
    inference: Mailbox<Captured>,
    found: Mailbox<Found>,
    /// Why inference ended, as state and as error.
    lost: Mailbox<(Reason, anyhow::Error)>,
    /// In lock step: the display is done with a frame.
    finished: Mailbox<()>,
    stop: AtomicBool,
}

/// Runs until the source ends, a limit is reached, `stop` is set, or the display fails. `load` makes the walk in the
/// inference thread: the picture is shown meanwhile.
///
/// # Errors
/// The source's or the display's. That assistance was lost is not an error but in the outcome.
pub fn run<S: Segmenter>(
    source: &mut dyn Source,
    load: impl FnOnce() -> Result<Walk<S>> + Send,
    sink: &mut dyn Sink,
    settings: &Settings,
    stop: &AtomicBool,
    observer: &mut Observer<'_>,
) -> Result<Outcome> {
    let boxes = Boxes::default();
    thread::scope(|scope| {
        let capture = thread::Builder::new()
            .name("capture".into())
            .spawn_scoped(scope, || capture(source, settings, stop, &boxes))
            .map_err(no_thread)?;
        let inference = thread::Builder::new()
            .name("inference".into())
            .spawn_scoped(scope, || inference::work(load, settings, &boxes));
        let inference = match inference {
            Ok(inference) => inference,
            Err(error) => {
                boxes.stop.store(true, Ordering::Relaxed);
                return Err(no_thread(error));
            }
        };
        let shown = display::show(sink, settings, &boxes, observer);
        boxes.stop.store(true, Ordering::Relaxed);
        let captured = capture.join().unwrap_or_else(|_| Err(Fault::data("the source broke down (a panic)")));
        let latencies = inference.join().unwrap_or_default();
        let mut outcome = shown?;
        let (captured, capture_latencies) = captured?;
        outcome.captured = captured;
        outcome.skipped = boxes.inference.overwritten();
        outcome.latencies.merge(&latencies);
        outcome.latencies.merge(&capture_latencies);
        Ok(outcome)
    })
}

fn no_thread(error: std::io::Error) -> anyhow::Error {
    Fault::io(format!("cannot start a thread: {error}"))
}

/// The capture thread: source → both mailboxes. Gives the number of frames.
fn capture(
    source: &mut dyn Source,
    settings: &Settings,
    stop: &AtomicBool,
    boxes: &Boxes,
) -> Result<(u64, Latencies)> {
    let _closes = (ClosesOnDrop(&boxes.display), ClosesOnDrop(&boxes.inference));
    let mut latencies = Latencies::default();
    let (start, mut captured) = (Instant::now(), 0u64);
    let stopping = || stop.load(Ordering::Relaxed) || boxes.stop.load(Ordering::Relaxed);
    while settings.most_frames.is_none_or(|most| captured < most)
        && settings.most_time.is_none_or(|most| start.elapsed() < most)
        && !stopping()
    {
        if settings.lock_step && captured > 0 {
            if boxes.finished.take(PATIENCE).is_none() {
                continue;
            }
        } else if let Some(pace_hz) = settings.pace_hz.filter(|_| !settings.lock_step) {
            let due = Duration::from_secs_f64(captured as f64 / pace_hz);
            thread::sleep(due.saturating_sub(start.elapsed()).min(PATIENCE));
            if start.elapsed() < due {
                continue;
            }
        }
        let mut letter = boxes.display.blank().unwrap_or_else(Captured::blank);
        let begun = Instant::now();
        if !source.read(&mut letter.frame)? {
            break;
        }
        letter.at = Instant::now();
        latencies.record(Stage::Capture, letter.at - begun);
        letter.name.clear();
        letter.name.push_str(source.name());
        match (source.truth(), &mut letter.truth) {
            (Some(truth), Some(mine)) => mine.clone_from(truth),
            (truth, mine) => *mine = truth.cloned(),
        }
        captured += 1;
        let mut copy = boxes.inference.blank().unwrap_or_else(Captured::blank);
        copy.copy_from(&letter);
        boxes.inference.put(copy);
        boxes.display.put(letter);
    }
    Ok((captured, latencies))
}
