//! Frames whose masks are known.

use anyhow::Result;

use crate::bundle::{GoldenFrame, GoldenFrames};

/// Frames whose masks are known, one at a time.
pub trait Golden: Send {
    /// How many frames there are.
    fn count(&self) -> usize;
    /// `None` if there is no such frame.
    fn frame(&self, index: usize) -> Option<Result<GoldenFrame>>;
}

/// Decoded anew each time: only their files are kept.
impl Golden for GoldenFrames {
    fn count(&self) -> usize {
        self.len()
    }
    fn frame(&self, index: usize) -> Option<Result<GoldenFrame>> {
        self.get(index)
    }
}

impl Golden for Vec<GoldenFrame> {
    fn count(&self) -> usize {
        self.len()
    }
    fn frame(&self, index: usize) -> Option<Result<GoldenFrame>> {
        self.get(index).cloned().map(Ok)
    }
}
