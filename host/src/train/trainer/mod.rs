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

use crate::data::augment::plain;
use crate::data::cache::Cached;
use crate::files;
use crate::net::{Parameters, parameters};
use crate::numeric::enlarged;
use crate::run::BEST;
use crate::run::CHECKPOINT;
use crate::run::GRAPH;
use crate::run::config::TrainConfig;
use crate::run::start::Start;
use crate::train::backward::{self, FloatLearner, graph};
use crate::train::batches::{Batch, Plan};
use crate::train::choosing::{Judged, Judgement};
use crate::train::curve::{self, Point};
use crate::train::distillation::{Teachers, VIEWS};
use crate::train::learner::Learner;
use crate::train::optimizer::{average, blend};
use crate::train::preview;
use crate::train::quantised::{QuantisedLearner, QuantisedStart, RANGES};
use crate::train::samples::Samples;
use crate::train::state::TrainState;

/// Weights are averaged, statistics blended: share of the old running statistic that each step keeps.
const STATISTICS_DECAY: f32 = 0.9;

/// Where a run lives and how far it goes.
pub struct Run {
    /// The run's folder.
    pub folder: PathBuf,
    /// Where data sets, lists and weights lie.
    pub data: PathBuf,
    /// What is trained, and how.
    pub config: TrainConfig,
    /// Where it is computed.
    pub device: Device,
    /// Go on from the folder's checkpoint if there is one.
    pub resume: bool,
    /// Stop early after so many steps in all, leaving a checkpoint.
    pub stop_after: Option<u64>,
    /// Steps between checkpoints within an epoch.
    pub checkpoint_every: u64,
}

/// Trains until the configured epochs are done or nothing gets better. Gives every finished epoch.
#[expect(clippy::too_many_lines, reason = "the training loop and what it needs, in order")]
pub fn train(run: &Run) -> Result<Vec<Point>> {
    let (folder, device) = (&run.folder, &run.device);
    let mut config = run.config.clone();
    if let Some(quantised) = &config.quantised {
        config.network.input_side = QuantisedStart::open(quantised)?.input_side();
    }
    let config = &config;
    let segmenter = config.segmenter().map_err(Fault::configuration)?;
    let checkpoint = examine_folder(run)?;
    let teachers =
        config.distillation.as_ref().map(|own| Teachers::open(own, &run.data, device)).transpose()?;
    let resident;
    let (learner, parameters, origin): (Box<dyn Learner>, _, _) = match &config.quantised {
        Some(quantised) => {
            let (folded, parameters, origin) = QuantisedLearner::open(quantised, config, device)?;
            (Box::new(folded), parameters, origin)
        }
        None => {
            let start = Start::new(config, &segmenter, &run.data, device)?;
            resident = start.resident;
            let features = config.distillation.as_ref().is_some_and(|own| own.features > 0.0);
            let teachers = teachers.as_ref().filter(|_| features);
            let learner =
                FloatLearner { segmenter: &segmenter, config, resident: &resident, teachers, device };
            (Box::new(learner), start.parameters, start.encoder)
        }
    };
    let mut state = TrainState::fresh(parameters, origin);
    let mut points = Vec::new();
    if checkpoint.exists() {
        state.restore(&checkpoint)?;
        points = curve::read(folder)?;
        // It may have been copied from another machine.
        polyp_edge::files::adopt(folder)?;
    }
    files::write_whole(&folder.join("config.toml"), toml::to_string(config)?.as_bytes())?;
    let mut samples = Samples::load(config, folder, &run.data)?;
    let watching = watching(config, teachers.as_ref(), &mut samples.train, folder)?;
    let plan = Arc::new(Plan::new(config, Arc::new(samples.train))?);
    state.hardness = std::mem::take(&mut state.hardness).fitted(plan.samples.len());
    let accumulate = config.accumulate as u64;
    preview::write(&folder.join("examples.png"), &plan.batch(state.step * accumulate, &state.hardness))?;
    let per_epoch = (plan.batches_per_epoch() as u64 / accumulate).max(1);
    let total = config.epochs * per_epoch;
    let end = run.stop_after.unwrap_or(total).min(total);
    points.retain(|point: &Point| (point.epoch + 1) * per_epoch <= state.step);
    if has_stalled(&points, config.patience) {
        log::info!("no improvement for {} epochs: the run is finished", config.patience);
        return Ok(points);
    }

    if state.step == 0 && (config.quantised.is_some() || config.start_from.is_some()) {
        let start = validate(&*learner, &state.averaged, &samples.held, config)?;
        log::info!("before training: {}", told(start.dice, start.lit, start.separation));
    }

    let bar = progress(total, state.step)?;
    // One for each epoch: what an epoch draws depends on the one before.
    let mut epoch_batches = None;
    let (mut losses, mut started) = (Vec::new(), Instant::now());
    while state.step < end {
        let progress = state.step as f32 / total as f32;
        let batches = epoch_batches.get_or_insert_with(|| {
            let epoch_end = ((state.step / per_epoch + 1) * per_epoch).min(end);
            let (from, to) = (state.step * accumulate, epoch_end * accumulate);
            plan.clone().stream(from, to, state.hardness.clone())
        });
        let loss = step(&mut state, batches, &*learner, watching, config, progress)?;
        losses.push(loss as f64);
        bar.set_message(format!("loss {loss:.3}"));
        bar.inc(1);
        let ends_epoch = state.step.is_multiple_of(per_epoch);
        if ends_epoch {
            epoch_batches = None;
            state.hardness.end_epoch();
            let judgement = validate(&*learner, &state.averaged, &samples.held, config)?;
            let point = Point {
                epoch: state.step / per_epoch - 1,
                steps: state.step,
                loss: losses.iter().sum::<f64>() / losses.len() as f64,
                held_back_dice: judgement.dice,
                held_back_false: judgement.lit,
                held_back_separation: judgement.separation,
                rate: (config.optimizer.rate * config.optimizer.schedule(progress)) as f64,
                seconds: started.elapsed().as_secs_f64(),
            };
            bar.suspend(|| tell(&point));
            let is_best = points.iter().all(|earlier| earlier.score() < point.score());
            points.push(point);
            (losses, started) = (Vec::new(), Instant::now());
            if is_best {
                save_best(folder, &state, config)?;
            }
            learner.export(&state.averaged, folder)?;
            curve::write(folder, &points)?;
        }
        let stalled = ends_epoch && has_stalled(&points, config.patience);
        let checkpoint_is_due = state.step.is_multiple_of(run.checkpoint_every.max(1)) || state.step == end;
        if ends_epoch || checkpoint_is_due {
            state.save(folder)?;
        }
        if stalled {
            bar.suspend(|| log::info!("no improvement for {} epochs", config.patience));
            break;
        }
    }
    bar.finish();
    Ok(points)
}

/// The checkpoint's path.
///
/// # Errors
/// Exit 2 if the folder holds a run that is not to be gone on with, or files that this program did not write.
fn examine_folder(run: &Run) -> Result<PathBuf> {
    let folder = &run.folder;
    let checkpoint = folder.join(CHECKPOINT);
    if checkpoint.exists() && !run.resume {
        let why =
            format!("{} contains a run; continue with --resume or name another folder", folder.display());
        return Err(Fault::usage(why));
    }
    if !checkpoint.exists() {
        let names = [
            ["config.toml", "curve.csv", "curve.png", "examples.png", BEST, GRAPH].as_slice(),
            &["held-back.txt", "held-back-negative.txt", "choosing.txt", RANGES, VIEWS],
        ]
        .concat();
        names.iter().try_for_each(|name| files::check_writable(&folder.join(name)))?;
    }
    Ok(checkpoint)
}

/// The teachers that look at each batch; those that look once do so now.
fn watching<'a>(
    config: &TrainConfig,
    teachers: Option<&'a Teachers>,
    train: &mut [Cached],
    folder: &Path,
) -> Result<Option<&'a Teachers>> {
    let looks_once = config.distillation.as_ref().is_some_and(|own| own.cached);
    let speaks = config.distillation.as_ref().is_some_and(|own| own.soft + own.logits > 0.0);
    Ok(match teachers.filter(|_| speaks) {
        Some(teachers) if looks_once => {
            teachers.look_at_all(train, folder)?;
            None
        }
        teachers => teachers,
    })
}

fn progress(total: u64, done: u64) -> Result<ProgressBar> {
    let bar = ProgressBar::new(total).with_position(done);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} step {pos}/{len} · {elapsed} elapsed, {eta} left · {msg}",
    )?);
    bar.reset_eta();
    Ok(bar)
}

fn tell(point: &Point) {
    log::info!(
        "epoch {}: loss {:.4}, {}, {:.0} s",
        point.epoch + 1,
        point.loss,
        told(point.held_back_dice, point.held_back_false, point.held_back_separation),
        point.seconds
    );
}

fn told(dice: f64, lit: f64, separation: Option<f64>) -> String {
    let separation = separation.map_or("unknown".to_owned(), |separation| format!("{separation:.4}"));
    format!("held-back Dice {dice:.4}, false alarms {lit:.3}, separation {separation}")
}

/// Whether the last `patience` epochs brought nothing better than what was before them.
fn has_stalled(points: &[Point], patience: u64) -> bool {
    let best = points.iter().enumerate().max_by(|a, b| {
        // Of equals the earlier one.
        a.1.score().total_cmp(&b.1.score()).then(b.0.cmp(&a.0))
    });
    patience > 0 && best.is_some_and(|(at, _)| (points.len() - 1 - at) as u64 >= patience)
}

/// The averaged weights, with what is needed to use them: the configuration and which encoder they belong to.
fn save_best(folder: &Path, state: &TrainState, config: &TrainConfig) -> Result<()> {
    let notes = BTreeMap::from([
        ("step".to_owned(), state.step.to_string()),
        ("encoder".to_owned(), state.encoder.clone()),
        ("config".to_owned(), toml::to_string(config)?),
    ]);
    parameters::save(&folder.join(BEST), &[("averaged", &state.averaged)], notes)
}

/// Writes what [`train`] would have written of a run's checkpoint at the end of an epoch.
pub fn export_checkpoint(folder: &Path) -> Result<()> {
    let config = TrainConfig::load(&folder.join("config.toml"), &TrainConfig::default())?;
    let path = folder.join(CHECKPOINT);
    let (mut sets, _) = parameters::load(&path)?;
    let missing = || Fault::data(format!("{} has no averaged weights", path.display()));
    let averaged = sets.remove("averaged").ok_or_else(missing)?;
    if let Some(quantised) = &config.quantised {
        let device = Device::flex();
        return QuantisedLearner::open(quantised, &config, &device)?.0.export(&averaged, folder);
    }
    let segmenter = config.segmenter().map_err(Fault::configuration)?;
    let graph = graph(&segmenter, &averaged, &config).ok_or_else(|| {
        Fault::usage(format!("{} contains no network that a cart can run; distil it first", folder.display()))
    })?;
    graph.save(&folder.join(GRAPH))
}

fn step(
    state: &mut TrainState,
    batches: &std::sync::mpsc::Receiver<Batch>,
    learner: &dyn Learner,
    watching: Option<&Teachers>,
    config: &TrainConfig,
    progress: f32,
) -> Result<f32> {
    let (mut total, mut gradients) = (0.0, Parameters::default());
    for _ in 0..config.accumulate {
        let mut batch = batches.recv().context("the thread that prepares batches has ended")?;
        if let Some(teachers) = watching {
            batch.teacher = teachers.look(&batch)?;
        }
        let outcome = learner.batch(&state.parameters, &batch)?;
        total += outcome.loss / config.accumulate as f32;
        backward::add(&mut gradients, outcome.gradients);
        blend(&mut state.parameters, &outcome.statistics, STATISTICS_DECAY);
        state.hardness.note(&batch.numbers, &outcome.peaks);
    }
    if config.accumulate > 1 {
        let share = 1.0 / config.accumulate as f32;
        gradients.0.values_mut().flat_map(|array| &mut array.values).for_each(|value| *value *= share);
    }
    if !total.is_finite() {
        return Err(Fault::data(format!(
            "the loss is not a finite number at step {}; lower the rate and resume from the last checkpoint",
            state.step + 1
        )));
    }
    state.step += 1;
    state.adam.step(&mut state.parameters, &gradients, &config.optimizer, progress, state.step);
    average(&mut state.averaged, &state.parameters, config.optimizer.average_decay, state.step);
    Ok(total)
}

/// What the averaged weights make of the held-back frames.
fn validate(
    learner: &dyn Learner,
    parameters: &Parameters,
    held: &[Cached],
    config: &TrainConfig,
) -> Result<Judgement> {
    let side = config.network.input_side;
    let mut frames = Vec::with_capacity(held.len());
    for samples in held.chunks(config.batch) {
        let examples: Vec<_> = samples.iter().map(|sample| plain(sample, side)).collect();
        let batch = Batch::of(&examples, side);
        let logits = learner.logits(parameters, &batch)?;
        let low = logits.low;
        let maps = logits.values.chunks(low * low).zip(batch.targets.chunks(side * side));
        for (sample, (logits, target)) in samples.iter().zip(maps) {
            let logits = enlarged(logits, low, side);
            let truth = target.iter().filter(|t| **t > 0.5).count();
            let found = logits.iter().filter(|z| **z >= 0.0).count();
            let both = logits.iter().zip(target).filter(|(z, t)| **z >= 0.0 && **t > 0.5).count();
            let dice = 2.0 * both as f64 / (truth + found).max(1) as f64;
            frames.push(Judged {
                set: sample.set().to_owned(),
                dice: (truth > 0 && config.mix.is_truth(sample.set())).then_some(dice),
                has_polyp: truth > 0,
                peak: logits.iter().copied().fold(f32::MIN, f32::max),
            });
        }
    }
    Ok(Judgement::of(&frames))
}

#[cfg(test)]
pub(crate) mod tests;
