//! What the threads hand to one another: frames, and what was found in them.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::mailbox::Letter;
use crate::capture::Mask;
use crate::capture::live::{Absence, Lease};
use crate::detect::Regions;
use crate::frame::{Frame, FrameNumber, View};
use crate::geometry::Rect;
use crate::motion::Thumbnail;
use crate::recording::Shot;
use crate::runtime;
use crate::state::Reason;
use crate::track::Shown;

/// Counts what the pictures come from: another one for each source, and for each time that a camera comes back. What was
/// found in one epoch is never drawn in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch(pub u64);

/// Where a frame belongs: results are drawn only on frames of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub epoch: Epoch,
    /// Width and height in pixels.
    pub size: (usize, usize),
}

/// A frame on its way: lent by a camera, or with pixels of its own.
pub(super) struct Captured {
    pub frame: Frame,
    pub lease: Option<Lease>,
    pub epoch: Epoch,
    pub number: FrameNumber,
    pub name: OsString,
    pub truth: Option<Mask>,
    /// When it was handed over by its source.
    pub at: Instant,
    /// How long before that its driver took it, where that is known.
    pub since_taken: Option<Duration>,
    /// When it was ready to be shown.
    pub ready: Instant,
}

impl Captured {
    pub fn blank() -> Captured {
        Captured {
            frame: Frame::black(1, 1),
            lease: None,
            epoch: Epoch::default(),
            number: FrameNumber(0),
            name: OsString::new(),
            truth: None,
            at: runtime::now(),
            since_taken: None,
            ready: runtime::now(),
        }
    }

    pub fn view(&self) -> View<'_> {
        self.lease.as_ref().map_or_else(|| self.frame.view(), Lease::view)
    }

    pub fn origin(&self) -> Origin {
        let view = self.view();
        Origin { epoch: self.epoch, size: (view.width_px(), view.height_px()) }
    }

    /// For inference: lent pixels are lent once more, others copied.
    pub fn copy_from(&mut self, other: &Captured) {
        match &other.lease {
            Some(lease) => self.lease = Some(lease.clone()),
            None => self.frame.copy_from(&other.frame),
        }
        self.epoch = other.epoch;
        self.number = other.number;
        self.at = other.at;
    }
}

impl Letter for Captured {
    fn clear(&mut self) {
        self.lease = None;
    }
}

/// A picture that was shown, handed on by the display instead of being given back.
pub(super) struct Filmed {
    pub captured: Captured,
    pub shot: Shot,
    /// Those who record are to have it, too.
    pub is_recorded: bool,
}

impl Filmed {
    pub fn blank() -> Filmed {
        Filmed { captured: Captured::blank(), shot: Shot::default(), is_recorded: false }
    }
}

impl Letter for Filmed {
    fn clear(&mut self) {
        self.captured.clear();
    }
}

/// What a second monitor shows where there is no picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    pub lines: [String; 4],
}

impl Letter for Screen {}

/// What was found in a frame.
pub(super) struct Found {
    pub origin: Origin,
    pub number: FrameNumber,
    pub at: Instant,
    /// All, and those to be drawn.
    pub regions: Regions,
    pub shown: Shown,
    /// The endoscope's picture in the frame.
    pub field: Rect,
    /// The frame, coarsely: to see how far the picture moves afterwards.
    pub thumbnail: Thumbnail,
    pub implausible: bool,
}

impl Found {
    pub fn blank() -> Found {
        Found {
            origin: Origin { epoch: Epoch::default(), size: (0, 0) },
            number: FrameNumber(0),
            at: runtime::now(),
            regions: Regions::default(),
            shown: Shown::default(),
            field: Rect::whole(1, 1),
            thumbnail: Thumbnail::default(),
            implausible: false,
        }
    }
}

impl Letter for Found {}
impl Letter for (Reason, anyhow::Error) {}
impl Letter for Absence {}
impl Letter for String {}
impl Letter for () {}
