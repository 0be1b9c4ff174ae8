//! The three threads and the single-slot mailboxes between them.
//!
//! ```text
//!              ┌─ newest frame ─▶ display ─▶ sink
//!    capture ──┤                     ▲ newest result
//!              └─ newest frame ─▶ inference
//! ```
//!
//! The display never waits for inference; a result older than `max_age` is not drawn. Whatever happens to inference,
//! an error, a panic, nonsense or silence, the picture goes on and the corner says so. In lock step, which is for
//! simulation only, capture waits for the display and the display for each frame's result, so that a slow machine draws
//! every frame as a fast one would.
//!
//! A run ends within a second of being told to: a capture thread that does not come back is left behind. The inference
//! thread serves one run after another, so that a reload that leaves the model as it was loses no frame of assistance, and
//! one that changes it never has two models in memory.

mod capture;
mod display;
mod inference;
pub mod mailbox;
mod progress;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

pub use walk::{Following, Placed, Segmenter, Walk};

use crate::capture::live::{Absence, Camera, Counts, Lease};
use crate::capture::{Mask, Source};
use crate::detect::{Region, Regions};
use crate::display::Sink;
use crate::fault::Fault;
use crate::frame::{Frame, FrameNumber, View};
use crate::latency::Latencies;
use crate::overlay::Style;
use crate::state::{Reason, State};
use crate::track::{Rule, Shown};

use inference::{Job, Load};
use mailbox::{Letter, Mailbox};
use progress::Progress;

/// How long a thread waits before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a run waits for its threads when it ends by itself, and when it was told to.
const LAST_WAIT: Duration = Duration::from_secs(5);
const SHORT_WAIT: Duration = Duration::from_millis(350);

/// Where a run's pictures come from.
pub enum Feed {
    /// Read one after another; the run ends with it.
    Recorded(Box<dyn Source>),
    /// Comes at its own pace, goes away and comes back.
    Live(Box<dyn Camera>),
}

/// What a run is to be like.
#[derive(Clone, Debug)]
pub struct Settings {
    pub max_age: Duration,
    /// Frames a second at which a recorded feed is read; as fast as it gives them if `None`.
    pub pace_hz: Option<f64>,
    pub lock_step: bool,
    pub style: Style,
    pub glyph: bool,
    pub rule: Rule,
    /// A frame that inference works on for longer than this counts as silence.
    pub silent_after: Duration,
    /// How often a golden frame is looked at again.
    pub recheck_after: Duration,
    /// Of capture and display, 1..=99; 0: none.
    pub realtime_priority: u8,
    pub most_frames: Option<u64>,
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
            rule: Rule::of(crate::bundle::manifest::Gate { appear: 1, window: 1 }),
            silent_after: Duration::from_secs(1),
            recheck_after: Duration::from_secs(60),
            realtime_priority: 0,
            most_frames: None,
            most_time: None,
        }
    }
}

/// How a run went.
pub struct Outcome {
    pub state: State,
    /// Changes of state.
    pub transitions: u64,
    /// Frames that the source gave, those shown, and those shown with at least one region drawn.
    pub captured: u64,
    pub shown: u64,
    pub with_regions: u64,
    /// Frames that inference never saw, because a newer one came.
    pub skipped: u64,
    /// Frames that the display never saw for the same reason, and those that it could not take.
    pub not_shown: u64,
    pub latencies: Latencies,
    /// What a live camera counted.
    pub counts: Option<Counts>,
    /// Why assistance was lost, with its exit code.
    pub lost: Option<anyhow::Error>,
    /// To go on with in another run; `None` if its thread did not come back.
    pub feed: Option<Feed>,
}

impl Outcome {
    /// Goes on with what a later run of the same program gave.
    pub fn add(&mut self, later: Outcome) {
        self.state = later.state;
        self.transitions += later.transitions;
        self.captured += later.captured;
        self.shown += later.shown;
        self.with_regions += later.with_regions;
        self.skipped += later.skipped;
        self.not_shown += later.not_shown;
        self.latencies.merge(&later.latencies);
        self.counts = later.counts.or(self.counts);
        self.lost = later.lost;
        self.feed = later.feed;
    }
}

/// What a run is doing.
pub struct Status<'a> {
    pub state: &'a State,
    /// Since when.
    pub since: SystemTime,
    pub shown: u64,
    pub with_regions: u64,
    /// Why nobody sees the picture.
    pub dark: Option<&'a str>,
    /// One line of what feed and display are.
    pub feed: &'a str,
    pub display: &'a str,
}

/// Is told of a run, in the thread that shows.
pub trait Observer {
    /// A frame was shown; its true mask where the source knows it, and the regions drawn.
    fn shown(&mut self, truth: Option<&Mask>, regions: &[Region]) {
        let _ = (truth, regions);
    }
    /// At each change of state, and about once a second. Must not wait.
    fn status(&mut self, status: &Status<'_>) {
        let _ = status;
    }
}

/// Watches nothing.
impl Observer for () {}

/// A frame on its way: lent by a camera, or with pixels of its own.
struct Captured {
    frame: Frame,
    lease: Option<Lease>,
    number: FrameNumber,
    name: String,
    truth: Option<Mask>,
    at: Instant,
}

impl Captured {
    fn blank() -> Captured {
        Captured {
            frame: Frame::black(1, 1),
            lease: None,
            number: FrameNumber(0),
            name: String::new(),
            truth: None,
            at: Instant::now(),
        }
    }

    fn view(&self) -> View<'_> {
        self.lease.as_ref().map_or_else(|| self.frame.view(), Lease::view)
    }

    /// For inference: lent pixels are lent once more, others copied.
    fn copy_from(&mut self, other: &Captured) {
        match &other.lease {
            Some(lease) => self.lease = Some(lease.clone()),
            None => self.frame.copy_from(&other.frame),
        }
        self.number = other.number;
        self.at = other.at;
    }
}

impl Letter for Captured {
    fn clear(&mut self) {
        self.lease = None;
    }
}

/// What was found in a frame.
struct Found {
    number: FrameNumber,
    at: Instant,
    /// All, and those to be drawn.
    regions: Regions,
    shown: Shown,
    implausible: bool,
}

impl Found {
    fn blank() -> Found {
        Found {
            number: FrameNumber(0),
            at: Instant::now(),
            regions: Regions::default(),
            shown: Shown::default(),
            implausible: false,
        }
    }
}

impl Letter for Found {}
impl Letter for (Reason, anyhow::Error) {}
impl Letter for Absence {}
impl Letter for String {}
impl Letter for () {}

#[derive(Default)]
struct Boxes {
    display: Mailbox<Captured>,
    inference: Mailbox<Captured>,
    found: Mailbox<Found>,
    /// Why inference ended, as state and as error.
    lost: Mailbox<(Reason, anyhow::Error)>,
    /// Why there are no frames.
    absent: Mailbox<Absence>,
    /// What the feed is now.
    feed: Mailbox<String>,
    /// In lock step: the display is done with a frame.
    finished: Mailbox<()>,
    progress: Progress,
    stop: AtomicBool,
}

/// What runs after one another share: the inference thread, and what it has loaded.
pub struct Pipeline<S> {
    jobs: Arc<Mailbox<Job<S>>>,
}

impl<S> Drop for Pipeline<S> {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

impl<S: Segmenter + 'static> Pipeline<S> {
    /// # Errors
    /// 74 if there can be no more threads.
    pub fn start() -> Result<Pipeline<S>> {
        let jobs = Arc::new(Mailbox::default());
        let theirs = jobs.clone();
        let thread = thread::Builder::new().name("inference".into());
        thread.spawn(move || inference::work(&theirs)).map_err(no_thread)?;
        Ok(Pipeline { jobs })
    }

    /// Runs until the source ends, a limit is reached, `stop` is set, or the display fails. `load` makes the walk in the
    /// inference thread: the picture is shown meanwhile. Without, the walk is that of the run before, even if that run
    /// ended before it was loaded.
    ///
    /// # Errors
    /// The source's or the display's. That assistance was lost is not an error but in the outcome; the next run must load
    /// then.
    pub fn run(
        &mut self,
        feed: Feed,
        load: Option<impl FnOnce() -> Result<Walk<S>> + Send + 'static>,
        sink: &mut dyn Sink,
        settings: &Settings,
        stop: &Arc<AtomicBool>,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let boxes = Arc::new(Boxes::default());
        let capture = {
            let (settings, stop, boxes) = (settings.clone(), stop.clone(), boxes.clone());
            let work = move || {
                hurry(settings.realtime_priority);
                capture::work(feed, &settings, &stop, &boxes)
            };
            thread::Builder::new().name("capture".into()).spawn(work).map_err(no_thread)?
        };
        let (done, inferred) = mpsc::channel();
        let load = load.map(|load| Box::new(load) as Load<S>);
        self.hand_over(Job { load, settings: settings.clone(), boxes: boxes.clone(), done });
        let shown = display::show(sink, settings, &boxes, stop, observer);
        boxes.stop.store(true, Ordering::Relaxed);
        let patience = match stop.load(Ordering::Relaxed) || shown.is_err() {
            true => SHORT_WAIT,
            false => LAST_WAIT,
        };
        let captured = await_thread(capture, patience, "capture");
        let latencies = match boxes.progress.is_loading() {
            // It goes on, for the next run.
            true => None,
            false => {
                inferred.recv_timeout(patience).map_err(|_| log::warn!("inference is still at work")).ok()
            }
        };
        let mut outcome = shown?;
        if let Some((_, error)) = boxes.lost.try_take() {
            outcome.lost = Some(error);
        }
        if let Some(ended) = captured {
            outcome.captured = ended.captured;
            outcome.counts = ended.counts;
            outcome.latencies.merge(&ended.latencies);
            outcome.feed = Some(ended.feed);
            ended.error.map_or(Ok(()), Err)?;
        }
        outcome.skipped = boxes.inference.overwritten();
        outcome.not_shown += boxes.display.overwritten();
        outcome.latencies.merge(&latencies.unwrap_or_default());
        Ok(outcome)
    }

    /// To the inference thread, in the place of a job that it has not begun.
    fn hand_over(&self, mut job: Job<S>) {
        if let Some(mut before) = self.jobs.try_take() {
            job.load = job.load.take().or(before.load.take());
        }
        self.jobs.put(job);
    }
}

/// One run by itself.
///
/// # Errors
/// As [`Pipeline::run`].
pub fn run<S: Segmenter + 'static>(
    feed: Feed,
    load: impl FnOnce() -> Result<Walk<S>> + Send + 'static,
    sink: &mut dyn Sink,
    settings: &Settings,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    Pipeline::start()?.run(feed, Some(load), sink, settings, stop, observer)
}

fn no_thread(error: std::io::Error) -> anyhow::Error {
    Fault::io(format!("cannot start a thread: {error}"))
}

/// Asks for real-time priority; without, the thread goes on as any other.
fn hurry(priority: u8) {
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };
    let Ok(wanted) = thread_priority::ThreadPriorityValue::try_from(priority) else { return };
    if priority == 0 {
        return;
    }
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = thread_priority::ThreadPriority::Crossplatform(wanted);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), priority, policy) {
        let name = thread::current().name().unwrap_or("main").to_owned();
        log::warn!(
            "{name}: no real-time priority: {error:?}; grant CAP_SYS_NICE or raise the limit on rtprio"
        );
    }
}

/// A thread's result; `None` if it panicked or did not end in time.
fn await_thread<T>(thread: JoinHandle<T>, patience: Duration, name: &str) -> Option<T> {
    let end = Instant::now() + patience;
    while !thread.is_finished() {
        if Instant::now() >= end {
            log::warn!("{name} does not end and is left behind");
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
    thread.join().map_err(|_| log::error!("{name} fell over (a panic)")).ok()
}
