//! `polyp-host evaluate --model BUNDLE --list LIST`: scores as the cart runs the model; with `--run`, a teacher's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polyp_edge::bundle::Bundle;
use polyp_edge::bundle::manifest::Decision;
use polyp_edge::engine::Engine;
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view::Rule;
use serde::Serialize;

use crate::cli::measure;
use crate::data::lists::{Sample, data_folder, list_name, read_list};
use crate::measures::overlap::{FrameScore, Summary};
use crate::model::cart::{Float, cart_engine};
use crate::parallel::{default_threads, in_parallel};
use crate::score::failures;
use crate::score::lists::{Scorer, measure_list, score_list};
use crate::score::maps::score_run;
use crate::{device, files};

/// Scores a bundle on lists of images as the cart runs it, or a teacher by the field's measures.
///
/// Dice and IoU are means over a list's images, of the masks that the cart makes at the image's own size. The "at half"
/// figures use a probability of 0.5 and no rules for size and peak. Where truth and mask are both empty, Dice and IoU are
/// 1.
#[derive(clap::Args)]
pub struct Arguments {
    /// The bundle's folder.
    #[arg(long, required_unless_present = "run")]
    model: Option<PathBuf>,
    /// Score the run in this folder, made by finetune, instead of a bundle.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["model", "float", "csv", "threads"])]
    run: Option<PathBuf>,
    /// With --run: device to use: cpu, cuda[:N] or vulkan[:N].
    #[arg(long, default_value = "cpu", conflicts_with = "model")]
    device: String,
    /// Also write each probability map, FOLDER/dataset/stem.png, for `measure`.
    #[arg(long, value_name = "FOLDER")]
    maps: Option<PathBuf>,
    /// Also write the mask that the cart would show for each image, FOLDER/dataset/stem.png.
    #[arg(long, value_name = "FOLDER", conflicts_with = "run")]
    masks: Option<PathBuf>,
    /// Also draw the worst frames of each list, FOLDER/list-01.png and so on: the frame, and beside it the truth's edge in
    /// green and the cart's in red.
    #[arg(long, value_name = "FOLDER", conflicts_with = "run")]
    failures: Option<PathBuf>,
    /// With --failures: number of frames of each list.
    #[arg(long, default_value_t = 12)]
    worst: usize,
    /// A list file, or the name of one in splits/ of the data folder. Repeat for more.
    #[arg(long = "list", required = true)]
    lists: Vec<PathBuf>,
    /// The same network in float (ONNX), scored for comparison.
    #[arg(long = "f32", value_name = "FILE")]
    float: Option<PathBuf>,
    #[arg(long)]
    threads: Option<usize>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Also write each image's scores as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

#[derive(Serialize)]
struct EvaluateReport {
    schema: u32,
    model: String,
    model_version: String,
    lists: BTreeMap<String, ListReport>,
}

#[derive(Serialize)]
struct ListReport {
    int8: Scores,
    #[serde(skip_serializing_if = "Option::is_none")]
    f32: Option<Scores>,
    /// Dice of int8 − f32, of the shown mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    dice_difference: Option<f64>,
}

#[derive(Clone, Copy, Serialize)]
struct Scores {
    #[serde(flatten)]
    summary: Summary,
    false_alarm_share: Option<f64>,
}

#[derive(Serialize)]
struct ImageRow<'a> {
    list: &'a str,
    name: &'a str,
    arithmetic: &'a str,
    dice: f64,
    iou: f64,
    dice_at_half: f64,
    truth_px: usize,
    predicted_px: usize,
    regions: usize,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.csv.iter().try_for_each(|path| files::check_writable(path))?;
    if let Some(run) = &arguments.run {
        let device = device::open(device::parse(&arguments.device)?)?;
        let report = score_run(run, &arguments.lists, &device, arguments.maps.as_deref())?;
        if arguments.json {
            println!("{}", serde_json::to_string(&report)?)
        } else {
            measure::print_table(&report)
        }
        return Ok(());
    }
    let Some(model) = &arguments.model else {
        return Err(Fault::usage("name a bundle with --model or a run with --run"));
    };
    let bundle = Bundle::open(model)?;
    let evaluation = Evaluation::new(&arguments, &bundle)?;
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut report = EvaluateReport {
        schema: 1,
        model: bundle.manifest.name.clone(),
        model_version: bundle.manifest.model_version.clone(),
        lists: BTreeMap::new(),
    };
    let data = data_folder()?;
    for list in &arguments.lists {
        let (name, samples) = (list_name(list), read_list(list, &data)?);
        let of_list = evaluation.list(&name, &samples, &mut csv)?;
        if report.lists.insert(name.clone(), of_list).is_some() {
            return Err(Fault::usage(format!("two lists are named {name}; rename one")));
        }
    }
    if let Some(path) = &arguments.csv {
        files::write_whole(path, &csv.into_inner()?)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?)
    } else {
        print_table(&report)
    }
    Ok(())
}

type Csv = csv::Writer<Vec<u8>>;

/// A bundle, what it is compared with, and what is to be written of each list.
struct Evaluation<'a> {
    arguments: &'a Arguments,
    onnx: Vec<u8>,
    float: Option<Vec<u8>>,
    decision: &'a Decision,
    rule: Rule,
    threads: usize,
}

impl<'a> Evaluation<'a> {
    fn new(arguments: &'a Arguments, bundle: &'a Bundle) -> anyhow::Result<Self> {
        let float = arguments.float.as_deref().map(files::read).transpose()?;
        if let Some(float) = &float {
            // Said now, not after minutes of scoring.
            Float::new(float)?;
        }
        Ok(Evaluation {
            arguments,
            onnx: bundle.read(&bundle.manifest.model)?,
            float,
            decision: &bundle.manifest.decision,
            rule: bundle.manifest.field_of_view,
            threads: arguments.threads.unwrap_or_else(default_threads).max(1),
        })
    }

    fn scorer(&self) -> anyhow::Result<Scorer<Engine>> {
        Scorer::new(cart_engine(&self.onnx)?, self.decision, self.rule)
    }

    /// Scores a list, and writes what was asked for of it.
    fn list(&self, name: &str, samples: &[Sample], csv: &mut Csv) -> anyhow::Result<ListReport> {
        let Evaluation { arguments, decision, rule, threads, .. } = *self;
        let engine = || cart_engine(&self.onnx);
        let scores = score_list(name, samples, threads, engine, decision, rule)?;
        let int8 = summarise(name, "int8", samples, &scores, csv)?;
        if let Some(folder) = &arguments.maps {
            measure_list(name, samples, threads, engine, rule, Some(folder))?;
        }
        if let Some(folder) = &arguments.masks {
            write_masks(folder, samples, threads, || self.scorer())?;
        }
        if let Some(folder) = &arguments.failures {
            let mut scorer = self.scorer()?;
            for (rank, index) in failures::worst(&scores, arguments.worst).into_iter().enumerate() {
                let frame = samples[index].read_image()?;
                let truth = samples[index].read_mask(frame.width_px(), frame.height_px())?;
                let path = folder.join(format!("{name}-{:02}.png", rank + 1));
                failures::write(&path, &frame, &truth, scorer.mask(&frame)?.0)?;
            }
        }
        let mut f32 = None;
        if let Some(float) = &self.float {
            let label = format!("{name} f32");
            let scores = score_list(&label, samples, threads, || Float::new(float), decision, rule)?;
            f32 = Some(summarise(name, "f32", samples, &scores, csv)?);
        }
        let dice_difference = f32.map(|f32: Scores| int8.summary.dice - f32.summary.dice);
        Ok(ListReport { int8, f32, dice_difference })
    }
}

/// Sums a list's scores up, and adds a row to the table for each image.
fn summarise(
    list: &str,
    arithmetic: &str,
    samples: &[Sample],
    scores: &[FrameScore],
    csv: &mut Csv,
) -> anyhow::Result<Scores> {
    for (sample, score) in samples.iter().zip(scores) {
        csv.serialize(ImageRow {
            list,
            name: &sample.name,
            arithmetic,
            dice: score.overlap.dice(),
            iou: score.overlap.iou(),
            dice_at_half: score.at_half.dice(),
            truth_px: score.overlap.truth_px,
            predicted_px: score.overlap.predicted_px,
            regions: score.regions,
        })?;
    }
    let summary = Summary::of(scores);
    Ok(Scores { summary, false_alarm_share: summary.false_alarm_share() })
}

/// Writes what the cart would show of each sample as `folder/dataset/stem.png`: 0 and 255, at the picture's size.
fn write_masks(
    folder: &Path,
    samples: &[Sample],
    threads: usize,
    scorer: impl Fn() -> anyhow::Result<Scorer<Engine>> + Sync,
) -> anyhow::Result<()> {
    in_parallel(samples, threads, scorer, |scorer, sample| {
        let frame = sample.read_image()?;
        let (width, height) = (frame.width_px() as u32, frame.height_px() as u32);
        let (mask, _) = scorer.mask(&frame)?;
        let mut png = std::io::Cursor::new(Vec::new());
        image::write_buffer_with_format(
            &mut png,
            mask,
            width,
            height,
            image::ExtendedColorType::L8,
            image::ImageFormat::Png,
        )?;
        files::write_whole(&folder.join(format!("{}.png", sample.name)), &png.into_inner())
    })?;
    Ok(())
}

fn print_table(report: &EvaluateReport) {
    let columns = ["frames", "Dice", "IoU", "at half", "missed", "free", "alarms"];
    let [frames, dice, iou, half, missed, free, alarms] = columns;
    println!(
        "{:<26} {frames:>6} {dice:>6} {iou:>6} {half:>8} {missed:>7} {free:>6} {alarms:>7}",
        report.model
    );
    for (name, list) in &report.lists {
        let rows = [(name.clone(), Some(list.int8)), (format!("{name} f32"), list.f32)];
        for (label, Scores { summary, false_alarm_share }) in
            rows.into_iter().filter_map(|(l, s)| Some((l, s?)))
        {
            let alarms =
                false_alarm_share.map_or("–".to_string(), |share| format!("{:.1} %", 100.0 * share));
            println!(
                "{label:<26} {:>6} {:>6.3} {:>6.3} {:>8.3} {:>7} {:>6} {alarms:>7}",
                summary.frames,
                summary.dice,
                summary.iou,
                summary.dice_at_half,
                summary.missed,
                summary.polyp_free
            );
        }
        if let Some(difference) = list.dice_difference {
            println!("{:<26} {:>6} {difference:>+6.3}", format!("{name} int8 − f32"), "");
        }
    }
}
