//! Finds where JPEG pictures begin and end by walking their segments, so that markers inside thumbnails, comments and
//! compressed data are not taken for their own.

use std::io::{Error, ErrorKind, Read, Result};

use super::MAX_BYTES;

/// Most bytes in front of a picture: padding, or the headers of a multipart stream.
pub const MAX_JUNK_BYTES: usize = 1 << 20;
/// Bytes that are asked of a stream at once.
const BLOCK: usize = 1 << 16;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;

const NO_MARKER: &str = "a JPEG marker is missing";
const INSIDE: &str = "another image starts inside it";
pub const ENDS_INSIDE: &str = "the stream ends inside the image";

/// Walks one picture, as far as its bytes are there.
struct Walker {
    /// Where its SOI is.
    start: usize,
    at: usize,
    /// The last segment's marker.
    segment: usize,
    /// Within compressed data; and whether there was any.
    scanning: bool,
    scanned: bool,
}

enum Step {
    /// More bytes are needed.
    More,
    /// It ends here, with its EOI.
    Whole(usize),
    /// It ends here, where the next one begins, without an EOI.
    Open(usize),
    /// It is broken; what may be a picture comes from here on at the earliest.
    Broken(&'static str, usize),
}

impl Walker {
    fn new(start: usize) -> Walker {
        Walker { start, at: start + 2, segment: start, scanning: false, scanned: false }
    }

    fn advance(&mut self, bytes: &[u8]) -> Step {
        loop {
            if self.at - self.start > MAX_BYTES {
                return Step::Broken("it is larger than 64 MiB", self.at);
            }
            if self.scanning {
                let rest = bytes.get(self.at..).unwrap_or_default();
                match rest.iter().position(|&byte| byte == 0xFF) {
                    Some(plain) => self.at += plain,
                    None => {
                        self.at = self.at.max(bytes.len());
                        return Step::More;
                    }
                }
                match bytes.get(self.at + 1) {
                    None => return Step::More,
                    Some(0x00 | 0xD0..=0xD7) => self.at += 2,
                    Some(0xFF) => self.at += 1,
                    Some(_) => self.scanning = false,
                }
                continue;
            }
            let (Some(&first), second) = (bytes.get(self.at), bytes.get(self.at + 1)) else {
                return Step::More;
            };
            if first != 0xFF {
                // What looked like its last segment may have swallowed the start of another picture.
                return Step::Broken(NO_MARKER, self.segment + 2);
            }
            match second {
                None => return Step::More,
                Some(0xFF) => self.at += 1,
                Some(&EOI) => return Step::Whole(self.at + 2),
                Some(&SOI) => match (bytes.get(self.at + 2), bytes.get(self.at + 3)) {
                    (None, _) | (_, None) => return Step::More,
                    (Some(0xFF), Some(0xC0..=0xC4 | 0xDB | 0xDD | 0xE0..=0xFE)) if self.scanned => {
                        return Step::Open(self.at);
                    }
                    _ => return Step::Broken(INSIDE, self.at),
                },
                Some(0x01 | 0xD0..=0xD7) => self.at += 2,
                Some(0x00) => return Step::Broken(NO_MARKER, self.segment + 2),
                Some(&code) => {
                    let Some(&[high, low]) = bytes.get(self.at + 2..self.at + 4) else { return Step::More };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if length < 2 {
                        return Step::Broken("it has a segment without a length", self.at + 2);
                    }
                    self.segment = self.at;
                    self.at += 2 + length;
                    (self.scanning, self.scanned) = (code == SOS, self.scanned || code == SOS);
                }
            }
        }
    }
}

/// The picture that `bytes` begin with, SOI to EOI.
pub fn first(bytes: &[u8]) -> std::result::Result<&[u8], &'static str> {
    match Walker::new(0).advance(bytes) {
        Step::More => Err("the data ends inside the image"),
        Step::Whole(end) => bytes.get(..end).ok_or(NO_MARKER),
        Step::Open(_) => Err(INSIDE),
        Step::Broken(what, _) => Err(what),
    }
}

/// What comes next in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A picture, SOI to EOI.
    Picture,
    /// A picture that is damaged, in words; others may follow.
    Damaged(&'static str),
    End,
}

/// Splits a stream into pictures. Holds one compressed picture at a time.
pub struct Splitter<R> {
    reader: R,
    window: Vec<u8>,
    /// Up to here the window has been used.
    used: usize,
    ended: bool,
    /// Its pictures have no EOI.
    open: bool,
    /// After damage the next picture may be as far as a picture is long.
    damaged: bool,
    skipped: u64,
}

impl<R: Read> Splitter<R> {
    pub fn new(reader: R) -> Self {
        Splitter {
            reader,
            window: Vec::new(),
            used: 0,
            ended: false,
            open: false,
            damaged: false,
            skipped: 0,
        }
    }

    /// Bytes so far that belong to no picture: headers between pictures, padding, junk.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Copies the next picture into `picture`. A picture without EOI, as some recorders write them, gets one.
    ///
    /// Errors: the stream cannot be read; or, as `InvalidData`, there is no picture in a megabyte of it.
    pub fn next(&mut self, picture: &mut Vec<u8>) -> Result<Next> {
        picture.clear();
        self.window.drain(..self.used.min(self.window.len()));
        self.used = 0;
        let Some(start) = self.find_start()? else {
            self.skipped += self.window.len() as u64;
            self.window.clear();
            return Ok(Next::End);
        };
        self.skipped += start as u64;
        let mut walker = Walker::new(start);
        let (end, what) = loop {
            match walker.advance(&self.window) {
                Step::More if self.load()? => {}
                // A stream whose pictures have no EOI ends with one that has none, which may be whole.
                Step::More if self.open && walker.scanning => break (self.window.len(), None),
                Step::More if walker.at > self.window.len() => break (walker.segment + 2, Some(ENDS_INSIDE)),
                Step::More => break (self.window.len(), Some(ENDS_INSIDE)),
                Step::Whole(end) => {
                    picture.extend_from_slice(self.window.get(start..end).unwrap_or_default());
                    (self.used, self.damaged) = (end, false);
                    return Ok(Next::Picture);
                }
                Step::Open(end) => {
                    self.open = true;
                    break (end, None);
                }
                Step::Broken(what, from) => break (from, Some(what)),
            }
        };
        self.used = end.max(start + 2);
        self.damaged = what.is_some();
        if let Some(what) = what {
            return Ok(Next::Damaged(what));
        }
        picture.extend_from_slice(self.window.get(start..end).unwrap_or_default());
        picture.extend_from_slice(&[0xFF, EOI]);
        Ok(Next::Picture)
    }

    /// Where the next SOI is.
    fn find_start(&mut self) -> Result<Option<usize>> {
        let most = if self.damaged { MAX_BYTES } else { MAX_JUNK_BYTES };
        let mut from = 0;
        loop {
            let rest = self.window.get(from..).unwrap_or_default();
            let found = rest.windows(3).position(|bytes| bytes == [0xFF, SOI, 0xFF]);
            if let Some(found) = found {
                return Ok(Some(from + found));
            }
            from = self.window.len().saturating_sub(2);
            if from > most {
                let size = if self.damaged { "64 MiB" } else { "a megabyte" };
                return Err(Error::new(ErrorKind::InvalidData, format!("no JPEG image in {size} of data")));
            }
            if !self.load()? {
                // A stream that was cut right after an SOI.
                return Ok(self.window.ends_with(&[0xFF, SOI]).then_some(from));
            }
        }
    }

    /// Reads on; `false` at the end.
    fn load(&mut self) -> Result<bool> {
        let before = self.window.len();
        while !self.ended {
            self.window.resize(before + BLOCK, 0);
            let read = self.reader.read(self.window.get_mut(before..).unwrap_or_default());
            self.window.truncate(before + read.as_ref().map_or(0, |&count| count.min(BLOCK)));
            match read {
                Ok(0) => self.ended = true,
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
