//! A frame as it was shown, for whoever keeps it.

use std::time::{Duration, SystemTime};

use crate::bundle::Identity;
use crate::capture::live::Lease;
use crate::convert;
use crate::detect::Region;
use crate::frame::{Frame, FrameNumber};
use crate::overlay::Style;
use crate::state::State;
use crate::track::Shown;

/// A frame that was shown, and what was drawn on it. Until [`Still::take_over`], it holds a camera's buffer.
pub struct Still {
    pub(crate) frame: Frame,
    pub(crate) lease: Option<Lease>,
    /// The frame's.
    pub number: FrameNumber,
    /// When it was shown, by the clock on the wall.
    pub clock: SystemTime,
    /// What the program was doing.
    pub state: State,
    /// Outlines were drawn where there were any.
    pub outlines: bool,
    /// How they looked.
    pub style: Style,
    /// What was drawn.
    pub shown: Shown,
    /// Of the result that was drawn.
    pub result: Option<Result>,
}

/// The result that was drawn on a still.
pub struct Result {
    /// The frame in which it was found.
    pub number: FrameNumber,
    /// How much older that is.
    pub age: Duration,
    /// All that was found there, those that were held back included.
    pub found: Vec<Region>,
}

impl Still {
    /// Takes a camera's pixels over and gives its buffer back: to be called before anything that may hang.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn take_over(&mut self) -> anyhow::Result<()> {
        if let Some(lease) = self.lease.take() {
            convert::to_rgb(&lease.view(), &mut self.frame)?;
        }
        Ok(())
    }
}

/// What made a still's outlines.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The profile's name.
    pub board: String,
    /// The profile's digest.
    pub profile_digest: String,
    /// The model in charge, if there was one.
    pub model: Option<Identity>,
}
