//! Bundles installed on a cart: putting them there, and going back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use jiff::Timestamp;

use crate::audit::{self, Event};
use crate::board::{Board, CART_PROFILE, INSTALLED};
use crate::bundle::Bundle;
use crate::cart;
use crate::detect::Regions;
use crate::engine::Engine;
use crate::fault::{Exit, Fault, one_line};
use crate::latency::Latencies;
use crate::runtime;
use crate::segment::Segmenter;
use crate::store::{self, Refused, Slot, Store, Trial};

/// Frames that are timed.
const TIMED_FRAMES: usize = 12;

#[derive(Subcommand)]
pub enum Verb {
    /// Installs a bundle: verifies it, tests it on this machine, and puts it on trial. The one in use stays beside it, and returns
    /// by itself if the new one fails.
    Install {
        /// The bundle: a packed file, or a folder.
        bundle: PathBuf,
        #[command(flatten)]
        cart: Cart,
    },
    /// Lists the installed bundles, and which of them runs.
    List {
        #[command(flatten)]
        cart: Cart,
        /// Print JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Goes back: from the bundle on trial to the good one, or from the good one to the one before.
    Rollback {
        #[command(flatten)]
        cart: Cart,
    },
    /// Ends the trial of a bundle before its time: it becomes the good one.
    MarkGood {
        #[command(flatten)]
        cart: Cart,
    },
    /// Removes installed bundles that are no longer used, and what an interrupted installation has left.
    Prune {
        #[command(flatten)]
        cart: Cart,
    },
}

#[derive(clap::Args)]
pub struct Cart {
    /// The cart's profile: who may have signed a bundle, where bundles are installed, and how the model is run.
    #[arg(long, value_name = "FILE", default_value = CART_PROFILE)]
    board: PathBuf,
}

impl Cart {
    fn load(&self) -> Result<(Board, Store)> {
        let board = Board::load(&self.board)?;
        let store = Store::at(&board.profile.store.folder);
        Ok((board, store))
    }
}

pub fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Install { bundle, cart } => install(bundle, cart),
        Verb::List { cart, json } => list(cart, *json),
        Verb::Rollback { cart } => roll_back(cart),
        Verb::MarkGood { cart } => mark_good(cart),
        Verb::Prune { cart } => prune(cart),
    }
}

fn install(path: &Path, cart: &Cart) -> Result<()> {
    let (board, store) = cart.load()?;
    try_install(path, cart, &board, &store).inspect_err(|error| {
        let event = Event::InstallRefused { path: path.display().to_string(), why: one_line(error) };
        note(&board, event);
    })
}

fn note(board: &Board, event: Event) {
    audit::note(board.profile.pipeline.audit_folder.as_deref(), event);
}

fn try_install(path: &Path, cart: &Cart, board: &Board, store: &Store) -> Result<()> {
    let trust = store::trust(board)?;
    let source = Bundle::open_trusted(path, &trust)?;
    let what = format!("{} {}", source.manifest.name, source.manifest.model_version);
    if let Some(slots) = store.slots()? {
        if slots.is_on_trial(&source.digest) {
            say!("{what}: it is installed already, and on trial");
            return Ok(());
        }
        if slots.trial.is_none() && slots.good.as_ref().is_some_and(|good| good.digest == source.digest) {
            say!("{what}: it is installed already, and the good one");
            return Ok(());
        }
    }
    let installing = store.begin()?;
    let copy = installing.write(|file| source.pack(file))?;
    drop(source);
    // What is tested is the copy, as the cart is going to read it.
    let tested = Bundle::open_trusted(&copy, &trust).and_then(|bundle| {
        let tested = test(board, &bundle)?;
        Ok((bundle, tested))
    });
    let (bundle, Tested { frames, time, limit }) = match tested {
        Ok(tested) => tested,
        Err(error) => {
            if let Err(error) = installing.abandon() {
                log::warn!("{}", one_line(&error));
            }
            return Err(error);
        }
    };
    let slot = installing.keep(&bundle)?;
    note(board, Event::Installed { bundle: what.clone(), digest: slot.digest.clone() });
    let limit = limit.map_or(String::new(), |limit| format!(", {:.1} ms allowed", milliseconds(limit)));
    say!("{what}: installed as {}, digest {}", store.path(&slot).display(), slot.digest);
    say!("tested    {frames} golden frames exact; a frame takes {:.1} ms{limit}", milliseconds(time));
    say!("trial     it must assist for {} minutes without degradation", board.profile.store.trial_minutes);
    if board.bundle().is_some() {
        say!(
            "profile   {}: model.bundle names another bundle; set it to {INSTALLED:?} to use what is installed",
            cart.board.display()
        );
    }
    say!("next      sudo systemctl reload polyp-edge takes it over now; else the next start does");
    Ok(())
}

struct Tested {
    frames: usize,
    time: Duration,
    limit: Option<Duration>,
}

/// That all golden frames are exact, and that a frame takes no longer than the profile has time for. A quarter of the frames must
/// be in time: the program that assists meanwhile may take the cores from the others.
fn test(board: &Board, bundle: &Bundle) -> Result<Tested> {
    let profile = &board.profile;
    let mut segmenter: Segmenter<Engine> = cart::segmenter(profile, bundle)?;
    segmenter.enter_thread();
    (0..segmenter.golden_frames()).try_for_each(|index| segmenter.check(index))?;
    let frames = bundle.golden_frames()?;
    let (latencies, mut regions) = (Latencies::default(), Regions::default());
    let mut times = Vec::new();
    for golden in frames.iter().cycle().take(TIMED_FRAMES) {
        let begun = runtime::now();
        segmenter.regions(&golden.frame, &latencies, &mut regions)?;
        times.push(runtime::since(begun));
    }
    let frames = frames.len();
    times.sort();
    let time = times.get(times.len() / 4).copied().unwrap_or_default();
    let limit = limit(board);
    match limit {
        Some(limit) if time > limit => Err(Fault::new(
            Exit::Assertion,
            format!(
                "{} {}: a frame takes {:.1} ms on this machine, and the profile has time for {:.1} ms: use a smaller model, or raise \
                 pipeline.max_age_ms",
                bundle.manifest.name,
                bundle.manifest.model_version,
                milliseconds(time),
                milliseconds(limit)
            ),
        )),
        _ => Ok(Tested { frames, time, limit }),
    }
}

/// A result must be younger than the age limit when the next frame is shown.
fn limit(board: &Board) -> Option<Duration> {
    let profile = &board.profile;
    if profile.pipeline.lock_step || profile.camera.rate_hz <= 0.0 {
        return None;
    }
    let interval = Duration::try_from_secs_f64(1.0 / profile.camera.rate_hz).ok()?;
    Some(Duration::from_millis(profile.pipeline.max_age_ms).saturating_sub(interval))
}

#[derive(serde::Serialize)]
struct ListReport<'a> {
    schema: u32,
    folder: &'a Path,
    /// Of those below, the one that a program that starts now would try first.
    runs: Option<&'a str>,
    lowest_rollback_index: u64,
    good: Option<&'a Slot>,
    trial: Option<&'a Trial>,
    trial_minutes: f64,
    previous: Option<&'a Slot>,
    refused: Option<&'a Refused>,
}

fn list(cart: &Cart, json: bool) -> Result<()> {
    let (board, store) = cart.load()?;
    let slots = store.slots()?.unwrap_or_default();
    let profile = &board.profile.store;
    let report = ListReport {
        schema: 1,
        folder: &profile.folder,
        runs: slots.in_order().next().map(|slot| slot.digest.as_str()),
        lowest_rollback_index: slots.lowest_rollback_index,
        good: slots.good.as_ref(),
        trial: slots.trial.as_ref(),
        trial_minutes: profile.trial_minutes,
        previous: slots.previous.as_ref(),
        refused: slots.refused.as_ref(),
    };
    if json {
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    say!("in {}; lowest rollback index {}", report.folder.display(), report.lowest_rollback_index);
    if let Some(Trial { slot, starts, assisted_s }) = report.trial {
        let minutes = *assisted_s as f64 / 60.0;
        say!(
            "trial     {}; has assisted for {minutes:.1} of {} minutes; starts not survived yet: {starts}",
            text(slot),
            report.trial_minutes
        );
    }
    for (name, slot) in [("good", report.good), ("previous", report.previous)] {
        if let Some(slot) = slot {
            say!("{name:<9} {}", text(slot));
        }
    }
    if let Some(Refused { slot, why, unix_s }) = report.refused {
        say!("refused   {}, {}: {why}", text(slot), day(*unix_s));
    }
    if report.runs.is_none() {
        say!("none is installed; polyp-edge bundle install puts one there");
    }
    Ok(())
}

fn text(slot: &Slot) -> String {
    let digest = slot.digest.get(..12).unwrap_or(&slot.digest);
    format!(
        "{slot}, digest {digest}…, rollback index {}, installed {}",
        slot.rollback_index,
        day(slot.installed_unix_s)
    )
}

/// A day and a time, UTC.
fn day(unix_s: u64) -> String {
    let time = i64::try_from(unix_s).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "at an unknown time".into(), |time| time.to_string())
}

fn roll_back(cart: &Cart) -> Result<()> {
    let (board, store) = cart.load()?;
    let slot = store.roll_back(|slot| may_run(&board, &store, slot))?;
    note(&board, Event::RolledBack { bundle: slot.to_string(), digest: slot.digest.clone() });
    say!(
        "{slot} is the one to run; sudo systemctl reload polyp-edge takes it over now, else the next start does"
    );
    Ok(())
}

/// That a bundle which is to run can: its file may be damaged, its key removed.
fn may_run(board: &Board, store: &Store, slot: &Slot) -> Result<()> {
    let opened = store.open(slot, &store::trust(board)?);
    opened.map(drop).with_context(|| format!("{slot} cannot run on this cart, so nothing is changed"))
}

fn mark_good(cart: &Cart) -> Result<()> {
    let (board, store) = cart.load()?;
    match store.mark_good(|slot| may_run(&board, &store, slot))? {
        Some(slot) => {
            note(&board, Event::TrialPassed { bundle: slot.to_string(), digest: slot.digest.clone() });
            say!("{slot} is the good one now");
        }
        None => return Err(Fault::new(Exit::Assertion, "no bundle is on trial")),
    }
    Ok(())
}

fn prune(cart: &Cart) -> Result<()> {
    let (_, store) = cart.load()?;
    let removed = if store.slots()?.is_some() { store.prune()? } else { Vec::new() };
    for name in &removed {
        say!("removed {name}");
    }
    say!("{} bundles removed", removed.len());
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
