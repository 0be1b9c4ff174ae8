//! Finds the end of a JPEG picture by walking its segments, so that markers inside thumbnails, comments and
//! compressed data are not taken for its own.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use super::MAX_PICTURE_BYTES;

/// Most bytes between two pictures: padding, or the headers of a multipart stream.
const MAX_GAP_BYTES: usize = 1 << 20;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;

struct Walker<'a, R> {
    reader: &'a mut R,
    picture: &'a mut Vec<u8>,
}

fn damaged(message: &str) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

fn cut() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "it ends inside a picture")
}

/// Reads one whole picture, SOI to EOI, into `picture`; `false` if there is none left.
///
/// Errors: `UnexpectedEof` inside a picture, `InvalidData` where there is no JPEG.
pub fn next_picture(reader: &mut impl BufRead, picture: &mut Vec<u8>) -> Result<bool> {
    picture.clear();
    if !find_start(reader)? {
        return Ok(false);
    }
    picture.extend_from_slice(&[0xFF, SOI]);
    let mut walker = Walker { reader, picture };
    let mut marker = walker.marker()?;
    loop {
        marker = match marker {
            EOI => return Ok(true),
            SOI => return Err(damaged("a picture starts inside another")),
            0x01 | 0xD0..=0xD7 => walker.marker()?,
            0x00 | 0xFF => return Err(damaged("no JPEG marker where one must be")),
            SOS => {
                walker.segment()?;
                walker.compressed()?
            }
            _ => {
                walker.segment()?;
                walker.marker()?
            }
        };
    }
}

/// Reads past the next SOI; `false` if none comes.
fn find_start(reader: &mut impl BufRead) -> Result<bool> {
    let (mut last, mut gap) = (0, 0);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let mut found = None;
        for (index, &byte) in buffer.iter().enumerate() {
            if last == 0xFF && byte == SOI {
                found = Some(index);
                break;
            }
            last = byte;
        }
        let used = found.map_or(buffer.len(), |index| index + 1);
        gap += used;
        reader.consume(used);
        if found.is_some() {
            return Ok(true);
        }
        if gap > MAX_GAP_BYTES {
            return Err(damaged("no JPEG picture in a megabyte of data"));
        }
    }
}

impl<R: BufRead> Walker<'_, R> {
    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => cut(),
            _ => error,
        })?;
        self.keep(&byte)?;
        Ok(byte[0])
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        if self.picture.len() + bytes.len() > MAX_PICTURE_BYTES {
            return Err(damaged("a picture of more than 64 MiB"));
        }
        self.picture.extend_from_slice(bytes);
        Ok(())
    }

    /// The next marker's code, fill bytes skipped.
    fn marker(&mut self) -> Result<u8> {
        if self.byte()? != 0xFF {
            return Err(damaged("no JPEG marker where one must be"));
        }
        loop {
            match self.byte()? {
                0xFF => {}
                code => return Ok(code),
            }
        }
    }

    fn segment(&mut self) -> Result<()> {
        let length = u16::from_be_bytes([self.byte()?, self.byte()?]) as usize;
        let Some(rest) = length.checked_sub(2) else { return Err(damaged("a JPEG segment without length")) };
        let before = self.picture.len();
        if before + rest > MAX_PICTURE_BYTES {
            return Err(damaged("a picture of more than 64 MiB"));
        }
        self.reader.by_ref().take(rest as u64).read_to_end(self.picture)?;
        if self.picture.len() < before + rest { Err(cut()) } else { Ok(()) }
    }

    /// Compressed data up to the marker that ends it, whose code it gives.
    fn compressed(&mut self) -> Result<u8> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Err(cut());
            }
            let plain = buffer.iter().position(|&byte| byte == 0xFF).unwrap_or(buffer.len());
            if self.picture.len() + plain > MAX_PICTURE_BYTES {
                return Err(damaged("a picture of more than 64 MiB"));
            }
            self.picture.extend_from_slice(buffer.get(..plain).unwrap_or_default());
            let ended = plain < buffer.len();
            self.reader.consume(plain);
            if ended {
                match self.marker()? {
                    0x00 | 0xD0..=0xD7 => {}
                    code => return Ok(code),
                }
            }
        }
    }
}
