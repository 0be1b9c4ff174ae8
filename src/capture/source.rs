//! What a recorded or rendered source is to the pipeline.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;

use anyhow::Result;

use super::synthetic::Mask;
use crate::frame::Frame;

/// Something that gives one frame after another.
pub trait Source: Send {
    /// Reads the next frame into memory that is kept; `false` at the end, which stays so.
    ///
    /// Errors: a [`DamagedFrame`](crate::fault::DamagedFrame) where this one frame cannot be read but the next call goes on with the frame after
    /// it. `frame` then holds nothing of use, and [`Source::name`] is the damaged frame's name. The damaged frame keeps its
    /// number, so that the frames after it are numbered and named as if it were whole. After any other error
    /// nothing more is to be had, and each later call gives `false`.
    fn read(&mut self, frame: &mut Frame) -> Result<bool>;

    /// The last frame's name, for naming what is made of it: its image's stem, else `frame-000123`.
    /// After a [`DamagedFrame`](crate::fault::DamagedFrame) it is the name that the frame would have had.
    fn name(&self) -> &OsStr;

    /// The last frame's true polyps, where the source knows them.
    fn truth(&self) -> Option<&Mask> {
        None
    }

    /// How many frames there will be in all, where the source knows that or can tell about.
    fn expected(&self) -> Option<u64> {
        None
    }

    /// Frames a second, where the source says so.
    fn rate_hz(&self) -> Option<f64> {
        None
    }

    /// The next frame in memory of its own; `None` at the end.
    fn next(&mut self) -> Result<Option<Frame>> {
        let mut frame = Frame::black(1, 1);
        Ok(self.read(&mut frame)?.then_some(frame))
    }
}

/// `frame-000123`, in memory that is kept.
pub(crate) fn name_by_number(number: u64, name: &mut OsString) {
    name.clear();
    // Writing to a string cannot fail.
    let _ = write!(name, "frame-{number:06}");
}
