//! The order of samples and the batches made of them, ahead of time on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::augment::{Augmentation, Example, augment};
use crate::data::cache::Cached;
use crate::run::config::TrainConfig;
use crate::train::loss::boundary_weights;

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
    /// Whether the target of each picture is the truth.
    pub labelled: Vec<bool>,
    /// Logits that teachers give, `[N, S, S]`; empty without teachers.
    pub teacher: Vec<f32>,
    /// N: how many pictures there are.
    pub size: usize,
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
            labelled: examples.iter().map(|e| e.labelled).collect(),
            teacher: examples.iter().flat_map(|e| e.teacher.iter().copied()).collect(),
            size: examples.len(),
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
    /// How pictures are changed at random.
    pub augmentation: Augmentation,
    /// Seed of the order of samples and of augmentation.
    pub seed: u64,
    /// Numbers of the samples with a polyp, or of which nothing is known.
    always: Vec<usize>,
    /// Numbers of those known to be free of polyps, and how many of them an epoch meets.
    free: Vec<usize>,
    free_per_epoch: usize,
}

impl Plan {
    /// What a configuration draws from these samples.
    pub fn new(config: &TrainConfig, samples: Arc<Vec<Cached>>) -> Self {
        let is_free = |i: &usize| samples[*i].labelled && samples[*i].mask.iter().all(|share| *share == 0);
        let (free, always): (Vec<usize>, Vec<usize>) = (0..samples.len()).partition(is_free);
        Plan {
            free_per_epoch: config.negatives_per_epoch.map_or(free.len(), |most| most.min(free.len())),
            free,
            always,
            samples,
            sides: (0..config.epochs).map(|epoch| config.sides(epoch)).collect(),
            batch: config.batch,
            augmentation: config.augmentation,
            seed: config.seed,
        }
    }

    /// Whole batches of an epoch; what is left over waits for the next shuffle.
    pub fn batches_per_epoch(&self) -> usize {
        ((self.always.len() + self.free_per_epoch) / self.batch).max(1)
    }

    /// The samples of an epoch, shuffled; frames without polyps drawn anew for each.
    pub(super) fn order(&self, epoch: u64) -> Vec<usize> {
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

    /// Batch number `number`. Depends on nothing but the plan and the number, so a resumed run meets the same ones.
    pub fn batch(&self, number: u64) -> Batch {
        let batches = self.batches_per_epoch() as u64;
        let (epoch, first) = (number / batches, (number % batches) as usize * self.batch);
        let order = self.order(epoch);
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
            .into_par_iter()
            .map(|(i, seed)| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                augment(&self.samples[i], side, &self.augmentation, &mut rng)
            })
            .collect();
        Batch::of(&examples, side)
    }

    /// Batches `from..to` in order, two of them made ahead.
    pub fn stream(self: Arc<Self>, from: u64, to: u64) -> Receiver<Batch> {
        let (sender, receiver) = sync_channel(2);
        std::thread::spawn(move || {
            for number in from..to {
                if sender.send(self.batch(number)).is_err() {
                    return;
                }
            }
        });
        receiver
    }
}
