//! `polyp-host robustness --model BUNDLE --list LIST`: Dice against the severity of what carts see.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use plotters::prelude::*;
use polyp_edge::bundle::Bundle;
use serde::Serialize;

use crate::data::disturb::SEVERITIES;
use crate::data::lists::{Sample, data_folder, list_name, read_list};
use crate::measures::overlap::Summary;
use crate::model::cart::cart_engine;
use crate::parallel::default_threads;
use crate::score::robustness::{Disturbed, disturbed_scores};
use crate::{files, plot};

/// Scores a bundle on a list's images, undisturbed and disturbed by noise, blur, JPEG, interlacing, colour, glare, under-
/// and over-exposure, each in five severities.
///
/// Dice is the mean over the images, of the mask that the cart shows. data/disturb.rs defines each severity.
#[derive(clap::Args)]
pub struct Arguments {
    /// The bundle's folder.
    #[arg(long)]
    model: PathBuf,
    /// A list file, or the name of one in splits/ of the data folder. Repeat for more; all are scored as one list.
    #[arg(long = "list", required = true)]
    lists: Vec<PathBuf>,
    /// Also write robustness.csv and robustness.png here.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    threads: Option<usize>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct RobustnessReport {
    schema: u32,
    model: String,
    model_version: String,
    lists: Vec<String>,
    seed: u64,
    /// Of the images as they are.
    dice: f64,
    /// By disturbance, one value a severity.
    disturbed: BTreeMap<&'static str, Vec<f64>>,
}

#[derive(Serialize)]
struct Row {
    disturbance: &'static str,
    severity: usize,
    dice: f64,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let bundle = Bundle::open(&arguments.model)?;
    let onnx = bundle.read(&bundle.manifest.model)?;
    let data = data_folder()?;
    let lists = arguments.lists.iter().map(|list| read_list(list, &data)).collect::<Result<Vec<_>, _>>()?;
    let samples: Vec<Sample> = lists.concat();
    let threads = arguments.threads.unwrap_or_else(default_threads).max(1);
    let jobs = Disturbed::all();
    let (decision, rule) = (&bundle.manifest.decision, bundle.manifest.field_of_view);
    let cart = || cart_engine(&onnx);
    let scores =
        disturbed_scores("disturbed", &samples, &jobs, arguments.seed, threads, cart, decision, rule)?;
    let dice = |job: usize| Summary::of(&scores[job]).dice;
    let mut report = RobustnessReport {
        schema: 1,
        model: bundle.manifest.name.clone(),
        model_version: bundle.manifest.model_version.clone(),
        lists: arguments.lists.iter().map(|list| list_name(list)).collect(),
        seed: arguments.seed,
        dice: dice(0),
        disturbed: BTreeMap::new(),
    };
    for (job, disturbance) in jobs.iter().enumerate() {
        let Some((kind, _)) = disturbance.0 else { continue };
        report.disturbed.entry(kind.word()).or_default().push(dice(job));
    }
    if let Some(folder) = &arguments.out {
        files::write_whole(&folder.join("robustness.csv"), &table(&report)?)?;
        files::write_whole(&folder.join("robustness.png"), &draw(&report)?)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?)
    } else {
        print!("{}", text(&report))
    }
    Ok(())
}

fn table(report: &RobustnessReport) -> anyhow::Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.serialize(Row { disturbance: "none", severity: 0, dice: report.dice })?;
    for (disturbance, of_severities) in &report.disturbed {
        for (index, dice) in of_severities.iter().enumerate() {
            csv.serialize(Row { disturbance, severity: index + 1, dice: *dice })?;
        }
    }
    Ok(csv.into_inner()?)
}

fn text(report: &RobustnessReport) -> String {
    let mut text = format!("{:<16} {:>6}", report.model, "as is");
    (1..=SEVERITIES).for_each(|severity| {
        let _ = write!(text, " {severity:>6}");
    });
    text.push('\n');
    for (disturbance, of_severities) in &report.disturbed {
        let _ = write!(text, "{disturbance:<16} {:>6.3}", report.dice);
        of_severities.iter().for_each(|dice| {
            let _ = write!(text, " {dice:>6.3}");
        });
        text.push('\n');
    }
    text
}

fn draw(report: &RobustnessReport) -> anyhow::Result<Vec<u8>> {
    plot::png(960, 540, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(16)
            .caption(format!("{}, {}", report.model, report.lists.join(", ")), ("sans-serif", 22))
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..SEVERITIES as f64 + 1.2, 0.0..1.0)?;
        chart
            .configure_mesh()
            .x_desc("severity")
            .y_desc("Dice")
            .x_labels(SEVERITIES + 2)
            .label_style(("sans-serif", 15))
            .axis_desc_style(("sans-serif", 16))
            .draw()?;
        for (index, (disturbance, of_severities)) in report.disturbed.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let values = std::iter::once(report.dice).chain(of_severities.iter().copied());
            let line =
                LineSeries::new(values.enumerate().map(|(x, dice)| (x as f64, dice)), colour.stroke_width(2));
            chart
                .draw_series(line)?
                .label(*disturbance)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .label_font(("sans-serif", 15))
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    })
}
