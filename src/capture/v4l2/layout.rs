//! Where a picture's planes lie in a buffer.

use super::kernel::{Format, FourCc, MAX_MEMORIES};
use super::negotiate::pixel_format;
use crate::frame::{Colour, PixelFormat, Plane, Stride, View};

/// Longest side of a picture, in pixels.
pub const MAX_SIDE_PX: u32 = 8192;

/// A format as it was granted, checked: a buffer of the sizes it states holds its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub format: PixelFormat,
    pub colour: Colour,
    pub width: usize,
    pub height: usize,
    /// Of the first plane and the second.
    pub strides: [usize; 2],
    /// Pieces of memory a buffer is made of, 1 or 2.
    pub memories: usize,
}

impl Layout {
    /// Errors: what is impossible about the format, one line.
    pub fn new(granted: &Format, colour: Colour) -> Result<Layout, String> {
        let fourcc = granted.fourcc;
        let format =
            pixel_format(fourcc).ok_or_else(|| format!("the pixel format {fourcc} is not supported"))?;
        let (width, height) = (granted.width, granted.height);
        if !(1..=MAX_SIDE_PX).contains(&width) || !(1..=MAX_SIDE_PX).contains(&height) {
            return Err(format!("the frame size {width}×{height} is not supported"));
        }
        let memories = if fourcc == FourCc::new(b"NM12") { 2 } else { 1 };
        if granted.planes != memories as u32 {
            return Err(format!(
                "the driver gives {fourcc} in {} memory planes instead of {memories}",
                granted.planes
            ));
        }
        let size = |index: usize| granted.plane.get(index).map_or(0, |plane| plane.size as usize);
        let (width, height) = (width as usize, height as usize);
        let mut strides = granted.plane.map(|plane| plane.stride as usize);
        if format != PixelFormat::Mjpeg {
            let row = format
                .row_bytes(width)
                .filter(|_| format != PixelFormat::Nv12 || height.is_multiple_of(2))
                .ok_or_else(|| format!("{fourcc} cannot have {width}×{height} pixels"))?;
            if strides[0] == 0 {
                strides[0] = row;
            }
            if memories == 1 || strides[1] == 0 {
                strides[1] = strides[0];
            }
            if let Some(short) = strides.iter().find(|&&stride| stride < row) {
                return Err(format!(
                    "the driver's rows of {short} bytes are too short for {width} pixels of {fourcc}"
                ));
            }
        }
        let layout = Layout { format, colour, width, height, strides, memories };
        match (0..memories).find(|&index| size(index) < layout.least(index)) {
            Some(index) => Err(format!(
                "the driver's buffer of {} bytes is too small for {width}×{height} pixels of {fourcc}",
                size(index)
            )),
            None => Ok(layout),
        }
    }

    /// Bytes that a piece of memory has at least when it holds a picture.
    pub fn least(&self, memory: usize) -> usize {
        let rows = |stride: usize, rows: usize, row: usize| stride * rows.saturating_sub(1) + row;
        let Some(row) = self.format.row_bytes(self.width) else {
            // Start, end and nothing between.
            return 4;
        };
        match (self.format, self.memories, memory) {
            (PixelFormat::Nv12, 1, _) => {
                self.strides[0] * self.height + rows(self.strides[1], self.height / 2, row)
            }
            (PixelFormat::Nv12, _, 1) => rows(self.strides[1], self.height / 2, row),
            _ => rows(self.strides[0], self.height, row),
        }
    }

    /// The picture in a buffer's filled bytes; `None` if they are too few, and for MJPEG.
    pub fn view<'a>(&self, filled: [&'a [u8]; MAX_MEMORIES]) -> Option<View<'a>> {
        let [first, second] = filled;
        let (first, second) = match (self.format, self.memories) {
            (PixelFormat::Nv12, 1) => first.split_at_checked(self.strides[0].checked_mul(self.height)?)?,
            _ => (first, second),
        };
        let plane = |bytes: &'a [u8], stride: usize| Plane { bytes, stride: Stride(stride) };
        let planes = [plane(first, self.strides[0]), plane(second, self.strides[1])];
        View::new(self.format, self.colour, (self.width, self.height), planes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::v4l2::kernel::PlaneFormat;

    fn format(name: &[u8; 4], size: (u32, u32), planes: &[(u32, u32)]) -> Format {
        let mut plane = [PlaneFormat::default(); 2];
        for (to, &(stride, size)) in plane.iter_mut().zip(planes) {
            *to = PlaneFormat { stride, size };
        }
        let (width, height) = size;
        Format {
            width,
            height,
            fourcc: FourCc::new(name),
            planes: planes.len() as u32,
            plane,
            ..Format::default()
        }
    }

    fn layout(name: &[u8; 4], size: (u32, u32), planes: &[(u32, u32)]) -> Result<Layout, String> {
        Layout::new(&format(name, size, planes), Colour::RGB)
    }

    #[test]
    fn a_buffer_of_the_least_size_holds_the_picture_and_one_byte_less_does_not() {
        for (name, planes) in [
            (b"YUYV", &[(20, 120)][..]),
            (b"UYVY", &[(16, 96)]),
            (b"RGB3", &[(25, 150)]),
            (b"BGR3", &[(24, 144)]),
            (b"NV12", &[(9, 81)]),
            (b"NM12", &[(9, 54), (11, 33)]),
        ] {
            let layout = layout(name, (8, 6), planes).unwrap();
            let memory = [0; 200];
            let least = [layout.least(0), if layout.memories == 2 { layout.least(1) } else { 0 }];
            assert!(planes.iter().zip(least).all(|(plane, least)| plane.1 as usize >= least), "{name:?}");
            assert!(layout.view([&memory[..least[0]], &memory[..least[1]]]).is_some(), "{name:?}");
            assert!(layout.view([&memory[..least[0] - 1], &memory[..least[1]]]).is_none(), "{name:?}");
            if layout.memories == 2 {
                assert!(layout.view([&memory[..least[0]], &memory[..least[1] - 1]]).is_none());
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for (name, size, planes, words) in [
            (b"YUYV", (8, 6), &[(15, 96)][..], "rows of 15 bytes"),
            (b"YUYV", (7, 6), &[(16, 96)], "cannot have 7×6"),
            (b"NV12", (8, 5), &[(8, 96)], "cannot have 8×5"),
            (b"YUYV", (8, 6), &[(16, 95)], "buffer of 95 bytes is too small for 8×6"),
            (b"NM12", (8, 6), &[(8, 72)], "in 1 memory planes"),
            (b"NM12", (8, 6), &[(8, 48), (8, 23)], "23 bytes"),
            (b"YUYV", (8, 6), &[(16, 96), (16, 96)], "in 2 memory planes"),
            (b"GREY", (8, 6), &[(8, 48)], "GREY"),
            (b"YUYV", (0, 6), &[(8, 48)], "0×6 is not supported"),
            (b"YUYV", (u32::MAX - 1, u32::MAX), &[(u32::MAX, u32::MAX)], "the frame size"),
            (b"MJPG", (8, 6), &[(0, 0)], "0 bytes"),
        ] {
            let error = layout(name, size, planes).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(layout(b"YUYV", (8, 6), &[(0, 96)]).unwrap().strides[0], 16);
    }
}
