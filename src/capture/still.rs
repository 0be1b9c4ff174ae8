//! One PNG or JPEG picture, from its bytes.

use anyhow::Result;

use super::jpeg::picture::{Refused, Scratch, Takes};
use super::jpeg::{self, stream};
use super::{jpeg::exif, png};
use crate::fault::Fault;
use crate::frame::Frame;

/// Largest side of a picture, pixels.
pub const MAX_SIDE_PX: usize = 8192;
/// Most pixels of a picture where a caller does not ask for fewer.
pub const MAX_PIXELS: usize = MAX_SIDE_PX * MAX_SIDE_PX;
/// Bytes that decoding a pixel may need at once: the frame, a decoder's coefficients, and a copy.
const BYTES_PER_PIXEL: usize = 16;

/// Decodes a whole picture of at most `most_pixels` into `frame`, whose memory is kept where the size agrees. `name` is for
/// messages. A photograph that says in Exif how it was held is turned upright, as photo viewers show it.
///
/// For bytes from anywhere: it does not panic, its memory is bounded by `most_pixels`, and a truncated or damaged
/// picture is an error (exit 65) that says what is wrong in one line, never a half-grey frame. After an error `frame`
/// holds rubbish.
pub fn decode(name: &str, bytes: &[u8], most_pixels: usize, frame: &mut Frame) -> Result<()> {
    let outcome = match () {
        _ if bytes.starts_with(png::START) => png::decode(bytes, most_pixels, frame),
        _ if bytes.starts_with(jpeg::START) => photograph(bytes, most_pixels, frame),
        _ if bytes.is_empty() => Err("is empty".into()),
        _ => Err(match super::foreign::what(bytes) {
            Some(what) => what.to_string(),
            None => "is neither a PNG nor a JPEG picture".into(),
        }),
    };
    outcome.map_err(|what| Fault::data(format!("{name} {what}")))
}

fn photograph(bytes: &[u8], most_pixels: usize, frame: &mut Frame) -> Result<(), String> {
    let whole = stream::first(bytes).map_err(|what| Refused::Damaged(what).to_string())?;
    let mut picture = whole.to_vec();
    let outcome = jpeg::decode(&mut picture, Takes::Pixels(most_pixels), &mut Scratch::default(), frame);
    let orientation = outcome.map_err(|refused| match refused {
        Refused::NotRead(_) => format!("{refused}; convert it with ffmpeg -i FILE picture.png"),
        _ => refused.to_string(),
    })?;
    exif::turn(frame, orientation);
    Ok(())
}

/// Refuses pictures that are too large, or for which there is not enough memory.
pub(super) fn check_size(width: usize, height: usize, most_pixels: usize) -> Result<(), Refused> {
    let sides = 1..=MAX_SIDE_PX;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(Refused::Size(width, height));
    }
    if width * height > most_pixels {
        return Err(Refused::Pixels((width, height), most_pixels));
    }
    match Vec::<u8>::new().try_reserve_exact(BYTES_PER_PIXEL * width * height) {
        Ok(()) => Ok(()),
        Err(_) => Err(Refused::Memory(width, height)),
    }
}
