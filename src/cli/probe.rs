//! `probe`: what is plugged in, and what it can.

use anyhow::Result;

use super::heat;
use crate::capture::v4l2::{self, CameraFacts};
use crate::display::kms::{self, CardFacts};
use crate::health::{self, Machine};

/// Lists cameras with their formats, monitors and planes, CPU features, temperatures and throttle flags, and which of those are
/// missing. Does not disturb programs that use them.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct ProbeReport {
    schema: u32,
    machine: Machine,
    cameras: Vec<CameraFacts>,
    cards: Vec<CardFacts>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let report =
        ProbeReport { schema: 1, machine: health::machine(), cameras: v4l2::probe(), cards: kms::cards() };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let machine = &report.machine;
    say!(
        "machine {}, Linux {}, {} cores",
        machine.board.as_deref().unwrap_or(std::env::consts::ARCH),
        machine.kernel,
        machine.cores
    );
    say!("  kernel sets: {}", machine.kernel_sets.join(", "));
    if let Some(governor) = &machine.governor {
        say!("  CPU governor: {governor}");
    }
    heat::tell(machine)?;
    for camera in &report.cameras {
        one_camera(camera)?;
    }
    if report.cameras.is_empty() {
        say!("no camera: there is no /dev/video*");
    }
    for card in &report.cards {
        one_card(card)?;
    }
    if report.cards.is_empty() {
        say!("no display: there is no /dev/dri/card*");
    }
    Ok(())
}

fn one_camera(camera: &CameraFacts) -> Result<()> {
    say!("camera {}: {} ({}), {:?}", camera.path.display(), camera.card, camera.driver, camera.kind);
    for name in &camera.stable_names {
        say!("  {}", name.display());
    }
    if let Some(error) = &camera.error {
        say!("  {error}");
    }
    for input in &camera.inputs {
        let mark = if input.selected { '*' } else { ' ' };
        say!("  input {}{mark} {}: {}", input.index, input.name, input.status);
    }
    if camera.has_edid == Some(false) {
        say!("  no EDID: a source finds no monitor here, and most send nothing then");
    }
    if let Some(receives) = &camera.receives {
        say!("  receives {receives}");
    }
    for format in &camera.formats {
        for size in &format.sizes {
            let rates: Vec<_> = size.rates_hz.iter().map(|rate| format!("{rate:.4}")).collect();
            let rates: Vec<_> =
                rates.iter().map(|rate| rate.trim_end_matches('0').trim_end_matches('.')).collect();
            say!("  {} {}: {}", format.name, size.size, rates.join(", "));
        }
    }
    Ok(())
}

fn one_card(card: &CardFacts) -> Result<()> {
    let atomic = if card.is_atomic { "atomic" } else { "not atomic: cannot be used" };
    say!("display {}: {}, {atomic}", card.path.display(), card.driver);
    if let Some(trouble) = &card.trouble {
        say!("  {trouble}");
    }
    for connector in &card.connectors {
        let modes: Vec<_> = connector
            .modes
            .iter()
            .map(|mode| if mode.preferred { format!("{}*", mode.name) } else { mode.name.clone() })
            .collect();
        say!("  {} {:?} {}", connector.name, connector.status, modes.join(" "));
    }
    for plane in &card.planes {
        say!("  plane {} {:?}, CRTCs {:?}: {}", plane.id, plane.kind, plane.crtcs, plane.formats.join(" "));
    }
    Ok(())
}
