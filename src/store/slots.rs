//! The record of a store, and what changes it.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bundle::Identity;
use crate::fault::{Exit, Fault};

const SCHEMA: u32 = 1;
const ENDING: &str = ".polyp";
/// A bundle on trial whose program ended so often soon after its start, or with the machine, is given up.
const MOST_STARTS: u32 = 3;

/// Which bundles are installed, and what becomes of them. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    schema: u32,
    /// The number of the next slot: none is used twice.
    next: u64,
    /// The highest rollback index of all bundles that have been good here.
    pub lowest_rollback_index: u64,
    /// Runs, or takes the place of the one on trial if that fails.
    pub good: Option<Slot>,
    /// Runs, and has yet to prove itself.
    pub trial: Option<Trial>,
    /// Was good before.
    pub previous: Option<Slot>,
    /// The last one that failed its trial.
    pub refused: Option<Refused>,
}

/// An installed bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Its file in the store's folder.
    pub file: String,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// The manifest's sha256 in hex.
    pub digest: String,
    /// The manifest's.
    pub rollback_index: u64,
    /// When it was installed.
    pub installed_unix_s: u64,
}

/// A bundle on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The bundle.
    pub slot: Slot,
    /// Starts of the program that it has not survived yet, the present one included.
    pub starts: u32,
    /// How long it has assisted without degradation, seconds.
    pub assisted_s: u64,
}

/// A bundle that failed its trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The bundle, whose file may be gone.
    pub slot: Slot,
    /// Why, one line.
    pub why: String,
    /// When.
    pub unix_s: u64,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots {
            schema: SCHEMA,
            next: 1,
            lowest_rollback_index: 0,
            good: None,
            trial: None,
            previous: None,
            refused: None,
        }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Slots {
    /// # Errors
    /// 65 if it is no record, or one of a newer program.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Slots> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let damaged = |what: &dyn std::fmt::Display| {
            Fault::data(format!(
                "{}: the record of installed bundles is damaged: {what}; install the bundle again after moving the file away",
                path.display()
            ))
        };
        let Schema { schema } = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if schema > SCHEMA {
            return Err(Fault::data(format!(
                "{}: a newer program wrote it (schema {schema}; this one reads {SCHEMA}): install that program",
                path.display()
            )));
        }
        let slots: Slots = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if let Some(slot) = slots.all().find(|slot| !is_slot(&slot.file)) {
            return Err(damaged(&format_args!("{:?} is no slot's file", slot.file)));
        }
        Ok(slots)
    }

    pub(super) fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Those that may run, the first one first.
    pub fn in_order(&self) -> impl Iterator<Item = &Slot> {
        let trial = self.trial.as_ref().map(|trial| &trial.slot);
        trial.into_iter().chain(&self.good).chain(&self.previous)
    }

    fn all(&self) -> impl Iterator<Item = &Slot> {
        self.in_order().chain(self.refused.as_ref().map(|refused| &refused.slot))
    }

    /// Whether a file is one of those that may run.
    pub(super) fn names(&self, file: &str) -> bool {
        self.in_order().any(|slot| slot.file == file)
    }

    /// Whether this bundle is on trial.
    pub fn is_on_trial(&self, digest: &str) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.slot.digest == digest)
    }

    /// A new slot, on trial.
    pub(super) fn install(&mut self, bundle: &Identity, unix_s: u64) -> Slot {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let slot = Slot {
            file: format!("{number:04}-{}-{}{ENDING}", word(&bundle.name), word(&bundle.version)),
            name: bundle.name.clone(),
            version: bundle.version.clone(),
            digest: bundle.digest.clone(),
            rollback_index: bundle.rollback_index,
            installed_unix_s: unix_s,
        };
        self.trial = Some(Trial { slot: slot.clone(), starts: 0, assisted_s: 0 });
        slot
    }

    /// A program is going to use the bundle on trial. `Some` if it was given up instead.
    pub(super) fn start(&mut self, unix_s: u64) -> Option<Refused> {
        let starts = match &mut self.trial {
            Some(trial) => {
                trial.starts = trial.starts.saturating_add(1);
                trial.starts
            }
            None => return None,
        };
        if starts <= MOST_STARTS {
            return None;
        }
        let why = format!(
            "the program or the machine ended {MOST_STARTS} times within a minute of starting with it"
        );
        let digest = self.trial.as_ref().map(|trial| trial.slot.digest.clone())?;
        self.refuse(&digest, &why, unix_s)
    }

    /// The program has gone on for a while with the bundle on trial.
    pub(super) fn survive(&mut self, digest: &str, assisted_s: u64) {
        if let Some(trial) = self.trial.as_mut().filter(|trial| trial.slot.digest == digest) {
            (trial.starts, trial.assisted_s) = (0, assisted_s);
        }
    }

    /// The bundle on trial becomes the good one; which it is.
    pub(super) fn accept(&mut self, digest: &str) -> Option<Slot> {
        let trial = self.trial.take_if(|trial| trial.slot.digest == digest)?;
        self.lowest_rollback_index = self.lowest_rollback_index.max(trial.slot.rollback_index);
        self.previous = self.good.replace(trial.slot.clone());
        Some(trial.slot)
    }

    /// The bundle on trial is given up, if there is another one to run; who it was then.
    pub(super) fn refuse(&mut self, digest: &str, why: &str, unix_s: u64) -> Option<Refused> {
        self.good.as_ref()?;
        let trial = self.trial.take_if(|trial| trial.slot.digest == digest)?;
        let refused = Refused { slot: trial.slot, why: why.into(), unix_s };
        self.refused = Some(refused.clone());
        Some(refused)
    }

    /// Goes back: from the bundle on trial to the good one, or from the good one to the one before. What is to run then.
    ///
    /// # Errors
    /// 1 if there is none to go back to, 76 if that is older than what has been good here.
    pub(super) fn roll_back(&mut self, unix_s: u64) -> Result<Slot> {
        let none = || Fault::new(Exit::Assertion, "there is no bundle to go back to");
        if let Some(trial) = &self.trial {
            let digest = trial.slot.digest.clone();
            self.refuse(&digest, "it was rolled back by hand", unix_s).ok_or_else(none)?;
            return self.good.clone().ok_or_else(none);
        }
        let previous = self.previous.as_ref().ok_or_else(none)?;
        if previous.rollback_index < self.lowest_rollback_index {
            return Err(Fault::new(
                Exit::Signature,
                format!(
                    "{previous}: its rollback index is {}, and a bundle with {} has been good here: it may not run any more",
                    previous.rollback_index, self.lowest_rollback_index
                ),
            ));
        }
        std::mem::swap(&mut self.good, &mut self.previous);
        self.good.clone().ok_or_else(none)
    }
}

/// Whether a file's name is one that a slot can have: never one that leads elsewhere.
pub(super) fn is_slot(name: &str) -> bool {
    let has_number = name.split_once('-').is_some_and(|(number, _)| number.parse::<u64>().is_ok());
    has_number && name.ends_with(ENDING) && name.len() <= 255 && word(name) == name
}

/// Text as a part of a file's name.
pub fn word(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    text.chars().map(plain).collect()
}
