//! The simulated store of installed bundles: one that is good, and now and then one on trial.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use polyp_edge::fault::Fault as Failure;
use polyp_edge::store::{OnTrial, Verdict};

use super::plan::Change;
use super::world::World;

/// What a bundle on trial that is no good has assisted before it fails.
pub(super) const FAILS_AFTER: Duration = Duration::from_secs(4);
/// What it must have assisted to be good, minutes.
pub(super) const TRIAL_MINUTES: f64 = 0.2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Store {
    installed: u64,
    good: u64,
    trial: Option<Installed>,
    /// Failed in this process, whatever the disk holds.
    refused: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Installed {
    number: u64,
    is_bad: bool,
}

/// A bundle that was chosen.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    number: u64,
    is_on_trial: bool,
    /// Its network fails after a while.
    pub(super) is_bad: bool,
}

impl Choice {
    /// The lighter one, which is not installed.
    pub(super) fn lite() -> Choice {
        Choice { number: u64::MAX, is_on_trial: false, is_bad: false }
    }

    pub(super) fn digest(self) -> String {
        format!("installed-{}", self.number)
    }

    pub(super) fn trial(self) -> Option<OnTrial> {
        self.is_on_trial.then(|| OnTrial {
            digest: self.digest(),
            what: format!("simulated {}", self.number),
            assisted: Duration::ZERO,
            has_other: true,
        })
    }
}

impl Store {
    pub(super) fn changes(&mut self, change: Change) {
        if let Change::TrialOfGood | Change::TrialOfBad = change {
            self.installed += 1;
            self.trial = Some(Installed { number: self.installed, is_bad: change == Change::TrialOfBad });
        }
    }
}

impl World {
    /// The bundle on trial, else the good one.
    pub(super) fn choose(&self) -> Choice {
        self.wait_for_disk();
        let world = self.lock();
        let store = &world.store;
        match store.trial.filter(|trial| !store.refused.contains(&trial.number)) {
            Some(Installed { number, is_bad }) => Choice { number, is_on_trial: true, is_bad },
            None => Choice { number: store.good, is_on_trial: false, is_bad: false },
        }
    }

    /// Takes in what was found out about a bundle.
    pub(super) fn judge(&self, digest: &str, verdict: &Verdict) -> Result<()> {
        let trial = self.lock().store.trial.filter(|trial| digest == format!("installed-{}", trial.number));
        let Some(trial) = trial else { return Ok(()) };
        match verdict {
            Verdict::Failed(_) if !trial.is_bad => {
                self.tell("a bundle on trial is given up for what ailed the machine")
            }
            Verdict::Good if trial.is_bad => self.breaks("a bundle that is no good has proved itself"),
            _ => {}
        }
        if matches!(verdict, Verdict::Failed(_)) {
            self.lock().store.refused.insert(trial.number);
        }
        self.wait_for_disk();
        if self.disk_is_full() {
            bail!(Failure::io("no space is left on the simulated disk"));
        }
        self.tell(&format!("trial of {digest}: {verdict:?}"));
        let store = &mut self.lock().store;
        match verdict {
            Verdict::Survives(_) => {}
            Verdict::Good => (store.good, store.trial) = (trial.number, None),
            Verdict::Failed(_) => store.trial = None,
        }
        Ok(())
    }
}
