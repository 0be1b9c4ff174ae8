//! `replay`: recorded frames through a model, a picture a frame.

use std::path::{Path, PathBuf};

use anyhow::Result;
use image::ExtendedColorType;
use serde::Serialize;

use crate::bundle::Bundle;
use crate::capture;
use crate::detect::Regions;
use crate::display::{Images, Scene, Sink, write_png};
use crate::engine::{Engine, Options};
use crate::fault::Fault;
use crate::field_of_view::Placement;
use crate::files::make_folder;
use crate::frame::Frame;
use crate::latency::{self, Latencies, Stage, StageReport};
use crate::overlay::{Layer, Painter, Style};
use crate::pipeline::{Following, Walk};

/// Runs a model over recorded frames and writes a PNG for each.
///
/// Each frame stands for itself: no temporal gate, and the field of view is looked for anew. Pictures are named like
/// their frames (an image's name without its ending, else frame-000123). With one of --masks and --overlay, or neither
/// (overlay), they lie in DIR; with both, in DIR/masks and DIR/overlay.
#[derive(clap::Args)]
pub struct Arguments {
    /// A folder of images, an image, an MJPEG or Y4M file, `-` for video on standard input, or `synthetic[:seed=7,…]`.
    source: String,
    /// The bundle's folder.
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// Where pictures go; made if need be.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Masks: 0 and 255, at the frame's size.
    #[arg(long)]
    masks: bool,
    /// Frames with outlines.
    #[arg(long)]
    overlay: bool,
    /// The summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Threads that share the rows of each op.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

#[derive(Serialize)]
struct Summary<'a> {
    schema: u32,
    model: &'a str,
    model_version: &'a str,
    frames: u64,
    frames_with_regions: u64,
    regions: u64,
    latency: Vec<StageReport>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let bundle = Bundle::open(&arguments.model)?;
    let options = Options { threads: usize::from(arguments.threads), ..Options::default() };
    let engine = Engine::load(&bundle, &options)?;
    let mut walk = Walk::new(engine, &bundle.manifest, Following::EachFrame)
        .map_err(|error| Fault::data(format!("{}: {error:#}", arguments.model.display())))?;
    let mut source = capture::open(&arguments.source)?;
    let mut writer = Writer::new(arguments)?;

    let mut latencies = Latencies::default();
    let mut frame = Frame::black(1, 1);
    let mut regions = Regions::default();
    let (mut frames, mut with_regions, mut all_regions) = (0, 0, 0);
    loop {
        let begun = std::time::Instant::now();
        if !source.read(&mut frame)? {
            break;
        }
        latencies.record(Stage::Capture, begun.elapsed());
        walk.regions(&frame, &mut latencies, &mut regions)?;
        frames += 1;
        with_regions += u64::from(!regions.list.is_empty());
        all_regions += regions.list.len() as u64;
        if let Some(folder) = &writer.masks {
            walk.mask(&frame, &mut writer.mask)?;
            let path = folder.join(format!("{}.png", source.name()));
            let size = (frame.width_px(), frame.height_px());
            write_png(&path, &writer.mask, size.0, size.1, ExtendedColorType::L8)?;
        }
        if let Some(images) = &mut writer.overlay {
            let begun = std::time::Instant::now();
            let placement = Placement::identity(frame.width_px(), frame.height_px());
            writer.layer.reset(frame.width_px(), frame.height_px());
            writer.painter.outlines(&mut writer.layer, &regions.list, &placement);
            latencies.record(Stage::Draw, begun.elapsed());
            let layer = &writer.layer;
            let (picture, name) = (Some(frame.view()), source.name());
            images.show(&Scene { picture, lease: None, layer, placement, name, captured: begun })?;
        }
    }
    if frames == 0 {
        return Err(Fault::data(format!("{} holds no frames", arguments.source)));
    }
    let summary = Summary {
        schema: 1,
        model: &bundle.manifest.name,
        model_version: &bundle.manifest.model_version,
        frames,
        frames_with_regions: with_regions,
        regions: all_regions,
        latency: latencies.report(),
    };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        say!(
            "{frames} frames, {with_regions} with regions ({all_regions} in all); pictures in {}",
            arguments.out.display()
        );
        super::print(format_args!("{}", latency::table(&summary.latency)))?;
    }
    Ok(())
}

/// Where masks and outlined frames go.
struct Writer {
    masks: Option<PathBuf>,
    overlay: Option<Images>,
    painter: Painter,
    layer: Layer,
    mask: Vec<u8>,
}

impl Writer {
    fn new(arguments: &Arguments) -> Result<Writer> {
        let both = arguments.masks && arguments.overlay;
        let folder = |name: &str| if both { arguments.out.join(name) } else { arguments.out.clone() };
        let masks = arguments.masks.then(|| folder("masks"));
        if let Some(masks) = &masks {
            make_folder(masks)?;
        }
        let overlay = match arguments.overlay || !arguments.masks {
            true => Some(Images::new(Path::new(&folder("overlay")), 1)?),
            false => None,
        };
        Ok(Writer {
            masks,
            overlay,
            painter: Painter::new(Style::default()),
            layer: Layer::default(),
            mask: Vec::new(),
        })
    }
}
