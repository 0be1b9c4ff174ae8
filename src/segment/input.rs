//! Frame → crop → the network's pixels.

use anyhow::Result;

use crate::field_of_view::Locator;
use crate::frame::Frame;
use crate::geometry::{Mapping, Rect};
use crate::preprocess::Preprocessor;

/// Makes a network's input of one frame after another. Keeps its buffers.
pub struct Input {
    locator: Locator,
    preprocessor: Preprocessor,
    pixels: Vec<u8>,
}

impl Input {
    /// For a network that sees `side` × `side` pixels.
    pub fn new(side: usize, locator: Locator) -> Input {
        Input { locator, preprocessor: Preprocessor::new(side), pixels: vec![0; 3 * side * side] }
    }

    /// Pixels along each side of what the network sees.
    pub fn side(&self) -> usize {
        self.preprocessor.side()
    }

    /// Cuts the endoscope's picture out of the frame and brings it to the network's size.
    ///
    /// # Errors
    /// If the frame is too large, see [`Preprocessor::prepare`].
    pub fn prepare(&mut self, frame: &Frame) -> Result<Mapping> {
        let crop = self.locator.locate(frame);
        self.prepare_crop(frame, crop)
    }

    /// As [`Input::prepare`], with a crop that is known; what follows a video is not disturbed.
    pub fn prepare_crop(&mut self, frame: &Frame, crop: Rect) -> Result<Mapping> {
        self.preprocessor.prepare(frame, crop, &mut self.pixels)?;
        Ok(Mapping::new(crop, self.side()))
    }

    /// What was prepared last, `[side, side, 3] u8` RGB.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The next frame is of another video.
    pub fn forget(&mut self) {
        self.locator.forget();
    }
}
