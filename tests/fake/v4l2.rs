//! A stand-in for the kernel's video devices, as strict as videobuf2: it refuses what the kernel refuses, keeps what
//! the kernel keeps (a mapping keeps its file, a file its queue), and remembers what no program should have tried.
//!
//! Time is its own: it passes only in calls, sleeps and waits. Each picture that its driver takes has bytes of its own.

#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use memmap2::{Mmap, MmapOptions};
use polyp_edge::capture::v4l2::kernel::*;
use polyp_edge::frame::View;
use rustix::io::Errno;

pub const NODE: &str = "/dev/video0";
pub const STABLE: &str = "/dev/v4l/by-id/usb-fake-video-index0";

/// What each call takes.
const CALL: Duration = Duration::from_micros(10);

const FLAG_ERROR: u32 = 0x40;
const FLAG_MONOTONIC: u32 = 0x2000;
const CAPTURE: u32 = 1;
const CAPTURE_MPLANE: u32 = 0x1000;
const STREAMING: u32 = 0x0400_0000;

/// Every call that can be made to fail.
pub const CALLS: [&str; 27] = [
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
];

/// What the driver can do.
#[derive(Clone, Debug)]
pub struct Model {
    pub buffers: BufferType,
    pub formats: Vec<FourCc>,
    pub sizes: Vec<Sizes>,
    pub intervals: Vec<Intervals>,
    /// Bytes added to each row, to each plane, and before each picture where the driver is multi-planar.
    pub padding: u32,
    pub tail: u32,
    pub data_offset: u32,
    /// An HDMI input.
    pub digital: bool,
    /// `REQBUFS` of 0 while buffers are mapped, as kernels have it since 5.0.
    pub orphans: bool,
    pub can_export: bool,
    pub most_buffers: u32,
    /// Pictures are taken only while that many buffers are queued.
    pub least_queued: usize,
    /// What `S_FMT` does to what it is asked.
    pub alter: fn(&mut Format),
    /// `None`: what a raw format's picture is made of; else a JPEG picture.
    pub jpeg: Option<fn(u64) -> Vec<u8>>,
}

impl Default for Model {
    fn default() -> Model {
        Model {
            buffers: BufferType::Single,
            formats: vec![FourCc::new(b"YUYV")],
            sizes: vec![Sizes::One((16, 8))],
            intervals: vec![Intervals::One(Fraction(1, 50))],
            padding: 0,
            tail: 0,
            data_offset: 0,
            digital: false,
            orphans: true,
            can_export: true,
            most_buffers: 32,
            least_queued: 1,
            alter: |_| {},
            jpeg: None,
        }
    }
}

/// What an HDMI input meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    Source(Timings),
    /// An error of `QUERY_DV_TIMINGS`, the input's status, and what cables there are.
    None {
        errno: Errno,
        status: u32,
        cables: u32,
    },
}

pub fn timings(width: u32, height: u32) -> Timings {
    let pixel_clock_hz = 50 * u64::from(width + 8) * u64::from(height + 8);
    Timings {
        width,
        height,
        pixel_clock_hz,
        horizontal: [2, 3, 3],
        vertical: [2, 3, 3],
        ..Timings::default()
    }
}

/// What happens to the next picture that is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quirk {
    ErrorFlag,
    /// Less is filled than a picture needs.
    Truncated,
    /// More is said to be filled than there is.
    Oversized,
    /// The offset of its data lies behind their end.
    BadOffset,
    /// Not as many planes as there are.
    Planes,
    /// The number and time of the picture before.
    Duplicate,
    /// Numbered and timed as if it had been taken before the last.
    Misordered,
    /// A time of long ago.
    Stale,
    /// A number far ahead.
    Leap,
    /// The dequeued buffer's index is one that there is not.
    NoSuchIndex,
    /// The dequeued buffer's index is that of another one, which was not filled.
    WrongIndex,
}

pub const QUIRKS: [Quirk; 11] = [
    Quirk::ErrorFlag,
    Quirk::Truncated,
    Quirk::Oversized,
    Quirk::BadOffset,
    Quirk::Planes,
    Quirk::Duplicate,
    Quirk::Misordered,
    Quirk::Stale,
    Quirk::Leap,
    Quirk::NoSuchIndex,
    Quirk::WrongIndex,
];

/// What happens to the device.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Unplug,
    Replug,
    /// No picture is taken any more, or again.
    Stall(bool),
    Signal(Signal),
    /// The next pictures are odd.
    Quirk(Quirk, u32),
    /// The driver gives up its queue, as `vb2_queue_error` does.
    QueueError,
    /// An event without reason.
    SpuriousEvent,
    /// A call fails so many times from now on.
    Fail(&'static str, Errno, u64),
    /// No call fails any more, and no picture is odd.
    Mend,
}

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

struct World {
    base: Instant,
    now: Duration,
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

/// An open file.
pub struct Handle {
    machine: Machine,
    file: u64,
    generation: u64,
}

/// A mapped plane.
pub struct Memory {
    map: Mmap,
    machine: Machine,
    file: u64,
    allocation: u64,
    index: usize,
}

impl Machine {
    pub fn new(model: Model) -> Machine {
        let timings = timings(16, 8);
        Machine(Arc::new(Mutex::new(World {
            base: Instant::now(),
            now: Duration::from_secs(100),
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

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Time since the test began.
    pub fn elapsed(&self) -> Duration {
        self.world().now - Duration::from_secs(100)
    }

    /// Has something happen at a time since the test began; at once if that is over.
    pub fn at(&self, time: Duration, act: Act) {
        let mut world = self.world();
        let time = time + Duration::from_secs(100);
        if time <= world.now {
            return world.act(act);
        }
        world.timeline.push((time, act));
        world.timeline.sort_by_key(|(time, _)| *time);
    }

    pub fn act(&self, act: Act) {
        self.world().act(act);
    }

    /// Fails a call `times` times, but not the first `after` times.
    pub fn fail(&self, call: &'static str, errno: Errno, after: u64, times: u64) {
        let mut world = self.world();
        world.injected = true;
        world.faults.insert(call, (errno, after, times));
    }

    pub fn calls(&self, call: &str) -> u64 {
        self.world().calls.get(call).copied().unwrap_or(0)
    }

    pub fn model(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.world().model);
    }

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

/// Byte `at` of plane `plane` of picture `tick`.
pub fn byte(tick: u64, plane: usize, at: usize) -> u8 {
    let mixed = (tick.wrapping_mul(0x9E37_79B9) ^ (at as u64).wrapping_mul(0x85EB_CA6B) ^ plane as u64) >> 3;
    (mixed % 251) as u8
}

/// Which picture a view shows: every byte of it must be that picture's.
///
/// The first eight bytes are its number.
pub fn picture(view: &View<'_>) -> Result<u64, String> {
    let planes = view.planes();
    let head = planes[0].bytes.get(..8).and_then(|head| head.try_into().ok()).ok_or("too short")?;
    let tick = u64::from_le_bytes(head);
    let height = view.height_px();
    let nv12 = view.format() == polyp_edge::frame::PixelFormat::Nv12;
    let mut checked = 0;
    for (plane, rows) in [(0, height), (1, if nv12 { height / 2 } else { 0 })] {
        let stride = planes[plane].stride.0;
        let row = view.format().row_bytes(view.width_px()).ok_or("no rows")?;
        // Where the second plane lies behind the first in the same memory, it goes on there.
        let first = planes[0].bytes.as_ptr() as usize + planes[0].stride.0 * height;
        let joined = plane == 1 && planes[1].bytes.as_ptr() as usize == first;
        let (memory, base) = if joined { (0, planes[0].stride.0 * height) } else { (plane, 0) };
        for y in 0..rows {
            for x in 0..row {
                let at = y * stride + x;
                if memory == 0 && base + at < 8 {
                    continue;
                }
                let found = planes[plane].bytes.get(at).copied();
                if found != Some(byte(tick, memory, base + at)) {
                    return Err(format!("picture {tick}, plane {plane}, byte {at}: {found:?}"));
                }
                checked += 1;
            }
        }
    }
    if checked == 0 { Err("nothing to see".into()) } else { Ok(tick) }
}

impl World {
    fn period(&self) -> Duration {
        let rate = self.interval.rate_hz().unwrap_or(50.0).clamp(1.0, 240.0);
        Duration::from_secs_f64(1.0 / rate)
    }

    /// Lets time pass up to `until`, or until something can be had if `wake` says so.
    fn pass(&mut self, until: Duration, wake: bool) {
        loop {
            if wake && (!self.done.is_empty() || !self.events.is_empty() || self.error || !self.plugged) {
                return;
            }
            let period = self.period();
            let ticks = (self.now.as_nanos() / period.as_nanos()) as u32 + 1;
            let tick = period * ticks;
            let act = self.timeline.first().map(|(time, _)| *time);
            let next = act.map_or(tick, |act| act.min(tick));
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            if act == Some(next) {
                let (_, act) = self.timeline.remove(0);
                self.act(act);
            } else {
                self.take_picture();
            }
        }
        self.now = self.now.max(until);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Unplug => {
                self.plugged = false;
                self.streaming = false;
                self.queued.clear();
                self.done.clear();
            }
            Act::Replug => {
                // What the old files hold is theirs alone; the queue is a new one.
                if !self.plugged {
                    self.plugged = true;
                    self.generation += 1;
                    (self.owner, self.streaming, self.error, self.subscribed) = (None, false, false, false);
                    self.buffers.clear();
                    self.queued.clear();
                    self.done.clear();
                    self.events.clear();
                }
            }
            Act::Stall(stalled) => self.stalled = stalled,
            Act::Signal(signal) => {
                self.signal = signal;
                if self.subscribed {
                    self.events.push_back(Notice::SourceChanged);
                }
            }
            Act::Quirk(quirk, count) => self.quirks.extend((0..count).map(|_| quirk)),
            Act::QueueError => self.error = self.streaming,
            Act::SpuriousEvent => {
                if self.subscribed {
                    self.events.push_back(Notice::SourceChanged);
                }
            }
            Act::Fail(call, errno, times) => {
                self.injected = true;
                self.faults.insert(call, (errno, 0, times));
            }
            Act::Mend => {
                self.faults.clear();
                self.quirks.clear();
            }
        }
    }

    fn take_picture(&mut self) {
        self.tick += 1;
        let has_source = !self.model.digital || self.signal == Signal::Source(self.timings);
        if !self.plugged || !self.streaming || self.stalled || self.error || !has_source {
            return;
        }
        self.sequence += 1;
        if self.queued.len() < self.model.least_queued {
            self.missed_ticks += 1;
            return;
        }
        let Some(index) = self.queued.pop_front() else { return };
        let (tick, now, sequence) = (self.tick, self.now, self.sequence - 1);
        let offset = if self.model.buffers == BufferType::Multi { self.model.data_offset } else { 0 };
        let jpeg = self.model.jpeg.map(|encode| encode(tick));
        let Some(buffer) = self.buffers.get_mut(index) else { return };
        let mut done = Dequeued {
            index: index as u32,
            flags: FLAG_MONOTONIC,
            sequence,
            timestamp: now,
            planes: buffer.planes.len() as u32,
            plane: Default::default(),
        };
        for (plane, file) in buffer.planes.iter().enumerate() {
            let length = buffer.lengths[plane];
            let mut bytes = match &jpeg {
                Some(jpeg) => jpeg.clone(),
                None => {
                    let all = length - offset as usize;
                    (0..all).map(|at| byte(tick, plane, at)).collect::<Vec<u8>>()
                }
            };
            if plane == 0 && jpeg.is_none() {
                bytes[..8].copy_from_slice(&tick.to_le_bytes());
            }
            file.write_all_at(&bytes, offset.into()).unwrap();
            let end = offset + bytes.len() as u32;
            done.plane[plane] = Used { start: offset, end, length: length as u32 };
        }
        if let Some(quirk) = self.quirks.pop_front() {
            self.distort(quirk, &mut done);
        }
        self.last_done = Some(done);
        if let Some(buffer) = self.buffers.get_mut(index) {
            (buffer.state, buffer.done) = (State::Done, done);
        }
        self.done.push_back(index);
    }

    fn distort(&mut self, quirk: Quirk, done: &mut Dequeued) {
        let last = self.last_done.unwrap_or(*done);
        let plane = &mut done.plane[0];
        match quirk {
            Quirk::ErrorFlag => done.flags |= FLAG_ERROR,
            Quirk::Truncated => plane.end = plane.start + 3,
            Quirk::Oversized => plane.end = plane.length + 1,
            Quirk::BadOffset => plane.start = plane.end + 1,
            Quirk::Planes => done.planes += 1,
            Quirk::Duplicate => (done.sequence, done.timestamp) = (last.sequence, last.timestamp),
            Quirk::Misordered => {
                done.sequence = last.sequence.wrapping_sub(1);
                done.timestamp = last.timestamp.saturating_sub(Duration::from_millis(5));
            }
            Quirk::Stale => done.timestamp = Duration::from_secs(1),
            Quirk::Leap => done.sequence = done.sequence.wrapping_add(1 << 29),
            Quirk::NoSuchIndex => done.index = 77,
            // Which one shows when it is dequeued.
            Quirk::WrongIndex => done.index = u32::MAX,
        }
    }

    fn stop(&mut self) {
        (self.streaming, self.error) = (false, false);
        self.queued.clear();
        self.done.clear();
        self.buffers.iter_mut().for_each(|buffer| buffer.state = State::Dequeued);
    }

    /// A file is let go once it is closed and nothing of it is mapped.
    fn let_go(&mut self, file: u64) {
        let Some(state) = self.files.get(&file) else { return };
        if !state.open && state.maps == 0 {
            self.files.remove(&file);
            if self.owner == Some(file) {
                self.stop();
                self.buffers.clear();
                self.owner = None;
            }
        }
    }

    fn violation(&mut self, words: String) {
        self.violations.push(words);
    }

    /// Counts a call, and answers for it if it is to fail.
    fn call(&mut self, call: &'static str) -> Answer<()> {
        assert!(CALLS.contains(&call), "{call}");
        *self.calls.entry(call).or_default() += 1;
        self.pass(self.now + CALL, false);
        if let Some((errno, after, times)) = self.faults.get_mut(call) {
            if *after > 0 {
                *after -= 1;
            } else if *times > 0 {
                *times -= 1;
                return Err(*errno);
            }
        }
        Ok(())
    }

    fn layout(&self, format: &mut Format) {
        let model = &self.model;
        let (width, height, pad) = (format.width, format.height, model.padding);
        let offset = if model.buffers == BufferType::Multi { model.data_offset } else { 0 };
        let size = |bytes: u32| bytes + model.tail + offset;
        format.plane = Default::default();
        format.planes = 1;
        format.plane[0] = match &format.fourcc.0.to_le_bytes() {
            b"YUYV" | b"UYVY" => {
                PlaneFormat { stride: 2 * width + pad, size: size((2 * width + pad) * height) }
            }
            b"RGB3" | b"BGR3" => {
                PlaneFormat { stride: 3 * width + pad, size: size((3 * width + pad) * height) }
            }
            b"NV12" => PlaneFormat { stride: width + pad, size: size((width + pad) * height * 3 / 2) },
            b"NM12" => {
                format.planes = 2;
                format.plane[1] = PlaneFormat { stride: width + pad, size: size((width + pad) * height / 2) };
                PlaneFormat { stride: width + pad, size: size((width + pad) * height) }
            }
            _ => PlaneFormat { stride: 0, size: size(width * height * 4 + 2000) },
        };
    }
}

impl Handle {
    /// Begins a call on the file.
    fn call(&self, call: &'static str) -> Answer<MutexGuard<'_, World>> {
        let mut world = self.machine.world();
        world.call(call)?;
        match world.plugged && world.generation == self.generation {
            true => Ok(world),
            false => Err(Errno::NODEV),
        }
    }

    /// Begins a call that names a buffer type.
    fn typed(&self, call: &'static str, buffers: BufferType) -> Answer<MutexGuard<'_, World>> {
        let mut world = self.call(call)?;
        if world.model.buffers != buffers {
            world.violation(format!("{call} of another buffer type"));
            return Err(Errno::INVAL);
        }
        Ok(world)
    }
}

impl System for Machine {
    type Kernel = Handle;

    fn nodes(&mut self) -> Vec<PathBuf> {
        if self.world().plugged { vec![NODE.into()] } else { Vec::new() }
    }

    fn stable_names(&mut self, _: &Path) -> Vec<PathBuf> {
        if self.world().plugged { vec![STABLE.into()] } else { Vec::new() }
    }

    fn open(&mut self, name: &Path) -> Answer<Handle> {
        let mut world = self.world();
        world.call("open")?;
        if !world.plugged || ![NODE, STABLE].iter().any(|known| Path::new(known) == name) {
            return Err(Errno::NOENT);
        }
        let (file, generation) = (world.next_file, world.generation);
        world.next_file += 1;
        world.files.insert(file, FileState { open: true, maps: 0 });
        Ok(Handle { machine: self.clone(), file, generation })
    }

    fn now(&self) -> Instant {
        let world = self.world();
        world.base + world.now
    }

    fn sleep(&self, time: Duration) {
        let mut world = self.world();
        let until = world.now + time;
        world.pass(until, false);
    }
}

impl Kernel for Handle {
    type Memory = Memory;

    fn capabilities(&self) -> Answer<Capabilities> {
        let world = self.call("VIDIOC_QUERYCAP")?;
        let capture = if world.model.buffers == BufferType::Multi { CAPTURE_MPLANE } else { CAPTURE };
        Ok(Capabilities {
            driver: Label::from(&b"fake"[..]),
            card: Label::from(&b"Fake camera"[..]),
            bus: Label::from(&b"usb-fake"[..]),
            flags: capture | STREAMING,
        })
    }

    fn format_at(&self, buffers: BufferType, index: u32) -> Answer<FourCc> {
        let world = self.typed("VIDIOC_ENUM_FMT", buffers)?;
        world.model.formats.get(index as usize).copied().ok_or(Errno::INVAL)
    }

    fn size_at(&self, format: FourCc, index: u32) -> Answer<Sizes> {
        let world = self.call("VIDIOC_ENUM_FRAMESIZES")?;
        let known = world.model.formats.contains(&format);
        world.model.sizes.get(index as usize).copied().filter(|_| known).ok_or(Errno::INVAL)
    }

    fn interval_at(&self, format: FourCc, _: (u32, u32), index: u32) -> Answer<Intervals> {
        let world = self.call("VIDIOC_ENUM_FRAMEINTERVALS")?;
        let known = world.model.formats.contains(&format);
        world.model.intervals.get(index as usize).copied().filter(|_| known).ok_or(Errno::INVAL)
    }

    fn format(&self, buffers: BufferType) -> Answer<Format> {
        Ok(self.typed("VIDIOC_G_FMT", buffers)?.format)
    }

    fn set_format(&self, buffers: BufferType, format: &Format) -> Answer<Format> {
        let mut world = self.typed("VIDIOC_S_FMT", buffers)?;
        if !world.buffers.is_empty() {
            if world.owner == Some(self.file) && !world.injected {
                world.violation("VIDIOC_S_FMT while there are buffers".into());
            }
            return Err(Errno::BUSY);
        }
        let mut granted = Format { field: 1, colorspace: 3, ..*format };
        if !world.model.formats.contains(&format.fourcc) {
            granted.fourcc = world.model.formats.first().copied().ok_or(Errno::INVAL)?;
        }
        if world.model.digital {
            (granted.width, granted.height) = (world.timings.width, world.timings.height);
        }
        world.layout(&mut granted);
        (world.model.alter)(&mut granted);
        world.format = granted;
        Ok(granted)
    }

    fn interval(&self, buffers: BufferType) -> Answer<Option<Fraction>> {
        let world = self.typed("VIDIOC_G_PARM", buffers)?;
        Ok((!world.model.intervals.is_empty()).then_some(world.interval))
    }

    fn set_interval(&self, buffers: BufferType, interval: Fraction) -> Answer<Fraction> {
        let mut world = self.typed("VIDIOC_S_PARM", buffers)?;
        if world.streaming {
            return Err(Errno::BUSY);
        }
        let fits = interval.rate_hz().is_some_and(|rate| (1.0..=240.0).contains(&rate));
        if fits {
            world.interval = interval;
        }
        Ok(world.interval)
    }

    fn input(&self) -> Answer<u32> {
        drop(self.call("VIDIOC_G_INPUT")?);
        Ok(0)
    }

    fn set_input(&self, index: u32) -> Answer<()> {
        let world = self.call("VIDIOC_S_INPUT")?;
        match index {
            0 if world.buffers.is_empty() => Ok(()),
            0 => Err(Errno::BUSY),
            _ => Err(Errno::INVAL),
        }
    }

    fn input_at(&self, index: u32) -> Answer<Input> {
        let world = self.call("VIDIOC_ENUMINPUT")?;
        let status = match world.signal {
            Signal::None { status, .. } if world.model.digital => status,
            _ => 0,
        };
        let capabilities = if world.model.digital { 2 } else { 0 };
        match index {
            0 => Ok(Input { name: Label::from(&b"Input"[..]), status, capabilities }),
            _ => Err(Errno::INVAL),
        }
    }

    fn cables(&self) -> Answer<u32> {
        let world = self.call("VIDIOC_G_CTRL")?;
        match world.signal {
            _ if !world.model.digital => Err(Errno::INVAL),
            Signal::Source(_) => Ok(1),
            Signal::None { cables, .. } => Ok(cables),
        }
    }

    fn timings(&self) -> Answer<Timings> {
        let world = self.call("VIDIOC_G_DV_TIMINGS")?;
        if world.model.digital { Ok(world.timings) } else { Err(Errno::NODATA) }
    }

    fn query_timings(&self) -> Answer<Timings> {
        let world = self.call("VIDIOC_QUERY_DV_TIMINGS")?;
        match world.signal {
            _ if !world.model.digital => Err(Errno::NODATA),
            Signal::Source(timings) => Ok(timings),
            Signal::None { errno, .. } => Err(errno),
        }
    }

    fn set_timings(&self, timings: &Timings) -> Answer<()> {
        let mut world = self.call("VIDIOC_S_DV_TIMINGS")?;
        if !world.model.digital {
            return Err(Errno::NODATA);
        }
        if !world.buffers.is_empty() {
            if world.owner == Some(self.file) && !world.injected {
                world.violation("VIDIOC_S_DV_TIMINGS while there are buffers".into());
            }
            return Err(Errno::BUSY);
        }
        world.timings = *timings;
        Ok(())
    }

    fn subscribe_source_change(&self, _: u32) -> Answer<()> {
        let mut world = self.call("VIDIOC_SUBSCRIBE_EVENT")?;
        if !world.model.digital {
            return Err(Errno::INVAL);
        }
        world.subscribed = true;
        Ok(())
    }

    fn event(&self) -> Answer<Notice> {
        let mut world = self.call("VIDIOC_DQEVENT")?;
        world.events.pop_front().ok_or(Errno::NOENT)
    }

    fn request_buffers(&self, buffers: BufferType, count: u32) -> Answer<u32> {
        let mut world = self.typed("VIDIOC_REQBUFS", buffers)?;
        if world.owner.is_some_and(|owner| owner != self.file) {
            return Err(Errno::BUSY);
        }
        if world.streaming {
            if !world.injected {
                world.violation("VIDIOC_REQBUFS while streaming".into());
            }
            return Err(Errno::BUSY);
        }
        if !world.model.orphans && world.buffers.iter().any(|buffer| buffer.maps > 0) {
            return Err(Errno::BUSY);
        }
        world.stop();
        world.buffers.clear();
        world.owner = (count > 0).then_some(self.file);
        world.allocation += 1;
        let count = count.min(world.model.most_buffers).min(32);
        let format = world.format;
        for _ in 0..count {
            let lengths: Vec<usize> =
                (0..format.planes as usize).map(|plane| format.plane[plane].size as usize).collect();
            let memory = |&length: &usize| {
                let file = rustix::fs::memfd_create("plane", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
                let file = File::from(file);
                file.set_len(length as u64).unwrap();
                Arc::new(file)
            };
            let planes = lengths.iter().map(memory).collect();
            let (state, done) = (State::Dequeued, Dequeued::default());
            world.buffers.push(Buffer { planes, lengths, state, maps: 0, done });
        }
        Ok(count)
    }

    fn buffer(&self, buffers: BufferType, index: u32) -> Answer<Memories> {
        let world = self.typed("VIDIOC_QUERYBUF", buffers)?;
        let buffer = world.buffers.get(index as usize).ok_or(Errno::INVAL)?;
        let mut memories = Memories { planes: buffer.planes.len() as u32, ..Memories::default() };
        for (plane, (place, &length)) in memories.plane.iter_mut().zip(&buffer.lengths).enumerate() {
            *place = MemoryPlace { offset: (u64::from(index) << 32) | ((plane as u64) << 16), length };
        }
        Ok(memories)
    }

    fn map(&self, place: MemoryPlace) -> Answer<Memory> {
        let mut world = self.call("mmap")?;
        let (index, plane) = ((place.offset >> 32) as usize, (place.offset >> 16 & 1) as usize);
        let allocation = world.allocation;
        if world.owner != Some(self.file) {
            return Err(Errno::INVAL);
        }
        let buffer = world.buffers.get_mut(index).ok_or(Errno::INVAL)?;
        let file = buffer.planes.get(plane).ok_or(Errno::INVAL)?;
        // SAFETY: the file is of that length for good, and its bytes are written only while the buffer is queued.
        let map = unsafe { MmapOptions::new().len(place.length).map(&**file) }.map_err(|_| Errno::INVAL)?;
        buffer.maps += 1;
        world.files.entry(self.file).or_default().maps += 1;
        Ok(Memory { map, machine: self.machine.clone(), file: self.file, allocation, index })
    }

    fn export(&self, buffers: BufferType, index: u32, plane: u32) -> Answer<OwnedFd> {
        let world = self.typed("VIDIOC_EXPBUF", buffers)?;
        if !world.model.can_export {
            return Err(Errno::NOTTY);
        }
        let buffer = world.buffers.get(index as usize).ok_or(Errno::INVAL)?;
        let file = buffer.planes.get(plane as usize).ok_or(Errno::INVAL)?;
        Ok(file.try_clone().map_err(|_| Errno::MFILE)?.into())
    }

    fn queue(&self, buffers: BufferType, index: u32, planes: u32) -> Answer<()> {
        let mut world = self.typed("VIDIOC_QBUF", buffers)?;
        if world.owner != Some(self.file) {
            world.violation(format!("VIDIOC_QBUF of buffer {index} without a request"));
            return Err(Errno::INVAL);
        }
        let Some(buffer) = world.buffers.get_mut(index as usize) else {
            world.violation(format!("VIDIOC_QBUF of buffer {index}, which there is not"));
            return Err(Errno::INVAL);
        };
        if buffer.planes.len() as u32 != planes {
            let words = format!("VIDIOC_QBUF of {planes} planes for {}", buffer.planes.len());
            world.violation(words);
            return Err(Errno::INVAL);
        }
        if buffer.state != State::Dequeued {
            let words = format!("VIDIOC_QBUF of buffer {index}, which is {:?}", buffer.state);
            world.violation(words);
            return Err(Errno::INVAL);
        }
        buffer.state = State::Queued;
        world.queued.push_back(index as usize);
        Ok(())
    }

    fn dequeue(&self, buffers: BufferType) -> Answer<Dequeued> {
        let mut world = self.typed("VIDIOC_DQBUF", buffers)?;
        if world.error {
            return Err(Errno::IO);
        }
        if !world.streaming {
            world.violation("VIDIOC_DQBUF without a stream".into());
            return Err(Errno::INVAL);
        }
        let index = world.done.pop_front().ok_or(Errno::AGAIN)?;
        let other = world.buffers.iter().position(|buffer| buffer.state == State::Dequeued);
        let buffer = world.buffers.get_mut(index).ok_or(Errno::IO)?;
        buffer.state = State::Dequeued;
        if buffer.done.index == u32::MAX {
            buffer.done.index = other.map_or(78, |other| other as u32);
        }
        Ok(buffer.done)
    }

    fn stream_on(&self, buffers: BufferType) -> Answer<()> {
        let mut world = self.typed("VIDIOC_STREAMON", buffers)?;
        if world.owner != Some(self.file) || world.buffers.is_empty() {
            world.violation("VIDIOC_STREAMON without buffers".into());
            return Err(Errno::INVAL);
        }
        (world.streaming, world.sequence) = (true, 0);
        Ok(())
    }

    fn stream_off(&self, buffers: BufferType) -> Answer<()> {
        let mut world = self.typed("VIDIOC_STREAMOFF", buffers)?;
        if world.owner != Some(self.file) {
            return Err(Errno::BUSY);
        }
        world.stop();
        Ok(())
    }

    fn wait(&self, time: Duration) -> Answer<Ready> {
        let mut world = self.machine.world();
        world.call("poll")?;
        let gone = Ready { error: true, gone: true, event: true, picture: false };
        if !world.plugged || world.generation != self.generation {
            return Ok(gone);
        }
        if world.streaming {
            let until = world.now + time;
            world.pass(until, true);
        }
        if !world.plugged {
            return Ok(gone);
        }
        Ok(Ready {
            picture: !world.done.is_empty() && !world.error,
            event: !world.events.is_empty(),
            error: world.error || !world.streaming,
            gone: false,
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut world = self.machine.world();
        if let Some(state) = world.files.get_mut(&self.file) {
            state.open = false;
        }
        world.let_go(self.file);
    }
}

impl Deref for Memory {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut world = self.machine.world();
        if world.allocation == self.allocation
            && let Some(buffer) = world.buffers.get_mut(self.index)
        {
            buffer.maps = buffer.maps.saturating_sub(1);
        }
        if let Some(state) = world.files.get_mut(&self.file) {
            state.maps = state.maps.saturating_sub(1);
        }
        world.let_go(self.file);
    }
}
