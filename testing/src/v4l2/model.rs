//! What the device can do, and what may happen to it.

use std::time::{Duration, Instant};

use polyp_edge::capture::v4l2::kernel::*;
use rustix::io::Errno;

/// What the driver can do.
#[derive(Clone, Debug)]
pub struct Model {
    /// The buffer type that the driver speaks.
    pub buffers: BufferType,
    /// What it offers; a format that it does not have becomes the first.
    pub formats: Vec<FourCc>,
    /// What it offers in each format.
    pub sizes: Vec<Sizes>,
    /// What it offers in each format and size; none: the interval cannot be set.
    pub intervals: Vec<Intervals>,
    /// Bytes added to each row.
    pub padding: u32,
    /// Bytes added to each plane.
    pub tail: u32,
    /// Bytes before each picture, where the driver is multi-planar.
    pub data_offset: u32,
    /// An HDMI input.
    pub digital: bool,
    /// Blocks of what it tells a source of itself as a monitor.
    pub edid_blocks: u32,
    /// `REQBUFS` of 0 while buffers are mapped, as kernels have it since 5.0.
    pub orphans: bool,
    /// `EXPBUF` succeeds.
    pub can_export: bool,
    /// `REQBUFS` grants no more.
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
            edid_blocks: 2,
            orphans: true,
            can_export: true,
            most_buffers: 32,
            least_queued: 1,
            alter: |_| {},
            jpeg: None,
        }
    }
}

/// A picture that the device takes.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Counts how often the device was plugged in, from 1.
    pub generation: u64,
    /// When.
    pub at: Instant,
    /// The format in force.
    pub format: Format,
}

/// What an HDMI input meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// A source that sends these timings.
    Source(Timings),
    /// No signal that the input can receive.
    None {
        /// The error of `QUERY_DV_TIMINGS`.
        errno: Errno,
        /// The input's status, `V4L2_IN_ST_*`.
        status: u32,
        /// A bit for each connector that a powered cable is in.
        cables: u32,
    },
}

/// Timings of a size at 50 pictures a second.
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
    /// The driver marks it as damaged.
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
    /// A time that is to come.
    Ahead,
    /// A number far ahead.
    Leap,
    /// The dequeued buffer's index is one that there is not.
    NoSuchIndex,
    /// The dequeued buffer's index is that of another one, which was not filled.
    WrongIndex,
}

/// All quirks.
pub const QUIRKS: [Quirk; 12] = [
    Quirk::ErrorFlag,
    Quirk::Truncated,
    Quirk::Oversized,
    Quirk::BadOffset,
    Quirk::Planes,
    Quirk::Duplicate,
    Quirk::Misordered,
    Quirk::Stale,
    Quirk::Ahead,
    Quirk::Leap,
    Quirk::NoSuchIndex,
    Quirk::WrongIndex,
];

/// What happens to the device.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// It is pulled out.
    Unplug,
    /// It is plugged in again, if it is out.
    Replug,
    /// No picture is taken any more, or again.
    Stall(bool),
    /// The input meets this, and whoever subscribed is sent an event.
    Signal(Signal),
    /// The next pictures are odd.
    Quirk(Quirk, u32),
    /// The driver gives up its queue, as `vb2_queue_error` does.
    QueueError,
    /// An event without reason.
    SpuriousEvent,
    /// A call fails so many times from now on.
    Fail(&'static str, Errno, u64),
    /// No call comes back for so long.
    Hang(Duration),
    /// The thread that makes the next call panics.
    Panic,
    /// No call fails any more, and no picture is odd.
    Mend,
}
