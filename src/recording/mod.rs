//! Films of what was shown, beside the monitor: coded by a thread of its own, held in memory for some seconds, written by another one that
//! may hang. What cannot be coded or written in time is missing in the film, never on the monitor.
//!
//! | module | job |
//! |---|---|
//! | [`shot`] | a picture as it was shown: what was drawn on it, in figures |
//! | [`redraw`] | what was drawn, on a layer of another size |
//! | [`encoder`] | a shot → the bare picture, the outlined one, a line of figures |
//! | [`jpeg`] | pictures in strips, of which only those with something drawn are coded twice |
//! | [`ring`] | the last seconds, in memory |
//! | [`matroska`] | pictures as a film in a file that may be cut off anywhere |
//! | [`segment`] | the files of a recording, in a folder of their own |

pub mod encoder;
pub mod jpeg;
pub mod matroska;
pub mod redraw;
pub mod ring;
pub mod segment;
pub mod shot;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::geometry::Rect;
use crate::study::Outside;

pub use redraw::Redraw;
pub use ring::Ring;
pub use segment::{Begun, Place, Recording, Segment, WhenFull, another};
pub use shot::Shot;

/// Which pictures are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pictures {
    /// None.
    #[default]
    Off,
    /// None, but the figures of each: what was drawn, and how long it took.
    Figures,
    /// As the endoscope gave them.
    Clean,
    /// With what was drawn.
    Outlined,
    /// Two films.
    Both,
}

impl Pictures {
    /// There are films.
    pub fn has_films(self) -> bool {
        self.has_clean() || self.has_outlined()
    }

    /// As the endoscope gave them.
    pub fn has_clean(self) -> bool {
        matches!(self, Pictures::Clean | Pictures::Both)
    }

    /// With what was drawn.
    pub fn has_outlined(self) -> bool {
        matches!(self, Pictures::Outlined | Pictures::Both)
    }
}

/// What the monitor says of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sign {
    /// Nothing: there is none.
    #[default]
    Off,
    /// There is one.
    On,
    /// There is to be one, and it does not succeed.
    Failed,
}

/// How pictures are coded, and how many are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Which.
    pub pictures: Pictures,
    /// A second, at most.
    pub rate_hz: f64,
    /// Of JPEG, 1..=100.
    pub quality: u8,
    /// How much of what was before an order belongs to the recording.
    pub before: Duration,
    /// Memory for pictures that are held.
    pub memory_bytes: usize,
    /// What becomes of what lies outside the endoscope's picture.
    pub outside: Outside,
    /// Where that picture lies, if it is always the same place.
    pub fixed: Option<Rect>,
}
