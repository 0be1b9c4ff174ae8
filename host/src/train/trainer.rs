//! One training run in one folder: `config.toml`, `checkpoint.safetensors`, `best.safetensors` (the averaged weights of
//! the best epoch), for the student also `graph.safetensors` (the newest averaged weights as an inference graph),
//! `curve.csv` and `.png`, `examples.png` (a batch as the network sees it), and the lists that were held back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use indicatif::{ProgressBar, ProgressStyle};
use polyp_edge::fault::Fault;

use super::backward::{self, Setting};
use super::batches::{Batch, Plan};
use super::config::TrainConfig;
use super::curve::{self, Point};
use super::material::Material;
use super::optimizer::{average, blend};
use super::preview;
use super::state::{CHECKPOINT, Start, State};
use crate::data::augment::plain;
use crate::data::cache::Cached;
use crate::files;
use crate::graph::Graph;
use crate::net::encoder::AnyEncoder;
use crate::net::fold::Fold;
use crate::net::forward::{Forward, Pass};
use crate::net::segmenter::Segmenter;
use crate::net::student::student;
use crate::net::{Net, Parameters, parameters};

/// Weights are averaged, statistics blended: share of the old running statistic that each step keeps.
const STATISTICS_DECAY: f32 = 0.9;

/// The file of a run's best epoch.
pub const BEST: &str = "best.safetensors";

/// Where a run lives and how far it goes.
pub struct Run {
    pub folder: PathBuf,
    /// Where data sets, lists and weights lie.
    pub data: PathBuf,
    pub config: TrainConfig,
    pub device: Device,
    /// Go on from the folder's checkpoint if there is one.
    pub resume: bool,
    /// Stop early after so many steps in all, leaving a checkpoint.
    pub stop_after: Option<u64>,
    /// Steps between checkpoints within an epoch.
    pub checkpoint_every: u64,
}

/// Trains until the configured epochs are done or nothing gets better. Gives every finished epoch.
pub fn train(run: &Run) -> Result<Vec<Point>> {
    let (config, folder, device) = (&run.config, &run.folder, &run.device);
    let segmenter = config.segmenter().map_err(Fault::configuration)?;
    let checkpoint = folder.join(CHECKPOINT);
    if checkpoint.exists() && !run.resume {
        let why = format!("{} holds a run; go on with --resume or name another folder", folder.display());
        return Err(Fault::usage(why));
    }
    let start = Start::new(config, &segmenter, &run.data, device)?;
    std::fs::create_dir_all(folder)
        .map_err(|error| Fault::io(format!("cannot make {}: {error}", folder.display())))?;
    let mut state = State::fresh(start.parameters, start.encoder);
    let mut points = Vec::new();
    if checkpoint.exists() {
        state.restore(&checkpoint)?;
        points = curve::read(folder)?;
    }
    files::write_whole(&folder.join("config.toml"), toml::to_string(config)?.as_bytes())?;
    let material = Material::load(config, folder, &run.data)?;
    let plan = Arc::new(Plan {
        samples: Arc::new(material.train),
        sides: config.sides(),
        batch: config.batch,
        augmentation: config.augmentation,
        seed: config.seed,
    });
    let accumulate = config.accumulate as u64;
    preview::write(&folder.join("examples.png"), &plan.batch(state.step * accumulate))?;
    let per_epoch = (plan.batches_per_epoch() as u64 / accumulate).max(1);
    let total = config.epochs * per_epoch;
    let end = run.stop_after.unwrap_or(total).min(total);
    points.retain(|point: &Point| (point.epoch + 1) * per_epoch <= state.step);
    if has_stalled(&points, config.patience) {
        log::info!("nothing has got better for {} epochs: this run is done", config.patience);
        return Ok(points);
    }

    let bar = ProgressBar::new(total).with_position(state.step);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} step {pos}/{len} · {elapsed} gone, {eta} left · {msg}",
    )?);
    bar.reset_eta();
    let setting = Setting { segmenter: &segmenter, config, resident: &start.resident, device };
    let batches = plan.clone().stream(state.step * accumulate, end * accumulate);
    let (mut losses, mut started) = (Vec::new(), Instant::now());
    while state.step < end {
        let progress = state.step as f32 / total as f32;
        let loss = step(&mut state, &batches, &setting, progress)?;
        losses.push(loss as f64);
        bar.set_message(format!("loss {loss:.3}"));
        bar.inc(1);
        let ends_epoch = state.step.is_multiple_of(per_epoch);
        if ends_epoch {
            let (dice, lit) = validate(&setting, &state.averaged, &material.held);
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
            let is_best = points.iter().all(|earlier| earlier.held_back_dice < dice);
            points.push(point);
            (losses, started) = (Vec::new(), Instant::now());
            if is_best {
                save_best(folder, &state, config)?;
            }
            if let Some(graph) = export(&segmenter, &state.averaged, config) {
                graph.save(&folder.join("graph.safetensors"))?;
            }
            curve::write(folder, &points)?;
        }
        let stalled = ends_epoch && has_stalled(&points, config.patience);
        let checkpoint_is_due = state.step.is_multiple_of(run.checkpoint_every.max(1)) || state.step == end;
        if ends_epoch || checkpoint_is_due {
            state.save(folder)?;
        }
        if stalled {
            bar.suspend(|| log::info!("nothing has got better for {} epochs", config.patience));
            break;
        }
    }
    bar.finish();
    Ok(points)
}

/// Whether the last `patience` epochs brought nothing better than what was before them.
fn has_stalled(points: &[Point], patience: u64) -> bool {
    let best = points.iter().enumerate().max_by(|a, b| {
        // Of equals the earlier one.
        a.1.held_back_dice.total_cmp(&b.1.held_back_dice).then(b.0.cmp(&a.0))
    });
    patience > 0 && best.is_some_and(|(at, _)| (points.len() - 1 - at) as u64 >= patience)
}

/// The averaged weights, with what is needed to use them: the configuration and which encoder they belong to.
fn save_best(folder: &Path, state: &State, config: &TrainConfig) -> Result<()> {
    let notes = BTreeMap::from([
        ("step".to_owned(), state.step.to_string()),
        ("encoder".to_owned(), state.encoder.clone()),
        ("config".to_owned(), toml::to_string(config)?),
    ]);
    parameters::save(&folder.join(BEST), &[("averaged", &state.averaged)], notes)
}

/// The averaged weights as an inference graph; `None` for a network that the cart cannot run.
fn export(segmenter: &Segmenter, parameters: &Parameters, config: &TrainConfig) -> Option<Graph> {
    let side = config.network.input_side;
    // A graph's logits are at stride 4.
    let exportable = matches!(segmenter.encoder, AnyEncoder::EfficientNet(_))
        && !config.network.encoder.frozen
        && segmenter.decoder.finest == 1;
    exportable.then(|| Fold::graph(parameters, side, |net, input| student(net, input, &segmenter.decoder)))
}

/// The averaged weights of a run's checkpoint as an inference graph.
pub fn graph_of_checkpoint(folder: &Path) -> Result<Graph> {
    let config = TrainConfig::load(&folder.join("config.toml"), &TrainConfig::default())?;
    let segmenter = config.segmenter().map_err(Fault::configuration)?;
    let path = folder.join(CHECKPOINT);
    let (mut sets, _) = parameters::load(&path)?;
    let missing = || Fault::data(format!("{} has no averaged weights", path.display()));
    let averaged = sets.remove("averaged").ok_or_else(missing)?;
    export(&segmenter, &averaged, &config).ok_or_else(|| {
        Fault::usage(format!("{} holds no network that a cart can run; distil it first", folder.display()))
    })
}

fn step(
    state: &mut State,
    batches: &std::sync::mpsc::Receiver<Batch>,
    setting: &Setting,
    progress: f32,
) -> Result<f32> {
    let config = setting.config;
    let (mut total, mut gradients) = (0.0, Parameters::default());
    for _ in 0..config.accumulate {
        let batch = batches.recv().context("the thread that makes batches has ended")?;
        let outcome = setting.batch(&state.parameters, &batch)?;
        total += outcome.loss / config.accumulate as f32;
        backward::add(&mut gradients, outcome.gradients);
        blend(&mut state.parameters, &outcome.statistics, STATISTICS_DECAY);
    }
    if config.accumulate > 1 {
        let share = 1.0 / config.accumulate as f32;
        gradients.0.values_mut().flat_map(|array| &mut array.values).for_each(|value| *value *= share);
    }
    if !total.is_finite() {
        return Err(Fault::data(format!(
            "the loss is no number at step {}; lower the rate and resume from the last checkpoint",
            state.step + 1
        )));
    }
    state.step += 1;
    state.adam.step(&mut state.parameters, &gradients, &config.optimizer, progress, state.step);
    average(&mut state.averaged, &state.parameters, config.optimizer.average_decay, state.step);
    Ok(total)
}

/// Mean Dice of frames with a polyp, and the share of those without that show anything.
fn validate(setting: &Setting, parameters: &Parameters, held: &[Cached]) -> (f64, f64) {
    let side = setting.config.network.input_side;
    let (mut dice, mut lit, mut with, mut without) = (0.0, 0.0, 0.0f64, 0.0f64);
    for samples in held.chunks(setting.config.batch) {
        let examples: Vec<_> = samples.iter().map(|sample| plain(sample, side)).collect();
        let mut batch = Batch::of(&examples, side);
        setting.segmenter.normalisation().apply(&mut batch.pixels, side * side);
        let mut net = Forward::new(parameters, Some(setting.resident), setting.device, Pass::Inference);
        let input = net.tensor(batch.pixels, [batch.size, 3, side, side]);
        let logits = setting.segmenter.logits(&mut net, &input);
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

#[cfg(test)]
#[path = "trainer_tests.rs"]
mod tests;
