//! What goes wrong, and when.

use std::fmt;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::io::Errno;

use crate::v4l2::{CALLS, QUIRKS, Quirk};

/// Something that happens to a cart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// No pictures for so long, and no word why.
    CameraStalls(Duration),
    /// Unplugged, and plugged in again.
    CameraUnplugged(Duration),
    /// The camera's driver does not come back from a call.
    CameraHangs(Duration),
    /// The capture thread panics.
    CaptureThreadPanics,
    /// Another size of frames from now on.
    SizeChanges,
    /// Frames are stamped as if they were taken later.
    StampsFromTheFuture(Duration),
    /// The input receives nothing. With drivers alone, like all that name calls, quirks and the card below.
    CameraSignalLost(Duration),
    /// The next pictures are odd.
    CameraQuirk(Quirk, u32),
    /// The camera's driver gives up its queue.
    CameraQueueError,
    /// A call on the camera fails: its place in [`CALLS`] and the error's in [`ERRNOS`], and how often.
    CameraCallFails(usize, usize, u64),
    /// Flips are done, and nobody hears of it.
    MonitorSilent(Duration),
    /// Unplugged, and plugged in again.
    MonitorUnplugged(Duration),
    /// Another program is the card's master.
    MasterTaken(Duration),
    /// A call on the card fails: its place in [`CARD_CALLS`] and the error's in [`ERRNOS`], and how often.
    CardCallFails(usize, usize, u64),
    /// The monitor takes nothing.
    MonitorBusy(Duration),
    /// A call of the display takes long.
    MonitorSlow(Duration),
    /// The display fails, and is opened anew.
    MonitorFails,
    /// Each inference takes so long, for a while.
    InferenceSlow(Duration, Duration),
    /// One inference does not come back for so long.
    InferenceHangs(Duration),
    /// The network fails.
    InferenceFails,
    /// The network panics.
    InferencePanics,
    /// Everything is a polyp, for so many frames.
    InferenceNonsense(u32),
    /// Nothing is found, for so many frames.
    InferenceFindsNothing(u32),
    /// A thread does not get a core.
    Starved(Thread, Duration),
    /// The wall clock is set forward.
    ClockForward(Duration),
    /// The wall clock is set back.
    ClockBack(Duration),
    /// The profile becomes another one, and a reload is asked for.
    Reload(Change),
    /// Reading and writing take so long each, for a while.
    DiskSlow(Duration, Duration),
    /// The disk does not answer for so long.
    DiskHangs(Duration),
    /// Nothing can be written for so long.
    DiskFull(Duration),
    /// Nobody reads the log for so long.
    LogBlocked(Duration),
    /// The computer gets so hot (°C), evenly within the first time, stays so for the second, and cools as evenly.
    Heat(u16, Duration, Duration),
    /// No sensor is there for so long.
    SensorMissing(Duration),
    /// A sensor's driver does not come back for so long.
    SensorHangs(Duration),
    /// Every third reading is nonsense, for so long.
    SensorWild(Duration),
    /// The board says for so long that heat slows it down.
    BoardSlowed(Duration),
    /// The lighter bundle cannot be read for so long.
    LiteUnreadable(Duration),
    /// Somebody in the room switches outlines off, and on again after so long. No fault, but it comes when it likes.
    OutlinesOff(Duration),
    /// Somebody wants a picture kept. No fault either.
    Snapshot,
    /// Somebody records for so long.
    Record(Duration),
}

/// What is different in a new profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is the old one.
    Nothing,
    /// How outlines look.
    Settings,
    /// Another camera.
    Camera,
    /// Another connector.
    Monitor,
    /// Another bundle.
    Model,
    /// Another place for the state file.
    StateFile,
    /// It cannot be read.
    ProfileUnreadable,
    /// Its camera is not there.
    CameraMissing,
    /// Its connector is not there.
    MonitorMissing,
    /// Its bundle cannot be read.
    BundleUnreadable,
    /// It is the old one, and a new bundle is on trial, which proves itself.
    TrialOfGood,
    /// The same with one that fails after a while.
    TrialOfBad,
}

/// All changes.
pub const CHANGES: [Change; 12] = [
    Change::Nothing,
    Change::Settings,
    Change::Camera,
    Change::Monitor,
    Change::Model,
    Change::StateFile,
    Change::ProfileUnreadable,
    Change::CameraMissing,
    Change::MonitorMissing,
    Change::BundleUnreadable,
    Change::TrialOfGood,
    Change::TrialOfBad,
];

/// A call that was made to fail does so for so long.
pub(super) const CALLS_FAIL_FOR: Duration = Duration::from_secs(2);

/// The calls on the card that can be made to fail.
pub const CARD_CALLS: [&str; 20] = [
    "enable_atomic",
    "lease",
    "acquire_master",
    "connectors",
    "connector",
    "status",
    "crtcs",
    "planes",
    "properties",
    "create_dumb",
    "import",
    "close_handle",
    "add_framebuffer",
    "remove_framebuffer",
    "create_mode_blob",
    "destroy_blob",
    "commit",
    "flips",
    "save",
    "restore",
];

/// What calls on camera and card fail with.
pub const ERRNOS: [(&str, Errno); 16] = [
    ("EPERM", Errno::PERM),
    ("ENOENT", Errno::NOENT),
    ("EINTR", Errno::INTR),
    ("EIO", Errno::IO),
    ("EAGAIN", Errno::AGAIN),
    ("ENOMEM", Errno::NOMEM),
    ("EACCES", Errno::ACCESS),
    ("EBUSY", Errno::BUSY),
    ("ENODEV", Errno::NODEV),
    ("EINVAL", Errno::INVAL),
    ("EMFILE", Errno::MFILE),
    ("ENOTTY", Errno::NOTTY),
    ("ENOSPC", Errno::NOSPC),
    ("EPIPE", Errno::PIPE),
    ("ETIMEDOUT", Errno::TIMEDOUT),
    ("EOPNOTSUPP", Errno::OPNOTSUPP),
];

/// The threads that can be starved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// `capture`
    Capture,
    /// `display`
    Display,
    /// `inference`
    Inference,
    /// `main`
    Main,
}

impl Thread {
    /// As the thread is named.
    pub fn name(self) -> &'static str {
        match self {
            Thread::Capture => "capture",
            Thread::Display => "display",
            Thread::Inference => "inference",
            Thread::Main => "main",
        }
    }
}

impl Fault {
    /// Its kind, for tables.
    pub fn kind(&self) -> String {
        let told = format!("{self:?}");
        match self {
            Fault::Starved(thread, _) => format!("Starved {}", thread.name()),
            Fault::Reload(change) => format!("Reload {change:?}"),
            Fault::CameraQuirk(quirk, _) => format!("CameraQuirk {quirk:?}"),
            Fault::CameraCallFails(call, _, _) => format!("CameraCallFails {}", CALLS[call % CALLS.len()]),
            Fault::CardCallFails(call, _, _) => {
                format!("CardCallFails {}", CARD_CALLS[call % CARD_CALLS.len()])
            }
            _ => told.split('(').next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = |errno: usize| ERRNOS[errno % ERRNOS.len()].0;
        match *self {
            Fault::CameraCallFails(_, number, times) | Fault::CardCallFails(_, number, times) => {
                write!(f, "{} with {}, {times} times", self.kind(), errno(number))
            }
            _ => write!(f, "{self:?}"),
        }
    }
}

/// Faults with the time after the beginning at which each happens, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Camera and monitor are V4L2's and KMS's drivers, on stand-ins for the kernel; else they are stand-ins themselves.
    pub has_drivers: bool,
    /// Inference runs on the cart's engine; else on a stand-in.
    pub has_engine: bool,
    /// In order.
    pub faults: Vec<(Duration, Fault)>,
}

/// Between a burst of faults and the next.
const CALM: (u64, u64) = (8_000, 60_000);

impl Plan {
    /// These faults, with stand-ins for all.
    pub fn of(faults: impl Into<Vec<(Duration, Fault)>>) -> Plan {
        Plan { faults: faults.into(), ..Plan::default() }
    }

    /// The same with drivers and engine.
    #[must_use]
    pub fn with_all(self) -> Plan {
        Plan { has_drivers: true, has_engine: true, ..self }
    }

    /// Bursts of one to four faults with calm between them, so that recovery is seen as well. Every second seed has
    /// drivers, and every eighth the engine.
    pub fn random(seed: u64, length: Duration) -> Plan {
        let has_drivers = seed.is_multiple_of(2);
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x9e37_79b9_7f4a_7c15);
        let (mut faults, mut time) = (Vec::new(), Duration::from_secs(3));
        while time < length {
            for _ in 0..rng.random_range(1..=4) {
                faults.push((time, random(&mut rng, has_drivers)));
                // In the same instant, or soon.
                let apart = if rng.random_bool(0.3) { 0 } else { rng.random_range(0..800) };
                time += Duration::from_millis(apart);
            }
            time += Duration::from_millis(rng.random_range(CALM.0..CALM.1));
        }
        Plan { has_drivers, has_engine: seed.is_multiple_of(8), faults }
    }
}

fn thread(rng: &mut ChaCha8Rng) -> Thread {
    [Thread::Capture, Thread::Display, Thread::Inference, Thread::Main][rng.random_range(0..4)]
}

fn random(rng: &mut ChaCha8Rng, has_drivers: bool) -> Fault {
    let ms = |rng: &mut ChaCha8Rng, most: u64| {
        // As many short ones as long ones.
        let longest = (most as f64).ln();
        Duration::from_millis(rng.random_range(0.0..longest).exp() as u64)
    };
    let years = |rng: &mut ChaCha8Rng| Duration::from_secs(rng.random_range(1..10 * 365 * 86_400));
    match rng.random_range(0..if has_drivers { 56 } else { 41 }) {
        30 => Fault::LogBlocked(ms(rng, 300_000)),
        31 => {
            let rise = if rng.random_bool(0.3) { Duration::ZERO } else { ms(rng, 300_000) };
            Fault::Heat(rng.random_range(70..110), rise, ms(rng, 300_000))
        }
        // As a hot room does it: slowly, and over all limits.
        32 => Fault::Heat(90, Duration::from_secs(60), ms(rng, 60_000)),
        33 => Fault::SensorMissing(ms(rng, 300_000)),
        // No longer than threads that hang may go on after the end.
        34 => Fault::SensorHangs(ms(rng, 140_000)),
        35 => Fault::SensorWild(ms(rng, 60_000)),
        36 => Fault::BoardSlowed(ms(rng, 120_000)),
        37 => Fault::LiteUnreadable(ms(rng, 300_000)),
        38 => Fault::OutlinesOff(ms(rng, 60_000)),
        39 => Fault::Snapshot,
        40 if !has_drivers => Fault::Record(ms(rng, 30_000)),
        55 => Fault::Record(ms(rng, 30_000)),
        40 | 54 => Fault::CameraSignalLost(ms(rng, 10_000)),
        41..44 => Fault::CameraQuirk(QUIRKS[rng.random_range(0..QUIRKS.len())], rng.random_range(1..90)),
        44 => Fault::CameraQueueError,
        45..48 => Fault::CameraCallFails(
            rng.random_range(0..CALLS.len()),
            rng.random_range(0..ERRNOS.len()),
            rng.random_range(1..5),
        ),
        48 => Fault::MonitorSilent(ms(rng, 5_000)),
        49 => Fault::MonitorUnplugged(ms(rng, 10_000)),
        50 => Fault::MasterTaken(ms(rng, 10_000)),
        51..54 => Fault::CardCallFails(
            rng.random_range(0..CARD_CALLS.len()),
            rng.random_range(0..ERRNOS.len()),
            rng.random_range(1..5),
        ),
        0 => Fault::CameraStalls(ms(rng, 5_000)),
        1 => Fault::CameraUnplugged(ms(rng, 20_000)),
        2 => Fault::CameraHangs(ms(rng, 10_000)),
        3 => Fault::CaptureThreadPanics,
        4 => Fault::SizeChanges,
        5 => Fault::StampsFromTheFuture(ms(rng, 5_000)),
        6 => Fault::MonitorBusy(ms(rng, 2_000)),
        7 => Fault::MonitorSlow(ms(rng, 40)),
        8 => Fault::MonitorFails,
        9 => Fault::InferenceSlow(ms(rng, 400), ms(rng, 20_000)),
        10 => Fault::InferenceHangs(ms(rng, 90_000)),
        11 => Fault::InferenceFails,
        12 => Fault::InferencePanics,
        13 => Fault::InferenceNonsense(rng.random_range(1..200)),
        14 => Fault::InferenceFindsNothing(rng.random_range(1..200)),
        15 | 16 => Fault::Starved(thread(rng), ms(rng, 2_000)),
        17 => Fault::ClockForward(years(rng)),
        18 => Fault::ClockBack(years(rng)),
        19 => Fault::DiskSlow(ms(rng, 500), ms(rng, 20_000)),
        20 => Fault::DiskHangs(ms(rng, 90_000)),
        21 => Fault::DiskFull(ms(rng, 20_000)),
        _ => Fault::Reload(CHANGES[rng.random_range(0..CHANGES.len())]),
    }
}
