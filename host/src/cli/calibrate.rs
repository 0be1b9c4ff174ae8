//! `polyp-host calibrate --graph FILE --out DIR`: ranges, bias corrections and decision rules from held-back frames.

use std::path::PathBuf;

use polyp_edge::bundle::manifest::Sensitivity;

use crate::calibrate::decision::Wishes;
use crate::calibrate::{Ranges, Request, calibrate};
use crate::parallel::default_threads;

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
    /// Use all frames of the lists instead of the part that training holds back: the lists contain held-back frames only.
    #[arg(long)]
    whole_lists: bool,
    /// Lists of frames that training never saw, with polyps and without: all of them help to choose decision rules.
    #[arg(long = "choosing", value_name = "LIST")]
    choosing: Vec<PathBuf>,
    /// Data sets whose masks machines made: of their frames only counts whether anything is found.
    #[arg(long = "machine-masks", value_name = "SET")]
    machine_masks: Vec<String>,
    /// Folder to write the calibration to.
    #[arg(long)]
    out: PathBuf,
    /// Frames for ranges and bias correction, a quarter of them without polyps.
    #[arg(long, default_value_t = 96)]
    frames: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Observer: min-max, squared-error, entropy or percentile-SHARE; all are tried if not given.
    #[arg(long, conflicts_with = "ranges")]
    observer: Option<String>,
    /// Use these ranges, which training for int8 wrote, and choose decision rules only.
    #[arg(long, value_name = "FILE")]
    ranges: Option<PathBuf>,
    /// Number of calibration frames with polyps on which the cost of quantising each node alone is measured; 0 for none.
    #[arg(long, default_value_t = 16)]
    sensitivity_frames: usize,
    /// The largest share of held-back polyp-free frames, and of the one-second videos made of them, that may show a region.
    #[arg(long, default_value_t = 0.12)]
    negative_share: f64,
    /// The largest share of held-back frames with polyps that may be missed; rules that miss more are not chosen, whatever the
    /// false alarms.
    #[arg(long, default_value_t = 0.1)]
    missed_share: f64,
    /// As --negative-share, for the bundle's sensitivity `quiet`; a quarter of --negative-share if not given.
    #[arg(long)]
    quiet_share: Option<f64>,
    /// As --negative-share, for its sensitivity `watchful`; three times --negative-share if not given.
    #[arg(long)]
    watchful_share: Option<f64>,
    /// Number of frames with polyps, and at most twice as many without, of each of which a one-second video is made to choose
    /// the temporal gate.
    #[arg(long, default_value_t = 64)]
    gate_frames: usize,
    /// Use this threshold instead of trying several.
    #[arg(long)]
    threshold: Option<f32>,
    #[arg(long)]
    threads: Option<usize>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let ranges = match (arguments.ranges, &arguments.observer) {
        (Some(path), _) => Ranges::Trained(path),
        (None, Some(name)) => Ranges::By(name.parse()?),
        (None, None) => Ranges::Best,
    };
    let request = Request {
        graph: arguments.graph,
        lists: arguments.lists,
        negatives: arguments.negatives,
        whole_lists: arguments.whole_lists,
        choosing: arguments.choosing,
        machine_masks: arguments.machine_masks,
        frames: arguments.frames,
        seed: arguments.seed,
        ranges,
        sensitivity_frames: arguments.sensitivity_frames,
        wishes: Wishes {
            negative_share: arguments.negative_share,
            missed_share: arguments.missed_share,
            threshold: arguments.threshold,
        },
        points: [
            (Sensitivity::Quiet, arguments.quiet_share.unwrap_or(arguments.negative_share / 4.0)),
            (Sensitivity::Watchful, arguments.watchful_share.unwrap_or(3.0 * arguments.negative_share)),
        ]
        .into(),
        gate_frames: arguments.gate_frames,
        threads: arguments.threads.unwrap_or_else(default_threads).max(1),
    };
    let chosen = calibrate(&request, &arguments.out)?;
    let (decision, gate) = (&chosen.decision, &chosen.gate);
    println!(
        "{}: {}; threshold {}, smallest region {}, lowest peak {}: held-back Dice {:.3}, false alarms {:.1} %, \
         on cut-outs {:.1} %; shown if seen in {} of {} frames, {:.1} frames late; {:.1} false alarms a minute of polyp-free video",
        arguments.out.display(),
        chosen.name,
        decision.threshold,
        decision.min_region_share,
        decision.min_peak,
        decision.dice,
        100.0 * decision.negative_share,
        100.0 * decision.cut_out_share,
        gate.appear,
        gate.window,
        gate.delay_frames,
        gate.alarms_a_minute
    );
    Ok(())
}
