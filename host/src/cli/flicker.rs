//! `polyp-host flicker --model BUNDLE VIDEO`: how much outlines come and go, before and after the temporal gate.

use std::path::PathBuf;

use polyp_edge::bundle::Bundle;
use polyp_edge::capture::replay;
use polyp_edge::detect::Regions;
use polyp_edge::field_of_view::Sequence;
use polyp_edge::frame::Frame;
use polyp_edge::segment::Segmenter;
use serde::Serialize;

use crate::model::cart::cart_engine;
use crate::score::steadiness::{Observer, Steadiness};

/// Runs a bundle over videos as the cart does, and counts how many regions appear or disappear a second, before and after
/// the temporal gate, and how long the gate delays a region.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders of images in order, MJPEG or Y4M files.
    #[arg(required = true)]
    videos: Vec<PathBuf>,
    /// The bundle's folder.
    #[arg(long)]
    model: PathBuf,
    /// Frame rate of the videos in frames a second.
    #[arg(long, default_value_t = 25.0)]
    fps: f64,
    /// Use this gate instead of the bundle's: a region is shown once it was found in APPEAR of the last WINDOW frames.
    #[arg(long, requires = "window")]
    appear: Option<u32>,
    #[arg(long, requires = "appear")]
    window: Option<u32>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct FlickerReport {
    schema: u32,
    model: String,
    model_version: String,
    appear: u32,
    window: u32,
    fps: f64,
    videos: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    video: String,
    #[serde(flatten)]
    counts: Steadiness,
    /// Changes a second.
    flicker_found: f64,
    flicker_shown: f64,
    mean_delay_frames: Option<f64>,
    mean_delay_ms: Option<f64>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let bundle = Bundle::open(&arguments.model)?;
    let onnx = bundle.read(&bundle.manifest.model)?;
    let mut gate = bundle.manifest.gate;
    gate.appear = arguments.appear.unwrap_or(gate.appear);
    gate.window = arguments.window.unwrap_or(gate.window);
    let mut report = FlickerReport {
        schema: 1,
        model: bundle.manifest.name.clone(),
        model_version: bundle.manifest.model_version.clone(),
        appear: gate.appear,
        window: gate.window,
        fps: arguments.fps,
        videos: Vec::new(),
    };
    for path in &arguments.videos {
        let mut source = replay::open(path)?;
        let mut segmenter = Segmenter::new(cart_engine(&onnx)?, &bundle.manifest, Sequence::Video)?;
        let (mut observer, mut frame) = (Observer::new(gate), Frame::black(1, 1));
        let mut regions = Regions::default();
        while source.read(&mut frame)? {
            segmenter.look(&frame)?;
            segmenter.regions_into(&mut regions)?;
            observer.frame(&regions.list);
        }
        let counts = observer.finish();
        let delay = counts.mean_delay_frames();
        report.videos.push(Row {
            video: path.display().to_string(),
            flicker_found: counts.flicker(counts.changes_found, arguments.fps),
            flicker_shown: counts.flicker(counts.changes_shown, arguments.fps),
            mean_delay_frames: delay,
            mean_delay_ms: delay.map(|frames| 1000.0 * frames / arguments.fps),
            counts,
        });
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!(
        "{} {}, {} of {} frames, {} frames a second",
        report.model, report.model_version, report.appear, report.window, report.fps
    );
    println!("frames  changes a second: found  shown  sightings  withheld  delay  video");
    for row in &report.videos {
        let delay = row.mean_delay_ms.map_or("–".to_owned(), |ms| format!("{ms:.0} ms"));
        println!(
            "{:>6} {:>24.2} {:>6.2} {:>10} {:>9} {delay:>6}  {}",
            row.counts.frames,
            row.flicker_found,
            row.flicker_shown,
            row.counts.sightings,
            row.counts.withheld,
            row.video
        );
    }
    Ok(())
}
