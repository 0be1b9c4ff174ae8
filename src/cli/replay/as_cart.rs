//! A recording as a cart would show it: the pipeline itself, with a profile's rules, in simulated time.
//!
//! Frames come at the recording's rate, a result takes as long as the caller says, everything else takes no time. What is drawn on
//! which frame then depends on the recording, the bundle and the profile alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::arguments::Arguments;
use super::damaged;
use super::lines::{Found, Head, Line, Newest, Pace, readable};
use super::opened::Opened;
use super::outputs::{Outputs, Results};
use super::progress::Progress;
use crate::board::Profile;
use crate::cart::{self, Limits};
use crate::display::{Null, Sink};
use crate::engine::Engine;
use crate::fault::{Exit, Fault};
use crate::latency::interval::Frames;
use crate::pipeline::{Event, Feed, Observer, Picture, Pipeline, Settings};
use crate::runtime::sync::Mutex;
use crate::runtime::{self, virtual_time};
use crate::score::{ScoreReport, Scorer};
use crate::segment::{Network, Segmenter};
use crate::track::TrackNumber;

/// Between two looks at the threads, in simulated time.
const TICK: Duration = Duration::from_millis(4);
/// Where neither the recording nor the profile says.
const USUAL_HZ: f64 = 25.0;

#[derive(Serialize)]
struct Summary<'a> {
    schema: u32,
    model: &'a str,
    model_version: &'a str,
    board: &'a str,
    #[serde(flatten)]
    pace: Pace,
    /// Frames that were shown.
    frames: u64,
    /// Of those, the ones with something drawn.
    frames_with_regions: u64,
    /// Regions that were drawn, each counted once however long it stayed.
    regions: u64,
    /// How many frames were shown in each state.
    states: BTreeMap<&'static str, u64>,
    /// What became of the frames.
    fates: Frames,
    damaged: u64,
    /// What was drawn against what was there in the very frame: where the source knows its polyps.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<ScoreReport>,
}

impl Summary<'_> {
    fn tell(&self, arguments: &Arguments) -> Result<()> {
        if arguments.json {
            say!("{}", serde_json::to_string_pretty(self)?);
        } else {
            let states: Vec<String> =
                self.states.iter().map(|(state, frames)| format!("{state} {frames}")).collect();
            say!(
                "{} frames as on {} at {} a second, {} with regions ({} in all); frames by state: {}; results in {}",
                self.frames,
                self.board,
                self.pace.rate_hz,
                self.frames_with_regions,
                self.regions,
                states.join(", "),
                arguments.out.display()
            );
            if let Some(score) = &self.score {
                say!("{score}");
            }
        }
        Ok(())
    }
}

pub(super) fn run(arguments: &Arguments, opened: Opened) -> Result<()> {
    let Some(board) = &opened.board else { return Err(Fault::usage("--as-cart needs --board")) };
    let profile = board.profile.clone();
    let pace = Pace {
        rate_hz: arguments.rate.unwrap_or_else(|| rate(&opened, &profile)),
        inference_ms: arguments.inference_ms,
    };
    let settings = Settings {
        pace_hz: Some(pace.rate_hz),
        lock_step: false,
        realtime_priority: 0,
        most_frames: None,
        most_time: None,
        ..cart::settings(&Limits::default(), board)?
    };
    let outputs = Outputs::claim(arguments, &Head::of(&opened, Some(pace)))?;
    let sink: Box<dyn Sink> =
        outputs.overlay.map_or_else(|| Box::new(Null) as Box<dyn Sink>, |images| Box::new(images));
    let watched = Arc::new(Mutex::new(Watched::new(outputs.results, opened.source.expected())));
    let Opened { segmenter, source, bundle, .. } = opened;
    let inference = Duration::from_secs_f64(pace.inference_ms / 1000.0);
    let segmenter = segmenter.over(|engine| Paced { engine, inference });
    let (feed, theirs) = (Feed::Recorded(Box::new(move || Ok(source))), watched.clone());
    let fates = virtual_time::run(move || show(settings, segmenter, feed, sink, &theirs))?;

    let watched = std::mem::replace(&mut *watched.lock(), Watched::new(Results::none(), None));
    if watched.frames == 0 && fates.unreadable == 0 {
        return Err(Fault::data(format!("{} contains no frames", arguments.source.display())));
    }
    watched.results.finish()?;
    let summary = Summary {
        schema: 1,
        model: &bundle.manifest.name,
        model_version: &bundle.manifest.model_version,
        board: &profile.name,
        pace,
        frames: watched.frames,
        frames_with_regions: watched.with_regions,
        regions: watched.regions,
        states: watched.states,
        fates: fates.frames,
        damaged: fates.unreadable,
        score: watched.has_truth.then(|| watched.scorer.report()),
    };
    summary.tell(arguments)?;
    damaged::check(summary.damaged, summary.frames)
}

fn rate(opened: &Opened, profile: &Profile) -> f64 {
    let of_profile = Some(profile.camera.rate_hz).filter(|rate| *rate > 0.0);
    opened.source.rate_hz().or(of_profile).unwrap_or(USUAL_HZ)
}

/// What became of the frames of a recording.
struct Fates {
    frames: Frames,
    unreadable: u64,
}

/// Runs the pipeline until the recording ends.
fn show(
    settings: Settings,
    segmenter: Segmenter<Paced>,
    feed: Feed,
    sink: Box<dyn Sink>,
    watched: &Arc<Mutex<Watched>>,
) -> Result<Fates> {
    let mut pipeline = Pipeline::start(settings, Box::new(Watch(watched.clone())))?;
    let again = || {
        Err(Fault::new(
            Exit::Assertion,
            "the model failed on a frame; run the same recording without --as-cart",
        ))
    };
    pipeline.adopt(segmenter, Arc::new(again));
    pipeline.set_sink(sink);
    // The model is at work before the first frame comes.
    runtime::thread::sleep(TICK);
    pipeline.set_feed(feed)?;
    let ended = loop {
        match pipeline.attend() {
            Event::Over => break None,
            Event::SourceFailed(error) | Event::SinkFailed(error) => break Some(error),
            Event::CaptureLost | Event::DisplayLost => {
                break Some(Fault::new(Exit::Assertion, "a thread panicked; the log says which and where"));
            }
            Event::Going | Event::SinkReleased(_) => {}
        }
        if let Some(error) = watched.lock().failed.take() {
            break Some(error);
        }
        runtime::thread::sleep(TICK);
    };
    let outcome = pipeline.end(&|| false);
    let failed = watched.lock().failed.take();
    match ended.or(failed).or(outcome.lost) {
        Some(error) => Err(error),
        None => Ok(Fates { frames: outcome.frames, unreadable: outcome.unreadable }),
    }
}

/// The engine, which takes a time of its own for a frame.
struct Paced {
    engine: Engine,
    inference: Duration,
}

impl Network for Paced {
    fn input_shape(&self) -> [usize; 3] {
        self.engine.input_shape()
    }
    fn output_shape(&self) -> [usize; 3] {
        self.engine.output_shape()
    }
    fn output_quantisation(&self) -> (f32, u8) {
        self.engine.output_quantisation()
    }
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        self.engine.run(input, logits)?;
        runtime::thread::sleep(self.inference);
        Ok(())
    }
    fn enter_thread(&mut self) {
        self.engine.enter_thread();
    }
}

/// What was seen so far.
struct Watched {
    results: Results,
    progress: Progress,
    first: Option<Instant>,
    frames: u64,
    with_regions: u64,
    regions: u64,
    drawn: BTreeSet<TrackNumber>,
    states: BTreeMap<&'static str, u64>,
    scorer: Scorer,
    /// The source knows its polyps.
    has_truth: bool,
    failed: Option<anyhow::Error>,
}

impl Watched {
    fn new(results: Results, expected: Option<u64>) -> Watched {
        Watched {
            results,
            progress: Progress::new(expected),
            first: None,
            frames: 0,
            with_regions: 0,
            regions: 0,
            drawn: BTreeSet::new(),
            states: BTreeMap::new(),
            scorer: Scorer::default(),
            has_truth: false,
            failed: None,
        }
    }

    fn take(&mut self, picture: &Picture<'_>) -> Result<()> {
        let first = *self.first.get_or_insert(picture.at);
        self.frames += 1;
        self.progress.tell(self.frames);
        self.with_regions += u64::from(!picture.regions().is_empty());
        *self.states.entry(picture.state.word()).or_default() += 1;
        if let Some(truth) = picture.truth {
            self.has_truth = true;
            self.scorer.add(truth, picture.regions());
        }
        let mut regions: Vec<Line<'_>> = picture.regions().iter().map(Line::of).collect();
        let newest = picture.result.as_ref().map(|result| {
            for (line, track) in regions.iter_mut().zip(result.shown.tracks()) {
                line.track = Some(track);
                self.regions += u64::from(self.drawn.insert(track));
            }
            let mut found: Vec<Line<'_>> = result.found.iter().map(Line::of).collect();
            for (line, followed) in found.iter_mut().zip(result.shown.followed()) {
                (line.track, line.shown) = (followed.track, Some(followed.is_shown));
            }
            Newest {
                frame: result.number.0,
                age_s: seconds(picture.drawn_at.saturating_duration_since(result.at)),
                regions: found,
            }
        });
        self.results.add(&Found {
            frame: picture.number.0,
            name: &readable(picture.name),
            width_px: picture.size_px.0,
            height_px: picture.size_px.1,
            time_s: Some(seconds(picture.at.saturating_duration_since(first))),
            state: Some(picture.state.word()),
            regions,
            result: newest,
        })
    }
}

/// To the microsecond.
fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

struct Watch(Arc<Mutex<Watched>>);

impl Observer for Watch {
    fn shown(&mut self, picture: &Picture<'_>) {
        let mut watched = self.0.lock();
        if watched.failed.is_none()
            && let Err(error) = watched.take(picture)
        {
            watched.failed = Some(error);
        }
    }
}
