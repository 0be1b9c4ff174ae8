//! Where frames come from.

pub mod synthetic;

use std::fmt::Write;

use anyhow::Result;

pub use synthetic::Mask;

use crate::frame::Frame;

/// Something that gives one frame after another.
pub trait Source: Send {
    /// Reads the next frame into memory that is kept; `false` at the end, which stays so. After an error nothing
    /// more is to be had.
    fn read(&mut self, frame: &mut Frame) -> Result<bool>;

    /// The last frame's name, for naming what is made of it: its image's stem, else `frame-000123`.
    fn name(&self) -> &str;

    /// The last frame's true polyps, where the source knows them.
    fn truth(&self) -> Option<&Mask> {
        None
    }

    /// The next frame in memory of its own; `None` at the end.
    fn next(&mut self) -> Result<Option<Frame>> {
        let mut frame = Frame::black(1, 1);
        Ok(self.read(&mut frame)?.then_some(frame))
    }
}

/// `frame-000123`, in memory that is kept.
fn name_by_number(number: u64, name: &mut String) {
    name.clear();
    // Writing to a string cannot fail.
    let _ = write!(name, "frame-{number:06}");
}
