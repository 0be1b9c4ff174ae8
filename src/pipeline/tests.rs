mod second;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use anyhow::bail;

use super::*;
use crate::bundle::GoldenFrame;
use crate::bundle::manifest::{self, Decision, Manifest, TensorContract};
use crate::capture::live::{self, Absence, Buffer, BufferId, DriverClock, Lease, Stamp, Why};
use crate::detect::Regions;
use crate::display::{Null, Scene, Sink};
use crate::fault::Fault;
use crate::field_of_view::{Rule, Sequence};
use crate::frame::{Colour, Frame, FrameNumber, PixelFormat, Plane, Stride, Timestamp, View};
use crate::geometry::Rect;
use crate::latency::Stage;
use crate::overlay::Layer;
use crate::segment::{Network, Segmenter};
use crate::state::Reason;
use crate::thermal::Step;

const SIDE: usize = 32;

fn manifest() -> Manifest {
    let tensor = |shape| TensorContract { name: "x".into(), shape, scale: 0.1, zero_point: 128 };
    Manifest {
        format_version: 1,
        name: "fake".into(),
        model_version: "0".into(),
        rollback_index: 0,
        compatible: manifest::COMPATIBLE.into(),
        model: "none".into(),
        input: tensor([1, 3, SIDE, SIDE]),
        output: tensor([1, 1, SIDE / 4, SIDE / 4]),
        field_of_view: Rule::WholeFrame,
        decision: Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 },
        gate: manifest::Gate { appear: 1, window: 1 },
        sensitivity: Default::default(),
        golden: Vec::new(),
        provenance: Default::default(),
        files: BTreeMap::new(),
    }
}

/// Finds what is bright; does something else on one frame if told to.
#[derive(Clone, Copy)]
struct Fake {
    runs: u64,
    trouble: Option<(u64, Trouble)>,
}

#[derive(Clone, Copy)]
enum Trouble {
    Error,
    Panic,
    Silence(Duration),
    /// Everything is polyp, from here on for so many frames.
    Rubbish(u64),
}

impl Network for Fake {
    fn input_shape(&self) -> [usize; 3] {
        [SIDE, SIDE, 3]
    }
    fn output_shape(&self) -> [usize; 3] {
        [SIDE / 4, SIDE / 4, 1]
    }
    fn output_quantisation(&self) -> (f32, u8) {
        (0.1, 128)
    }
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        self.runs += 1;
        if let Some((run, trouble)) = self.trouble
            && run == self.runs
        {
            match trouble {
                Trouble::Rubbish(frames) => {
                    logits.fill(255);
                    self.trouble = Some((run + 1, Trouble::Rubbish(frames - 1))).filter(|_| frames > 1);
                    return Ok(());
                }
                Trouble::Error => bail!("the network broke"),
                Trouble::Panic => panic!("the network broke down"),
                Trouble::Silence(time) => thread::sleep(time),
            }
        }
        for (index, logit) in logits.iter_mut().enumerate() {
            let (x, y) = (4 * (index % (SIDE / 4)) + 2, 4 * (index / (SIDE / 4)) + 2);
            *logit = input[3 * (y * SIDE + x)];
        }
        Ok(())
    }
}

/// Dark frames with a bright square that moves.
struct Squares {
    frames: u64,
    next: u64,
    truth: Mask,
    fails_at: Option<u64>,
}

fn squares(frames: u64) -> Squares {
    let truth = Mask { width: 64, height: 64, pixels: vec![0; 64 * 64] };
    Squares { frames, next: 0, truth, fails_at: None }
}

impl Source for Squares {
    fn read(&mut self, frame: &mut Frame) -> Result<bool> {
        if self.fails_at == Some(self.next) {
            return Err(Fault::data("the recording is damaged"));
        }
        if self.next == self.frames {
            return Ok(false);
        }
        *frame = Frame::black(64, 64);
        frame.number = FrameNumber(self.next);
        self.truth.pixels.fill(0);
        let left = (8 + 4 * self.next % 24) as usize;
        for y in 16..40 {
            frame.row_mut(y)[3 * left..3 * (left + 24)].fill(220);
            self.truth.pixels[64 * y + left..64 * y + left + 24].fill(255);
        }
        self.next += 1;
        Ok(true)
    }
    fn name(&self) -> &OsStr {
        OsStr::new("square")
    }
    fn truth(&self) -> Option<&Mask> {
        Some(&self.truth)
    }
}

fn settings() -> Settings {
    Settings { lock_step: true, ..Settings::default() }
}

fn segmenter(trouble: Option<(u64, Trouble)>) -> Result<Segmenter<Fake>> {
    Segmenter::new(Fake { runs: 0, trouble }, &manifest(), Sequence::Video)
}

fn loads<S>(load: impl Fn() -> Result<Segmenter<S>> + Send + Sync + 'static) -> Load<S> {
    Arc::new(load)
}

/// That there was assistance from its first frame on. A busy machine may be late with a result, no more.
fn never_gone(log: &Shared) {
    let states = log.states();
    let after: Vec<_> = states.iter().skip_while(|state| **state != State::Assist).collect();
    let harmless = |state: &&State| matches!(state, State::Assist | State::Passthrough);
    assert!(!after.is_empty() && after.iter().all(harmless), "{states:?}");
}

/// A pipeline that is supervised until it ends or `is_over` says so.
fn attend<S: Network + Send + 'static>(
    pipeline: &mut Pipeline<S>,
    within: Duration,
    mut is_over: impl FnMut() -> bool,
) -> Event {
    let end = Instant::now() + within;
    loop {
        match pipeline.attend() {
            Event::Going if is_over() => return Event::Going,
            Event::Going => {}
            event => return event,
        }
        assert!(Instant::now() < end, "nothing happened within {within:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn flag() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

/// Remembers how many regions were drawn on each frame, and the states.
#[derive(Default)]
struct Log {
    drawn: Vec<usize>,
    states: Vec<State>,
    after: Option<(usize, Arc<AtomicBool>)>,
    /// Of the first region on the last frame that had one.
    left: f32,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Log>>);

impl Shared {
    fn stops_after(frames: usize, stop: &Arc<AtomicBool>) -> Shared {
        Shared(Arc::new(Mutex::new(Log { after: Some((frames, stop.clone())), ..Log::default() })))
    }
    fn boxed(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }
    fn drawn(&self) -> Vec<usize> {
        self.0.lock().unwrap().drawn.clone()
    }
    fn states(&self) -> Vec<State> {
        self.0.lock().unwrap().states.clone()
    }
    fn state(&self) -> Option<State> {
        self.0.lock().unwrap().states.last().cloned()
    }
}

impl Observer for Shared {
    fn shown(&mut self, picture: &Picture<'_>) {
        let regions = picture.regions();
        let mut log = self.0.lock().unwrap();
        log.drawn.push(regions.len());
        if let Some(region) = regions.first() {
            log.left = region.bounds.left;
        }
        if let Some((frames, stop)) = &log.after {
            stop.store(log.drawn.len() >= *frames, Ordering::Relaxed);
        }
    }
    fn status(&mut self, status: &Status<'_>) {
        let mut log = self.0.lock().unwrap();
        if log.states.last() != Some(status.state) {
            log.states.push(status.state.clone());
        }
    }
}

/// Runs; gives the outcome, and for each frame shown how many regions were drawn on it.
fn go(
    source: Squares,
    trouble: Option<(u64, Trouble)>,
    settings: &Settings,
) -> Result<(Outcome, Vec<usize>, Vec<State>)> {
    let log = Shared::default();
    let load = loads(move || segmenter(trouble));
    let outcome = run(Feed::recorded(source), load, Box::new(Null), settings, &flag(), log.boxed())?;
    Ok((outcome, log.drawn(), log.states()))
}

#[test]
fn in_lock_step_every_frame_is_drawn_with_its_own_result() {
    #[derive(Clone, Default)]
    struct Scores(Arc<Mutex<crate::score::Scorer>>);
    impl Observer for Scores {
        fn shown(&mut self, picture: &Picture<'_>) {
            self.0.lock().unwrap().add(picture.truth.unwrap(), picture.regions());
        }
    }
    let scores = Scores::default();
    let (feed, load) = (Feed::recorded(squares(20)), loads(|| segmenter(None)));
    let outcome = run(feed, load, Box::new(Null), &settings(), &flag(), Box::new(scores.clone())).unwrap();
    assert_eq!(
        (outcome.frames.captured, outcome.frames.shown, outcome.frames.outlined, outcome.frames.skipped),
        (20, 20, 20, 0)
    );
    assert_eq!(outcome.state, State::Assist);
    assert!(outcome.lost.is_none());
    let scorer = std::mem::take(&mut *scores.0.lock().unwrap());
    let tally = scorer.report().tally;
    assert_eq!((tally.polyps, tally.hits, tally.false_regions), (20, 20, 0));
    for stage in [Stage::Capture, Stage::Prepare, Stage::Inference, Stage::Detect, Stage::Draw, Stage::Total]
    {
        assert_eq!(outcome.latencies.stage(stage).count(), 20, "{stage:?}");
    }
}

#[test]
fn when_inference_fails_the_picture_goes_on() {
    for trouble in [Trouble::Error, Trouble::Panic] {
        for lock_step in [true, false] {
            let settings = Settings { lock_step, pace_hz: Some(200.0), ..settings() };
            let (outcome, drawn, _) = go(squares(30), Some((5, trouble)), &settings).unwrap();
            assert_eq!(outcome.frames.captured, 30);
            assert!(
                lock_step == (outcome.frames.shown == 30) || outcome.frames.shown > 20,
                "{} shown",
                outcome.frames.shown
            );
            assert!(matches!(&outcome.state, State::Degraded(Reason::Inference(_))), "{}", outcome.state);
            let lost = format!("{:#}", outcome.lost.unwrap());
            assert!(lost.contains("broke") || lost.contains("panicked: the network broke down"), "{lost}");
            assert_eq!(drawn.last(), Some(&0), "nothing is drawn on the last frames");
            if lock_step {
                assert_eq!(drawn[..4], [1; 4]);
                assert_eq!(drawn[4..], [0; 26]);
            }
        }
    }
}

#[test]
fn a_model_that_does_not_load_leaves_the_picture() {
    let load = loads(|| -> Result<Segmenter<Fake>> { Err(Fault::data("model.onnx: damaged")) });
    let feed = Feed::recorded(squares(10));
    let outcome = run(feed, load, Box::new(Null), &settings(), &flag(), Box::new(())).unwrap();
    assert_eq!((outcome.frames.shown, outcome.frames.outlined), (10, 0));
    assert_eq!(outcome.state, State::Degraded(Reason::Model("model.onnx: damaged".into())));
    assert_eq!(crate::fault::exit_of(&outcome.lost.unwrap()), crate::fault::Exit::Data);
}

/// A golden frame of the squares, as the fake sees it.
fn golden() -> GoldenFrame {
    let mut frame = Frame::black(64, 64);
    squares(1).read(&mut frame).unwrap();
    let mut segmenter = segmenter(None).unwrap();
    let mut mask = Vec::new();
    segmenter.regions(&frame, &Latencies::default(), &mut Regions::default()).unwrap();
    segmenter.mask_into(&mut mask).unwrap();
    assert!(mask.contains(&255) && mask.contains(&0));
    GoldenFrame { name: "golden".into(), frame, mask }
}

#[test]
fn a_network_that_fails_its_self_test_is_not_used() {
    for (runs, expected) in [(None, State::Assist), (Some(1), State::Passthrough)] {
        let load = loads(move || {
            let trouble = runs.map(|run| (run, Trouble::Rubbish(1)));
            Ok(segmenter(trouble)?.with_golden(vec![golden(), golden()]))
        });
        let feed = Feed::recorded(squares(10));
        let outcome = run(feed, load, Box::new(Null), &settings(), &flag(), Box::new(())).unwrap();
        assert_eq!(outcome.frames.shown, 10);
        match expected {
            State::Assist => assert_eq!(outcome.state, State::Assist),
            _ => {
                let told = outcome.state.to_string();
                assert!(told.contains("self-test failed") && told.contains("of 4096 pixels"), "{told}");
            }
        }
    }
}

#[test]
fn a_network_that_changes_while_it_runs_is_found_out() {
    let load = loads(|| Ok(segmenter(Some((8, Trouble::Rubbish(1000))))?.with_golden(vec![golden()])));
    let settings = Settings { recheck_after: Duration::ZERO, ..settings() };
    let feed = Feed::recorded(squares(20));
    let outcome = run(feed, load, Box::new(Null), &settings, &flag(), Box::new(())).unwrap();
    assert_eq!(outcome.frames.shown, 20);
    assert!(matches!(&outcome.state, State::Degraded(Reason::Inference(what)) if what.contains("self-test")));
}

#[test]
fn implausible_results_are_not_drawn_and_told_and_pass() {
    let trouble = Some((10, Trouble::Rubbish(5)));
    let (outcome, drawn, states) = go(squares(60), trouble, &settings()).unwrap();
    assert_eq!(drawn[..9], [1; 9]);
    assert_eq!(drawn[9..14], [0; 5], "nothing implausible is drawn");
    assert_eq!(drawn.last(), Some(&1), "it is plausible again");
    assert!(states.contains(&State::Degraded(Reason::Implausible)), "{states:?}");
    assert_eq!(outcome.state, State::Assist);
}

#[test]
fn the_display_does_not_wait_for_inference_and_old_results_are_not_drawn() {
    let settings = Settings {
        lock_step: false,
        pace_hz: Some(100.0),
        silent_after: Duration::from_millis(250),
        ..settings()
    };
    let trouble = Trouble::Silence(Duration::from_millis(400));
    let (outcome, drawn, states) = go(squares(70), Some((6, trouble)), &settings).unwrap();
    assert!(outcome.frames.shown > 50, "{} of 70 frames shown", outcome.frames.shown);
    assert!(outcome.frames.skipped > 20, "inference skipped {}", outcome.frames.skipped);
    let longest_gap = drawn.split(|&count| count > 0).map(<[usize]>::len).max().unwrap();
    // 400 ms of silence less the 120 ms for which a result may be drawn: 28 frames, or fewer on a busy machine.
    assert!((8..=45).contains(&longest_gap), "{longest_gap} frames without a result");
    assert!(states.contains(&State::Degraded(Reason::Silent)), "{states:?}");
    assert!(matches!(outcome.state, State::Assist | State::Passthrough), "{}", outcome.state);
    let slowest = outcome.latencies.stage(Stage::VideoDelay).quantile_us(0.9);
    assert!(slowest < 100_000, "nine of ten pictures are ready within {slowest} µs");
}

#[test]
fn inference_that_sleeps_does_not_hold_up_the_end() {
    let trouble = Trouble::Silence(Duration::from_secs(10));
    let settings = Settings { lock_step: false, pace_hz: Some(100.0), ..settings() };
    let stop = flag();
    let log = Shared::stops_after(30, &stop);
    let begun = Instant::now();
    let load = loads(move || segmenter(Some((3, trouble))));
    let feed = Feed::recorded(squares(100_000));
    let outcome = run(feed, load, Box::new(Null), &settings, &stop, log.boxed()).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    assert!(outcome.frames.shown >= 30);
}

#[test]
fn a_source_that_hangs_does_not_hold_up_the_end() {
    let opens = || -> Result<Box<dyn Source>> {
        thread::sleep(Duration::from_secs(30));
        bail!("too late")
    };
    let mut pipeline = Pipeline::start(settings(), Box::new(())).unwrap();
    pipeline.set_sink(Box::new(Null));
    pipeline.load(loads(|| segmenter(None))).unwrap();
    pipeline.set_feed(Feed::Recorded(Box::new(opens))).unwrap();
    thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    let outcome = pipeline.end(&|| false);
    assert!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    assert_eq!(outcome.frames.captured, 0);
}

#[test]
fn an_inference_thread_that_hangs_is_replaced_and_assistance_returns() {
    let (made, log) = (Arc::new(AtomicU64::new(0)), Shared::default());
    let counted = made.clone();
    let load = loads(move || {
        // The first model hangs with its third frame.
        let trouble = Some((3, Trouble::Silence(Duration::from_secs(60))));
        segmenter(trouble.filter(|_| counted.fetch_add(1, Ordering::Relaxed) == 0))
    });
    let settings = Settings {
        lock_step: false,
        pace_hz: Some(100.0),
        stuck_after: Duration::from_millis(400),
        silent_after: Duration::from_millis(200),
        ..settings()
    };
    let mut pipeline = Pipeline::start(settings, log.boxed()).unwrap();
    pipeline.set_sink(Box::new(Null));
    pipeline.load(load).unwrap();
    pipeline.set_feed(Feed::recorded(squares(100_000))).unwrap();
    let is_back = || made.load(Ordering::Relaxed) == 2 && log.state() == Some(State::Assist);
    attend(&mut pipeline, Duration::from_secs(20), is_back);
    assert!(log.states().contains(&State::Degraded(Reason::Silent)), "{:?}", log.states());
    assert!(pipeline.end(&|| false).lost.is_none());
}

#[test]
fn threads_that_hang_again_and_again_are_bounded() {
    let made = Arc::new(AtomicU64::new(0));
    let counted = made.clone();
    let load = loads(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        segmenter(Some((1, Trouble::Silence(Duration::from_secs(60)))))
    });
    let settings = Settings {
        lock_step: false,
        pace_hz: Some(100.0),
        stuck_after: Duration::from_millis(50),
        silent_after: Duration::from_millis(50),
        ..settings()
    };
    let log = Shared::default();
    let mut pipeline = Pipeline::start(settings, log.boxed()).unwrap();
    pipeline.set_sink(Box::new(Null));
    pipeline.load(load).unwrap();
    pipeline.set_feed(Feed::recorded(squares(100_000))).unwrap();
    let end = Instant::now() + Duration::from_secs(2);
    attend(&mut pipeline, Duration::from_secs(20), || Instant::now() >= end);
    assert_eq!(made.load(Ordering::Relaxed), 3, "two that hang, and the one in charge");
    assert_eq!(log.state(), Some(State::Degraded(Reason::Silent)), "the picture goes on");
}

#[test]
fn an_outline_is_never_drawn_on_another_source_or_size() {
    /// One bright square, then darkness in another size or from another source.
    struct Scene(Frame, u64);
    impl Source for Scene {
        fn read(&mut self, frame: &mut Frame) -> Result<bool> {
            frame.copy_from(&self.0);
            frame.number = FrameNumber(self.1);
            self.1 += 1;
            Ok(true)
        }
        fn name(&self) -> &OsStr {
            OsStr::new("scene")
        }
    }
    let mut bright = Frame::black(64, 64);
    squares(1).read(&mut bright).unwrap();
    for (dark, hold_frames) in [(Frame::black(64, 64), 10), (Frame::black(128, 128), 0)] {
        // Held for as long as the gate can, and the age limit allows.
        let settings = Settings {
            lock_step: false,
            pace_hz: Some(50.0),
            hold_frames,
            max_age: Duration::from_secs(1),
            ..settings()
        };
        let log = Shared::default();
        let mut pipeline = Pipeline::start(settings, log.boxed()).unwrap();
        pipeline.set_sink(Box::new(Null));
        pipeline.load(loads(|| segmenter(None))).unwrap();
        pipeline.set_feed(Feed::recorded(Scene(bright.clone(), 0))).unwrap();
        let is_drawn = || log.drawn().last() == Some(&1);
        attend(&mut pipeline, Duration::from_secs(20), is_drawn);
        pipeline.set_feed(Feed::recorded(Scene(dark, 0))).unwrap();
        // The last frames of the old source are under way.
        attend(&mut pipeline, Duration::from_secs(20), || log.drawn().last() == Some(&0));
        let before = log.drawn().len();
        attend(&mut pipeline, Duration::from_secs(20), || log.drawn().len() >= before + 30);
        assert_eq!(log.drawn()[before..].iter().sum::<usize>(), 0, "an outline of another scene");
    }
}

/// Takes as long as a fast network does: one that takes no time may have a frame's result before the frame is shown.
struct Unhurried(Fake);

impl Network for Unhurried {
    fn input_shape(&self) -> [usize; 3] {
        self.0.input_shape()
    }
    fn output_shape(&self) -> [usize; 3] {
        self.0.output_shape()
    }
    fn output_quantisation(&self) -> (f32, u8) {
        self.0.output_quantisation()
    }
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        thread::sleep(Duration::from_millis(15));
        self.0.run(input, logits)
    }
}

/// Runs frames at a pace until assistance is degraded; the reason, what the monitor's corner says, and how many frames had an
/// outline since it was said.
fn degraded(source: impl Source + 'static, pace_hz: f64) -> (Reason, &'static str, usize) {
    let settings = Settings { lock_step: false, pace_hz: Some(pace_hz), ..settings() };
    let log = Shared::default();
    let mut pipeline = Pipeline::start(settings, log.boxed()).unwrap();
    pipeline.set_sink(Box::new(Null));
    let unhurried =
        || Segmenter::new(Unhurried(Fake { runs: 0, trouble: None }), &manifest(), Sequence::Video);
    pipeline.load(loads(unhurried)).unwrap();
    pipeline.set_feed(Feed::recorded(source)).unwrap();
    let is_degraded = || matches!(log.state(), Some(State::Degraded(_)));
    attend(&mut pipeline, Duration::from_secs(20), is_degraded);
    let before = log.drawn().len();
    attend(&mut pipeline, Duration::from_secs(20), || log.drawn().len() >= before + 10);
    let state = log.state().unwrap();
    let State::Degraded(reason) = &state else { panic!("{state}") };
    (reason.clone(), state.code(), log.drawn()[before..].iter().sum())
}

/// Inference takes little time, and yet nothing can be drawn: a result is as old as a frame lasts when the next one comes.
#[test]
fn a_camera_too_slow_for_the_age_limit_is_told_of() {
    let (reason, code, drawn) = degraded(squares(1000), 7.0);
    let Reason::Slow { interval_ms, limit_ms: 120 } = reason else { panic!("{reason}") };
    // A busy machine delays frames.
    assert!((125..600).contains(&interval_ms), "{interval_ms}");
    assert_eq!((code, drawn), ("M6", 0));
}

#[test]
fn a_source_that_changes_with_each_frame_is_told_of() {
    struct Changes(u64);
    impl Source for Changes {
        fn read(&mut self, frame: &mut Frame) -> Result<bool> {
            let side = if self.0.is_multiple_of(2) { 64 } else { 128 };
            *frame = Frame::black(side, side);
            frame.number = FrameNumber(self.0);
            self.0 += 1;
            Ok(true)
        }
        fn name(&self) -> &OsStr {
            OsStr::new("changes")
        }
    }
    let (reason, code, drawn) = degraded(Changes(0), 25.0);
    assert_eq!(reason, Reason::Unmatched);
    assert_eq!((code, drawn), ("M7", 0));
}

#[test]
fn an_outline_that_the_gate_holds_is_not_drawn_beyond_its_age() {
    // The square is there for ten frames of twenty.
    struct Blinks(Squares);
    impl Source for Blinks {
        fn read(&mut self, frame: &mut Frame) -> Result<bool> {
            let number = self.0.next;
            let more = self.0.read(frame)?;
            if number % 20 >= 10 {
                frame.pixels_mut().fill(0);
            }
            Ok(more)
        }
        fn name(&self) -> &OsStr {
            OsStr::new("blinks")
        }
    }
    let settings = Settings {
        lock_step: false,
        pace_hz: Some(25.0),
        hold_frames: 9,
        max_age: Duration::from_millis(120),
        ..settings()
    };
    let log = Shared::default();
    let feed = Feed::recorded(Blinks(squares(80)));
    run(feed, loads(|| segmenter(None)), Box::new(Null), &settings, &flag(), log.boxed()).unwrap();
    let drawn = log.drawn();
    let longest = drawn.split(|&count| count == 0).map(<[usize]>::len).max().unwrap();
    // Ten that show it and three that are no older than 120 ms; it would be nineteen, without end.
    assert!((5..=14).contains(&longest), "{longest} frames with an outline: {drawn:?}");
}

#[test]
fn settings_change_between_two_frames_and_nothing_is_lost() {
    let live = Settings { lock_step: false, pace_hz: Some(100.0), ..settings() };
    let log = Shared::default();
    let mut pipeline = Pipeline::start(live.clone(), log.boxed()).unwrap();
    pipeline.set_sink(Box::new(Null));
    pipeline.load(loads(|| segmenter(None))).unwrap();
    pipeline.set_feed(Feed::recorded(squares(100_000))).unwrap();
    attend(&mut pipeline, Duration::from_secs(20), || log.state() == Some(State::Assist));
    for _ in 0..20 {
        let before = log.drawn().len();
        pipeline.set_settings(live.clone());
        attend(&mut pipeline, Duration::from_secs(20), || log.drawn().len() > before + 2);
    }
    never_gone(&log);
    pipeline.set_settings(Settings { gate: Some(manifest::Gate { appear: 64, window: 64 }), ..live });
    let before = log.drawn().len();
    attend(&mut pipeline, Duration::from_secs(20), || log.drawn().len() >= before + 20);
    assert_eq!(log.drawn().last(), Some(&0), "the gate in force holds it back");
}

/// Counts how many of it there are, and have been.
struct Counting {
    fake: Fake,
    alive: Arc<AtomicI64>,
}

impl Counting {
    /// Takes a while; there are never more than `most` at once.
    fn load(alive: &Arc<AtomicI64>, made: &Arc<AtomicU64>, most: i64, takes: Duration) -> Load<Counting> {
        let (alive, made) = (alive.clone(), made.clone());
        loads(move || {
            let others = alive.fetch_add(1, Ordering::Relaxed);
            assert!(others < most, "{} models in memory", others + 1);
            made.fetch_add(1, Ordering::Relaxed);
            thread::sleep(takes);
            let (fake, alive) = (Fake { runs: 0, trouble: None }, alive.clone());
            Ok(Segmenter::new(Counting { fake, alive }, &manifest(), Sequence::Video)?
                .with_golden(vec![golden()]))
        })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Network for Counting {
    fn input_shape(&self) -> [usize; 3] {
        self.fake.input_shape()
    }
    fn output_shape(&self) -> [usize; 3] {
        self.fake.output_shape()
    }
    fn output_quantisation(&self) -> (f32, u8) {
        self.fake.output_quantisation()
    }
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        self.fake.run(input, logits)
    }
}

#[test]
fn another_model_takes_over_between_two_frames_and_the_old_one_goes() {
    let (alive, made) = (Arc::default(), Arc::default());
    let live = Settings { lock_step: false, pace_hz: Some(200.0), ..settings() };
    let log = Shared::default();
    let mut pipeline = Pipeline::start(live, log.boxed()).unwrap();
    pipeline.set_sink(Box::new(Null));
    pipeline.load(Counting::load(&alive, &made, 1, Duration::ZERO)).unwrap();
    pipeline.set_feed(Feed::recorded(squares(1_000_000))).unwrap();
    attend(&mut pipeline, Duration::from_secs(20), || log.state() == Some(State::Assist));
    for count in 2..6 {
        let load = Counting::load(&alive, &made, 2, Duration::from_millis(20));
        let segmenter = tested(|| load()).unwrap();
        let before = log.drawn().len();
        pipeline.adopt(segmenter, load);
        attend(&mut pipeline, Duration::from_secs(20), || alive.load(Ordering::Relaxed) == 1);
        attend(&mut pipeline, Duration::from_secs(20), || log.drawn().len() > before + 5);
        assert_eq!(made.load(Ordering::Relaxed), count);
    }
    never_gone(&log);
    drop(pipeline.end(&|| false));
    let end = Instant::now() + Duration::from_secs(20);
    while alive.load(Ordering::Relaxed) > 0 {
        assert!(Instant::now() < end, "a model stays in memory");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_model_that_failed_can_be_loaded_again() {
    let live = Settings { lock_step: false, pace_hz: Some(200.0), ..settings() };
    let log = Shared::default();
    let mut pipeline = Pipeline::start(live, log.boxed()).unwrap();
    pipeline.set_sink(Box::new(Null));
    pipeline.load(loads(|| -> Result<Segmenter<Fake>> { Err(Fault::data("model.onnx: damaged")) })).unwrap();
    pipeline.set_feed(Feed::recorded(squares(1_000_000))).unwrap();
    let lost = State::Degraded(Reason::Model("model.onnx: damaged".into()));
    attend(&mut pipeline, Duration::from_secs(20), || log.state() == Some(lost.clone()));
    assert!(!pipeline.has_model());
    pipeline.load(loads(|| segmenter(Some((3, Trouble::Panic))))).unwrap();
    let panicked =
        || matches!(log.state(), Some(State::Degraded(Reason::Inference(what))) if what.contains("panicked"));
    attend(&mut pipeline, Duration::from_secs(20), panicked);
    let load = loads(|| segmenter(None));
    pipeline.adopt(tested(|| load()).unwrap(), load);
    attend(&mut pipeline, Duration::from_secs(20), || log.state() == Some(State::Assist));
    assert!(pipeline.end(&|| false).lost.is_none(), "what was lost is found");
}

/// The state stayed at "no signal" for ever where pictures came only after the model was lost.
#[test]
fn pictures_that_come_late_end_no_signal_where_the_model_is_lost() {
    struct Late(Squares);
    impl Source for Late {
        fn read(&mut self, frame: &mut Frame) -> Result<bool> {
            if self.0.next == 0 {
                thread::sleep(Duration::from_millis(1500));
            }
            self.0.read(frame)
        }
        fn name(&self) -> &OsStr {
            self.0.name()
        }
    }
    let live = Settings { lock_step: false, pace_hz: Some(100.0), ..settings() };
    let log = Shared::default();
    let mut pipeline = Pipeline::start(live, log.boxed()).unwrap();
    pipeline.set_sink(Box::new(Null));
    pipeline.load(loads(|| -> Result<Segmenter<Fake>> { Err(Fault::data("model.onnx: damaged")) })).unwrap();
    pipeline.set_feed(Feed::recorded(Late(squares(1_000_000)))).unwrap();
    let patience = Duration::from_secs(20);
    attend(&mut pipeline, patience, || matches!(log.state(), Some(State::NoSignal(_))));
    let lost = State::Degraded(Reason::Model("model.onnx: damaged".into()));
    attend(&mut pipeline, patience, || log.state() == Some(lost.clone()));
}

#[test]
fn a_load_that_another_overtook_counts_for_nothing() {
    let live = Settings { lock_step: false, pace_hz: Some(200.0), ..settings() };
    let log = Shared::default();
    let mut pipeline = Pipeline::start(live, log.boxed()).unwrap();
    pipeline.set_sink(Box::new(Null));
    pipeline
        .load(loads(|| {
            thread::sleep(Duration::from_millis(300));
            bail!("too late")
        }))
        .unwrap();
    pipeline.set_feed(Feed::recorded(squares(1_000_000))).unwrap();
    pipeline.load(loads(|| segmenter(None))).unwrap();
    attend(&mut pipeline, Duration::from_secs(20), || log.state() == Some(State::Assist));
    let end = Instant::now() + Duration::from_millis(500);
    attend(&mut pipeline, Duration::from_secs(20), || Instant::now() >= end);
    assert_eq!(log.state(), Some(State::Assist));
}

#[test]
fn a_thread_that_panics_is_told() {
    struct Panics;
    impl Source for Panics {
        fn read(&mut self, _: &mut Frame) -> Result<bool> {
            panic!("the source broke down")
        }
        fn name(&self) -> &OsStr {
            OsStr::new("panics")
        }
    }
    struct Bad;
    impl Sink for Bad {
        fn show(&mut self, _: &Scene<'_>) -> Result<crate::display::Shown> {
            panic!("the sink broke down")
        }
        fn describe(&self) -> String {
            "bad".into()
        }
    }
    let mut pipeline = Pipeline::<Fake>::start(settings(), Box::new(())).unwrap();
    pipeline.set_feed(Feed::recorded(Panics)).unwrap();
    assert!(matches!(attend(&mut pipeline, Duration::from_secs(20), || false), Event::CaptureLost));
    pipeline.set_sink(Box::new(Bad));
    pipeline.load(loads(|| segmenter(None))).unwrap();
    pipeline.set_feed(Feed::recorded(squares(10))).unwrap();
    assert!(matches!(attend(&mut pipeline, Duration::from_secs(20), || false), Event::DisplayLost));
    let outcome = pipeline.end(&|| false);
    assert!(outcome.display_lost && outcome.lost_threads == 1);
}

#[test]
fn a_damaged_frame_is_counted_and_the_next_one_shown() {
    struct Torn(Squares);
    impl Source for Torn {
        fn read(&mut self, frame: &mut Frame) -> Result<bool> {
            let number = self.0.next;
            let more = self.0.read(frame)?;
            if number % 4 == 3 && more {
                Err(crate::capture::DamagedFrame { message: format!("frame {number}: cut") }.into())
            } else {
                Ok(more)
            }
        }
        fn name(&self) -> &OsStr {
            OsStr::new("torn")
        }
    }
    let (feed, load) = (Feed::recorded(Torn(squares(20))), loads(|| segmenter(None)));
    let outcome = run(feed, load, Box::new(Null), &settings(), &flag(), Box::new(())).unwrap();
    assert_eq!((outcome.frames.captured, outcome.frames.shown, outcome.unreadable), (15, 15, 5));
}

#[test]
fn a_run_ends_with_its_limits_its_signal_and_its_source() {
    let (outcome, ..) = go(squares(1000), None, &Settings { most_frames: Some(7), ..settings() }).unwrap();
    assert_eq!((outcome.frames.captured, outcome.frames.shown), (7, 7));
    let brief = Settings {
        most_time: Some(Duration::from_millis(60)),
        pace_hz: Some(50.0),
        lock_step: false,
        ..settings()
    };
    assert!(go(squares(1000), None, &brief).unwrap().0.frames.captured < 20);
    let mut broken = squares(1000);
    broken.fails_at = Some(5);
    assert_eq!(go(broken, None, &settings()).err().unwrap().to_string(), "the recording is damaged");
    let stop = flag();
    let log = Shared::stops_after(3, &stop);
    let (feed, load) = (Feed::recorded(squares(1_000_000)), loads(|| segmenter(None)));
    let outcome = run(feed, load, Box::new(Null), &settings(), &stop, log.boxed());
    assert!(outcome.unwrap().frames.shown < 1_000_000);
}

#[test]
fn a_display_that_fails_ends_the_run() {
    struct Broken;
    impl Sink for Broken {
        fn show(&mut self, _: &Scene<'_>) -> Result<crate::display::Shown> {
            Err(Fault::io("the cable is out"))
        }
        fn describe(&self) -> String {
            "broken".into()
        }
    }
    let (feed, load) = (Feed::recorded(squares(1000)), loads(|| segmenter(None)));
    let error = run(feed, load, Box::new(Broken), &settings(), &flag(), Box::new(())).err().unwrap();
    assert_eq!(error.to_string(), "the cable is out");
}

#[test]
fn a_profile_cannot_hide_that_assistance_is_off() {
    /// Whether the corner said anything, frame by frame.
    #[derive(Clone, Default)]
    struct Corner(Arc<Mutex<Vec<bool>>>);
    impl Sink for Corner {
        fn show(&mut self, scene: &Scene<'_>) -> Result<crate::display::Shown> {
            // Below the squares.
            self.0.lock().unwrap().push((48..64).any(|y| scene.layer.is_touched(y)));
            Ok(crate::display::Shown::Yes)
        }
        fn describe(&self) -> String {
            "corner".into()
        }
    }
    let said = |load: Load<Fake>, glyph| {
        let (corner, settings) = (Corner::default(), Settings { glyph, ..settings() });
        let feed = Feed::recorded(squares(12));
        run(feed, load, Box::new(corner.clone()), &settings, &flag(), Box::new(())).unwrap();
        corner.0.lock().unwrap().clone()
    };
    assert_eq!(said(loads(|| segmenter(None)), true), [true; 12]);
    assert_eq!(said(loads(|| segmenter(None)), false), [false; 12]);
    let breaks = Some((5, Trouble::Error));
    let expected: Vec<bool> = (0..12).map(|frame| frame >= 4).collect();
    assert_eq!(said(loads(move || segmenter(breaks)), false), expected, "ASSIST OFF is always said");
    let rubbish = Some((1, Trouble::Rubbish(100)));
    assert_eq!(said(loads(move || segmenter(rubbish)), false), [true; 12]);
    assert_eq!(said(loads(|| -> Result<Segmenter<Fake>> { Err(Fault::data("damaged")) }), false), [true; 12]);
}

/// Counts how often it is asked.
struct Asked(Fake, Arc<AtomicU64>);

impl Network for Asked {
    fn input_shape(&self) -> [usize; 3] {
        self.0.input_shape()
    }
    fn output_shape(&self) -> [usize; 3] {
        self.0.output_shape()
    }
    fn output_quantisation(&self) -> (f32, u8) {
        self.0.output_quantisation()
    }
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.run(input, logits)
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one step after another")]
fn heat_makes_inferences_fewer_then_none_and_the_corner_says_so() {
    /// Whether the corner of the last frame said anything.
    #[derive(Clone, Default)]
    struct Corner(Arc<AtomicBool>);
    impl Sink for Corner {
        fn show(&mut self, scene: &Scene<'_>) -> Result<crate::display::Shown> {
            // Below the squares.
            self.0.store((48..64).any(|y| scene.layer.is_touched(y)), Ordering::Relaxed);
            Ok(crate::display::Shown::Yes)
        }
        fn describe(&self) -> String {
            "corner".into()
        }
    }
    let (asked, corner, log) = (Arc::new(AtomicU64::new(0)), Corner::default(), Shared::default());
    let live = Settings {
        lock_step: false,
        glyph: false,
        pace_hz: Some(100.0),
        max_age: Duration::from_secs(1),
        reduced_hz: 10.0,
        ..settings()
    };
    let mut pipeline = Pipeline::start(live.clone(), log.boxed()).unwrap();
    pipeline.set_sink(Box::new(corner.clone()));
    let count = asked.clone();
    let load = loads(move || {
        let fake = Fake { runs: 0, trouble: None };
        Segmenter::new(Asked(fake, count.clone()), &manifest(), Sequence::Video)
    });
    pipeline.load(load).unwrap();
    pipeline.set_feed(Feed::recorded(squares(1_000_000))).unwrap();
    let patience = Duration::from_secs(20);
    // How often it was asked, and in how many seconds: a busy machine looks late.
    let during = |pipeline: &mut Pipeline<Asked>, time: Duration| {
        let (before, begun) = (asked.load(Ordering::Relaxed), Instant::now());
        attend(pipeline, patience, || begun.elapsed() >= time);
        (asked.load(Ordering::Relaxed) - before, begun.elapsed().as_secs_f64())
    };
    let is = |state: State| {
        let log = log.clone();
        move || log.state() == Some(state.clone())
    };
    let says = |wanted: bool| {
        let corner = corner.clone();
        move || corner.0.load(Ordering::Relaxed) == wanted
    };
    attend(&mut pipeline, patience, is(State::Assist));
    attend(&mut pipeline, patience, says(false));
    let second = Duration::from_secs(1);
    assert!(during(&mut pipeline, second).0 > 20, "a busy machine leaves some frames out");

    pipeline.set_heat(Step::Fewer);
    attend(&mut pipeline, patience, says(true));
    let (fewer, seconds) = during(&mut pipeline, second);
    assert!(fewer >= 2 && fewer as f64 <= 3.0 + 12.0 * seconds, "{fewer} inferences in {seconds:.2} s");

    pipeline.set_heat(Step::Off);
    attend(&mut pipeline, patience, is(State::Degraded(Reason::Hot)));
    during(&mut pipeline, second / 10);
    // Other settings change nothing about it.
    pipeline.set_settings(live);
    assert_eq!(during(&mut pipeline, second).0, 0, "inference is idle");
    attend(&mut pipeline, patience, says(true));

    pipeline.set_heat(Step::Lite);
    attend(&mut pipeline, patience, is(State::Assist));
    pipeline.set_heat(Step::None);
    attend(&mut pipeline, patience, says(false));
    let outcome = pipeline.end(&|| false);
    assert!(
        outcome.frames.spared > 100 && outcome.lost.is_none(),
        "{} frames were left alone",
        outcome.frames.spared
    );
}

#[test]
fn a_fixed_field_of_view_is_all_that_is_looked_at() {
    let mut frame = Frame::black(64, 64);
    squares(1).read(&mut frame).unwrap();
    let latencies = Latencies::default();
    let found = |x, y, width, height| {
        let rect = Rect { x, y, width, height };
        let mut segmenter = segmenter(None).unwrap().with_field_of_view(Rule::Fixed(rect), Sequence::Video);
        let mut regions = Regions::default();
        segmenter.regions(&frame, &latencies, &mut regions).unwrap();
        (regions.list.len(), segmenter.mapping().crop)
    };
    // The square lies at 8..32, 16..40.
    assert_eq!(found(0, 8, 48, 40), (1, Rect { x: 0, y: 8, width: 48, height: 40 }));
    assert_eq!(found(34, 0, 100, 64), (0, Rect { x: 34, y: 0, width: 30, height: 64 }));
    assert_eq!(found(64, 0, 10, 10).1, Rect { x: 0, y: 0, width: 64, height: 64 });
}

#[test]
fn the_gate_holds_regions_back() {
    let gate = Some(manifest::Gate { appear: 3, window: 4 });
    let (_, drawn, _) = go(squares(6), None, &Settings { gate, ..settings() }).unwrap();
    assert_eq!(drawn, [0, 0, 1, 1, 1, 1]);
}

/// A buffer that counts its leases.
struct Counted {
    pixels: Vec<u8>,
    leases: AtomicI64,
    most: AtomicI64,
}

impl Buffer for Counted {
    fn view(&self) -> View<'_> {
        let plane = Plane { bytes: &self.pixels, stride: Stride(128) };
        let none = Plane { bytes: &[], stride: Stride(0) };
        View::new(PixelFormat::Yuyv, Colour::RGB, (64, 64), [plane, none]).unwrap()
    }
    fn id(&self) -> BufferId {
        BufferId { queue: 1, index: 0 }
    }
    fn dma_buf(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn retain(&self) {
        let now = self.leases.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }
    fn release(&self) {
        assert!(self.leases.fetch_sub(1, Ordering::Relaxed) > 0, "more leases came back than were given");
    }
}

/// Gives a picture every 4 ms, goes away for a while, comes back.
struct Comes {
    buffers: Vec<Arc<Counted>>,
    pictures: u64,
    gone: std::ops::Range<u64>,
    calls: u64,
    refused: Arc<AtomicU64>,
}

impl Camera for Comes {
    fn next(&mut self, _: Duration, _: &mut Frame) -> live::Event {
        self.calls += 1;
        thread::sleep(Duration::from_millis(4));
        if self.gone.contains(&self.calls) {
            let attempts = self.calls - self.gone.start;
            return live::Event::Absent(Absence {
                why: Why::Unplugged,
                detail: "/dev/video7".into(),
                attempts,
            });
        }
        let free = self.buffers.iter().find(|buffer| buffer.leases.load(Ordering::Relaxed) == 0);
        let Some(buffer) = free else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return live::Event::Nothing;
        };
        self.pictures += 1;
        let timestamp = Timestamp(Duration::from_millis(4 * self.pictures));
        let stamp = Stamp {
            sequence: self.pictures,
            timestamp,
            since_taken: None,
            clock: DriverClock::Unknown,
            dequeued: Instant::now(),
        };
        live::Event::Lent(Lease::new(buffer.clone()), stamp)
    }
    fn granted(&self) -> String {
        "a camera that comes and goes".into()
    }
    fn counts(&self) -> Counts {
        Counts { pictures: self.pictures, ..Counts::default() }
    }
}

#[test]
fn a_camera_that_goes_leaves_a_screen_that_says_so_and_no_buffer_behind() {
    #[derive(Default)]
    struct Counted {
        pictures: u64,
        screens: u64,
        drawn: bool,
    }
    #[derive(Clone, Default)]
    struct Screens(Arc<Mutex<Counted>>);
    impl Sink for Screens {
        fn show(&mut self, scene: &Scene<'_>) -> Result<crate::display::Shown> {
            let mut counted = self.0.lock().unwrap();
            match scene.picture {
                Some(_) => counted.pictures += 1,
                None => {
                    counted.screens += 1;
                    let written = |layer: &Layer| (0..layer.height_px()).any(|y| layer.is_touched(y));
                    counted.drawn |= written(scene.layer);
                }
            }
            Ok(crate::display::Shown::Yes)
        }
        fn describe(&self) -> String {
            "screens".into()
        }
    }
    let buffer = || {
        Arc::new(self::Counted {
            pixels: vec![128; 128 * 64],
            leases: AtomicI64::new(0),
            most: AtomicI64::new(0),
        })
    };
    let buffers: Vec<_> = (0..8).map(|_| buffer()).collect();
    let refused = Arc::new(AtomicU64::new(0));
    let camera =
        Comes { buffers: buffers.clone(), pictures: 0, gone: 40..120, calls: 0, refused: refused.clone() };
    let settings = Settings { lock_step: false, most_frames: Some(100), ..settings() };
    let (screens, log) = (Screens::default(), Shared::default());
    let (feed, load) = (Feed::Live(Box::new(camera)), loads(|| segmenter(None)));
    let outcome = run(feed, load, Box::new(screens.clone()), &settings, &flag(), log.boxed()).unwrap();
    assert_eq!(outcome.frames.captured, 100);
    let sink = screens.0.lock().unwrap();
    assert!(sink.pictures > 70 && sink.screens >= 1 && sink.drawn, "{} screens", sink.screens);
    assert!(log.states().contains(&State::NoSignal(Why::Unplugged)), "{:?}", log.states());
    assert_ne!(outcome.state, State::NoSignal(Why::Unplugged), "it came back");
    assert_eq!(refused.load(Ordering::Relaxed), 0, "eight buffers are enough");
    for buffer in &buffers {
        assert_eq!(buffer.leases.load(Ordering::Relaxed), 0, "a lease was kept");
        assert!(buffer.most.load(Ordering::Relaxed) <= 2);
    }
}
