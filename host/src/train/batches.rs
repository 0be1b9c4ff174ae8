//! The order of samples and the batches made of them, ahead of time on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::Result;
use polyp_edge::fault::Fault;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::augment::{Augmentation, Example, Others, augment};
use crate::data::cache::Cached;
use crate::run::config::{Mix, TrainConfig};
use crate::train::hardness::Hardness;
use crate::train::loss::boundary_weights;
use crate::train::mix::Groups;

/// What one pass through the network takes.
pub struct Batch {
    /// S: pixels along each side of a picture.
    pub side: usize,
    /// `[N, 3, S, S]`, 0 to 255.
    pub pixels: Vec<f32>,
    /// `[N, S, S]`: 1 where the polyp is, else 0.
    pub targets: Vec<f32>,
    /// `[N, S, S]`: see [`boundary_weights`].
    pub weights: Vec<f32>,
    /// What each picture's target counts: 1 if it is the truth, 0 if nothing is known.
    pub truth: Vec<f32>,
    /// Logits that teachers give, `[N, S, S]`; empty without teachers.
    pub teacher: Vec<f32>,
    /// What the teachers' logits of each picture count: 1 where the truth is known.
    pub confidence: Vec<f32>,
    /// N: how many pictures there are.
    pub size: usize,
    /// Numbers of the samples that the pictures were made of; empty if they are of no [`Plan`].
    pub numbers: Vec<usize>,
}

impl Batch {
    /// Joins pictures of `side` pixels.
    pub fn of(examples: &[Example], side: usize) -> Self {
        let weights = examples.iter().flat_map(|e| boundary_weights(&e.target, side)).collect();
        Batch {
            side,
            pixels: examples.iter().flat_map(|e| e.pixels.iter().copied()).collect(),
            targets: examples.iter().flat_map(|e| e.target.iter().copied()).collect(),
            weights,
            truth: examples.iter().map(|e| e.truth).collect(),
            teacher: examples.iter().flat_map(|e| e.teacher.iter().copied()).collect(),
            confidence: examples.iter().map(|e| e.confidence).collect(),
            size: examples.len(),
            numbers: Vec::new(),
        }
    }

    /// Boundary weights of other targets than the batch's own, `[N, S, S]`.
    pub fn weights_of(&self, targets: &[f32]) -> Vec<f32> {
        let plane = self.side * self.side;
        let each: Vec<Vec<f32>> =
            targets.par_chunks(plane).map(|target| boundary_weights(target, self.side)).collect();
        each.concat()
    }
}

/// Samples that batches are drawn from, and how.
pub struct Plan {
    /// All samples of the run.
    pub samples: Arc<Vec<Cached>>,
    /// For each epoch the sides of which a batch has one, drawn at random; the last ones serve all later epochs.
    pub sides: Vec<Vec<usize>>,
    /// Pictures in a batch.
    pub batch: usize,
    /// Batches that make one step.
    pub accumulate: usize,
    /// How pictures are changed at random.
    pub augmentation: Augmentation,
    /// Seed of the order of samples and of augmentation.
    pub seed: u64,
    /// Numbers of the samples with a polyp, or of which nothing is known.
    always: Vec<usize>,
    /// Numbers of those known to be free of polyps, and how many of them an epoch meets.
    free: Vec<usize>,
    free_per_epoch: usize,
    /// Where data sets have their shares of every batch.
    groups: Option<Groups>,
    others: Others,
    mix: Mix,
}

impl Plan {
    /// What a configuration draws from these samples.
    ///
    /// # Errors
    /// Exit 78 if the shares of data sets do not fit the samples.
    pub fn new(config: &TrainConfig, samples: Arc<Vec<Cached>>) -> Result<Self> {
        let groups = Groups::of(&samples, &config.mix, config.seed).map_err(Fault::configuration)?;
        let is_truth = |sample: &Cached| sample.labelled && config.mix.is_truth(sample.set());
        let others = Others::gather(&samples, &config.augmentation, is_truth);
        let is_free = |i: &usize| samples[*i].labelled && samples[*i].mask.iter().all(|share| *share == 0);
        let (free, always): (Vec<usize>, Vec<usize>) = (0..samples.len()).partition(is_free);
        Ok(Plan {
            groups,
            others,
            mix: config.mix.clone(),
            free_per_epoch: config.negatives_per_epoch.map_or(free.len(), |most| most.min(free.len())),
            free,
            always,
            samples,
            sides: (0..config.epochs).map(|epoch| config.sides(epoch)).collect(),
            batch: config.batch,
            accumulate: config.accumulate,
            augmentation: config.augmentation,
            seed: config.seed,
        })
    }

    /// Whole batches of an epoch, as many as whole steps take; what is left over waits for the next shuffle.
    pub fn batches_per_epoch(&self) -> usize {
        let pictures = match &self.groups {
            Some(groups) => groups.pictures(),
            None => self.always.len() + self.free_per_epoch,
        };
        (pictures / (self.batch * self.accumulate)).max(1) * self.accumulate
    }

    /// The samples of an epoch, shuffled; frames without polyps drawn anew for each, hard ones more often.
    pub(super) fn order(&self, epoch: u64, hardness: &Hardness) -> Vec<usize> {
        if let Some(groups) = &self.groups {
            return groups.order(epoch, &hardness.weights(self.mix.hard_negatives));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut order: Vec<usize> = if self.free_per_epoch == self.free.len() {
            (0..self.samples.len()).collect()
        } else {
            let free = self.free.choose_multiple(&mut rng, self.free_per_epoch);
            self.always.iter().chain(free).copied().collect()
        };
        order.shuffle(&mut rng);
        order
    }

    /// Batch number `number`. Depends on nothing but the plan, the number and the epoch's hardness, so a resumed run meets
    /// the same ones.
    pub fn batch(&self, number: u64, hardness: &Hardness) -> Batch {
        let batches = self.batches_per_epoch() as u64;
        let (epoch, first) = (number / batches, (number % batches) as usize * self.batch);
        let order = self.order(epoch, hardness);
        let mut seeds =
            ChaCha8Rng::seed_from_u64(self.seed.wrapping_add(number.wrapping_mul(0xd134_2543_de82_ef95)));
        let drawn: Vec<(usize, u64)> =
            order.iter().cycle().skip(first).take(self.batch).map(|i| (*i, seeds.random())).collect();
        let sides = &self.sides[(epoch as usize).min(self.sides.len() - 1)];
        let side = match sides[..] {
            [side] => side,
            _ => sides[seeds.random_range(0..sides.len())],
        };
        let examples: Vec<Example> = drawn
            .par_iter()
            .map(|&(i, seed)| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut example = augment(&self.samples, i, side, &self.augmentation, &self.others, &mut rng);
                if !self.mix.is_truth(self.samples[i].set()) {
                    example.truth *= self.mix.machine_mask_weight;
                } else if self.samples[i].labelled {
                    example.confidence = 1.0;
                }
                example
            })
            .collect();
        let numbers = drawn.into_iter().map(|(i, _)| i).collect();
        Batch { numbers, ..Batch::of(&examples, side) }
    }

    /// Batches `from..to` in order, of one epoch's hardness, two of them made ahead.
    pub fn stream(self: Arc<Self>, from: u64, to: u64, hardness: Hardness) -> Receiver<Batch> {
        let (sender, receiver) = sync_channel(2);
        std::thread::spawn(move || {
            for number in from..to {
                if sender.send(self.batch(number, &hardness)).is_err() {
                    return;
                }
            }
        });
        receiver
    }
}
