//! Where pictures go.

mod images;
mod y4m;

use anyhow::Result;

pub use images::{Images, write_png};
pub use y4m::Y4m;

use crate::frame::Frame;

/// Something that takes one finished picture after another.
pub trait Sink {
    /// Takes a picture; `name` is that of its frame.
    fn show(&mut self, frame: &Frame, name: &str) -> Result<()>;
}

/// Takes pictures and shows them to nobody.
pub struct Null;

impl Sink for Null {
    fn show(&mut self, _: &Frame, _: &str) -> Result<()> {
        Ok(())
    }
}
