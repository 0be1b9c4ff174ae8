use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicI64, AtomicU64};

use anyhow::bail;

use super::*;
use crate::bundle::GoldenFrame;
use crate::bundle::manifest::{self, Decision, FieldOfViewRule, Manifest, TensorContract};
use crate::capture::live::{Buffer, BufferId, Event, Stamp, Why};
use crate::display::{Null, Scene};
use crate::frame::{Colour, PixelFormat, Plane, Rect, Stride, Timestamp};
use crate::latency::Stage;
use crate::overlay::Layer;

const SIDE: usize = 32;

fn manifest() -> Manifest {
    let tensor = |shape| TensorContract { name: "x".into(), shape, scale: 0.1, zero_point: 128 };
    Manifest {
        format_version: 1,
        name: "fake".into(),
        model_version: "0".into(),
        rollback_index: 0,
        model: "none".into(),
        input: tensor([1, 3, SIDE, SIDE]),
        output: tensor([1, 1, SIDE / 4, SIDE / 4]),
        field_of_view: FieldOfViewRule::WholeFrame,
        decision: Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 },
        gate: manifest::Gate { appear: 1, window: 1 },
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

impl Segmenter for Fake {
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
                Trouble::Panic => panic!("the network fell over"),
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
    fn name(&self) -> &str {
        "square"
    }
    fn truth(&self) -> Option<&Mask> {
        Some(&self.truth)
    }
}

fn settings() -> Settings {
    Settings { lock_step: true, ..Settings::default() }
}

fn walk(trouble: Option<(u64, Trouble)>) -> Result<Walk<Fake>> {
    Walk::new(Fake { runs: 0, trouble }, &manifest(), Following::Video)
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
}

impl Observer for Log {
    fn shown(&mut self, _: Option<&Mask>, regions: &[Region]) {
        self.drawn.push(regions.len());
        if let Some((frames, stop)) = &self.after {
            stop.store(self.drawn.len() >= *frames, Ordering::Relaxed);
        }
    }
    fn status(&mut self, status: &Status<'_>) {
        if self.states.last() != Some(status.state) {
            self.states.push(status.state.clone());
        }
    }
}

/// Runs; gives the outcome, and for each frame shown how many regions were drawn on it.
fn go(
    source: Squares,
    trouble: Option<(u64, Trouble)>,
    settings: &Settings,
) -> Result<(Outcome, Vec<usize>, Vec<State>)> {
    let mut log = Log::default();
    let feed = Feed::Recorded(Box::new(source));
    let outcome = run(feed, move || walk(trouble), &mut Null, settings, &flag(), &mut log)?;
    Ok((outcome, log.drawn, log.states))
}

#[test]
fn in_lock_step_every_frame_is_drawn_with_its_own_result() {
    #[derive(Default)]
    struct Scores(crate::score::Scorer);
    impl Observer for Scores {
        fn shown(&mut self, truth: Option<&Mask>, regions: &[Region]) {
            self.0.add(truth.unwrap(), regions);
        }
    }
    let mut scores = Scores::default();
    let feed = Feed::Recorded(Box::new(squares(20)));
    let outcome = run(feed, || walk(None), &mut Null, &settings(), &flag(), &mut scores).unwrap();
    assert_eq!((outcome.captured, outcome.shown, outcome.with_regions, outcome.skipped), (20, 20, 20, 0));
    assert_eq!(outcome.state, State::Assist);
    assert!(outcome.lost.is_none());
    let tally = scores.0.report().tally;
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
            assert_eq!(outcome.captured, 30);
            assert!(lock_step == (outcome.shown == 30) || outcome.shown > 20, "{} shown", outcome.shown);
            assert!(matches!(&outcome.state, State::Degraded(Reason::Inference(_))), "{}", outcome.state);
            let lost = format!("{:#}", outcome.lost.unwrap());
            assert!(lost.contains("broke") || lost.contains("fell over"), "{lost}");
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
    let load = || -> Result<Walk<Fake>> { Err(Fault::data("model.onnx: damaged")) };
    let feed = Feed::Recorded(Box::new(squares(10)));
    let outcome = run(feed, load, &mut Null, &settings(), &flag(), &mut ()).unwrap();
    assert_eq!((outcome.shown, outcome.with_regions), (10, 0));
    assert_eq!(outcome.state, State::Degraded(Reason::Model("model.onnx: damaged".into())));
    assert_eq!(crate::fault::exit_of(&outcome.lost.unwrap()), crate::fault::Exit::Data);
}

/// A golden frame of the squares, as the fake sees it.
fn golden() -> GoldenFrame {
    let mut frame = Frame::black(64, 64);
    squares(1).read(&mut frame).unwrap();
    let mut walk = walk(None).unwrap();
    let mut mask = Vec::new();
    walk.regions(&frame, &mut Latencies::default(), &mut Regions::default()).unwrap();
    walk.mask(&frame, &mut mask).unwrap();
    assert!(mask.contains(&255) && mask.contains(&0));
    GoldenFrame { name: "golden".into(), frame, mask }
}

#[test]
fn a_network_that_fails_its_self_test_is_not_used() {
    for (runs, expected) in [(None, State::Assist), (Some(1), State::Passthrough)] {
        let load = move || {
            let trouble = runs.map(|run| (run, Trouble::Rubbish(1)));
            Ok(walk(trouble)?.with_golden(vec![golden(), golden()]))
        };
        let feed = Feed::Recorded(Box::new(squares(10)));
        let outcome = run(feed, load, &mut Null, &settings(), &flag(), &mut ()).unwrap();
        assert_eq!(outcome.shown, 10);
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
    let load = || Ok(walk(Some((8, Trouble::Rubbish(1000))))?.with_golden(vec![golden()]));
    let settings = Settings { recheck_after: Duration::ZERO, ..settings() };
    let feed = Feed::Recorded(Box::new(squares(20)));
    let outcome = run(feed, load, &mut Null, &settings, &flag(), &mut ()).unwrap();
    assert_eq!(outcome.shown, 20);
    assert!(matches!(&outcome.state, State::Degraded(Reason::Inference(what)) if what.contains("self-test")));
}

#[test]
fn nonsense_is_not_drawn_and_said_and_passes() {
    let trouble = Some((10, Trouble::Rubbish(5)));
    let (outcome, drawn, states) = go(squares(60), trouble, &settings()).unwrap();
    assert_eq!(drawn[..9], [1; 9]);
    assert_eq!(drawn[9..14], [0; 5], "nothing is drawn of nonsense");
    assert_eq!(drawn.last(), Some(&1), "it makes sense again");
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
    assert!(outcome.shown > 50, "{} of 70 frames shown", outcome.shown);
    assert!(outcome.skipped > 20, "inference skipped {}", outcome.skipped);
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
    let mut log = Log { after: Some((30, stop.clone())), ..Log::default() };
    let feed = Feed::Recorded(Box::new(squares(100_000)));
    let begun = Instant::now();
    let load = move || walk(Some((3, trouble)));
    let outcome = run(feed, load, &mut Null, &settings, &stop, &mut log).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    assert!(outcome.shown >= 30 && outcome.feed.is_some());
}

/// Counts how many of it there are, and have been.
struct Counting {
    fake: Fake,
    alive: Arc<AtomicI64>,
}

impl Counting {
    fn load(
        alive: &Arc<AtomicI64>,
        loads: &Arc<AtomicU64>,
        takes: Duration,
    ) -> impl FnOnce() -> Result<Walk<Counting>> + Send + use<> {
        let (alive, loads) = (alive.clone(), loads.clone());
        move || {
            assert_eq!(alive.fetch_add(1, Ordering::Relaxed), 0, "two models in memory");
            loads.fetch_add(1, Ordering::Relaxed);
            thread::sleep(takes);
            let fake = Fake { runs: 0, trouble: None };
            Ok(Walk::new(Counting { fake, alive }, &manifest(), Following::Video)?
                .with_golden(vec![golden()]))
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Segmenter for Counting {
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

type Loads<S> = fn() -> Result<Walk<S>>;

#[test]
fn what_is_loaded_stays_for_the_next_run_and_goes_before_another_is_loaded() {
    let (alive, loads) = (Arc::default(), Arc::default());
    let mut pipeline = Pipeline::start().unwrap();
    let frames = || Feed::Recorded(Box::new(squares(6)));
    for (again, expected) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
        let load = again.then(|| Counting::load(&alive, &loads, Duration::ZERO));
        let outcome = pipeline.run(frames(), load, &mut Null, &settings(), &flag(), &mut ()).unwrap();
        assert_eq!((outcome.shown, outcome.with_regions), (6, 6), "every frame with its own result");
        assert_eq!(loads.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn a_run_that_ends_while_its_model_is_loaded_leaves_it_to_the_next() {
    let (alive, loads) = (Arc::default(), Arc::default());
    let mut pipeline = Pipeline::start().unwrap();
    let live = Settings { lock_step: false, pace_hz: Some(200.0), ..settings() };
    let mut end_early = |load| {
        let stop = flag();
        let mut log = Log { after: Some((5, stop.clone())), ..Log::default() };
        let feed = Feed::Recorded(Box::new(squares(100_000)));
        let begun = Instant::now();
        let outcome = pipeline.run(feed, load, &mut Null, &live, &stop, &mut log).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "it waited {:?}", begun.elapsed());
        assert_eq!((outcome.state, outcome.with_regions), (State::SelfTest, 0));
    };
    end_early(Some(Counting::load(&alive, &loads, Duration::from_secs(2))));
    // These two come while the first is loading: one model more, not two.
    end_early(Some(Counting::load(&alive, &loads, Duration::ZERO)));
    end_early(Some(Counting::load(&alive, &loads, Duration::ZERO)));
    let feed = Feed::Recorded(Box::new(squares(6)));
    let none = Some(Counting::load(&alive, &loads, Duration::ZERO)).filter(|_| false);
    let outcome = pipeline.run(feed, none, &mut Null, &settings(), &flag(), &mut ()).unwrap();
    assert_eq!((outcome.shown, outcome.with_regions), (6, 6));
    assert_eq!(loads.load(Ordering::Relaxed), 2);
}

#[test]
fn a_model_that_failed_is_told_to_the_run_that_listens_and_can_be_loaded_again() {
    let mut pipeline = Pipeline::start().unwrap();
    let feed = |frames| Feed::Recorded(Box::new(squares(frames)));
    let live = Settings { lock_step: false, pace_hz: Some(200.0), ..settings() };
    let slow = || -> Result<Walk<Fake>> {
        thread::sleep(Duration::from_secs(1));
        Err(Fault::data("model.onnx: damaged"))
    };
    let stop = flag();
    let mut log = Log { after: Some((5, stop.clone())), ..Log::default() };
    let outcome = pipeline.run(feed(100_000), Some(slow), &mut Null, &live, &stop, &mut log).unwrap();
    assert!(outcome.lost.is_none(), "not known yet");
    let mut lost = |load: Option<Loads<Fake>>| {
        let outcome = pipeline.run(feed(10), load, &mut Null, &settings(), &flag(), &mut ()).unwrap();
        assert_eq!(outcome.shown, 10);
        outcome.lost.map(|error| error.to_string())
    };
    assert_eq!(lost(None).as_deref(), Some("model.onnx: damaged"));
    assert_eq!(lost(None).as_deref(), Some("no model is loaded"));
    assert_eq!(
        lost(Some(|| walk(Some((3, Trouble::Panic))))).as_deref(),
        Some("a panic: the network fell over")
    );
    assert_eq!(lost(Some(|| walk(None))), None);
}

#[test]
fn a_run_ends_with_its_limits_its_signal_and_its_source() {
    let (outcome, ..) = go(squares(1000), None, &Settings { most_frames: Some(7), ..settings() }).unwrap();
    assert_eq!((outcome.captured, outcome.shown), (7, 7));
    let brief = Settings {
        most_time: Some(Duration::from_millis(60)),
        pace_hz: Some(50.0),
        lock_step: false,
        ..settings()
    };
    assert!(go(squares(1000), None, &brief).unwrap().0.captured < 20);
    let mut broken = squares(1000);
    broken.fails_at = Some(5);
    assert_eq!(go(broken, None, &settings()).err().unwrap().to_string(), "the recording is damaged");
    let stop = flag();
    let mut log = Log { after: Some((3, stop.clone())), ..Log::default() };
    let feed = Feed::Recorded(Box::new(squares(1000)));
    let outcome = run(feed, || walk(None), &mut Null, &settings(), &stop, &mut log);
    assert!(outcome.unwrap().shown < 8);
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
    let feed = Feed::Recorded(Box::new(squares(1000)));
    let error = run(feed, || walk(None), &mut Broken, &settings(), &flag(), &mut ()).err().unwrap();
    assert_eq!(error.to_string(), "the cable is out");
}

#[test]
fn a_fixed_field_of_view_is_all_that_is_looked_at() {
    let mut frame = Frame::black(64, 64);
    squares(1).read(&mut frame).unwrap();
    let mut latencies = Latencies::default();
    let mut found = |x, y, width, height| {
        let rect = Rect { x, y, width, height };
        let mut walk = walk(None).unwrap().with_field_of_view(Placed::At(rect));
        let mut regions = Regions::default();
        walk.regions(&frame, &mut latencies, &mut regions).unwrap();
        (regions.list.len(), walk.mapping().crop)
    };
    // The square lies at 8..32, 16..40.
    assert_eq!(found(0, 8, 48, 40), (1, Rect { x: 0, y: 8, width: 48, height: 40 }));
    assert_eq!(found(34, 0, 100, 64), (0, Rect { x: 34, y: 0, width: 30, height: 64 }));
    assert_eq!(found(64, 0, 10, 10).1, Rect { x: 0, y: 0, width: 64, height: 64 });
}

#[test]
fn the_gate_holds_regions_back() {
    let rule = Rule::of(manifest::Gate { appear: 3, window: 4 });
    let (_, drawn, _) = go(squares(6), None, &Settings { rule, ..settings() }).unwrap();
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
    fn next(&mut self, _: Duration, _: &mut Frame) -> Event {
        self.calls += 1;
        thread::sleep(Duration::from_millis(4));
        if self.gone.contains(&self.calls) {
            let attempts = self.calls - self.gone.start;
            return Event::Absent(Absence { why: Why::Unplugged, detail: "/dev/video7".into(), attempts });
        }
        let free = self.buffers.iter().find(|buffer| buffer.leases.load(Ordering::Relaxed) == 0);
        let Some(buffer) = free else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Event::Nothing;
        };
        self.pictures += 1;
        let timestamp = Timestamp(Duration::from_millis(4 * self.pictures));
        let stamp = Stamp { sequence: self.pictures, timestamp, dequeued: Instant::now() };
        Event::Lent(Lease::new(buffer.clone()), stamp)
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
    struct Screens {
        pictures: u64,
        screens: u64,
        drawn: bool,
    }
    impl Sink for Screens {
        fn show(&mut self, scene: &Scene<'_>) -> Result<crate::display::Shown> {
            match scene.picture {
                Some(_) => self.pictures += 1,
                None => {
                    self.screens += 1;
                    let written = |layer: &Layer| (0..layer.height_px()).any(|y| layer.is_touched(y));
                    self.drawn |= written(scene.layer);
                }
            }
            Ok(crate::display::Shown::Yes)
        }
        fn describe(&self) -> String {
            "screens".into()
        }
    }
    let buffer = || {
        Arc::new(Counted { pixels: vec![128; 128 * 64], leases: AtomicI64::new(0), most: AtomicI64::new(0) })
    };
    let buffers: Vec<_> = (0..8).map(|_| buffer()).collect();
    let refused = Arc::new(AtomicU64::new(0));
    let camera =
        Comes { buffers: buffers.clone(), pictures: 0, gone: 40..120, calls: 0, refused: refused.clone() };
    let settings = Settings { lock_step: false, most_frames: Some(100), ..settings() };
    let (mut sink, mut log) = (Screens::default(), Log::default());
    let feed = Feed::Live(Box::new(camera));
    let outcome = run(feed, || walk(None), &mut sink, &settings, &flag(), &mut log).unwrap();
    assert_eq!(outcome.captured, 100);
    assert!(sink.pictures > 70 && sink.screens >= 1 && sink.drawn, "{} screens", sink.screens);
    assert!(log.states.contains(&State::NoSignal(Why::Unplugged)), "{:?}", log.states);
    assert_ne!(outcome.state, State::NoSignal(Why::Unplugged), "it came back");
    assert_eq!(refused.load(Ordering::Relaxed), 0, "eight buffers are enough");
    for buffer in &buffers {
        assert_eq!(buffer.leases.load(Ordering::Relaxed), 0, "a lease was kept");
        assert!(buffer.most.load(Ordering::Relaxed) <= 2);
    }
    assert!(matches!(outcome.feed, Some(Feed::Live(_))));
}
