//! One PNG or JPEG picture.

use std::io::Cursor;

use anyhow::Result;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{MAX_SIDE_PX, entropy, segments};
use crate::fault::Fault;
use crate::frame::Frame;

pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
pub(in crate::capture) const JPEG: &[u8] = b"\xFF\xD8";

fn resize(frame: &mut Frame, width: usize, height: usize) {
    if (frame.width_px(), frame.height_px()) != (width, height) || frame.stride().0 != 3 * width {
        *frame = Frame::black(width, height);
    }
}

fn check_size(name: &str, width: usize, height: usize) -> Result<()> {
    match (1..=MAX_SIDE_PX).contains(&width) && (1..=MAX_SIDE_PX).contains(&height) {
        true => Ok(()),
        false => Err(Fault::data(format!(
            "{name}: a picture of {width} × {height} pixels; sides must be 1 to {MAX_SIDE_PX}"
        ))),
    }
}

/// Decodes a whole picture into `frame`, whose memory is kept where the size agrees. `name` is for messages.
///
/// A truncated or damaged picture is an error (exit 65), never a half-grey frame.
pub fn decode(name: &str, bytes: &[u8], frame: &mut Frame) -> Result<()> {
    match () {
        _ if bytes.starts_with(PNG) => png(name, bytes, frame),
        _ if bytes.starts_with(JPEG) => {
            let mut picture = Vec::new();
            let whole = segments::next_picture(&mut Cursor::new(bytes), &mut picture);
            match whole {
                Ok(true) => jpeg(name, &picture, frame),
                Ok(false) => Err(Fault::data(format!("{name} is not a JPEG picture"))),
                Err(error) => Err(super::read_fault(name, &error)),
            }
        }
        _ if bytes.is_empty() => Err(Fault::data(format!("{name} is empty"))),
        _ => Err(Fault::data(format!("{name} is neither a PNG nor a JPEG picture"))),
    }
}

/// Decodes exactly one JPEG, SOI to EOI.
pub(in crate::capture) fn jpeg(name: &str, picture: &[u8], frame: &mut Frame) -> Result<()> {
    let damaged = |error: &dyn std::fmt::Debug| {
        Fault::data(format!("{name} is a damaged JPEG picture: {}", one_line(&format!("{error:?}"))))
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE_PX)
        .set_max_height(MAX_SIDE_PX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(picture), options);
    decoder.decode_headers().map_err(|error| damaged(&error))?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    check_size(name, width, height)?;
    if decoder.output_buffer_size() != Some(3 * width * height) {
        return Err(Fault::data(format!("{name}: a JPEG picture that is neither colour nor grey")));
    }
    entropy::check(picture)
        .map_err(|what| Fault::data(format!("{name} is a damaged JPEG picture: {what}")))?;
    resize(frame, width, height);
    decoder.decode_into(frame.pixels_mut()).map_err(|error| damaged(&error))
}

fn png(name: &str, bytes: &[u8], frame: &mut Frame) -> Result<()> {
    let damaged = |error: image::ImageError| {
        Fault::data(format!("{name} is a damaged PNG picture: {}", one_line(&error.to_string())))
    };
    let mut reader = image::ImageReader::with_format(Cursor::new(bytes), image::ImageFormat::Png);
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE_PX as u32);
    limits.max_image_height = Some(MAX_SIDE_PX as u32);
    limits.max_alloc = Some(1 << 29);
    reader.limits(limits);
    let picture = reader.decode().map_err(damaged)?.into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    check_size(name, width, height)?;
    resize(frame, width, height);
    frame.pixels_mut().copy_from_slice(picture.as_raw());
    Ok(())
}

fn one_line(message: &str) -> String {
    let line: String = message.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    line.chars().take(160).collect()
}
