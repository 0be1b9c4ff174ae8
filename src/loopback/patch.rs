//! A number as black and white cells in the upper left corner of what is shown.

use crate::frame::{PixelFormat, Range, View};
use crate::overlay::Layer;

/// Cells in a row, and rows.
const COLUMNS: usize = 8;
const ROWS: usize = 4;
/// A cell's side: so many of them are as high as what is shown.
const CELLS_HIGH: usize = 40;
/// The first row: it tells the pattern from a picture, and black from white.
const SYNC: u8 = 0b1011_0010;
/// Black and white differ by at least this in luma, of 255.
const CONTRAST: u32 = 60;
/// Dots that are looked at in each direction of a cell's inner half.
const DOTS: usize = 4;

/// The pattern's rows as bits, the first cell the highest.
fn rows(number: u16) -> [u8; ROWS] {
    let [high, low] = number.to_be_bytes();
    [SYNC, high, low, check(high, low)]
}

fn check(high: u8, low: u8) -> u8 {
    high.rotate_left(3) ^ low.rotate_left(5) ^ 0x5A
}

/// The pattern's lower edge, as a share of the height of what is shown: it is there when so much of the picture has been sent.
pub fn lower_edge() -> f64 {
    (ROWS + 1) as f64 / CELLS_HIGH as f64
}

/// Draws a number; one cell of black goes around it.
pub fn draw(layer: &mut Layer, number: u16) {
    let side = (layer.height_px() as f64 / CELLS_HIGH as f64).max(2.0);
    let rows = rows(number);
    let pixels = |cells: usize| (cells as f64 * side).ceil() as usize;
    let cell = |pixel: usize| (((pixel as f64 + 0.5) / side) as usize).checked_sub(1);
    for y in 0..pixels(ROWS + 2) {
        for x in 0..pixels(COLUMNS + 2) {
            let cell = cell(x).zip(cell(y));
            let is_white = cell.is_some_and(|(column, row)| {
                column < COLUMNS && rows.get(row).is_some_and(|bits| bits & (0x80 >> column) != 0)
            });
            layer.blend(x, y, if is_white { [255; 3] } else { [0; 3] }, 1.0);
        }
    }
}

/// Reads the number from a picture that shows all of what was drawn on, in whatever size of the same shape; `None` if it is not there.
pub fn read(view: &View<'_>) -> Option<u16> {
    let (width, height) = (view.width_px(), view.height_px());
    // Cells are squares, of what was drawn on as of what came back.
    let side = height as f64 / CELLS_HIGH as f64;
    let mut levels = [[0u32; COLUMNS]; ROWS];
    for (row, levels) in levels.iter_mut().enumerate() {
        for (column, level) in levels.iter_mut().enumerate() {
            let mut sum = 0;
            for dot in 0..DOTS * DOTS {
                let inner = |dot: usize| 0.25 + 0.5 * (dot as f64 + 0.5) / DOTS as f64;
                let x = ((column + 1) as f64 + inner(dot % DOTS)) * side;
                let y = ((row + 1) as f64 + inner(dot / DOTS)) * side;
                sum += u32::from(luma(view, (x as usize).min(width - 1), (y as usize).min(height - 1)));
            }
            *level = sum / (DOTS * DOTS) as u32;
        }
    }
    let [sync, ..] = levels;
    let of = |is_white: bool| {
        sync.iter().enumerate().filter(move |(column, _)| (SYNC & (0x80 >> column) != 0) == is_white)
    };
    let (darkest_white, brightest_black) =
        (of(true).map(|(_, level)| *level).min()?, of(false).map(|(_, level)| *level).max()?);
    if darkest_white < brightest_black + CONTRAST {
        return None;
    }
    let middle = (darkest_white + brightest_black) / 2;
    let mut bits = levels
        .iter()
        .map(|levels| levels.iter().fold(0u8, |bits, level| bits << 1 | u8::from(*level > middle)));
    let (_, high, low, told) = (bits.next()?, bits.next()?, bits.next()?, bits.next()?);
    (told == check(high, low)).then(|| u16::from_be_bytes([high, low]))
}

/// The brightness of a pixel, 0..=255, near enough to tell black from white.
fn luma(view: &View<'_>, x: usize, y: usize) -> u8 {
    let [plane, _] = view.planes();
    let row = plane.stride.0 * y;
    let at = |offset: usize| plane.bytes.get(row + offset).copied().unwrap_or(0);
    let value = match view.format() {
        PixelFormat::Yuyv => at(2 * x),
        PixelFormat::Uyvy => at(2 * x + 1),
        PixelFormat::Nv12 | PixelFormat::Mjpeg => at(x),
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => at(3 * x + 1),
    };
    match view.colour().range {
        Range::Full => value,
        Range::Limited => (u32::from(value.saturating_sub(16)) * 255 / 219).min(255) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::lay_over;
    use crate::frame::Frame;

    fn drawn(number: u16, (width, height): (usize, usize)) -> Frame {
        let mut layer = Layer::new(width, height);
        draw(&mut layer, number);
        let mut frame = Frame::black(width, height);
        for (index, byte) in frame.pixels_mut().iter_mut().enumerate() {
            *byte = (index % 251) as u8;
        }
        lay_over(&layer, &mut frame);
        frame
    }

    #[test]
    fn a_number_is_read_as_it_was_drawn_whatever_the_size() {
        for size in [(640, 480), (1280, 720), (1920, 1080), (720, 576), (160, 120)] {
            for number in [0, 1, 2, 0x1234, 0x8000, 0xFFFF] {
                let frame = drawn(number, size);
                assert_eq!(read(&frame.view()), Some(number), "{size:?}");
            }
        }
    }

    /// As a grabber gives it that scales.
    #[test]
    fn a_number_is_read_from_a_picture_of_another_size() {
        let large = drawn(0xABCD, (1920, 1080));
        let large = image::RgbImage::from_raw(1920, 1080, large.pixels().to_vec()).unwrap();
        for (width, height) in [(1280, 720), (960, 540), (640, 360)] {
            let small = image::imageops::resize(&large, width, height, image::imageops::FilterType::Triangle);
            let frame = Frame::from_rgb(width as usize, height as usize, small.into_raw()).unwrap();
            assert_eq!(read(&frame.view()), Some(0xABCD), "{width}×{height}");
        }
    }

    #[test]
    fn nothing_is_read_where_nothing_was_drawn_or_it_is_damaged() {
        let mut frame = Frame::black(640, 480);
        assert_eq!(read(&frame.view()), None);
        frame.pixels_mut().fill(200);
        assert_eq!(read(&frame.view()), None);
        let mut frame = drawn(0x1234, (640, 480));
        for y in 24..36 {
            frame.row_mut(y)[3 * 36..3 * 48].fill(128);
        }
        let _ = read(&frame.view());
        // A cell that says the opposite.
        let mut frame = drawn(0x1234, (640, 480));
        for y in 48..60 {
            frame.row_mut(y)[3 * 12..3 * 24].fill(255);
        }
        assert_eq!(read(&frame.view()), None);
    }
}
