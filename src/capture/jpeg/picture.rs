//! One JPEG picture → RGB.
//!
//! Two decoders share the work, since none is right for all: zune-jpeg is fast but mixes up baseline pictures with one scan for
//! each colour, and those whose luma is sampled coarser than their chroma; jpeg-decoder is slower and right for both.
//! Which is right for what was found by comparing them with libjpeg-turbo and with reference values over the pictures of
//! `tests/capture/jpeg.rs`, which holds both to it. What neither reads is refused.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::check::{self, Found};
use super::huffman::STANDARD_TABLES;
use super::parts::Parts;
use super::refused::MAX_SIDE_PX;
use super::refused::Refused;
use crate::capture::limits::check_size;
use crate::frame::Frame;
use crate::panics;

/// What a caller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Any size of at most so many pixels.
    Pixels(usize),
    /// This width and height alone.
    Size(usize, usize),
}

/// Memory that is kept from picture to picture.
#[derive(Default)]
pub struct Scratch(check::Scratch);

/// Decodes one picture, SOI to EOI, into `frame`, whose memory is kept where the size agrees; gives its Exif
/// orientation, 0 if it does not say. `picture` is changed: padding in front of markers is taken out, and code tables that it lacks
/// are put in. After an error `frame` holds rubbish.
///
/// Time is bounded by the number of bytes and pixels. A panic of a decoder is an error like any other.
pub fn decode(
    picture: &mut Vec<u8>,
    takes: Takes,
    scratch: &mut Scratch,
    frame: &mut Frame,
) -> Result<u8, Refused> {
    let Found { parts, interleaved } = check::check(picture, &mut scratch.0)?;
    let size = (parts.width, parts.height);
    match takes {
        Takes::Size(width, height) if size != (width, height) => {
            return Err(Refused::OtherSize(size, (width, height)));
        }
        Takes::Pixels(most) => check_size(size.0, size.1, most)?,
        Takes::Size(..) => {}
    }
    let decoder = suitable(&parts, interleaved)?;
    tidy(picture, &scratch.0.padding, parts.standard);
    frame.resize(size.0, size.1);
    match panics::caught(|| decoder(picture, frame)) {
        Some(Ok(())) => Ok(parts.orientation),
        Some(Err(what)) => Err(Refused::Decoder(what)),
        None => Err("its decoder failed".into()),
    }
}

type Decode = fn(&[u8], &mut Frame) -> Result<(), String>;

/// The decoder that is right for a picture.
fn suitable(parts: &Parts, interleaved: bool) -> Result<Decode, Refused> {
    let widest = parts.components.iter().map(|c| c.across).max().unwrap_or(1);
    let tallest = parts.components.iter().map(|c| c.down).max().unwrap_or(1);
    let finest =
        |index: usize| parts.components.get(index).is_some_and(|c| (c.across, c.down) == (widest, tallest));
    let powers = parts.components.iter().all(|c| c.across != 3 && c.down != 3);
    let whole =
        parts.components.iter().all(|c| widest.is_multiple_of(c.across) && tallest.is_multiple_of(c.down));
    match parts.components.len() {
        1 => Ok(zune),
        3 if (interleaved || parts.progressive) && finest(0) && powers && whole => Ok(zune),
        3 if whole => Ok(jpeg_decoder),
        4 if (interleaved || parts.progressive) && finest(0) && finest(3) && powers && whole => Ok(zune),
        3 => Err(Refused::NotRead("its chroma subsampling is unusual")),
        _ => Err(Refused::NotRead("it is neither in colour nor grey")),
    }
}

/// Takes padding out, and puts the standard's tables in.
fn tidy(picture: &mut Vec<u8>, padding: &[std::ops::Range<usize>], standard: bool) {
    let mut to = None;
    for (index, gap) in padding.iter().enumerate() {
        let next = padding.get(index + 1).map_or(picture.len(), |next| next.start);
        let at = *to.get_or_insert(gap.start);
        if gap.end <= next && next <= picture.len() {
            picture.copy_within(gap.end..next, at);
            to = Some(at + next - gap.end);
        }
    }
    if let Some(length) = to {
        picture.truncate(length);
    }
    if standard && picture.len() >= 2 {
        picture.splice(2..2, STANDARD_TABLES);
    }
}

fn zune(picture: &[u8], frame: &mut Frame) -> Result<(), String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE_PX)
        .set_max_height(MAX_SIDE_PX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(picture), options);
    decoder.decode_headers().map_err(|error| one_line(&format!("{error:?}")))?;
    if decoder.output_buffer_size() != Some(frame.pixels().len()) {
        return Err("it is neither in colour nor grey".into());
    }
    decoder.decode_into(frame.pixels_mut()).map_err(|error| one_line(&format!("{error:?}")))
}

fn jpeg_decoder(picture: &[u8], frame: &mut Frame) -> Result<(), String> {
    let mut decoder = jpeg_decoder::Decoder::new(picture);
    let pixels = decoder.decode().map_err(|error| one_line(&error.to_string()))?;
    let colour = decoder.info().is_some_and(|info| info.pixel_format == jpeg_decoder::PixelFormat::RGB24);
    if !colour || pixels.len() != frame.pixels().len() {
        return Err("it is neither in colour nor grey".into());
    }
    frame.pixels_mut().copy_from_slice(&pixels);
    Ok(())
}

fn one_line(message: &str) -> String {
    let message = message.trim_matches('"');
    message.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(160).collect()
}
