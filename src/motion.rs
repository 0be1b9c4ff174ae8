//! How far the picture has moved under an outline since the frame in which that was found.
//!
//! A result is a few frames old when it is drawn, and an endoscope moves fast. Both frames are looked at coarsely, as 80 × 60 dots of the
//! endoscope's picture. Around each region, the shift is looked for by which the older frame's dots resemble the newer one's most: the
//! one with the least variance of their difference, so that a change of brightness means nothing. Where that is not clear, nothing is
//! moved.
//!
//! A shift of each region by itself follows an endoscope that advances or turns better than one of the whole picture; what it gains is in
//! `docs/results/motion.md`.

use crate::detect::Bounds;
use crate::frame::{PixelFormat, View};
use crate::geometry::{Point, Rect};

/// Dots side by side and one above the other.
const WIDTH: usize = 80;
const HEIGHT: usize = 60;
/// The largest shift that is looked for, in dots: a tenth of the picture's width.
const REACH: isize = 8;
const SHIFTS: usize = 2 * REACH as usize + 1;
/// Only dots within the ellipse that touches the field of view's sides count, made smaller by this: the dark border does not move.
const INSIDE: f32 = 0.9;
/// Brighter than this is glare, which moves by rules of its own.
const BRIGHTEST: u8 = 160;
/// The window around a region is its box, but no smaller than this share of the picture. A polyp is nearer to the endoscope than the wall around
/// it, and moves faster: a larger window follows the wall.
const SMALLEST: f32 = 0.22;
/// Fewer dots than these say nothing.
const FEWEST: i64 = 60;
/// The best shift is clear if the deviation of the difference is no more than this share of what it is on average.
const CLEAR: f32 = 0.8;
/// Pixels side by side of which a dot is the mean: a camera's memory gives them in one go.
const ADJACENT: usize = 4;

/// A frame as a few dots of the endoscope's picture. Keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Thumbnail {
    field: Rect,
    /// `[HEIGHT, WIDTH]`; empty before the first frame.
    dots: Vec<u8>,
}

impl Thumbnail {
    /// Looks at a frame in which the endoscope's picture lies at `field`.
    pub fn take(&mut self, view: &View<'_>, field: Rect) {
        self.field = field;
        self.dots.clear();
        let [plane, _] = view.planes();
        let (last_x, last_y) = (view.width_px().saturating_sub(ADJACENT), view.height_px() - 1);
        let (first, step) = match view.format() {
            PixelFormat::Yuyv => (0, 2),
            PixelFormat::Nv12 | PixelFormat::Mjpeg => (0, 1),
            PixelFormat::Uyvy => (1, 2),
            // Green is the better part of brightness.
            PixelFormat::Rgb24 | PixelFormat::Bgr24 => (1, 3),
        };
        for row in 0..HEIGHT {
            let y = (field.y + (2 * row + 1) * field.height / (2 * HEIGHT)).min(last_y);
            let row = plane.bytes.get(y * plane.stride.0..).unwrap_or_default();
            for column in 0..WIDTH {
                let x = (field.x + (2 * column + 1) * field.width / (2 * WIDTH)).min(last_x);
                let pixels =
                    row.get(first + step * x..).unwrap_or_default().iter().step_by(step).take(ADJACENT);
                let sum: u32 = pixels.map(|&pixel| u32::from(pixel.min(BRIGHTEST))).sum();
                self.dots.push((sum / ADJACENT as u32) as u8);
            }
        }
    }

    /// Frame pixels from dot to dot.
    fn spacing(&self) -> (f32, f32) {
        (self.field.width as f32 / WIDTH as f32, self.field.height as f32 / HEIGHT as f32)
    }
}

/// By how much the picture in `area` of the older frame has moved until the newer one, in frame pixels; `None` where that is not clear.
pub fn moved(older: &Thumbnail, newer: &Thumbnail, area: &Bounds) -> Option<Point> {
    if older.field != newer.field || older.dots.len() != newer.dots.len() || older.dots.is_empty() {
        return None;
    }
    let window = Window::around(area, older);
    let mut deviations = [[f32::INFINITY; SHIFTS]; SHIFTS];
    let (mut sum, mut count) = (0.0, 0);
    for (row, down) in deviations.iter_mut().zip(-REACH..) {
        for (deviation, right) in row.iter_mut().zip(-REACH..) {
            if let Some(found) = window.deviation(older, newer, (right, down)) {
                *deviation = found;
                sum += found;
                count += 1;
            }
        }
    }
    let at = |row: usize, column: usize| {
        deviations.get(row).and_then(|row| row.get(column)).copied().unwrap_or(f32::INFINITY)
    };
    let all = (0..SHIFTS).flat_map(|row| (0..SHIFTS).map(move |column| (row, column)));
    let (row, column) = all.min_by(|a, b| at(a.0, a.1).total_cmp(&at(b.0, b.1)))?;
    let best = at(row, column);
    let is_inside = |index: usize| (1..SHIFTS - 1).contains(&index);
    let is_clear = best.is_finite() && best <= CLEAR * sum / count.max(1) as f32;
    if !is_clear || !is_inside(row) || !is_inside(column) {
        return None;
    }
    let (wide, high) = older.spacing();
    let whole = |index: usize| index as f32 - REACH as f32;
    Some(Point {
        x: wide * (whole(column) + peak(at(row, column - 1), best, at(row, column + 1))),
        y: high * (whole(row) + peak(at(row - 1, column), best, at(row + 1, column))),
    })
}

/// Where between three neighbours the parabola through them is lowest, from the middle one.
fn peak(before: f32, middle: f32, after: f32) -> f32 {
    let bend = before - 2.0 * middle + after;
    if bend.is_finite() && bend > 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

/// Dots around a region.
struct Window {
    columns: (isize, isize),
    rows: (isize, isize),
}

impl Window {
    fn around(area: &Bounds, thumbnail: &Thumbnail) -> Window {
        let (wide, high) = thumbnail.spacing();
        let span = |low: f32, high: f32, origin: usize, spacing: f32, dots: usize| {
            let spacing = spacing.max(f32::MIN_POSITIVE);
            let (low, high) = ((low - origin as f32) / spacing, (high - origin as f32) / spacing);
            let half = (0.5 * (high - low)).max(0.5 * SMALLEST * dots as f32);
            let middle = 0.5 * (low + high);
            // A number that is none becomes 0.
            ((middle - half).max(0.0) as isize, (middle + half).min(dots as f32) as isize)
        };
        Window {
            columns: span(area.left, area.right, thumbnail.field.x, wide, WIDTH),
            rows: span(area.top, area.bottom, thumbnail.field.y, high, HEIGHT),
        }
    }

    /// Of the difference between the older frame's dots and the newer one's, that many dots further right and down.
    fn deviation(&self, older: &Thumbnail, newer: &Thumbnail, (right, down): (isize, isize)) -> Option<f32> {
        let (mut count, mut sum, mut squares) = (0i64, 0i64, 0i64);
        for row in self.rows.0.max(-down)..self.rows.1.min(HEIGHT as isize - down) {
            let (here, there) = (inside(row), inside(row + down));
            let first = self.columns.0.max(here.0).max(there.0 - right);
            let last = self.columns.1.min(here.1).min(there.1 - right);
            if first >= last {
                continue;
            }
            let dots = |row: isize, first: isize, last: isize| {
                let start = row * WIDTH as isize;
                (start + first) as usize..(start + last) as usize
            };
            let older = older.dots.get(dots(row, first, last)).unwrap_or_default();
            let newer = newer.dots.get(dots(row + down, first + right, last + right)).unwrap_or_default();
            let (mut row_sum, mut row_squares) = (0i32, 0i32);
            for (&older, &newer) in older.iter().zip(newer) {
                let difference = i32::from(newer) - i32::from(older);
                row_sum += difference;
                row_squares += difference * difference;
            }
            count += older.len() as i64;
            sum += i64::from(row_sum);
            squares += i64::from(row_squares);
        }
        if count < FEWEST {
            return None;
        }
        // Whole numbers until here: the same on every machine.
        let variance = (count * squares - sum * sum) as f32 / (count * count) as f32;
        Some(variance.max(0.0).sqrt())
    }
}

/// The columns of a row that lie within the ellipse.
fn inside(row: isize) -> (isize, isize) {
    let (half_wide, half_high) = (0.5 * WIDTH as f32, 0.5 * HEIGHT as f32);
    let off = (row as f32 + 0.5 - half_high) / (INSIDE * half_high);
    let half = INSIDE * half_wide * (1.0 - off * off).max(0.0).sqrt();
    ((half_wide - half).ceil() as isize, (half_wide + half).floor() as isize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{Colour, Frame, Plane, Stride};

    const FIELD: Rect = Rect { x: 40, y: 20, width: 480, height: 400 };
    const AREA: Bounds = Bounds { left: 220.0, top: 180.0, right: 300.0, bottom: 250.0 };

    /// Smooth patches that move by `x`, `y` within a border that does not.
    fn mucosa(x: f32, y: f32, brightness: f32) -> Frame {
        let mut frame = Frame::black(560, 440);
        for row in FIELD.y..FIELD.y + FIELD.height {
            for column in FIELD.x..FIELD.x + FIELD.width {
                let (u, v) = ((column as f32 - x) / 23.0, (row as f32 - y) / 19.0);
                let patches =
                    (u + 0.4 * v).sin() + (0.6 * u - 1.1 * v).cos() + (0.31 * u * 0.7 + 0.5 * v).sin();
                let value = (brightness + 18.0 * patches).clamp(0.0, 255.0) as u8;
                frame.pixels_mut()[3 * (560 * row + column)..][..3].fill(value);
            }
        }
        frame
    }

    fn taken(frame: &Frame) -> Thumbnail {
        let mut thumbnail = Thumbnail::default();
        thumbnail.take(&frame.view(), FIELD);
        thumbnail
    }

    #[test]
    fn a_shift_is_found_whatever_the_light() {
        let older = taken(&mucosa(0.0, 0.0, 90.0));
        for (x, y) in [(0.0, 0.0), (12.0, -7.0), (-31.0, 20.0), (3.5, 2.0), (40.0, 40.0)] {
            for brightness in [90.0, 80.0, 100.0] {
                let found = moved(&older, &taken(&mucosa(x, y, brightness)), &AREA).unwrap();
                let off = (found.x - x).hypot(found.y - y);
                assert!(off < 1.5, "{x}, {y} at {brightness}: found {found:?}");
            }
        }
    }

    #[test]
    fn what_is_not_clear_is_not_moved() {
        let older = taken(&mucosa(0.0, 0.0, 90.0));
        let far = taken(&mucosa(170.0, 140.0, 90.0));
        // Black, one colour, noise, out of reach, nowhere, another field of view, no frame at all.
        assert_eq!(moved(&taken(&Frame::black(560, 440)), &older, &AREA), None);
        let mut plain = Frame::black(560, 440);
        plain.pixels_mut().fill(90);
        assert_eq!(moved(&taken(&plain), &taken(&plain), &AREA), None);
        let noise = |seed: u32| {
            let mut state = seed;
            let mut frame = Frame::black(560, 440);
            for pixel in frame.pixels_mut() {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                *pixel = (state >> 24) as u8;
            }
            taken(&frame)
        };
        assert_eq!(moved(&noise(1), &noise(2), &AREA), None);
        let _ = moved(&older, &far, &AREA);
        for odd in [f32::NAN, f32::INFINITY, -1e9, 1e9] {
            let bounds = Bounds { left: odd, top: odd, right: odd, bottom: odd };
            assert_eq!(moved(&older, &far, &bounds), None, "{odd}");
        }
        let mut elsewhere = Thumbnail::default();
        elsewhere.take(&mucosa(0.0, 0.0, 90.0).view(), Rect { x: 41, ..FIELD });
        assert_eq!(moved(&older, &elsewhere, &AREA), None);
        assert_eq!(moved(&Thumbnail::default(), &Thumbnail::default(), &AREA), None);
    }

    #[test]
    fn each_format_gives_the_same_dots() {
        let (width, height) = (64, 48);
        let luma: Vec<u8> = (0..width * height).map(|index| (index * 7 % 150) as u8).collect();
        let field = Rect::whole(width, height);
        let chroma = vec![128; width * height / 2];
        let dots = |format: PixelFormat, bytes: &[u8]| {
            let stride = Stride(format.row_bytes(width).unwrap());
            let planes = [Plane { bytes, stride }, Plane { bytes: &chroma, stride: Stride(width) }];
            let mut thumbnail = Thumbnail::default();
            thumbnail.take(&View::new(format, Colour::RGB, (width, height), planes).unwrap(), field);
            thumbnail.dots
        };
        let spread = |before: &[u8], after: &[u8]| -> Vec<u8> {
            luma.iter().flat_map(|luma| [before, &[*luma], after].concat()).collect()
        };
        let expected = dots(PixelFormat::Nv12, &luma);
        assert_eq!(expected.len(), WIDTH * HEIGHT);
        assert_eq!(dots(PixelFormat::Yuyv, &spread(&[], &[128])), expected);
        assert_eq!(dots(PixelFormat::Uyvy, &spread(&[128], &[])), expected);
        assert_eq!(dots(PixelFormat::Rgb24, &spread(&[9], &[9])), expected);
        assert_eq!(dots(PixelFormat::Bgr24, &spread(&[9], &[9])), expected);
    }

    proptest! {
        #[test]
        fn any_picture_and_any_place_do_no_harm(
            (width, height) in (1usize..40, 1usize..40),
            (x, y) in (0usize..50, 0usize..50),
            (wide, high) in (0usize..60, 0usize..60),
            corners: [f32; 4],
            seed: u32,
        ) {
            let mut frame = Frame::black(width, height);
            for (index, pixel) in frame.pixels_mut().iter_mut().enumerate() {
                *pixel = (seed.wrapping_mul(index as u32 + 1) >> 20) as u8;
            }
            let (mut one, mut other) = (Thumbnail::default(), Thumbnail::default());
            let field = Rect { x, y, width: wide, height: high };
            one.take(&frame.view(), field);
            other.take(&Frame::black(width, height).view(), field);
            let [left, top, right, bottom] = corners;
            let bounds = Bounds { left, top, right, bottom };
            if let Some(found) = moved(&one, &other, &bounds) {
                prop_assert!(found.x.abs() <= wide as f32 && found.y.abs() <= high as f32);
            }
        }
    }
}
