//! From a board profile to what the pipeline works with. What may hang is opened in threads of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::board::{self, Board, DisplayKind, Profile};
use crate::bundle::{Bundle, manifest};
use crate::capture::{self, v4l2};
use crate::display::{Images, Null, PICTURES, Sink, Written, Y4m, kms};
use crate::engine::{Engine, Options};
use crate::fault::{Exit, Fault, exit_of, one_line};
use crate::field_of_view::Sequence;
use crate::files::{Claim, Input, OutputFolder};
use crate::pipeline::{Feed, Load, Settings};
use crate::runtime;
use crate::runtime::channel::{Nothing, Receiver, channel};
use crate::runtime::sync::Mutex;
use crate::segment::Segmenter;

/// Names of the files that a run writes at its end into its display's folder.
pub(super) const REPORTS: [&str; 3] = ["latency.txt", "latency.json", "score.json"];

/// Something that is being opened by a thread of its own; left behind if it hangs.
pub(super) struct Opening<T> {
    outcome: Receiver<Result<T>>,
    since: Instant,
}

impl<T: Send + 'static> Opening<T> {
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(name: &str, open: impl FnOnce() -> Result<T> + Send + 'static) -> Result<Opening<T>> {
        let (sender, outcome) = channel();
        runtime::thread::spawn(name, move || {
            // Nobody waits for it any more.
            let _ = sender.send(open());
        })
        .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        Ok(Opening { outcome, since: runtime::now() })
    }

    /// What came of it; `None` as long as it goes on.
    pub(super) fn poll(&mut self) -> Option<Result<T>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(Nothing::Yet) => None,
            Err(Nothing::Ever) => {
                Some(Err(Fault::io("the thread that opens files and devices panicked; the log says where")))
            }
        }
    }

    pub(super) fn takes(&self) -> Duration {
        runtime::since(self.since)
    }
}

/// When the command line says that the run ends.
#[derive(Clone)]
pub(super) struct Limits {
    seconds: Option<Duration>,
    frames: Option<u64>,
}

impl Limits {
    /// # Errors
    /// 2 if the seconds are no span of time.
    pub(super) fn new(seconds: Option<f64>, frames: Option<u64>) -> Result<Limits> {
        let seconds = seconds.map(Duration::try_from_secs_f64).transpose();
        let seconds = seconds.map_err(|error| Fault::usage(format!("--seconds: {error}")))?;
        Ok(Limits { seconds, frames })
    }
}

/// What the profile and the command line say of the pipeline.
pub(super) fn settings(limits: &Limits, board: &Board) -> Result<Settings> {
    let profile = &board.profile;
    let gate = match (profile.gate.appear, profile.gate.window) {
        (Some(appear), Some(window)) => Some(manifest::Gate { appear, window }),
        _ => None,
    };
    let after_s = profile.stop.after_s.filter(|_| limits.frames.is_none());
    let after = after_s.map(Duration::try_from_secs_f64).transpose();
    let after = after.map_err(|error| Fault::configuration(format!("stop.after_s: {error}")))?;
    Ok(Settings {
        max_age: Duration::from_millis(profile.pipeline.max_age_ms),
        pace_hz: (profile.camera.rate_hz > 0.0).then_some(profile.camera.rate_hz),
        lock_step: profile.pipeline.lock_step,
        style: profile.style(),
        glyph: profile.overlay.glyph,
        gate,
        hold_frames: profile.gate.hold_frames,
        steady: profile.gate.steady_percent / 100.0,
        realtime_priority: profile.pipeline.realtime_priority,
        most_frames: limits.frames.or(profile.stop.after_frames.filter(|_| limits.seconds.is_none())),
        most_time: limits.seconds.or(after),
        ..Settings::default()
    })
}

/// What a model is made of: as long as it stays the same, the model in charge does.
#[derive(Clone, PartialEq)]
pub(super) struct Ingredients {
    bundle: PathBuf,
    manifest: manifest::Manifest,
    model: board::Model,
    field_of_view: board::FieldOfView,
}

impl Ingredients {
    pub(super) fn of(board: &Board, bundle: &Bundle) -> Ingredients {
        Ingredients {
            bundle: board.bundle(),
            manifest: bundle.manifest.clone(),
            model: board.profile.model.clone(),
            field_of_view: board.profile.field_of_view.clone(),
        }
    }
}

/// Told by the thread that makes a model once it has read the bundle.
#[derive(Clone, Default)]
pub(super) struct Made(Arc<Mutex<Option<Ingredients>>>);

impl Made {
    pub(super) fn get(&self) -> Option<Ingredients> {
        self.0.lock().clone()
    }

    pub(super) fn set(&self, ingredients: Ingredients) {
        *self.0.lock() = Some(ingredients);
    }
}

/// What makes the profile's model, from the bundle's files on.
pub(super) fn loader(board: &Board, made: &Made) -> Load<Engine> {
    let (board, made) = (board.clone(), made.clone());
    Arc::new(move || {
        let bundle = Bundle::open(&board.bundle())?;
        made.set(Ingredients::of(&board, &bundle));
        segmenter(&board.profile, &bundle)
    })
}

/// The model of an open bundle, as the profile runs it.
pub(super) fn segmenter(profile: &Profile, bundle: &Bundle) -> Result<Segmenter<Engine>> {
    let options =
        Options { threads: profile.model.threads, cores: profile.model.cores.clone(), ..Options::default() };
    let engine = Engine::load(bundle, &options)?;
    let point = bundle.manifest.operating_point(profile.model.sensitivity)?;
    let segmenter = Segmenter::new(engine, &bundle.manifest, Sequence::Video)?
        .at(&point)?
        .with_golden(bundle.golden().clone());
    Ok(match profile.field_of_view.rule() {
        Some(rule) => segmenter.with_field_of_view(rule, Sequence::Video),
        None => segmenter,
    })
}

/// The folder that pictures and reports go to, claimed for this run; none as long as there is none, or if a cart has nowhere to
/// write to.
#[derive(Clone, Default)]
pub(super) struct Outputs(Arc<Mutex<Option<OutputFolder>>>);

impl Outputs {
    pub(super) fn get(&self) -> Option<OutputFolder> {
        self.0.lock().clone()
    }

    pub(super) fn set(&self, folder: Option<OutputFolder>) {
        *self.0.lock() = folder;
    }
}

/// Claims the profile's folder for what the run writes, or goes on with the claim that there is.
///
/// # Errors
/// As [`OutputFolder::claim`]; with a monitor, one that cannot be had is a warning, and there will be no reports.
pub(super) fn claim(
    path: &Path,
    board: &Board,
    force: bool,
    held: Option<OutputFolder>,
) -> Result<Option<OutputFolder>> {
    let display = &board.profile.display;
    let names: &[&str] = match display.kind {
        DisplayKind::Images => &[PICTURES, REPORTS[0], REPORTS[1], REPORTS[2]],
        _ => &REPORTS,
    };
    let bundle = board.bundle();
    let mut inputs = vec![Input::File(path), Input::Tree(&bundle)];
    inputs.extend(Input::of_source(board.profile.camera.source.as_ref()));
    let claimed = match held.filter(|held| held.is_at(&display.folder)) {
        Some(held) => held.also(names).map(|()| held),
        None => OutputFolder::claim(&Claim {
            folder: &display.folder,
            names,
            what: "run",
            inputs: &inputs,
            force,
        }),
    };
    match (claimed, display.kind) {
        // The picture needs no disk. Pictures in files do, and a folder that is somebody else's is a mistake to be told of.
        (Err(error), kind)
            if kind == DisplayKind::Kms || kind != DisplayKind::Images && exit_of(&error) == Exit::Io =>
        {
            log::warn!("no reports will be written: {}", one_line(&error));
            Ok(None)
        }
        (claimed, _) => claimed.map(Some),
    }
}

/// A live camera as the profile wants it; `None` if its pictures are recorded or rendered.
pub(super) fn camera(profile: &Profile) -> Result<Option<v4l2::Wanted>> {
    let camera = &profile.camera;
    let Some(device) = camera.device() else { return Ok(None) };
    Ok(Some(v4l2::Wanted {
        device: device.map(str::to_owned),
        formats: camera.formats.clone(),
        sizes: camera.sizes().map_err(Fault::configuration)?,
        rate_hz: camera.rate_hz,
        buffers: camera.buffers,
        input: camera.input,
    }))
}

/// Where pictures come from: opened by the thread that captures. A live camera that is not there is no error: it may come.
pub(super) fn feed(profile: &Profile) -> Result<Feed> {
    if let Some(wanted) = camera(profile)? {
        return Ok(Feed::Live(Box::new(v4l2::open(wanted))));
    }
    let source = profile.camera.source.clone();
    Ok(Feed::Recorded(Box::new(move || capture::open(&source))))
}

/// A monitor as the profile wants it.
pub(super) fn monitor(profile: &Profile) -> Result<kms::Wanted> {
    let display = &profile.display;
    let wishes = display.modes().map_err(Fault::configuration)?;
    Ok(kms::Wanted {
        card: display.card.clone(),
        connector: display.connector.clone(),
        modes: wishes,
        composition: display.composition,
        enlarge: display.enlarge,
    })
}

/// Where pictures go.
pub(super) fn sink(profile: &Profile, output: Option<OutputFolder>) -> Result<Box<dyn Sink>> {
    let display = &profile.display;
    Ok(match display.kind {
        DisplayKind::Kms => Box::new(kms::open(&monitor(profile)?)?),
        DisplayKind::Images => {
            let folder = output.ok_or_else(|| Fault::io("the folder for images is not open"))?;
            Box::new(Written::new(Images::new(folder, display.every_frames))?)
        }
        DisplayKind::Y4m => {
            let rate = profile.camera.rate_hz;
            let rate = if rate > 0.0 { rate } else { capture::synthetic::FPS };
            Box::new(Written::new(Y4m::new(std::io::stdout(), rate.round() as usize))?)
        }
        DisplayKind::Null => Box::new(Null),
    })
}
