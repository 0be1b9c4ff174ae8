//! One PNG or JPEG picture, from its bytes.

use anyhow::Result;

use super::jpeg::Refused;
use super::jpeg::picture::{Scratch, Takes};
use super::jpeg::{self, stream};
pub use super::limits::{MAX_PIXELS, MAX_SIDE_PX};
use super::{jpeg::exif, png};
use crate::fault::Fault;
use crate::frame::Frame;

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
            None => "is neither a PNG nor a JPEG image".into(),
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
