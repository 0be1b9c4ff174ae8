//! What goes wrong, and when.

use std::fmt;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

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
}

/// All changes.
pub const CHANGES: [Change; 10] = [
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
            _ => told.split('(').next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Faults with the time after the beginning at which each happens, in order.
#[derive(Clone, Debug, Default)]
pub struct Plan(pub Vec<(Duration, Fault)>);

/// Between a burst of faults and the next.
const CALM: (u64, u64) = (8_000, 60_000);

impl Plan {
    /// Bursts of one to four faults with calm between them, so that recovery is seen as well.
    pub fn random(seed: u64, length: Duration) -> Plan {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x9e37_79b9_7f4a_7c15);
        let (mut faults, mut time) = (Vec::new(), Duration::from_secs(3));
        while time < length {
            for _ in 0..rng.random_range(1..=4) {
                faults.push((time, random(&mut rng)));
                // In the same instant, or soon.
                let apart = if rng.random_bool(0.3) { 0 } else { rng.random_range(0..800) };
                time += Duration::from_millis(apart);
            }
            time += Duration::from_millis(rng.random_range(CALM.0..CALM.1));
        }
        Plan(faults)
    }
}

fn random(rng: &mut ChaCha8Rng) -> Fault {
    let ms = |rng: &mut ChaCha8Rng, most: u64| {
        // As many short ones as long ones.
        let longest = (most as f64).ln();
        Duration::from_millis(rng.random_range(0.0..longest).exp() as u64)
    };
    let thread = |rng: &mut ChaCha8Rng| {
        [Thread::Capture, Thread::Display, Thread::Inference, Thread::Main][rng.random_range(0..4)]
    };
    let years = |rng: &mut ChaCha8Rng| Duration::from_secs(rng.random_range(1..10 * 365 * 86_400));
    match rng.random_range(0..30) {
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
