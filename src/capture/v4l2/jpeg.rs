//! A camera's JPEG pictures → RGB, or nothing: never a picture that is partly grey.

use crate::capture::jpeg::picture::{Scratch, Takes};
use crate::capture::jpeg::{self, stream};
use crate::frame::Frame;

/// Decodes one picture after another; its memory is kept, the decoder's own is not.
#[derive(Default)]
pub struct Pictures {
    picture: Vec<u8>,
    scratch: Scratch,
}

impl Pictures {
    /// Decodes a picture of this width and height, SOI to EOI; bytes after that are padding. After an error the frame
    /// holds rubbish. Time is bounded by the number of bytes and pixels.
    ///
    /// Errors: what is damaged, in words.
    pub fn decode(&mut self, bytes: &[u8], size: (usize, usize), frame: &mut Frame) -> Result<(), String> {
        if !bytes.starts_with(jpeg::START) {
            return Err("does not start like a JPEG image".into());
        }
        let whole = stream::first(bytes)?;
        self.picture.clear();
        self.picture.extend_from_slice(whole);
        let takes = Takes::Size(size.0, size.1);
        match jpeg::decode(&mut self.picture, takes, &mut self.scratch, frame) {
            Ok(_) => Ok(()),
            Err(refused) => Err(refused.to_string()),
        }
    }
}
