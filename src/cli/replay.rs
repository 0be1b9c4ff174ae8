//! `replay`: recorded frames through a model, a picture a frame.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use image::ExtendedColorType;
use serde::Serialize;

use crate::bundle::Bundle;
use crate::bundle::manifest::Sensitivity;
use crate::capture::{self, DamagedFrame, Source};
use crate::detect::Regions;
use crate::display::{Images, PICTURES, Scene, Sink, write_png};
use crate::engine::{Engine, Options};
use crate::fault::Fault;
use crate::field_of_view::Sequence;
use crate::files::{Claim, Input, OutputFolder, signals};
use crate::frame::Frame;
use crate::geometry::Placement;
use crate::latency::{self, Latencies, Stage, StageReport};
use crate::overlay::{Layer, Painter, Style};
use crate::runtime;
use crate::segment::Segmenter;

/// Runs a model over recorded frames and writes a PNG file for each.
///
/// Each frame is treated by itself: there is no temporal gate, and the field of view is found anew. Files are named after
/// their frames (an image's name without its extension, else frame-000123). With --masks or --overlay, or neither (as
/// --overlay), they are written to DIR; with both, to DIR/masks and DIR/overlay. DIR must not be a folder that is read. Files
/// of an earlier run in DIR are removed first, unless they were changed since.
///
/// A damaged frame is named and left out; the exit code is then 65.
#[derive(clap::Args)]
pub struct Arguments {
    /// A folder of images, an image, an MJPEG or Y4M file, `-` for video on standard input, or `synthetic[:seed=7,…]`.
    source: OsString,
    /// The bundle's folder.
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// Folder to write to; created if it does not exist, readable only by its owner.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write masks: 0 and 255, at the frame's size.
    #[arg(long)]
    masks: bool,
    /// Write frames with outlines.
    #[arg(long)]
    overlay: bool,
    /// Replace files in DIR that this program did not write.
    #[arg(long)]
    force: bool,
    /// Stop at the first damaged frame.
    #[arg(long)]
    strict: bool,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// How readily polyps are marked; bundles without this point are refused.
    #[arg(long, value_enum, default_value_t)]
    sensitivity: Sensitivity,
    /// Number of threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

/// Between two lines about how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// So many damaged frames are named in the summary.
const MOST_NAMED: usize = 20;
/// So many damaged frames are named in the log.
const MOST_LOGGED: u64 = 100;

#[derive(Serialize)]
struct Summary<'a> {
    schema: u32,
    model: &'a str,
    model_version: &'a str,
    /// Those that could be read.
    frames: u64,
    frames_with_regions: u64,
    regions: u64,
    damaged: Damaged,
    latency: Vec<StageReport>,
}

/// The frames that could not be read.
#[derive(Default, Serialize)]
struct Damaged {
    count: u64,
    /// The first of them.
    names: Vec<String>,
}

impl Damaged {
    fn add(&mut self, name: &OsStr, error: &DamagedFrame) {
        self.count += 1;
        let name = readable(name);
        if self.names.len() < MOST_NAMED {
            self.names.push(name.clone());
        }
        match self.count {
            ..=MOST_LOGGED => log::warn!("{name} is left out: {error}"),
            count if count == MOST_LOGGED + 1 => {
                log::warn!("further damaged frames are counted but not named")
            }
            _ => {}
        }
    }

    /// An error (exit 65) if there are any.
    fn check(&self, frames: u64) -> Result<()> {
        let all = frames + self.count;
        match (self.count, self.names.first()) {
            (0, _) | (_, None) => Ok(()),
            (1, Some(name)) => Err(Fault::data(format!("1 of {all} frames is damaged and left out: {name}"))),
            (count, Some(name)) => Err(Fault::data(format!(
                "{count} of {all} frames are damaged and left out; the first of them is {name}"
            ))),
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a verb from its arguments to its report")]
pub fn run(arguments: &Arguments) -> Result<()> {
    signals::end_cleanly()?;
    let bundle = Bundle::open(&arguments.model)?;
    let options = Options { threads: usize::from(arguments.threads), ..Options::default() };
    let engine = Engine::load(&bundle, &options)?;
    let point = bundle.manifest.operating_point(arguments.sensitivity)?;
    let mut segmenter = Segmenter::new(engine, &bundle.manifest, Sequence::Stills)
        .and_then(|segmenter| segmenter.at(&point))
        .map_err(|error| Fault::data(format!("{}: {error:#}", arguments.model.display())))?;
    let mut source = open(&arguments.source)?;
    let mut writer = Writer::new(arguments)?;

    let latencies = Latencies::default();
    let mut frame = Frame::black(1, 1);
    let mut regions = Regions::default();
    let mut damaged = Damaged::default();
    let (mut frames, mut with_regions, mut all_regions) = (0, 0, 0);
    let mut progress = Progress::new(source.expected());
    loop {
        progress.tell(frames + damaged.count);
        let begun = runtime::now();
        match source.read(&mut frame) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => match error.downcast_ref::<DamagedFrame>() {
                Some(wrong) if !arguments.strict => {
                    damaged.add(source.name(), wrong);
                    continue;
                }
                _ => return Err(error),
            },
        }
        latencies.record(Stage::Capture, runtime::since(begun));
        segmenter.regions(&frame, &latencies, &mut regions)?;
        frames += 1;
        with_regions += u64::from(!regions.list.is_empty());
        all_regions += regions.list.len() as u64;
        if let Some(folder) = &writer.masks {
            segmenter.mask_into(&mut writer.mask)?;
            let size = (frame.width_px(), frame.height_px());
            write_png(folder, source.name(), &writer.mask, size.0, size.1, ExtendedColorType::L8)?;
        }
        if let Some(images) = &mut writer.overlay {
            let begun = runtime::now();
            let placement = Placement::identity(frame.width_px(), frame.height_px());
            writer.layer.reset(frame.width_px(), frame.height_px());
            writer.painter.outlines(&mut writer.layer, &regions.list, &placement);
            latencies.record(Stage::Draw, runtime::since(begun));
            let layer = &writer.layer;
            let (picture, name) = (Some(frame.view()), source.name());
            let scene = Scene { picture, lease: None, layer, placement, name, captured: begun };
            images.show(&scene)?;
        }
    }
    if frames == 0 && damaged.count == 0 {
        return Err(Fault::data(format!("{} contains no frames", arguments.source.display())));
    }
    let summary = Summary {
        schema: 1,
        model: &bundle.manifest.name,
        model_version: &bundle.manifest.model_version,
        frames,
        frames_with_regions: with_regions,
        regions: all_regions,
        damaged,
        latency: latencies.report(),
    };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        let left_out = match summary.damaged.count {
            0 => String::new(),
            count => format!("; {count} damaged frames left out"),
        };
        say!(
            "{frames} frames, {with_regions} with regions ({all_regions} in all){left_out}; images in {}",
            arguments.out.display()
        );
        crate::output::print(format_args!("{}", latency::table(&summary.latency)))?;
    }
    summary.damaged.check(frames)
}

/// The text of a name, with `\xFF` for each byte that is no text.
fn readable(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

/// As [`capture::open`], for paths that are not UTF-8 and for video in containers too.
fn open(source: &OsStr) -> Result<Box<dyn Source>> {
    if let Some(video) = capture::replay::video::open(source.as_ref())? {
        return Ok(Box::new(video));
    }
    match source.to_str() {
        Some(source) => capture::open(source),
        None => capture::replay::open(source.as_ref()),
    }
}

/// Tells now and then how far it is.
struct Progress {
    expected: Option<u64>,
    begun: Instant,
    told: Instant,
}

impl Progress {
    fn new(expected: Option<u64>) -> Progress {
        let now = runtime::now();
        Progress { expected, begun: now, told: now }
    }

    fn tell(&mut self, frames: u64) {
        if runtime::since(self.told) < TOLD_EVERY {
            return;
        }
        self.told = runtime::now();
        let rate = frames as f64 / runtime::since(self.begun).as_secs_f64();
        match self.expected.and_then(|expected| expected.checked_sub(frames)) {
            Some(left) if rate > 0.0 => {
                let seconds = (left as f64 / rate).round() as u64;
                let all = frames + left;
                log::info!(
                    "{frames} of about {all} frames, {rate:.1} a second, {}:{:02} min left",
                    seconds / 60,
                    seconds % 60
                );
            }
            _ => log::info!("{frames} frames, {rate:.1} a second"),
        }
    }
}

/// Where masks and outlined frames go.
struct Writer {
    masks: Option<OutputFolder>,
    overlay: Option<Images>,
    painter: Painter,
    layer: Layer,
    mask: Vec<u8>,
}

impl Writer {
    fn new(arguments: &Arguments) -> Result<Writer> {
        let inputs: Vec<_> =
            Input::of_source(&arguments.source).into_iter().chain([Input::Tree(&arguments.model)]).collect();
        let claim =
            |folder, names| Claim { folder, names, what: "replay", inputs: &inputs, force: arguments.force };
        let out = &arguments.out;
        let (masks, overlay) = match (arguments.masks, arguments.overlay) {
            (true, true) => {
                let (masks, overlay) = (out.join("masks"), out.join("overlay"));
                let claims = [claim(out, &[]), claim(&masks, &[PICTURES]), claim(&overlay, &[PICTURES])];
                let mut folders = OutputFolder::claim_all(&claims)?.into_iter().skip(1);
                (folders.next(), folders.next())
            }
            (true, false) => (Some(OutputFolder::claim(&claim(out, &[PICTURES]))?), None),
            (false, _) => (None, Some(OutputFolder::claim(&claim(out, &[PICTURES]))?)),
        };
        Ok(Writer {
            masks,
            overlay: overlay.map(|folder| Images::new(folder, 1)),
            painter: Painter::new(Style::default()),
            layer: Layer::default(),
            mask: Vec::new(),
        })
    }
}
