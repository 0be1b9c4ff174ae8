//! The first line of a YUV4MPEG2 stream.
//!
//! The format has tags of one letter for size, rate and chroma, and lets programs add their own behind an `X`. Read here,
//! in any letter case:
//!
//! | tag | says | without it |
//! |---|---|---|
//! | `C420jpeg`, `C422`, … | how the chroma is sampled; nothing about range | `XYSCSS`, else 4:2:0 |
//! | `XYSCSS=420JPEG` | the same, from before `C` had these values | |
//! | `XCOLORRANGE=FULL`, `LIMITED` | which values black and white have, as ffmpeg writes it | limited |
//! | `XCOLORMATRIX=BT601`, `BT709`, `BT2020` | what turns Y′CbCr into R′G′B′, this program's own tag | full range: BT.601, as in JPEG; limited: by the size |
//!
//! Other tags are skipped, as other programs skip `XCOLORMATRIX`.

use anyhow::Result;

use super::super::MAX_SIDE_PX;
use super::FFMPEG_COMMAND;
use crate::fault::Fault;
use crate::frame::{Colour, Matrix, Range};

pub const MAGIC: &[u8] = b"YUV4MPEG2";
/// Frames a second where the header does not say it.
const DEFAULT_FPS: f64 = 25.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    None,
    /// Half the width and half the height.
    Quarter,
    /// Half the width.
    Half,
    Full,
}

impl Chroma {
    /// Width and height of each of the two chroma planes.
    pub fn plane(self, width: usize, height: usize) -> (usize, usize) {
        match self {
            Chroma::None => (0, 0),
            Chroma::Quarter => (width.div_ceil(2), height.div_ceil(2)),
            Chroma::Half => (width.div_ceil(2), height),
            Chroma::Full => (width, height),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub width: usize,
    pub height: usize,
    pub fps: f64,
    pub interlaced: bool,
    pub chroma: Chroma,
    pub colour: Colour,
    /// The stream does not name its matrix.
    pub matrix_is_guessed: bool,
}

impl Header {
    /// Reads the line, without its end. `stream` names it in messages.
    ///
    /// Errors, exit 65: no such header, sides of 0 or above [`MAX_SIDE_PX`], samples of other than 8 bits, or a sampling,
    /// range or matrix that is not read.
    #[expect(clippy::too_many_lines, reason = "one arm for each tag")]
    pub fn parse(stream: &str, line: &[u8]) -> Result<Header> {
        let damaged =
            |what: &str| Fault::data(format!("{stream} has a damaged Y4M header: {what}; record it again"));
        let mut parameters = line.split(|byte| byte.is_ascii_whitespace());
        if parameters.next() != Some(MAGIC) {
            return Err(damaged("it does not begin with YUV4MPEG2"));
        }
        let (mut sides, mut fps, mut interlaced) = ([None; 2], DEFAULT_FPS, false);
        let (mut chroma, mut legacy_chroma, mut range, mut matrix) = (None, None, Range::Limited, None);
        for parameter in parameters {
            let shown = parameter.escape_ascii();
            match parameter {
                [b'W', digits @ ..] => sides[0] = number(digits),
                [b'H', digits @ ..] => sides[1] = number(digits),
                [b'F', ratio @ ..] => {
                    fps = rate(ratio).ok_or_else(|| damaged(&format!("{shown} is not a frame rate")))?;
                }
                [b'I', order] => interlaced = matches!(order, b't' | b'b' | b'm'),
                [b'C', name @ ..] => chroma = Some(sampling(stream, name)?),
                [b'X' | b'x', extension @ ..] => {
                    let mut parts = extension.splitn(2, |&byte| byte == b'=');
                    let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
                    match key.to_ascii_uppercase().as_slice() {
                        b"YSCSS" => legacy_chroma = Some(value),
                        b"COLORRANGE" => {
                            range = named(value, &RANGES).ok_or_else(|| {
                                unread(stream, &format!("the range {shown}"), "XCOLORRANGE=FULL and LIMITED")
                            })?
                        }
                        b"COLORMATRIX" => {
                            matrix = Some(named(value, &MATRICES).ok_or_else(|| {
                                unread(
                                    stream,
                                    &format!("the matrix {shown}"),
                                    "XCOLORMATRIX=BT601, BT709 and BT2020",
                                )
                            })?)
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        let [Some(width), Some(height)] = sides else {
            return Err(damaged("its width or height is missing"));
        };
        if width == 0 || height == 0 {
            return Err(damaged("its frames have no pixels"));
        }
        if width > MAX_SIDE_PX || height > MAX_SIDE_PX {
            return Err(Fault::data(format!(
                "{stream} claims to have frames with a side of more than {MAX_SIDE_PX} pixels"
            )));
        }
        let chroma = match (chroma, legacy_chroma) {
            (Some(chroma), _) => chroma,
            (None, Some(name)) => sampling(stream, name)?,
            (None, None) => Chroma::Quarter,
        };
        let guess = match range {
            Range::Full => Matrix::Bt601,
            Range::Limited => Matrix::by_lines(height),
        };
        let colour = Colour { matrix: matrix.unwrap_or(guess), range };
        // Grey pictures come out the same by every matrix.
        let matrix_is_guessed = matrix.is_none() && chroma != Chroma::None;
        Ok(Header { width, height, fps, interlaced, chroma, colour, matrix_is_guessed })
    }
}

const RANGES: [(&str, Range); 2] = [("FULL", Range::Full), ("LIMITED", Range::Limited)];

/// Also by ffmpeg's names; `BT470BG` and `SMPTE170M` are BT.601's matrix.
const MATRICES: [(&str, Matrix); 6] = [
    ("BT601", Matrix::Bt601),
    ("BT470BG", Matrix::Bt601),
    ("SMPTE170M", Matrix::Bt601),
    ("BT709", Matrix::Bt709),
    ("BT2020", Matrix::Bt2020),
    ("BT2020NC", Matrix::Bt2020),
];

fn named<T: Copy>(value: &[u8], names: &[(&str, T)]) -> Option<T> {
    names.iter().find(|(name, _)| value.eq_ignore_ascii_case(name.as_bytes())).map(|&(_, meaning)| meaning)
}

/// Digits alone; what does not fit is as large as can be.
fn number(digits: &[u8]) -> Option<usize> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        digits
            .iter()
            .fold(0usize, |value, digit| value.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
    })
}

/// `30000:1001`. Rates of 0, by 0 or out of reason are the default or the nearest within reason.
fn rate(ratio: &[u8]) -> Option<f64> {
    let colon = ratio.iter().position(|&byte| byte == b':')?;
    let (over, under) = ratio.split_at(colon);
    let fps = number(over)? as f64 / number(under.get(1..)?)? as f64;
    Some(if fps.is_finite() && fps > 0.0 { fps.clamp(0.01, 1000.0) } else { DEFAULT_FPS })
}

fn sampling(stream: &str, name: &[u8]) -> Result<Chroma> {
    let lower = name.to_ascii_lowercase();
    Ok(match lower.as_slice() {
        b"mono" => Chroma::None,
        b"420" | b"420jpeg" | b"420mpeg2" | b"420paldv" => Chroma::Quarter,
        b"422" => Chroma::Half,
        b"444" => Chroma::Full,
        _ => {
            // `420p10`, `mono12`: the number at the end counts the bits.
            let is_deep = lower.starts_with(b"mono") || lower.get(3) == Some(&b'p');
            let digits = lower.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            let bits = lower.get(lower.len() - digits..).and_then(number).filter(|_| is_deep);
            return Err(match bits {
                Some(bits) => unread(stream, &format!("{bits} bits a sample"), "8 bits"),
                None => unread(
                    stream,
                    &format!("the pixel format C{}", name.escape_ascii()),
                    "420, 422, 444 and mono",
                ),
            });
        }
    })
}

fn unread(stream: &str, what: &str, known: &str) -> anyhow::Error {
    Fault::data(format!(
        "{stream} has {what}, but only {known} can be read: convert it with {FFMPEG_COMMAND}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_that_is_named_is_not_guessed() {
        for (more, guessed) in [
            ("C420jpeg", true),
            ("C444 XCOLORRANGE=FULL", true),
            ("C444 XCOLORMATRIX=BT709", false),
            ("C420 xcolormatrix=smpte170m", false),
            ("Cmono", false),
        ] {
            let line = format!("YUV4MPEG2 W1280 H720 {more}");
            assert_eq!(Header::parse("video", line.as_bytes()).unwrap().matrix_is_guessed, guessed, "{more}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_as_large_as_can_be() {
        assert_eq!(number(b"18446744073709551616"), Some(usize::MAX));
        assert_eq!((number(b""), number(b"-3"), number(b"3x")), (None, None, None));
        assert_eq!(rate(b"25:1"), Some(25.0));
        assert_eq!((rate(b"25:0"), rate(b"0:1"), rate(b"25")), (Some(25.0), Some(25.0), None));
    }
}
