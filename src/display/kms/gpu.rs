//! What the display needs of a graphics card: exactly these operations, as the kernel has them.
//!
//! Glossary: a *connector* is a socket; a *CRTC* makes the signal for one; a *plane* is a picture in that signal; a
//! *framebuffer* is memory with a format, to be put on a plane; a *dumb buffer* is memory that any card has.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

pub use super::objects::{Object, Property, Request};
use crate::call::{CallError, CallResult};
pub use crate::frame::FourCc;
use crate::runtime;

impl FourCc {
    /// Memory B G R X.
    pub const XRGB8888: FourCc = FourCc::new(b"XR24");
    /// Memory B G R A.
    pub const ARGB8888: FourCc = FourCc::new(b"AR24");
    /// Memory B G R.
    pub const RGB888: FourCc = FourCc::new(b"RG24");
    /// Memory R G B.
    pub const BGR888: FourCc = FourCc::new(b"BG24");
    /// Memory Y₀ Cb Y₁ Cr.
    pub const YUYV: FourCc = FourCc::new(b"YUYV");
    /// Memory Cb Y₀ Cr Y₁.
    pub const UYVY: FourCc = FourCc::new(b"UYVY");
    /// A plane of Y, then a plane of Cb Cr at half the width and height.
    pub const NV12: FourCc = FourCc::new(b"NV12");
}

/// A monitor's mode, as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub drm_ffi::drm_mode_modeinfo);

impl Mode {
    /// Visible pixels in a line.
    pub fn width(&self) -> usize {
        usize::from(self.0.hdisplay)
    }
    /// Visible lines.
    pub fn height(&self) -> usize {
        usize::from(self.0.vdisplay)
    }
    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width(), self.height())
    }
    pub(crate) fn is_preferred(&self) -> bool {
        self.0.type_ & drm_ffi::DRM_MODE_TYPE_PREFERRED != 0
    }
    pub(crate) fn is_interlaced(&self) -> bool {
        self.0.flags & drm_ffi::DRM_MODE_FLAG_INTERLACE != 0
    }

    /// Pictures a second (fields, if interlaced), from the pixel clock; the kernel's own figure if the mode has no timings.
    pub fn refresh_hz(&self) -> f64 {
        let pixels = f64::from(self.0.htotal) * f64::from(self.0.vtotal);
        if pixels == 0.0 {
            return f64::from(self.0.vrefresh);
        }
        let mut rate = f64::from(self.0.clock) * 1000.0 / pixels;
        if self.is_interlaced() {
            rate *= 2.0;
        }
        if self.0.flags & drm_ffi::DRM_MODE_FLAG_DBLSCAN != 0 {
            rate /= 2.0;
        }
        rate / f64::from(self.0.vscan.max(1))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interlaced = if self.is_interlaced() { ", interlaced" } else { "" };
        write!(f, "{}×{} at {:.2} Hz{interlaced}", self.width(), self.height(), self.refresh_hz())
    }
}

/// Whether a monitor is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// There is one.
    Connected,
    /// There is none.
    Disconnected,
    /// The hardware cannot tell.
    Unknown,
}

/// A connector and its monitor.
#[derive(Clone, Debug)]
pub struct Connector {
    /// The kernel's object id.
    pub id: u32,
    /// As the kernel names it: `HDMI-A-1`.
    pub name: String,
    /// Whether a monitor is connected.
    pub status: Status,
    /// What the monitor offers.
    pub modes: Vec<Mode>,
    /// Bit n: the n-th CRTC can feed it.
    pub possible_crtcs: u32,
}

/// What a plane is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaneKind {
    /// A picture over the primary plane's, or under it.
    Overlay,
    /// The main picture of a CRTC.
    Primary,
    /// A pointer.
    Cursor,
}

/// A hardware plane.
#[derive(Clone, Debug)]
pub struct Plane {
    /// The kernel's object id.
    pub id: u32,
    /// What it is meant for.
    pub kind: PlaneKind,
    /// Formats of the framebuffers that it can show.
    pub formats: Vec<FourCc>,
    /// Bit n: it can lie on the n-th CRTC.
    pub possible_crtcs: u32,
}

/// Memory that the display reads, 32 bits a pixel. It may be uncached: it is written, in order, and never read.
pub trait BufferMemory: Send {
    /// What lies outside is not written.
    fn write(&mut self, offset: usize, bytes: &[u8]);
    /// Writes `count` zeros from `offset` on, if they all lie inside.
    fn zero(&mut self, offset: usize, count: usize);
}

/// A dumb buffer: black and transparent at first.
pub struct Dumb<M> {
    /// The kernel's handle, to be given up with [`Gpu::close_handle`].
    pub handle: u32,
    /// Bytes from row to row.
    pub stride: u32,
    /// The buffer's memory, mapped.
    pub memory: M,
}

/// Memory with a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// How its pixels lie in memory.
    pub format: FourCc,
    /// One a memory plane of the format; 0 for those that it does not have.
    pub handles: [u32; 4],
    /// Bytes from row to row, in the order of `handles`.
    pub strides: [u32; 4],
    /// Where each memory plane begins, in bytes, in the order of `handles`.
    pub offsets: [u32; 4],
}

/// How a request is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Only say whether it would be.
    Test {
        /// The mode may change.
        modeset: bool,
    },
    /// At the next refresh, with an event; returns at once.
    Flip,
    /// At once and to the end; the mode may change.
    Modeset,
}

/// A picture has reached the monitor.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    /// That of its commit.
    pub serial: u64,
    /// When its scan-out began, as the driver says.
    pub at: Instant,
}

/// What a CRTC showed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The CRTC's object id.
    pub crtc: u32,
    /// `None`: it was off.
    pub mode: Option<Mode>,
    /// Its object id; 0 if there was none.
    pub framebuffer: u32,
    /// Where in the framebuffer the picture began: x and y in pixels.
    pub position: (u32, u32),
    /// Object ids of the connectors that the CRTC fed.
    pub connectors: Vec<u32>,
}

/// A graphics card. Errors are the kernel's, each with its errno. Nothing here waits longer than it says, but for
/// [`Gpu::connector`] with `probe`, [`Commit::Modeset`] and [`Gpu::restore`], which take as long as the driver does.
pub trait Gpu: Send {
    /// A mapped dumb buffer.
    type Memory: BufferMemory;

    /// The card's node, such as `/dev/dri/card1`.
    fn path(&self) -> &Path;
    /// The kernel driver's name, such as `vc4`.
    fn driver(&self) -> &str;
    /// The time by which waiting is measured. A stand-in may have a clock of its own.
    fn now(&self) -> Instant {
        runtime::now()
    }

    /// Atomic commits and all kinds of planes.
    fn enable_atomic(&mut self) -> CallResult<()>;
    /// No error if this program is the card's master already.
    fn acquire_master(&mut self) -> CallResult<()>;

    /// Hands connectors, CRTCs and planes to another user of the card, who sees nothing else and whom nobody else sees: flips and
    /// waiting are its own. What it was given is lost once this card is closed, or is no longer master.
    fn lease(&mut self, objects: &[u32]) -> CallResult<Self>
    where
        Self: Sized;

    /// Object ids of all connectors.
    fn connectors(&mut self) -> CallResult<Vec<u32>>;
    /// `probe`: asks the monitor anew, which takes a while.
    fn connector(&mut self, id: u32, probe: bool) -> CallResult<Connector>;
    /// What the kernel knows now, without asking the monitor.
    fn status(&mut self, connector: &Connector) -> CallResult<Status>;
    /// Object ids of all CRTCs, in the order by which `possible_crtcs` counts them.
    fn crtcs(&mut self) -> CallResult<Vec<u32>>;
    /// All planes; of all kinds after [`Gpu::enable_atomic`].
    fn planes(&mut self) -> CallResult<Vec<Plane>>;
    /// An object's properties with their present values.
    fn properties(&mut self, of: Object) -> CallResult<Vec<Property>>;

    /// 32 bits a pixel.
    fn create_dumb(&mut self, width: u32, height: u32) -> CallResult<Dumb<Self::Memory>>;
    /// A handle on memory that another driver lent.
    fn import(&mut self, memory: BorrowedFd<'_>) -> CallResult<u32>;
    /// Gives up a handle of a dumb buffer, or on memory that was imported.
    fn close_handle(&mut self, handle: u32) -> CallResult<()>;
    /// Keeps the memory: the handles may be closed.
    fn add_framebuffer(&mut self, framebuffer: &Framebuffer) -> CallResult<u32>;
    /// A plane that still shows it goes dark.
    fn remove_framebuffer(&mut self, id: u32) -> CallResult<()>;
    /// Hands a mode to the kernel, for a CRTC's property `MODE_ID`; gives the blob's number.
    fn create_mode_blob(&mut self, mode: &Mode) -> CallResult<u32>;
    /// Gives up a blob. A CRTC that shows its mode goes on doing so.
    fn destroy_blob(&mut self, id: u32) -> CallResult<()>;

    /// `serial` comes back with the [`Flip`].
    fn commit(&mut self, request: &mut Request, how: Commit, serial: u64) -> CallResult<()>;
    /// Calls `done` with flips that are over; waits for the first one no longer than `patience`.
    fn flips(&mut self, patience: Duration, done: &mut dyn FnMut(Flip)) -> CallResult<()>;

    /// What a CRTC shows now.
    fn save(&mut self, crtc: u32) -> CallResult<Saved>;
    /// Shows again what was saved. Switches the CRTC off if that was nothing, or if it fails.
    fn restore(&mut self, saved: &Saved) -> CallResult<()>;
}

/// What an error of the kernel means for the display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not now: a picture is skipped.
    Busy,
    /// Another program is the card's master.
    Denied,
    /// The card is gone.
    Gone,
    /// It cannot be done this way.
    Refused,
    /// It might be done later.
    Trouble,
}

impl Failure {
    pub(crate) fn of(error: &CallError) -> Failure {
        match error.errno {
            Errno::BUSY | Errno::AGAIN | Errno::INTR => Failure::Busy,
            Errno::ACCESS | Errno::PERM => Failure::Denied,
            Errno::NODEV | Errno::NXIO => Failure::Gone,
            Errno::INVAL | Errno::RANGE | Errno::NOSPC | Errno::TOOBIG | Errno::OPNOTSUPP => Failure::Refused,
            _ => Failure::Trouble,
        }
    }
}
