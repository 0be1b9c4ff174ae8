//! A camera's pixels → RGB, as the camera says they are to be read.
//!
//! The arithmetic is the crate yuv's, chroma as it lies (no interpolation): each row's result depends on its own pixels
//! alone, so that a picture converted in strips has the bytes of one converted whole.

use std::ops::Range;

use anyhow::{Result, bail, ensure};
use yuv::{YuvBiPlanarImage, YuvConversionMode, YuvPackedImage, YuvRange, YuvStandardMatrix};

use crate::frame::{Colour, Frame, Matrix, PixelFormat, Plane, View};
use crate::frame::{Range as Levels, Stride};

/// Which bytes come out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// R G B
    Rgb,
    /// B G R 255
    Bgrx,
}

impl Order {
    fn bytes(self) -> usize {
        match self {
            Order::Rgb => 3,
            Order::Bgrx => 4,
        }
    }
}

/// Converts a whole picture into `frame`, whose memory is kept where the size agrees. Number and time stay.
pub fn to_rgb(view: &View<'_>, frame: &mut Frame) -> Result<()> {
    let (width, height) = (view.width_px(), view.height_px());
    frame.resize(width, height);
    let stride = frame.stride().0;
    convert(view, 0..height, frame.pixels_mut(), stride, Order::Rgb)
}

/// Converts rows into `[rows, width] × B G R X`, rows `stride` bytes apart: KMS's `XRGB8888`. An error if `rows` are not
/// in the picture, `out` is too small, or, with NV12, the range does not begin and end at an even row.
pub fn to_bgrx(view: &View<'_>, rows: Range<usize>, out: &mut [u8], stride: usize) -> Result<()> {
    convert(view, rows, out, stride, Order::Bgrx)
}

fn convert(view: &View<'_>, rows: Range<usize>, out: &mut [u8], stride: usize, order: Order) -> Result<()> {
    let width = view.width_px();
    ensure!(
        rows.start < rows.end && rows.end <= view.height_px(),
        "rows {rows:?} of a frame of {} rows",
        view.height_px()
    );
    ensure!(
        stride >= order.bytes() * width
            && out.len() >= stride * (rows.end - rows.start - 1) + order.bytes() * width,
        "{} bytes are too few for the rows {rows:?} of {width} pixels, {stride} bytes apart",
        out.len()
    );
    if view.format() == PixelFormat::Nv12 {
        ensure!(
            rows.start.is_multiple_of(2) && rows.end.is_multiple_of(2),
            "rows {rows:?} of NV12 are not whole pairs"
        );
        return two_planes(view, rows, out, stride, order);
    }
    // The last row of memory may end with its last pixel, which the crate does not allow for: it goes by itself.
    let row_bytes = view.format().row_bytes(width).unwrap_or(0);
    let [plane, _] = *view.planes();
    let last = rows.end - 1;
    if rows.start < last {
        let part = from_row(plane, rows.start);
        packed(view, part, last - rows.start, out, stride, order)?;
    }
    let part = Plane { stride: Stride(row_bytes), ..from_row(plane, last) };
    let skipped = stride * (last - rows.start);
    packed(view, part, 1, out.get_mut(skipped..).unwrap_or(&mut []), order.bytes() * width, order)
}

fn from_row(plane: Plane<'_>, row: usize) -> Plane<'_> {
    Plane { bytes: plane.bytes.get(row * plane.stride.0..).unwrap_or(&[]), stride: plane.stride }
}

/// How the crate yuv names a colour.
pub fn standard(colour: Colour) -> (YuvRange, YuvStandardMatrix) {
    let range = match colour.range {
        Levels::Full => YuvRange::Full,
        Levels::Limited => YuvRange::Limited,
    };
    let matrix = match colour.matrix {
        Matrix::Bt601 => YuvStandardMatrix::Bt601,
        Matrix::Bt709 => YuvStandardMatrix::Bt709,
        Matrix::Bt2020 => YuvStandardMatrix::Bt2020,
    };
    (range, matrix)
}

/// `rows` rows of a packed format, from the first of `plane` on.
fn packed(
    view: &View<'_>,
    plane: Plane<'_>,
    rows: usize,
    out: &mut [u8],
    stride: usize,
    order: Order,
) -> Result<()> {
    let (width, height) = (view.width_px() as u32, rows as u32);
    let row_bytes = order.bytes() * view.width_px();
    if rows > 1 && out.len() < stride * rows {
        // The same for what is written: the crate wants whole rows.
        let last = rows - 1;
        let skipped = stride * last;
        packed(view, plane, last, out.get_mut(..skipped).unwrap_or(&mut []), stride, order)?;
        let rest = out.get_mut(skipped..).unwrap_or(&mut []);
        return packed(view, from_row(plane, last), 1, rest, row_bytes, order);
    }
    let stride = if rows == 1 { row_bytes } else { stride };
    let (from, to) = (plane.stride.0 as u32, stride as u32);
    let out = out.get_mut(..stride * rows).unwrap_or(&mut []);
    let bytes = plane.bytes.get(..plane.stride.0 * rows).unwrap_or(plane.bytes);
    let (range, matrix) = standard(view.colour());
    let image = YuvPackedImage { yuy: bytes, yuy_stride: from, width, height };
    match (view.format(), order) {
        (PixelFormat::Yuyv, Order::Rgb) => yuv::yuyv422_to_rgb(&image, out, to, range, matrix)?,
        (PixelFormat::Yuyv, Order::Bgrx) => yuv::yuyv422_to_bgra(&image, out, to, range, matrix)?,
        (PixelFormat::Uyvy, Order::Rgb) => yuv::uyvy422_to_rgb(&image, out, to, range, matrix)?,
        (PixelFormat::Uyvy, Order::Bgrx) => yuv::uyvy422_to_bgra(&image, out, to, range, matrix)?,
        (PixelFormat::Rgb24, Order::Rgb) => copy_rows(bytes, plane.stride.0, out, stride, 3 * width as usize),
        (PixelFormat::Rgb24, Order::Bgrx) => {
            to_words((bytes, plane.stride.0), (out, stride), view.width_px(), rgb_word)
        }
        (PixelFormat::Bgr24, Order::Rgb) => yuv::bgr_to_rgb(bytes, from, out, to, width, height)?,
        (PixelFormat::Bgr24, Order::Bgrx) => {
            to_words((bytes, plane.stride.0), (out, stride), view.width_px(), bgr_word)
        }
        (PixelFormat::Nv12 | PixelFormat::Mjpeg, _) => bail!("{:?} is not a packed format", view.format()),
    }
    let is_rgb = matches!(view.format(), PixelFormat::Rgb24 | PixelFormat::Bgr24);
    if is_rgb && view.colour().range == Levels::Limited {
        for row in out.chunks_mut(stride) {
            let row = row.get_mut(..order.bytes() * view.width_px()).unwrap_or(&mut []);
            row.iter_mut().for_each(|byte| *byte = expanded(*byte));
        }
    }
    Ok(())
}

fn copy_rows(from: &[u8], from_stride: usize, to: &mut [u8], to_stride: usize, row_bytes: usize) {
    for (from, to) in from.chunks(from_stride).zip(to.chunks_mut(to_stride)) {
        if let (Some(from), Some(to)) = (from.get(..row_bytes), to.get_mut(..row_bytes)) {
            to.copy_from_slice(from);
        }
    }
}

/// Bytes R G B of a word, whatever the fourth, as bytes B G R 255.
fn rgb_word(pixel: u32) -> u32 {
    pixel.swap_bytes() >> 8 | 0xff00_0000
}

fn bgr_word(pixel: u32) -> u32 {
    pixel | 0xff00_0000
}

/// Rows of `width` pixels of three bytes to pixels of four, four at a time: byte by byte, as the crate yuv has it, takes
/// several times as long.
fn to_words(
    (from, from_stride): (&[u8], usize),
    (to, to_stride): (&mut [u8], usize),
    width: usize,
    word: impl Fn(u32) -> u32 + Copy,
) {
    for (from, to) in from.chunks(from_stride).zip(to.chunks_mut(to_stride)) {
        let (Some(from), Some(to)) = (from.get(..3 * width), to.get_mut(..4 * width)) else { return };
        let (threes, from) = from.as_chunks::<12>();
        let (fours, to) = to.as_chunks_mut::<16>();
        for (three, four) in threes.iter().zip(fours) {
            // Words that overlap: each begins with its pixel, the last one ends with it.
            let at = |at: usize| u32::from_le_bytes([three[at], three[at + 1], three[at + 2], three[at + 3]]);
            let words = [word(at(0)), word(at(3)), word(at(6)), word(at(8) >> 8)];
            for (four, word) in four.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                *four = word.to_le_bytes();
            }
        }
        for (three, four) in from.as_chunks::<3>().0.iter().zip(to.as_chunks_mut::<4>().0) {
            let &[a, b, c] = three;
            *four = word(u32::from_le_bytes([a, b, c, 0])).to_le_bytes();
        }
    }
}

fn two_planes(
    view: &View<'_>,
    rows: Range<usize>,
    out: &mut [u8],
    stride: usize,
    order: Order,
) -> Result<()> {
    let [luma, chroma] = *view.planes();
    let (width, count) = (view.width_px(), rows.end - rows.start);
    // As above: a pair of rows by itself where memory ends with its last pixel.
    let whole = |plane: Plane<'_>, rows: usize| plane.bytes.len() >= plane.stride.0 * rows;
    let (luma, chroma) = (from_row(luma, rows.start), from_row(chroma, rows.start / 2));
    if count > 2 && !(whole(luma, count) && whole(chroma, count / 2) && out.len() >= stride * count) {
        let last = rows.end - 2;
        two_planes(view, rows.start..last, out, stride, order)?;
        let skipped = stride * (last - rows.start);
        return two_planes(view, last..rows.end, out.get_mut(skipped..).unwrap_or(&mut []), stride, order);
    }
    if count == 2 && !(whole(luma, 2) && whole(chroma, 1) && out.len() >= 2 * stride) {
        // A pair whose memory ends short: copied to where there is room. Once a picture at most.
        let mut pair = vec![0; 3 * width];
        let (above, below) = pair.split_at_mut(2 * width);
        copy_rows(luma.bytes, luma.stride.0, above, width, width);
        copy_rows(chroma.bytes, chroma.stride.0, below, width, width);
        let mut made = vec![0; 2 * order.bytes() * width];
        let image = YuvBiPlanarImage {
            y_plane: above,
            y_stride: width as u32,
            uv_plane: below,
            uv_stride: width as u32,
            width: width as u32,
            height: 2,
        };
        nv12(view, &image, &mut made, order.bytes() * width, order)?;
        copy_rows(&made, order.bytes() * width, out, stride, order.bytes() * width);
        return Ok(());
    }
    let image = YuvBiPlanarImage {
        y_plane: luma.bytes.get(..luma.stride.0 * count).unwrap_or(luma.bytes),
        y_stride: luma.stride.0 as u32,
        uv_plane: chroma.bytes.get(..chroma.stride.0 * count / 2).unwrap_or(chroma.bytes),
        uv_stride: chroma.stride.0 as u32,
        width: width as u32,
        height: count as u32,
    };
    let out = out.get_mut(..stride * count).unwrap_or(&mut []);
    nv12(view, &image, out, stride, order)
}

fn nv12(
    view: &View<'_>,
    image: &YuvBiPlanarImage<'_, u8>,
    out: &mut [u8],
    stride: usize,
    order: Order,
) -> Result<()> {
    let (range, matrix) = standard(view.colour());
    let mode = YuvConversionMode::Balanced;
    match order {
        Order::Rgb => yuv::yuv_nv12_to_rgb(image, out, stride as u32, range, matrix, mode)?,
        Order::Bgrx => yuv::yuv_nv12_to_bgra(image, out, stride as u32, range, matrix, mode)?,
    }
    Ok(())
}

/// 16..=235 → 0..=255, rounded to nearest; what lies beyond is cut. Without a table, so that it is done for many bytes at
/// once; 255, the fourth byte, stays.
fn expanded(value: u8) -> u8 {
    // 2^16 × 255 / 219.
    let wide = (u32::from(value.saturating_sub(16)) * 76_309 + (1 << 15)) >> 16;
    wide.min(255) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMATS: [PixelFormat; 5] =
        [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Rgb24, PixelFormat::Bgr24];
    const NONE: Plane<'static> = Plane { bytes: &[], stride: Stride(0) };

    fn view(
        format: PixelFormat,
        colour: Colour,
        size: (usize, usize),
        stride: usize,
        bytes: &[u8],
    ) -> View<'_> {
        let (first, second) = match format {
            PixelFormat::Nv12 => bytes.split_at(stride * size.1),
            _ => (bytes, &bytes[..0]),
        };
        let planes =
            [Plane { bytes: first, stride: Stride(stride) }, Plane { bytes: second, stride: Stride(stride) }];
        View::new(format, colour, size, planes).unwrap()
    }

    /// R, G, B as the standards define them (ITU-R BT.601, BT.709, BT.2020), in double precision.
    fn reference(view: &View<'_>, x: usize, y: usize) -> [f64; 3] {
        let [first, second] = *view.planes();
        let at =
            |plane: Plane<'_>, row: usize, byte: usize| f64::from(plane.bytes[row * plane.stride.0 + byte]);
        let pair = 4 * (x / 2);
        let (luma, blue, red) = match view.format() {
            PixelFormat::Yuyv => (at(first, y, 2 * x), at(first, y, pair + 1), at(first, y, pair + 3)),
            PixelFormat::Uyvy => (at(first, y, 2 * x + 1), at(first, y, pair), at(first, y, pair + 2)),
            PixelFormat::Nv12 => {
                (at(first, y, x), at(second, y / 2, x / 2 * 2), at(second, y / 2, x / 2 * 2 + 1))
            }
            format => {
                let mut rgb = [0, 1, 2].map(|byte| at(first, y, 3 * x + byte));
                if format == PixelFormat::Bgr24 {
                    rgb.reverse();
                }
                if view.colour().range == Levels::Limited {
                    rgb = rgb.map(|value| (value - 16.0) * 255.0 / 219.0);
                }
                return rgb.map(|value| value.clamp(0.0, 255.0));
            }
        };
        let (kr, kb) = match view.colour().matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        };
        let (luma, chroma) = match view.colour().range {
            Levels::Full => (luma, 1.0),
            Levels::Limited => ((luma - 16.0) * 255.0 / 219.0, 255.0 / 224.0),
        };
        let (blue, red) = ((blue - 128.0) * chroma, (red - 128.0) * chroma);
        let (r, b) = (luma + 2.0 * (1.0 - kr) * red, luma + 2.0 * (1.0 - kb) * blue);
        let g = (luma - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|value| value.clamp(0.0, 255.0))
    }

    fn noise(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2654435761).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 24) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn colours_are_the_standards_and_strips_make_the_whole(
            format in 0usize..5, matrix in 0usize..3, full: bool,
            width in 1usize..40, height in 1usize..20, extra in 0usize..9, cut in 0usize..20, seed: u32,
        ) {
            let format = FORMATS[format];
            let matrix = [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020][matrix];
            let range = if full { Levels::Full } else { Levels::Limited };
            let (width, height) = (2 * width, 2 * height);
            let row = format.row_bytes(width).unwrap();
            let stride = row + extra;
            let rows = if format == PixelFormat::Nv12 { height * 3 / 2 } else { height };
            // The last row may end with its last pixel.
            let mut bytes = noise(stride * (rows - 1) + row, seed);
            // Beyond studio range the crate cuts before it adds the chroma, or not, as its paths have it.
            if range == Levels::Limited {
                bytes.iter_mut().for_each(|byte| *byte = (*byte).clamp(16, 235));
            }
            let view = view(format, Colour { matrix, range }, (width, height), stride, &bytes);

            let mut frame = Frame::black(1, 1);
            to_rgb(&view, &mut frame).unwrap();
            let mut whole = vec![0; 4 * width * height];
            to_bgrx(&view, 0..height, &mut whole, 4 * width).unwrap();
            for y in 0..height {
                for x in 0..width {
                    let expected = reference(&view, x, y);
                    let rgb = &frame.row(y)[3 * x..3 * x + 3];
                    let bgrx = &whole[4 * (y * width + x)..][..4];
                    prop_assert_eq!([rgb[2], rgb[1], rgb[0], 255], bgrx);
                    for (value, expected) in rgb.iter().zip(expected) {
                        let off = (f64::from(*value) - expected).abs();
                        prop_assert!(off <= 3.0, "{format:?} at {x}, {y}: {rgb:?}, not {expected}");
                    }
                }
            }

            // In two strips, into a wider surface that ends with its last pixel.
            let cut = (2 * (cut % (height / 2))).clamp(0, height);
            let wide = 4 * width + 4 * extra;
            let mut strips = vec![7; wide * (height - 1) + 4 * width];
            if cut > 0 {
                to_bgrx(&view, 0..cut, &mut strips, wide).unwrap();
            }
            to_bgrx(&view, cut..height, &mut strips[cut * wide..], wide).unwrap();
            for y in 0..height {
                prop_assert_eq!(&strips[y * wide..][..4 * width], &whole[4 * y * width..][..4 * width]);
                if y + 1 < height {
                    prop_assert!(strips[y * wide + 4 * width..(y + 1) * wide].iter().all(|&byte| byte == 7));
                }
            }
        }
    }

    #[test]
    fn studio_range_is_expanded_to_the_nearest_value() {
        for value in 0..=255u8 {
            let exact = ((f64::from(value) - 16.0) * 255.0 / 219.0).round().clamp(0.0, 255.0);
            assert_eq!(f64::from(expanded(value)), exact, "{value}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let bytes = [0; 64];
        let view = view(PixelFormat::Nv12, Colour::RGB, (4, 4), 4, &bytes[..24]);
        let mut out = [0; 64];
        assert!(to_bgrx(&view, 0..6, &mut out, 16).is_err());
        assert!(to_bgrx(&view, 1..4, &mut out, 16).is_err());
        assert!(to_bgrx(&view, 0..4, &mut out[..63], 16).is_err());
        assert!(to_bgrx(&view, 0..4, &mut out, 15).is_err());
        assert!(
            View::new(
                PixelFormat::Yuyv,
                Colour::RGB,
                (3, 4),
                [Plane { bytes: &bytes, stride: Stride(8) }, NONE]
            )
            .is_none()
        );
        assert!(
            View::new(
                PixelFormat::Rgb24,
                Colour::RGB,
                (4, 6),
                [Plane { bytes: &bytes, stride: Stride(12) }, NONE]
            )
            .is_none()
        );
    }
}
