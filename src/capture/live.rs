//! Live video: what a camera is to the pipeline, and how its buffers are lent.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::frame::{Frame, Timestamp, View};

/// Something that gives pictures for as long as it is there, and says why when it does not.
pub trait Camera: Send {
    /// Waits for the newest picture, hardly longer than `patience`. Trouble is never an error: the camera mends
    /// itself, or goes on trying and says so. `frame` takes pictures that are not lent.
    fn next(&mut self, patience: Duration, frame: &mut Frame) -> Event;

    /// One line for the log: what was granted, such as `/dev/video0: 1920×1080 YUYV, 60 a second`.
    fn granted(&self) -> String;

    /// Counts since the start.
    fn counts(&self) -> Counts;
}

/// What became of waiting for a picture.
#[derive(Debug)]
pub enum Event {
    /// A picture in the camera's own memory.
    Lent(Lease, Stamp),
    /// A picture that was decoded into the frame given.
    Decoded(Stamp),
    /// None came in time.
    Nothing,
    /// None will come until what is said here is over. Leases had better be dropped: kernels before 5.0 let nobody have
    /// the device while one is out.
    Absent(Absence),
}

/// When a picture was taken.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The driver's sequence number, counted on over restarts of the stream; gaps are frames that were lost.
    pub sequence: u64,
    /// The driver's own time, since the first picture.
    pub timestamp: Timestamp,
    /// How long before it was fetched its driver took it; `None` if the driver's clock cannot be compared.
    pub since_taken: Option<Duration>,
    /// By which clock the driver tells that.
    pub clock: DriverClock,
    /// When the picture was handed over, or, if it was kept waiting in its buffer, when it could have been: delays count from here.
    pub dequeued: Instant,
}

/// By which clock a driver tells when it took a picture, and at which moment of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum DriverClock {
    /// It does not tell, or by a clock that nothing here can be compared with.
    #[default]
    Unknown,
    /// The monotonic clock, at the end of the picture.
    EndOfFrame,
    /// The monotonic clock, at the start of the exposure.
    StartOfExposure,
}

impl DriverClock {
    /// The one with this number; `Unknown` if there is none.
    pub fn of(number: u8) -> DriverClock {
        [DriverClock::EndOfFrame, DriverClock::StartOfExposure]
            .into_iter()
            .find(|&clock| clock as u8 == number)
            .unwrap_or_default()
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            DriverClock::Unknown => "none that can be compared",
            DriverClock::EndOfFrame => "monotonic, end of the frame",
            DriverClock::StartOfExposure => "monotonic, start of the exposure",
        }
    }
}

/// Why there are no pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// No device of that name.
    NoDevice,
    /// It was there and went.
    Unplugged,
    /// No access to the device.
    Denied,
    /// Another program streams from it.
    Busy,
    /// It gives no format, size or rate that the profile asks for, or is no camera.
    Unsuitable,
    /// An HDMI input without a cable.
    NoCable,
    /// A cable without a signal.
    NoSignal,
    /// A signal that the input cannot lock on to.
    NoSync,
    /// It streams, and no picture comes.
    Stalled,
    /// The driver reports errors.
    Failing,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::NoDevice => "no camera",
            Why::Unplugged => "camera unplugged",
            Why::Denied => "no access to the camera",
            Why::Busy => "camera in use by another program",
            Why::Unsuitable => "camera unsuitable",
            Why::NoCable => "no cable at the input",
            Why::NoSignal => "no signal",
            Why::NoSync => "no lock, or signal out of range",
            Why::Stalled => "no picture from the camera",
            Why::Failing => "camera failing",
        })
    }
}

/// That there are no pictures: why, and what is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The cause, which the monitor shows.
    pub why: Why,
    /// What exactly was met, one line: `open /dev/video0: no such file`.
    pub detail: Arc<str>,
    /// How often it was tried to get pictures again.
    pub attempts: u64,
}

/// What a camera counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Handed over.
    pub pictures: u64,
    /// Passed over for a newer one.
    pub stale: u64,
    /// Marked as damaged by the driver, too short, or not decodable.
    pub damaged: u64,
    /// Missing in the driver's numbering.
    pub missed: u64,
    /// The stream was started anew.
    pub restarts: u64,
}

/// A camera's buffer, lent until the last [`Lease`] of it is dropped. Dropping one never waits.
pub struct Lease(Arc<dyn Buffer>);

/// Which buffer it is, for what is made once for each: stays the same as long as the camera's queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId {
    /// Another one for each queue in the life of the program.
    pub queue: u64,
    /// The buffer's number in its queue, from 0.
    pub index: u32,
}

/// What lends buffers implements this.
pub trait Buffer: Send + Sync {
    /// The picture that the buffer holds.
    fn view(&self) -> View<'_>;
    /// Which of the camera's buffers it is.
    fn id(&self) -> BufferId;
    /// To import the memory elsewhere without copying; `None` where the driver cannot.
    fn dma_buf(&self) -> Option<BorrowedFd<'_>>;
    /// Counts one more lease.
    fn retain(&self);
    /// Counts one lease less. After the last one the buffer goes back to its queue.
    fn release(&self);
}

impl Lease {
    /// Counts as the first lease of a buffer.
    pub fn new(buffer: Arc<dyn Buffer>) -> Lease {
        buffer.retain();
        Lease(buffer)
    }
    /// The picture, in the camera's memory.
    pub fn view(&self) -> View<'_> {
        self.0.view()
    }
    /// Which of the camera's buffers it is: the same for all leases of it.
    pub fn id(&self) -> BufferId {
        self.0.id()
    }
    /// To import the memory elsewhere without copying; `None` where the driver cannot.
    pub fn dma_buf(&self) -> Option<BorrowedFd<'_>> {
        self.0.dma_buf()
    }
}

impl Clone for Lease {
    fn clone(&self) -> Lease {
        Lease::new(self.0.clone())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({:?})", self.id())
    }
}
