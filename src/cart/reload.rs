//! A new profile beside the running one: all that differs is opened and tested first, then taken over whole, or refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::prepare::{self, Ingredients, Known, Limits, Made, Opening};
use super::recorder::Recorder;
use super::surroundings::Surroundings;
use crate::audit::Event;
use crate::board::{Board, DisplayKind, Profile};
use crate::bundle::manifest::Sensitivity;
use crate::control::{Answer, Way};
use crate::display::Sink;
use crate::fault::{Fault, one_line};
use crate::pipeline::{self, Feed, Load, Settings};
use crate::runtime::channel::Sender;
use crate::segment::Segmenter;
use crate::store::Verdict;

/// What takes longer is left behind: a file or a device that does not answer.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// So many may be left behind; then no other reload is begun.
const MOST_HANGING: u32 = 3;

/// What a reload is for.
#[derive(Debug)]
pub(super) enum What {
    /// The profile is read anew.
    Profile,
    /// All stays as it is, but for one thing.
    Wish(Wish),
}

/// What somebody in the room may want changed.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// How readily polyps are marked.
    Sensitivity(Sensitivity),
    /// Where pictures come from.
    Input(String),
}

/// Somebody in the room wants it changed.
#[derive(Debug)]
pub(super) struct Wish {
    pub to: Change,
    pub by: Way,
    /// Where the answer goes.
    pub answer: Option<Sender<Answer>>,
}

impl Wish {
    pub(super) fn answer(self, answer: Answer) {
        // Who has asked may be gone.
        let _ = self.answer.map(|to| to.send(answer));
    }
}

/// What is to be taken over.
pub(super) struct Ready<W: Surroundings> {
    pub board: Board,
    pub settings: Settings,
    /// The profile is another one.
    pub is_changed: bool,
    /// Another model, tested.
    pub model: Option<Model<W::Network>>,
    pub feed: Option<Feed>,
    /// The folder for pictures and reports.
    pub output: Option<W::Output>,
    /// Another sink, open.
    pub sink: Option<Box<dyn Sink>>,
    /// The sink holds a device that the next one needs: it goes first.
    pub exchanges_sink: bool,
    /// Then the profile that the sink is of.
    before: Option<Profile>,
}

/// A model that was tested, what makes it again, and what it was made of.
pub(super) type Model<N> = (Segmenter<N>, Load<N>, Made);

/// The reload that is under way, if there is one.
pub(super) struct Reload<W: Surroundings> {
    is_asked: bool,
    wish: Option<Wish>,
    preparing: Option<(What, Opening<Ready<W>>)>,
    hanging: u32,
    /// The profile whose display is being exchanged for another one's.
    before: Option<Profile>,
}

impl<W: Surroundings> Default for Reload<W> {
    fn default() -> Self {
        Reload { is_asked: false, wish: None, preparing: None, hanging: 0, before: None }
    }
}

impl<W: Surroundings> Reload<W> {
    /// As often as asked while one is under way, it is one more.
    pub(super) fn ask(&mut self) {
        self.is_asked = true;
    }

    /// Something else is wanted; the newest wish counts.
    pub(super) fn wish(&mut self, wish: Wish) {
        if let Some(before) = self.wish.replace(wish) {
            before
                .answer(Answer::refused("another order came after this one, before it could be carried out"));
        }
    }

    /// Whether something is asked for and nothing is being prepared.
    pub(super) fn is_due(&self) -> bool {
        (self.is_asked || self.wish.is_some()) && self.preparing.is_none()
    }

    /// Whether something is being prepared.
    pub(super) fn is_under_way(&self) -> bool {
        self.preparing.is_some()
    }

    /// Begins to prepare what was asked for.
    pub(super) fn begin(&mut self, running: Running<W>) -> Result<()> {
        let what = match self.wish.take_if(|_| !self.is_asked) {
            Some(wish) => What::Wish(wish),
            None => What::Profile,
        };
        self.is_asked &= !matches!(what, What::Profile);
        if self.hanging >= MOST_HANGING {
            log::error!(
                "the profile stays as it was: {MOST_HANGING} earlier reloads still wait for a file or device that does \
                 not answer; restart the program once it does"
            );
            if let What::Wish(wish) = what {
                wish.answer(Answer::refused("files or devices do not answer; the log says which"));
            }
            return Ok(());
        }
        let change = match &what {
            What::Profile => None,
            What::Wish(wish) => Some(wish.to.clone()),
        };
        self.preparing = Some((what, Opening::start("reload", move || running.prepare(change))?));
        Ok(())
    }

    /// What is ready to be taken over. What cannot be is told in the log, and all stays as it was.
    pub(super) fn poll(&mut self, recorder: &Recorder) -> Option<(What, Ready<W>)> {
        let (_, preparing) = self.preparing.as_mut()?;
        let why = match preparing.poll() {
            Some(Ok(ready)) => {
                let (what, _) = self.preparing.take()?;
                self.before.clone_from(&ready.before);
                return Some((what, ready));
            }
            Some(Err(error)) => one_line(&error),
            None if preparing.takes() > HANGS_AFTER => {
                self.hanging += 1;
                format!(
                    "a file or device that the new profile names has not answered for {} s",
                    HANGS_AFTER.as_secs()
                )
            }
            None => return None,
        };
        match self.preparing.take()?.0 {
            What::Profile => {
                log::error!("the profile stays as it was: {why}");
                recorder.tell(Event::ReloadRefused { why });
            }
            What::Wish(wish) => {
                let what = match wish.to {
                    Change::Sensitivity(_) => "the sensitivity",
                    Change::Input(_) => "the source of pictures",
                };
                log::error!("{what} stays as it was: {why}");
                wish.answer(Answer::refused(why));
            }
        }
        None
    }

    /// Opens the new profile's display once the old one's has let go; if that fails, the old one's again.
    pub(super) fn exchange_sink(
        &mut self,
        surroundings: &W,
        old: Box<dyn Sink>,
        board: &Board,
    ) -> Result<Opening<Box<dyn Sink>>> {
        let (before, now, surroundings) = (self.before.take(), board.profile.clone(), surroundings.clone());
        Opening::start("display opener", move || {
            drop(old);
            surroundings.sink(&now, None).or_else(|error| match before {
                Some(before) => {
                    log::error!("{}: the display stays as it was", one_line(&error));
                    surroundings.sink(&before, None)
                }
                None => Err(error),
            })
        })
    }
}

/// What a new profile is compared with.
pub(super) struct Running<W: Surroundings> {
    pub surroundings: W,
    pub path: PathBuf,
    pub force: bool,
    pub limits: Limits,
    pub board: Board,
    /// What the model in charge was made of, if there is one.
    pub made: Option<Arc<Known>>,
    /// The folder that is claimed.
    pub output: Option<W::Output>,
}

impl<W: Surroundings> Running<W> {
    /// With a change, the profile in force with that; else the one that is read anew.
    fn prepare(self, change: Option<Change>) -> Result<Ready<W>> {
        let surroundings = &self.surroundings;
        let mut board = match &change {
            Some(_) => self.board.clone(),
            None => surroundings.board(&self.path)?,
        };
        match change {
            Some(Change::Sensitivity(sensitivity)) => board.profile.model.sensitivity = sensitivity,
            Some(Change::Input(to)) => board.profile.camera.switch(&to).map_err(|names| {
                Fault::configuration(format!(
                    "there is no source {to:?}; the profile has {}",
                    names.join(", ")
                ))
            })?,
            None => {}
        }
        surroundings.admits(&board)?;
        let (old, new) = (&self.board.profile, &board.profile);
        let settings = prepare::settings(&self.limits, &board)?;
        surroundings.check_state_file(new)?;
        let feed = if new.camera == old.camera { None } else { Some(surroundings.another_feed(old, new)?) };
        let output = if new.display == old.display {
            self.output.clone()
        } else {
            surroundings.claim(&self.path, &board, self.force, self.output.clone())?
        };
        let (sink, exchanges_sink) = another_sink(surroundings, old, new, output.as_ref())?;
        let model = self.model(&board)?;
        let is_changed = new != old;
        let before = exchanges_sink.then(|| old.clone());
        Ok(Ready { board, settings, is_changed, model, feed, output, sink, exchanges_sink, before })
    }

    /// Another model, tested, if it is not the one in charge. An installed bundle on trial that does not pass is given up, and
    /// the good one is looked at in its place.
    fn model(&self, board: &Board) -> Result<Option<Model<W::Network>>> {
        let surroundings = &self.surroundings;
        loop {
            let bundle = surroundings.bundle(board)?;
            let (ingredients, trial) =
                (Ingredients::of(board, surroundings.identity(&bundle)), surroundings.trial(&bundle));
            if self.made.as_ref().is_some_and(|made| made.ingredients == ingredients) {
                return Ok(None);
            }
            match pipeline::tested(|| surroundings.segmenter(&board.profile, &bundle)) {
                Ok(segmenter) => {
                    let made = Made::default();
                    made.set(ingredients, trial);
                    let load = prepare::loader(surroundings, board, &made, Some(bundle));
                    return Ok(Some((segmenter, load, made)));
                }
                Err(error) => {
                    let Some(trial) = trial.filter(|trial| trial.has_other) else { return Err(error) };
                    let verdict = Verdict::Failed(one_line(&error));
                    if let Err(error) = surroundings.judge(board, &trial.digest, &verdict) {
                        log::warn!("{}", one_line(&error));
                    }
                }
            }
        }
    }
}

/// A sink that is open, if there is to be another one, and whether the old one must go first.
fn another_sink<W: Surroundings>(
    surroundings: &W,
    old: &Profile,
    new: &Profile,
    output: Option<&W::Output>,
) -> Result<(Option<Box<dyn Sink>>, bool)> {
    let (mine, theirs) = (&new.display, &old.display);
    let is_same = match (mine.kind, theirs.kind) {
        (DisplayKind::Null, DisplayKind::Null) | (DisplayKind::Y4m, DisplayKind::Y4m) => true,
        (DisplayKind::Images, DisplayKind::Images) => {
            (&mine.folder, mine.every_frames) == (&theirs.folder, theirs.every_frames)
        }
        (DisplayKind::Kms, DisplayKind::Kms) => {
            mine.card == theirs.card
                && mine.connector == theirs.connector
                && mine.modes == theirs.modes
                && mine.composition == theirs.composition
                && mine.enlarge == theirs.enlarge
                && mine.second.as_ref().map(|second| &second.connector)
                    == theirs.second.as_ref().map(|second| &second.connector)
        }
        _ => false,
    };
    match mine.kind {
        _ if is_same => Ok((None, false)),
        DisplayKind::Kms => {
            surroundings.examine_monitor(new)?;
            match theirs.kind {
                // The card may be the same.
                DisplayKind::Kms => Ok((None, true)),
                _ => Ok((Some(surroundings.sink(new, output.cloned())?), false)),
            }
        }
        _ => Ok((Some(surroundings.sink(new, output.cloned())?), false)),
    }
}
