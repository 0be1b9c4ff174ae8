//! From a board profile to what the pipeline works with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::surroundings::Surroundings;
use crate::board::{self, Board};
use crate::bundle::{Identity, manifest};
use crate::fault::Fault;
use crate::pipeline::{Load, Settings};
use crate::runtime;
use crate::runtime::channel::{Nothing, Receiver, channel};
use crate::runtime::sync::Mutex;
use crate::store::OnTrial;

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

/// When a run ends by itself, whatever the profile says.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    seconds: Option<Duration>,
    frames: Option<u64>,
}

impl Limits {
    /// # Errors
    /// 2 if the seconds are no span of time.
    pub fn new(seconds: Option<f64>, frames: Option<u64>) -> Result<Limits> {
        let seconds = seconds.map(Duration::try_from_secs_f64).transpose();
        let seconds = seconds.map_err(|error| Fault::usage(format!("--seconds: {error}")))?;
        Ok(Limits { seconds, frames })
    }
}

/// What the profile and the command line say of the pipeline.
pub fn settings(limits: &Limits, board: &Board) -> Result<Settings> {
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
        corner: profile.overlay.corner,
        words: board.words.clone(),
        zone: board.zone.clone(),
        gate,
        hold_frames: profile.gate.hold_frames,
        fade_in: Duration::from_millis(profile.overlay.fade_in_ms),
        follow_motion: profile.overlay.follow_motion,
        steady: profile.gate.steady_percent / 100.0,
        realtime_priority: profile.pipeline.realtime_priority,
        reduced_hz: profile.reduced_hz(),
        recording: profile.recording.wish(&profile.study, profile.field_of_view.fixed()),
        second: profile.display.second.as_ref().map(|second| second.shows),
        most_frames: limits.frames.or(profile.stop.after_frames.filter(|_| limits.seconds.is_none())),
        most_time: limits.seconds.or(after),
        ..Settings::default()
    })
}

/// What a model is made of: as long as it stays the same, the model in charge does.
#[derive(Clone, PartialEq)]
pub(super) struct Ingredients {
    pub identity: Identity,
    model: board::Model,
    field_of_view: board::FieldOfView,
}

impl Ingredients {
    pub(super) fn of(board: &Board, identity: Identity) -> Ingredients {
        Ingredients {
            identity,
            model: board.profile.model.clone(),
            field_of_view: board.profile.field_of_view.clone(),
        }
    }
}

/// Told by the thread that makes a model once it has read the bundle.
#[derive(Clone, Default)]
pub(super) struct Made(Arc<Mutex<Option<Arc<Known>>>>);

/// What is known of a model that was made.
pub(super) struct Known {
    pub ingredients: Ingredients,
    /// If its bundle has yet to prove itself.
    pub trial: Option<OnTrial>,
}

impl Made {
    pub(super) fn get(&self) -> Option<Arc<Known>> {
        self.0.lock().clone()
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        self.get().map(|known| known.ingredients.identity.clone())
    }

    /// The bundle on trial of this digest has proved itself.
    pub(super) fn has_proved_itself(&self, digest: &str) {
        let mut known = self.0.lock();
        let proved =
            known.as_ref().filter(|known| known.trial.as_ref().is_some_and(|trial| trial.digest == digest));
        if let Some(proved) = proved.cloned() {
            *known = Some(Arc::new(Known { ingredients: proved.ingredients.clone(), trial: None }));
        }
    }

    pub(super) fn set(&self, ingredients: Ingredients, trial: Option<OnTrial>) {
        *self.0.lock() = Some(Arc::new(Known { ingredients, trial }));
    }
}

/// What makes the profile's model, of `bundle` if that is open already. Only the first time are the bundle's files read: a model
/// that takes the place of one that hangs needs no disk, and is the same.
pub(super) fn loader<W: Surroundings>(
    surroundings: &W,
    board: &Board,
    made: &Made,
    bundle: Option<W::Bundle>,
) -> Load<W::Network> {
    let (surroundings, board, made) = (surroundings.clone(), board.clone(), made.clone());
    let opened = Mutex::new(bundle.map(Arc::new));
    Arc::new(move || {
        let known = opened.lock().clone();
        let bundle = match known {
            Some(bundle) => bundle,
            None => {
                let bundle = Arc::new(surroundings.bundle(&board)?);
                made.set(
                    Ingredients::of(&board, surroundings.identity(&bundle)),
                    surroundings.trial(&bundle),
                );
                *opened.lock() = Some(bundle.clone());
                bundle
            }
        };
        surroundings.segmenter(&board.profile, &bundle)
    })
}

/// The place that pictures and reports go to.
#[derive(Clone, Default)]
pub(super) enum Destination<O> {
    /// It is still being opened.
    #[default]
    Unknown,
    /// There is none: the cart has nowhere to write to.
    Nowhere,
    Place(O),
}

/// The destination, for all who use it.
#[derive(Clone)]
pub(super) struct Outputs<O>(Arc<Mutex<Destination<O>>>);

impl<O> Default for Outputs<O> {
    fn default() -> Self {
        Outputs(Arc::default())
    }
}

impl<O: Clone> Outputs<O> {
    pub(super) fn destination(&self) -> Destination<O> {
        self.0.lock().clone()
    }

    pub(super) fn get(&self) -> Option<O> {
        match self.destination() {
            Destination::Place(output) => Some(output),
            Destination::Unknown | Destination::Nowhere => None,
        }
    }

    pub(super) fn set(&self, output: Option<O>) {
        *self.0.lock() = output.map_or(Destination::Nowhere, Destination::Place);
    }
}
