//! What the kernel does for a camera, call by call, as traits that a stand-in can implement.
//!
//! A method is one system call; it answers at once (the device is opened non-blocking) with plain values or the
//! kernel's error number. Numbers that drivers make up (fields, colour spaces, flags) stay numbers: none is trusted to
//! be one that we know.

use std::fmt;

pub use crate::frame::FourCc;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// A call's answer, or the kernel's error number.
pub type Answer<T> = Result<T, Errno>;

/// What is there before a device is open: names, and time.
pub trait System: Send {
    /// An open device.
    type Kernel: Kernel;

    /// All video devices, `/dev/video0` first.
    fn nodes(&mut self) -> Vec<PathBuf>;
    /// Names under `/dev/v4l` that mean this device and stay the same when it comes back, by-id before by-path.
    fn stable_names(&mut self, node: &Path) -> Vec<PathBuf>;
    /// Opens for reading and writing, non-blocking.
    fn open(&mut self, name: &Path) -> Answer<Self::Kernel>;
    /// The time by which waiting is measured. A stand-in may have a clock of its own.
    fn now(&self) -> Instant;
    /// The monotonic clock, by which drivers tell when they took a picture.
    fn monotonic(&self) -> Duration;
    /// Waits for as long as this. A stand-in may only move its clock on.
    fn sleep(&self, time: Duration);
}

/// An open video device. Dropping it closes it.
pub trait Kernel: Send {
    /// A buffer's plane, mapped. Stays readable after the device is gone.
    type Memory: Deref<Target = [u8]> + Send + Sync + 'static;

    /// `VIDIOC_QUERYCAP`
    fn capabilities(&self) -> Answer<Capabilities>;
    /// `VIDIOC_ENUM_FMT`; EINVAL ends the list, as it does all lists below.
    fn format_at(&self, buffers: BufferType, index: u32) -> Answer<FourCc>;
    /// `VIDIOC_ENUM_FRAMESIZES`
    fn size_at(&self, format: FourCc, index: u32) -> Answer<Sizes>;
    /// `VIDIOC_ENUM_FRAMEINTERVALS`
    fn interval_at(&self, format: FourCc, size: (u32, u32), index: u32) -> Answer<Intervals>;
    /// `VIDIOC_G_FMT`
    fn format(&self, buffers: BufferType) -> Answer<Format>;
    /// `VIDIOC_S_FMT`: gives what the driver made of it.
    fn set_format(&self, buffers: BufferType, format: &Format) -> Answer<Format>;
    /// `VIDIOC_G_PARM`: the time between two pictures; `None` where it cannot be set.
    fn interval(&self, buffers: BufferType) -> Answer<Option<Fraction>>;
    /// `VIDIOC_S_PARM`: gives what the driver made of it.
    fn set_interval(&self, buffers: BufferType, interval: Fraction) -> Answer<Fraction>;
    /// `VIDIOC_G_INPUT`
    fn input(&self) -> Answer<u32>;
    /// `VIDIOC_S_INPUT`
    fn set_input(&self, index: u32) -> Answer<()>;
    /// `VIDIOC_ENUMINPUT`
    fn input_at(&self, index: u32) -> Answer<Input>;
    /// `VIDIOC_G_CTRL` of `V4L2_CID_DV_RX_POWER_PRESENT`: a bit for each connector that a powered cable is in.
    fn cables(&self) -> Answer<u32>;
    /// `VIDIOC_G_DV_TIMINGS`
    fn timings(&self) -> Answer<Timings>;
    /// `VIDIOC_QUERY_DV_TIMINGS`: what the input receives now.
    fn query_timings(&self) -> Answer<Timings>;
    /// `VIDIOC_S_DV_TIMINGS`
    fn set_timings(&self, timings: &Timings) -> Answer<()>;
    /// `VIDIOC_G_EDID`: of how many blocks is what a source reads there of the monitor that it takes this input for.
    fn edid_blocks(&self, pad: u32) -> Answer<u32>;
    /// `VIDIOC_SUBSCRIBE_EVENT` for `V4L2_EVENT_SOURCE_CHANGE`
    fn subscribe_source_change(&self, input: u32) -> Answer<()>;
    /// `VIDIOC_DQEVENT`; ENOENT if none is pending.
    fn event(&self) -> Answer<Notice>;
    /// `VIDIOC_REQBUFS`, memory-mapped: gives how many there are now. 0 frees them.
    fn request_buffers(&self, buffers: BufferType, count: u32) -> Answer<u32>;
    /// `VIDIOC_QUERYBUF`
    fn buffer(&self, buffers: BufferType, index: u32) -> Answer<Memories>;
    /// `mmap`, shared and read-only.
    fn map(&self, place: MemoryPlace) -> Answer<Self::Memory>;
    /// `VIDIOC_EXPBUF`, read-only, closed on exec.
    fn export(&self, buffers: BufferType, index: u32, plane: u32) -> Answer<OwnedFd>;
    /// `VIDIOC_QBUF` of a buffer with `planes` planes.
    fn queue(&self, buffers: BufferType, index: u32, planes: u32) -> Answer<()>;
    /// `VIDIOC_DQBUF`; EAGAIN if none is filled.
    fn dequeue(&self, buffers: BufferType) -> Answer<Dequeued>;
    /// `VIDIOC_STREAMON`
    fn stream_on(&self, buffers: BufferType) -> Answer<()>;
    /// `VIDIOC_STREAMOFF`
    fn stream_off(&self, buffers: BufferType) -> Answer<()>;
    /// `poll` for a picture or an event.
    fn wait(&self, time: Duration) -> Answer<Ready>;
}

/// Text that a driver gives: at most 32 bytes, up to the first NUL.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Label([u8; 32]);

impl From<&[u8]> for Label {
    fn from(text: &[u8]) -> Label {
        let mut label = Label::default();
        label.0.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        label
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.iter().take_while(|&&byte| byte != 0) {
            let letter = if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '?' };
            fmt::Write::write_char(f, letter)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Which of V4L2's two ways to describe a picture's memory a driver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferType {
    /// `V4L2_BUF_TYPE_VIDEO_CAPTURE`: one piece of memory.
    Single,
    /// `V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE`: one piece or several.
    Multi,
}

/// What `VIDIOC_QUERYCAP` says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The kernel driver's name, such as `uvcvideo`.
    pub driver: Label,
    /// The device's name.
    pub card: Label,
    /// Where the device is attached, such as `usb-0000:01:00.0-1`.
    pub bus: Label,
    /// `V4L2_CAP_*` of this very node.
    pub flags: u32,
}

/// Numerator and denominator, as drivers give them: either may be 0. Of seconds where it is an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fraction(pub u32, pub u32);

impl Fraction {
    /// The interval of a rate, to a thousandth; `rate_hz` within 0.001..=1000000.
    pub fn of_rate(rate_hz: f64) -> Fraction {
        let thousandths = (1000.0 * rate_hz.clamp(0.001, 1e6)).round() as u32;
        if thousandths.is_multiple_of(1000) {
            Fraction(1, thousandths / 1000)
        } else {
            Fraction(1000, thousandths)
        }
    }
    /// An interval as a rate; `None` if it is none.
    pub fn rate_hz(self) -> Option<f64> {
        (self.0 > 0 && self.1 > 0).then(|| f64::from(self.1) / f64::from(self.0))
    }
}

/// Sizes that a driver offers, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Width and height.
    One((u32, u32)),
    /// From `min` to `max` in steps.
    Range {
        /// Smallest width and height.
        min: (u32, u32),
        /// Largest width and height.
        max: (u32, u32),
        /// Step of the width and of the height.
        step: (u32, u32),
    },
}

/// Times between two pictures that a driver offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intervals {
    /// Exactly this one.
    One(Fraction),
    /// Any between two.
    Range {
        /// The shortest.
        min: Fraction,
        /// The longest.
        max: Fraction,
    },
}

/// Pieces of memory that a picture is made of, at most: more than two are counted, not kept.
pub const MAX_MEMORIES: usize = 2;

/// How a picture lies in memory (`v4l2_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The pixel format, such as `YUYV`.
    pub fourcc: FourCc,
    /// `V4L2_FIELD_*`
    pub field: u32,
    /// `V4L2_COLORSPACE_*`
    pub colorspace: u32,
    /// `V4L2_YCBCR_ENC_*`
    pub encoding: u32,
    /// `V4L2_QUANTIZATION_*`
    pub quantization: u32,
    /// Pieces of memory.
    pub planes: u32,
    /// One entry for each piece of memory.
    pub plane: [PlaneFormat; MAX_MEMORIES],
}

/// A piece of memory of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneFormat {
    /// Bytes from row to row.
    pub stride: u32,
    /// Bytes in all.
    pub size: u32,
}

/// What `VIDIOC_ENUMINPUT` says of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// As the driver names it.
    pub name: Label,
    /// `V4L2_IN_ST_*`
    pub status: u32,
    /// `V4L2_IN_CAP_*`
    pub capabilities: u32,
}

/// What a digital video source sends (`v4l2_bt_timings`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Of the visible picture, in pixels.
    pub width: u32,
    /// Of the visible picture, in lines; both fields together if interlaced.
    pub height: u32,
    /// The picture comes as two fields.
    pub interlaced: bool,
    /// `V4L2_DV_VSYNC_POS_POL` and `V4L2_DV_HSYNC_POS_POL`
    pub polarities: u32,
    /// Pixels a second, blanking included.
    pub pixel_clock_hz: u64,
    /// Front porch, sync, back porch, in pixels.
    pub horizontal: [u32; 3],
    /// Front porch, sync, back porch, in lines; of an interlaced picture's first field.
    pub vertical: [u32; 3],
    /// Front porch, sync, back porch, in lines, of an interlaced picture's second field.
    pub second_field: [u32; 3],
    /// `V4L2_DV_BT_STD_*`
    pub standards: u32,
    /// `V4L2_DV_FL_*`
    pub flags: u32,
    /// Width to height of the picture, if `flags` say that it is given.
    pub picture_aspect: Fraction,
    /// The format's number in CEA-861, if `flags` say that it is given.
    pub cea861_vic: u8,
    /// The format's number in the HDMI standard, if `flags` say that it is given.
    pub hdmi_vic: u8,
}

impl Timings {
    /// Whole pictures a second, two fields of interlaced ones each; `None` if the timings are impossible.
    pub fn rate_hz(&self) -> Option<f64> {
        let total = |active: u32, blanking: [u32; 3]| {
            blanking.iter().map(|&part| u64::from(part)).sum::<u64>() + u64::from(active)
        };
        let second = if self.interlaced { total(0, self.second_field) } else { 0 };
        let lines = total(self.height, self.vertical) + second;
        let pixels = total(self.width, self.horizontal).checked_mul(lines)?;
        (pixels > 0 && self.pixel_clock_hz > 0).then(|| self.pixel_clock_hz as f64 / pixels as f64)
    }

    /// Whether both mean the same picture; a receiver measures the clock anew each time.
    pub fn same(&self, other: &Timings) -> bool {
        let close = match (self.rate_hz(), other.rate_hz()) {
            (Some(one), Some(another)) => (one - another).abs() <= 0.02 * one.max(another),
            _ => self.pixel_clock_hz == other.pixel_clock_hz,
        };
        (self.width, self.height, self.interlaced) == (other.width, other.height, other.interlaced) && close
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scan = if self.interlaced { "i" } else { "p" };
        write!(f, "{}×{}{scan}", self.width, self.height)?;
        match self.rate_hz() {
            Some(rate) => write!(f, "{rate:.2}"),
            None => Ok(()),
        }
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The input's source is another one, or has another size.
    SourceChanged,
    /// Anything else.
    Other,
}

/// Where a plane's memory is to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlace {
    /// What `mmap` is called with.
    pub offset: u64,
    /// In bytes.
    pub length: usize,
}

/// A buffer's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memories {
    /// How many pieces.
    pub planes: u32,
    /// One entry for each piece.
    pub plane: [MemoryPlace; MAX_MEMORIES],
}

/// A buffer that the kernel gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dequeued {
    /// Which buffer of the queue it is.
    pub index: u32,
    /// `V4L2_BUF_FLAG_*`
    pub flags: u32,
    /// The driver's number for the picture.
    pub sequence: u32,
    /// On the clock that `flags` says.
    pub timestamp: Duration,
    /// How many pieces of memory it has.
    pub planes: u32,
    /// One entry for each piece.
    pub plane: [Used; MAX_MEMORIES],
}

/// Which bytes of a plane hold the picture: `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// In bytes from the start of the plane's memory.
    pub start: u32,
    /// In bytes from the start of the plane's memory.
    pub end: u32,
    /// Of the plane's memory.
    pub length: u32,
}

/// What `poll` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// POLLIN
    pub picture: bool,
    /// POLLPRI
    pub event: bool,
    /// POLLERR
    pub error: bool,
    /// POLLHUP or POLLNVAL
    pub gone: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard timings of 1080i at 30 pictures (CTA-861, VIC 5).
    #[test]
    fn interlaced_timings_count_both_fields() {
        let timings = Timings {
            width: 1920,
            height: 1080,
            interlaced: true,
            pixel_clock_hz: 74_250_000,
            horizontal: [88, 44, 148],
            vertical: [2, 5, 15],
            second_field: [2, 5, 16],
            ..Timings::default()
        };
        assert_eq!(timings.rate_hz(), Some(30.0));
    }
}
