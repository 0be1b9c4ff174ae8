//! Golden frames: pictures whose masks the bundle knows. Their files are kept as they are; one frame is decoded at a time.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use super::manifest::Golden;
use crate::fault::Fault;
use crate::frame::Frame;
use crate::panics;

/// The most golden frames of a bundle.
pub const MOST_FRAMES: usize = 32;
/// The most pixels of one golden frame, and of all.
pub const MOST_PIXELS: u64 = 4 << 20;
pub const MOST_PIXELS_OF_ALL: u64 = 16 << 20;
/// The largest file of a golden frame or mask, and all of them, in bytes.
pub const LARGEST_FILE: u64 = 16 << 20;
pub const LARGEST_OF_ALL: u64 = 64 << 20;

const LONGEST_SIDE: u32 = 8192;
/// What a decoder may ask for in all: eight bytes a pixel, and its own tables.
const DECODER_BYTES: u64 = 8 * MOST_PIXELS + (8 << 20);

/// A picture and the mask that the cart must make of it.
#[derive(Clone, Debug)]
pub struct GoldenFrame {
    /// The picture's path, relative to the bundle.
    pub name: String,
    /// The picture itself. Its number and its time are 0.
    pub frame: Frame,
    /// `[height, width] u8`, 0 or 255, of the frame's size.
    pub mask: Vec<u8>,
}

/// A bundle's golden frames, as compressed as they came. A copy is cheap and shares them; the bundle need not stay.
#[derive(Clone, Debug)]
pub struct GoldenFrames(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    bundle: PathBuf,
    pairs: Vec<Golden>,
    files: BTreeMap<String, Vec<u8>>,
}

impl GoldenFrames {
    /// `files` has every file that `pairs` name. Only the pictures' sizes are looked at.
    ///
    /// # Errors
    /// 65 if one is no PNG picture, or too large, or if a mask is not of its frame's size.
    pub(super) fn new(
        bundle: PathBuf,
        pairs: Vec<Golden>,
        files: BTreeMap<String, Vec<u8>>,
    ) -> Result<GoldenFrames> {
        let golden = GoldenFrames(Arc::new(Kept { bundle, pairs, files }));
        let mut all = 0;
        for pair in &golden.0.pairs {
            let size = golden.size(&pair.frame)?;
            if golden.size(&pair.mask)? != size {
                return Err(golden.not_of_one_size(pair));
            }
            all += u64::from(size.0) * u64::from(size.1);
        }
        if all <= MOST_PIXELS_OF_ALL {
            Ok(golden)
        } else {
            Err(Fault::data(format!(
                "{}: its golden frames have {all} pixels in total, more than {MOST_PIXELS_OF_ALL}",
                golden.0.bundle.display()
            )))
        }
    }

    /// How many pairs of a picture and a mask there are.
    pub fn len(&self) -> usize {
        self.0.pairs.len()
    }

    /// Whether there are none. A bundle that was opened has one at least.
    pub fn is_empty(&self) -> bool {
        self.0.pairs.is_empty()
    }

    /// Decodes one; `None` if there are not so many.
    ///
    /// # Errors
    /// 65 if its picture or its mask is damaged.
    pub fn get(&self, index: usize) -> Option<Result<GoldenFrame>> {
        self.0.pairs.get(index).map(|pair| self.decode(pair))
    }

    /// A frame's or a mask's file.
    pub(super) fn file(&self, name: &str) -> Option<&[u8]> {
        self.0.files.get(name).map(Vec::as_slice)
    }

    fn decode(&self, pair: &Golden) -> Result<GoldenFrame> {
        let picture = self.picture(&pair.frame, DynamicImage::into_rgb8)?;
        let mask = self.picture(&pair.mask, DynamicImage::into_luma8)?;
        let (width, height) = picture.dimensions();
        let frame = if picture.dimensions() == mask.dimensions() {
            Frame::from_rgb(width as usize, height as usize, picture.into_raw())
        } else {
            None
        };
        let frame = frame.ok_or_else(|| self.not_of_one_size(pair))?;
        Ok(GoldenFrame { name: pair.frame.clone(), frame, mask: mask.into_raw() })
    }

    fn bytes(&self, name: &str) -> Result<&[u8]> {
        self.file(name).ok_or_else(|| self.fault(name, "it is missing; copy the bundle again"))
    }

    /// Width and height within bounds, as the file's first bytes have them.
    fn size(&self, name: &str) -> Result<(u32, u32)> {
        let (width, height) = png_size(self.bytes(name)?)
            .ok_or_else(|| self.fault(name, "a golden frame's file must be a PNG image"))?;
        let sides = 1..=LONGEST_SIDE;
        let pixels = u64::from(width) * u64::from(height);
        if sides.contains(&width) && sides.contains(&height) && pixels <= MOST_PIXELS {
            Ok((width, height))
        } else {
            Err(self.fault(
            name,
            &format!("a golden frame of {width} × {height} pixels is too large; at most {MOST_PIXELS} pixels are allowed"),
        ))
        }
    }

    /// A decoded picture. Its size was checked before: all that the decoder takes is bounded.
    fn picture<T>(&self, name: &str, convert: impl FnOnce(DynamicImage) -> T) -> Result<T> {
        let bytes = self.bytes(name)?;
        let decode = || {
            let mut limits = Limits::default();
            limits.max_image_width = Some(LONGEST_SIDE);
            limits.max_image_height = Some(LONGEST_SIDE);
            limits.max_alloc = Some(DECODER_BYTES);
            let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
            reader.limits(limits);
            reader.decode().map(convert)
        };
        match panics::caught(decode) {
            Some(Ok(picture)) => Ok(picture),
            Some(Err(error)) => Err(self.fault(name, &format!("it is a damaged PNG image: {error}"))),
            None => Err(self.fault(name, "it is a damaged PNG image")),
        }
    }

    fn not_of_one_size(&self, pair: &Golden) -> anyhow::Error {
        self.fault(&pair.mask, "its size differs from its frame's size")
    }

    fn fault(&self, name: &str, what: &str) -> anyhow::Error {
        let what = what.replace(char::is_control, " ");
        Fault::data(format!("{}: {what}", self.0.bundle.join(name).display()))
    }
}

/// Width and height of a PNG picture, which its first chunk has.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let head: &[u8; 24] = bytes.first_chunk()?;
    let (start, sides) = head.split_first_chunk::<16>()?;
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    match start {
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" => Some((number(sides)?, number(sides.get(4..)?)?)),
        _ => None,
    }
}
