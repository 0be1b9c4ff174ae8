//! `check`: whether a profile and its bundle would do, without any hardware.

use std::path::PathBuf;

use anyhow::Result;

use crate::board::{Board, DisplayKind};
use crate::bundle::manifest;
use crate::engine::{Engine, Options};
use crate::field_of_view::Sequence;
use crate::runtime;
use crate::segment::Segmenter;
use crate::store;
use crate::track::Rule;

/// Checks a board profile and the bundle that it names: every value and range, every file's digest, that the model
/// loads, and that the masks of its golden frames are exact to the pixel. Needs neither camera nor monitor.
#[derive(clap::Args)]
pub struct Arguments {
    /// The board's profile.
    #[arg(long, value_name = "FILE")]
    board: PathBuf,
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct CheckReport {
    schema: u32,
    board: String,
    camera: String,
    display: String,
    bundle: String,
    model: String,
    model_version: String,
    rollback_index: u64,
    digest: String,
    signed_by: Option<String>,
    kernels: &'static str,
    golden_frames: usize,
    golden_frame_ms: f64,
    /// Name and version of the bundle that takes over when it is hot.
    lite: Option<String>,
    /// How long a region's first outline is held back by the gate, at least, at the camera's rate.
    gate: manifest::Gate,
    gate_delay_ms: Option<f64>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let board = Board::load(&arguments.board)?;
    let profile = &board.profile;
    for doubt in profile.doubts() {
        log::warn!("{doubt}");
    }
    let bundle = store::bundle(&board)?;
    // The profile may be another machine's: its cores need not be here.
    let options = Options { threads: profile.model.threads, ..Options::default() };
    let engine = Engine::load(&bundle, &options)?;
    let kernels = engine.kernels();
    let mut segmenter =
        Segmenter::new(engine, &bundle.manifest, Sequence::Video)?.with_golden(bundle.golden().clone());
    let begun = runtime::now();
    (0..segmenter.golden_frames()).try_for_each(|index| segmenter.check(index))?;
    let golden_ms = runtime::since(begun).as_secs_f64() * 1e3;
    let lite = board.lite().map(|lite| lite_model(&lite)).transpose()?;
    let gate = match (profile.gate.appear, profile.gate.window) {
        (Some(appear), Some(window)) => manifest::Gate { appear, window },
        _ => bundle.manifest.gate,
    };
    let rate = profile.camera.rate_hz;
    let delay = f64::from(Rule::of(gate).added_delay_frames()) * 1e3 / rate;
    let display = &profile.display;
    let report = CheckReport {
        schema: 1,
        board: profile.name.clone(),
        camera: profile.camera.source.clone(),
        display: match display.kind {
            DisplayKind::Kms => format!(
                "{} on {}",
                display.connector.as_deref().unwrap_or("the first monitor"),
                display.card.as_ref().map_or("the first card".into(), |card| card.display().to_string())
            ),
            DisplayKind::Images => format!("images in {}", display.folder.display()),
            DisplayKind::Y4m => "video on standard output".into(),
            DisplayKind::Null => "none".into(),
        },
        bundle: bundle.place().display().to_string(),
        model: bundle.manifest.name.clone(),
        model_version: bundle.manifest.model_version.clone(),
        rollback_index: bundle.manifest.rollback_index,
        digest: bundle.digest.clone(),
        signed_by: bundle.signer.as_ref().map(ToString::to_string),
        kernels,
        golden_frames: segmenter.golden_frames(),
        golden_frame_ms: golden_ms / segmenter.golden_frames().max(1) as f64,
        lite,
        gate,
        gate_delay_ms: (rate > 0.0).then_some(delay),
    };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    tell(&report, &board)
}

fn tell(report: &CheckReport, board: &Board) -> Result<()> {
    let (gate, rate, kernels) = (report.gate, board.profile.camera.rate_hz, report.kernels);
    say!("profile  {}: valid", report.board);
    say!("camera   {}", report.camera);
    say!("display  {}", report.display);
    say!("model    {} {} ({}), kernels {}", report.model, report.model_version, report.bundle, kernels);
    if let Some(signer) = &report.signed_by {
        say!("signed   with {signer}");
    }
    say!("golden   all {} masks are exact, {:.1} ms each", report.golden_frames, report.golden_frame_ms);
    if let Some(lite) = &report.lite {
        let heat = &board.profile.heat;
        say!("hot      {lite} from {} °C on, no assistance from {} °C on", heat.lite_at_c, heat.off_at_c);
    }
    let added = report.gate_delay_ms.map(|ms| format!("; adds {ms:.0} ms at {rate} frames a second"));
    let added = added.unwrap_or_default();
    say!("gate     a region is shown once found in {} of {} frames{added}", gate.appear, gate.window);
    Ok(())
}

/// Checks the bundle that takes over when it is hot, as the profile's own is checked; its name and version.
fn lite_model(board: &Board) -> Result<String> {
    let bundle = store::bundle(board)?;
    let options = Options { threads: board.profile.model.threads, ..Options::default() };
    let point = bundle.manifest.operating_point(board.profile.model.sensitivity)?;
    let mut segmenter = Segmenter::new(Engine::load(&bundle, &options)?, &bundle.manifest, Sequence::Video)?
        .at(&point)?
        .with_golden(bundle.golden().clone());
    (0..segmenter.golden_frames()).try_for_each(|index| segmenter.check(index))?;
    Ok(format!("{} {} ({})", bundle.manifest.name, bundle.manifest.model_version, bundle.place().display()))
}
