//! A camera's pixels → RGB, as the camera says they are to be read.
//!
//! The arithmetic is the crate yuv's, chroma as it lies (no interpolation): each row's result depends on its own pixels
//! alone, so that a picture converted in strips has the bytes of one converted whole.

use std::ops::Range;

use anyhow::{Result, bail, ensure};
use yuv::{YuvBiPlanarImage, YuvConversionMode, YuvPackedImage, YuvRange, YuvStandardMatrix};

use crate::frame::{Frame, Matrix, PixelFormat, Plane, View};
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
        "rows {rows:?} of a picture of {}",
        view.height_px()
    );
    ensure!(
        stride >= order.bytes() * width
            && out.len() >= stride * (rows.end - rows.start - 1) + order.bytes() * width,
        "{} bytes do not take {rows:?} of {width} pixels, {stride} bytes apart",
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

fn matrix(view: &View<'_>) -> (YuvRange, YuvStandardMatrix) {
    let range = match view.colour().range {
        Levels::Full => YuvRange::Full,
        Levels::Limited => YuvRange::Limited,
    };
    let matrix = match view.colour().matrix {
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
    let (range, matrix) = matrix(view);
    let image = YuvPackedImage { yuy: bytes, yuy_stride: from, width, height };
    match (view.format(), order) {
        (PixelFormat::Yuyv, Order::Rgb) => yuv::yuyv422_to_rgb(&image, out, to, range, matrix)?,
        (PixelFormat::Yuyv, Order::Bgrx) => yuv::yuyv422_to_bgra(&image, out, to, range, matrix)?,
        (PixelFormat::Uyvy, Order::Rgb) => yuv::uyvy422_to_rgb(&image, out, to, range, matrix)?,
        (PixelFormat::Uyvy, Order::Bgrx) => yuv::uyvy422_to_bgra(&image, out, to, range, matrix)?,
        (PixelFormat::Rgb24, Order::Rgb) => copy_rows(bytes, plane.stride.0, out, stride, 3 * width as usize),
        (PixelFormat::Rgb24, Order::Bgrx) => yuv::rgb_to_bgra(bytes, from, out, to, width, height)?,
        (PixelFormat::Bgr24, Order::Rgb) => yuv::bgr_to_rgb(bytes, from, out, to, width, height)?,
        (PixelFormat::Bgr24, Order::Bgrx) => yuv::bgr_to_bgra(bytes, from, out, to, width, height)?,
        (PixelFormat::Nv12 | PixelFormat::Mjpeg, _) => bail!("{:?} is not packed", view.format()),
    }
    let is_rgb = matches!(view.format(), PixelFormat::Rgb24 | PixelFormat::Bgr24);
    if is_rgb && view.colour().range == Levels::Limited {
        for row in out.chunks_mut(stride) {
            let row = row.get_mut(..order.bytes() * view.width_px()).unwrap_or(&mut []);
            for pixel in row.chunks_exact_mut(order.bytes()) {
                for byte in pixel.iter_mut().take(3) {
                    *byte = EXPANDED[usize::from(*byte)];
                }
            }
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
    let (range, matrix) = matrix(view);
    let mode = YuvConversionMode::Balanced;
    match order {
        Order::Rgb => yuv::yuv_nv12_to_rgb(image, out, stride as u32, range, matrix, mode)?,
        Order::Bgrx => yuv::yuv_nv12_to_bgra(image, out, stride as u32, range, matrix, mode)?,
    }
    Ok(())
}

/// 16..=235 → 0..=255, rounded to nearest; what lies beyond is cut.
const EXPANDED: [u8; 256] = {
    let mut table = [0; 256];
    let mut value = 0;
    while value < 256 {
        let above = usize::saturating_sub(value, 16);
        let wide = (above * 255 + 109) / 219;
        table[value] = if wide > 255 { 255 } else { wide as u8 };
        value += 1;
    }
    table
};
