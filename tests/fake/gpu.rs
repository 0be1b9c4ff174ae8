//! A graphics card in memory that refuses what the kernel refuses, and can say what its monitor shows.
//!
//! Its clock stands still but for waiting: [`FakeGpu::advance`] moves it on.

#![allow(dead_code)]

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use polyp_edge::convert;
use polyp_edge::display::kms::gpu::{
    Commit, Connector, Dumb, Flip, Fourcc, Framebuffer, Gpu, Memory, Mode, Object, Plane, PlaneKind,
    Property, Saved, Status,
};
use polyp_edge::display::kms::request::Request;
use polyp_edge::frame::{self, Colour, Matrix, PixelFormat, Range, Stride, View};
use polyp_edge::overlay::composed;

pub const YUV: [Fourcc; 3] = [Fourcc::YUYV, Fourcc::UYVY, Fourcc::NV12];
pub const RGB: [Fourcc; 2] = [Fourcc::RGB888, Fourcc::BGR888];
const CONSOLE_FRAMEBUFFER: u32 = 7;
/// What the console shows in every byte.
pub const CONSOLE: u8 = 0x55;

/// What the card can do.
#[derive(Clone, Debug)]
pub struct Abilities {
    pub atomic: bool,
    /// An overlay plane above the primary one.
    pub overlay: bool,
    /// Beside XR24.
    pub video: Vec<Fourcc>,
    pub imports: bool,
    pub scales: bool,
    /// The primary plane may cover less than the whole.
    pub windows: bool,
    /// Planes say how they read Y′CbCr.
    pub colours: bool,
    /// Where the overlay lies among the planes if it cannot be moved.
    pub overlay_depth: Option<u64>,
    /// Larger modes are refused.
    pub most_px: usize,
}

impl Abilities {
    /// As on a Raspberry Pi.
    pub fn all() -> Abilities {
        Abilities {
            atomic: true,
            overlay: true,
            video: [&YUV[..], &RGB[..]].concat(),
            imports: true,
            scales: true,
            windows: true,
            colours: true,
            overlay_depth: None,
            most_px: usize::MAX,
        }
    }

    /// As in an emulator: one plane, no video formats.
    pub fn least() -> Abilities {
        Abilities {
            overlay: false,
            video: vec![],
            imports: false,
            scales: false,
            windows: false,
            colours: false,
            ..Abilities::all()
        }
    }
}

/// What becomes of flips.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flips {
    Done,
    /// Done, but nobody hears of it.
    Silent,
    /// Not done until this changes.
    Hanging,
}

#[derive(Clone)]
enum Object_ {
    Dumb(Arc<Mutex<Vec<u8>>>),
    Imported(Arc<File>, (u64, u64)),
}

#[derive(Clone)]
struct Fb {
    spec: Framebuffer,
    object: Object_,
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
    period: Duration,
    sockets: Vec<Socket>,
    is_atomic: bool,
    is_master: bool,
    /// Another program wants to be.
    is_taken: bool,
    is_gone: bool,
    next_id: u32,
    handles: HashMap<u32, Object_>,
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

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub operations: u64,
    pub flips: u64,
    pub modesets: u64,
    pub tests: u64,
    pub probes: u64,
    pub busy: u64,
    /// Framebuffers removed while they were shown or about to be.
    pub removed_while_shown: u64,
    pub restored: u64,
    pub imports: u64,
    pub written: u64,
    /// The longest wait for a flip.
    pub longest: Duration,
}

thread_local! {
    /// More than 0 while the card works: what it allocates is not the display's.
    pub static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// The card's state while it works.
struct Guard<'a>(MutexGuard<'a, State>);

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
impl Drop for Guard<'_> {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

/// A handle on the card: the display has one, the test another.
#[derive(Clone)]
pub struct FakeGpu(Arc<Mutex<State>>);

const CRTCS: [u32; 2] = [31, 32];
const PRIMARY: u32 = 41;
const OVERLAY: u32 = 42;
const CURSOR: u32 = 43;
const PLANE_NAMES: [&str; 17] = [
    "type",
    "FB_ID",
    "CRTC_ID",
    "SRC_X",
    "SRC_Y",
    "SRC_W",
    "SRC_H",
    "CRTC_X",
    "CRTC_Y",
    "CRTC_W",
    "CRTC_H",
    "zpos",
    "pixel blend mode",
    "alpha",
    "rotation",
    "COLOR_ENCODING",
    "COLOR_RANGE",
];
const CRTC_NAMES: [&str; 4] = ["ACTIVE", "MODE_ID", "GAMMA_LUT", "VRR_ENABLED"];
const CONNECTOR_NAMES: [&str; 2] = ["CRTC_ID", "link-status"];

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

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl FakeGpu {
    /// A card with HDMI-A-1, where a monitor of these modes is, and HDMI-A-2, where none is. A console is shown.
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
            period: Duration::from_nanos(16_666_667),
            sockets: vec![
                socket(21, "HDMI-A-1", Status::Connected, modes),
                socket(22, "HDMI-A-2", Status::Disconnected, &[]),
            ],
            is_atomic: false,
            is_master: false,
            is_taken: false,
            is_gone: false,
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
            format: Fourcc::XRGB8888,
            handles: [1, 0, 0, 0],
            strides: [4 * width as u32, 0, 0, 0],
            offsets: [0; 4],
        };
        let object = Object_::Dumb(Arc::new(Mutex::new(vec![CONSOLE; 4 * width * height])));
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

    fn state(&self) -> Guard<'_> {
        INSIDE.set(INSIDE.get() + 1);
        Guard(self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub fn advance(&self, by: Duration) {
        self.state().now += by;
    }
    pub fn counts(&self) -> Counts {
        self.state().counts
    }
    pub fn set_flips(&self, flips: Flips) {
        self.state().flips = flips;
    }

    /// The operation fails `times` times with an errno after `after` calls of it that go well; `any`: each does.
    pub fn fail(&self, operation: &'static str, after: u64, errno: i32, times: u64) {
        self.state().failures.push((operation, after, errno, times));
    }
    pub fn mend(&self) {
        self.state().failures.clear();
    }

    pub fn unplug(&self, name: &str) {
        let mut state = self.state();
        let socket = state.sockets.iter_mut().find(|socket| socket.name == name).unwrap();
        socket.status = Status::Disconnected;
        socket.modes.clear();
    }
    pub fn plug(&self, name: &str, modes: &[Mode]) {
        let mut state = self.state();
        let socket = state.sockets.iter_mut().find(|socket| socket.name == name).unwrap();
        socket.status = Status::Connected;
        socket.modes = modes.to_vec();
    }
    pub fn set_status(&self, name: &str, status: Status) {
        let mut state = self.state();
        state.sockets.iter_mut().find(|socket| socket.name == name).unwrap().status = status;
    }

    /// Another program becomes master and shows something of its own.
    pub fn take_master(&self) {
        let mut state = self.state();
        (state.is_master, state.is_taken) = (false, true);
    }
    pub fn leave_master(&self) {
        self.state().is_taken = false;
    }
    /// The card is pulled out.
    pub fn pull_out(&self) {
        self.state().is_gone = true;
    }

    /// Handles, framebuffers and blobs that exist, the console's aside.
    pub fn held(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.handles.len(), state.framebuffers.len() - 1, state.blobs.len())
    }

    /// The mode that is set, if the monitor gets a picture.
    pub fn lit(&self) -> Option<Mode> {
        let state = self.state();
        let crtc = *state.scanned.get(&(21, "CRTC_ID")).filter(|&&crtc| crtc != 0)? as u32;
        let active = state.get(&state.scanned, crtc, "ACTIVE") == 1;
        active.then(|| state.modes.get(&(state.get(&state.scanned, crtc, "MODE_ID") as u32)).copied())?
    }

    /// Whether a plane is on, and by which format.
    pub fn plane_format(&self, overlay: bool) -> Option<Fourcc> {
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

impl State {
    fn get(&self, settings: &Settings, object: u32, name: &'static str) -> u64 {
        settings.get(&(object, name)).copied().unwrap_or(0)
    }

    /// Each operation begins here.
    fn step(&mut self, operation: &'static str) -> io::Result<()> {
        self.counts.operations += 1;
        if self.is_gone {
            return Err(errno(libc::ENODEV));
        }
        for (name, after, number, times) in &mut self.failures {
            if *name == operation || *name == "any" {
                if *after > 0 {
                    *after -= 1;
                } else if *times > 0 {
                    *times -= 1;
                    return Err(errno(*number));
                }
            }
        }
        Ok(())
    }

    fn fresh(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    fn settle(&mut self) {
        if let Some((serial, due)) = self.pending
            && due <= self.now
            && self.flips != Flips::Hanging
        {
            self.pending = None;
            self.scanned = self.committed.clone();
            self.counts.flips += 1;
            if self.flips == Flips::Done {
                self.events.push((serial, due));
            }
        }
    }

    fn names(&self, object: u32) -> Vec<&'static str> {
        match object {
            PRIMARY | OVERLAY | CURSOR => {
                let all = PLANE_NAMES.iter().copied();
                all.filter(|name| self.can.colours || !name.starts_with("COLOR_")).collect()
            }
            21 | 22 => CONNECTOR_NAMES.to_vec(),
            _ if CRTCS.contains(&object) => CRTC_NAMES.to_vec(),
            _ => vec![],
        }
    }

    fn property_id(name: &str) -> u32 {
        let all = PLANE_NAMES.iter().chain(&CRTC_NAMES).chain(&CONNECTOR_NAMES);
        1000 + all.into_iter().position(|known| *known == name).unwrap() as u32
    }

    fn choices(name: &str) -> Vec<(u64, String)> {
        let all: &[(u64, &str)] = match name {
            "pixel blend mode" => &[(2, "None"), (0, "Pre-multiplied"), (1, "Coverage")],
            "rotation" => &[(0, "rotate-0"), (2, "rotate-180")],
            "COLOR_ENCODING" => {
                &[(3, "ITU-R BT.601 YCbCr"), (4, "ITU-R BT.709 YCbCr"), (5, "ITU-R BT.2020 YCbCr")]
            }
            "COLOR_RANGE" => &[(8, "YCbCr limited range"), (9, "YCbCr full range")],
            _ => &[],
        };
        all.iter().map(|&(value, name)| (value, name.to_owned())).collect()
    }

    fn is_immutable(&self, object: u32, name: &str) -> bool {
        name == "type" || name == "zpos" && (object != OVERLAY || self.can.overlay_depth.is_some())
    }

    fn planes(&self) -> Vec<Plane> {
        let plane = |id, kind, formats: Vec<Fourcc>| Plane { id, kind, formats, possible_crtcs: 0b01 };
        let mut planes = vec![
            plane(PRIMARY, PlaneKind::Primary, [&[Fourcc::XRGB8888][..], &self.can.video].concat()),
            plane(CURSOR, PlaneKind::Cursor, vec![Fourcc::ARGB8888]),
        ];
        if self.can.overlay {
            let formats = [&[Fourcc::ARGB8888][..], &self.can.video].concat();
            planes.push(plane(OVERLAY, PlaneKind::Overlay, formats));
        }
        planes
    }

    fn changed(&self, request: &Request) -> io::Result<(Settings, bool)> {
        let mut next = self.committed.clone();
        let mut any_crtc = false;
        assert_eq!(request.counts.iter().sum::<u32>() as usize, request.properties.len());
        assert_eq!(request.values.len(), request.properties.len());
        assert_eq!(request.objects.len(), request.counts.len());
        for (object, property, value) in request.iter() {
            let names = self.names(object);
            let name = names.into_iter().find(|name| Self::property_id(name) == property);
            let name = name.ok_or(errno(libc::ENOENT))?;
            let exists = match name {
                "FB_ID" => value == 0 || self.framebuffers.contains_key(&(value as u32)),
                "CRTC_ID" => value == 0 || CRTCS.contains(&(value as u32)),
                "MODE_ID" => value == 0 || self.blobs.contains_key(&(value as u32)),
                "GAMMA_LUT" => value == 0,
                "ACTIVE" => value <= 1,
                "alpha" => value <= 0xFFFF,
                "zpos" => value <= 9,
                "rotation" => value == 1,
                "pixel blend mode" | "COLOR_ENCODING" | "COLOR_RANGE" => {
                    Self::choices(name).iter().any(|(choice, _)| *choice == value)
                }
                _ => true,
            };
            if !exists || self.is_immutable(object, name) {
                return Err(errno(libc::EINVAL));
            }
            any_crtc |= CRTCS.contains(&object) || name == "CRTC_ID" && value != 0;
            any_crtc |= CRTCS.contains(&(self.get(&self.committed, object, "CRTC_ID") as u32));
            next.insert((object, name), value);
        }
        Ok((next, any_crtc))
    }

    /// Whether the new settings need a modeset; an error if the hardware cannot.
    fn check(&self, next: &Settings) -> io::Result<bool> {
        let invalid = || errno(libc::EINVAL);
        let mut needs_modeset = false;
        for crtc in CRTCS {
            let connectors =
                [21, 22].iter().filter(|&&id| self.get(next, id, "CRTC_ID") == u64::from(crtc)).count();
            let mode = self.get(next, crtc, "MODE_ID") as u32;
            let active = self.get(next, crtc, "ACTIVE") == 1;
            if (mode != 0) != (connectors > 0) || active && mode == 0 || crtc != CRTCS[0] && connectors > 0 {
                return Err(invalid());
            }
            let mode_of = |id: u32| self.blobs.get(&id).or(self.modes.get(&id)).copied();
            if let Some(mode) = mode_of(mode)
                && mode.width() * mode.height() > self.can.most_px
            {
                return Err(invalid());
            }
            for name in ["ACTIVE", "MODE_ID"] {
                needs_modeset |= self.get(next, crtc, name) != self.get(&self.committed, crtc, name);
            }
        }
        for id in [21, 22] {
            needs_modeset |= self.get(next, id, "CRTC_ID") != self.get(&self.committed, id, "CRTC_ID");
        }
        for plane in self.planes() {
            let get = |name| self.get(next, plane.id, name);
            let (framebuffer, crtc) = (get("FB_ID") as u32, get("CRTC_ID") as u32);
            if (framebuffer == 0) != (crtc == 0) {
                return Err(invalid());
            }
            if framebuffer == 0 {
                continue;
            }
            let fb = self.framebuffers.get(&framebuffer).ok_or_else(invalid)?;
            let mode = self.get(next, crtc, "MODE_ID") as u32;
            let mode = self.blobs.get(&mode).or(self.modes.get(&mode)).ok_or_else(invalid)?;
            let source = [get("SRC_X"), get("SRC_Y"), get("SRC_W"), get("SRC_H")];
            let target = [get("CRTC_X"), get("CRTC_Y"), get("CRTC_W"), get("CRTC_H")];
            if crtc != CRTCS[0]
                || !plane.formats.contains(&fb.spec.format)
                || self.get(next, crtc, "ACTIVE") != 1
            {
                return Err(invalid());
            }
            if source[0] + source[2] > u64::from(fb.spec.width) << 16
                || source[1] + source[3] > u64::from(fb.spec.height) << 16
            {
                return Err(errno(libc::ENOSPC));
            }
            let is_scaled = (source[2], source[3]) != (target[2] << 16, target[3] << 16);
            if is_scaled && !self.can.scales || target[2] == 0 || target[3] == 0 {
                return Err(errno(libc::ERANGE));
            }
            let whole = [0, 0, mode.width() as u64, mode.height() as u64];
            if target[0] + target[2] > whole[2] || target[1] + target[3] > whole[3] {
                return Err(invalid());
            }
            if plane.kind == PlaneKind::Primary && target != whole && !self.can.windows {
                return Err(invalid());
            }
        }
        Ok(needs_modeset)
    }

    fn draw(&self, plane: u32, width: usize, height: usize, picture: &mut [[u8; 3]]) {
        let get = |name| self.get(&self.scanned, plane, name) as usize;
        let Some(fb) = self.framebuffers.get(&(get("FB_ID") as u32)) else { return };
        let pixels = self.pixels(plane, fb);
        let has_alpha = fb.spec.format == Fourcc::ARGB8888;
        let opaque = !has_alpha || get("pixel blend mode") == 2;
        assert!(
            opaque || get("alpha") == 0xFFFF && get("pixel blend mode") == 0,
            "the plane blends as someone else left it"
        );
        assert_eq!(get("rotation"), 1, "the plane is turned as someone else left it");
        let (x0, y0, w, h) = (get("CRTC_X"), get("CRTC_Y"), get("CRTC_W"), get("CRTC_H"));
        let (sw, sh) = (get("SRC_W") >> 16, get("SRC_H") >> 16);
        for y in 0..h.min(height - y0) {
            for x in 0..w.min(width - x0) {
                let [blue, green, red, alpha] = pixels[y * sh / h * fb.spec.width as usize + x * sw / w];
                let under = &mut picture[(y0 + y) * width + x0 + x];
                for (under, over) in under.iter_mut().zip([blue, green, red]) {
                    *under = if opaque { over } else { composed(*under, over, alpha) };
                }
            }
        }
    }

    /// A framebuffer as `B G R A`.
    fn pixels(&self, plane: u32, fb: &Fb) -> Vec<[u8; 4]> {
        let bytes = match &fb.object {
            Object_::Dumb(memory) => memory.lock().unwrap().clone(),
            Object_::Imported(file, _) => {
                let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
                file.read_exact_at(&mut bytes, 0).unwrap();
                bytes
            }
        };
        let (width, height) = (fb.spec.width as usize, fb.spec.height as usize);
        let mut pixels = vec![[0; 4]; width * height];
        if matches!(fb.spec.format, Fourcc::XRGB8888 | Fourcc::ARGB8888) {
            for (y, row) in pixels.chunks_exact_mut(width).enumerate() {
                let from = bytes[y * fb.spec.strides[0] as usize..].chunks_exact(4);
                for (pixel, bytes) in row.iter_mut().zip(from) {
                    *pixel = bytes.try_into().unwrap();
                }
            }
            return pixels;
        }
        let get = |name| self.get(&self.scanned, plane, name);
        let colour = match fb.spec.format {
            Fourcc::RGB888 | Fourcc::BGR888 => Colour::RGB,
            _ => Colour {
                matrix: [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020][get("COLOR_ENCODING") as usize - 3],
                range: [Range::Limited, Range::Full][get("COLOR_RANGE") as usize - 8],
            },
        };
        let format = match fb.spec.format {
            Fourcc::YUYV => PixelFormat::Yuyv,
            Fourcc::UYVY => PixelFormat::Uyvy,
            Fourcc::NV12 => PixelFormat::Nv12,
            Fourcc::RGB888 => PixelFormat::Bgr24,
            Fourcc::BGR888 => PixelFormat::Rgb24,
            other => panic!("{other} is on a plane"),
        };
        let plane = |index: usize| frame::Plane {
            bytes: &bytes[fb.spec.offsets[index] as usize..],
            stride: Stride(fb.spec.strides[index] as usize),
        };
        let view = View::new(format, colour, (width, height), [plane(0), plane(1)]).unwrap();
        let mut out = vec![0; 4 * width * height];
        convert::to_bgrx(&view, 0..height, &mut out, 4 * width).unwrap();
        for (pixel, bytes) in pixels.iter_mut().zip(out.chunks_exact(4)) {
            *pixel = bytes.try_into().unwrap();
        }
        pixels
    }
}

/// A dumb buffer's memory.
pub struct FakeMemory(Arc<Mutex<Vec<u8>>>, FakeGpu);

impl Memory for FakeMemory {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.0.lock().unwrap()[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.1.state().counts.written += bytes.len() as u64;
    }
    fn zero(&mut self, offset: usize, count: usize) {
        self.0.lock().unwrap()[offset..offset + count].fill(0);
        self.1.state().counts.written += count as u64;
    }
}

impl Gpu for FakeGpu {
    type Memory = FakeMemory;

    fn path(&self) -> &Path {
        Path::new("/dev/dri/card9")
    }
    fn driver(&self) -> &str {
        "fake"
    }
    fn now(&self) -> Instant {
        self.state().now
    }

    fn enable_atomic(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.step("enable_atomic")?;
        state.is_atomic = state.can.atomic;
        if state.can.atomic { Ok(()) } else { Err(errno(libc::EOPNOTSUPP)) }
    }

    fn acquire_master(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.step("acquire_master")?;
        if state.is_taken {
            return Err(errno(libc::EBUSY));
        }
        state.is_master = true;
        Ok(())
    }

    fn connectors(&mut self) -> io::Result<Vec<u32>> {
        let mut state = self.state();
        state.step("connectors")?;
        Ok(state.sockets.iter().map(|socket| socket.id).collect())
    }

    fn connector(&mut self, id: u32, probe: bool) -> io::Result<Connector> {
        let mut state = self.state();
        state.step("connector")?;
        state.counts.probes += u64::from(probe);
        let socket = state.sockets.iter_mut().find(|socket| socket.id == id).ok_or(errno(libc::ENOENT))?;
        if probe {
            socket.known = socket.modes.clone();
        }
        Ok(Connector {
            id,
            name: socket.name.clone(),
            status: socket.status,
            modes: socket.known.clone(),
            possible_crtcs: 0b01,
        })
    }

    fn status(&mut self, connector: &Connector) -> io::Result<Status> {
        let mut state = self.state();
        state.step("status")?;
        let socket = state.sockets.iter().find(|socket| socket.id == connector.id);
        Ok(socket.ok_or(errno(libc::ENOENT))?.status)
    }

    fn crtcs(&mut self) -> io::Result<Vec<u32>> {
        self.state().step("crtcs")?;
        Ok(CRTCS.to_vec())
    }

    fn planes(&mut self) -> io::Result<Vec<Plane>> {
        let mut state = self.state();
        state.step("planes")?;
        Ok(state.planes())
    }

    fn properties(&mut self, of: Object) -> io::Result<Vec<Property>> {
        let mut state = self.state();
        state.step("properties")?;
        let (Object::Connector(id) | Object::Crtc(id) | Object::Plane(id)) = of;
        let names = state.names(id);
        if names.is_empty() {
            return Err(errno(libc::ENOENT));
        }
        let property = |name: &'static str| Property {
            id: State::property_id(name),
            name: name.into(),
            value: state.get(&state.committed, id, name),
            immutable: state.is_immutable(id, name),
            most: match name {
                "alpha" => 0xFFFF,
                "zpos" => 9,
                _ => u64::MAX,
            },
            choices: State::choices(name),
        };
        Ok(names.into_iter().map(property).collect())
    }

    fn create_dumb(&mut self, width: u32, height: u32) -> io::Result<Dumb<FakeMemory>> {
        let mut state = self.state();
        state.step("create_dumb")?;
        // Rows are longer than they need be.
        let stride = (4 * width).next_multiple_of(64) + 64;
        let memory = Arc::new(Mutex::new(vec![0; (stride * height) as usize]));
        let handle = state.fresh();
        state.handles.insert(handle, Object_::Dumb(memory.clone()));
        Ok(Dumb { handle, stride, memory: FakeMemory(memory, self.clone()) })
    }

    fn import(&mut self, memory: BorrowedFd<'_>) -> io::Result<u32> {
        let file = File::from(memory.try_clone_to_owned()?);
        let metadata = file.metadata()?;
        let inode = (metadata.dev(), metadata.ino());
        let mut state = self.state();
        state.step("import")?;
        if !state.can.imports {
            return Err(errno(libc::EOPNOTSUPP));
        }
        state.counts.imports += 1;
        // The same memory has one handle.
        let same = |object: &Object_| matches!(object, Object_::Imported(_, other) if *other == inode);
        if let Some((handle, _)) = state.handles.iter().find(|(_, object)| same(object)) {
            return Ok(*handle);
        }
        let handle = state.fresh();
        state.handles.insert(handle, Object_::Imported(Arc::new(file), inode));
        Ok(handle)
    }

    fn close_handle(&mut self, handle: u32) -> io::Result<()> {
        let mut state = self.state();
        // Before the failure: a handle that does not close is the kernel's.
        let known = state.handles.remove(&handle).is_some();
        state.step("close_handle")?;
        if known { Ok(()) } else { Err(errno(libc::EINVAL)) }
    }

    fn add_framebuffer(&mut self, framebuffer: &Framebuffer) -> io::Result<u32> {
        let mut state = self.state();
        state.step("add_framebuffer")?;
        let object = state.handles.get(&framebuffer.handles[0]).cloned().ok_or(errno(libc::ENOENT))?;
        let length = match &object {
            Object_::Dumb(memory) => memory.lock().unwrap().len(),
            Object_::Imported(file, _) => file.metadata()?.len() as usize,
        };
        let (width, height) = (framebuffer.width as usize, framebuffer.height as usize);
        let planes: &[(usize, usize)] = match framebuffer.format {
            Fourcc::XRGB8888 | Fourcc::ARGB8888 => &[(4 * width, height)],
            Fourcc::RGB888 | Fourcc::BGR888 => &[(3 * width, height)],
            Fourcc::YUYV | Fourcc::UYVY => &[(2 * width, height)],
            Fourcc::NV12 => &[(width, height), (width, height / 2)],
            _ => return Err(errno(libc::EINVAL)),
        };
        for index in 0..4 {
            let handle = framebuffer.handles[index];
            let (stride, offset) = (framebuffer.strides[index] as usize, framebuffer.offsets[index] as usize);
            match planes.get(index) {
                Some(&(row, rows)) => {
                    let fits = handle == framebuffer.handles[0]
                        && stride >= row
                        && offset + stride * (rows - 1) + row <= length;
                    if !fits {
                        return Err(errno(libc::EINVAL));
                    }
                }
                None if (handle, stride, offset) != (0, 0, 0) => return Err(errno(libc::EINVAL)),
                None => {}
            }
        }
        let id = state.fresh();
        state.framebuffers.insert(id, Fb { spec: *framebuffer, object });
        Ok(id)
    }

    fn remove_framebuffer(&mut self, id: u32) -> io::Result<()> {
        let mut state = self.state();
        let known = state.framebuffers.remove(&id).is_some();
        let shown = |settings: &Settings| {
            let planes = [PRIMARY, OVERLAY, CURSOR];
            planes.into_iter().find(|&plane| settings.get(&(plane, "FB_ID")) == Some(&u64::from(id)))
        };
        let planes = [shown(&state.scanned), shown(&state.committed)];
        if planes.iter().any(Option::is_some) {
            state.counts.removed_while_shown += 1;
        }
        for plane in planes.into_iter().flatten() {
            for name in ["FB_ID", "CRTC_ID"] {
                state.scanned.insert((plane, name), 0);
                state.committed.insert((plane, name), 0);
            }
        }
        state.step("remove_framebuffer")?;
        if known { Ok(()) } else { Err(errno(libc::ENOENT)) }
    }

    fn create_mode_blob(&mut self, mode: &Mode) -> io::Result<u32> {
        let mut state = self.state();
        state.step("create_mode_blob")?;
        let id = state.fresh();
        state.blobs.insert(id, *mode);
        state.modes.insert(id, *mode);
        Ok(id)
    }

    fn destroy_blob(&mut self, id: u32) -> io::Result<()> {
        let mut state = self.state();
        let known = state.blobs.remove(&id).is_some();
        state.step("destroy_blob")?;
        if known { Ok(()) } else { Err(errno(libc::ENOENT)) }
    }

    fn commit(&mut self, request: &mut Request, how: Commit, serial: u64) -> io::Result<()> {
        let mut state = self.state();
        state.settle();
        state.step("commit")?;
        if !state.is_atomic {
            return Err(errno(libc::EINVAL));
        }
        if !state.is_master {
            return Err(errno(libc::EACCES));
        }
        let (next, any_crtc) = state.changed(request)?;
        let needs_modeset = state.check(&next)?;
        let may = matches!(how, Commit::Modeset | Commit::Test { modeset: true });
        if needs_modeset && !may || how == Commit::Flip && !any_crtc {
            return Err(errno(libc::EINVAL));
        }
        match how {
            Commit::Test { .. } => state.counts.tests += 1,
            Commit::Flip => {
                if state.pending.is_some() {
                    state.counts.busy += 1;
                    return Err(errno(libc::EBUSY));
                }
                state.committed = next;
                state.pending = Some((serial, state.now + state.period));
            }
            Commit::Modeset => {
                if let Some((_, due)) = state.pending {
                    // It waits for the flip; for one that hangs, until the kernel gives up.
                    state.now = state.now.max(due);
                    state.settle();
                    if state.pending.take().is_some() {
                        state.now += Duration::from_secs(10);
                    }
                }
                state.counts.modesets += u64::from(needs_modeset);
                state.committed = next.clone();
                state.scanned = next;
            }
        }
        Ok(())
    }

    fn flips(&mut self, patience: Duration, done: &mut dyn FnMut(Flip)) -> io::Result<()> {
        let mut state = self.state();
        state.step("flips")?;
        state.settle();
        if state.events.is_empty() && !patience.is_zero() {
            let begun = state.now;
            let due = state.pending.map(|(_, due)| due).filter(|_| state.flips == Flips::Done);
            let until = state.now + patience;
            state.now = due.map_or(until, |due| due.min(until)).max(state.now);
            let waited = state.now - begun;
            state.counts.longest = state.counts.longest.max(waited);
            state.settle();
        }
        let events = std::mem::take(&mut state.events);
        drop(state);
        for (serial, at) in events {
            done(Flip { serial, at });
        }
        Ok(())
    }

    fn save(&mut self, crtc: u32) -> io::Result<Saved> {
        let mut state = self.state();
        state.step("save")?;
        let mode = state.get(&state.scanned, crtc, "MODE_ID") as u32;
        Ok(Saved {
            crtc,
            mode: state.modes.get(&mode).copied(),
            framebuffer: state.get(&state.scanned, PRIMARY, "FB_ID") as u32,
            position: (0, 0),
            connectors: vec![21],
        })
    }

    fn restore(&mut self, saved: &Saved) -> io::Result<()> {
        let mut state = self.state();
        state.step("restore")?;
        if !state.is_master {
            return Err(errno(libc::EACCES));
        }
        let Some(mode) = saved.mode else {
            for (object, name) in [
                (saved.crtc, "ACTIVE"),
                (saved.crtc, "MODE_ID"),
                (21, "CRTC_ID"),
                (PRIMARY, "FB_ID"),
                (PRIMARY, "CRTC_ID"),
            ] {
                state.committed.insert((object, name), 0);
            }
            state.scanned = state.committed.clone();
            return Ok(());
        };
        if !state.framebuffers.contains_key(&saved.framebuffer) {
            return Err(errno(libc::ENOENT));
        }
        let blob = *state.modes.iter().find(|(_, known)| **known == mode).unwrap().0;
        let (width, height) = mode.size();
        let crtc = u64::from(saved.crtc);
        let settings = [
            ((saved.crtc, "ACTIVE"), 1),
            ((saved.crtc, "MODE_ID"), u64::from(blob)),
            ((21, "CRTC_ID"), crtc),
            ((PRIMARY, "FB_ID"), u64::from(saved.framebuffer)),
            ((PRIMARY, "CRTC_ID"), crtc),
            ((PRIMARY, "SRC_W"), (width << 16) as u64),
            ((PRIMARY, "SRC_H"), (height << 16) as u64),
            ((PRIMARY, "CRTC_X"), 0),
            ((PRIMARY, "CRTC_Y"), 0),
            ((PRIMARY, "CRTC_W"), width as u64),
            ((PRIMARY, "CRTC_H"), height as u64),
        ];
        state.committed.extend(settings);
        state.scanned = state.committed.clone();
        state.counts.restored += 1;
        Ok(())
    }
}
