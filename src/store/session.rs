//! Which installed bundle a running program uses, and what it finds out about it.

use std::time::Duration;

use anyhow::Result;

use super::disk::Disk;
use super::installed::{Store, unix_s};
use super::slots::{Refused, Slot, Slots};
use crate::audit::{self, Event};
use crate::board::Board;
use crate::bundle::{Bundle, Trust};
use crate::fault::{Fault, one_line};
use crate::runtime::sync::Mutex;

/// Which bundles may run on a board: what its profile says, and no bundle older than what was good on this cart.
///
/// # Errors
/// As [`Board::trust`]; 65 if the store's record is damaged, 74 if it cannot be read.
pub fn trust(board: &Board) -> Result<Trust> {
    let trust = board.trust()?;
    let lowest = match Store::at(&board.profile.store.folder).slots()? {
        Some(slots) => trust.lowest_rollback_index.max(slots.lowest_rollback_index),
        None => trust.lowest_rollback_index,
    };
    Ok(Trust { lowest_rollback_index: lowest, ..trust })
}

/// The bundle that a board would run now. Changes nothing.
///
/// # Errors
/// As [`Bundle::open_trusted`]; 65 if nothing is installed and the profile wants an installed one.
pub fn bundle(board: &Board) -> Result<Bundle> {
    let trust = trust(board)?;
    match board.bundle() {
        Some(path) => Bundle::open_trusted(&path, &trust),
        None => {
            let store = Store::at(&board.profile.store.folder);
            first_that_opens(&store, &trust, |_| true, |_, _| {}).map(|chosen| chosen.bundle)
        }
    }
}

/// Bundles that failed while this program ran, at most: the oldest is forgotten.
const MOST_REFUSED: usize = 16;

/// A bundle that was opened to run.
#[derive(Debug)]
pub struct Chosen {
    /// Verified.
    pub bundle: Bundle,
    /// If it has yet to prove itself.
    pub trial: Option<OnTrial>,
}

/// A bundle's trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnTrial {
    /// The bundle's digest.
    pub digest: String,
    /// Its name and version.
    pub what: String,
    /// How long it has assisted without degradation, before this program started.
    pub assisted: Duration,
    /// There is another one that can take its place.
    pub has_other: bool,
}

/// What was found out about a bundle on trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The program goes on with it, and has assisted for so long without degradation.
    Survives(Duration),
    /// It has proved itself.
    Good,
    /// It is not to run any more, for this reason.
    Failed(String),
}

/// What one process knows of its store beyond the disk, which may fail it.
#[derive(Debug, Default)]
pub struct Session {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The bundle on trial whose start was counted.
    counted: Option<String>,
    /// Digests of bundles that failed.
    refused: Vec<String>,
}

impl Session {
    /// The bundle that the board is to run: the one that its profile names by a path, or of the installed ones the one on trial,
    /// else the good one, else the one before; the first of them that may run and is whole. A start of the one on trial is
    /// counted once.
    ///
    /// # Errors
    /// As [`Bundle::open_trusted`] for the last of them; 65 if none is installed.
    pub fn choose(&self, board: &Board) -> Result<Chosen> {
        let trust = trust(board)?;
        if let Some(path) = board.bundle() {
            return Ok(Chosen { bundle: Bundle::open_trusted(&path, &trust)?, trial: None });
        }
        let store = Store::at(&board.profile.store.folder);
        self.count_start(&store, board);
        let refused = self.inner.lock().refused.clone();
        let mut failed = Vec::new();
        let chosen = first_that_opens(
            &store,
            &trust,
            |slot| !refused.contains(&slot.digest),
            |slot, error| failed.push((slot.digest.clone(), one_line(error))),
        )?;
        for (digest, why) in failed {
            // Only the one on trial is given up for it: the others may be whole again once a key is back or a disk mended.
            if let Err(error) = self.judge(board, &digest, &Verdict::Failed(why)) {
                log::warn!("{}", one_line(&error));
            }
        }
        Ok(chosen)
    }

    /// A store that cannot be written to is a reason for a warning, not for doing without assistance.
    fn count_start<D: Disk>(&self, store: &Store<D>, board: &Board) {
        let known = self.inner.lock().counted.clone();
        let count = |slots: &mut Slots| {
            let digest = slots.trial.as_ref().map(|trial| trial.slot.digest.clone());
            if digest.is_none() || digest == known {
                return Ok((known.clone(), None));
            }
            let refused = slots.start(unix_s());
            Ok((digest, refused))
        };
        // Nothing is made where nothing was installed.
        if !matches!(store.slots(), Ok(Some(_))) {
            return;
        }
        match store.change(count) {
            Ok((digest, refused)) => {
                self.inner.lock().counted = digest;
                tell(board, refused.as_ref());
            }
            Err(error) => log::warn!(
                "the trial of a new bundle cannot be recorded, so it will not be given up if the machine ends: {}",
                one_line(&error)
            ),
        }
    }

    /// Takes in what was found out about the bundle of this digest. What failed is not chosen again by this process, whatever
    /// the disk does.
    ///
    /// # Errors
    /// 74 if the record cannot be read or written.
    pub fn judge(&self, board: &Board, digest: &str, verdict: &Verdict) -> Result<()> {
        if matches!(verdict, Verdict::Failed(_)) {
            let mut inner = self.inner.lock();
            if !inner.refused.iter().any(|known| known == digest) {
                if inner.refused.len() >= MOST_REFUSED {
                    inner.refused.remove(0);
                }
                inner.refused.push(digest.to_owned());
            }
        }
        let store = Store::at(&board.profile.store.folder);
        let (passed, refused) = store.change(|slots| {
            Ok(match verdict {
                Verdict::Survives(assisted) => {
                    slots.survive(digest, assisted.as_secs());
                    (None, None)
                }
                Verdict::Good => (slots.accept(digest), None),
                Verdict::Failed(why) => (None, slots.refuse(digest, why, unix_s())),
            })
        })?;
        if let Some(slot) = passed {
            log::info!("the bundle {slot} has proved itself: it is the good one now");
            let event = Event::TrialPassed { bundle: slot.to_string(), digest: slot.digest };
            audit::note(board.profile.pipeline.audit_folder.as_deref(), event);
        }
        tell(board, refused.as_ref());
        Ok(())
    }
}

fn tell(board: &Board, refused: Option<&Refused>) {
    if let Some(Refused { slot, why, .. }) = refused {
        log::error!(
            "the bundle {slot}, which was on trial, is given up and the good one takes its place: {why}"
        );
        let event =
            Event::TrialFailed { bundle: slot.to_string(), digest: slot.digest.clone(), why: why.clone() };
        audit::note(board.profile.pipeline.audit_folder.as_deref(), event);
    }
}

/// The first of the installed bundles that is allowed by `may` and opens; `fails` is told of those before it.
///
/// # Errors
/// 65 if there is none; else what is wrong with the last one.
pub(super) fn first_that_opens<D: Disk>(
    store: &Store<D>,
    trust: &Trust,
    may: impl Fn(&Slot) -> bool,
    mut fails: impl FnMut(&Slot, &anyhow::Error),
) -> Result<Chosen> {
    let slots = store.slots()?.unwrap_or_default();
    let mut wrong = None;
    for slot in slots.in_order().filter(|slot| may(slot)) {
        match store.open(slot, trust) {
            Ok(bundle) => {
                let trial = slots.trial.as_ref().filter(|trial| trial.slot.digest == bundle.digest);
                let trial = trial.map(|trial| OnTrial {
                    digest: trial.slot.digest.clone(),
                    what: trial.slot.to_string(),
                    assisted: Duration::from_secs(trial.assisted_s),
                    has_other: slots.good.is_some(),
                });
                return Ok(Chosen { bundle, trial });
            }
            Err(error) => {
                log::error!("the installed bundle {slot} cannot be used: {}", one_line(&error));
                fails(slot, &error);
                wrong = Some(error);
            }
        }
    }
    Err(wrong.unwrap_or_else(|| {
        Fault::data(format!(
            "no bundle is installed in {}; install one with polyp-edge bundle install",
            store.folder.display()
        ))
    }))
}
