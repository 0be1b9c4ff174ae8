//! A stand-in for the kernel's video devices, as strict as videobuf2: it refuses what the kernel refuses, keeps what
//! the kernel keeps (a mapping keeps its file, a file its queue), and remembers what no program should have tried.
//!
//! Time is its own and passes only in calls, sleeps and waits; or, with [`Machine::on_runtime`], it is the runtime's, so that
//! a simulation's scheduler decides when a call goes on.

#[expect(unsafe_code, reason = "a mapping of memory that this process alone changes")]
mod kernel;
mod memory;
mod model;
mod picture;
mod world;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use polyp_edge::capture::v4l2::kernel::*;
use polyp_edge::runtime;
use rustix::io::Errno;

pub use kernel::Handle;
pub use memory::Memory;
pub use model::{Act, Model, QUIRKS, Quirk, Signal, Taken, timings};
pub use picture::{byte, picture};

/// The device's node.
pub(crate) const NODE: &str = "/dev/video0";
/// The device's name that stays the same when it is plugged in again.
pub const STABLE: &str = "/dev/v4l/by-id/usb-fake-video-index0";

/// Every call that can be made to fail.
pub const CALLS: [&str; 28] = [
    "open",
    "VIDIOC_QUERYCAP",
    "VIDIOC_ENUM_FMT",
    "VIDIOC_ENUM_FRAMESIZES",
    "VIDIOC_ENUM_FRAMEINTERVALS",
    "VIDIOC_G_FMT",
    "VIDIOC_S_FMT",
    "VIDIOC_G_PARM",
    "VIDIOC_S_PARM",
    "VIDIOC_G_INPUT",
    "VIDIOC_S_INPUT",
    "VIDIOC_ENUMINPUT",
    "VIDIOC_G_CTRL",
    "VIDIOC_G_DV_TIMINGS",
    "VIDIOC_QUERY_DV_TIMINGS",
    "VIDIOC_S_DV_TIMINGS",
    "VIDIOC_SUBSCRIBE_EVENT",
    "VIDIOC_DQEVENT",
    "VIDIOC_REQBUFS",
    "VIDIOC_QUERYBUF",
    "mmap",
    "VIDIOC_EXPBUF",
    "VIDIOC_QBUF",
    "VIDIOC_DQBUF",
    "VIDIOC_STREAMON",
    "VIDIOC_STREAMOFF",
    "poll",
    "VIDIOC_G_EDID",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dequeued,
    Queued,
    Done,
}

struct Buffer {
    planes: Vec<Arc<File>>,
    lengths: Vec<usize>,
    state: State,
    maps: usize,
    done: Dequeued,
}

#[derive(Default)]
struct FileState {
    open: bool,
    maps: usize,
}

/// What the device's clock shows when a machine is made.
const BEGIN: Duration = Duration::from_secs(100);

/// Draws the picture that the device takes; `None`: it takes none.
type Draw = Box<dyn FnMut(Taken) -> Option<Vec<u8>> + Send>;

struct World {
    base: Instant,
    now: Duration,
    /// When time began to be the runtime's, if it is.
    on_runtime: Option<Instant>,
    /// A call does not come back before then.
    hangs_until: Duration,
    panics: bool,
    draw: Option<Draw>,
    model: Model,
    timeline: Vec<(Duration, Act)>,
    plugged: bool,
    /// Another one each time it is plugged in.
    generation: u64,
    files: HashMap<u64, FileState>,
    next_file: u64,
    // The queue.
    owner: Option<u64>,
    buffers: Vec<Buffer>,
    allocation: u64,
    queued: VecDeque<usize>,
    done: VecDeque<usize>,
    streaming: bool,
    error: bool,
    sequence: u32,
    /// Pictures that the driver took or could have.
    tick: u64,
    format: Format,
    interval: Fraction,
    stalled: bool,
    signal: Signal,
    timings: Timings,
    subscribed: bool,
    events: VecDeque<Notice>,
    quirks: VecDeque<Quirk>,
    faults: BTreeMap<&'static str, (Errno, u64, u64)>,
    injected: bool,
    calls: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
    last_done: Option<Dequeued>,
    missed_ticks: u64,
}

/// The machine: both what a camera is opened on and what a test holds to move it.
#[derive(Clone)]
pub struct Machine(Arc<Mutex<World>>);

impl Machine {
    /// A machine with one device, plugged in; its input, if digital, receives 16×8 pixels.
    pub fn new(model: Model) -> Machine {
        let timings = timings(16, 8);
        Machine(Arc::new(Mutex::new(World {
            base: Instant::now(),
            now: BEGIN,
            on_runtime: None,
            hangs_until: Duration::ZERO,
            panics: false,
            draw: None,
            timeline: Vec::new(),
            plugged: true,
            generation: 1,
            files: HashMap::new(),
            next_file: 1,
            owner: None,
            buffers: Vec::new(),
            allocation: 0,
            queued: VecDeque::new(),
            done: VecDeque::new(),
            streaming: false,
            error: false,
            sequence: 0,
            tick: 0,
            format: Format::default(),
            interval: Fraction(1, 50),
            stalled: false,
            signal: Signal::Source(timings),
            timings: Timings::default(),
            subscribed: false,
            events: VecDeque::new(),
            quirks: VecDeque::new(),
            faults: BTreeMap::new(),
            injected: false,
            calls: BTreeMap::new(),
            violations: Vec::new(),
            last_done: None,
            missed_ticks: 0,
            model,
        })))
    }

    /// A machine whose time is the runtime's, and whose pictures are drawn by `draw`, where the format is a raw one.
    ///
    /// `draw` is called while the machine's lock is held, and by whoever makes time pass.
    pub fn on_runtime(model: Model, draw: impl FnMut(Taken) -> Option<Vec<u8>> + Send + 'static) -> Machine {
        let machine = Machine::new(model);
        {
            let mut world = machine.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let begin = runtime::now();
            world.base = begin.checked_sub(BEGIN).unwrap_or(begin);
            world.on_runtime = Some(begin);
            world.draw = Some(Box::new(draw));
        }
        machine
    }

    /// As it is now.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        world.keep_up();
        world
    }

    /// As it is once it answers: a call may hang. Whoever is told to panic does so here.
    fn answering(&self) -> MutexGuard<'_, World> {
        loop {
            let mut world = self.world();
            if std::mem::take(&mut world.panics) {
                drop(world);
                panic!("the thread that calls the camera was told to panic");
            }
            let left = world.hangs_until.saturating_sub(world.now);
            if left.is_zero() {
                return world;
            }
            self.let_pass(world, left);
        }
    }

    /// Lets so much time pass.
    fn let_pass(&self, mut world: MutexGuard<'_, World>, time: Duration) {
        if world.on_runtime.is_some() {
            drop(world);
            runtime::thread::sleep(time);
        } else {
            let until = world.now + time;
            world.pass(until, false);
        }
    }

    /// Time since the test began.
    pub fn elapsed(&self) -> Duration {
        self.world().now - BEGIN
    }

    /// Whether anything but this handle knows the machine: a camera, a file, a mapping.
    pub fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Has something happen at a time since the test began; at once if that is over.
    pub fn at(&self, time: Duration, act: Act) {
        let mut world = self.world();
        let time = time + BEGIN;
        if time <= world.now {
            return world.act(act);
        }
        world.timeline.push((time, act));
        world.timeline.sort_by_key(|(time, _)| *time);
    }

    /// Has something happen at once.
    pub fn act(&self, act: Act) {
        self.world().act(act);
    }

    /// Fails a call `times` times, but not the first `after` times.
    pub fn fail(&self, call: &'static str, errno: Errno, after: u64, times: u64) {
        let mut world = self.world();
        world.injected = true;
        world.faults.insert(call, (errno, after, times));
    }

    /// How often a call was made, whether or not it failed.
    pub fn calls(&self, call: &str) -> u64 {
        self.world().calls.get(call).copied().unwrap_or(0)
    }

    /// Changes what the driver can do.
    pub fn model(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.world().model);
    }

    /// The format that is set.
    pub fn format(&self) -> Format {
        self.world().format
    }

    /// Buffers that are neither queued nor filled: they must be lent, or about to be queued.
    pub fn taken_out(&self) -> usize {
        self.world().buffers.iter().filter(|buffer| buffer.state == State::Dequeued).count()
    }

    /// What no program should have tried.
    pub fn violations(&self) -> Vec<String> {
        self.world().violations.clone()
    }

    /// Open files, mappings, buffers, all of which are left at the end only if they leaked.
    pub fn left(&self) -> (usize, usize, usize) {
        let world = self.world();
        let open = world.files.values().filter(|file| file.open).count();
        (open, world.files.values().map(|file| file.maps).sum(), world.buffers.len())
    }
}
