//! Shapes of the student, each trained alike: what they find, and how long they take.

mod grid;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use polyp_edge::bundle::digest;
use polyp_edge::bundle::manifest::{COMPATIBLE, Gate, Provenance};
use polyp_edge::engine::{Engine, Options};
use polyp_edge::fault::{Exit, Fault};
use polyp_edge::field_of_view::{Locator, Rule, Sequence};
use polyp_edge::segment::Input;
use serde::{Deserialize, Serialize};

use crate::calibrate::candidates::Frames;
use crate::calibrate::decision::Truth;
use crate::calibrate::held_back::{self, HeldBack};
use crate::calibrate::logits::dice_at_half;
use crate::data::lists::Sample;
use crate::data::split::held_back;
use crate::data::usable;
use crate::experiments::part::{Part, missing, same_experiment};
use crate::export::bundle::{self, Description};
use crate::graph::execute::Activation;
use crate::graph::{Graph, Shape as TensorShape};
use crate::model::cart::{cart_engine, logits};
use crate::numeric::mean;
use crate::parallel::in_parallel;
use crate::quantise::QuantisedGraph;
use crate::quantise::range::Observer;
use crate::run::GRAPH;
use crate::run::config::TrainConfig;
use crate::score::lists::AT_HALF;
use crate::train::trainer::{Run, train};
use crate::{files, onnx};

pub use grid::{Grid, Shape};
pub use report::{Row, markdown};
use report::{draw, frontier};

/// What to try, and where.
pub struct Plan {
    /// The search's folder: a run's folder for each shape, and the results.
    pub folder: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// What all runs have alike.
    pub base: TrainConfig,
    /// The shapes.
    pub grid: Grid,
    /// Where the runs are computed.
    pub device: Device,
    /// Called with a bundle; its output says `A frame: N ms with one thread`.
    pub predict: Option<PathBuf>,
    /// Threads that score held-back frames.
    pub threads: usize,
    /// Rounds of timing.
    pub rounds: usize,
    /// Which of the shapes are trained here.
    pub part: Part,
}

/// Trains and judges whatever of its part is not done yet; then times all shapes and writes `search.csv`, `search.md` and
/// `search.png`, unless it is a shard's part, which gives no rows.
pub fn search(plan: &Plan) -> Result<Vec<Row>> {
    let shapes = plan.grid.shapes();
    let of_shape = |shape: &Shape| {
        let config = shape.apply(&plan.base);
        let checked = config.check().map_err(|why| Fault::configuration(format!("{}: {why}", shape.word())));
        checked.map(|()| config)
    };
    let configs = shapes.iter().map(of_shape).collect::<Result<Vec<_>>>()?;
    // The grid may grow.
    same_experiment(&plan.folder.join("base.toml"), &toml::to_string(&plan.base)?)?;
    if plan.part == Part::Merge {
        let is_done = |shape: &&Shape| plan.folder.join(shape.word()).join(VERDICT).is_file();
        let not_done: Vec<String> = shapes.iter().filter(|shape| !is_done(shape)).map(Shape::word).collect();
        if !not_done.is_empty() {
            return Err(missing(&not_done, shapes.len()));
        }
    }
    let mut found = Vec::new();
    for (number, (shape, config)) in shapes.iter().zip(&configs).enumerate() {
        if plan.part.does(number) {
            log::info!("{}", shape.word());
            train(&Run {
                folder: plan.folder.join(shape.word()),
                data: plan.data.clone(),
                config: config.clone(),
                device: plan.device.clone(),
                resume: true,
                stop_after: None,
                checkpoint_every: 50,
            })?;
        }
        if plan.part.does(number) || plan.part.writes_results() {
            found.push(judge(plan, shape, config)?);
        }
    }
    if !plan.part.writes_results() {
        return Ok(Vec::new());
    }
    time(&mut found, plan.rounds)?;
    let mut rows: Vec<Row> = found.into_iter().map(|judged| judged.row).collect();
    frontier(&mut rows);
    let mut csv = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| csv.serialize(row))?;
    files::write_whole(&plan.folder.join("search.csv"), &csv.into_inner()?)?;
    files::write_whole(&plan.folder.join("search.md"), markdown(&rows).as_bytes())?;
    files::write_whole(&plan.folder.join("search.png"), &draw(&rows)?)?;
    Ok(rows)
}

struct Judged {
    row: Row,
    engine: Engine,
    pixels: Vec<u8>,
}

/// What is known of a shape, beside its run, so that a search that is resumed need not judge it again.
#[derive(Serialize, Deserialize)]
struct Verdict {
    /// sha256 of the run's graph and the held-back frames' names: what was judged.
    of: String,
    dice: f64,
    predicted_ms: Option<f64>,
}

const VERDICT: &str = "verdict.json";
const INT8: &str = "int8.onnx";

/// Scores a trained shape in int8 on held-back frames and predicts its time, unless that is known.
fn judge(plan: &Plan, shape: &Shape, config: &TrainConfig) -> Result<Judged> {
    let folder = plan.folder.join(shape.word());
    let mut samples = held_back(&config.lists, &plan.data, false)?;
    samples.retain(|sample| config.mix.is_truth(sample.set()));
    let mut judged = files::read(&folder.join(GRAPH))?;
    samples.iter().for_each(|sample| judged.extend(sample.name.bytes()));
    let of = digest(&judged);
    let (verdict, model) = match known(&folder, &of, plan.predict.is_some()) {
        Some(known) => known,
        None => {
            let (dice, predicted_ms, model) = quantise_and_score(plan, &folder, &shape.word(), &samples)?;
            let verdict = Verdict { of, dice, predicted_ms };
            files::write_whole(&folder.join(INT8), &model)?;
            files::write_whole(&folder.join(VERDICT), &serde_json::to_vec(&verdict)?)?;
            (verdict, model)
        }
    };
    let engine = Engine::from_onnx(&model, &Options::default())?;
    let row = Row {
        shape: shape.word(),
        multiply_adds: engine.multiply_adds(),
        dice: verdict.dice,
        ratio: 1.0,
        ratio_low: 1.0,
        ratio_high: 1.0,
        median_ms: 0.0,
        predicted_ms: verdict.predicted_ms.filter(|_| plan.predict.is_some()),
        on_frontier: false,
    };
    let first = samples.first().context("no frame is held back")?;
    let mut input = Input::new(config.network.input_side, Locator::new(Rule::Find, Sequence::Stills));
    let pixels = held_back::prepare(first, true, &mut input)?.pixels;
    Ok(Judged { row, engine, pixels })
}

/// A verdict of these very weights and frames, with a prediction where one is wanted.
fn known(folder: &Path, of: &str, with_prediction: bool) -> Option<(Verdict, Vec<u8>)> {
    let verdict: Verdict = serde_json::from_slice(&std::fs::read(folder.join(VERDICT)).ok()?).ok()?;
    let fits = verdict.of == of && (verdict.predicted_ms.is_some() || !with_prediction);
    Some((verdict, std::fs::read(folder.join(INT8)).ok()?)).filter(|_| fits)
}

/// Held-back Dice at one half by the cart's engine, the predicted time, and the int8 model.
fn quantise_and_score(
    plan: &Plan,
    folder: &Path,
    name: &str,
    samples: &[Sample],
) -> Result<(f64, Option<f64>, Vec<u8>)> {
    let graph = Graph::load(&folder.join(GRAPH))?;
    let frames: Vec<HeldBack> = usable::all(in_parallel(
        samples,
        plan.threads,
        || Ok(Input::new(graph.input_side, Locator::new(Rule::Find, Sequence::Stills))),
        |input, sample| Ok(held_back::prepare(sample, true, input)),
    )?)?;
    let few: Vec<&HeldBack> = frames.iter().step_by((frames.len() / 32).max(1)).collect();
    let pixels: Vec<Vec<u8>> = few.iter().map(|frame| frame.pixels.clone()).collect();
    let truths: Vec<&Truth> = few.iter().map(|frame| &frame.truth).collect();
    let candidates =
        Frames { pixels: &pixels, truths: &truths }.candidates(&graph, &[Observer::SquaredError])?;
    let first = candidates.first().context("nothing was tried")?;
    let quantised = first.quantised(&graph)?;
    let model = onnx::quantised::to_onnx(&quantised)?;
    let logits = in_parallel(
        &frames,
        plan.threads,
        || cart_engine(&model),
        |cart, frame| {
            let stored = logits(cart, &frame.pixels)?;
            let ([height, width, _], (scale, zero)) = (cart.output_shape(), cart.output_quantisation());
            let data = stored.iter().map(|v| scale * (f32::from(*v) - f32::from(zero))).collect();
            Ok(Activation { shape: TensorShape { channels: 1, height, width }, data })
        },
    )?;
    let truths: Vec<&Truth> = frames.iter().map(|frame| &frame.truth).collect();
    let dice = mean(&dice_at_half(&logits.iter().collect::<Vec<_>>(), &truths));
    let predicted_ms = match &plan.predict {
        Some(command) => Some(predict(command, &folder.join("bundle"), &quantised, name)?),
        None => None,
    };
    Ok((dice, predicted_ms, model))
}

fn predict(command: &Path, folder: &Path, quantised: &QuantisedGraph, name: &str) -> Result<f64> {
    let description = Description {
        name: name.to_owned(),
        model_version: "0.0.0".into(),
        rollback_index: 1,
        compatible: COMPATIBLE.into(),
        decision: AT_HALF,
        gate: Gate { appear: 3, window: 5 },
        sensitivity: BTreeMap::new(),
        provenance: Provenance {
            data: Vec::new(),
            seeds: Vec::new(),
            commit: String::new(),
            scores: BTreeMap::new(),
        },
        remarks: Vec::new(),
        failures: 0,
    };
    bundle::write(folder, quantised, &description)?;
    let failed = |why: String| Fault::new(Exit::Device, format!("{}: {why}", command.display()));
    // The command may work in a folder of its own.
    let output = Command::new(command)
        .arg(std::path::absolute(folder)?)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.lines().last().unwrap_or("it failed without a message").to_owned()));
    }
    predicted(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| failed("its output has no line \"A frame: N ms with one thread\"".to_owned()))
}

/// N of `A frame: N ms with one thread`.
fn predicted(text: &str) -> Option<f64> {
    let rest = text.split_once("A frame: ")?.1;
    rest.split_once(" ms with one thread")?.0.parse().ok()
}

/// All shapes take turns, so that what else the machine does falls on all of them.
fn time(found: &mut [Judged], rounds: usize) -> Result<()> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); found.len()];
    for _ in 0..rounds.max(1) {
        for (judged, times) in found.iter_mut().zip(&mut times) {
            let mut logits = vec![0; judged.engine.output_shape().iter().product()];
            judged.engine.run(&judged.pixels, &mut logits)?;
            let started = Instant::now();
            judged.engine.run(&judged.pixels, &mut logits)?;
            times.push(1e3 * started.elapsed().as_secs_f64());
        }
    }
    let quantile = |values: &[f64], share: f64| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share).round() as usize]
    };
    let first = times.first().cloned().unwrap_or_default();
    for (judged, times) in found.iter_mut().zip(&times) {
        let ratios: Vec<f64> = times.iter().zip(&first).map(|(time, first)| time / first).collect();
        let row = &mut judged.row;
        row.median_ms = quantile(times, 0.5);
        [row.ratio_low, row.ratio, row.ratio_high] = [0.25, 0.5, 0.75].map(|share| quantile(&ratios, share));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_for_what_was_judged() {
        let folder = tempfile::tempdir().unwrap();
        let known = |of: &str, with_prediction| {
            known(folder.path(), of, with_prediction).map(|(verdict, model)| (verdict.dice, model))
        };
        assert_eq!(known("a", false), None);
        let verdict = Verdict { of: "a".into(), dice: 0.81234567890123, predicted_ms: None };
        files::write_whole(&folder.path().join(VERDICT), &serde_json::to_vec(&verdict).unwrap()).unwrap();
        assert_eq!(known("a", false), None, "without the model");
        files::write_whole(&folder.path().join(INT8), b"model").unwrap();
        assert_eq!(known("a", false), Some((0.81234567890123, b"model".to_vec())));
        assert_eq!(known("b", false), None, "other weights");
        assert_eq!(known("a", true), None, "without a prediction");
    }

    #[test]
    fn a_prediction_is_read_from_its_sentence() {
        let text = "# Predicted\n\n**A frame: 8.85 ms with one thread, 3.71 ms with three**, at 2.4 GHz.";
        assert_eq!(predicted(text), Some(8.85));
        assert_eq!(predicted("nothing"), None);
    }
}
