//! What a cart is surrounded by: a camera, a monitor, a network and the people who operate it, all of which fail as the plan
//! says; and what must hold all the same.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use polyp_edge::capture::v4l2::camera::RECOVERS_WITHIN;
use polyp_edge::cart::{Notice, STANDS_STILL_AFTER};
use polyp_edge::pipeline::{self, Observer, Settings, Status};
use polyp_edge::runtime;

use super::heat::Heat;
use super::picture::{CELLS, Picture, Seen, pictures};
use super::plan::{CALLS_FAIL_FOR, Change, Fault, Thread};
use super::records::Records;
use super::room::{self, Room};
use super::store::Store;

/// Frames a second, and refreshes of the monitor.
pub(super) const RATE_HZ: f64 = 60.0;
/// Pictures may be this far apart where camera and monitor are well.
pub(super) const LONGEST_GAP: Duration = Duration::from_millis(2 * 1000 / 60 + 20);
/// From a flip to the moment at which the display asks for it.
const TOLD_WITHIN: Duration = Duration::from_millis(25);
/// From the camera to the display where both are well: less than a frame's time, however late a thread gets its core.
const LONGEST_DELAY: Duration = Duration::from_millis(14);
/// From the end of a fault to pictures: where nothing has to be opened anew, the camera's driver, the display's.
const SOON: Duration = Duration::from_millis(150);
const CAMERA_BACK: Duration = RECOVERS_WITHIN.saturating_add(SOON);
const MONITOR_BACK: Duration = Duration::from_millis(1200);
/// From the end of a camera to the first picture of another one in its place.
pub(super) const EXCHANGED_WITHIN: Duration = Duration::from_millis(700);
/// When a run ends: in the mailbox, in the hands of the display, in those of the camera.
const FRAMES_ON_THEIR_WAY: u64 = 3;
/// Frames that are remembered.
const REMEMBERED: usize = 90;
/// What is shown as the state is true so soon after its cause.
const STATE_WITHIN: Duration = Duration::from_secs(1);
/// From being able to assist to assisting.
pub(super) const ASSISTS_WITHIN: Duration = Duration::from_secs(3);

/// A service manager that hears nothing for so long ends the run.
pub(super) const WATCHDOG: Duration = Duration::from_secs(4);
/// A pause in the signs of life that the story tells of.
const LONG_PAUSE: Duration = Duration::from_millis(1500);

/// A network that failed is started anew after so long; the next time after longer, and at last not any more. So long without a
/// failure, and it begins anew.
const STARTED_ANEW_AFTER: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
const STARTED_ANEW_CALM: Duration = Duration::from_secs(1800);

/// The surroundings, in everybody's hands. Its lock is never held while anybody waits.
#[derive(Clone)]
pub struct World(Arc<Mutex<Surroundings>>);

/// A frame that the camera gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) cell: usize,
    pub(super) at: Instant,
    /// Of the camera.
    pub(super) epoch: u64,
    pub(super) size: (usize, usize),
}

/// What the service manager was told last.
pub(super) struct Manager {
    sign_of_life: Instant,
    status: String,
    is_ready: bool,
    is_stopping: bool,
    /// When the display's thread has last turned, and until when it has no core.
    turned: Instant,
    pub(super) display_starved_until: Instant,
}

impl Manager {
    fn new(now: Instant) -> Manager {
        Manager {
            sign_of_life: now,
            status: String::new(),
            is_ready: false,
            is_stopping: false,
            turned: now,
            display_starved_until: now,
        }
    }
}

/// See [`World`].
pub(super) struct Surroundings {
    pub(super) begin: Instant,
    has_drivers: bool,
    pub(super) max_age: Duration,
    pub(super) size: usize,
    /// Another one whenever the camera comes back or is another.
    pub(super) epoch: u64,
    pub(super) given: VecDeque<Given>,
    pub(super) frames: u64,
    /// `[size, cell]`
    pub(super) buffers: Vec<Arc<Picture>>,
    // What ails the camera, each until then.
    pub(super) stalls_until: Instant,
    pub(super) unplugged_at: Instant,
    pub(super) unplugged_until: Instant,
    /// Threads that tell of a state may be kept from it until then.
    pub(super) told_from: Instant,
    pub(super) hangs_until: Instant,
    pub(super) capture_panics: bool,
    pub(super) panicked: Vec<Instant>,
    pub(super) stamps_ahead: Option<Duration>,
    // The monitor.
    pub(super) busy_until: Instant,
    pub(super) show_takes: Option<Duration>,
    pub(super) fails: bool,
    pub(super) last_flip: Option<Instant>,
    /// The frame that is shown, as its pixels tell.
    pub(super) on_monitor: Option<Given>,
    /// When the last one came to the display.
    pub(super) handed_over: Instant,
    pub(super) flips: u64,
    /// Pictures that were compared with what the monitor shows.
    pub(super) compared: u64,
    /// Pictures that a second monitor took.
    pub(super) second: u64,
    // The network.
    pub(super) takes: Duration,
    pub(super) slow_until: Instant,
    pub(super) hang_for: Option<Duration>,
    pub(super) stuck_after: Duration,
    pub(super) network_fails: bool,
    pub(super) network_panics: bool,
    pub(super) nonsense: u32,
    pub(super) nothing: u32,
    /// Nothing can be expected of the picture, of the assistance, before then.
    pub(super) picture_from: Instant,
    pub(super) assistance_from: Instant,
    /// Assistance is off until another model is put in charge.
    pub(super) assistance_lost: bool,
    /// Networks that were made, and which of them was asked last.
    networks: u64,
    in_charge: u64,
    /// How often the one in charge has failed lately, and when it did last.
    failures: usize,
    failed: Option<Instant>,
    pub(super) state: String,
    /// Bundles that are installed.
    pub(super) store: Store,
    /// The profile that a reload finds: its number, and how it differs from the first.
    pub(super) profile: (u64, Change),
    /// Recordings so far.
    pub(super) films: u64,
    pub(super) reload_asked: bool,
    pub(super) end_asked: Option<Instant>,
    pub(super) disk_takes: Duration,
    pub(super) disk_slow_until: Instant,
    pub(super) disk_hangs_until: Instant,
    pub(super) disk_full_until: Instant,
    /// Nothing can be expected of the state file before then.
    pub(super) disk_from: Instant,
    pub(super) state_written: Option<String>,
    pub(super) records: Records,
    pub(super) state_told: Instant,
    pub(super) heat: Heat,
    pub(super) room: Room,
    pub(super) manager: Manager,
    log_blocked_until: Instant,
    log_lines: u64,
    end_asked_again: Option<Instant>,
    pub(super) faults: BTreeMap<(String, String), u64>,
    pub(super) broken: Vec<String>,
    pub(super) broke_after: Option<Duration>,
    pub(super) story: Option<Vec<String>>,
}

impl World {
    /// Well surroundings. With `tells`, the story is kept. Drivers take longer to be back after a fault.
    #[expect(clippy::too_many_lines, reason = "one field after another")]
    pub fn new(has_drivers: bool, tells: bool) -> World {
        let now = runtime::now();
        World(Arc::new(Mutex::new(Surroundings {
            begin: now,
            has_drivers,
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
            compared: 0,
            second: 0,
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
            networks: 0,
            in_charge: 0,
            failures: 0,
            failed: None,
            state: String::new(),
            store: Store::default(),
            profile: (0, Change::Nothing),
            films: 0,
            reload_asked: false,
            end_asked: None,
            disk_takes: Duration::ZERO,
            disk_slow_until: now,
            disk_hangs_until: now,
            disk_full_until: now,
            disk_from: now,
            state_written: None,
            records: Records::default(),
            state_told: now,
            heat: Heat::new(now),
            room: Room::default(),
            manager: Manager::new(now),
            log_blocked_until: now,
            log_lines: 0,
            end_asked_again: None,
            faults: BTreeMap::new(),
            broken: Vec::new(),
            broke_after: None,
            story: tells.then(Vec::new),
        })))
    }

    /// One task runs at a time: if the lock is taken, a task gave way while it held it, and waiting would last for ever.
    pub(super) fn lock(&self) -> MutexGuard<'_, Surroundings> {
        match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                panic!("a task gave way while it held the simulated world's lock")
            }
        }
    }

    /// Lets a fault happen, as far as it concerns camera, monitor and network.
    #[expect(clippy::too_many_lines, reason = "one kind of fault after another")]
    pub fn happens(&self, fault: Fault, stuck_after: Duration) {
        let mut world = self.lock();
        world.tell(&format!("fault: {fault}"));
        let state = world.state.clone();
        *world.faults.entry((fault.kind(), state)).or_default() += 1;
        let now = runtime::now();
        world.heat.happens(fault, now);
        let has_drivers = world.has_drivers;
        let back = |with_drivers: Duration| if has_drivers { with_drivers } else { SOON };
        match fault {
            Fault::CameraStalls(time) => {
                world.stalls_until = world.stalls_until.max(now + time);
                world.picture_ill(time + back(CAMERA_BACK));
            }
            Fault::CameraUnplugged(time) => {
                if !world.is_absent(now) {
                    world.unplugged_at = now;
                }
                world.unplugged_until = world.unplugged_until.max(now + time);
                world.picture_ill(time + back(CAMERA_BACK));
            }
            Fault::CameraHangs(time) => {
                world.hangs_until = now + time;
                world.told_from = world.told_from.max(now + time);
                world.picture_ill(time + back(CAMERA_BACK));
            }
            Fault::CaptureThreadPanics => {
                world.capture_panics = !has_drivers;
                // It may be at its end only when it comes back to the camera.
                world.picture_ill(Duration::from_millis(500).max(back(CAMERA_BACK)));
            }
            Fault::SizeChanges => {
                world.size = 1 - world.size;
                if has_drivers {
                    world.picture_ill(CAMERA_BACK);
                }
            }
            Fault::StampsFromTheFuture(time) => world.stamps_ahead = Some(time),
            Fault::CameraSignalLost(time) => world.picture_ill(time + CAMERA_BACK),
            Fault::CameraQueueError => world.picture_ill(CAMERA_BACK),
            Fault::CameraQuirk(..) | Fault::CameraCallFails(..) => {
                world.picture_ill(CALLS_FAIL_FOR + CAMERA_BACK)
            }
            Fault::MonitorBusy(time) => {
                world.busy_until = now + time;
                world.picture_ill(time + back(MONITOR_BACK));
            }
            Fault::MonitorSilent(time) | Fault::MonitorUnplugged(time) | Fault::MasterTaken(time) => {
                world.picture_ill(time + MONITOR_BACK);
            }
            Fault::CardCallFails(..) => world.picture_ill(CALLS_FAIL_FOR + MONITOR_BACK),
            Fault::MonitorSlow(time) => {
                world.show_takes = Some(time);
                world.picture_ill(time + SOON);
            }
            Fault::MonitorFails => {
                world.fails = !has_drivers;
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
            Fault::InferenceFails => world.network_fails = true,
            Fault::InferencePanics => world.network_panics = true,
            Fault::InferenceNonsense(frames) => {
                world.nonsense = frames;
                world.assistance_ill(Duration::from_secs_f64(f64::from(frames) / 20.0) + ASSISTS_WITHIN);
            }
            Fault::InferenceFindsNothing(frames) => world.nothing = frames,
            Fault::Starved(thread, time) => {
                world.told_from = world.told_from.max(now + time);
                if thread == Thread::Display {
                    world.manager.display_starved_until = world.manager.display_starved_until.max(now + time);
                }
                // What failed is mended only once the supervisor has its turn again.
                let mending =
                    if thread == Thread::Main { Duration::from_millis(1200) } else { Duration::ZERO };
                world.picture_ill(time + mending + back(CAMERA_BACK));
            }
            Fault::ClockForward(_)
            | Fault::ClockBack(_)
            | Fault::Heat(..)
            | Fault::SensorMissing(_)
            | Fault::SensorHangs(_)
            | Fault::SensorWild(_)
            | Fault::BoardSlowed(_)
            | Fault::LiteUnreadable(_) => {}
            Fault::OutlinesOff(time) => {
                drop(world);
                room::switches_off(self, time);
            }
            Fault::Snapshot => {
                drop(world);
                room::keeps_a_picture(self);
            }
            Fault::Record(time) => {
                drop(world);
                room::records(self, time);
            }
            Fault::Reload(change) => {
                world.profile = (world.profile.0 + 1, change);
                world.store.changes(change);
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
            Fault::LogBlocked(time) => world.log_blocked_until = world.log_blocked_until.max(now + time),
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
            // A driver tells of a flip when it is next asked.
            let told = if world.has_drivers { TOLD_WITHIN } else { Duration::ZERO };
            if gap > LONGEST_GAP + told {
                world.breaks(&format!("no picture for {gap:?} while camera and monitor are well"));
            }
        }
        if now > world.assistance_from
            && now > world.picture_from + ASSISTS_WITHIN
            && now > world.told_from + ASSISTS_WITHIN
            && !world.assistance_lost
            && !world.heat.is_off()
            && world.state != "assist"
        {
            let state = world.state.clone();
            world.breaks(&format!("nothing ails the assistance, and the state is {state}"));
        }
        let (state, told_from) = (world.state.clone(), world.told_from);
        let ill_until = if world.assistance_lost {
            now
        } else {
            world.picture_from.max(world.assistance_from).max(world.disk_from)
        };
        if let Some(what) = world.heat.look(&state, now, told_from, ill_until) {
            world.breaks(&what);
        }
        let well_since = world.picture_from.max(world.told_from);
        if now.saturating_duration_since(well_since) > STATE_WITHIN && world.state == "no-signal" {
            world.breaks("pictures are shown, and the state is no-signal");
        }
        // What the file says is what the monitor says, but for the time that writing takes.
        let told_since = world.state_told.max(world.disk_from).max(world.told_from);
        if now.saturating_duration_since(told_since) > STATE_WITHIN
            && world.state_written.as_ref() != Some(&world.state)
        {
            let (state, written) = (world.state.clone(), world.state_written.clone());
            world.breaks(&format!("the state is {state}, and the state file says {written:?}"));
        }
        if now.saturating_duration_since(told_since) > STATE_WITHIN
            && !world.manager.status.replacen("no signal", "no-signal", 1).starts_with(&world.state)
        {
            let (state, status) = (world.state.clone(), world.manager.status.clone());
            world.breaks(&format!("the state is {state}, and the service manager was told {status:?}"));
        }
        let silent_since = world.manager.sign_of_life.max(world.manager.display_starved_until);
        if now.saturating_duration_since(silent_since) > WATCHDOG {
            world.manager.sign_of_life = now;
            world.breaks("the service manager would have ended a run whose display is well");
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

    /// Asks once more: whatever is left undone stays so.
    pub fn ask_again(&self) {
        self.tell("asked to end again");
        self.lock().end_asked_again = Some(runtime::now());
    }

    /// When the run was asked to end once more, if it was.
    pub fn asked_again(&self) -> Option<Instant> {
        self.lock().end_asked_again
    }

    /// For how long nobody reads the log.
    pub fn log_is_blocked_for(&self) -> Duration {
        self.lock().log_blocked_until.saturating_duration_since(runtime::now())
    }

    /// Takes in lines of the log.
    pub fn read_log(&self, bytes: &[u8]) {
        self.lock().log_lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
    }

    /// Lines of the log that were read.
    pub fn log_lines(&self) -> u64 {
        self.lock().log_lines
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

    /// The display fails: it is opened anew a second later.
    pub fn display_failed(&self) {
        self.lock().picture_ill(Duration::from_millis(1200));
    }

    /// The capture thread panics.
    pub fn capture_panicked(&self) {
        self.lock().panicked.push(runtime::now());
    }

    /// When that was.
    pub fn asked_to_end(&self) -> Option<Instant> {
        self.lock().end_asked
    }

    /// Until when a thread has no core, or had none.
    pub fn starved_until(&self) -> Instant {
        self.lock().told_from
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

    /// Whether the lighter bundle cannot be read.
    pub fn lite_is_unreadable(&self) -> bool {
        runtime::now() < self.lock().heat.lite_unreadable_until
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

    /// Takes in what the service manager is told.
    pub fn was_told(&self, notice: &Notice<'_>) {
        let mut world = self.lock();
        let now = runtime::now();
        match *notice {
            Notice::Alive => {
                let still = now.duration_since(world.manager.turned);
                if still > STANDS_STILL_AFTER {
                    world.breaks(&format!(
                        "a sign of life was given while the display stood still for {still:?}"
                    ));
                }
                let pause = now.duration_since(world.manager.sign_of_life);
                if pause > LONG_PAUSE {
                    world.tell(&format!("the first sign of life for {:.1} s", pause.as_secs_f64()));
                }
                world.manager.sign_of_life = now;
            }
            Notice::Status(text) => text.clone_into(&mut world.manager.status),
            Notice::Ready => {
                world.manager.is_ready = true;
                world.tell("ready");
            }
            Notice::Reloading => world.tell("reloading"),
            Notice::Stopping => world.manager.is_stopping = true,
        }
    }

    /// What the service manager must have been told by the end of a run.
    pub fn look_at_notices(&self) {
        let mut world = self.lock();
        if !world.manager.is_ready || !world.manager.is_stopping {
            let (ready, stopping) = (world.manager.is_ready, world.manager.is_stopping);
            world.breaks(&format!("the service manager was told ready: {ready}, stopping: {stopping}"));
        }
    }

    /// The number of a network that was made.
    pub fn another_network(&self) -> u64 {
        let mut world = self.lock();
        world.networks += 1;
        world.networks
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

    /// Pictures that were compared, pixel by pixel, with what the monitor shows.
    pub fn compared(&self) -> u64 {
        self.lock().compared
    }

    /// Pictures that a second monitor took.
    pub fn second(&self) -> u64 {
        self.lock().second
    }

    /// Pictures that reached the monitor.
    pub fn flips(&self) -> u64 {
        self.lock().flips
    }
}

impl Surroundings {
    pub(super) fn tell(&mut self, line: &str) {
        let time = runtime::now().duration_since(self.begin);
        if let Some(story) = &mut self.story {
            story.push(format!("{:>12.6}  {line}", time.as_secs_f64()));
        }
    }

    pub(super) fn breaks(&mut self, what: &str) {
        self.tell(&format!("BROKEN: {what}"));
        let time = runtime::now().duration_since(self.begin);
        self.broke_after = self.broke_after.or(Some(time));
        self.broken.push(format!("{:.6} s: {what}", time.as_secs_f64()));
    }

    /// A frame that the camera gives.
    pub(super) fn gave(&mut self, given: Given) {
        if self.given.len() == REMEMBERED {
            self.given.pop_front();
        }
        self.given.push_back(given);
    }

    /// A picture has reached the monitor.
    pub(super) fn flipped(&mut self, at: Instant) {
        if let Some(before) = self.last_flip {
            let gap = at.saturating_duration_since(before);
            if before > self.picture_from && gap > LONGEST_GAP {
                self.breaks(&format!("pictures were {gap:?} apart while camera and monitor are well"));
            }
        }
        self.last_flip = Some(at);
        self.flips += 1;
    }

    /// Looks which frame a picture is, and whether it is on time.
    pub(super) fn takes_in(&mut self, seen: Seen, captured: Instant) {
        let Some((cell, size)) = seen else {
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

    pub(super) fn disk_ill(&mut self, time: Duration) {
        self.disk_from = self.disk_from.max(runtime::now() + time + STATE_WITHIN);
    }

    pub(super) fn picture_ill(&mut self, time: Duration) {
        self.picture_from = self.picture_from.max(runtime::now() + time);
    }

    pub(super) fn assistance_ill(&mut self, time: Duration) {
        self.assistance_from = self.assistance_from.max(runtime::now() + time);
    }

    /// A network is asked. One that was not asked last has none of the others' faults.
    pub(super) fn is_in_charge(&mut self, number: u64, is_for_reload: bool, is_lite: bool) {
        if number == self.in_charge {
            return;
        }
        self.heat.is_lite = is_lite;
        self.in_charge = number;
        (self.network_fails, self.network_panics, self.assistance_lost) = (false, false, false);
        (self.hang_for, self.nonsense, self.nothing) = (None, 0, 0);
        if is_for_reload {
            self.failures = 0;
        }
        self.assistance_ill(ASSISTS_WITHIN);
    }

    /// The network in charge fails: it is started anew after longer and longer pauses, and at last not any more.
    pub(super) fn network_failed(&mut self, number: u64) {
        // What one does that was given up concerns nobody.
        if number != self.in_charge {
            return;
        }
        let now = runtime::now();
        if self.failed.is_some_and(|failed| now.duration_since(failed) > STARTED_ANEW_CALM) {
            self.failures = 0;
        }
        self.failed = Some(now);
        match STARTED_ANEW_AFTER.get(self.failures) {
            Some(&after) => self.assistance_ill(after + ASSISTS_WITHIN),
            None => self.assistance_lost = true,
        }
        self.failures += 1;
    }

    pub(super) fn is_absent(&self, now: Instant) -> bool {
        now < self.unplugged_until
    }
}

/// What the pipeline tells of what it shows.
pub struct Watch(pub World);

impl Observer for Watch {
    fn shown(&mut self, picture: &pipeline::Picture<'_>) {
        let regions = picture.regions();
        let mut world = self.0.lock();
        let handed_over = world.handed_over;
        if let Some(what) = world.room.look(handed_over, regions.len()) {
            world.breaks(&what);
        }
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

    fn turned(&mut self) {
        self.0.lock().manager.turned = runtime::now();
    }

    fn status(&mut self, status: &Status<'_>) {
        let mut world = self.0.lock();
        let word = status.state.word();
        if world.state != word {
            world.tell(&format!("state: {}", status.state));
            word.clone_into(&mut world.state);
            world.state_told = runtime::now();
        }
        let was_off = world.heat.is_off();
        if let Some(told) = world.heat.told(status.heat, status.state.reason(), runtime::now()) {
            world.tell(&told);
            if was_off {
                world.assistance_ill(ASSISTS_WITHIN);
            }
        }
    }
}
