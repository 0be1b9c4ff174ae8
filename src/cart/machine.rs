//! The machine's own devices, files and bundles.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::manager::{Manager, Notice};
use super::report::REPORTS;
use super::sandbox::Sandbox;
use super::surroundings::Surroundings;
use crate::alert::{self, News, Times};
use crate::audit::{self, Entry};
use crate::board::{Board, DisplayKind, Profile};
use crate::bundle::{Bundle, Identity};
use crate::capture::{self, v4l2};
use crate::control::socket::Server;
use crate::control::{Request, button};
use crate::display::{Images, Null, PICTURES, Sink, Written, Y4m, kms};
use crate::engine::{Engine, Options};
use crate::fault::{Exit, Fault, exit_of, one_line};
use crate::field_of_view::Sequence;
use crate::files::{self, Claim, Input, OutputFolder, check_writable, make_folder};
use crate::health::LoadMeter;
use crate::latency::interval::Load;
use crate::latency::log::{Bounds, Minutes, Setup, Writer};
use crate::pipeline::Feed;
use crate::recording::ring::About;
use crate::recording::{Begun, Place, Recording, Segment};
use crate::runtime::channel::Sender;
use crate::segment::Segmenter;
use crate::store::{Chosen, OnTrial, Session, Verdict};
use crate::study::{self, Made, Still};
use crate::thermal::{Sysfs, Thermometer};
use crate::{logging, output, runtime};

/// Between two tries to make the socket for orders.
const SOCKET_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    session: Arc<Session>,
    manager: Manager,
    sandbox: Option<Arc<Sandbox>>,
}

impl Machine {
    /// With whoever manages the program as a service, and what the program has denied itself; `None` if nothing.
    pub fn new(manager: Manager, sandbox: Option<Sandbox>) -> Machine {
        Machine { manager, sandbox: sandbox.map(Arc::new), ..Machine::default() }
    }
}

impl Surroundings for Machine {
    type Network = Engine;
    type Bundle = Chosen;
    type Output = OutputFolder;

    fn board(&self, path: &Path) -> Result<Board> {
        Board::load(path)
    }

    fn feed(&self, profile: &Profile) -> Result<Feed> {
        if let Some(wanted) = camera(profile)? {
            return Ok(Feed::Live(Box::new(v4l2::open(wanted))));
        }
        let source = profile.camera.source.clone();
        Ok(Feed::Recorded(Box::new(move || capture::open(&source))))
    }

    fn another_feed(&self, old: &Profile, new: &Profile) -> Result<Feed> {
        match camera(new)? {
            Some(wanted) => {
                v4l2::examine(&wanted, new.camera.source == old.camera.source)?;
                self.feed(new)
            }
            None if new.camera.source == "-" && old.camera.source != "-" => Err(Fault::new(
                Exit::Configuration,
                "camera.source: a reload cannot begin to read standard input; restart the program",
            )),
            None => {
                let source = capture::open(&new.camera.source)?;
                Ok(Feed::Recorded(Box::new(move || Ok(source))))
            }
        }
    }

    /// # Errors
    /// As [`OutputFolder::claim`]; with a monitor, one that cannot be had is a warning, and there will be no reports.
    fn claim(
        &self,
        path: &Path,
        board: &Board,
        force: bool,
        held: Option<OutputFolder>,
    ) -> Result<Option<OutputFolder>> {
        let display = &board.profile.display;
        let names: &[&str] = match display.kind {
            DisplayKind::Images => &[PICTURES, REPORTS[0], REPORTS[1], REPORTS[2]],
            _ => &REPORTS,
        };
        let bundle = board.bundle().unwrap_or_else(|| board.profile.store.folder.clone());
        let mut inputs = vec![Input::File(path), Input::Tree(&bundle)];
        inputs.extend(Input::of_source(board.profile.camera.source.as_ref()));
        let claimed = match held.filter(|held| held.is_at(&display.folder)) {
            Some(held) => held.also(names).map(|()| held),
            None => OutputFolder::claim(&Claim {
                folder: &display.folder,
                names,
                what: "run",
                inputs: &inputs,
                force,
            }),
        };
        match (claimed, display.kind) {
            // The picture needs no disk. Pictures in files do, and a folder that is somebody else's is a mistake to be told of.
            (Err(error), kind)
                if kind == DisplayKind::Kms || kind != DisplayKind::Images && exit_of(&error) == Exit::Io =>
            {
                log::warn!("no reports will be written: {}", one_line(&error));
                Ok(None)
            }
            (claimed, _) => claimed.map(Some),
        }
    }

    fn sink(&self, profile: &Profile, output: Option<OutputFolder>) -> Result<Box<dyn Sink>> {
        let display = &profile.display;
        Ok(match display.kind {
            DisplayKind::Kms => Box::new(kms::open(&monitor(profile)?)?),
            DisplayKind::Images => {
                let folder = output.ok_or_else(|| Fault::io("the folder for images is not open"))?;
                Box::new(Written::new(Images::new(folder, display.every_frames))?)
            }
            DisplayKind::Y4m => {
                let rate = profile.camera.rate_hz;
                let rate = if rate > 0.0 { rate } else { capture::synthetic::FPS };
                Box::new(Written::new(Y4m::new(std::io::stdout(), rate.round() as usize))?)
            }
            DisplayKind::Null => Box::new(Null),
        })
    }

    fn examine_monitor(&self, profile: &Profile) -> Result<()> {
        kms::examine(&monitor(profile)?)
    }

    fn bundle(&self, board: &Board) -> Result<Chosen> {
        let chosen = self.session.choose(board)?;
        let bundle = &chosen.bundle;
        log::info!("model {}{}", bundle.identity(), if chosen.trial.is_some() { ", on trial" } else { "" });
        if bundle.signer.as_ref().is_some_and(|signer| signer.is_development) {
            log::warn!(
                "the model {} is signed with the development key, which everybody has: it is for simulation and benches, not \
                 for patients",
                bundle.manifest.name
            );
        }
        Ok(chosen)
    }

    fn trial(&self, chosen: &Chosen) -> Option<OnTrial> {
        chosen.trial.clone()
    }

    fn judge(&self, board: &Board, digest: &str, verdict: &Verdict) -> Result<()> {
        self.session.judge(board, digest, verdict)
    }

    fn identity(&self, chosen: &Chosen) -> Identity {
        chosen.bundle.identity()
    }

    fn segmenter(&self, profile: &Profile, chosen: &Chosen) -> Result<Segmenter<Engine>> {
        segmenter(profile, &chosen.bundle)
    }

    fn check_state_file(&self, profile: &Profile) -> Result<()> {
        let Some(path) = &profile.pipeline.state_file else { return Ok(()) };
        let folder = path.parent().unwrap_or(path);
        let cannot = |error: &dyn std::fmt::Display| {
            Fault::io(format!("cannot write pipeline.state_file {}: {error}", path.display()))
        };
        make_folder(folder).map_err(|error| cannot(&error))?;
        if path.is_dir() {
            return Err(cannot(&"it is a folder"));
        }
        check_writable(folder).map_err(|error| cannot(&error))
    }

    fn write_state(&self, path: &Path, text: &str) -> Result<()> {
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        files::write_readable(path, |file| Ok(std::io::Write::write_all(file, text.as_bytes())?))
    }

    fn state_is_stale(&self, path: &Path, text: &str) {
        files::overwrite(path, text.as_bytes());
    }

    fn write_metrics(&self, path: &Path, text: &str) -> Result<()> {
        files::write_readable(path, |file| Ok(std::io::Write::write_all(file, text.as_bytes())?))
    }

    fn latency_log(
        &self,
        folder: &Path,
        bounds: Bounds,
        setup: &Setup,
        unix_s: f64,
    ) -> Result<Box<dyn Minutes>> {
        Ok(Box::new(Writer::begin(folder, bounds, setup.clone(), unix_s)?))
    }

    fn load(&self) -> Box<dyn FnMut() -> Load> {
        let mut meter = LoadMeter::new();
        Box::new(move || meter.read())
    }

    fn audit(&self, folder: &Path, entry: &Entry) -> Result<()> {
        audit::append(folder, entry)
    }

    fn keep(&self, board: &Board, still: Still, made: &Made) -> Result<PathBuf> {
        let study = &board.profile.study;
        let folder = study.folder.as_ref().ok_or_else(|| Fault::configuration("study.folder is missing"))?;
        study::keep(
            folder,
            (
                study.outside,
                board.profile.field_of_view.fixed(),
                study.most_megabytes.saturating_mul(1_000_000),
            ),
            &board.zone,
            still,
            made,
        )
    }

    fn record(&self, board: &Board, first: &About, begun: Begun) -> Result<Box<dyn Recording>> {
        let profile = &board.profile;
        let folder = profile.study.folder.clone();
        let folder = folder.ok_or_else(|| Fault::configuration("study.folder is missing"))?;
        let place = Place {
            folder,
            most_bytes: profile.study.most_megabytes.saturating_mul(1_000_000),
            when_full: profile.recording.when_full,
            zone: board.zone.clone(),
        };
        Ok(Box::new(Segment::begin(place, first, begun)?))
    }

    fn write_report(&self, output: &OutputFolder, name: &str, bytes: &[u8]) -> Result<()> {
        output.write_bytes(name, bytes)
    }

    fn folder<'a>(&self, output: &'a OutputFolder) -> &'a Path {
        output.path()
    }

    fn print(&self, profile: &Profile, text: &str) -> Result<()> {
        match profile.display.kind {
            // Video on standard output leaves no room for words there.
            DisplayKind::Y4m => text.lines().for_each(logging::line),
            _ => output::print(format_args!("{text}"))?,
        }
        Ok(())
    }

    fn thermometer(&self) -> Box<dyn Thermometer> {
        Box::new(Sysfs::under(Path::new("/")))
    }

    fn admits(&self, board: &Board) -> Result<()> {
        self.sandbox.as_ref().map_or(Ok(()), |sandbox| sandbox.admits(board))
    }

    fn notify(&self, notice: &Notice<'_>) -> bool {
        self.manager.notify(notice)
    }

    fn watchdog(&self) -> Option<Duration> {
        self.manager.watchdog()
    }

    fn listen(&self, profile: &Profile, orders: &Sender<Request>, stop: &Arc<AtomicBool>) {
        let control = profile.control.clone();
        if let Some(socket) = control.socket {
            self.listen_in("control socket", orders, stop, move |orders, stop| serve(&socket, orders, stop));
        }
        for input in control.inputs {
            self.listen_in("keys", orders, stop, move |orders, stop| {
                let device = input.device.display().to_string();
                button::watch(&device, &input.bound(), || input.open(), orders, stop);
            });
        }
        for pin in control.pins {
            self.listen_in("pin", orders, stop, move |orders, stop| {
                let bound = pin.bound();
                button::watch(&bound.name, std::slice::from_ref(&bound), || pin.open(), orders, stop);
            });
        }
    }

    fn alert(&self, profile: &Profile, news: &News, stop: &Arc<AtomicBool>) {
        let again_after = Duration::from_millis(profile.alert.again_after_ms);
        for pin in profile.alert.pins.clone() {
            let (news, stop, name) = (news.clone(), stop.clone(), pin.name());
            let times = Times { lasts: Duration::from_millis(pin.lasts_ms), again_after };
            let work = move || alert::watch(&pin.name(), || pin.open(), times, &news, &stop);
            if let Err(error) = runtime::thread::spawn("lamp", work) {
                log::warn!("cannot start a thread: {error}; {name} will not tell of new regions");
            }
        }
        if let Some(tone) = profile.alert.tone.clone() {
            let (news, stop, name) = (news.clone(), stop.clone(), tone.name());
            let times = Times { lasts: Duration::from_millis(tone.lasts_ms), again_after };
            let work = move || alert::watch(&tone.name(), || tone.open(), times, &news, &stop);
            if let Err(error) = runtime::thread::spawn("tone", work) {
                log::warn!("cannot start a thread: {error}; {name} will not tell of new regions");
            }
        }
    }

    fn clean_up(&self) {
        files::remove_temporaries();
    }
}

impl Machine {
    fn listen_in(
        &self,
        name: &str,
        orders: &Sender<Request>,
        stop: &Arc<AtomicBool>,
        work: impl FnOnce(&Sender<Request>, &Arc<AtomicBool>) + Send + 'static,
    ) {
        let (orders, stop) = (orders.clone(), stop.clone());
        if let Err(error) = runtime::thread::spawn(name, move || work(&orders, &stop)) {
            log::warn!("cannot start a thread ({name}): {error}; orders will not be taken by this way");
        }
    }
}

/// Takes orders in by a socket, which is made again and again until that succeeds.
fn serve(path: &Path, orders: &Sender<Request>, stop: &Arc<AtomicBool>) {
    let mut has_failed = false;
    while !stop.load(Ordering::Relaxed) {
        match Server::bind(path) {
            Ok(server) => {
                log::info!("orders are taken in at {}", path.display());
                return server.serve(orders, stop);
            }
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    log::warn!("{}: it will be tried again and again", one_line(&error));
                }
                runtime::thread::sleep(SOCKET_AGAIN_AFTER);
            }
        }
    }
}

/// A bundle's model as a profile runs it, with its golden frames.
///
/// # Errors
/// If it cannot be loaded.
pub fn segmenter(profile: &Profile, bundle: &Bundle) -> Result<Segmenter<Engine>> {
    let options =
        Options { threads: profile.model.threads, cores: profile.model.cores.clone(), ..Options::default() };
    let engine = Engine::load(bundle, &options)?;
    let point = bundle.manifest.operating_point(profile.model.sensitivity)?;
    let segmenter = Segmenter::new(engine, &bundle.manifest, Sequence::Video)?
        .at(&point)?
        .with_golden(bundle.golden().clone());
    Ok(match profile.field_of_view.rule() {
        Some(rule) => segmenter.with_field_of_view(rule, Sequence::Video),
        None => segmenter,
    })
}

/// A live camera as the profile wants it; `None` if its pictures are recorded or rendered.
fn camera(profile: &Profile) -> Result<Option<v4l2::Wanted>> {
    let camera = &profile.camera;
    let Some(device) = camera.device() else { return Ok(None) };
    Ok(Some(v4l2::Wanted {
        device: device.map(str::to_owned),
        formats: camera.formats.clone(),
        sizes: camera.sizes().map_err(Fault::configuration)?,
        rate_hz: camera.rate_hz,
        buffers: camera.buffers,
        input: camera.input,
    }))
}

/// A monitor as the profile wants it.
fn monitor(profile: &Profile) -> Result<kms::Wanted> {
    let display = &profile.display;
    let wishes = display.modes().map_err(Fault::configuration)?;
    Ok(kms::Wanted {
        card: display.card.clone(),
        connector: display.connector.clone(),
        modes: wishes,
        composition: display.composition,
        enlarge: display.enlarge,
        second: display.second.as_ref().map(|second| second.connector.clone()),
    })
}
