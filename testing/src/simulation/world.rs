//! What a cart is surrounded by: a camera, a monitor, a network and the people who operate it, all of which fail as the plan
//! says; and what must hold all the same.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use polyp_edge::capture::Mask;
use polyp_edge::capture::live::{Absence, Buffer, BufferId, Camera, Counts, Event, Lease, Stamp, Why};
use polyp_edge::detect::Region;
use polyp_edge::display::{Scene, Shown, Sink};
use polyp_edge::frame::{Colour, Frame, PixelFormat, Plane, Stride, Timestamp, View};
use polyp_edge::pipeline::{Observer, Settings, Status};
use polyp_edge::runtime;
use polyp_edge::segment::Network;

use super::plan::{Change, Fault, Thread};

/// Frames a second, and refreshes of the monitor.
pub const RATE_HZ: f64 = 60.0;
/// Pixels along each side of the network's input.
const SIDE: usize = 32;
/// Pixels along each side of its output.
const CELLS: usize = 8;
/// Width and height of the camera's frames in pixels.
const SIZES: [(usize, usize); 2] = [(32, 32), (64, 64)];
/// Each frame has its polyp in another cell than so many before it, so that an outline tells which frame it is of.
const DIFFERENT: u64 = 24;
/// Pictures may be this far apart where camera and monitor are well.
const LONGEST_GAP: Duration = Duration::from_millis(2 * 1000 / 60 + 20);
/// From the camera to the display where both are well: less than a frame's time, however late a thread gets its core.
const LONGEST_DELAY: Duration = Duration::from_millis(14);
/// From the end of a camera to the first picture of another one in its place.
const EXCHANGED_WITHIN: Duration = Duration::from_millis(700);
/// When a run ends: in the mailbox, in the hands of the display, in those of the camera.
const FRAMES_ON_THEIR_WAY: u64 = 3;
/// Frames that are remembered.
const REMEMBERED: usize = 90;
/// What is shown as the state is true so soon after its cause.
const STATE_WITHIN: Duration = Duration::from_secs(1);
/// From being able to assist to assisting.
const ASSISTS_WITHIN: Duration = Duration::from_secs(3);

/// The surroundings, in everybody's hands. Its lock is never held while anybody waits.
#[derive(Clone)]
pub struct World(Arc<Mutex<Surroundings>>);

/// A frame that the camera gave.
#[derive(Clone, Copy, Debug)]
struct Given {
    cell: usize,
    at: Instant,
    /// Of the camera.
    epoch: u64,
    size: (usize, usize),
}

/// See [`World`].
struct Surroundings {
    begin: Instant,
    max_age: Duration,
    size: usize,
    /// Another one whenever the camera comes back or is another.
    epoch: u64,
    given: VecDeque<Given>,
    frames: u64,
    /// `[size, cell]`
    buffers: Vec<Arc<Picture>>,
    // What ails the camera, each until then.
    stalls_until: Instant,
    unplugged_at: Instant,
    unplugged_until: Instant,
    /// Threads that tell of a state may be kept from it until then.
    told_from: Instant,
    hangs_until: Instant,
    capture_panics: bool,
    panicked: Vec<Instant>,
    stamps_ahead: Option<Duration>,
    // The monitor.
    busy_until: Instant,
    show_takes: Option<Duration>,
    fails: bool,
    last_flip: Option<Instant>,
    /// The frame that is shown, as its pixels tell.
    on_monitor: Option<Given>,
    /// When the last one came to the display.
    handed_over: Instant,
    flips: u64,
    // The network.
    takes: Duration,
    slow_until: Instant,
    hang_for: Option<Duration>,
    stuck_after: Duration,
    network_fails: bool,
    network_panics: bool,
    nonsense: u32,
    nothing: u32,
    /// Nothing can be expected of the picture, of the assistance, before then.
    picture_from: Instant,
    assistance_from: Instant,
    /// Assistance is off until another model is put in charge.
    assistance_lost: bool,
    state: String,
    /// The profile that a reload finds: its number, and how it differs from the first.
    profile: (u64, Change),
    reload_asked: bool,
    end_asked: Option<Instant>,
    disk_takes: Duration,
    disk_slow_until: Instant,
    disk_hangs_until: Instant,
    disk_full_until: Instant,
    /// Nothing can be expected of the state file before then.
    disk_from: Instant,
    state_written: Option<String>,
    state_told: Instant,
    faults: BTreeMap<(String, String), u64>,
    broken: Vec<String>,
    broke_after: Option<Duration>,
    story: Option<Vec<String>>,
}

impl World {
    /// Well surroundings. With `tells`, the story is kept.
    pub fn new(tells: bool) -> World {
        let now = runtime::now();
        World(Arc::new(Mutex::new(Surroundings {
            begin: now,
            max_age: Settings::default().max_age,
            size: 0,
            epoch: 0,
            given: VecDeque::with_capacity(REMEMBERED),
            frames: 0,
            buffers: pictures(),
            stalls_until: now,
            unplugged_at: now,
            unplugged_until: now,
            told_from: now,
            hangs_until: now,
            capture_panics: false,
            panicked: Vec::new(),
            stamps_ahead: None,
            busy_until: now,
            show_takes: None,
            fails: false,
            last_flip: None,
            on_monitor: None,
            handed_over: now,
            flips: 0,
            takes: Duration::from_millis(9),
            slow_until: now,
            hang_for: None,
            stuck_after: Duration::ZERO,
            network_fails: false,
            network_panics: false,
            nonsense: 0,
            nothing: 0,
            picture_from: now + Duration::from_millis(500),
            assistance_from: now + ASSISTS_WITHIN,
            assistance_lost: false,
            state: String::new(),
            profile: (0, Change::Nothing),
            reload_asked: false,
            end_asked: None,
            disk_takes: Duration::ZERO,
            disk_slow_until: now,
            disk_hangs_until: now,
            disk_full_until: now,
            disk_from: now,
            state_written: None,
            state_told: now,
            faults: BTreeMap::new(),
            broken: Vec::new(),
            broke_after: None,
            story: tells.then(Vec::new),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Surroundings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a fault happen, as far as it concerns camera, monitor and network.
    #[expect(clippy::too_many_lines, reason = "one kind of fault after another")]
    pub fn happens(&self, fault: Fault, stuck_after: Duration) {
        let mut world = self.lock();
        world.tell(&format!("fault: {fault}"));
        let state = world.state.clone();
        *world.faults.entry((fault.kind(), state)).or_default() += 1;
        let now = runtime::now();
        let soon = Duration::from_millis(150);
        match fault {
            Fault::CameraStalls(time) => {
                world.stalls_until = now + time;
                world.picture_ill(time + soon);
            }
            Fault::CameraUnplugged(time) => {
                if !world.is_absent(now) {
                    world.unplugged_at = now;
                }
                world.unplugged_until = world.unplugged_until.max(now + time);
                world.picture_ill(time + soon);
            }
            Fault::CameraHangs(time) => {
                world.hangs_until = now + time;
                world.told_from = world.told_from.max(now + time);
                world.picture_ill(time + soon);
            }
            Fault::CaptureThreadPanics => {
                world.capture_panics = true;
                // It may be at its end only when it comes back to the camera.
                world.picture_ill(Duration::from_millis(500));
            }
            Fault::SizeChanges => world.size = 1 - world.size,
            Fault::StampsFromTheFuture(time) => world.stamps_ahead = Some(time),
            Fault::MonitorBusy(time) => {
                world.busy_until = now + time;
                world.picture_ill(time + soon);
            }
            Fault::MonitorSlow(time) => {
                world.show_takes = Some(time);
                world.picture_ill(time + soon);
            }
            Fault::MonitorFails => {
                world.fails = true;
                world.picture_ill(Duration::from_millis(1500));
            }
            Fault::InferenceSlow(takes, time) => {
                (world.takes, world.slow_until) = (takes, now + time);
                world.assistance_ill(time + ASSISTS_WITHIN);
            }
            Fault::InferenceHangs(time) => {
                (world.hang_for, world.stuck_after) = (Some(time), stuck_after);
                world.assistance_ill(time.min(stuck_after) + 2 * ASSISTS_WITHIN);
            }
            Fault::InferenceFails => (world.network_fails, world.assistance_lost) = (true, true),
            Fault::InferencePanics => (world.network_panics, world.assistance_lost) = (true, true),
            Fault::InferenceNonsense(frames) => {
                world.nonsense = frames;
                world.assistance_ill(Duration::from_secs_f64(f64::from(frames) / 20.0) + ASSISTS_WITHIN);
            }
            Fault::InferenceFindsNothing(frames) => world.nothing = frames,
            Fault::Starved(thread, time) => {
                world.told_from = world.told_from.max(now + time);
                // What failed is mended only once the supervisor has its turn again.
                let mending =
                    if thread == Thread::Main { Duration::from_millis(1200) } else { Duration::ZERO };
                world.picture_ill(time + mending + soon);
            }
            Fault::ClockForward(_) | Fault::ClockBack(_) => {}
            Fault::Reload(change) => {
                world.profile = (world.profile.0 + 1, change);
                world.reload_asked = true;
            }
            Fault::DiskSlow(takes, time) => {
                (world.disk_takes, world.disk_slow_until) = (takes, now + time);
                world.disk_ill(time + takes);
            }
            Fault::DiskHangs(time) => {
                world.disk_hangs_until = now + time;
                world.disk_ill(time);
            }
            Fault::DiskFull(time) => {
                world.disk_full_until = now + time;
                world.disk_ill(time);
            }
        }
    }

    /// What must hold at any time; to be asked often.
    pub fn look(&self) {
        let mut world = self.lock();
        let now = runtime::now();
        if now > world.picture_from {
            let gap =
                world.last_flip.map_or(now.duration_since(world.begin), |flip| now.duration_since(flip));
            if gap > LONGEST_GAP {
                world.breaks(&format!("no picture for {gap:?} while camera and monitor are well"));
            }
        }
        if now > world.assistance_from
            && now > world.picture_from + ASSISTS_WITHIN
            && !world.assistance_lost
            && world.state != "assist"
        {
            let state = world.state.clone();
            world.breaks(&format!("nothing ails the assistance, and the state is {state}"));
        }
        // What the file says is what the monitor says, but for the time that writing takes.
        let told_since = world.state_told.max(world.disk_from).max(world.told_from);
        if now.saturating_duration_since(told_since) > STATE_WITHIN
            && world.state_written.as_ref() != Some(&world.state)
        {
            let (state, written) = (world.state.clone(), world.state_written.clone());
            world.breaks(&format!("the state is {state}, and the state file says {written:?}"));
        }
        // A camera that is gone is told of, unless a thread that would tell has no core.
        let gone_since = world.unplugged_at.max(world.told_from);
        let is_gone = now < world.unplugged_until && now.saturating_duration_since(gone_since) > STATE_WITHIN;
        if is_gone && world.state != "no-signal" {
            let state = world.state.clone();
            world.breaks(&format!("the camera is unplugged, and the state is {state}"));
        }
    }

    /// What did not hold, in the order of time.
    pub fn broken(&self) -> Vec<String> {
        self.lock().broken.clone()
    }

    /// The profile that a reload finds: its number, and how it differs from the first.
    pub fn profile(&self) -> (u64, Change) {
        self.lock().profile
    }

    /// Whether a reload was asked for since this was asked last.
    pub fn take_reload(&self) -> bool {
        std::mem::take(&mut self.lock().reload_asked)
    }

    /// Asks the run to end.
    pub fn ask_to_end(&self) {
        self.tell("asked to end");
        self.lock().end_asked = Some(runtime::now());
    }

    /// Takes in what a run says of its frames at its end: each was shown or not, but for those on their way.
    pub fn frames_were_told(&self, report: &str) {
        let told: serde_json::Value = serde_json::from_str(report).unwrap_or_default();
        let count = |name: &str| told[name].as_u64().unwrap_or(0);
        let (captured, fates) = (count("captured"), count("shown") + count("not_shown"));
        let mut world = self.lock();
        if captured == 0 || fates > captured || captured - fates > FRAMES_ON_THEIR_WAY {
            world.breaks(&format!("of {captured} frames captured, {fates} were shown or are told not to be"));
        }
    }

    /// Whether the capture thread panicked four times within a minute: then a run ends by itself.
    pub fn panics_often(&self) -> bool {
        let world = self.lock();
        world.panicked.windows(4).any(|four| four[3].duration_since(four[0]) <= Duration::from_secs(61))
    }

    /// When that was.
    pub fn asked_to_end(&self) -> Option<Instant> {
        self.lock().end_asked
    }

    /// Takes as long as the disk does at the moment.
    pub fn wait_for_disk(&self) {
        let (hangs_until, takes) = {
            let world = self.lock();
            let is_slow = runtime::now() < world.disk_slow_until;
            (world.disk_hangs_until, if is_slow { world.disk_takes } else { Duration::from_micros(300) })
        };
        runtime::thread::sleep(hangs_until.saturating_duration_since(runtime::now()) + takes);
    }

    /// Whether nothing can be written.
    pub fn disk_is_full(&self) -> bool {
        runtime::now() < self.lock().disk_full_until
    }

    /// Takes in what the state file holds.
    pub fn wrote_state(&self, text: &str) {
        let told: Option<serde_json::Value> = serde_json::from_str(text).ok();
        let state = told.as_ref().and_then(|told| told["state"].as_str()).map(str::to_owned);
        let mut world = self.lock();
        if state.is_none() {
            world.breaks("the state file holds no state");
        }
        world.state_written = state;
    }

    /// Another model is going to be in charge.
    pub fn another_model(&self) {
        self.lock().another_model(Duration::ZERO);
    }

    /// How often a kind of fault happened in a state.
    pub fn faults(&self) -> BTreeMap<(String, String), u64> {
        self.lock().faults.clone()
    }

    /// The time from the beginning to the first thing that did not hold.
    pub fn broke_after(&self) -> Option<Duration> {
        self.lock().broke_after
    }

    /// Takes in that something did not hold.
    pub fn breaks(&self, what: &str) {
        self.lock().breaks(what);
    }

    /// The story as far as it was kept.
    pub fn story(&self) -> Vec<String> {
        self.lock().story.clone().unwrap_or_default()
    }

    /// Adds a line to the story.
    pub fn tell(&self, line: &str) {
        self.lock().tell(line);
    }

    /// How many of the camera's buffers are lent.
    pub fn lent(&self) -> usize {
        self.lock().buffers.iter().filter(|buffer| buffer.leases.load(Ordering::Relaxed) > 0).count()
    }

    /// Pictures that reached the monitor.
    pub fn flips(&self) -> u64 {
        self.lock().flips
    }
}

impl Surroundings {
    fn tell(&mut self, line: &str) {
        let time = runtime::now().duration_since(self.begin);
        if let Some(story) = &mut self.story {
            story.push(format!("{:>12.6}  {line}", time.as_secs_f64()));
        }
    }

    fn breaks(&mut self, what: &str) {
        self.tell(&format!("BROKEN: {what}"));
        let time = runtime::now().duration_since(self.begin);
        self.broke_after = self.broke_after.or(Some(time));
        self.broken.push(format!("{:.6} s: {what}", time.as_secs_f64()));
    }

    /// Looks which frame a picture is, and whether it is on time.
    fn takes_in(&mut self, picture: &View<'_>, captured: Instant) {
        let size = (picture.width_px(), picture.height_px());
        let Some(cell) = bright_cell(picture) else {
            return self.breaks("a picture is none of the camera's");
        };
        let shown = self.given.iter().rev().find(|given| given.cell == cell && given.size == size).copied();
        let Some(given) = shown else { return self.breaks("a picture is none that the camera gave lately") };
        let now = runtime::now();
        let delay = now.saturating_duration_since(given.at);
        if given.at > self.picture_from && delay > LONGEST_DELAY {
            self.breaks(&format!(
                "a picture reached the display {delay:?} after it was taken, and nothing was in its way"
            ));
        }
        if captured > now {
            self.breaks("a picture is stamped in the future");
        }
        self.on_monitor = Some(given);
    }

    fn disk_ill(&mut self, time: Duration) {
        self.disk_from = self.disk_from.max(runtime::now() + time + STATE_WITHIN);
    }

    fn picture_ill(&mut self, time: Duration) {
        self.picture_from = self.picture_from.max(runtime::now() + time);
    }

    fn assistance_ill(&mut self, time: Duration) {
        self.assistance_from = self.assistance_from.max(runtime::now() + time);
    }

    fn another_model(&mut self, after: Duration) {
        (self.network_fails, self.network_panics, self.assistance_lost) = (false, false, false);
        (self.hang_for, self.nonsense, self.nothing) = (None, 0, 0);
        self.assistance_ill(after + ASSISTS_WITHIN);
    }

    fn is_absent(&self, now: Instant) -> bool {
        now < self.unplugged_until
    }
}

fn pictures() -> Vec<Arc<Picture>> {
    let all = (0..SIZES.len() * CELLS * CELLS).map(|index| {
        let (size, cell) = (SIZES[index / (CELLS * CELLS)], index % (CELLS * CELLS));
        Arc::new(Picture::new(index as u32, size, cell))
    });
    all.collect()
}

/// The cell of a frame's polyp, `[0, CELLS × CELLS)`: every second row and column, others for each epoch.
fn cell_of(frame: u64, epoch: u64) -> usize {
    let place = (frame % DIFFERENT) as usize;
    let (row, column) = (place / CELLS, place % CELLS);
    // Rows 1..4 or 4..7: the corner with the glyph stays free.
    (1 + row + 3 * (epoch % 2) as usize) * CELLS + column
}

/// The camera.
pub struct WorldCamera {
    world: World,
    /// `None` before its first picture, and before the first since it was away.
    epoch: Option<u64>,
    next: Option<Instant>,
    attempts: u64,
    counts: Counts,
}

impl WorldCamera {
    /// A camera that has given nothing yet.
    pub fn new(world: &World) -> WorldCamera {
        let world = world.clone();
        WorldCamera { world, epoch: None, next: None, attempts: 0, counts: Counts::default() }
    }
}

impl Drop for WorldCamera {
    fn drop(&mut self) {
        // Another one may be taking its place.
        self.world.lock().picture_ill(EXCHANGED_WITHIN);
    }
}

impl Camera for WorldCamera {
    #[expect(clippy::too_many_lines, reason = "one ailment of the camera after another")]
    fn next(&mut self, patience: Duration, _: &mut Frame) -> Event {
        let now = runtime::now();
        let (hangs_until, absent, stalled) = {
            let mut world = self.world.lock();
            if std::mem::take(&mut world.capture_panics) {
                world.panicked.push(now);
                drop(world);
                panic!("the capture thread was told to panic");
            }
            (world.hangs_until, world.is_absent(now), now < world.stalls_until)
        };
        if now < hangs_until {
            runtime::thread::sleep(hangs_until - now);
        }
        if absent {
            let left = self.world.lock().unplugged_until.saturating_duration_since(now);
            runtime::thread::sleep(patience.min(left));
            (self.epoch, self.next) = (None, None);
            self.attempts += 1;
            let detail = Arc::from("the camera is unplugged");
            return Event::Absent(Absence { why: Why::Unplugged, detail, attempts: self.attempts });
        }
        if stalled {
            runtime::thread::sleep(patience);
            self.next = None;
            return Event::Nothing;
        }
        let interval = Duration::from_secs_f64(1.0 / RATE_HZ);
        let due =
            self.next.map_or(now + interval, |next| next.max(now.checked_sub(interval).unwrap_or(next)));
        if due > now + patience {
            runtime::thread::sleep(patience);
            return Event::Nothing;
        }
        runtime::thread::sleep(due.saturating_duration_since(now));
        self.next = Some(due + interval);
        let mut world = self.world.lock();
        let epoch = *self.epoch.get_or_insert_with(|| {
            world.epoch += 1;
            world.epoch
        });
        let size = SIZES[world.size];
        let number = world.frames;
        world.frames += 1;
        let cell = cell_of(number, epoch);
        let buffer = world.buffers[world.size * CELLS * CELLS + cell].clone();
        if buffer.leases.load(Ordering::Relaxed) > 0 {
            world.breaks("a buffer of the camera was not given back");
        }
        let at = runtime::now();
        if world.given.len() == REMEMBERED {
            world.given.pop_front();
        }
        world.given.push_back(Given { cell, at, epoch, size });
        self.counts.pictures += 1;
        let ahead = world.stamps_ahead.take().unwrap_or_default();
        let stamp = Stamp {
            sequence: number,
            timestamp: Timestamp(at.duration_since(world.begin)),
            dequeued: at + ahead,
        };
        Event::Lent(Lease::new(buffer), stamp)
    }

    fn granted(&self) -> String {
        "a simulated camera".into()
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

/// A buffer of the camera: a dark picture with one bright cell.
struct Picture {
    number: u32,
    size: (usize, usize),
    /// `[height, width, 3]`
    pixels: Vec<u8>,
    leases: AtomicU32,
}

impl Picture {
    fn new(number: u32, size: (usize, usize), cell: usize) -> Picture {
        let (width, height) = (size.0 / CELLS, size.1 / CELLS);
        let (left, top) = (cell % CELLS * width, cell / CELLS * height);
        let mut pixels = vec![20; 3 * size.0 * size.1];
        for row in pixels.chunks_exact_mut(3 * size.0).skip(top).take(height) {
            row[3 * left..3 * (left + width)].fill(230);
        }
        Picture { number, size, pixels, leases: AtomicU32::new(0) }
    }
}

/// The cell of a picture that is bright.
fn bright_cell(picture: &View<'_>) -> Option<usize> {
    let (width, height) = (picture.width_px() / CELLS, picture.height_px() / CELLS);
    let pixels = picture.planes().first()?.bytes;
    (0..CELLS * CELLS).find(|cell| {
        let (x, y) = (cell % CELLS * width + width / 2, cell / CELLS * height + height / 2);
        pixels.get(3 * (y * picture.width_px() + x)).is_some_and(|&value| value > 100)
    })
}

impl Buffer for Picture {
    fn view(&self) -> View<'_> {
        let planes = [
            Plane { bytes: &self.pixels, stride: Stride(3 * self.size.0) },
            Plane { bytes: &[], stride: Stride(0) },
        ];
        View::new(PixelFormat::Rgb24, Colour::RGB, self.size, planes).expect("its size fits its pixels")
    }
    fn id(&self) -> BufferId {
        BufferId { queue: 1, index: self.number }
    }
    fn dma_buf(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn retain(&self) {
        self.leases.fetch_add(1, Ordering::Relaxed);
    }
    fn release(&self) {
        self.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The monitor.
pub struct WorldMonitor {
    world: World,
    /// A picture that waits for its refresh, when it was taken.
    waiting: Option<(Instant, Instant)>,
}

impl WorldMonitor {
    /// A monitor that shows nothing yet.
    pub fn new(world: &World) -> WorldMonitor {
        world.tell("a display is open");
        world.lock().picture_ill(Duration::from_millis(150));
        WorldMonitor { world: world.clone(), waiting: None }
    }

    fn flip(&mut self, flipped: &mut dyn FnMut(Instant, Instant)) {
        let now = runtime::now();
        if let Some((captured, at)) = self.waiting.filter(|(_, at)| *at <= now) {
            self.waiting = None;
            flipped(captured, at);
        }
    }
}

impl Drop for WorldMonitor {
    fn drop(&mut self) {
        // Another one may be about to be opened.
        self.world.lock().picture_ill(Duration::from_millis(150));
    }
}

impl Sink for WorldMonitor {
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        let slow = {
            let mut world = self.world.lock();
            // From here on the picture is in the display's hands: it is not drawn anew.
            world.handed_over = runtime::now();
            world.show_takes.take()
        };
        if let Some(time) = slow {
            runtime::thread::sleep(time);
        }
        self.flip(&mut |_, _| ());
        let now = runtime::now();
        let mut world = self.world.lock();
        if std::mem::take(&mut world.fails) {
            world.picture_ill(Duration::from_millis(1200));
            bail!("the simulated display failed");
        }
        if now < world.busy_until || self.waiting.is_some() {
            return Ok(Shown::Skipped);
        }
        // The next refresh.
        let interval = Duration::from_secs_f64(1.0 / RATE_HZ);
        let into =
            Duration::from_nanos((now.duration_since(world.begin).as_nanos() % interval.as_nanos()) as u64);
        let at = now + (interval - into);
        self.waiting = Some((scene.captured, at));
        if let Some(picture) = scene.picture {
            world.takes_in(&picture, scene.captured);
            if let Some(before) = world.last_flip {
                let gap = at.saturating_duration_since(before);
                if before > world.picture_from && gap > LONGEST_GAP {
                    world.breaks(&format!("pictures were {gap:?} apart while camera and monitor are well"));
                }
            }
            world.last_flip = Some(at);
            world.flips += 1;
        }
        Ok(Shown::Yes)
    }

    fn tend(&mut self, flipped: &mut dyn FnMut(Instant, Instant)) -> Result<()> {
        self.flip(flipped);
        Ok(())
    }

    fn describe(&self) -> String {
        "a simulated monitor".into()
    }
}

/// The network: finds what is bright.
pub struct WorldNetwork {
    world: World,
}

impl WorldNetwork {
    /// A network that was just loaded.
    pub fn new(world: &World) -> WorldNetwork {
        WorldNetwork { world: world.clone() }
    }
}

impl Network for WorldNetwork {
    fn input_shape(&self) -> [usize; 3] {
        [SIDE, SIDE, 3]
    }

    fn output_shape(&self) -> [usize; 3] {
        [CELLS, CELLS, 1]
    }

    fn output_quantisation(&self) -> (f32, u8) {
        (0.1, 128)
    }

    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        let (takes, hang_for) = {
            let mut world = self.world.lock();
            if runtime::now() >= world.slow_until {
                world.takes = Duration::from_millis(9);
            }
            let hang_for = world.hang_for.take();
            if let Some(time) = hang_for {
                let stuck_after = world.stuck_after;
                world.assistance_ill(time.min(stuck_after) + 2 * ASSISTS_WITHIN);
            }
            (world.takes, hang_for)
        };
        runtime::thread::sleep(hang_for.unwrap_or(takes));
        let mut world = self.world.lock();
        if std::mem::take(&mut world.network_fails) {
            bail!("the simulated network failed");
        }
        if std::mem::take(&mut world.network_panics) {
            drop(world);
            panic!("the network was told to panic");
        }
        if world.nonsense > 0 {
            world.nonsense -= 1;
            logits.fill(255);
            return Ok(());
        }
        if world.nothing > 0 {
            world.nothing -= 1;
            logits.fill(0);
            return Ok(());
        }
        let cell_px = SIDE / CELLS;
        for (index, logit) in logits.iter_mut().enumerate() {
            let (x, y) = (cell_px * (index % CELLS) + cell_px / 2, cell_px * (index / CELLS) + cell_px / 2);
            *logit = input[3 * (y * SIDE + x)];
        }
        Ok(())
    }
}

/// What the pipeline tells of what it shows.
pub struct Watch(pub World);

impl Observer for Watch {
    fn shown(&mut self, _: Option<&Mask>, regions: &[Region]) {
        let mut world = self.0.lock();
        let handed_over = world.handed_over;
        for region in regions {
            let count = region.outline.len().max(1) as f32;
            let (x, y) = region
                .outline
                .iter()
                .fold((0.0, 0.0), |(x, y), point| (x + point.x / count, y + point.y / count));
            // Of the frames that look so, the newest is the one that speaks for the pipeline.
            let found = world.given.iter().rev().find(|given| {
                let (width, height) = ((given.size.0 / CELLS) as f32, (given.size.1 / CELLS) as f32);
                let (left, top) = ((given.cell % CELLS) as f32 * width, (given.cell / CELLS) as f32 * height);
                (left - 0.5..=left + width + 0.5).contains(&x)
                    && (top - 0.5..=top + height + 0.5).contains(&y)
            });
            match found.copied() {
                None => world.breaks(&format!(
                    "an outline at {x:.1}, {y:.1} is of no frame that the camera gave lately"
                )),
                Some(given) => {
                    let age = handed_over.saturating_duration_since(given.at);
                    if age > world.max_age + Duration::from_millis(5) {
                        world.breaks(&format!("an outline is {age:?} old"));
                    }
                    if world
                        .on_monitor
                        .is_some_and(|shown| (shown.epoch, shown.size) != (given.epoch, given.size))
                    {
                        world.breaks("an outline lies on a picture of another source or size");
                    }
                }
            }
        }
    }

    fn status(&mut self, status: &Status<'_>) {
        let mut world = self.0.lock();
        let word = status.state.word();
        if world.state != word {
            world.tell(&format!("state: {}", status.state));
            word.clone_into(&mut world.state);
            world.state_told = runtime::now();
        }
    }
}
