//! One PNG picture → RGB.
//!
//! Samples are taken as the file has them and made RGB here: the decoder's own expansion panics on a palette that is
//! shorter than a picture's pixels ask for.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use super::jpeg::{Refused, exif};
use super::limits::check_size;
use crate::frame::Frame;
use crate::panics;

/// How a PNG picture begins.
pub const START: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Decodes a picture of at most `most_pixels`, upright. After an error `frame` holds rubbish.
///
/// Errors: in words that end a sentence which begins with the picture's name.
pub fn decode(bytes: &[u8], most_pixels: usize, frame: &mut Frame) -> Result<(), String> {
    if let (Some(b"IHDR"), Some(&[a, b, c, d, e, f, g, h])) = (bytes.get(12..16), bytes.get(16..24)) {
        let size = [[a, b, c, d], [e, f, g, h]].map(|side| u32::from_be_bytes(side) as usize);
        check_size(size[0], size[1], most_pixels).map_err(|refused| refused.to_string())?;
    }
    panics::caught(|| samples(bytes, most_pixels))
        .unwrap_or(Err("is a damaged PNG image: its decoder failed".into()))?
        .put(frame)
}

/// What is damaged, in words of ours: the decoder's are for programmers.
fn damaged(error: DecodingError) -> String {
    let words = error.to_string();
    let what = match error {
        DecodingError::IoError(_) => "the data ends inside the image",
        DecodingError::LimitsExceeded => "it needs more memory than an image may use",
        _ if words.contains("CRC") => "a checksum does not match",
        _ if words.contains("deflate") || words.contains("IDAT") => "its compressed data is damaged",
        _ if words.contains("depth") || words.contains("color") => "PNG has no pixels of its type",
        _ => "its chunks do not fit together",
    };
    format!("is a damaged PNG image: {what}")
}

/// A picture as the file has it.
struct Samples {
    width: usize,
    height: usize,
    colour: ColorType,
    bits: usize,
    row_bytes: usize,
    bytes: Vec<u8>,
    palette: Vec<u8>,
    significant: Option<u8>,
    orientation: u8,
}

fn samples(bytes: &[u8], most_pixels: usize) -> Result<Samples, String> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: 1 << 29 });
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    check_size(width, height, most_pixels).map_err(|refused| refused.to_string())?;
    if let Some(animation) = info.animation_control.filter(|animation| animation.num_frames > 1) {
        return Err(format!(
            "is an animated PNG of {} frames, which is not supported; write each frame to a file of its own: \
             ffmpeg -i FILE picture-%04d.png",
            animation.num_frames
        ));
    }
    let mut samples = Samples {
        width,
        height,
        colour: info.color_type,
        bits: match info.bit_depth {
            BitDepth::One => 1,
            BitDepth::Two => 2,
            BitDepth::Four => 4,
            BitDepth::Eight => 8,
            BitDepth::Sixteen => 16,
        },
        row_bytes: 0,
        bytes: Vec::new(),
        palette: info.palette.as_deref().unwrap_or_default().to_vec(),
        significant: info.sbit.as_deref().and_then(|bits| bits.iter().copied().max()),
        orientation: info.exif_metadata.as_deref().and_then(exif::orientation).unwrap_or(0),
    };
    let size = reader.output_buffer_size().ok_or("is a PNG image that is too large")?;
    samples.bytes.try_reserve_exact(size).map_err(|_| Refused::Memory(width, height).to_string())?;
    samples.bytes.resize(size, 0);
    samples.row_bytes = reader.next_frame(&mut samples.bytes).map_err(damaged)?.line_size;
    Ok(samples)
}

impl Samples {
    fn put(&self, frame: &mut Frame) -> Result<(), String> {
        let channels = self.colour.samples();
        let most = self.most()?;
        frame.resize(self.width, self.height);
        for (y, row) in self.bytes.chunks_exact(self.row_bytes.max(1)).take(self.height).enumerate() {
            let out = frame.row_mut(y);
            match (self.colour, self.bits) {
                (ColorType::Rgb, 8) => {
                    let (Some(out), Some(row)) = (out.get_mut(..3 * self.width), row.get(..3 * self.width))
                    else {
                        return Err("is a damaged PNG image".into());
                    };
                    out.copy_from_slice(row);
                }
                (ColorType::Indexed, _) => {
                    for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                        let index = self.sample(row, x) as usize;
                        let Some(colour) = self.palette.get(3 * index..3 * index + 3) else {
                            return Err(format!(
                                "is a damaged PNG image: its palette has {} colours, but a pixel has colour number {}",
                                self.palette.len() / 3,
                                index + 1
                            ));
                        };
                        pixel.copy_from_slice(colour);
                    }
                }
                (colour, _) => {
                    let grey = matches!(colour, ColorType::Grayscale | ColorType::GrayscaleAlpha);
                    for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                        for (channel, value) in pixel.iter_mut().enumerate() {
                            let sample = self.sample(row, x * channels + if grey { 0 } else { channel });
                            *value = ((sample * 255 + most / 2) / most).min(255) as u8;
                        }
                    }
                }
            }
        }
        exif::turn(frame, self.orientation);
        Ok(())
    }

    /// The sample of that index in a row; 0 outside of it.
    fn sample(&self, row: &[u8], index: usize) -> u32 {
        let byte = |at: usize| u32::from(row.get(at).copied().unwrap_or(0));
        match self.bits {
            16 => byte(2 * index) << 8 | byte(2 * index + 1),
            8 => byte(index),
            bits => {
                let bit = index * bits;
                byte(bit / 8) >> (8 - bits - bit % 8) & ((1 << bits) - 1)
            }
        }
    }

    /// The value that is white.
    ///
    /// Samples of 16 bits that were measured with fewer should fill the 16 bits. Some programs write them as they are:
    /// where `sBIT` says with how many bits they were measured and none has more, that many are taken. Where nothing says so,
    /// they are refused if all are below 4096: the picture would be all but black.
    fn most(&self) -> Result<u32, String> {
        if self.bits != 16 {
            return Ok((1 << self.bits) - 1);
        }
        let (channels, alpha) = match self.colour {
            ColorType::GrayscaleAlpha => (2, true),
            ColorType::Rgba => (4, true),
            _ => (1, false),
        };
        let (mut most, mut spread) = (0, true);
        for row in self.bytes.chunks_exact(self.row_bytes.max(1)).take(self.height) {
            for (index, pair) in row.chunks_exact(2).enumerate() {
                if alpha && index % channels == channels - 1 {
                    continue;
                }
                let value = pair.iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
                most = most.max(value);
                // Eight bits that fill sixteen: 0xAB is 0xABAB.
                spread &= value % 257 == 0;
            }
        }
        match self.significant.map(u32::from).filter(|bits| (8..16).contains(bits)) {
            Some(bits) if most < 1 << bits => Ok((1 << bits) - 1),
            None if most > 0 && most < 4096 && !spread => Err(format!(
                "is a PNG image of 16 bits that is almost black: its largest value is {most} of 65535, as in an image of {} \
                 bits that was not scaled to 16; multiply its values by {}, or add an sBIT chunk",
                if most < 1024 { 10 } else { 12 },
                if most < 1024 { 64 } else { 16 },
            )),
            _ => Ok(65535),
        }
    }
}
