//! From a float graph to int8: ranges, bias corrections, decision rules and the temporal gate, all chosen on frames that
//! training holds back.
//!
//! | module | job |
//! |---|---|
//! | `held_back` | a frame as the network sees it, a disturbed copy, a part without its polyp |
//! | `frames` | all of them, and the network's logits |
//! | `logits` | how good logits are before any decision rule |
//! | `candidates` | ways of quantising, compared on the calibration frames |
//! | `sensitivity` | what each node's quantisation costs by itself |
//! | [`decision`] | thresholds, smallest regions and lowest peaks, compared |
//! | `drift`, `video` | a second of video made of a still |
//! | `gate` | temporal gates, compared |
//! | `evidence` | the calibration's folder |

pub(crate) mod candidates;
pub mod decision;
mod drift;
mod evidence;
mod frames;
mod gate;
pub(crate) mod held_back;
pub(crate) mod logits;
mod sensitivity;
#[cfg(test)]
mod tests;
mod video;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use polyp_edge::bundle::digest;
use polyp_edge::bundle::manifest::Sensitivity;
use polyp_edge::fault::Fault;

use crate::calibrate::candidates::{Candidate, Frames};
use crate::calibrate::decision::{Trial, Truth, Wishes};
use crate::calibrate::evidence::Evidence;
use crate::calibrate::held_back::HeldBack;
use crate::calibrate::sensitivity::{NodeSensitivity, sensitivity};
use crate::data::lists::{Sample, data_folder};
use crate::data::split;
use crate::graph::Graph;
use crate::quantise::QuantisedGraph;
use crate::quantise::equalise::Equalisation;
use crate::quantise::range::Observer;
use crate::quantise::recipe::{
    self, Calibration, FORMAT, GateTrial, PointTrial, Recipe, TRAINED, read_ranges,
};
use crate::quantise::statistics::Statistics;
use crate::{files, onnx};

/// Tried where no observer is named.
const OBSERVERS: [Observer; 5] = [
    Observer::MinMax,
    Observer::Percentile(0.0001),
    Observer::Percentile(0.001),
    Observer::SquaredError,
    Observer::Entropy,
];

/// Where ranges come from.
pub enum Ranges {
    /// The observer that does best, of all.
    Best,
    /// What this observer gives.
    By(Observer),
    /// A file that quantisation-aware training wrote.
    Trained(PathBuf),
}

/// What is to be calibrated, and on what.
pub struct Request {
    /// The float graph's file.
    pub graph: PathBuf,
    /// Lists of frames with polyps.
    pub lists: Vec<PathBuf>,
    /// Lists of frames without polyps.
    pub negatives: Vec<PathBuf>,
    /// Use all frames of the lists, not just the part that training holds back.
    pub whole_lists: bool,
    /// Lists that training never saw, of frames with polyps and without: all of them are used.
    pub choosing: Vec<PathBuf>,
    /// Data sets whose masks machines made: of their frames only counts whether anything is found.
    pub machine_masks: Vec<String>,
    /// Frames for ranges and bias correction, a quarter of them without polyps.
    pub frames: usize,
    /// Seed of the choice of frames, of their disturbed copies, and of the camera's movement over them.
    pub seed: u64,
    /// Where ranges come from.
    pub ranges: Ranges,
    /// Calibration frames with polyps on which each node is quantised by itself.
    pub sensitivity_frames: usize,
    /// What the decision rules must keep to.
    pub wishes: Wishes,
    /// Other points of the operating curve: at most this share of polyp-free frames may show a region.
    pub points: BTreeMap<Sensitivity, f64>,
    /// Stills of each kind that are made into a second of video.
    pub gate_frames: usize,
    /// Threads that prepare frames and run the engine.
    pub threads: usize,
}

/// What was chosen.
pub struct Chosen {
    /// The observer, and what else was done.
    pub name: String,
    /// The decision rules, and what they came to on held-back frames.
    pub decision: Trial,
    /// The temporal gate, and what it came to on them.
    pub gate: GateTrial,
}

/// Calibrates a graph and writes the calibration to the folder `out`.
///
/// # Errors
/// Exit 65 if the lists hold back no frame, or a picture, the graph or the ranges are damaged; exit 2 if the folder holds
/// something else; exit 74 if reading or writing fails.
pub fn calibrate(request: &Request, out: &Path) -> Result<Chosen> {
    files::check_folder(out, &recipe::KIND)?;
    let seed = request.seed;
    let graph_bytes = files::read(&request.graph)?;
    let graph = Graph::load(&request.graph)?;
    let (polyps, negatives) = held_back_frames(request, graph.input_side)?;
    let drawn = frames::draw(&polyps, &negatives, request.frames, seed);
    let pixels: Vec<Vec<u8>> = drawn.iter().map(|frame| frame.pixels.clone()).collect();
    log::info!("{} frames for ranges, {} for decision rules", pixels.len(), polyps.len() + negatives.len());
    let truths: Vec<&Truth> = drawn.iter().map(|frame| &frame.truth).collect();
    let calibrating = Frames { pixels: &pixels, truths: &truths };
    let candidates = candidates(&request.ranges, &graph, &calibrating)?;
    let best = candidates::best(&candidates).ok_or_else(|| Fault::usage("no observer to try"))?;
    let quantised = best.quantised(&graph)?;
    let alone = alone(&quantised, &calibrating, request.sensitivity_frames)?;

    let model = onnx::quantised::to_onnx(&quantised)?;
    let all = || polyps.iter().chain(&negatives);
    let rules = choose_rules(&model, &all, request)?;
    let Rules { decision, gate, .. } = rules;

    let recipe = Recipe {
        format: FORMAT,
        graph_sha256: digest(&graph_bytes),
        observer: best.observer.clone(),
        bias_correction: best.bias_correction,
        equalised: !best.equalisation.is_empty(),
        seed,
        calibration_frames: pixels.len(),
        held_back_polyp_frames: polyps.len(),
        held_back_negative_frames: negatives.len(),
        decision: decision.decision(),
        held_back_dice: decision.dice,
        held_back_missed_share: decision.missed_share,
        held_back_negative_share: decision.negative_share,
        held_back_cut_outs: polyps.iter().filter(|frame| frame.cut_out.is_some()).count(),
        held_back_cut_out_share: decision.cut_out_share,
        gate: rules.has_video.then_some(gate),
        points: rules.points,
        curve: curve(&rules.trials, &decision),
        tried: candidates.iter().map(|of| (of.name(), of.refined.probability_error)).collect(),
        calibration_dice: calibrating.dice_of_all(&candidates),
    };
    let calibration = Calibration {
        recipe,
        tensors: quantised.tensors,
        corrections: best.refined.corrections.clone(),
        equalisation: best.equalisation.clone(),
    };
    let evidence = Evidence {
        frames: &frames::records(&drawn, all()),
        extremes: &best.extremes,
        noise: &best.refined.noise,
        sensitivity: &alone,
        trials: &rules.trials,
        gates: &rules.gates,
    };
    evidence::save(&calibration, out, &evidence)?;
    Ok(Chosen { name: best.name(), decision, gate })
}

/// Frames with polyps, and without.
fn held_back_frames(request: &Request, side: usize) -> Result<(Vec<HeldBack>, Vec<HeldBack>)> {
    let data = data_folder()?;
    let gather = |lists: &[PathBuf]| split::held_back(lists, &data, request.whole_lists);
    let (polyps, negatives) = (gather(&request.lists)?, gather(&request.negatives)?);
    if polyps.is_empty() || negatives.is_empty() {
        return Err(Fault::data(
            "no frame of one of the lists is held back; name longer lists or use --whole-lists",
        ));
    }
    let prepare = |label: &str, samples: &[Sample]| {
        frames::prepare(label, samples, side, request.threads, &request.machine_masks)
    };
    let mut polyps = prepare("held-back polyps", &polyps)?;
    let mut negatives = prepare("held-back negatives", &negatives)?;
    let choosing = split::held_back(&request.choosing, &data, true)?;
    for frame in prepare("frames to choose by", &choosing)? {
        if frame.polyp.is_some() { polyps.push(frame) } else { negatives.push(frame) }
    }
    Ok((polyps, negatives))
}

fn candidates(ranges: &Ranges, graph: &Graph, calibrating: &Frames<'_>) -> Result<Vec<Candidate>> {
    match ranges {
        Ranges::Trained(path) => {
            let tensors = read_ranges(path)?;
            QuantisedGraph::new(graph, tensors.clone(), &BTreeMap::new())?;
            let statistics = Statistics::gather(graph, calibrating.pixels)?;
            let none = Equalisation::new();
            Ok(vec![calibrating.candidate(graph, &statistics, tensors, TRAINED.into(), false, none)?])
        }
        Ranges::By(observer) => calibrating.candidates(graph, &[*observer]),
        Ranges::Best => calibrating.candidates(graph, &OBSERVERS),
    }
}

/// What each node's quantisation costs by itself, on so many of the calibration frames with polyps.
fn alone(quantised: &QuantisedGraph, calibrating: &Frames<'_>, count: usize) -> Result<Vec<NodeSensitivity>> {
    let shows_polyp = |i: &usize| matches!(calibrating.truths[*i], Truth::Polyp(_));
    let few: Vec<usize> = (0..calibrating.pixels.len()).filter(shows_polyp).take(count).collect();
    if few.is_empty() {
        return Ok(Vec::new());
    }
    let pixels: Vec<Vec<u8>> = few.iter().map(|i| calibrating.pixels[*i].clone()).collect();
    sensitivity(quantised, &pixels, &few.iter().map(|i| calibrating.truths[*i]).collect::<Vec<_>>())
}

/// What decides when a region is shown, and what else was tried.
struct Rules {
    decision: Trial,
    gate: GateTrial,
    trials: Vec<Trial>,
    gates: Vec<GateTrial>,
    /// There was video to try gates on.
    has_video: bool,
    points: BTreeMap<Sensitivity, PointTrial>,
}

/// Chooses decision rules and gates on what the cart's engine makes of `all` held-back frames.
fn choose_rules<'a, F: Iterator<Item = &'a HeldBack>>(
    model: &[u8],
    all: &dyn Fn() -> F,
    request: &Request,
) -> Result<Rules> {
    let (seed, threads) = (request.seed, request.threads);
    let (seen, output) = frames::look(model, all(), seed, threads)?;
    let trials = decision::sweep(&seen, output, request.wishes)?;
    let gates_of = |decision: &Trial, negative_share: f64| {
        let clips = video::clips(model, all(), &decision.decision(), request.gate_frames, seed, threads)?;
        let gates = gate::sweep(&clips);
        let best = gate::choose(&gates, negative_share).ok_or_else(|| Fault::usage("no gate to try"))?;
        anyhow::Ok((gates, best, !clips.is_empty()))
    };
    let decision = decide(&trials, request.wishes)?;
    let (gates, gate, has_video) = gates_of(&decision, request.wishes.negative_share)?;
    let mut points = BTreeMap::new();
    for (&sensitivity, &negative_share) in &request.points {
        let other = decide(&trials, Wishes { negative_share, ..request.wishes })?;
        let (_, gate, has_video) = gates_of(&other, negative_share)?;
        points.insert(sensitivity, point(&other, has_video.then_some(gate)));
    }
    Ok(Rules { decision, gate, trials, gates, has_video, points })
}

/// The trials that differ from the chosen one in the lowest peak alone.
fn curve(trials: &[Trial], chosen: &Trial) -> Vec<PointTrial> {
    let rest = |trial: &Trial| (trial.threshold, trial.min_region_share);
    let alike = trials.iter().filter(|trial| rest(trial) == rest(chosen));
    alike.map(|trial| point(trial, None)).collect()
}

fn point(trial: &Trial, gate: Option<GateTrial>) -> PointTrial {
    PointTrial {
        decision: trial.decision(),
        dice: trial.dice,
        missed_share: trial.missed_share,
        negative_share: trial.negative_share,
        cut_out_share: trial.cut_out_share,
        gate,
    }
}

fn decide(trials: &[Trial], wishes: Wishes) -> Result<Trial> {
    let decision = decision::choose(trials, wishes).ok_or_else(|| Fault::usage("no decision rule to try"))?;
    if decision.negative_share > wishes.negative_share {
        log::warn!(
            "no decision rule limits false alarms to a share of {} of the held-back negatives; the lowest share is {:.3}",
            wishes.negative_share,
            decision.negative_share
        );
    }
    Ok(decision)
}
