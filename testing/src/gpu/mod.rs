//! A graphics card in memory that refuses what the kernel refuses, and can say what its monitor shows.
//!
//! Its clock stands still but for waiting, and [`FakeGpu::advance`] moves it on; or, with [`FakeGpu::on_runtime`], it is the
//! runtime's.

mod abilities;
mod check;
mod driver;
mod scanout;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use polyp_edge::call::CallError;
use polyp_edge::display::kms::gpu::{FourCc, Framebuffer, Mode, Status};
use polyp_edge::runtime;

pub use abilities::{Abilities, Counts, Flips, RGB, YUV};
pub use driver::FakeMemory;

use crate::allocations::Uncounted;

const CONSOLE_FRAMEBUFFER: u32 = 7;
/// What the console shows in every byte.
pub const CONSOLE: u8 = 0x55;

const CRTCS: [u32; 2] = [31, 32];
const PRIMARY: u32 = 41;
const OVERLAY: u32 = 42;
const CURSOR: u32 = 43;
/// The primary plane of the second CRTC.
const SECOND: u32 = 44;
const SOCKETS: [u32; 2] = [21, 22];

/// What lies behind a handle.
#[derive(Clone)]
enum Backing {
    Dumb(Arc<Mutex<Vec<u8>>>),
    Imported(Arc<File>, (u64, u64)),
}

#[derive(Clone)]
struct Fb {
    spec: Framebuffer,
    object: Backing,
}

struct Socket {
    id: u32,
    name: String,
    status: Status,
    modes: Vec<Mode>,
    /// As of the last probe.
    known: Vec<Mode>,
}

/// Properties of each object: what a commit changes.
type Settings = BTreeMap<(u32, &'static str), u64>;

struct State {
    can: Abilities,
    now: Instant,
    /// When time began to be the runtime's, if it is.
    on_runtime: Option<Instant>,
    /// What the next commit takes.
    commit_takes: Duration,
    period: Duration,
    sockets: Vec<Socket>,
    is_atomic: bool,
    is_master: bool,
    /// Another program wants to be.
    is_taken: bool,
    is_gone: bool,
    /// Who leased this to its user, and whether that is over.
    lessor: Option<Weak<Mutex<State>>>,
    is_revoked: bool,
    /// What was leased to others: the newest last.
    leases: Vec<FakeGpu>,
    next_id: u32,
    handles: HashMap<u32, Backing>,
    framebuffers: HashMap<u32, Fb>,
    blobs: HashMap<u32, Mode>,
    modes: HashMap<u32, Mode>,
    committed: Settings,
    scanned: Settings,
    pending: Option<(u64, Instant)>,
    /// Flips that were not read yet.
    events: Vec<(u64, Instant)>,
    flips: Flips,
    /// Operation, how many go well before, errno, how many fail.
    failures: Vec<(&'static str, u64, i32, u64)>,
    counts: Counts,
}

/// The card's state while it works; what it allocates meanwhile is not the display's.
struct Guard<'a>(MutexGuard<'a, State>, Uncounted);

impl Deref for Guard<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}
impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

/// A handle on the card: the display has one, the test another.
#[derive(Clone)]
pub struct FakeGpu(Arc<Mutex<State>>);

/// A mode of a size and a rate, in Hz.
pub fn mode(width: u16, height: u16, rate: u32, preferred: bool) -> Mode {
    // So that the pixel clock gives the rate exactly.
    let (htotal, vtotal) = ((width + 100).next_multiple_of(100), (height + 50).next_multiple_of(50));
    Mode(drm_ffi::drm_mode_modeinfo {
        clock: u32::from(htotal) * u32::from(vtotal) * rate / 1000,
        hdisplay: width,
        htotal,
        vdisplay: height,
        vtotal,
        vrefresh: rate,
        type_: if preferred { drm_ffi::DRM_MODE_TYPE_PREFERRED } else { 0 },
        ..Default::default()
    })
}

/// Whether the user of this card, or whoever leased it to that one, is its master.
fn is_master(card: &Weak<Mutex<State>>) -> bool {
    card.upgrade().is_some_and(|card| {
        let state = card.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_master && !state.is_gone
    })
}

fn errno(call: &'static str, number: i32) -> CallError {
    CallError::of(call, &std::io::Error::from_raw_os_error(number))
}

impl FakeGpu {
    /// A card with HDMI-A-1, where a monitor of these modes is, and HDMI-A-2, where none is. A console is shown.
    #[expect(clippy::too_many_lines, reason = "one rule of the kernel after another")]
    pub fn new(can: Abilities, modes: &[Mode]) -> FakeGpu {
        let socket = |id, name: &str, status, modes: &[Mode]| Socket {
            id,
            name: name.into(),
            status,
            modes: modes.to_vec(),
            known: vec![],
        };
        let first = modes.first().copied().unwrap_or(mode(64, 48, 60, true));
        let mut state = State {
            can,
            now: Instant::now(),
            on_runtime: None,
            commit_takes: Duration::ZERO,
            period: Duration::from_nanos(16_666_667),
            sockets: vec![
                socket(SOCKETS[0], "HDMI-A-1", Status::Connected, modes),
                socket(SOCKETS[1], "HDMI-A-2", Status::Disconnected, &[]),
            ],
            is_atomic: false,
            is_master: false,
            is_taken: false,
            is_gone: false,
            lessor: None,
            is_revoked: false,
            leases: vec![],
            next_id: 100,
            handles: HashMap::new(),
            framebuffers: HashMap::new(),
            blobs: HashMap::new(),
            modes: HashMap::new(),
            committed: Settings::new(),
            scanned: Settings::new(),
            pending: None,
            events: vec![],
            flips: Flips::Done,
            failures: vec![],
            counts: Counts::default(),
        };
        let (width, height) = first.size();
        let spec = Framebuffer {
            width: width as u32,
            height: height as u32,
            format: FourCc::XRGB8888,
            handles: [1, 0, 0, 0],
            strides: [4 * width as u32, 0, 0, 0],
            offsets: [0; 4],
        };
        let object = Backing::Dumb(Arc::new(Mutex::new(vec![CONSOLE; 4 * width * height])));
        state.framebuffers.insert(CONSOLE_FRAMEBUFFER, Fb { spec, object });
        state.modes.insert(5, first);
        let initial = [
            ((21, "CRTC_ID"), u64::from(CRTCS[0])),
            ((CRTCS[0], "ACTIVE"), 1),
            ((CRTCS[0], "MODE_ID"), 5),
            ((PRIMARY, "FB_ID"), u64::from(CONSOLE_FRAMEBUFFER)),
            ((PRIMARY, "CRTC_ID"), u64::from(CRTCS[0])),
            ((PRIMARY, "SRC_W"), (width << 16) as u64),
            ((PRIMARY, "SRC_H"), (height << 16) as u64),
            ((PRIMARY, "CRTC_W"), width as u64),
            ((PRIMARY, "CRTC_H"), height as u64),
            ((PRIMARY, "rotation"), 1),
            ((OVERLAY, "rotation"), 4),
            ((OVERLAY, "alpha"), 99),
            ((OVERLAY, "pixel blend mode"), 2),
        ];
        state.committed.extend(initial);
        if let Some(depth) = state.can.overlay_depth {
            state.committed.insert((OVERLAY, "zpos"), depth);
        }
        state.committed.insert((PRIMARY, "zpos"), 1);
        state.scanned = state.committed.clone();
        FakeGpu(Arc::new(Mutex::new(state)))
    }

    /// A card whose time is the runtime's; its monitor is refreshed at multiples of its period since now.
    pub fn on_runtime(can: Abilities, modes: &[Mode]) -> FakeGpu {
        let gpu = FakeGpu::new(can, modes);
        {
            let mut state = gpu.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            state.now = runtime::now();
            state.on_runtime = Some(state.now);
        }
        gpu
    }

    /// What was leased last: the second monitor, as its user sees it.
    pub fn second(&self) -> Option<FakeGpu> {
        self.state().leases.last().cloned()
    }

    fn state(&self) -> Guard<'_> {
        let uncounted = Uncounted::begin();
        let mut state = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.on_runtime.is_some() {
            state.now = state.now.max(runtime::now());
        }
        Guard(state, uncounted)
    }

    /// Lets so much time pass.
    fn let_pass(&self, mut state: Guard<'_>, time: Duration) {
        if state.on_runtime.is_some() {
            drop(state);
            runtime::thread::sleep(time);
        } else {
            state.now += time;
        }
    }

    /// The next commit takes so long.
    pub fn slow_down(&self, time: Duration) {
        self.state().commit_takes = time;
    }
    /// Whether a flip is under way.
    pub fn is_flipping(&self) -> bool {
        let mut state = self.state();
        state.settle();
        state.pending.is_some()
    }
    /// Whether the console is shown, as it was at first.
    pub fn shows_console(&self) -> bool {
        let state = self.state();
        state.get(&state.scanned, PRIMARY, "FB_ID") == u64::from(CONSOLE_FRAMEBUFFER)
    }

    /// Moves the card's clock on.
    pub fn advance(&self, by: Duration) {
        self.state().now += by;
    }
    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }
    /// What becomes of flips from now on, one that is under way included.
    pub fn set_flips(&self, flips: Flips) {
        self.state().flips = flips;
    }

    /// The operation fails `times` times with an errno after `after` calls of it that go well; `any`: each does.
    pub fn fail(&self, operation: &'static str, after: u64, errno: i32, times: u64) {
        self.state().failures.push((operation, after, errno, times));
    }
    /// No operation fails any more.
    pub fn mend(&self) {
        self.state().failures.clear();
    }

    /// Takes away the monitor at a connector.
    pub fn unplug(&self, name: &str) {
        let mut state = self.state();
        let socket = state.sockets.iter_mut().find(|socket| socket.name == name).unwrap();
        socket.status = Status::Disconnected;
        socket.modes.clear();
    }
    /// Puts a monitor of these modes at a connector; the card knows them once the monitor is asked.
    pub fn plug(&self, name: &str, modes: &[Mode]) {
        let mut state = self.state();
        let socket = state.sockets.iter_mut().find(|socket| socket.name == name).unwrap();
        socket.status = Status::Connected;
        socket.modes = modes.to_vec();
    }
    /// What a connector says of its monitor, whatever is plugged in.
    pub fn set_status(&self, name: &str, status: Status) {
        let mut state = self.state();
        state.sockets.iter_mut().find(|socket| socket.name == name).unwrap().status = status;
    }

    /// Another program becomes master and shows something of its own.
    pub fn take_master(&self) {
        let mut state = self.state();
        (state.is_master, state.is_taken) = (false, true);
    }
    /// The other program gives the card up: nobody is master.
    pub fn leave_master(&self) {
        self.state().is_taken = false;
    }
    /// The card is pulled out.
    pub fn pull_out(&self) {
        self.state().is_gone = true;
    }

    /// Handles, framebuffers and blobs that exist, the console's aside; leased ones included.
    pub fn held(&self) -> (usize, usize, usize) {
        let (mut held, leases) = {
            let state = self.state();
            let held = (state.handles.len(), state.framebuffers.len() - 1, state.blobs.len());
            (held, state.leases.clone())
        };
        for theirs in leases.iter().map(FakeGpu::held) {
            held = (held.0 + theirs.0, held.1 + theirs.1, held.2 + theirs.2);
        }
        held
    }

    /// The mode that is set, if the monitor gets a picture.
    pub fn lit(&self) -> Option<Mode> {
        let state = self.state();
        let crtc = *state.scanned.get(&(21, "CRTC_ID")).filter(|&&crtc| crtc != 0)? as u32;
        let active = state.get(&state.scanned, crtc, "ACTIVE") == 1;
        active.then(|| state.modes.get(&(state.get(&state.scanned, crtc, "MODE_ID") as u32)).copied())?
    }

    /// Whether a plane is on, and by which format.
    pub fn plane_format(&self, overlay: bool) -> Option<FourCc> {
        let state = self.state();
        let id = if overlay { OVERLAY } else { PRIMARY };
        let framebuffer = state.get(&state.scanned, id, "FB_ID") as u32;
        state.framebuffers.get(&framebuffer).map(|fb| fb.spec.format)
    }

    /// What the monitor shows, `[height, width] × B G R`.
    pub fn monitor(&self) -> Option<(usize, usize, Vec<[u8; 3]>)> {
        let mode = self.lit()?;
        let state = self.state();
        let (width, height) = mode.size();
        let mut picture = vec![[0; 3]; width * height];
        let mut planes: Vec<u32> = [PRIMARY, OVERLAY, CURSOR].into();
        planes.retain(|&plane| state.get(&state.scanned, plane, "FB_ID") != 0);
        planes.sort_by_key(|&plane| (state.get(&state.scanned, plane, "zpos"), plane));
        for plane in planes {
            state.draw(plane, width, height, &mut picture);
        }
        Some((width, height, picture))
    }
}
