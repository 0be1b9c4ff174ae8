//! A monitor by the kernel's mode setting: headless, no compositor.
//!
//! | module | job |
//! |---|---|
//! | [`gpu`] | what is needed of a card, as a trait; [`card`] is the real one, with its `events` |
//! | [`facts`] | which cards there are, and who holds one |
//! | `choose` | card, connector, mode, planes |
//! | `request`, `outlet` | properties of what feeds a connector; atomic commits |
//! | `buffers`, `draw` | framebuffers, and pictures into them |
//! | `content` | what lies on the planes at once |
//! | `surface` | a mode with its buffers: scenes drawn, committed, flipped |
//! | `sink` | scenes in, flips out |
//!
//! Two ways lead to the monitor. *Planes*: the video on the primary plane, if possible straight from the camera's
//! memory, and the layer on a plane above it. *Blend*: the layer blended into the video in cached memory. Which one is
//! possible, the driver says before anything is shown; the picture's bytes are the same unless hardware scales or
//! converts it.

mod buffers;
#[expect(unsafe_code, reason = "buffers mapped from the kernel, and its calls")]
pub mod card;
mod choose;
mod composition;
mod content;
mod draw;
#[expect(unsafe_code, reason = "the monotonic clock")]
mod events;
pub mod facts;
pub mod gpu;
mod objects;
mod outlet;
mod request;
mod sink;
mod surface;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

pub use card::Card;
pub use choose::ModeWish;
pub use composition::Composition;
pub(crate) use facts::holders;
pub use facts::{CardFacts, cards};

use self::choose::is_lit;
use self::draw::Brush;
use self::gpu::{Connector, Failure, Gpu, Mode, Saved};
use self::outlet::{Outlet, Reserved};
use self::surface::Surface;
use super::Shown;
use crate::call::CallError;
use crate::fault::{Exit, Fault};

/// How often monitors are looked for, and what failed is tried again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After this many tries in a row, ten seconds, it is tried more rarely, and the log says so.
const MANY_TRIES: u32 = 20;
/// How often then.
const LOOK_RARELY: Duration = Duration::from_secs(5);

/// What is asked of the display.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `/dev/dri/card1` or a link to it; none: the first that has a monitor, or connectors at all.
    pub card: Option<PathBuf>,
    /// `HDMI-A-1`; none: the first with a monitor.
    pub connector: Option<String>,
    /// Best first; then what the monitor prefers.
    pub modes: Vec<ModeWish>,
    /// How outlines get over the picture.
    pub composition: Composition,
    /// A picture smaller than the mode fills it.
    pub enlarge: bool,
    /// The connector of a second monitor; [`Sink::take_second`](super::Sink::take_second) gives its sink.
    pub second: Option<String>,
}

/// A monitor that is there.
struct Monitor {
    connector: Connector,
    outlet: Outlet,
}

/// Shows scenes on a monitor, whenever there is one.
pub struct Kms<G: Gpu> {
    gpu: G,
    wanted: Wanted,
    monitor: Option<Monitor>,
    /// The picture's size, as last asked for.
    picture: Option<(usize, usize)>,
    /// What is to be shown in; the surface follows.
    mode: Option<Mode>,
    /// Modes that the driver does not take.
    refused: Vec<Mode>,
    surface: Option<Surface<G::Memory>>,
    /// Shown until the surface is.
    retired: Option<Surface<G::Memory>>,
    /// What a second monitor has, and its display until somebody takes it.
    reserved: Reserved,
    second: Option<Box<Kms<G>>>,
    brush: Brush,
    /// What each CRTC in use showed before.
    saved: Vec<Saved>,
    is_master: bool,
    dark: Option<String>,
    /// What was said last about why it is dark.
    said: String,
    /// That the surface is lit has been said.
    is_announced: bool,
    next_look: Instant,
    /// Tries in a row that failed.
    tries: u32,
}

/// Opens the card that is wanted. No monitor is no error. Errors (exit 69): no card, no access, no atomic mode setting,
/// another program is the card's master, no connector of that name.
pub fn open(wanted: &Wanted) -> Result<Kms<Card>> {
    Kms::with(Card::choose(wanted.card.as_deref(), wanted.connector.as_deref())?, wanted)
}

/// Whether a display could be had as it is wanted, found out without taking the card from whoever has it.
///
/// # Errors
/// As with [`open`], but for another program that is the card's master.
pub fn examine(wanted: &Wanted) -> Result<()> {
    let mut card = Card::choose(wanted.card.as_deref(), wanted.connector.as_deref())?;
    check_atomic(&mut card)?;
    check_name(&mut card, wanted.connector.as_deref())?;
    check_name(&mut card, wanted.second.as_deref())
}

fn fault(message: String) -> anyhow::Error {
    Fault::new(Exit::Device, message)
}

fn check_atomic(gpu: &mut impl Gpu) -> Result<()> {
    let outcome = gpu.enable_atomic();
    outcome.map_err(|error| {
        fault(format!(
            "{} ({}) does not support atomic mode setting: {error}",
            gpu.path().display(),
            gpu.driver()
        ))
    })
}

/// That the connector asked for exists.
fn check_name(gpu: &mut impl Gpu, wanted: Option<&str>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let mut names = Vec::new();
    for id in gpu.connectors().map_err(|error| broken(gpu, &error))? {
        // Connectors of docks come and go.
        if let Ok(connector) = gpu.connector(id, false) {
            names.push(connector.name);
        }
    }
    if names.iter().any(|name| name == wanted) {
        Ok(())
    } else {
        let path = gpu.path().display();
        Err(fault(format!("no connector {wanted} on {path}: it has {}", names.join(", "))))
    }
}

fn broken(gpu: &impl Gpu, error: &dyn Display) -> anyhow::Error {
    fault(format!("{} ({}) reports an error: {error}", gpu.path().display(), gpu.driver()))
}

impl<G: Gpu> Kms<G> {
    /// On a card that is open. Errors as with [`open`].
    pub fn with(mut gpu: G, wanted: &Wanted) -> Result<Kms<G>> {
        check_atomic(&mut gpu)?;
        gpu.acquire_master().map_err(|error| not_master(gpu.path(), &error))?;
        let next_look = gpu.now();
        let mut kms = Kms {
            gpu,
            wanted: wanted.clone(),
            monitor: None,
            picture: None,
            mode: None,
            refused: Vec::new(),
            surface: None,
            retired: None,
            reserved: Reserved::default(),
            second: None,
            brush: Brush::default(),
            saved: Vec::new(),
            is_master: true,
            dark: None,
            said: String::new(),
            is_announced: false,
            next_look,
            tries: 0,
        };
        check_name(&mut kms.gpu, wanted.connector.as_deref())?;
        if let Some(second) = &wanted.second
            && let Err(why) = kms.open_second(second)
        {
            // The first one's picture matters more.
            log::warn!("there is no picture on a second monitor at {second}: {why}");
        }
        kms.look()?;
        Ok(kms)
    }

    /// Sets aside what a second monitor needs, whether or not it is there, and opens its display. An error in words.
    fn open_second(&mut self, second: &str) -> std::result::Result<(), String> {
        let first = self.wanted.connector.as_deref().unwrap_or_default().to_owned();
        let mut found: [Option<Connector>; 2] = [None, None];
        for id in self.gpu.connectors().map_err(|error| error.to_string())? {
            let Ok(connector) = self.gpu.connector(id, false) else { continue };
            for (found, wanted) in found.iter_mut().zip([first.as_str(), second]) {
                if connector.name == wanted {
                    *found = Some(connector.clone());
                }
            }
        }
        let [Some(first), Some(second)] = found else {
            return Err(format!("{} has no such connector", name(self.gpu.path())));
        };
        let reserved = Reserved::find(&mut self.gpu, &first, &second).map_err(|error| error.to_string())?;
        let gpu = self.gpu.lease(&reserved.objects()).map_err(|error| error.to_string())?;
        let wanted = Wanted {
            connector: Some(second.name),
            composition: Composition::Blend,
            second: None,
            ..self.wanted.clone()
        };
        // What was handed out is not ours, whatever comes of it.
        self.reserved = reserved;
        let opened = Kms::with(gpu, &wanted).map_err(|error| crate::fault::one_line(&error))?;
        self.second = Some(Box::new(opened));
        Ok(())
    }

    /// Twice a second: is this program still master, is the monitor still there, is there one now?
    fn look(&mut self) -> Result<()> {
        let now = self.gpu.now();
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + LOOK_EVERY;
        if !self.is_master {
            match self.gpu.acquire_master() {
                Ok(()) => self.is_master = true,
                Err(error) if Failure::of(&error) == Failure::Gone => return Err(broken(&self.gpu, &error)),
                Err(_) => return Ok(()),
            }
            // Whoever was master has left other things on the planes.
            if let Some(surface) = &mut self.surface {
                surface.unlight();
            }
            self.brighten();
        }
        if let Some(monitor) = &self.monitor {
            match self.gpu.status(&monitor.connector) {
                Ok(status) if is_lit(status, self.wanted.connector.is_some()) => {}
                Err(error) if Failure::of(&error) == Failure::Busy => {}
                Err(error) if Failure::of(&error) == Failure::Gone => return Err(broken(&self.gpu, &error)),
                _ => self.unplugged(),
            }
        }
        if self.monitor.is_none() {
            match self.find_monitor() {
                Ok(true) => self.brighten(),
                Ok(false) => {
                    let socket = self.wanted.connector.as_deref().unwrap_or("any connector");
                    self.darken(format!("no monitor at {socket} of {}", name(self.gpu.path())));
                }
                Err(error) if error.is_gone() => return Err(broken(&self.gpu, &error)),
                Err(error) => self.trouble("has no usable plane or CRTC for this monitor", &error),
            }
        }
        Ok(())
    }

    /// Looks for a monitor; whether there is one.
    fn find_monitor(&mut self) -> request::Result<bool> {
        let by_name = self.wanted.connector.is_some();
        for id in self.gpu.connectors()? {
            let Ok(connector) = self.gpu.connector(id, false) else { continue };
            if self.wanted.connector.as_ref().is_some_and(|wanted| *wanted != connector.name)
                || !is_lit(connector.status, by_name)
            {
                continue;
            }
            // What it knows of a monitor that has just come is old.
            let connector = self.gpu.connector(id, true)?;
            if connector.modes.is_empty() || !is_lit(connector.status, by_name) {
                continue;
            }
            let outlet = Outlet::find(&mut self.gpu, &connector, &self.reserved)?;
            if !self.saved.iter().any(|saved| saved.crtc == outlet.crtc.id) {
                match self.gpu.save(outlet.crtc.id) {
                    Ok(saved) => self.saved.push(saved),
                    Err(error) => {
                        log::info!("what the monitor showed before will not be restored at the end: {error}")
                    }
                }
            }
            self.monitor = Some(Monitor { connector, outlet });
            self.refused.clear();
            self.choose_mode();
            return Ok(self.mode.is_some());
        }
        Ok(false)
    }

    fn choose_mode(&mut self) {
        let modes = self.monitor.as_ref().map_or(&[][..], |monitor| &monitor.connector.modes);
        let mut modes = choose::modes(&self.wanted.modes, modes, self.picture).into_iter();
        self.mode = modes.find(|mode| !self.refused.contains(mode));
    }

    fn unplugged(&mut self) {
        self.tear_down();
        self.tries = 0;
    }

    /// Gives up all that is shown; the monitor is looked for anew.
    fn tear_down(&mut self) {
        if self.surface.is_some() || self.retired.is_some() {
            self.try_to_be_master();
        }
        for surface in [self.retired.take(), self.surface.take()].into_iter().flatten() {
            let mut surface = surface;
            if let Some(monitor) = &self.monitor
                && let Err(error) = surface.darken(&mut self.gpu, &monitor.outlet)
            {
                log::debug!("cannot switch off {}: {error}", monitor.connector.name);
            }
            surface.destroy(&mut self.gpu);
        }
        self.monitor = None;
        self.mode = None;
    }

    /// Becomes master if the card is free: another program may have taken it over and left it since, without any call that told
    /// of it. Whether this program is master as far as it knows.
    fn try_to_be_master(&mut self) -> bool {
        self.is_master |= self.gpu.acquire_master().is_ok();
        self.is_master
    }

    /// Something went wrong that may mend itself: starts anew in half a second, after many tries in five. Never gives up.
    fn trouble(&mut self, what: &str, error: &dyn Display) {
        if self.surface.as_ref().is_some_and(Surface::has_flipped) {
            self.tries = 0;
        }
        self.tries += 1;
        let connector = self.monitor.as_ref().map(|monitor| monitor.connector.name.clone());
        let connector = connector.or_else(|| self.wanted.connector.clone()).unwrap_or_default();
        self.tear_down();
        let reason = format!("{connector} on {} {what}: {error}", name(self.gpu.path()));
        let reason = reason.trim_start().to_owned();
        let is_hopeless = self.tries >= MANY_TRIES;
        if self.tries == MANY_TRIES {
            log::error!(
                "{reason} ({} times in a row); from now on, it is tried every {} seconds",
                self.tries,
                LOOK_RARELY.as_secs()
            );
        }
        self.darken(reason);
        self.next_look = self.gpu.now() + if is_hopeless { LOOK_RARELY } else { LOOK_EVERY };
    }

    fn darken(&mut self, reason: String) {
        if self.said != reason {
            log::warn!("nothing is shown: {reason}");
            self.said.clone_from(&reason);
        }
        self.dark = Some(reason);
        self.is_announced = false;
    }

    fn brighten(&mut self) {
        if self.monitor.is_some() {
            self.dark = None;
        }
    }

    /// A surface for the mode; whether it is there.
    fn surface_for(&mut self, mode: Mode) -> Result<bool> {
        let Some(monitor) = &self.monitor else { return Ok(false) };
        if self.surface.as_ref().is_some_and(|surface| surface.mode == mode) {
            return Ok(true);
        }
        match Surface::new(&mut self.gpu, &monitor.outlet, mode, self.wanted.composition) {
            Ok(surface) => {
                self.is_announced = false;
                if let Some(old) = self.surface.replace(surface) {
                    // One that was never lit is not shown.
                    match self.retired {
                        Some(_) => old.destroy(&mut self.gpu),
                        None => self.retired = Some(old),
                    }
                }
                Ok(true)
            }
            Err(error) => match Failure::of(&error) {
                Failure::Busy => Ok(false),
                Failure::Refused => {
                    log::warn!("{} refuses the mode {mode}: {error}", monitor.connector.name);
                    self.refused.push(mode);
                    self.choose_mode();
                    if self.mode.is_none() {
                        self.trouble("refuses all of the monitor's modes", &error);
                    }
                    Ok(false)
                }
                _ => self.failed(&error).map(|_| false),
            },
        }
    }

    fn failed(&mut self, error: &CallError) -> Result<Shown> {
        match Failure::of(error) {
            Failure::Busy => {}
            Failure::Gone => return Err(broken(&self.gpu, error)),
            Failure::Denied => {
                self.is_master = false;
                self.darken(format!("another program has taken over {}", name(self.gpu.path())));
                self.next_look = self.gpu.now() + LOOK_EVERY;
            }
            Failure::Refused | Failure::Trouble => self.trouble("cannot show a frame", error),
        }
        Ok(Shown::Skipped)
    }
}

/// `card1` of `/dev/dri/card1`.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn not_master(path: &Path, error: &CallError) -> anyhow::Error {
    let holders: Vec<String> =
        holders(path).iter().map(|holder| format!("{} (process {})", holder.name, holder.pid)).collect();
    let path = path.display();
    if holders.is_empty() {
        fault(format!(
            "cannot become DRM master on {path}: {error}; stop the program that is DRM master, or run as root"
        ))
    } else {
        fault(format!("{path} is in use by {}: {error}; stop it", holders.join(", ")))
    }
}
