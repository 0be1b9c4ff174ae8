//! Starts the threads, exchanges what they work with while they go on, replaces what is lost, and ends them in time.
//!
//! Nothing here waits long: what may hang (a model's file, a device, a disk) is opened by threads of its own, which are left
//! behind if they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::aside::Aside;
use super::capture::{self, Ended};
use super::display::{self, Left};
use super::gauges::Gauges;
use super::inference::{self, NewSegmenter, Worker};
use super::mailbox::Mailbox;
use super::retries::{Next, Retries};
use super::shared::{Assistance, Boxes, SinkOrder};
use super::{Feed, Observer, Outcome, Settings, recording, second};
use crate::display::Sink;
use crate::fault::{Exit, Fault, one_line};
use crate::recording::{Ring, Sign};
use crate::runtime;
use crate::runtime::channel::{Receiver, Sender, channel};
use crate::runtime::thread::JoinHandle;
use crate::segment::{Network, Segmenter};
use crate::state::Reason;
use crate::study::Still;
use crate::thermal::Step;

/// Makes a segmenter; called again if the inference thread has to be replaced.
pub type Load<S> = Arc<dyn Fn() -> Result<Segmenter<S>> + Send + Sync>;

/// Inference threads that hang, and are waited for, at most: each keeps its model in memory.
const MOST_HANGING: usize = 2;
/// How long a capture thread may go on after its feed was exchanged before the log says that it hangs.
const CAPTURE_HANGS_AFTER: Duration = Duration::from_secs(5);
/// When threads are told to end: how long the display may take from then on, also when there is a hurry, and the others.
const DISPLAY_ENDS_WITHIN: Duration = Duration::from_millis(500);
const SECOND_ENDS_WITHIN: Duration = Duration::from_millis(100);
const HURRIED_WITHIN: Duration = Duration::from_millis(60);
const OTHERS_END_WITHIN: Duration = Duration::from_millis(600);
/// How long a feed waits for the one before it.
const FEED_WAITS: Duration = Duration::from_millis(300);
/// Between two looks at whether a thread has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What has become of the threads.
pub enum Event {
    /// All goes on.
    Going,
    /// The source or a limit has come to its end, and the last picture is shown.
    Over,
    /// The source cannot be read any further.
    SourceFailed(anyhow::Error),
    /// The sink that was to be released is out of the display's hands: to be dropped where that may take long.
    SinkReleased(Box<dyn Sink>),
    /// The sink failed and was closed; the display goes on without one until it is given another.
    SinkFailed(anyhow::Error),
    /// The thread that captured panicked; the pipeline goes on without pictures until it is given another feed.
    CaptureLost,
    /// The thread that showed panicked: there will be no more pictures.
    DisplayLost,
}

struct Capture {
    thread: JoinHandle<Ended>,
    stop: Arc<AtomicBool>,
    /// It has let go of its feed.
    done: Arc<AtomicBool>,
    told: Option<Instant>,
    is_said: bool,
}

/// Sets a flag whichever way a thread ends.
struct SetsOnDrop(Arc<AtomicBool>);

impl Drop for SetsOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A pipeline that runs. Dropping it tells its threads to end.
pub struct Pipeline<S> {
    boxes: Arc<Boxes>,
    segmenters: Arc<Mailbox<NewSegmenter<S>>>,
    start: Instant,
    display: Option<JoinHandle<Outcome>>,
    left: Receiver<Left>,
    capture: Option<Capture>,
    /// Told to end, and not ended yet.
    former: Vec<Capture>,
    worker: Option<Worker>,
    /// Given up, and not ended yet.
    hanging: Vec<Worker>,
    hanging_is_said: bool,
    load: Option<Load<S>>,
    loads: (Sender<Loaded<S>>, Receiver<Loaded<S>>),
    /// The number of the load that counts.
    loading: u64,
    counts: Option<crate::capture::live::Counts>,
    recorder: Aside,
    second: Aside,
    lost_threads: u32,
    retries: Retries,
    /// The model has been in charge.
    has_run: bool,
    /// A sink is to be handed out and not closed.
    is_wanted: bool,
}

struct Loaded<S> {
    number: u64,
    segmenter: Result<Segmenter<S>>,
}

impl<S> Drop for Pipeline<S> {
    fn drop(&mut self) {
        self.boxes.stop.store(true, Ordering::Relaxed);
    }
}

impl<S: Network + Send + 'static> Pipeline<S> {
    /// Starts the display and the inference thread; without a sink, a feed and a model yet.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub fn start(settings: Settings, mut observer: Box<dyn Observer>) -> Result<Pipeline<S>> {
        let boxes = Arc::new(Boxes::new(settings));
        let segmenters = Arc::new(Mailbox::default());
        let (to_us, left) = channel();
        let theirs = boxes.clone();
        let display = spawn("display", move || display::work(&theirs, &to_us, &mut *observer))?;
        let worker = Worker::start(&boxes, &segmenters).map_err(no_thread)?;
        let mut pipeline = Pipeline {
            boxes,
            segmenters,
            start: runtime::now(),
            display: Some(display),
            left,
            capture: None,
            former: Vec::new(),
            worker: Some(worker),
            hanging: Vec::new(),
            hanging_is_said: false,
            load: None,
            loads: channel(),
            loading: 0,
            counts: None,
            recorder: Aside::new("recording", recording::work, "nothing is recorded"),
            second: Aside::new("second", second::work, "a second monitor shows nothing"),
            lost_threads: 0,
            retries: Retries::default(),
            has_run: false,
            is_wanted: false,
        };
        pipeline.attend_asides();
        Ok(pipeline)
    }

    /// From the next frame on. What is done against heat stays as it is, and so does whether outlines are drawn.
    pub fn set_settings(&mut self, settings: Settings) {
        let before = self.boxes.settings.get();
        let (heat, outlines, sign) = (before.heat, before.outlines, before.sign);
        self.boxes.settings.set(Settings { heat, outlines, sign, ..settings });
        self.recorder.forgive();
        self.second.forgive();
        self.attend_asides();
    }

    /// Starts the threads beside the picture's way that are wanted, and takes in which of them panicked.
    fn attend_asides(&mut self) {
        let settings = self.boxes.settings.get();
        let is_lost = self.recorder.attend(&self.boxes, settings.recording.is_some());
        self.lost_threads += u32::from(is_lost);
        let is_lost = self.second.attend(&self.boxes, settings.second.is_some());
        self.lost_threads += u32::from(is_lost);
    }

    /// Whether what is shown cannot be recorded until the profile is reloaded: the thread for it is lost.
    pub fn cannot_record(&self) -> bool {
        self.recorder.is_lost()
    }

    /// What is coded of the last seconds, if [`Settings::recording`] says so.
    pub fn ring(&self) -> Arc<Ring> {
        self.boxes.ring.clone()
    }

    /// What the monitor says of a recording, from the next frame on.
    pub fn set_sign(&mut self, sign: Sign) {
        let settings = (*self.boxes.settings.get()).clone();
        self.boxes.settings.set(Settings { sign, ..settings });
    }

    /// Whether outlines are drawn, from the next frame on.
    pub fn set_outlines(&mut self, outlines: bool) {
        let settings = (*self.boxes.settings.get()).clone();
        self.boxes.settings.set(Settings { outlines, ..settings });
    }

    /// Whether outlines are drawn where there are any.
    pub fn outlines(&self) -> bool {
        self.boxes.settings.get().outlines
    }

    /// Wants the next frame as it is shown; it is given by [`Pipeline::still`].
    pub fn want_still(&self) {
        self.boxes.still_wanted.store(true, Ordering::Release);
    }

    /// The frame that was wanted, once it was shown.
    pub fn still(&self) -> Option<Still> {
        self.boxes.still.try_take()
    }

    /// No frame is wanted any more.
    pub fn want_no_still(&self) {
        self.boxes.still_wanted.store(false, Ordering::Release);
    }

    /// What is done against heat, from the next frame on.
    pub fn set_heat(&mut self, heat: Step) {
        let settings = (*self.boxes.settings.get()).clone();
        self.boxes.settings.set(Settings { heat, ..settings });
    }

    /// Shows on another sink from the next frame on; the one before is closed.
    pub fn set_sink(&mut self, sink: Box<dyn Sink>) {
        self.boxes.sink.put(SinkOrder::Take(sink));
    }

    /// Has the display let go of its sink, for the device is wanted: [`Event::SinkReleased`] brings it. Until there is another
    /// one, nobody sees anything.
    pub fn release_sink(&mut self) {
        self.is_wanted = true;
        self.boxes.sink.put(SinkOrder::Release);
    }

    /// Takes pictures from another feed from now on. The one before is told to end; a camera waits for it for a moment, for
    /// they may be the same device.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub fn set_feed(&mut self, feed: Feed) -> Result<()> {
        self.end_feed();
        let (boxes, start, stop) = (self.boxes.clone(), self.start, Arc::new(AtomicBool::new(false)));
        let (theirs, done) = (stop.clone(), Arc::new(AtomicBool::new(false)));
        let (mine, before) = (SetsOnDrop(done.clone()), self.former.last().map(|former| former.done.clone()));
        let thread = spawn("capture", move || {
            let _done = mine;
            let end = runtime::now() + FEED_WAITS;
            while before.as_ref().is_some_and(|done| !done.load(Ordering::Acquire)) && runtime::now() < end {
                runtime::thread::sleep(LOOK_EVERY);
            }
            capture::work(feed, &boxes, &theirs, start)
        })?;
        self.capture = Some(Capture { thread, stop, done, told: None, is_said: false });
        Ok(())
    }

    fn end_feed(&mut self) {
        if let Some(mut capture) = self.capture.take() {
            capture.stop.store(true, Ordering::Relaxed);
            capture.told = Some(runtime::now());
            self.former.push(capture);
        }
    }

    /// Loads and tests a model in a thread of its own. While there is none, the state is self-test; one that is in charge
    /// stays so until the new one has passed.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub fn load(&mut self, load: Load<S>) -> Result<()> {
        if self.boxes.assistance.get() == Assistance::Lost {
            self.boxes.assistance.set(Assistance::Loading);
        }
        self.loading += 1;
        let (number, sender, theirs) = (self.loading, self.loads.0.clone(), load.clone());
        self.load = Some(load);
        spawn("loader", move || {
            let segmenter = inference::tested(|| theirs());
            // Nobody waits for it any more.
            let _ = sender.send(Loaded { number, segmenter });
        })
        .map(|_| ())
    }

    /// Puts a model in charge that has passed its test; `load` makes it again.
    pub fn adopt(&mut self, segmenter: Segmenter<S>, load: Load<S>) {
        self.loading += 1;
        self.load = Some(load);
        self.retries = Retries::default();
        self.segmenters.put(NewSegmenter(segmenter));
    }

    /// Whether a model is in charge, or on its way.
    pub fn has_model(&self) -> bool {
        self.boxes.assistance.get() != Assistance::Lost
    }

    /// What others may read of the run while it goes on.
    pub fn gauges(&self) -> Gauges {
        Gauges(self.boxes.clone())
    }

    /// Looks after the threads; to be called every few milliseconds.
    pub fn attend(&mut self) -> Event {
        while let Ok(loaded) = self.loads.1.try_recv() {
            self.take_loaded(loaded);
        }
        self.watch_inference();
        if self.recorder.is_running() || self.second.is_running() {
            self.attend_asides();
        }
        self.start_anew();
        self.collect_former();
        while let Ok(left) = self.left.try_recv() {
            match left {
                Left::Released(sink) if std::mem::take(&mut self.is_wanted) => {
                    return Event::SinkReleased(sink);
                }
                Left::Untaken(sink) => close(Left::Released(sink)),
                Left::Released(_) => close(left),
                Left::Failed(sink, error) => {
                    close(Left::Released(sink));
                    return Event::SinkFailed(error);
                }
            }
        }
        if let Some(capture) = self.capture.take_if(|capture| capture.thread.is_finished()) {
            match self.take_ended(capture) {
                Some(Ok(())) => self.boxes.display.close(),
                Some(Err(error)) => return Event::SourceFailed(error),
                None => return Event::CaptureLost,
            }
        }
        match &self.display {
            Some(display) if !display.is_finished() => Event::Going,
            Some(_) if self.boxes.display.is_over() => Event::Over,
            _ => Event::DisplayLost,
        }
    }

    fn take_loaded(&mut self, loaded: Loaded<S>) {
        // What another load has overtaken.
        if loaded.number != self.loading {
            return;
        }
        match loaded.segmenter {
            Ok(segmenter) => self.segmenters.put(NewSegmenter(segmenter)),
            Err(error) => {
                self.boxes.assistance.set(Assistance::Lost);
                self.boxes.lost.put((Reason::Model(one_line(&error)), error));
            }
        }
    }

    /// Gives up an inference thread that hangs or has ended, and puts another in its place.
    fn watch_inference(&mut self) {
        self.hanging.retain(|worker| !worker.thread.is_finished());
        let stuck_after = self.boxes.settings.get().stuck_after;
        let is_lost = match &self.worker {
            None => true,
            Some(worker) => worker.thread.is_finished() || worker.progress.silent_for() > stuck_after,
        };
        if !is_lost || self.boxes.is_stopping() {
            return;
        }
        if self.hanging.len() >= MOST_HANGING {
            if !std::mem::replace(&mut self.hanging_is_said, true) {
                log::error!(
                    "{MOST_HANGING} inference threads hang: no other is started until one of them ends; \
                     restart the program, and check the machine's memory and temperature"
                );
            }
            return;
        }
        self.hanging_is_said = false;
        if let Some(worker) = self.worker.take() {
            if worker.thread.is_finished() {
                log::error!("the inference thread has ended unexpectedly: it is replaced");
                self.lost_threads += 1;
            } else {
                log::error!(
                    "inference has not answered for {:.0} s: its thread is replaced",
                    worker.progress.silent_for().as_secs_f64()
                );
                self.hanging.push(worker);
            }
        }
        match Worker::start(&self.boxes, &self.segmenters) {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => log::error!("cannot start another inference thread: {error}"),
        }
        if let Some(load) = self.load.clone()
            && self.boxes.assistance.get() != Assistance::Lost
        {
            self.boxes.assistance.set(Assistance::Loading);
            if let Err(error) = self.load(load) {
                log::error!("cannot load the model again: {error:#}");
            }
        }
    }

    /// Starts a model anew that has run and failed.
    fn start_anew(&mut self) {
        let assistance = self.boxes.assistance.get();
        self.has_run |= assistance == Assistance::Ready;
        let is_lost = assistance == Assistance::Lost && self.has_run && !self.boxes.is_stopping();
        match self.retries.next(is_lost, runtime::now()) {
            Next::Wait => {}
            Next::Start(number) => {
                log::warn!("the model failed and is started anew: try {number} of {}", Retries::most());
                if let Some(load) = self.load.clone()
                    && let Err(error) = self.load(load)
                {
                    log::error!("cannot load the model again: {error:#}");
                }
            }
            Next::GiveUp => log::error!(
                "the model has failed {} times within a short time and is not started again: reload the profile or restart \
                 the program",
                Retries::most() + 1
            ),
        }
    }

    fn collect_former(&mut self) {
        for capture in std::mem::take(&mut self.former) {
            if capture.thread.is_finished() {
                drop(self.take_ended(capture))
            } else {
                self.former.push(capture)
            }
        }
        for capture in &mut self.former {
            if !capture.is_said && capture.told.is_some_and(|told| runtime::since(told) > CAPTURE_HANGS_AFTER)
            {
                capture.is_said = true;
                log::error!(
                    "the thread of an earlier source does not end: its device or file does not answer"
                );
            }
        }
    }

    /// What a capture thread left behind; `None` if it panicked.
    fn take_ended(&mut self, capture: Capture) -> Option<Result<()>> {
        match capture.thread.join() {
            Ok(ended) => {
                self.counts = ended.counts.or(self.counts);
                Some(ended.error.map_or(Ok(()), Err))
            }
            Err(_) => {
                self.lost_threads += 1;
                None
            }
        }
    }

    /// Ends all threads, the display's first, so that the console is back whatever the others do. Threads that do not end in
    /// time are left behind. Takes 800 ms at most, and hardly longer than the display does once `hurry` says so.
    pub fn end(mut self, hurry: &dyn Fn() -> bool) -> Outcome {
        // A second monitor's before the first one's, which it hangs on.
        let begun = runtime::now();
        while self.second.end() && runtime::since(begun) < SECOND_ENDS_WITHIN && !hurry() {
            runtime::thread::sleep(LOOK_EVERY);
        }
        self.boxes.stop.store(true, Ordering::Relaxed);
        let begun = runtime::now();
        let hurried = || {
            let is_hurried = hurry();
            self.boxes.hurry.fetch_or(is_hurried, Ordering::Relaxed);
            is_hurried
        };
        let display = self.display.take().and_then(|thread| {
            let within = |hurried: bool| if hurried { HURRIED_WITHIN } else { DISPLAY_ENDS_WITHIN };
            joined(thread, "display", || runtime::since(begun) < within(hurried()))
        });
        let mut outcome = match display {
            Some(Ok(outcome)) => outcome,
            Some(Err(())) => Outcome { display_lost: true, ..Outcome::default() },
            None => Outcome::default(),
        };
        while let Ok(left) = self.left.try_recv() {
            close(left);
        }
        if let Some((_, error)) = self.boxes.lost.try_take() {
            outcome.lost = Some(error);
        }
        self.end_feed();
        let goes_on = || runtime::since(begun) < OTHERS_END_WITHIN && !hurry();
        while !self.former.is_empty() && goes_on() {
            self.collect_former();
            runtime::thread::sleep(LOOK_EVERY);
        }
        if !self.former.is_empty() {
            log::warn!(
                "the capture thread does not end and is abandoned: its device or file does not answer"
            );
        }
        if let Some(worker) = self.worker.take()
            && let Some(Err(())) = joined(worker.thread, "inference", goes_on)
        {
            self.lost_threads += 1;
        }
        let gauges = Gauges(self.boxes.clone());
        outcome.counts = self.counts;
        outcome.frames = gauges.frames();
        outcome.coded = self.boxes.ring.newest();
        outcome.unreadable = self.boxes.tally.unreadable.load(Ordering::Relaxed);
        outcome.latencies = self.boxes.latencies.clone();
        outcome.lost_threads = self.lost_threads;
        outcome
    }
}

/// One run by itself: until the source ends, a limit is reached, `stop` is set, or source or sink fail.
///
/// # Errors
/// The source's or the display's. That assistance was lost is not an error but in the outcome.
pub fn run<S: Network + Send + 'static>(
    feed: Feed,
    load: Load<S>,
    sink: Box<dyn Sink>,
    settings: &Settings,
    stop: &AtomicBool,
    observer: Box<dyn Observer>,
) -> Result<Outcome> {
    let mut pipeline = Pipeline::start(settings.clone(), observer)?;
    pipeline.set_sink(sink);
    pipeline.load(load)?;
    pipeline.set_feed(feed)?;
    let mut error = None;
    while !stop.load(Ordering::Relaxed) {
        match pipeline.attend() {
            Event::Going | Event::SinkReleased(_) => runtime::thread::sleep(LOOK_EVERY),
            Event::Over => break,
            Event::SourceFailed(failed) | Event::SinkFailed(failed) => {
                error = Some(failed);
                break;
            }
            Event::CaptureLost | Event::DisplayLost => {
                error = Some(Fault::new(Exit::Assertion, "a thread panicked: the log says which and where"));
                break;
            }
        }
    }
    let outcome = pipeline.end(&|| false);
    error.map_or(Ok(outcome), Err)
}

/// Drops what the display let go of, in a thread of its own: devices may take long to close.
fn close(left: Left) {
    // If there can be no thread, the closure is dropped here, and the device with it.
    if let Err(error) = runtime::thread::spawn("closer", move || drop(left)) {
        log::warn!("cannot start a thread that closes a display, so it is closed at once: {error}");
    }
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    runtime::thread::spawn(name, work).map_err(no_thread)
}

fn no_thread(error: std::io::Error) -> anyhow::Error {
    Fault::io(format!("cannot start a thread: {error}"))
}

/// A thread's result; an error if it panicked, `None` if it did not end while `goes_on` said so.
fn joined<T>(thread: JoinHandle<T>, name: &str, goes_on: impl Fn() -> bool) -> Option<Result<T, ()>> {
    while !thread.is_finished() {
        if !goes_on() {
            log::warn!("the {name} thread does not end and is abandoned");
            return None;
        }
        runtime::thread::sleep(LOOK_EVERY);
    }
    Some(thread.join().map_err(|_| ()))
}
