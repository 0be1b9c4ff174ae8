//! A camera's JPEG pictures → RGB, or nothing: never a picture that is partly grey.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

use crate::capture::replay::{segments, still};
use crate::frame::Frame;

/// Decodes one picture after another; its memory is kept, the decoder's own is not.
#[derive(Default)]
pub struct Pictures {
    picture: Vec<u8>,
}

impl Pictures {
    /// Decodes a picture of this width and height, SOI to EOI; bytes after that are padding. After an error the frame
    /// holds rubbish.
    ///
    /// Errors: what is damaged, in words.
    pub fn decode(&mut self, bytes: &[u8], size: (usize, usize), frame: &mut Frame) -> Result<(), String> {
        if !bytes.starts_with(still::JPEG) {
            return Err("does not start as a JPEG picture".into());
        }
        match segments::next_picture(&mut &*bytes, &mut self.picture) {
            Ok(true) => {}
            Ok(false) => return Err("is no JPEG picture".into()),
            Err(error) => return Err(error.to_string()),
        }
        // Before the frame is given that size.
        let mut head = JpegDecoder::new(ZCursor::new(&self.picture));
        head.decode_headers().map_err(|error| format!("{error:?}"))?;
        match head.dimensions() {
            Some(found) if found == size => {}
            found => return Err(format!("is of {found:?} pixels instead of {size:?}")),
        }
        still::jpeg("a camera's picture", &self.picture, frame).map_err(|error| error.to_string())
    }
}
