//! `polyp-host export --graph FILE --calibration DIR --out DIR --name NAME`: the bundle that the cart runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polyp_edge::bundle::digest;
use polyp_edge::bundle::manifest::{Gate, Provenance};
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view::Rule;

use crate::bundle::{self, Description};
use crate::data::lists::{data_folder, read_list};
use crate::evaluate::{Float, cart_engine, default_threads, list_name, measure_list, score_list};
use crate::graph::Graph;
use crate::metrics::{FrameScore, Size, Summary, dice_of};
use crate::onnx::qdq::Form;
use crate::quantize::store::{Calibration, TRAINED};
use crate::quantize::{QuantisedGraph, equalise};
use crate::train::config::TrainConfig;
use crate::train::curve;
use crate::{files, onnx};

/// Of a calibration that tried none.
const UNTRIED_GATE: Gate = Gate { appear: 3, window: 5 };

/// Quantises a graph with a calibration and writes the bundle.
#[derive(clap::Args)]
pub struct Arguments {
    /// The float graph that training exported.
    #[arg(long)]
    graph: PathBuf,
    /// What `calibrate` wrote for this graph.
    #[arg(long)]
    calibration: PathBuf,
    /// The bundle's folder; an earlier bundle there is replaced.
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "0.1.0")]
    model_version: String,
    /// Written to the manifest and meant to grow with every release. This version of polyp-edge does not enforce it.
    #[arg(long, default_value_t = 1)]
    rollback_index: u64,
    /// Also write the float network, outside the bundle.
    #[arg(long = "f32", value_name = "FILE")]
    float: Option<PathBuf>,
    /// Also write the int8 network in QDQ form, with the bundle's scales, for onnxruntime, OpenVINO and others.
    #[arg(long, value_name = "FILE")]
    qdq: Option<PathBuf>,
    /// Also write it in QDQ form with symmetric s8 activations, for TensorRT.
    #[arg(long, value_name = "FILE")]
    qdq_symmetric: Option<PathBuf>,
    /// A region is shown once it was seen in APPEAR of the last WINDOW frames; as the calibration chose if not given.
    #[arg(long, requires = "window")]
    appear: Option<u32>,
    #[arg(long, requires = "appear")]
    window: Option<u32>,
    /// Lists that training saw, for the manifest.
    #[arg(long = "trained-on", default_values = ["train", "negative-train"])]
    trained_on: Vec<PathBuf>,
    /// Seeds of the training, for the manifest; those of the runs if not given.
    #[arg(long = "seed")]
    seeds: Vec<u64>,
    /// Runs that led to this network, first to last: their epochs, seeds and hours go into the model card.
    #[arg(long = "run", value_name = "FOLDER")]
    runs: Vec<PathBuf>,
    /// What the runs were computed on, for the model card.
    #[arg(long, value_name = "TEXT")]
    hardware: Option<String>,
    /// How many of the worst rendered frames are drawn for the model card.
    #[arg(long, default_value_t = 3)]
    failures: usize,
    /// The commit of the programs, for the manifest; asked of git if not given.
    #[arg(long)]
    commit: Option<String>,
    /// Lists whose scores go into manifest and model card, in int8 and float.
    #[arg(long = "evaluate", value_name = "LIST")]
    lists: Vec<PathBuf>,
    /// A paragraph for the model card. Repeat for more.
    #[arg(long = "remark")]
    remarks: Vec<String>,
    #[arg(long)]
    threads: Option<usize>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    files::check_folder(&arguments.out, &bundle::KIND)?;
    for path in [&arguments.float, &arguments.qdq, &arguments.qdq_symmetric].into_iter().flatten() {
        files::check_writable(path)?;
    }
    let graph_bytes = files::read(&arguments.graph)?;
    let graph = Graph::load(&arguments.graph)?;
    let calibration = Calibration::load(&arguments.calibration)?;
    if calibration.recipe.graph_sha256 != digest(&graph_bytes) {
        return Err(Fault::data(format!(
            "{} was made from another graph than {}; calibrate this one",
            arguments.calibration.display(),
            arguments.graph.display()
        )));
    }
    let equalised = equalise::apply(&graph, &calibration.equalisation);
    let quantised = QuantisedGraph::new(&equalised, calibration.tensors.clone(), &calibration.corrections)?;
    let float = onnx::float::to_onnx(&graph)?;
    let runs = runs(&arguments)?;
    let provenance = Provenance {
        data: data_sets(&arguments.trained_on)?,
        seeds: runs.seeds,
        commit: arguments.commit.clone().unwrap_or_else(commit),
        scores: scores(&arguments, &quantised, &float, &calibration)?,
    };
    let recipe = &calibration.recipe;
    let how = match recipe.observer.as_str() {
        TRAINED => "Trained for int8, its ranges with it".to_owned(),
        observer => format!(
            "Quantised after training on {} held-back frames of the training lists ({observer}{}{})",
            recipe.calibration_frames,
            if recipe.equalised { ", channels equalised" } else { "" },
            if recipe.bias_correction { ", bias correction" } else { "" },
        ),
    };
    let quantisation = format!(
        "{how}; decision rules chosen on {} held-back frames with polyps, a disturbed copy of each, and {} without: Dice {:.3}, \
         nothing found on {:.1} % of the former, regions on {:.1} % of the latter and on {:.1} % of {} polyp-free parts of frames \
         with polyps.",
        recipe.held_back_polyp_frames,
        recipe.held_back_negative_frames,
        recipe.held_back_dice,
        100.0 * recipe.held_back_missed_share,
        100.0 * recipe.held_back_negative_share,
        100.0 * recipe.held_back_cut_out_share,
        recipe.held_back_cut_outs
    );
    let chosen = recipe.gate.map_or(UNTRIED_GATE, |trial| trial.gate());
    let gate = Gate {
        appear: arguments.appear.unwrap_or(chosen.appear),
        window: arguments.window.unwrap_or(chosen.window),
    };
    // What is not the gate that was tried has nothing to be said of it.
    let tried = recipe.gate.filter(|trial| trial.gate() == gate).map(|trial| {
        format!(
            "The gate was chosen on seconds of video made of held-back frames, by a camera that drifts, and light and sharpness that \
             change: anything shown in {:.1} % of polyp-free frames' seconds and in {:.1} % of polyp-free parts'; {:.1} % of the polyps \
             found were never shown, the others {:.1} frames after they were found.",
            100.0 * trial.negative_share,
            100.0 * trial.cut_out_share,
            100.0 * trial.withheld_share,
            trial.delay_frames
        )
    });
    let description = Description {
        name: arguments.name.clone(),
        model_version: arguments.model_version.clone(),
        rollback_index: arguments.rollback_index,
        decision: recipe.decision,
        gate,
        provenance,
        remarks: arguments
            .remarks
            .iter()
            .cloned()
            .chain(runs.remark)
            .chain([quantisation])
            .chain(tried)
            .collect(),
        failures: arguments.failures,
    };
    bundle::write(&arguments.out, &quantised, &description)?;
    if let Some(path) = &arguments.float {
        files::write_whole(path, &float)?;
    }
    let forms = [(&arguments.qdq, Form::Unsigned), (&arguments.qdq_symmetric, Form::Symmetric)];
    for (path, form) in forms {
        if let Some(path) = path {
            files::write_whole(path, &onnx::qdq::to_onnx(&quantised, form)?)?;
        }
    }
    println!("{}: {} {}", arguments.out.display(), description.name, description.model_version);
    for (list, of_list) in &description.provenance.scores {
        let measures: Vec<String> =
            of_list.iter().map(|(measure, value)| format!("{measure} {value:.3}")).collect();
        println!("  {list:<28} {}", measures.join("  "));
    }
    Ok(())
}

/// `data set: N frames` for each data set of the lists.
fn data_sets(lists: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let data = data_folder()?;
    let mut counts = BTreeMap::<String, usize>::new();
    for list in lists {
        for sample in read_list(list, &data)? {
            let set = sample.name.split('/').next().unwrap_or_default().to_string();
            *counts.entry(set).or_default() += 1;
        }
    }
    Ok(counts.into_iter().map(|(set, count)| format!("{set}: {count} frames")).collect())
}

/// What the runs say of themselves.
struct Runs {
    seeds: Vec<u64>,
    remark: Option<String>,
}

fn runs(arguments: &Arguments) -> anyhow::Result<Runs> {
    let (mut seeds, mut sentences) = (Vec::new(), Vec::new());
    for folder in &arguments.runs {
        let config = TrainConfig::load(&folder.join("config.toml"), &TrainConfig::default())?;
        let points = curve::read(folder)?;
        let last = points.last().ok_or_else(|| {
            Fault::usage(format!("{} holds no run with a finished epoch", folder.display()))
        })?;
        let hours = points.iter().map(|point| point.seconds).sum::<f64>() / 3600.0;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let kind = match (&config.quantised, &config.distillation) {
            (Some(_), _) => "for int8",
            (None, Some(_)) => "distilled",
            (None, None) => "on masks",
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
    let hardware = arguments.hardware.as_ref().map_or(String::new(), |text| format!(" on {text}"));
    let remark = (!sentences.is_empty()).then(|| format!("Trained{hardware}: {}.", sentences.join("; ")));
    let seeds = if arguments.seeds.is_empty() { seeds } else { arguments.seeds.clone() };
    Ok(Runs { seeds, remark })
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
    arguments: &Arguments,
    quantised: &QuantisedGraph,
    float: &[u8],
    calibration: &Calibration,
) -> anyhow::Result<Scores> {
    let mut scores = Scores::new();
    if arguments.lists.is_empty() {
        return Ok(scores);
    }
    let data = data_folder()?;
    let model = onnx::quantised::to_onnx(quantised)?;
    let threads = arguments.threads.unwrap_or_else(default_threads).max(1);
    let (decision, rule) = (&calibration.recipe.decision, Rule::Find);
    for list in &arguments.lists {
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
