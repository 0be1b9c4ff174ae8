//! Uncompressed video in YUV4MPEG2.

use std::io::{BufRead, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use y4m::{Colorspace, Decoder, Error, Limits};
use yuv::{YuvGrayImage, YuvPlanarImage, YuvRange, YuvStandardMatrix};

use super::MAX_SIDE_PX;
use crate::capture::{Source, name_by_number};
use crate::fault::{Exit, Fault};
use crate::frame::{Frame, FrameNumber, Timestamp};

/// Lines from which unmarked video is taken for high definition, whose colours are BT.709 and not BT.601.
const HIGH_DEFINITION: usize = 720;

const MAX_HEADER_BYTES: u64 = 1024;

#[derive(Clone, Copy, Debug)]
enum Chroma {
    None,
    Half,
    HalfWide,
    Full,
}

/// Counts what is read, to tell the end of a stream from the middle of a frame.
struct Counted<R> {
    reader: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

type Stream = Counted<Chain<Cursor<Vec<u8>>, Box<dyn BufRead + Send>>>;

/// A Y4M stream: 8 bit, 4:2:0, 4:2:2, 4:4:4 or grey. Its colours are BT.709 from 720 lines on, else BT.601, in limited
/// range unless it says `XCOLORRANGE=FULL`. Holds one frame at a time.
pub struct Y4m {
    stream: String,
    decoder: Option<Decoder<Stream>>,
    bytes: Arc<AtomicU64>,
    width: usize,
    height: usize,
    chroma: Chroma,
    range: YuvRange,
    matrix: YuvStandardMatrix,
    fps: f64,
    next: u64,
    name: String,
}

fn header_fault(stream: &str, error: Error) -> anyhow::Error {
    match error {
        Error::IoError(error) => Fault::io(format!("cannot read {stream}: {error}")),
        Error::EOF => Fault::data(format!("{stream} ends inside its Y4M header")),
        Error::UnknownColorspace => Fault::data(format!(
            "{stream} has a pixel format that is not read: convert it by ffmpeg -pix_fmt yuv420p"
        )),
        Error::OutOfMemory => {
            Fault::data(format!("{stream} claims a picture with a side above {MAX_SIDE_PX} pixels"))
        }
        Error::ParseError(_) | Error::BadInput => Fault::data(format!("{stream} has a damaged Y4M header")),
    }
}

/// Reads the header's line, and refuses sides whose product the decoder might not hold.
fn read_header(stream: &str, reader: &mut dyn BufRead) -> Result<Vec<u8>> {
    let mut header = Vec::new();
    reader
        .take(MAX_HEADER_BYTES)
        .read_until(b'\n', &mut header)
        .map_err(|error| header_fault(stream, Error::IoError(error)))?;
    for parameter in header.trim_ascii_end().split(|&byte| byte == b' ') {
        if let [b'W' | b'H', side @ ..] = parameter
            && side.iter().all(u8::is_ascii_digit)
            && std::str::from_utf8(side).is_ok_and(|side| side.parse().unwrap_or(usize::MAX) > MAX_SIDE_PX)
        {
            return Err(header_fault(stream, Error::OutOfMemory));
        }
    }
    Ok(header)
}

impl Y4m {
    /// Reads the header. `stream` names it in messages.
    pub fn new(stream: &str, reader: Box<dyn Read + Send>) -> Result<Self> {
        let bytes = Arc::new(AtomicU64::new(0));
        let mut reader: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(1 << 16, reader));
        let header = read_header(stream, &mut reader)?;
        let reader = Counted { reader: Cursor::new(header).chain(reader), bytes: bytes.clone() };
        let limits = Limits { bytes: 3 * MAX_SIDE_PX * MAX_SIDE_PX };
        let decoder =
            Decoder::new_with_limits(reader, limits).map_err(|error| header_fault(stream, error))?;
        let (width, height) = (decoder.get_width(), decoder.get_height());
        let chroma = match decoder.get_colorspace() {
            Colorspace::Cmono => Chroma::None,
            Colorspace::C420 | Colorspace::C420jpeg | Colorspace::C420mpeg2 | Colorspace::C420paldv => {
                Chroma::Half
            }
            Colorspace::C422 => Chroma::HalfWide,
            Colorspace::C444 => Chroma::Full,
            _ => {
                return Err(Fault::data(format!(
                    "{stream} has {} bits a sample, only 8 are read: convert it by ffmpeg -pix_fmt yuv420p",
                    decoder.get_bit_depth()
                )));
            }
        };
        let parameters: Vec<&[u8]> = decoder.get_raw_params().split(|&byte| byte == b' ').collect();
        let full = parameters.iter().any(|parameter| parameter.eq_ignore_ascii_case(b"XCOLORRANGE=FULL"));
        if parameters.iter().any(|parameter| matches!(parameter, [b'I', b't' | b'b' | b'm'])) {
            log::warn!("{stream} is interlaced: fields are shown as they are");
        }
        let rate = decoder.get_framerate();
        let fps = rate.num as f64 / rate.den as f64;
        Ok(Y4m {
            stream: stream.to_owned(),
            bytes,
            width,
            height,
            chroma,
            range: if full { YuvRange::Full } else { YuvRange::Limited },
            matrix: match height < HIGH_DEFINITION {
                true => YuvStandardMatrix::Bt601,
                false => YuvStandardMatrix::Bt709,
            },
            fps: if fps.is_finite() && fps > 0.0 { fps.clamp(0.01, 1000.0) } else { 25.0 },
            decoder: Some(decoder),
            next: 0,
            name: String::new(),
        })
    }

    /// Frames a second, from the header.
    pub fn fps(&self) -> f64 {
        self.fps
    }

    fn read_picture(&mut self, frame: &mut Frame) -> Result<bool> {
        let Some(decoder) = &mut self.decoder else { return Ok(false) };
        let (stream, number) = (&self.stream, self.next);
        let before = self.bytes.load(Ordering::Relaxed);
        let picture = match decoder.read_frame() {
            Ok(picture) => picture,
            Err(Error::EOF) if self.bytes.load(Ordering::Relaxed) > before => {
                return Err(Fault::data(format!("{stream} ends inside frame {number}")));
            }
            Err(Error::EOF) if number == 0 => return Err(Fault::data(format!("{stream} holds no frame"))),
            Err(Error::EOF) => return Ok(false),
            Err(Error::IoError(error)) => {
                return Err(Fault::io(format!("cannot read {stream}, frame {number}: {error}")));
            }
            Err(_) => {
                return Err(Fault::data(format!(
                    "{stream}: no frame header where frame {number} must start"
                )));
            }
        };
        let (width, height) = (self.width, self.height);
        if (frame.width_px(), frame.height_px()) != (width, height) || frame.stride().0 != 3 * width {
            *frame = Frame::black(width, height);
        }
        let (wide, high) = (width as u32, height as u32);
        let chroma_stride = match self.chroma {
            Chroma::Half | Chroma::HalfWide => wide.div_ceil(2),
            Chroma::Full | Chroma::None => wide,
        };
        let colour = YuvPlanarImage {
            y_plane: picture.get_y_plane(),
            y_stride: wide,
            u_plane: picture.get_u_plane(),
            u_stride: chroma_stride,
            v_plane: picture.get_v_plane(),
            v_stride: chroma_stride,
            width: wide,
            height: high,
        };
        let grey = YuvGrayImage { y_plane: picture.get_y_plane(), y_stride: wide, width: wide, height: high };
        let (rgb, range, matrix) = (frame.pixels_mut(), self.range, self.matrix);
        match self.chroma {
            Chroma::None => yuv::yuv400_to_rgb(&grey, rgb, 3 * wide, range, matrix),
            Chroma::Half => yuv::yuv420_to_rgb(&colour, rgb, 3 * wide, range, matrix),
            Chroma::HalfWide => yuv::yuv422_to_rgb(&colour, rgb, 3 * wide, range, matrix),
            Chroma::Full => yuv::yuv444_to_rgb(&colour, rgb, 3 * wide, range, matrix),
        }
        .map_err(|error| Fault::new(Exit::Data, format!("{stream}, frame {number}: {error}")))?;
        Ok(true)
    }
}

impl Source for Y4m {
    fn read(&mut self, frame: &mut Frame) -> Result<bool> {
        let outcome = self.read_picture(frame);
        if !matches!(outcome, Ok(true)) {
            self.decoder = None;
            return outcome;
        }
        frame.number = FrameNumber(self.next);
        frame.timestamp = Timestamp(Duration::from_secs_f64(self.next as f64 / self.fps));
        name_by_number(self.next, &mut self.name);
        self.next += 1;
        Ok(true)
    }

    fn name(&self) -> &str {
        &self.name
    }
}
