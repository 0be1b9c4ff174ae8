use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use anyhow::bail;

use crate::display::{Scene, Shown};

use super::*;
use crate::bundle::manifest::{Decision, FieldOfViewRule, Gate, Manifest, TensorContract};

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
        gate: Gate { appear: 1, window: 1 },
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
    Settings {
        max_age: Duration::from_millis(120),
        pace_hz: None,
        lock_step: true,
        style: Style::default(),
        glyph: true,
        gate: Gate { appear: 1, window: 1 },
        most_frames: None,
        most_time: None,
    }
}

/// Runs; gives the outcome, and for each frame shown how many regions were drawn on it.
fn go(
    source: &mut dyn Source,
    trouble: Option<(u64, Trouble)>,
    settings: &Settings,
) -> Result<(Outcome, Vec<usize>)> {
    let mut drawn = Vec::new();
    let load = move || Walk::new(Fake { runs: 0, trouble }, &manifest(), Following::Video);
    let stop = AtomicBool::new(false);
    let outcome = run(source, load, &mut crate::display::Null, settings, &stop, &mut |_, truth, regions| {
        assert!(truth.is_some());
        drawn.push(regions.len());
    })?;
    Ok((outcome, drawn))
}

#[test]
fn in_lock_step_every_frame_is_drawn_with_its_own_result() {
    let mut scorer = crate::score::Scorer::default();
    let load = || Walk::new(Fake { runs: 0, trouble: None }, &manifest(), Following::Video);
    let stop = AtomicBool::new(false);
    let outcome = run(
        &mut squares(20),
        load,
        &mut crate::display::Null,
        &settings(),
        &stop,
        &mut |_, truth, regions| scorer.add(truth.unwrap(), regions),
    )
    .unwrap();
    assert_eq!((outcome.captured, outcome.shown, outcome.with_regions, outcome.skipped), (20, 20, 20, 0));
    assert_eq!(outcome.state, State::Assist);
    assert!(outcome.lost.is_none());
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
            let (outcome, drawn) = go(&mut squares(30), Some((5, trouble)), &settings).unwrap();
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
    let stop = AtomicBool::new(false);
    let load = || -> Result<Walk<Fake>> { Err(Fault::data("model.onnx: damaged")) };
    let outcome =
        run(&mut squares(10), load, &mut crate::display::Null, &settings(), &stop, &mut |_, _, _| {})
            .unwrap();
    assert_eq!((outcome.shown, outcome.with_regions), (10, 0));
    assert_eq!(outcome.state, State::Degraded(Reason::Model("model.onnx: damaged".into())));
    assert_eq!(crate::fault::exit_of(&outcome.lost.unwrap()), crate::fault::Exit::Data);
}

#[test]
fn the_display_does_not_wait_for_inference_and_old_results_are_not_drawn() {
    let settings = Settings { lock_step: false, pace_hz: Some(100.0), ..settings() };
    let trouble = Trouble::Silence(Duration::from_millis(400));
    let (outcome, drawn) = go(&mut squares(60), Some((6, trouble)), &settings).unwrap();
    assert!(outcome.shown > 45, "{} of 60 frames shown", outcome.shown);
    assert!(outcome.skipped > 20, "inference skipped {}", outcome.skipped);
    let longest_gap = drawn.split(|&count| count > 0).map(<[usize]>::len).max().unwrap();
    // 400 ms of silence less the 120 ms for which a result may be drawn: 28 frames, or fewer on a busy machine.
    assert!((8..=45).contains(&longest_gap), "{longest_gap} frames without a result");
    assert!(matches!(outcome.state, State::Assist | State::Passthrough));
    let slowest = outcome.latencies.stage(Stage::VideoDelay).quantile_us(0.9);
    assert!(slowest < 100_000, "nine of ten pictures are ready within {slowest} µs");
}

#[test]
fn a_run_ends_with_its_limits_its_signal_and_its_source() {
    let (outcome, _) =
        go(&mut squares(1000), None, &Settings { most_frames: Some(7), ..settings() }).unwrap();
    assert_eq!((outcome.captured, outcome.shown), (7, 7));
    let brief = Settings {
        most_time: Some(Duration::from_millis(60)),
        pace_hz: Some(50.0),
        lock_step: false,
        ..settings()
    };
    assert!(go(&mut squares(1000), None, &brief).unwrap().0.captured < 20);
    let mut broken = squares(1000);
    broken.fails_at = Some(5);
    assert_eq!(go(&mut broken, None, &settings()).err().unwrap().to_string(), "the recording is damaged");
    let stop = AtomicBool::new(false);
    let shown = AtomicU64::new(0);
    let load = || Walk::new(Fake { runs: 0, trouble: None }, &manifest(), Following::Video);
    let outcome =
        run(&mut squares(1000), load, &mut crate::display::Null, &settings(), &stop, &mut |_, _, _| {
            if shown.fetch_add(1, Ordering::Relaxed) == 3 {
                stop.store(true, Ordering::Relaxed);
            }
        });
    assert!(outcome.unwrap().shown < 8);
}

#[test]
fn a_display_that_fails_ends_the_run() {
    struct Broken;
    impl Sink for Broken {
        fn show(&mut self, _: &Scene<'_>) -> Result<Shown> {
            Err(Fault::io("the cable is out"))
        }
        fn describe(&self) -> String {
            "broken".into()
        }
    }
    let load = || Walk::new(Fake { runs: 0, trouble: None }, &manifest(), Following::Video);
    let stop = AtomicBool::new(false);
    let error =
        run(&mut squares(1000), load, &mut Broken, &settings(), &stop, &mut |_, _, _| {}).err().unwrap();
    assert_eq!(error.to_string(), "the cable is out");
}

#[test]
fn the_gate_holds_regions_back() {
    let (_, drawn) =
        go(&mut squares(6), None, &Settings { gate: Gate { appear: 3, window: 4 }, ..settings() }).unwrap();
    assert_eq!(drawn, [0, 0, 1, 1, 1, 1]);
}
