//! The surroundings of a simulated cart: profiles, bundles, devices and a disk that fail as the plan says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use polyp_edge::alert::News;
use polyp_edge::audit::Entry;
use polyp_edge::board::{Board, Profile};
use polyp_edge::bundle::Identity;
use polyp_edge::bundle::manifest::{Decision, Manifest};
use polyp_edge::cart::{Asked, Notice, Surroundings};
use polyp_edge::control::Request;
use polyp_edge::display::Sink;
use polyp_edge::fault::Fault as Failure;
use polyp_edge::field_of_view::{Rule, Sequence};
use polyp_edge::latency::interval::Load;
use polyp_edge::latency::log::{Bounds, Minutes, Setup};
use polyp_edge::pipeline::{Feed, Observer};
use polyp_edge::recording::ring::About;
use polyp_edge::recording::{Begun, Recording};
use polyp_edge::runtime;
use polyp_edge::runtime::channel::Sender;
use polyp_edge::segment::Segmenter;
use polyp_edge::store::{OnTrial, Verdict};
use polyp_edge::study::{Made, Still};
use polyp_edge::thermal::Thermometer;

use super::camera::WorldCamera;
use super::drivers::Drivers;
use super::films::WorldFilm;
use super::heat::WorldThermometer;
use super::monitor::WorldMonitor;
use super::network::WorldNetwork;
use super::plan::Change;
use super::records::LatencyLog;
use super::store::Choice;
use super::world::{WATCHDOG, Watch, World};

/// What opening a device takes.
const OPENS_IN: Duration = Duration::from_millis(30);

/// See the module.
#[derive(Clone)]
pub struct WorldSurroundings {
    world: World,
    /// Camera and monitor, if not the simplest ones.
    drivers: Option<Drivers>,
    has_engine: bool,
    /// The profile that all others are made of.
    board: Board,
    manifest: Manifest,
}

impl WorldSurroundings {
    /// With profiles like this one.
    pub fn new(
        world: &World,
        drivers: Option<&Drivers>,
        has_engine: bool,
        (board, manifest): (Board, Manifest),
    ) -> WorldSurroundings {
        WorldSurroundings { world: world.clone(), drivers: drivers.cloned(), has_engine, board, manifest }
    }
}

/// A bundle that was read, which of the installed ones it is, and whether it is the lighter one.
pub struct Opened(Manifest, Choice, bool);

impl Surroundings for WorldSurroundings {
    type Network = WorldNetwork;
    type Bundle = Opened;
    type Output = ();

    fn board(&self, _: &Path) -> Result<Board> {
        self.world.wait_for_disk();
        let mut board = self.board.clone();
        let profile = &mut board.profile;
        let (number, change) = self.world.profile();
        match change {
            Change::Nothing | Change::TrialOfGood | Change::TrialOfBad => {}
            Change::ProfileUnreadable => {
                bail!(Failure::configuration("the simulated profile cannot be read"))
            }
            Change::Settings => profile.overlay.glyph = number % 2 == 0,
            Change::Camera | Change::CameraMissing => profile.camera.source = format!("/dev/video{number}"),
            Change::Monitor | Change::MonitorMissing => {
                profile.display.connector = Some(format!("HDMI-A-{number}"))
            }
            Change::Model | Change::BundleUnreadable => {
                profile.model.bundle = format!("model-{number}").into()
            }
            Change::StateFile => {
                profile.pipeline.state_file = Some(format!("/run/state-{number}.json").into())
            }
        }
        Ok(board)
    }

    fn listen(&self, _: &Profile, orders: &Sender<Request>, _: &Arc<AtomicBool>) {
        self.world.takes_orders(orders.clone());
    }

    fn feed(&self, profile: &Profile) -> Result<Feed> {
        Ok(Feed::Live(match &self.drivers {
            Some(drivers) => drivers.camera(&profile.camera.source),
            None => Box::new(WorldCamera::new(&self.world)),
        }))
    }

    fn another_feed(&self, _: &Profile, new: &Profile) -> Result<Feed> {
        runtime::thread::sleep(OPENS_IN);
        if self.world.profile().1 == Change::CameraMissing {
            bail!(Failure::io("there is no such simulated camera"));
        }
        self.feed(new)
    }

    fn keep(&self, _: &Board, still: Still, _: &Made) -> Result<PathBuf> {
        self.world.wait_for_disk();
        if self.world.disk_is_full() {
            bail!(Failure::io("the simulated disk is full"));
        }
        Ok(format!("/study/{}", still.number.0).into())
    }

    fn alert(&self, _: &Profile, _: &News, _: &Arc<AtomicBool>) {}

    fn record(&self, _: &Board, first: &About, _: Begun) -> Result<Box<dyn Recording>> {
        Ok(Box::new(WorldFilm::begin(&self.world, first)?))
    }

    fn claim(&self, _: &Path, _: &Board, _: bool, held: Option<()>) -> Result<Option<()>> {
        self.world.wait_for_disk();
        Ok(held.or(Some(())))
    }

    fn sink(&self, _: &Profile, _: Option<()>) -> Result<Box<dyn Sink>> {
        runtime::thread::sleep(OPENS_IN);
        match &self.drivers {
            Some(drivers) => drivers.monitor(),
            None => Ok(Box::new(WorldMonitor::new(&self.world))),
        }
    }

    fn examine_monitor(&self, _: &Profile) -> Result<()> {
        runtime::thread::sleep(OPENS_IN);
        match self.world.profile().1 {
            Change::MonitorMissing => bail!(Failure::io("there is no such simulated connector")),
            _ => Ok(()),
        }
    }

    fn bundle(&self, board: &Board) -> Result<Opened> {
        let (number, change) = self.world.profile();
        let is_newest = board.profile.model.bundle == Path::new(&format!("model-{number}"));
        if change == Change::BundleUnreadable && is_newest {
            self.world.wait_for_disk();
            bail!(Failure::data("the simulated bundle cannot be read"));
        }
        let is_lite = board.profile.heat.lite_bundle.as_ref() == Some(&board.profile.model.bundle);
        if !is_lite {
            return Ok(Opened(self.manifest.clone(), self.world.choose(), false));
        }
        self.world.wait_for_disk();
        if self.world.lite_is_unreadable() {
            bail!(Failure::data("the simulated lighter bundle cannot be read"));
        }
        Ok(Opened(self.manifest.clone(), Choice::lite(), true))
    }

    fn identity(&self, bundle: &Opened) -> Identity {
        Identity {
            name: bundle.0.name.clone(),
            version: bundle.0.model_version.clone(),
            digest: bundle.1.digest(),
            rollback_index: bundle.0.rollback_index,
            key: None,
            is_development_key: false,
        }
    }

    fn trial(&self, bundle: &Opened) -> Option<OnTrial> {
        bundle.1.trial()
    }

    fn judge(&self, _: &Board, digest: &str, verdict: &Verdict) -> Result<()> {
        self.world.judge(digest, verdict)
    }

    fn segmenter(&self, _: &Profile, bundle: &Opened) -> Result<Segmenter<WorldNetwork>> {
        // As compiling a model does.
        runtime::thread::sleep(Duration::from_millis(250));
        let decision = Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 };
        let network = if self.has_engine {
            WorldNetwork::with_engine(&self.world, bundle.2)?
        } else {
            WorldNetwork::new(&self.world, bundle.2)
        };
        let network = if bundle.1.is_bad { network.failing_soon() } else { network };
        Segmenter::with(network, &decision, Rule::WholeFrame, Sequence::Video)
    }

    fn check_state_file(&self, _: &Profile) -> Result<()> {
        self.world.wait_for_disk();
        Ok(())
    }

    fn write_state(&self, _: &Path, text: &str) -> Result<()> {
        self.world.wait_for_disk();
        if self.world.disk_is_full() {
            bail!(Failure::io("no space is left on the simulated disk"));
        }
        self.world.wrote_state(text);
        Ok(())
    }

    fn state_is_stale(&self, _: &Path, _: &str) {
        self.world.wait_for_disk();
    }

    fn write_metrics(&self, _: &Path, text: &str) -> Result<()> {
        self.world.wait_for_disk();
        if self.world.disk_is_full() {
            bail!(Failure::io("no space is left on the simulated disk"));
        }
        self.world.measured(text);
        Ok(())
    }

    fn latency_log(&self, _: &Path, _: Bounds, _: &Setup, _: f64) -> Result<Box<dyn Minutes>> {
        Ok(Box::new(LatencyLog::new(&self.world)))
    }

    fn load(&self) -> Box<dyn FnMut() -> Load> {
        Box::new(Load::default)
    }

    fn audit(&self, _: &Path, entry: &Entry) -> Result<()> {
        self.world.wait_for_disk();
        if self.world.disk_is_full() {
            bail!(Failure::io("no space is left on the simulated disk"));
        }
        self.world.recorded(entry);
        Ok(())
    }

    fn write_report(&self, (): &(), name: &str, bytes: &[u8]) -> Result<()> {
        if name == "latency.json" {
            self.world.frames_were_told(&String::from_utf8_lossy(bytes));
        }
        self.world.wait_for_disk();
        Ok(())
    }

    fn folder<'a>(&self, (): &'a ()) -> &'a Path {
        Path::new("/run")
    }

    fn print(&self, _: &Profile, _: &str) -> Result<()> {
        self.world.wait_for_disk();
        Ok(())
    }

    fn thermometer(&self) -> Box<dyn Thermometer> {
        Box::new(WorldThermometer(self.world.clone()))
    }

    fn observer(&self) -> Box<dyn Observer> {
        Box::new(Watch(self.world.clone()))
    }

    fn notify(&self, notice: &Notice<'_>) -> bool {
        self.world.was_told(notice);
        true
    }

    fn watchdog(&self) -> Option<Duration> {
        Some(WATCHDOG)
    }

    fn clean_up(&self) {
        self.world.wait_for_disk();
    }
}

/// What the plan asks of the run.
pub struct WorldAsked(pub World);

impl Asked for WorldAsked {
    fn to_end(&self) -> Option<Instant> {
        self.0.asked_to_end()
    }

    fn twice(&self) -> bool {
        self.0.asked_again().is_some()
    }

    fn nothing_to_restore(&self) {}

    fn to_reload(&self) -> bool {
        self.0.take_reload()
    }
}
