//! Everything that changes from step to step, and its checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use polyp_edge::fault::Fault;

use crate::net::{Parameters, parameters};
use crate::run::CHECKPOINT;
use crate::run::start::must_be_of;
use crate::train::hardness::Hardness;
use crate::train::optimizer::AdamW;

/// What a checkpoint holds.
pub struct TrainState {
    /// Steps that are done.
    pub step: u64,
    /// What is trained, and running statistics; not a frozen encoder.
    pub parameters: Parameters,
    /// The moving average of `parameters`.
    pub averaged: Parameters,
    /// The optimiser's moments.
    pub adam: AdamW,
    /// Of each training picture.
    pub hardness: Hardness,
    /// Of the encoder that the rest belongs to; see [`crate::run::start::Start`].
    pub encoder: String,
}

impl TrainState {
    /// The state before the first step.
    pub fn fresh(parameters: Parameters, encoder: String) -> Self {
        let adam = AdamW::new(&parameters);
        TrainState {
            step: 0,
            averaged: parameters.clone(),
            parameters,
            adam,
            hardness: Hardness::default(),
            encoder,
        }
    }

    /// Writes the checkpoint to the run's folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let hardness = self.hardness.saved();
        let sets = [
            ("hardness", &hardness),
            ("parameters", &self.parameters),
            ("averaged", &self.averaged),
            ("first", &self.adam.first),
            ("second", &self.adam.second),
        ];
        let notes = BTreeMap::from([
            ("step".to_owned(), self.step.to_string()),
            ("encoder".to_owned(), self.encoder.clone()),
        ]);
        parameters::save(&folder.join(CHECKPOINT), &sets, notes)
    }

    /// Takes everything from a checkpoint; one of another network or encoder is exit code 65.
    pub fn restore(&mut self, path: &Path) -> Result<()> {
        let (mut sets, notes) = parameters::load(path)?;
        let damaged = |what: &str| Fault::data(format!("{} has no {what}", path.display()));
        must_be_of(path, &notes, &self.encoder)?;
        let fields = [
            ("parameters", &mut self.parameters),
            ("averaged", &mut self.averaged),
            ("first", &mut self.adam.first),
            ("second", &mut self.adam.second),
        ];
        for (name, field) in fields {
            let found = sets.remove(name).ok_or_else(|| damaged(name))?;
            field.replace_with(found).with_context(|| path.display().to_string())?;
        }
        self.hardness = Hardness::restored(sets.remove("hardness").unwrap_or_default());
        self.step = notes.get("step").and_then(|s| s.parse().ok()).ok_or_else(|| damaged("step"))?;
        Ok(())
    }
}
