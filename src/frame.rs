//! What flows from the camera to the monitor.
//!
//! A [`Frame`] owns RGB pixels; a [`View`] looks at pixels as a camera gave them, wherever they lie.

use std::time::Duration;

/// Counts frames from 0 in the order in which their source gave them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(pub u64);

/// Time since the source started, on a monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub Duration);

/// Bytes from the start of one row to the start of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stride(pub usize);

/// How pixels lie in memory. Names as V4L2 has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PixelFormat {
    /// Bytes Y₀ Cb Y₁ Cr: two pixels.
    Yuyv,
    /// Bytes Cb Y₀ Cr Y₁: two pixels.
    Uyvy,
    /// A plane of Y, then a plane of Cb Cr at half the width and height.
    Nv12,
    /// Bytes R G B.
    Rgb24,
    /// Bytes B G R.
    Bgr24,
    /// A JPEG picture each: decoded before it flows on.
    Mjpeg,
}

/// A pixel format's four-character code, as V4L2 and DRM have it: the first character is the lowest byte, and the highest bit
/// says big-endian.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FourCc(pub u32);

impl FourCc {
    /// The code with these four characters.
    pub const fn new(name: &[u8; 4]) -> FourCc {
        FourCc(u32::from_le_bytes(*name))
    }
}

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const BIG_ENDIAN: u32 = 1 << 31;
        let bytes = (self.0 & !BIG_ENDIAN).to_le_bytes();
        let letter =
            |&byte: &u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
        // Shorter names are filled up with spaces, or with zeros.
        let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
        for letter in bytes[..end].iter().map(letter) {
            std::fmt::Write::write_char(f, letter)?;
        }
        f.write_str(if self.0 & BIG_ENDIAN != 0 { "-BE" } else { "" })
    }
}

impl std::fmt::Debug for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// What turns Y′CbCr into R′G′B′.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matrix {
    /// ITU-R BT.601, of standard definition.
    Bt601,
    /// ITU-R BT.709, of high definition.
    Bt709,
    /// ITU-R BT.2020, of ultra-high definition.
    Bt2020,
}

impl Matrix {
    /// What pictures of so many lines have where nothing names their matrix: BT.601 in standard definition, which ends
    /// with 576 lines, else BT.709.
    pub fn by_lines(lines: usize) -> Matrix {
        if lines <= 576 { Matrix::Bt601 } else { Matrix::Bt709 }
    }
}

impl std::fmt::Display for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Matrix::Bt601 => "BT.601",
            Matrix::Bt709 => "BT.709",
            Matrix::Bt2020 => "BT.2020",
        })
    }
}

/// Which values black and white have: 0 and 255, or 16 and 235.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Range {
    /// 0 to 255.
    Full,
    /// 16 to 235; Cb and Cr 16 to 240.
    Limited,
}

/// How values are to be read as colours. For RGB formats the matrix means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Colour {
    /// Means nothing for RGB formats.
    pub matrix: Matrix,
    /// Whether black is 0 or 16.
    pub range: Range,
}

impl Colour {
    /// RGB as monitors take it.
    pub const RGB: Colour = Colour { matrix: Matrix::Bt709, range: Range::Full };
}

/// Rows of a plane, `stride` bytes apart; the last one may end with its last pixel.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// From the first pixel of the first row on.
    pub bytes: &'a [u8],
    /// No less than a row has bytes.
    pub stride: Stride,
}

/// A picture somewhere in memory. Made by [`View::new`], which checks that the planes hold it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    format: PixelFormat,
    colour: Colour,
    width_px: usize,
    height_px: usize,
    planes: [Plane<'a>; 2],
}

impl<'a> View<'a> {
    /// `None` unless the planes hold `width × height` pixels: NV12 has two planes, other formats leave the second
    /// unused; sides are not 0, and even where the format shares chroma between pixels. Not for [`PixelFormat::Mjpeg`].
    pub fn new(
        format: PixelFormat,
        colour: Colour,
        (width_px, height_px): (usize, usize),
        planes: [Plane<'a>; 2],
    ) -> Option<View<'a>> {
        let shares = format.row_bytes(width_px)?;
        let holds = |plane: Plane, row: usize, rows: usize| {
            plane.stride.0 >= row
                && plane.stride.0.checked_mul(rows - 1).and_then(|all| all.checked_add(row))
                    <= Some(plane.bytes.len())
        };
        let whole = width_px > 0
            && height_px > 0
            && holds(planes[0], shares, height_px)
            && (format != PixelFormat::Nv12
                || height_px.is_multiple_of(2) && holds(planes[1], width_px, height_px / 2));
        whole.then_some(View { format, colour, width_px, height_px, planes })
    }

    /// Never [`PixelFormat::Mjpeg`].
    pub fn format(&self) -> PixelFormat {
        self.format
    }
    /// How the values are to be read as colours.
    pub fn colour(&self) -> Colour {
        self.colour
    }
    /// At least 1.
    pub fn width_px(&self) -> usize {
        self.width_px
    }
    /// At least 1.
    pub fn height_px(&self) -> usize {
        self.height_px
    }
    /// The second one counts for NV12 alone.
    pub fn planes(&self) -> &[Plane<'a>; 2] {
        &self.planes
    }
}

impl PixelFormat {
    /// Bytes of a row of the first plane; `None` for a width that the format cannot have, and for MJPEG.
    pub fn row_bytes(self, width_px: usize) -> Option<usize> {
        match self {
            PixelFormat::Yuyv | PixelFormat::Uyvy if width_px.is_multiple_of(2) => width_px.checked_mul(2),
            PixelFormat::Nv12 if width_px.is_multiple_of(2) => Some(width_px),
            PixelFormat::Rgb24 | PixelFormat::Bgr24 => width_px.checked_mul(3),
            _ => None,
        }
    }
}

/// A picture, 24-bit RGB, `[height, width, 3] u8`, rows `stride` bytes apart.
///
/// Invariants: `stride >= 3 × width`, `pixels.len() >= stride × height`, neither side is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which of its source's frames it is.
    pub number: FrameNumber,
    /// When it was taken.
    pub timestamp: Timestamp,
    width_px: usize,
    height_px: usize,
    stride: Stride,
    pixels: Vec<u8>,
}

impl Frame {
    /// A black frame with tightly packed rows. Sides of 0 become 1.
    pub fn black(width_px: usize, height_px: usize) -> Self {
        let (width_px, height_px) = (width_px.max(1), height_px.max(1));
        Frame {
            number: FrameNumber::default(),
            timestamp: Timestamp::default(),
            width_px,
            height_px,
            stride: Stride(3 * width_px),
            pixels: vec![0; 3 * width_px * height_px],
        }
    }

    /// Takes over tightly packed RGB pixels; `None` if their number does not fit the size or a side is 0.
    pub fn from_rgb(width_px: usize, height_px: usize, pixels: Vec<u8>) -> Option<Self> {
        let fits = width_px > 0 && height_px > 0 && pixels.len() == 3 * width_px * height_px;
        fits.then(|| Frame {
            number: FrameNumber::default(),
            timestamp: Timestamp::default(),
            width_px,
            height_px,
            stride: Stride(3 * width_px),
            pixels,
        })
    }

    /// Gives the frame another size, tightly packed, if it is another one; its pixels are then black.
    pub fn resize(&mut self, width_px: usize, height_px: usize) {
        if (self.width_px, self.height_px) != (width_px, height_px) || self.stride.0 != 3 * width_px {
            let (number, timestamp) = (self.number, self.timestamp);
            *self = Frame { number, timestamp, ..Frame::black(width_px, height_px) };
        }
    }

    /// At least 1.
    pub fn width_px(&self) -> usize {
        self.width_px
    }
    /// At least 1.
    pub fn height_px(&self) -> usize {
        self.height_px
    }
    /// At least `3 × width` bytes.
    pub fn stride(&self) -> Stride {
        self.stride
    }
    /// All rows, and whatever lies between them.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
    pub(crate) fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The same pixels as [`PixelFormat::Rgb24`] in [`Colour::RGB`].
    pub fn view(&self) -> View<'_> {
        let pixels = Plane { bytes: &self.pixels, stride: self.stride };
        View {
            format: PixelFormat::Rgb24,
            colour: Colour::RGB,
            width_px: self.width_px,
            height_px: self.height_px,
            planes: [pixels, Plane { bytes: &[], stride: Stride(0) }],
        }
    }

    /// The `3 × width` bytes of row `y`; empty if there is no such row.
    pub fn row(&self, y: usize) -> &[u8] {
        let start = y * self.stride.0;
        self.pixels.get(start..start + 3 * self.width_px).unwrap_or(&[])
    }
    pub(crate) fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let start = y * self.stride.0;
        self.pixels.get_mut(start..start + 3 * self.width_px).unwrap_or(&mut [])
    }

    /// Copies another frame into this one's memory, which is kept where the sizes agree.
    pub fn copy_from(&mut self, other: &Frame) {
        self.number = other.number;
        self.timestamp = other.timestamp;
        self.width_px = other.width_px;
        self.height_px = other.height_px;
        self.stride = other.stride;
        self.pixels.clone_from(&other.pixels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_four_character_code_is_shown_as_its_characters() {
        let shown = |name: &[u8; 4]| FourCc::new(name).to_string();
        assert_eq!([shown(b"YUYV"), shown(b"Y16 "), shown(b"C8\0\0")], ["YUYV", "Y16", "C8"]);
        assert_eq!(FourCc(FourCc::new(b"Y16 ").0 | 1 << 31).to_string(), "Y16-BE");
        assert_eq!(FourCc(0x0102_0341).to_string(), "A???");
    }
}
