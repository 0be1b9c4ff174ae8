//! One training run in one folder: `config.toml`, `checkpoint.safetensors`, `graph.safetensors` (the averaged weights
//! as an inference graph), `curve.csv` and `.png`, `examples.png` (a batch as the network sees it), and the lists that were held back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use indicatif::{ProgressBar, ProgressStyle};
use polyp_edge::fault::Fault;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::batches::{Batch, Plan};
use super::curve::{self, Point};
use super::loss::{BceWeighting, segmentation_loss};
use super::optimizer::{AdamW, OptimizerConfig, average, blend};
use super::preview;
use crate::data::augment::{Augmentation, plain};
use crate::data::cache::{self, Cached};
use crate::data::lists::{self, Sample};
use crate::data::split::hold_back;
use crate::files;
use crate::net::fold::Fold;
use crate::net::forward::Forward;
use crate::net::shapes::Shapes;
use crate::net::student::{StudentConfig, student, student_supervised};
use crate::net::{Parameters, efficientnet, parameters};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    pub seed: u64,
    pub epochs: u64,
    pub batch: usize,
    /// Lists of frames with polyps, and without; a tenth of each is held back.
    pub lists: Vec<PathBuf>,
    pub negative_lists: Vec<PathBuf>,
    /// Frames of the rendered endoscope in the mix.
    pub rendered: usize,
    /// ImageNet weights of the encoder, relative to the data folder; empty to start from random ones.
    pub encoder_weights: PathBuf,
    pub bce: BceWeighting,
    /// Weights of the loss at each depth, finest first.
    pub depth_weights: Vec<f32>,
    pub student: StudentConfig,
    pub optimizer: OptimizerConfig,
    pub augmentation: Augmentation,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            seed: 1,
            epochs: 12,
            batch: 16,
            lists: vec!["train".into()],
            negative_lists: vec!["negative-train".into()],
            rendered: 200,
            encoder_weights: "weights/efficientnet_lite0.safetensors".into(),
            bce: BceWeighting::Boundary,
            depth_weights: vec![1.0, 0.5, 0.25],
            student: StudentConfig::default(),
            optimizer: OptimizerConfig::default(),
            augmentation: Augmentation::default(),
        }
    }
}

impl TrainConfig {
    /// Reads and checks a configuration; unknown keys and values out of range are exit code 78.
    pub fn load(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        let wrong = |why: String| Fault::configuration(format!("{}: {}", path.display(), why.trim()));
        let config: TrainConfig = toml::from_str(&text).map_err(|e| wrong(e.message().to_owned()))?;
        config.check().map_err(|why| wrong(why.to_owned()))?;
        Ok(config)
    }

    pub fn check(&self) -> Result<(), &'static str> {
        let o = &self.optimizer;
        let rules = [
            (self.epochs > 0, "epochs must be at least 1"),
            (self.batch > 1, "batch must be at least 2: batch norm needs several pictures"),
            (!self.lists.is_empty(), "lists must name at least one list"),
            (
                self.student.input_side >= 32 && self.student.input_side.is_multiple_of(32),
                "input_side must be a multiple of 32",
            ),
            (self.student.decoder.attention_kernel % 2 == 1, "attention_kernel must be odd"),
            ((1..=3).contains(&self.student.decoder.finest), "finest must be 1, 2 or 3"),
            (
                self.student.decoder.branch_channels > 0 && self.student.decoder.level_channels > 0,
                "channels must be at least 1",
            ),
            (
                self.depth_weights.len() == 4 - self.student.decoder.finest,
                "depth_weights needs one weight a decoder level",
            ),
            (o.rate > 0.0 && o.encoder_rate > 0.0, "rates must be over 0"),
            ((0.0..1.0).contains(&o.warm_up), "warm_up must lie in [0, 1)"),
            ((0.0..1.0).contains(&o.average_decay), "average_decay must lie in [0, 1)"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(*why))
    }
}

/// Weights are averaged, statistics blended: share of the old running statistic that each step keeps.
const STATISTICS_DECAY: f32 = 0.9;

/// Everything that changes from step to step.
struct State {
    step: u64,
    parameters: Parameters,
    averaged: Parameters,
    adam: AdamW,
}

impl State {
    fn fresh(config: &TrainConfig, data: &Path) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mut shapes = Shapes::new(&mut rng);
        let side = config.student.input_side;
        student_supervised(&mut shapes, &[3, side, side], &config.student);
        let mut parameters = shapes.parameters;
        if !config.encoder_weights.as_os_str().is_empty() {
            efficientnet::load_imagenet(&mut parameters, &data.join(&config.encoder_weights))?;
        }
        let adam = AdamW::new(&parameters);
        Ok(State { step: 0, averaged: parameters.clone(), parameters, adam })
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let sets = [
            ("parameters", &self.parameters),
            ("averaged", &self.averaged),
            ("first", &self.adam.first),
            ("second", &self.adam.second),
        ];
        let notes = BTreeMap::from([("step".to_owned(), self.step.to_string())]);
        parameters::save(&folder.join("checkpoint.safetensors"), &sets, notes)
    }

    fn restore(&mut self, path: &Path) -> Result<()> {
        let (mut sets, notes) = parameters::load(path)?;
        let damaged = |what: &str| Fault::data(format!("{} has no {what}", path.display()));
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
        self.step = notes.get("step").and_then(|s| s.parse().ok()).ok_or_else(|| damaged("step"))?;
        Ok(())
    }
}

/// Where a run lives and how far it goes.
pub struct Run {
    pub folder: PathBuf,
    /// Where data sets, lists and weights lie.
    pub data: PathBuf,
    pub config: TrainConfig,
    /// Go on from the folder's checkpoint if there is one.
    pub resume: bool,
    /// Stop early after so many steps in all, leaving a checkpoint.
    pub stop_after: Option<u64>,
    /// Steps between checkpoints within an epoch.
    pub checkpoint_every: u64,
}

/// Trains until the configured epochs are done. Gives the last epoch's point, if one was finished.
pub fn train(run: &Run) -> Result<Option<Point>> {
    let (config, folder) = (&run.config, &run.folder);
    let data = &run.data;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let checkpoint = folder.join("checkpoint.safetensors");
    if checkpoint.exists() && !run.resume {
        let why = format!("{} holds a run; go on with --resume or name another folder", folder.display());
        return Err(Fault::usage(why));
    }
    let mut state = State::fresh(config, data)?;
    let mut points = Vec::new();
    if checkpoint.exists() {
        state.restore(&checkpoint)?;
        points = curve::read(folder)?;
    }
    files::write_whole(&folder.join("config.toml"), toml::to_string(config)?.as_bytes())?;
    let material = Material::load(config, folder, data)?;
    let plan = Arc::new(Plan {
        samples: Arc::new(material.train),
        side: config.student.input_side,
        batch: config.batch,
        augmentation: config.augmentation,
        seed: config.seed,
    });
    preview::write(&folder.join("examples.png"), &plan.batch(state.step), config.student.input_side)?;
    let per_epoch = plan.steps_per_epoch() as u64;
    let total = config.epochs * per_epoch;
    let end = run.stop_after.unwrap_or(total).min(total);
    points.retain(|point| (point.epoch + 1) * per_epoch <= state.step);

    let bar = ProgressBar::new(total).with_position(state.step);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} step {pos}/{len} · {elapsed} gone, {eta} left · {msg}",
    )?);
    bar.reset_eta();
    let device = Device::flex();
    let batches = plan.clone().stream(state.step, end);
    let (mut losses, mut started) = (Vec::new(), Instant::now());
    for batch in batches {
        let progress = state.step as f32 / total as f32;
        let loss = step(&mut state, &batch, config, progress, &device)?;
        losses.push(loss as f64);
        bar.set_message(format!("loss {loss:.3}"));
        bar.inc(1);
        if state.step % per_epoch == 0 {
            let (dice, lit) = validate(&state.averaged, config, &material.held, &device);
            let point = Point {
                epoch: state.step / per_epoch - 1,
                steps: state.step,
                loss: losses.iter().sum::<f64>() / losses.len() as f64,
                held_back_dice: dice,
                held_back_false: lit,
                rate: (config.optimizer.rate * config.optimizer.schedule(progress)) as f64,
                seconds: started.elapsed().as_secs_f64(),
            };
            bar.suspend(|| {
                log::info!(
                    "epoch {}: loss {:.4}, held-back Dice {dice:.4}, polyp-free frames lit {lit:.3}, {:.0} s",
                    point.epoch + 1,
                    point.loss,
                    point.seconds
                )
            });
            points.push(point);
            (losses, started) = (Vec::new(), Instant::now());
            curve::write(folder, &points)?;
            export(&state.averaged, config).save(&folder.join("graph.safetensors"))?;
        }
        if state.step % per_epoch == 0 || state.step % run.checkpoint_every.max(1) == 0 || state.step == end {
            state.save(folder)?;
        }
    }
    bar.finish();
    Ok(points.last().copied())
}

/// The averaged weights as an inference graph.
fn export(parameters: &Parameters, config: &TrainConfig) -> crate::graph::Graph {
    let side = config.student.input_side;
    Fold::graph(parameters, side, |net, input| student(net, input, &config.student))
}

/// The averaged weights of a run's checkpoint as an inference graph.
pub fn graph_of_checkpoint(folder: &Path) -> Result<crate::graph::Graph> {
    let config = TrainConfig::load(&folder.join("config.toml"))?;
    let path = folder.join("checkpoint.safetensors");
    let (mut sets, _) = parameters::load(&path)?;
    let missing = || Fault::data(format!("{} has no averaged weights", path.display()));
    Ok(export(&sets.remove("averaged").ok_or_else(missing)?, &config))
}

fn step(
    state: &mut State,
    batch: &Batch,
    config: &TrainConfig,
    progress: f32,
    device: &Device,
) -> Result<f32> {
    let side = config.student.input_side;
    let mut net = Forward::training(&state.parameters, device);
    let input = net.input(batch.pixels.clone(), [batch.size, 3, side, side]);
    let depths = student_supervised(&mut net, &input, &config.student);
    let mut total = 0.0;
    // The loss enters the graph as its own linearisation: the gradient of Σ logits · g is g.
    let mut proxy = None;
    for (logits, weight) in depths.into_iter().zip(&config.depth_weights) {
        let shape = logits.dims();
        let values = logits.to_data().try_to_vec::<f32>().context("logits are f32")?;
        let (loss, mut gradient) =
            segmentation_loss(&values, shape[2], &batch.targets, &batch.weights, side, config.bce);
        total += weight * loss;
        gradient.iter_mut().for_each(|g| *g *= weight);
        let part = (logits * net.tensor(gradient, shape)).sum();
        proxy = Some(match proxy {
            Some(sum) => sum + part,
            None => part,
        });
    }
    if !total.is_finite() {
        return Err(Fault::data(format!(
            "the loss is no number at step {}; lower the rate and resume from the last checkpoint",
            state.step + 1
        )));
    }
    let gradients = proxy.context("the network has no outputs")?.backward();
    let gradients = net.gradients(&gradients);
    let statistics = net.batch_statistics();
    state.step += 1;
    state.adam.step(&mut state.parameters, &gradients, &config.optimizer, progress, state.step);
    blend(&mut state.parameters, &statistics, STATISTICS_DECAY);
    average(&mut state.averaged, &state.parameters, config.optimizer.average_decay, state.step);
    Ok(total)
}

/// Mean Dice of frames with a polyp, and the share of those without that show anything.
fn validate(parameters: &Parameters, config: &TrainConfig, held: &[Cached], device: &Device) -> (f64, f64) {
    let side = config.student.input_side;
    let (mut dice, mut lit, mut with, mut without) = (0.0, 0.0, 0.0f64, 0.0f64);
    for samples in held.chunks(config.batch) {
        let examples: Vec<_> = samples.iter().map(|sample| plain(sample, side)).collect();
        let batch = Batch::of(&examples, side);
        let mut net = Forward::inference(parameters, device);
        let input = net.input(batch.pixels, [batch.size, 3, side, side]);
        let logits = student(&mut net, &input, &config.student);
        use crate::net::Net;
        let factor = side / logits.dims()[2];
        let logits = net.enlarge("", &logits, factor).into_data().try_to_vec::<f32>().unwrap_or_default();
        for (logits, target) in logits.chunks(side * side).zip(batch.targets.chunks(side * side)) {
            let truth = target.iter().filter(|t| **t > 0.5).count();
            let found = logits.iter().filter(|z| **z >= 0.0).count();
            let both = logits.iter().zip(target).filter(|(z, t)| **z >= 0.0 && **t > 0.5).count();
            if truth > 0 {
                dice += 2.0 * both as f64 / (truth + found) as f64;
                with += 1.0;
            } else {
                lit += (found > 0) as u8 as f64;
                without += 1.0;
            }
        }
    }
    (dice / with.max(1.0), lit / without.max(1.0))
}

/// What is learned from, and what is held back to choose by.
struct Material {
    train: Vec<Cached>,
    held: Vec<Cached>,
}

impl Material {
    fn load(config: &TrainConfig, folder: &Path, data: &Path) -> Result<Self> {
        let read = |paths: &[PathBuf]| -> Result<Vec<Sample>> {
            let lists = paths.iter().map(|list| lists::read_list(list, data)).collect::<Result<Vec<_>>>()?;
            Ok(lists.into_iter().flatten().collect())
        };
        let (mut train, mut held) = hold_back(read(&config.lists)?);
        let (negatives, held_negatives) = hold_back(read(&config.negative_lists)?);
        for (name, samples) in [("held-back", &held), ("held-back-negative", &held_negatives)] {
            let text: String = samples.iter().map(|sample| format!("{}\n", sample.name)).collect();
            files::write_whole(&folder.join(format!("{name}.txt")), text.as_bytes())?;
        }
        log::info!(
            "{} frames with polyps and {} without to learn from; {} and {} held back",
            train.len(),
            negatives.len(),
            held.len(),
            held_negatives.len()
        );
        train.extend(negatives);
        held.extend(held_negatives);
        let side = config.student.input_side;
        // Room for scaling up without going soft.
        let roomy = side * 5 / 4;
        let mut cached = cache::load(&train, roomy)?;
        cached.extend(cache::render(config.rendered, roomy, config.seed)?);
        Ok(Material { train: cached, held: cache::load(&held, side)? })
    }
}

#[cfg(test)]
#[path = "trainer_tests.rs"]
mod tests;
