//! Uncompressed video in YUV4MPEG2.

mod header;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use anyhow::Result;
use header::{Chroma, Header};
use yuv::{YuvGrayImage, YuvPlanarImage};

use crate::capture::{Source, name_by_number};
use crate::convert;
use crate::fault::{Exit, Fault};
use crate::frame::{Frame, FrameNumber, Range, Timestamp};

pub use crate::capture::foreign::CONVERT_VIDEO as FFMPEG_COMMAND;

/// Longest header of a stream or of a frame, bytes.
const MAX_LINE_BYTES: usize = 1024;
const FRAME: &[u8] = b"FRAME";

/// A Y4M stream of 8 bit, 4:2:0, 4:2:2, 4:4:4 or grey, in the colours that its header says, see `header.rs`. Holds one
/// frame at a time.
pub struct Y4m {
    stream: String,
    reader: Option<Box<dyn BufRead + Send>>,
    header: Header,
    /// The planes of one frame.
    samples: Vec<u8>,
    next: u64,
    name: OsString,
}

/// A line without its end, which may be `\n` or `\r\n`.
enum Line {
    Whole(Vec<u8>),
    /// What there was before the stream ended.
    Cut(Vec<u8>),
    TooLong,
}

fn read_line(reader: &mut dyn BufRead) -> std::io::Result<Line> {
    let mut line = Vec::new();
    reader.take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)?;
    Ok(match line.strip_suffix(b"\n") {
        Some(whole) => Line::Whole(whole.strip_suffix(b"\r").unwrap_or(whole).to_vec()),
        None if line.len() == MAX_LINE_BYTES => Line::TooLong,
        None => Line::Cut(line),
    })
}

impl Y4m {
    /// Reads the header. `stream` names it in messages.
    ///
    /// Errors: exit 74 if it cannot be read, 65 if its header is damaged or asks for what is not read.
    pub fn new(stream: &str, reader: Box<dyn Read + Send>) -> Result<Self> {
        let mut reader: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(1 << 16, reader));
        let line =
            read_line(&mut reader).map_err(|error| Fault::io(format!("cannot read {stream}: {error}")))?;
        let header = match line {
            Line::Whole(line) => Header::parse(stream, &line)?,
            Line::Cut(_) => return Err(Fault::data(format!("{stream} ends inside its Y4M header"))),
            Line::TooLong => {
                return Err(Fault::data(format!(
                    "{stream} has a damaged Y4M header: its first line is longer than {MAX_LINE_BYTES} bytes"
                )));
            }
        };
        if header.interlaced {
            log::warn!("{stream} is interlaced: frames are shown without deinterlacing");
        }
        if header.matrix_is_guessed {
            let why = match header.colour.range {
                Range::Full => "as in JPEG, because its range is full".to_owned(),
                Range::Limited => format!("which is usual with {} lines", header.height),
            };
            log::info!(
                "{stream} does not name its colour matrix: {} is assumed, {why}; to name it, add XCOLORMATRIX=BT601 or \
                 XCOLORMATRIX=BT709 to its header",
                header.colour.matrix
            );
        }
        Ok(Y4m {
            stream: stream.to_owned(),
            reader: Some(reader),
            header,
            samples: Vec::new(),
            next: 0,
            name: OsString::new(),
        })
    }

    /// Frames a second, from the header.
    pub fn fps(&self) -> f64 {
        self.header.fps
    }

    /// Reads the planes of the next frame; `false` at the stream's end.
    fn read_samples(&mut self) -> Result<bool> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let (stream, number) = (&self.stream, self.next);
        let broken =
            |error: std::io::Error| Fault::io(format!("cannot read {stream}, frame {number}: {error}"));
        let cut = || Fault::data(format!("{stream} ends inside frame {number}"));
        match read_line(reader).map_err(broken)? {
            Line::Cut(line) if line.is_empty() && number == 0 => {
                return Err(Fault::data(format!("{stream} contains no frame")));
            }
            Line::Cut(line) if line.is_empty() => return Ok(false),
            Line::Cut(line) if FRAME.starts_with(line.get(..FRAME.len()).unwrap_or(&line)) => {
                return Err(cut());
            }
            // What follows a space are the frame's own parameters, of which none is needed here.
            Line::Whole(line)
                if line.strip_prefix(FRAME).is_some_and(|more| more.is_empty() || more.starts_with(b" ")) => {
            }
            _ => {
                return Err(Fault::data(format!(
                    "{stream}: frame {number} has no frame header; the stream's pixel format or size may differ from its \
                     header"
                )));
            }
        }
        let Header { width, height, chroma, .. } = self.header;
        let (wide, high) = chroma.plane(width, height);
        let size = width * height + 2 * wide * high;
        self.samples.clear();
        self.samples.try_reserve_exact(size).map_err(|_| {
            Fault::data(format!("{stream}, frame {number}: not enough memory for {width}×{height} pixels"))
        })?;
        reader.take(size as u64).read_to_end(&mut self.samples).map_err(broken)?;
        if self.samples.len() < size {
            return Err(cut());
        }
        Ok(true)
    }

    fn read_picture(&mut self, frame: &mut Frame) -> Result<bool> {
        if !self.read_samples()? {
            return Ok(false);
        }
        let Header { width, height, chroma, colour, .. } = self.header;
        if (frame.width_px(), frame.height_px()) != (width, height) || frame.stride().0 != 3 * width {
            *frame = Frame::black(width, height);
        }
        let (chroma_width, chroma_height) = chroma.plane(width, height);
        let (y_plane, both) = self.samples.split_at_checked(width * height).unwrap_or_default();
        let (u_plane, v_plane) = both.split_at_checked(chroma_width * chroma_height).unwrap_or_default();
        let (wide, high) = (width as u32, height as u32);
        let planes = YuvPlanarImage {
            y_plane,
            y_stride: wide,
            u_plane,
            u_stride: chroma_width as u32,
            v_plane,
            v_stride: chroma_width as u32,
            width: wide,
            height: high,
        };
        let grey = YuvGrayImage { y_plane, y_stride: wide, width: wide, height: high };
        let (range, matrix) = convert::standard(colour);
        let rgb = frame.pixels_mut();
        match chroma {
            Chroma::None => yuv::yuv400_to_rgb(&grey, rgb, 3 * wide, range, matrix),
            Chroma::Quarter => yuv::yuv420_to_rgb(&planes, rgb, 3 * wide, range, matrix),
            Chroma::Half => yuv::yuv422_to_rgb(&planes, rgb, 3 * wide, range, matrix),
            Chroma::Full => yuv::yuv444_to_rgb(&planes, rgb, 3 * wide, range, matrix),
        }
        .map_err(|error| Fault::new(Exit::Data, format!("{}, frame {}: {error}", self.stream, self.next)))?;
        Ok(true)
    }
}

impl Source for Y4m {
    fn rate_hz(&self) -> Option<f64> {
        Some(self.header.fps)
    }

    fn read(&mut self, frame: &mut Frame) -> Result<bool> {
        let outcome = self.read_picture(frame);
        if !matches!(outcome, Ok(true)) {
            self.reader = None;
            return outcome;
        }
        frame.number = FrameNumber(self.next);
        frame.timestamp = Timestamp(Duration::from_secs_f64(self.next as f64 / self.header.fps));
        name_by_number(self.next, &mut self.name);
        self.next += 1;
        Ok(true)
    }

    fn name(&self) -> &OsStr {
        &self.name
    }
}
