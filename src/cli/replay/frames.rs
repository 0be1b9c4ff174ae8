//! Each frame by itself.

use anyhow::Result;
use serde::Serialize;

use super::arguments::Arguments;
use super::damaged::Damaged;
use super::lines::{Found, Head, Line, readable};
use super::opened::Opened;
use super::outputs::Outputs;
use super::progress::Progress;
use crate::capture::DamagedFrame;
use crate::detect::Regions;
use crate::display::{Scene, Sink};
use crate::fault::Fault;
use crate::frame::Frame;
use crate::geometry::Placement;
use crate::latency::{self, Latencies, Stage, StageReport};
use crate::overlay::{Layer, Painter};
use crate::runtime;

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

#[expect(clippy::too_many_lines, reason = "a verb from its arguments to its report")]
pub(super) fn run(arguments: &Arguments, opened: Opened) -> Result<()> {
    let head = Head::of(&opened, None);
    let Opened { mut segmenter, mut source, style, bundle, .. } = opened;
    let mut outputs = Outputs::claim(arguments, &head)?;
    let (mut painter, mut layer, mut mask) = (Painter::new(style), Layer::default(), Vec::new());

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
        let size = (frame.width_px(), frame.height_px());
        outputs.results.add(&Found {
            frame: frame.number.0,
            name: &readable(source.name()),
            width_px: size.0,
            height_px: size.1,
            time_s: None,
            state: None,
            regions: regions.list.iter().map(Line::of).collect(),
            result: None,
        })?;
        if outputs.masks.is_some() {
            segmenter.mask_into(&mut mask)?;
            outputs.mask(source.name(), size, &mask)?;
        }
        if let Some(images) = &mut outputs.overlay {
            let begun = runtime::now();
            let placement = Placement::identity(size.0, size.1);
            layer.reset(size.0, size.1);
            painter.marks(&mut layer, &regions.list, &[], &segmenter.mapping().crop, &placement);
            latencies.record(Stage::Draw, runtime::since(begun));
            let (picture, name) = (Some(frame.view()), source.name());
            let scene = Scene { picture, lease: None, layer: &layer, placement, name, captured: begun };
            images.show(&scene)?;
        }
    }
    if frames == 0 && damaged.count == 0 {
        return Err(Fault::data(format!("{} contains no frames", arguments.source.display())));
    }
    outputs.results.finish()?;
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
            "{frames} frames, {with_regions} with regions ({all_regions} in all){left_out}; results in {}",
            arguments.out.display()
        );
        crate::output::print(format_args!("{}", latency::table(&summary.latency)))?;
    }
    summary.damaged.check(frames)
}
