//! What flows from the camera to the monitor.

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

/// A picture, 24-bit RGB, `[height, width, 3] u8`, rows `stride` bytes apart.
///
/// Invariants: `stride >= 3 × width`, `pixels.len() >= stride × height`, neither side is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub number: FrameNumber,
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

    pub fn width_px(&self) -> usize {
        self.width_px
    }
    pub fn height_px(&self) -> usize {
        self.height_px
    }
    pub fn stride(&self) -> Stride {
        self.stride
    }
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The `3 × width` bytes of row `y`; empty if there is no such row.
    pub fn row(&self, y: usize) -> &[u8] {
        let start = y * self.stride.0;
        self.pixels.get(start..start + 3 * self.width_px).unwrap_or(&[])
    }
    pub fn row_mut(&mut self, y: usize) -> &mut [u8] {
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

/// A rectangle in pixels: `x..x + width`, `y..y + height`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}
