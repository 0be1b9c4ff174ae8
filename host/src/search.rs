//! Shapes of the student, each trained alike: what they find, and how long they take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use plotters::prelude::*;
use polyp_edge::bundle::digest;
use polyp_edge::bundle::manifest::{Decision, Gate, Provenance};
use polyp_edge::engine::{Engine, Options};
use polyp_edge::fault::{Exit, Fault};
use polyp_edge::preprocess::Preprocessor;
use serde::{Deserialize, Serialize};

use crate::bundle::{self, Description};
use crate::data::bad;
use crate::data::lists::{Sample, read_list};
use crate::data::split::hold_back;
use crate::evaluate::{Cart, Predictor, in_parallel};
use crate::graph::execute::Activation;
use crate::graph::{Graph, Shape as TensorShape};
use crate::net::decoder::{Attention, DecoderConfig};
use crate::quantize::QuantisedGraph;
use crate::quantize::attempt::Frames;
use crate::quantize::decision::Truth;
use crate::quantize::held_back::{self, HeldBack};
use crate::quantize::quality::{dice_at_half, mean};
use crate::quantize::range::Observer;
use crate::train::config::TrainConfig;
use crate::train::trainer::{GRAPH, Run, train};
use crate::{files, onnx, plot};

/// What is varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    pub input_sides: Vec<usize>,
    /// Shares of the encoder's published channels.
    #[serde(default = "whole")]
    pub widths: Vec<f32>,
    /// A level has twice as many.
    pub branch_channels: Vec<usize>,
    pub attention: Vec<Attention>,
    /// Pixels between two logits: 2, 4, 8 or 16.
    #[serde(default = "four")]
    pub output_strides: Vec<usize>,
    /// Only shapes that differ from the first values in one respect, instead of every combination.
    #[serde(default)]
    pub one_at_a_time: bool,
}

fn whole() -> Vec<f32> {
    vec![1.0]
}

fn four() -> Vec<usize> {
    vec![4]
}

impl Grid {
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |why: &str| Fault::configuration(format!("{}: {why}", path.display()));
        let grid: Grid = toml::from_str(&files::read_text(path)?).map_err(|e| wrong(e.message()))?;
        if let Some(stride) = grid.output_strides.iter().find(|stride| ![2, 4, 8, 16].contains(*stride)) {
            return Err(wrong(&format!("output_strides: {stride} is not 2, 4, 8 or 16")));
        }
        match grid.shapes().is_empty() {
            true => Err(wrong("a list is empty")),
            false => Ok(grid),
        }
    }

    pub fn shapes(&self) -> Vec<Shape> {
        let all: [(usize, Set); 5] = [
            (self.input_sides.len(), &|shape, i| shape.input_side = self.input_sides[i]),
            (self.widths.len(), &|shape, i| shape.width = self.widths[i]),
            (self.branch_channels.len(), &|shape, i| shape.branch_channels = self.branch_channels[i]),
            (self.attention.len(), &|shape, i| shape.attention = self.attention[i]),
            (self.output_strides.len(), &|shape, i| shape.output_stride = self.output_strides[i]),
        ];
        if all.iter().any(|(values, _)| *values == 0) {
            return Vec::new();
        }
        // A shape with each value of a list from number `from` on.
        let varied = |shape: Shape, (values, set): (usize, Set), from: usize| -> Vec<Shape> {
            let one = |i| {
                let mut varied = shape;
                set(&mut varied, i);
                varied
            };
            (from..values).map(one).collect()
        };
        if self.one_at_a_time {
            let mut first = Shape::default();
            all.iter().for_each(|(_, set)| set(&mut first, 0));
            return std::iter::once(first)
                .chain(all.iter().flat_map(|list| varied(first, *list, 1)))
                .collect();
        }
        all.iter().fold(vec![Shape::default()], |shapes, list| {
            shapes.into_iter().flat_map(|shape| varied(shape, *list, 0)).collect()
        })
    }
}

/// Gives a shape the value of this number in one of the grid's lists.
type Set<'a> = &'a dyn Fn(&mut Shape, usize);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub input_side: usize,
    pub width: f32,
    pub branch_channels: usize,
    pub attention: Attention,
    pub output_stride: usize,
}

impl Default for Shape {
    fn default() -> Self {
        let decoder = DecoderConfig::default();
        Shape {
            input_side: 224,
            width: 1.0,
            branch_channels: decoder.branch_channels,
            attention: decoder.attention,
            output_stride: 4,
        }
    }
}

impl Shape {
    /// The shape's folder.
    pub fn word(&self) -> String {
        let attention = match self.attention {
            Attention::None => "none",
            Attention::Eca => "eca",
            Attention::SqueezeExcite => "squeeze-excite",
        };
        let mut word = format!("{}-{}-{attention}", self.input_side, self.branch_channels);
        if self.width != 1.0 {
            word += &format!("-width-{}", self.width);
        }
        if self.output_stride != 4 {
            word += &format!("-stride-{}", self.output_stride);
        }
        word
    }

    pub fn apply(&self, base: &TrainConfig) -> TrainConfig {
        let mut config = base.clone();
        config.network.input_side = self.input_side;
        config.network.decoder.branch_channels = self.branch_channels;
        config.network.decoder.level_channels = 2 * self.branch_channels;
        config.network.decoder.attention = self.attention;
        config.network.encoder.width = self.width;
        // The encoder's finest feature lies at stride 2.
        config.network.decoder.finest = self.output_stride.ilog2() as usize - 1;
        // Another stride has another number of levels; each weighs half of the finer one, as it does unless configured.
        let depths = config.segmenter().map_or(0, |segmenter| segmenter.depths());
        if config.depth_weights.len() != depths {
            config.depth_weights = (0..depths).map(|depth| 0.5f32.powi(depth as i32)).collect();
        }
        config
    }
}

/// A row of `search.csv`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub shape: String,
    pub multiply_adds: u64,
    /// Mean Dice at one half of the held-back frames with polyps, in int8, by the cart's engine.
    pub dice: f64,
    /// Time of the engine on this machine with one thread, as a multiple of the first shape's: the median over rounds in
    /// which all shapes took turns, and the quartiles.
    pub ratio: f64,
    pub ratio_low: f64,
    pub ratio_high: f64,
    pub median_ms: f64,
    /// With one thread on a Cortex-A76, as `--predict` says.
    pub predicted_ms: Option<f64>,
    /// Whether no other shape finds more in less time.
    pub on_frontier: bool,
}

pub struct Plan {
    pub folder: PathBuf,
    pub data: PathBuf,
    pub base: TrainConfig,
    pub grid: Grid,
    pub device: Device,
    /// Called with a bundle; its output says `A frame: N ms with one thread`.
    pub predict: Option<PathBuf>,
    pub threads: usize,
    /// Rounds of timing.
    pub rounds: usize,
}

/// Trains what is not trained yet, then measures all shapes; writes `search.csv`, `search.md` and `search.png`.
pub fn search(plan: &Plan) -> Result<Vec<Row>> {
    let mut found = Vec::new();
    for shape in plan.grid.shapes() {
        let config = shape.apply(&plan.base);
        config.check().map_err(|why| Fault::configuration(format!("{}: {why}", shape.word())))?;
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
        found.push(judge(plan, &shape, &config)?);
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
    let mut samples = Vec::new();
    for list in &config.lists {
        samples.extend(hold_back(read_list(list, &plan.data)?).1);
    }
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
    let pixels = held_back::prepare(first, &mut Preprocessor::new(config.network.input_side))?.pixels;
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
    let frames: Vec<HeldBack> = bad::none(in_parallel(
        samples,
        plan.threads,
        || Ok(Preprocessor::new(graph.input_side)),
        |preprocessor, sample| Ok(held_back::prepare(sample, preprocessor)),
    )?)?;
    let few: Vec<&HeldBack> = frames.iter().step_by((frames.len() / 32).max(1)).collect();
    let pixels: Vec<Vec<u8>> = few.iter().map(|frame| frame.pixels.clone()).collect();
    let truths: Vec<&Truth> = few.iter().map(|frame| &frame.truth).collect();
    let attempts = Frames { pixels: &pixels, truths: &truths }.attempts(&graph, &[Observer::SquaredError])?;
    let first = attempts.first().context("nothing was tried")?;
    let quantised = first.quantised(&graph)?;
    let model = onnx::quantised::to_onnx(&quantised)?;
    let logits = in_parallel(
        &frames,
        plan.threads,
        || Cart::new(&model),
        |cart, frame| {
            let mut stored = Vec::new();
            cart.predict(&frame.pixels, &mut stored)?;
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
        decision: Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 },
        gate: Gate { appear: 3, window: 5 },
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
        return Err(failed(said.lines().last().unwrap_or("it failed without a word").to_owned()));
    }
    predicted(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| failed("it says nothing of \"A frame: N ms with one thread\"".to_owned()))
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

/// Predicted time where it is known, else this machine's.
fn cost(row: &Row) -> f64 {
    row.predicted_ms.unwrap_or(row.median_ms)
}

fn frontier(rows: &mut [Row]) {
    let all: Vec<(f64, f64)> = rows.iter().map(|row| (cost(row), row.dice)).collect();
    for (row, (own, dice)) in rows.iter_mut().zip(&all) {
        let is_beaten =
            all.iter().any(|(other, more)| (other < own && more >= dice) || (other <= own && more > dice));
        row.on_frontier = !is_beaten;
    }
}

pub fn markdown(rows: &[Row]) -> String {
    let mut text = "| shape | multiply-adds | Dice, int8, held back | time, ratio (quartiles) | median here | Cortex-A76, predicted | \
                    frontier |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let predicted = row.predicted_ms.map_or("–".to_owned(), |ms| format!("{ms:.1} ms"));
        text += &format!(
            "| {} | {:.0} M | {:.4} | {:.2} ({:.2}–{:.2}) | {:.1} ms | {predicted} | {} |\n",
            row.shape,
            row.multiply_adds as f64 / 1e6,
            row.dice,
            row.ratio,
            row.ratio_low,
            row.ratio_high,
            row.median_ms,
            if row.on_frontier { "yes" } else { "" },
        );
    }
    text
}

fn draw(rows: &[Row]) -> Result<Vec<u8>> {
    let known = rows.iter().all(|row| row.predicted_ms.is_some());
    let most = rows.iter().map(cost).fold(1e-3, f64::max);
    let (low, high) =
        rows.iter().fold((1f64, 0f64), |(low, high), row| (low.min(row.dice), high.max(row.dice)));
    plot::png(960, 600, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(16)
            .caption("shapes of the student", ("sans-serif", 22))
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..most * 1.25, (low - 0.01)..(high + 0.01))?;
        let across = if known { "ms on one Cortex-A76, predicted" } else { "ms here, one thread" };
        chart
            .configure_mesh()
            .x_desc(across)
            .y_desc("Dice, held back, int8")
            .label_style(("sans-serif", 15))
            .axis_desc_style(("sans-serif", 16))
            .draw()?;
        let mut best: Vec<(f64, f64)> =
            rows.iter().filter(|row| row.on_frontier).map(|row| (cost(row), row.dice)).collect();
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart.draw_series(LineSeries::new(best, RGBColor(0, 128, 96).stroke_width(2)))?;
        chart.draw_series(rows.iter().map(|row| {
            let colour = if row.on_frontier { RGBColor(0, 128, 96) } else { RGBColor(140, 140, 140) };
            EmptyElement::at((cost(row), row.dice))
                + Circle::new((0, 0), 4, colour.filled())
                + Text::new(row.shape.clone(), (7, -6), ("sans-serif", 13))
        }))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(shape: &str, predicted_ms: f64, dice: f64) -> Row {
        Row {
            shape: shape.into(),
            multiply_adds: 1_000_000,
            dice,
            ratio: 1.0,
            ratio_low: 0.9,
            ratio_high: 1.1,
            median_ms: 5.0,
            predicted_ms: Some(predicted_ms),
            on_frontier: false,
        }
    }

    #[test]
    fn the_frontier_is_what_nothing_beats() {
        let mut rows =
            [row("a", 10.0, 0.8), row("b", 12.0, 0.79), row("c", 20.0, 0.85), row("d", 20.0, 0.84)];
        frontier(&mut rows);
        assert_eq!(rows.clone().map(|row| row.on_frontier), [true, false, true, false]);
        assert!(markdown(&rows).contains("| a | 1 M | 0.8000 | 1.00 (0.90–1.10) | 5.0 ms | 10.0 ms | yes |"));
        let picture = image::load_from_memory(&draw(&rows).unwrap()).unwrap().to_rgb8();
        assert!(picture.pixels().filter(|pixel| pixel.0 == [0, 128, 96]).count() > 100);
    }

    #[test]
    fn every_combination_is_a_shape_or_one_thing_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.toml");
        let shapes = |more: &str| {
            let text = format!(
                "input_sides = [224, 288]\nbranch_channels = [16]\nattention = [\"eca\", \"none\"]\n{more}"
            );
            std::fs::write(&path, text).unwrap();
            Grid::load(&path).map(|grid| grid.shapes())
        };
        let words = |more: &str| shapes(more).unwrap().iter().map(Shape::word).collect::<Vec<_>>();
        assert_eq!(words(""), ["224-16-eca", "224-16-none", "288-16-eca", "288-16-none"]);
        let config = shapes("").unwrap()[2].apply(&TrainConfig::default());
        assert_eq!((config.network.input_side, config.network.decoder.level_channels), (288, 32));
        assert_eq!(config.depth_weights, TrainConfig::default().depth_weights);
        let more = "widths = [1.0, 0.75]\noutput_strides = [4, 8]\n";
        assert_eq!(shapes(more).unwrap().len(), 16);
        let one_at_a_time = format!("one_at_a_time = true\n{more}");
        let expected =
            ["224-16-eca", "288-16-eca", "224-16-eca-width-0.75", "224-16-none", "224-16-eca-stride-8"];
        assert_eq!(words(&one_at_a_time), expected);
        let coarse = shapes(&one_at_a_time).unwrap()[4].apply(&TrainConfig::default());
        assert_eq!((coarse.network.decoder.finest, coarse.check()), (2, Ok(())));
        assert_eq!(coarse.depth_weights, [1.0, 0.5]);
        let narrow = shapes(&one_at_a_time).unwrap()[2].apply(&TrainConfig::default());
        assert_eq!(narrow.network.encoder.width, 0.75);
        assert!(shapes("output_strides = [3]").is_err() && shapes("widths = []").is_err());
    }

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
