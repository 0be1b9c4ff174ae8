//! Where pictures go.
//!
//! | module | sink |
//! |---|---|
//! | [`Images`] | PNG files in a folder |
//! | [`Y4m`] | uncompressed video |
//! | [`Written`] | either of these, in a thread of its own |
//! | [`kms`] | a monitor |
//! | [`Null`] | none |
//! | `Dark` | none yet, or none any more |

mod images;
pub mod kms;
mod written;
mod y4m;

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use anyhow::Result;

pub use images::{Images, PICTURES, lay_over, write_png};
pub use written::Written;
pub use y4m::Y4m;

use crate::capture::live::Lease;
use crate::frame::View;
use crate::geometry::Placement;
use crate::overlay::Layer;

/// What is to be shown at once: a picture and what lies over it.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Black if there is none.
    pub picture: Option<View<'a>>,
    /// Who lent the picture, if a camera did: a sink may keep a clone for as long as it shows the camera's memory.
    pub lease: Option<&'a Lease>,
    /// Of the placement's surface's size.
    pub layer: &'a Layer,
    /// Where the picture lies on what is shown.
    pub placement: Placement,
    /// The frame's name.
    pub name: &'a OsStr,
    /// When the picture was handed over by its camera.
    pub captured: Instant,
}

/// What became of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is on the sink or on its way there.
    Yes,
    /// Not this one; the next may be. The display was busy, or nobody is looking.
    Skipped,
}

/// What a second monitor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    /// The endoscope's picture alone.
    Clean,
    /// What the first one shows.
    Outlined,
}

/// A picture that has reached the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flipped {
    /// When it was handed over by its camera.
    pub captured: Instant,
    /// When it was handed over to the display.
    pub committed: Instant,
    /// When the monitor began to show it, as the kernel tells.
    pub at: Instant,
}

/// Takes scenes and shows them to nobody.
pub struct Null;

impl Sink for Null {
    fn show(&mut self, _: &Scene<'_>) -> Result<Shown> {
        Ok(Shown::Yes)
    }
    fn describe(&self) -> String {
        "nowhere".into()
    }
}

/// Stands where a sink is missing: takes no scenes and says why.
pub(crate) struct Dark {
    why: String,
}

impl Dark {
    pub(crate) fn new(why: &str) -> Dark {
        Dark { why: why.to_owned() }
    }
}

impl Sink for Dark {
    fn show(&mut self, _: &Scene<'_>) -> Result<Shown> {
        Ok(Shown::Skipped)
    }
    fn dark(&self) -> Option<&str> {
        Some(&self.why)
    }
    fn describe(&self) -> String {
        format!("no display: {}", self.why)
    }
}

/// Something that takes one scene after another. Never waits long: tens of milliseconds at most.
pub trait Sink: Send {
    /// How a frame of this size is going to lie on what is shown: asked before each scene is drawn.
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        Placement::identity(width_px, height_px)
    }

    /// Takes a scene. After an error the sink is closed; what can mend itself is no error but [`Shown::Skipped`].
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown>;

    /// Called between scenes and while none come, ten times a second at least: hot-plug, flips that are done. Calls
    /// `flipped` for each picture that has reached the monitor.
    fn tend(&mut self, flipped: &mut dyn FnMut(Flipped)) -> Result<()> {
        let _ = flipped;
        Ok(())
    }

    /// It tells when pictures have reached a monitor.
    fn tells_flips(&self) -> bool {
        false
    }

    /// Whatever is shown first decides on the size of all that follows: it should be a picture.
    fn keeps_first_size(&self) -> bool {
        false
    }

    /// It takes nothing at the moment because it still works on what it was given: the same scene may be tried again.
    fn is_busy(&self) -> bool {
        false
    }

    /// The sink for a second monitor, if there is to be one: given once, and used by a thread of its own. It ends with this one.
    fn take_second(&mut self) -> Option<Box<dyn Sink>> {
        None
    }

    /// Waits, at most for `patience`, until all that was shown is where it belongs; whether it is. Called at the end.
    fn finish(&mut self, patience: Duration) -> Result<bool> {
        let _ = patience;
        Ok(true)
    }

    /// Why nobody sees anything, one line; `None` as long as somebody may.
    fn dark(&self) -> Option<&str> {
        None
    }

    /// One line for the log: `HDMI-A-1 on card1 (vc4): 1920×1080 at 60.00 Hz, overlay on a plane of its own`.
    fn describe(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    /// A frame under a layer, without a name.
    pub fn scene<'a>(frame: &'a Frame, layer: &'a Layer) -> Scene<'a> {
        Scene {
            picture: Some(frame.view()),
            lease: None,
            layer,
            placement: Placement::identity(frame.width_px(), frame.height_px()),
            name: OsStr::new(""),
            captured: Instant::now(),
        }
    }
}
