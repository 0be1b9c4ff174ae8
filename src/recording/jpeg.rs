//! Pictures as JPEG, encoded in strips of sixteen rows: of a picture that differs in a few of them, only those are encoded anew.
//!
//! Each strip ends with a restart marker, after which a decoder remembers nothing of what came before (ITU-T T.81, E.1.4): so a strip's
//! bytes are the same in whichever picture it stands.

use std::ops::Range;

use anyhow::{Result, ensure};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::frame::Frame;

/// Rows and columns of a unit of the coded picture: chroma at half the width and height.
const UNIT_PX: usize = 16;
/// What JPEG can hold.
const LARGEST_PX: usize = 65_535;

const START_OF_FRAME: u8 = 0xC0;
const START_OF_SCAN: u8 = 0xDA;
const RESTART_INTERVAL: u8 = 0xDD;
const FIRST_RESTART: u8 = 0xD0;
const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];

/// Encodes pictures of one size after another, all with the same tables.
#[derive(Default)]
pub struct Jpeg {
    /// What the header is of: width, height and quality.
    of: (usize, usize, u8),
    /// All before the first strip's data.
    header: Vec<u8>,
    /// How long the header is that the encoder gives each strip.
    strip_header: usize,
    strip: Vec<u8>,
}

/// A coded picture. Its memory is used again.
#[derive(Debug, Default)]
pub struct Coded {
    bytes: Vec<u8>,
    /// Where each strip's data lies in `bytes`.
    strips: Vec<Range<usize>>,
}

impl Coded {
    /// A file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The rows of strip `index`.
pub fn rows(index: usize, height: usize) -> Range<usize> {
    (index * UNIT_PX).min(height)..((index + 1) * UNIT_PX).min(height)
}

/// How many strips a picture has.
pub fn strips(height: usize) -> usize {
    height.div_ceil(UNIT_PX)
}

impl Jpeg {
    /// Encodes a whole picture; quality 1..=100.
    ///
    /// # Errors
    /// If a side has more than 65535 pixels.
    pub fn encode(&mut self, picture: &Frame, quality: u8, coded: &mut Coded) -> Result<()> {
        self.begin(picture, quality, coded)?;
        for index in 0..strips(picture.height_px()) {
            self.add(picture, index, coded)?;
        }
        coded.bytes.extend_from_slice(&END_OF_IMAGE);
        Ok(())
    }

    /// Encodes a picture that is another one only in the strips that `differs` names; `before` is the other one's code, of the same
    /// quality.
    ///
    /// # Errors
    /// As [`Jpeg::encode`].
    pub fn encode_changed(
        &mut self,
        picture: &Frame,
        quality: u8,
        before: &Coded,
        differs: impl Fn(usize) -> bool,
        coded: &mut Coded,
    ) -> Result<()> {
        self.begin(picture, quality, coded)?;
        for index in 0..strips(picture.height_px()) {
            let same = before.strips.get(index).filter(|_| !differs(index));
            match same.and_then(|strip| before.bytes.get(strip.clone())) {
                Some(data) => coded.put(index, data),
                None => self.add(picture, index, coded)?,
            }
        }
        coded.bytes.extend_from_slice(&END_OF_IMAGE);
        Ok(())
    }

    fn begin(&mut self, picture: &Frame, quality: u8, coded: &mut Coded) -> Result<()> {
        let of = (picture.width_px(), picture.height_px(), quality.clamp(1, 100));
        if self.of != of || self.header.is_empty() {
            self.make_header(of)?;
        }
        coded.strips.clear();
        coded.bytes.clear();
        coded.bytes.extend_from_slice(&self.header);
        Ok(())
    }

    /// The encoder's header for a strip, with the picture's height, and the number of units between restarts.
    fn make_header(&mut self, (width, height, quality): (usize, usize, u8)) -> Result<()> {
        ensure!(
            width <= LARGEST_PX && height <= LARGEST_PX,
            "a picture of {width}×{height} pixels is too large for JPEG"
        );
        (self.of, self.header) = ((0, 0, 0), Vec::new());
        encode(&Frame::black(width, 1), 0..1, quality, &mut self.strip)?;
        let Parts { frame_at, scan_at, data_at } = parts(&self.strip)?;
        let units = u16::try_from(width.div_ceil(UNIT_PX))?.to_be_bytes();
        let height_bytes = u16::try_from(height)?.to_be_bytes();
        let (before, after) = (self.strip.get(..scan_at), self.strip.get(scan_at..data_at));
        let mut header = before.unwrap_or_default().to_vec();
        if let Some(place) = header.get_mut(frame_at + 5..frame_at + 7) {
            place.copy_from_slice(&height_bytes);
        }
        header.extend_from_slice(&[0xFF, RESTART_INTERVAL, 0, 4, units[0], units[1]]);
        header.extend_from_slice(after.unwrap_or_default());
        (self.header, self.strip_header, self.of) = (header, data_at, (width, height, quality));
        Ok(())
    }

    fn add(&mut self, picture: &Frame, index: usize, coded: &mut Coded) -> Result<()> {
        encode(picture, rows(index, picture.height_px()), self.of.2, &mut self.strip)?;
        let end = self.strip.len().saturating_sub(END_OF_IMAGE.len());
        coded.put(index, self.strip.get(self.strip_header..end).unwrap_or_default());
        Ok(())
    }
}

impl Coded {
    /// Adds a strip's data, behind the mark that ends the one before.
    fn put(&mut self, index: usize, data: &[u8]) {
        if index > 0 {
            self.bytes.extend_from_slice(&[0xFF, FIRST_RESTART + ((index - 1) % 8) as u8]);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.strips.push(start..self.bytes.len());
    }
}

/// Encodes some rows of a picture as one of their own.
fn encode(picture: &Frame, rows: Range<usize>, quality: u8, out: &mut Vec<u8>) -> Result<()> {
    let stride = picture.stride().0;
    let pixels = picture.pixels().get(stride * rows.start..stride * rows.end).unwrap_or_default();
    out.clear();
    let mut encoder = Encoder::new(out, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    let (width, height) = (u16::try_from(picture.width_px())?, u16::try_from(rows.len())?);
    Ok(encoder.encode(pixels, width, height, ColorType::Rgb)?)
}

/// Where the parts of a JPEG file lie that are changed here.
struct Parts {
    /// The marker of the frame's header.
    frame_at: usize,
    /// The marker of the scan's header.
    scan_at: usize,
    /// The scan's data.
    data_at: usize,
}

fn parts(file: &[u8]) -> Result<Parts> {
    let (mut at, mut frame_at) = (2, None);
    while let Some(&[0xFF, marker, high, low]) = file.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        match (marker, frame_at) {
            (START_OF_FRAME, _) => frame_at = Some(at),
            (START_OF_SCAN, Some(frame_at)) => {
                return Ok(Parts { frame_at, scan_at: at, data_at: at + 2 + length });
            }
            _ => {}
        }
        at += 2 + length;
    }
    anyhow::bail!("the encoder gave no baseline JPEG")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize, seed: u32) -> Frame {
        let mut frame = Frame::black(width, height);
        let mut state = seed;
        for (index, byte) in frame.pixels_mut().iter_mut().enumerate() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = ((state >> 28) as u8).wrapping_add((index / 31) as u8);
        }
        frame
    }

    fn decoded(coded: &Coded) -> image::RgbImage {
        image::load_from_memory_with_format(coded.bytes(), image::ImageFormat::Jpeg).unwrap().into_rgb8()
    }

    /// In strips, decoders see what they see of a picture that is encoded whole.
    #[test]
    fn a_picture_in_strips_is_the_picture() {
        let mut jpeg = Jpeg::default();
        let mut coded = Coded::default();
        for (width, height) in [(1, 1), (16, 16), (17, 33), (640, 480), (333, 250)] {
            let picture = noise(width, height, 7);
            jpeg.encode(&picture, 90, &mut coded).unwrap();
            let mut whole = Vec::new();
            encode(&picture, 0..height, 90, &mut whole).unwrap();
            let whole =
                image::load_from_memory_with_format(&whole, image::ImageFormat::Jpeg).unwrap().into_rgb8();
            let strips = decoded(&coded);
            assert_eq!(strips.dimensions(), (width as u32, height as u32));
            // Decoders smooth chroma over a strip's edge in one and not in the other.
            let differences = strips.iter().zip(whole.iter()).map(|(a, b)| a.abs_diff(*b));
            let rows_apart = differences.enumerate().filter(|(_, difference)| *difference > 2);
            for (index, _) in rows_apart {
                let row = index / (3 * width);
                assert!(matches!(row % UNIT_PX, 0 | 15), "{width}×{height}: row {row} differs");
            }
        }
    }

    #[test]
    fn what_did_not_change_is_not_encoded_and_what_did_is() {
        let (mut jpeg, mut before, mut after) = (Jpeg::default(), Coded::default(), Coded::default());
        let mut picture = noise(200, 100, 3);
        jpeg.encode(&picture, 80, &mut before).unwrap();
        for y in 40..50 {
            picture.row_mut(y).fill(255);
        }
        let differs = |strip: usize| (2..=3).contains(&strip);
        jpeg.encode_changed(&picture, 80, &before, differs, &mut after).unwrap();
        let mut whole = Coded::default();
        jpeg.encode(&picture, 80, &mut whole).unwrap();
        assert_eq!(after.bytes(), whole.bytes());
        assert_ne!(after.bytes(), before.bytes());
    }

    #[test]
    fn another_size_or_quality_has_another_header() {
        let (mut jpeg, mut coded) = (Jpeg::default(), Coded::default());
        jpeg.encode(&noise(64, 64, 1), 80, &mut coded).unwrap();
        let small = coded.bytes().len();
        jpeg.encode(&noise(64, 64, 1), 95, &mut coded).unwrap();
        assert!(coded.bytes().len() > small);
        jpeg.encode(&noise(70_000, 1, 1), 80, &mut coded).unwrap_err();
        jpeg.encode(&noise(48, 80, 1), 80, &mut coded).unwrap();
        assert_eq!(decoded(&coded).dimensions(), (48, 80));
    }
}
