//! The crop of one frame after another, by a rule.

use serde::{Deserialize, Serialize};

use super::Finder;
use super::steady::Steady;
use crate::frame::Frame;
use crate::geometry::Rect;

/// Where in the frame the endoscope's picture is taken to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// It is looked for inside black borders and text.
    Find,
    /// The whole frame is the picture.
    WholeFrame,
    /// Here, as far as the frame goes; the whole frame where that leaves nothing. A cart's to set, never a bundle's.
    #[serde(skip)]
    Fixed(Rect),
}

/// What the frames have to do with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// Nothing: a crop depends on its frame alone.
    Stills,
    /// They are a video: the crop stays where it is until the picture has moved for good.
    Video,
}

/// Gives each frame's crop.
#[derive(Debug)]
pub struct Locator {
    rule: Rule,
    finder: Finder,
    /// Of a video.
    steady: Option<Steady>,
}

impl Locator {
    /// A locator that has seen no frame yet.
    pub fn new(rule: Rule, sequence: Sequence) -> Locator {
        let steady = (sequence == Sequence::Video).then(Steady::default);
        Locator { rule, finder: Finder::default(), steady }
    }

    pub(crate) fn locate(&mut self, frame: &Frame) -> Rect {
        let size = (frame.width_px(), frame.height_px());
        match (self.rule, &mut self.steady) {
            (Rule::WholeFrame, _) => Rect::whole(size.0, size.1),
            (Rule::Fixed(rect), _) => rect.within(size.0, size.1),
            (Rule::Find, None) => self.finder.find(frame),
            (Rule::Find, Some(steady)) => steady.follow(size, self.finder.find(frame)),
        }
    }

    /// Forgets what came before: the next frame is of another video.
    pub fn forget(&mut self) {
        if let Some(steady) = &mut self.steady {
            steady.forget();
        }
    }
}
