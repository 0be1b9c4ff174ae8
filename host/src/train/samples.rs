//! What is learned from, and what is held back to choose by.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::cache::{self, Cached};
use crate::data::lists::{self, Sample};
use crate::data::split::{apart, hold_back};
use crate::files;
use crate::run::config::TrainConfig;

/// The pictures of a run, in memory.
pub struct Samples {
    /// What is learned from: of lists, unlabelled lists and rendered frames.
    pub train: Vec<Cached>,
    /// What is held back.
    pub held: Vec<Cached>,
}

impl Samples {
    /// Reads every picture; writes the names of those held back into the run's folder.
    pub fn load(config: &TrainConfig, folder: &Path, data: &Path) -> Result<Self> {
        let read = |paths: &[PathBuf]| -> Result<Vec<Sample>> {
            let lists = paths.iter().map(|list| lists::read_list(list, data)).collect::<Result<Vec<_>>>()?;
            Ok(lists.into_iter().flatten().collect())
        };
        let (mut train, held) = hold_back(read(&config.lists)?)?;
        let (negatives, held_negatives) = hold_back(read(&config.negative_lists)?)?;
        let choosing = read(&config.choosing_lists)?;
        let lists = [("held-back", &held), ("held-back-negative", &held_negatives), ("choosing", &choosing)];
        for (name, samples) in lists {
            let text: String = samples.iter().map(|sample| format!("{}\n", sample.name)).collect();
            files::write_whole(&folder.join(format!("{name}.txt")), text.as_bytes())?;
        }
        let whole_held: Vec<Sample> =
            [&held, &held_negatives, &choosing].into_iter().flatten().cloned().collect();
        let unlabelled = config.unlabelled_lists.iter().map(|list| lists::read_unlabelled(list, data));
        let mut unlabelled: Vec<Sample> =
            unlabelled.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        if !unlabelled.is_empty() {
            let labelled: Vec<Sample> = train.iter().chain(&negatives).cloned().collect();
            unlabelled = apart(unlabelled, &labelled, &whole_held)?;
        }
        log::info!(
            "to train on: {} frames with polyps, {} without, {} outlined by teachers alone; held back: {} with polyps, {} \
             without; {} more to choose the best epoch by",
            train.len(),
            negatives.len(),
            unlabelled.len(),
            held.len(),
            held_negatives.len(),
            choosing.len()
        );
        train.extend(negatives);
        let side = config.network.input_side;
        let largest = config.largest_side();
        // Room for scaling up without going soft.
        let roomy = largest * if config.augmentation.log_scale > 0.0 { 5 } else { 4 } / 4;
        let mut cached = cache::load(&train, roomy, config.crop)?;
        cached.extend(cache::load_unlabelled(&unlabelled, roomy, config.crop)?);
        cached.extend(cache::render(config.rendered, roomy, config.seed)?);
        Ok(Samples { train: cached, held: cache::load(&whole_held, side, config.crop)? })
    }
}
