//! `polyp-host calibrate --graph FILE --out DIR`: ranges, bias corrections and decision rules from held-back frames.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use polyp_edge::bundle::digest;
use polyp_edge::bundle::manifest::Decision;
use polyp_edge::detect::Regions;
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view::{Locator, Rule, Sequence};
use polyp_edge::segment::{Input, Segmenter};
use rand::SeedableRng;
use rand::seq::SliceRandom;

use crate::data::bad;
use crate::data::lists::{Sample, data_folder};
use crate::data::split;
use crate::evaluate::{cart_engine, default_threads, in_parallel, logits, progress_bar};
use crate::graph::Graph;
use crate::quantize::attempt::Frames;
use crate::quantize::calibration::Statistics;
use crate::quantize::decision::{self, Output, Seen, Truth, Wishes};
use crate::quantize::drift::{self, Drift};
use crate::quantize::equalise::Equalisation;
use crate::quantize::gate::{self, Clip, Kind};
use crate::quantize::held_back::{self, HeldBack};
use crate::quantize::range::Observer;
use crate::quantize::sensitivity::sensitivity;
use crate::quantize::store::{
    self, Calibration, Evidence, FORMAT, FrameRecord, Recipe, TRAINED, read_ranges,
};
use crate::quantize::{QuantisedGraph, attempt};
use crate::{files, onnx};

/// Finds scales, bias corrections and decision rules on the frames that training holds back.
#[derive(clap::Args)]
pub struct Arguments {
    /// The float graph that training exported.
    #[arg(long)]
    graph: PathBuf,
    /// Lists of frames with polyps.
    #[arg(long = "list", default_value = "train")]
    lists: Vec<PathBuf>,
    /// Lists of frames without polyps.
    #[arg(long = "negatives", default_value = "negative-train")]
    negatives: Vec<PathBuf>,
    /// The lists hold held-back frames only: use all of them, not just the part that training holds back.
    #[arg(long)]
    whole_lists: bool,
    /// The calibration's folder.
    #[arg(long)]
    out: PathBuf,
    /// Frames for ranges and bias correction, a quarter of them without polyps.
    #[arg(long, default_value_t = 96)]
    frames: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// min-max, squared-error, entropy or percentile-SHARE; all are tried if none is named.
    #[arg(long, conflicts_with = "ranges")]
    observer: Option<String>,
    /// Take these ranges, which quantisation-aware training ended with, and choose decision rules only.
    #[arg(long, value_name = "FILE")]
    ranges: Option<PathBuf>,
    /// Calibration frames with polyps on which each node is quantised by itself to see what it costs; 0 for none.
    #[arg(long, default_value_t = 16)]
    sensitivity_frames: usize,
    /// At most this share of held-back polyp-free frames may show a region, and of the seconds of video made of them.
    #[arg(long, default_value_t = 0.12)]
    negative_share: f64,
    /// Frames with polyps that are made into a second of video each, to choose the temporal gate; and at most twice as many
    /// without.
    #[arg(long, default_value_t = 64)]
    gate_frames: usize,
    /// Take this threshold instead of trying several.
    #[arg(long)]
    threshold: Option<f32>,
    #[arg(long)]
    threads: Option<usize>,
}

const OBSERVERS: [Observer; 5] = [
    Observer::MinMax,
    Observer::Percentile(0.0001),
    Observer::Percentile(0.001),
    Observer::SquaredError,
    Observer::Entropy,
];

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    files::check_folder(&arguments.out, &store::KIND)?;
    let threads = arguments.threads.unwrap_or_else(default_threads).max(1);
    let graph_bytes = files::read(&arguments.graph)?;
    let graph = Graph::load(&arguments.graph)?;
    let data = data_folder()?;
    let gather = |lists: &[PathBuf]| split::held_back(lists, &data, arguments.whole_lists);
    let (polyps, negatives) = (gather(&arguments.lists)?, gather(&arguments.negatives)?);
    if polyps.is_empty() || negatives.is_empty() {
        return Err(Fault::data(
            "no frame is held back of one of the lists; name longer ones or use --whole-lists",
        ));
    }
    let polyps = prepare("held-back polyps", &polyps, graph.input_side, threads)?;
    let negatives = prepare("held-back negatives", &negatives, graph.input_side, threads)?;
    let chosen = draw(&polyps, &negatives, arguments.frames, arguments.seed);
    let pixels: Vec<Vec<u8>> = chosen.iter().map(|frame| frame.pixels.clone()).collect();
    log::info!("{} frames for ranges, {} for decision rules", pixels.len(), polyps.len() + negatives.len());

    let truths: Vec<&Truth> = chosen.iter().map(|frame| &frame.truth).collect();
    let calibrating = Frames { pixels: &pixels, truths: &truths };
    let attempts = match &arguments.ranges {
        Some(path) => {
            let tensors = read_ranges(path)?;
            QuantisedGraph::new(&graph, tensors.clone(), &BTreeMap::new())?;
            let statistics = Statistics::gather(&graph, &pixels)?;
            let none = Equalisation::new();
            vec![calibrating.attempt(&graph, &statistics, tensors, TRAINED.into(), false, none)?]
        }
        None => {
            let observers = match &arguments.observer {
                Some(name) => vec![name.parse()?],
                None => OBSERVERS.to_vec(),
            };
            calibrating.attempts(&graph, &observers)?
        }
    };
    let best = attempt::best(&attempts).ok_or_else(|| Fault::usage("no observer to try"))?;
    let quantised = best.quantised(&graph)?;
    let shows_polyp = |i: &usize| matches!(truths[*i], Truth::Polyp(_));
    let few: Vec<usize> = (0..pixels.len()).filter(shows_polyp).take(arguments.sensitivity_frames).collect();
    let alone = match few.is_empty() {
        true => Vec::new(),
        false => {
            let pixels: Vec<Vec<u8>> = few.iter().map(|i| pixels[*i].clone()).collect();
            sensitivity(&quantised, &pixels, &few.iter().map(|i| truths[*i]).collect::<Vec<_>>())?
        }
    };
    let model = onnx::quantised::to_onnx(&quantised)?;
    let wishes = Wishes { negative_share: arguments.negative_share, threshold: arguments.threshold };
    let (seen, output) = look(&model, polyps.iter().chain(&negatives), arguments.seed, threads)?;
    let trials = decision::sweep(&seen, output, wishes)?;
    let decision =
        decision::choose(&trials, wishes).ok_or_else(|| Fault::usage("no decision rule to try"))?;
    if decision.negative_share > wishes.negative_share {
        log::warn!(
            "no decision rule keeps false alarms to {} of held-back negatives; the least is {:.3}",
            wishes.negative_share,
            decision.negative_share
        );
    }
    let all = polyps.iter().chain(&negatives);
    let clips = clips(&model, all, &decision.decision(), arguments.gate_frames, arguments.seed, threads)?;
    let gates = gate::sweep(&clips);
    let gate = gate::choose(&gates, wishes.negative_share).ok_or_else(|| Fault::usage("no gate to try"))?;
    let recipe = Recipe {
        format: FORMAT,
        graph_sha256: digest(&graph_bytes),
        observer: best.observer.clone(),
        bias_correction: best.bias_correction,
        equalised: !best.equalisation.is_empty(),
        seed: arguments.seed,
        calibration_frames: pixels.len(),
        held_back_polyp_frames: polyps.len(),
        held_back_negative_frames: negatives.len(),
        decision: decision.decision(),
        held_back_dice: decision.dice,
        held_back_missed_share: decision.missed_share,
        held_back_negative_share: decision.negative_share,
        held_back_cut_outs: polyps.iter().filter(|frame| frame.cut_out.is_some()).count(),
        held_back_cut_out_share: decision.cut_out_share,
        gate: (!clips.is_empty()).then_some(gate),
        tried: attempts.iter().map(|of| (of.name(), of.refined.probability_error)).collect(),
        calibration_dice: calibrating.dice_of_all(&attempts),
    };
    let frames = records(&chosen, polyps.iter().chain(&negatives));
    let calibration = Calibration {
        recipe,
        tensors: quantised.tensors,
        corrections: best.refined.corrections.clone(),
        equalisation: best.equalisation.clone(),
    };
    let evidence = Evidence {
        frames: &frames,
        extremes: &best.extremes,
        noise: &best.refined.noise,
        sensitivity: &alone,
        trials: &trials,
        gates: &gates,
    };
    calibration.save(&arguments.out, &evidence)?;
    println!(
        "{}: {}; threshold {}, smallest region {}, lowest peak {}: held-back Dice {:.3}, false alarms {:.1} %, \
         on cut-outs {:.1} %; shown if seen in {} of {} frames, {:.1} frames late",
        arguments.out.display(),
        best.name(),
        decision.threshold,
        decision.min_region_share,
        decision.min_peak,
        decision.dice,
        100.0 * decision.negative_share,
        100.0 * decision.cut_out_share,
        gate.appear,
        gate.window,
        gate.delay_frames
    );
    Ok(())
}

/// Brings frames to the network's input as the cart does.
fn prepare(label: &str, samples: &[Sample], side: usize, threads: usize) -> anyhow::Result<Vec<HeldBack>> {
    let bar = progress_bar(label, samples.len());
    let frames = in_parallel(
        samples,
        threads,
        || Ok(Input::new(side, Locator::new(Rule::Find, Sequence::Stills))),
        |input, sample| {
            bar.inc(1);
            Ok(held_back::prepare(sample, input))
        },
    );
    bar.finish_and_clear();
    bad::none(frames?)
}

/// Frames for the ranges: a quarter without polyps, or as many as there are.
fn draw<'a>(polyps: &'a [HeldBack], negatives: &'a [HeldBack], count: usize, seed: u64) -> Vec<&'a HeldBack> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut take = |frames: &'a [HeldBack], count: usize| {
        let mut order: Vec<&HeldBack> = frames.iter().collect();
        order.shuffle(&mut random);
        order.truncate(count.max(1));
        order
    };
    let mut chosen = take(negatives, count / 4);
    chosen.extend(take(polyps, count.saturating_sub(chosen.len())));
    chosen
}

/// Runs the cart's engine on every frame, on a disturbed copy of each with a polyp, and on the cut-outs.
fn look<'a>(
    model: &[u8],
    frames: impl Iterator<Item = &'a HeldBack>,
    seed: u64,
    threads: usize,
) -> anyhow::Result<(Vec<Seen>, Output)> {
    let cart = cart_engine(model)?;
    let (scale, zero_point) = cart.output_quantisation();
    let output = Output { shape: cart.output_shape(), scale, zero_point };
    let side = cart.input_shape()[0];
    drop(cart);
    let mut pictures = Vec::new();
    for (number, frame) in frames.enumerate() {
        pictures.push((Cow::Borrowed(&frame.pixels), frame.truth.clone()));
        if let Truth::Polyp(_) = frame.truth {
            let disturbed = held_back::disturb(&frame.pixels, side, seed + number as u64);
            pictures.push((Cow::Owned(disturbed), frame.truth.clone()));
        }
        pictures.extend(frame.cut_out.as_ref().map(|cut_out| (Cow::Borrowed(cut_out), Truth::CutOut)));
    }
    let bar = progress_bar("decision rules", pictures.len());
    let seen = in_parallel(
        &pictures,
        threads,
        || cart_engine(model),
        |cart, (pixels, truth)| {
            let logits = logits(cart, pixels)?;
            bar.inc(1);
            Ok(Seen { logits, truth: truth.clone() })
        },
    );
    bar.finish_and_clear();
    Ok((seen?, output))
}

/// Runs the cart's engine on what a drifting camera sees of frames, as many of each kind.
fn clips<'a>(
    model: &[u8],
    frames: impl Iterator<Item = &'a HeldBack>,
    decision: &Decision,
    count: usize,
    seed: u64,
    threads: usize,
) -> anyhow::Result<Vec<Clip>> {
    let mut stills = Vec::new();
    for frame in frames {
        let kind = if frame.polyp.is_some() { Kind::Polyp } else { Kind::Negative };
        stills.push((kind, &frame.pixels, frame.polyp));
        stills.extend(frame.cut_out.as_ref().map(|cut_out| (Kind::CutOut, cut_out, None)));
    }
    stills.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
    let mut chosen = Vec::new();
    for kind in [Kind::Polyp, Kind::Negative, Kind::CutOut] {
        chosen.extend(stills.iter().filter(|(of, ..)| *of == kind).take(count).copied().zip(seed..));
    }
    let bar = progress_bar("temporal gate", chosen.len());
    let clips = in_parallel(
        &chosen,
        threads,
        || Segmenter::with(cart_engine(model)?, decision, Rule::WholeFrame, Sequence::Stills),
        |segmenter, ((kind, still, polyp), seed)| {
            let side = segmenter.side();
            let drift = Drift::new(*seed);
            let mut frames = Vec::with_capacity(drift::FRAMES);
            for number in 0..drift::FRAMES {
                let view = drift.view(number);
                segmenter.look_at(&view.pixels(still, side))?;
                let mut regions = Regions::default();
                segmenter.regions_into(&mut regions)?;
                frames.push((regions.list, polyp.and_then(|polyp| view.bounds(&polyp, side))));
            }
            bar.inc(1);
            Ok(Clip { kind: *kind, frames })
        },
    );
    bar.finish_and_clear();
    clips
}

/// One record a frame, by name.
fn records<'a>(calibration: &[&HeldBack], all: impl Iterator<Item = &'a HeldBack>) -> Vec<FrameRecord> {
    let mut records: Vec<FrameRecord> = all
        .map(|frame| {
            let both = calibration.iter().any(|chosen| chosen.name == frame.name);
            let role = if both { "both" } else { "decision" };
            FrameRecord { name: frame.name.clone(), sha256: frame.sha256.clone(), role: role.into() }
        })
        .collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records
}
