//! From a float graph and its calibration to the bundle that a cart runs.

pub mod bundle;
mod card;
mod operating;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polyp_edge::bundle::digest;
use polyp_edge::bundle::manifest::{Gate, Provenance};
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view::Rule;

use self::bundle::Description;
use crate::data::lists::{data_folder, list_name, read_list, read_unlabelled};
use crate::graph::Graph;
use crate::measures::overlap::{FrameScore, Size, Summary, dice_of};
use crate::model::cart::{Float, cart_engine};
use crate::net::parameters;
use crate::onnx::qdq::Form;
use crate::quantise::recipe::{Calibration, Recipe, TRAINED};
use crate::quantise::{QuantisedGraph, equalise};
use crate::run::BEST;
use crate::run::config::TrainConfig;
use crate::score::lists::{measure_list, score_list};
use crate::train::curve;
use crate::{files, onnx};

/// Of a calibration that tried none.
const UNTRIED_GATE: Gate = Gate { appear: 3, window: 5 };

/// What is exported, and what its manifest and card say.
pub struct Request {
    /// The float graph that training exported.
    pub graph: PathBuf,
    /// What `calibrate` wrote for this graph.
    pub calibration: PathBuf,
    /// The bundle's folder; an earlier bundle there is replaced.
    pub out: PathBuf,
    /// The model's name.
    pub name: String,
    /// The model's version, such as `0.1.0`.
    pub model_version: String,
    /// Grows with each release that replaces one which must not run any more.
    pub rollback_index: u64,
    /// What the bundle is made for.
    pub compatible: String,
    /// Also write the float network, outside the bundle.
    pub float: Option<PathBuf>,
    /// Also write the int8 network in QDQ form, with the bundle's scales, for onnxruntime, OpenVINO and others.
    pub qdq: Option<PathBuf>,
    /// Also write it in QDQ form with symmetric s8 activations, for TensorRT.
    pub qdq_symmetric: Option<PathBuf>,
    /// A region is shown once it was seen in this many of the last `window` frames; as the calibration chose if `None`.
    pub appear: Option<u32>,
    /// Frames that the gate looks back on; as the calibration chose if `None`.
    pub window: Option<u32>,
    /// Lists that training saw, for the manifest.
    pub trained_on: Vec<PathBuf>,
    /// Seeds of the training, for the manifest; those of the runs if not given.
    pub seeds: Vec<u64>,
    /// Runs that led to this network, first to last: their epochs, seeds and hours go into the model card.
    pub runs: Vec<PathBuf>,
    /// What the runs were computed on, for the model card.
    pub hardware: Option<String>,
    /// How many of the worst rendered frames are drawn for the model card.
    pub failures: usize,
    /// The commit of the programs, for the manifest; asked of git if not given.
    pub commit: Option<String>,
    /// Lists whose scores go into manifest and model card, in int8 and float.
    pub lists: Vec<PathBuf>,
    /// Paragraphs for the model card, in order.
    pub remarks: Vec<String>,
    /// Threads that score the lists.
    pub threads: usize,
}

/// Quantises a graph with a calibration and writes the bundle. Gives what the bundle says of itself.
///
/// # Errors
/// Exit 65 if the calibration is of another graph, or a file is damaged; exit 2 if an output would replace what this program did
/// not write; exit 74 if reading or writing fails.
pub fn export(request: &Request) -> anyhow::Result<Description> {
    files::check_folder(&request.out, &bundle::KIND)?;
    for path in [&request.float, &request.qdq, &request.qdq_symmetric].into_iter().flatten() {
        files::check_writable(path)?;
    }
    let graph_bytes = files::read(&request.graph)?;
    let graph = Graph::load(&request.graph)?;
    let calibration = Calibration::load(&request.calibration)?;
    if calibration.recipe.graph_sha256 != digest(&graph_bytes) {
        return Err(Fault::data(format!(
            "{} was made from another graph than {}; calibrate this one",
            request.calibration.display(),
            request.graph.display()
        )));
    }
    let equalised = equalise::apply(&graph, &calibration.equalisation);
    let quantised = QuantisedGraph::new(&equalised, calibration.tensors.clone(), &calibration.corrections)?;
    let float = onnx::float::to_onnx(&graph)?;
    let runs = runs(request)?;
    let provenance = Provenance {
        data: data_sets(&request.trained_on)?,
        seeds: runs.seeds,
        commit: request.commit.clone().unwrap_or_else(commit),
        scores: scores(request, &quantised, &float, &calibration)?,
    };
    let recipe = &calibration.recipe;
    let chosen = recipe.gate.map_or(UNTRIED_GATE, |trial| trial.gate());
    let gate = Gate {
        appear: request.appear.unwrap_or(chosen.appear),
        window: request.window.unwrap_or(chosen.window),
    };
    let description = Description {
        name: request.name.clone(),
        model_version: request.model_version.clone(),
        rollback_index: request.rollback_index,
        compatible: request.compatible.clone(),
        decision: recipe.decision,
        gate,
        sensitivity: operating::points(recipe),
        provenance,
        remarks: request
            .remarks
            .iter()
            .cloned()
            .chain(runs.remark)
            .chain([how_quantised(recipe)])
            .chain(how_gated(recipe, gate))
            .chain(operating::tables(recipe))
            .collect(),
        failures: request.failures,
    };
    bundle::write(&request.out, &quantised, &description)?;
    if let Some(path) = &request.float {
        files::write_whole(path, &float)?;
    }
    for (path, form) in [(&request.qdq, Form::Unsigned), (&request.qdq_symmetric, Form::Symmetric)] {
        if let Some(path) = path {
            files::write_whole(path, &onnx::qdq::to_onnx(&quantised, form)?)?;
        }
    }
    Ok(description)
}

/// For the card: where the scales come from, and what the decision rules came to on held-back frames.
fn how_quantised(recipe: &Recipe) -> String {
    let how = match recipe.observer.as_str() {
        TRAINED => "Trained for int8, with its ranges".to_owned(),
        observer => format!(
            "Quantised after training on {} held-back frames of the training lists ({observer}{}{})",
            recipe.calibration_frames,
            if recipe.equalised { ", channels equalised" } else { "" },
            if recipe.bias_correction { ", bias correction" } else { "" },
        ),
    };
    format!(
        "{how}; decision rules chosen on {} held-back frames with polyps, a disturbed copy of each, and {} without: Dice is {:.3}; \
         nothing was found on {:.1} % of the frames with polyps; regions were found on {:.1} % of the frames without polyps, and \
         on {:.1} % of {} polyp-free parts of frames with polyps.",
        recipe.held_back_polyp_frames,
        recipe.held_back_negative_frames,
        recipe.held_back_dice,
        100.0 * recipe.held_back_missed_share,
        100.0 * recipe.held_back_negative_share,
        100.0 * recipe.held_back_cut_out_share,
        recipe.held_back_cut_outs
    )
}

/// For the card: what the gate came to on held-back frames. Of a gate that was not tried there is nothing to be said.
fn how_gated(recipe: &Recipe, gate: Gate) -> Option<String> {
    recipe.gate.filter(|trial| trial.gate() == gate).map(|trial| {
        format!(
            "The gate was chosen on one-second videos made from held-back frames with a drifting camera and changing light and \
             sharpness. Regions were shown in {:.1} % of the videos of polyp-free frames and in {:.1} % of those of polyp-free parts; \
             {:.1} % of the polyps found were never shown, the others {:.1} frames after they were found.",
            100.0 * trial.negative_share,
            100.0 * trial.cut_out_share,
            100.0 * trial.withheld_share,
            trial.delay_frames
        )
    })
}

/// `data set: N frames` for each data set of the lists.
fn data_sets(lists: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let data = data_folder()?;
    // A frame may be in several lists, with a mask in one and without in another.
    let mut names = BTreeSet::new();
    for list in lists {
        names.extend(read_unlabelled(list, &data)?.into_iter().map(|sample| sample.name));
    }
    let mut counts = BTreeMap::<&str, usize>::new();
    names
        .iter()
        .filter_map(|name| name.split_once('/'))
        .for_each(|(set, _)| *counts.entry(set).or_default() += 1);
    Ok(counts.into_iter().map(|(set, count)| format!("{set}: {count} frames")).collect())
}

/// What the runs say of themselves.
struct Runs {
    seeds: Vec<u64>,
    remark: Option<String>,
}

fn runs(request: &Request) -> anyhow::Result<Runs> {
    let (mut seeds, mut sentences) = (Vec::new(), Vec::new());
    for folder in &request.runs {
        let config = TrainConfig::load(&folder.join("config.toml"), &TrainConfig::default())?;
        let points = curve::read(folder)?;
        let last = points.last().ok_or_else(|| {
            Fault::usage(format!("{} contains no run with a finished epoch", folder.display()))
        })?;
        let hours = points.iter().map(|point| point.seconds).sum::<f64>() / 3600.0;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let encoder = format!("{}{}", config.network.encoder.kind.word(), published(folder));
        let kind = match (&config.quantised, &config.distillation) {
            (Some(_), _) => "for int8".to_owned(),
            (None, Some(_)) => format!("{encoder}, distilled"),
            (None, None) => format!("{encoder}, on masks"),
        };
        sentences.push(format!(
            "`{name}` ({kind}) {} epochs, {} steps, {hours:.1} hours, seed {}",
            points.len(),
            last.steps,
            config.seed
        ));
        if !seeds.contains(&config.seed) {
            seeds.push(config.seed);
        }
    }
    let hardware = request.hardware.as_ref().map_or(String::new(), |text| format!(" on {text}"));
    let remark = (!sentences.is_empty()).then(|| format!("Trained{hardware}: {}.", sentences.join("; ")));
    let seeds = if request.seeds.is_empty() { seeds } else { request.seeds.clone() };
    Ok(Runs { seeds, remark })
}

/// ` from sha256:…`: the beginning of the digest of the published file that a run's encoder began with; nothing if there is none.
fn published(run: &Path) -> String {
    let notes = parameters::load(&run.join(BEST)).map(|(_, notes)| notes).unwrap_or_default();
    match notes.get("encoder").filter(|encoder| encoder.starts_with("sha256:")) {
        Some(encoder) => format!(" from {}…", encoder.chars().take(19).collect::<String>()),
        None => String::new(),
    }
}

fn commit() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new("git").arg("-C").arg(folder).args(["rev-parse", "HEAD"]).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_string(),
        _ => "unknown".into(),
    }
}

type Scores = BTreeMap<String, BTreeMap<String, f64>>;

fn scores(
    request: &Request,
    quantised: &QuantisedGraph,
    float: &[u8],
    calibration: &Calibration,
) -> anyhow::Result<Scores> {
    let mut scores = Scores::new();
    if request.lists.is_empty() {
        return Ok(scores);
    }
    let data = data_folder()?;
    let model = onnx::quantised::to_onnx(quantised)?;
    let threads = request.threads;
    let (decision, rule) = (&calibration.recipe.decision, Rule::Find);
    for list in &request.lists {
        let (samples, name) = (read_list(list, &data)?, list_name(list));
        let int8 = score_list(&name, &samples, threads, || cart_engine(&model), decision, rule)?;
        let f32 = score_list(&name, &samples, threads, || Float::new(float), decision, rule)?;
        let field = measure_list(&name, &samples, threads, || cart_engine(&model), rule, None)?;
        let mut of_int8 = measures(&int8);
        if int8.iter().any(|score| score.overlap.truth_px > 0) {
            // Without a polyp anywhere, the field's protocol has nothing to say.
            of_int8.insert("field's mDice".into(), field.mean_dice);
        }
        scores.insert(format!("{name} f32"), measures(&f32));
        scores.insert(name, of_int8);
    }
    Ok(scores)
}

fn measures(scores: &[FrameScore]) -> BTreeMap<String, f64> {
    let summary = Summary::of(scores);
    let mut measures = BTreeMap::from([
        ("frames".to_string(), summary.frames as f64),
        ("dice".to_string(), summary.dice),
        ("iou".to_string(), summary.iou),
        ("dice at half".to_string(), summary.dice_at_half),
    ]);
    let polyps = summary.frames - summary.polyp_free;
    if polyps > 0 && summary.polyp_free > 0 {
        measures.insert("dice of polyps".into(), summary.dice_of_polyps);
    }
    if polyps > 0 {
        measures.insert("missed".into(), summary.missed as f64 / polyps as f64);
    }
    for size in Size::ALL {
        measures.extend(dice_of(scores, size).map(|dice| (format!("dice {}", size.word()), dice)));
    }
    measures.extend(summary.false_alarm_share().map(|share| ("false alarms".to_string(), share)));
    measures
}
