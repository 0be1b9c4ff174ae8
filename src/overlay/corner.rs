//! Which corner has room: where the picture is black, so that neither the mucosa nor the endoscopy processor's own text is covered.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::frame::{PixelFormat, View};
use crate::geometry::Placement;

/// A corner of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corner {
    /// Where endoscopes leave the picture black most often.
    #[default]
    LowerRight,
    /// The next best.
    LowerLeft,
    /// Where processors write the date.
    UpperRight,
    /// Where processors write the patient's name.
    UpperLeft,
}

/// Which corner is wished for: a corner, or the first that is black, in the order of [`Corner::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CornerWish {
    /// The first that is black; the first of all if none is.
    #[default]
    Black,
    /// Always this one.
    LowerRight,
    /// Always this one.
    LowerLeft,
    /// Always this one.
    UpperRight,
    /// Always this one.
    UpperLeft,
}

impl CornerWish {
    /// The corner, if it is always the same.
    pub fn always(self) -> Option<Corner> {
        match self {
            CornerWish::Black => None,
            CornerWish::LowerRight => Some(Corner::LowerRight),
            CornerWish::LowerLeft => Some(Corner::LowerLeft),
            CornerWish::UpperRight => Some(Corner::UpperRight),
            CornerWish::UpperLeft => Some(Corner::UpperLeft),
        }
    }
}

impl Corner {
    /// All, the most liked first.
    pub const ALL: [Corner; 4] =
        [Corner::LowerRight, Corner::LowerLeft, Corner::UpperRight, Corner::UpperLeft];

    /// Where a box of a size lies in this corner of a picture: its left and its top side.
    pub(super) fn place(self, of: (usize, usize), picture: (usize, usize)) -> (usize, usize) {
        let (right, bottom) = (picture.0.saturating_sub(of.0), picture.1.saturating_sub(of.1));
        match self {
            Corner::LowerRight => (right, bottom),
            Corner::LowerLeft => (0, bottom),
            Corner::UpperRight => (right, 0),
            Corner::UpperLeft => (0, 0),
        }
    }
}

/// The share of a corner that is looked at: of the picture's width and of its height. Short words need no more, and longer ones reach into
/// the endoscope's picture in any corner.
const LOOKED_AT: (f32, f32) = (0.2, 0.06);
/// Dots that are looked at in a corner, side by side and one above the other.
const DOTS: (usize, usize) = (48, 8);
/// Up to here a dot is black, as luma or as its brightest colour; black itself is 16 in most video.
const BLACK: u8 = 44;
/// A corner with more dots than these that are not black has something in it.
const MOST_BRIGHT: usize = 5;
/// One corner is looked at each time.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Words stay where they are until their corner has not been black, and another has, for so many looks at each.
const FOR_LOOKS: u8 = 4;

/// Looks at a picture's corners, one now and then, and says which to use.
#[derive(Default)]
pub struct CornerChooser {
    chosen: Corner,
    /// For how many looks in a row each corner of [`Corner::ALL`] was black.
    black: [u8; 4],
    /// For how many it was not.
    bright: [u8; 4],
    next: usize,
    looked: Option<Instant>,
    /// Of the pictures so far.
    placement: Option<Placement>,
}

impl CornerChooser {
    /// The corner to write into. Looks at the picture itself: a few hundred dots at most, but for the first one of its size.
    pub fn choose(
        &mut self,
        wish: CornerWish,
        view: &View<'_>,
        placement: &Placement,
        now: Instant,
    ) -> Corner {
        if let Some(corner) = wish.always() {
            return corner;
        }
        if self.placement != Some(*placement) {
            *self =
                CornerChooser { placement: Some(*placement), looked: Some(now), ..CornerChooser::default() };
            for index in 0..Corner::ALL.len() {
                self.look(index, view, placement);
            }
            self.settle(1);
        } else if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_EVERY) {
            self.looked = Some(now);
            self.look(self.next, view, placement);
            self.next = (self.next + 1) % Corner::ALL.len();
            self.settle(FOR_LOOKS);
        }
        self.chosen
    }

    fn look(&mut self, index: usize, view: &View<'_>, placement: &Placement) {
        let (Some(&corner), Some(black), Some(bright)) =
            (Corner::ALL.get(index), self.black.get_mut(index), self.bright.get_mut(index))
        else {
            return;
        };
        (*black, *bright) = if bright_dots(corner, view, placement) <= MOST_BRIGHT {
            (black.saturating_add(1), 0)
        } else {
            (0, bright.saturating_add(1))
        };
    }

    /// Goes to another corner if the one in use has been taken, and that one free, for so many looks.
    fn settle(&mut self, looks: u8) {
        let at = Corner::ALL.iter().position(|corner| *corner == self.chosen).unwrap_or(0);
        if self.bright.get(at).is_none_or(|bright| *bright < looks) {
            return;
        }
        let free = Corner::ALL.iter().zip(self.black).find(|(_, black)| *black >= looks);
        // Where all have something in them, the words go back to where they are looked for.
        let none_is = self.bright.iter().all(|bright| *bright >= looks);
        match free {
            Some((corner, _)) => self.chosen = *corner,
            None if none_is => self.chosen = Corner::default(),
            None => {}
        }
    }
}

/// How many of a corner's dots are not black. Where no picture is, all are.
fn bright_dots(corner: Corner, view: &View<'_>, placement: &Placement) -> usize {
    let (width, height) = placement.surface;
    let of = |length: usize, share: f32| ((length as f32 * share) as usize).max(1);
    let size = (of(width, LOOKED_AT.0), of(height, LOOKED_AT.1));
    let (left, top) = corner.place(size, placement.surface);
    let dots = (0..DOTS.1).flat_map(|row| (0..DOTS.0).map(move |column| (column, row)));
    let places = dots.map(|(column, row)| {
        let within = |index: usize, count: usize, length: usize| (2 * index + 1) * length / (2 * count);
        (left + within(column, DOTS.0, size.0), top + within(row, DOTS.1, size.1))
    });
    places.filter(|&place| brightness(place, view, placement) > BLACK).count()
}

/// Of the frame's pixel at a place on the surface.
fn brightness((x, y): (usize, usize), view: &View<'_>, placement: &Placement) -> u8 {
    let target = placement.target;
    let (Some(x), Some(y)) = (x.checked_sub(target.x), y.checked_sub(target.y)) else { return 0 };
    if x >= target.width || y >= target.height {
        return 0;
    }
    let scaled = |at: usize, from: usize, to: usize| (at * to / from.max(1)).min(to.saturating_sub(1));
    let x = scaled(x, target.width, view.width_px());
    let y = scaled(y, target.height, view.height_px());
    let [plane, _] = view.planes();
    let row = y * plane.stride.0;
    let byte = |at: usize| plane.bytes.get(row + at).copied().unwrap_or(0);
    match view.format() {
        PixelFormat::Yuyv => byte(2 * x),
        PixelFormat::Uyvy => byte(2 * x + 1),
        PixelFormat::Nv12 => byte(x),
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => byte(3 * x).max(byte(3 * x + 1)).max(byte(3 * x + 2)),
        PixelFormat::Mjpeg => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::geometry::Rect;

    /// A picture that is black but for a bright round field and what is written in some corners.
    fn picture(written: &[Corner]) -> Frame {
        let mut frame = Frame::black(640, 480);
        for y in 0..480 {
            for x in 0..640 {
                let inside = (x as f32 - 320.0).hypot(y as f32 - 240.0) < 235.0;
                // Strokes of letters.
                let is_letter = written.iter().any(|corner| {
                    let (left, top) = corner.place((100, 20), (640, 480));
                    (left..left + 100).contains(&x) && (top..top + 20).contains(&y) && x % 8 < 2
                });
                if inside || is_letter {
                    frame.pixels_mut()[3 * (640 * y + x)..][..3].fill(180);
                }
            }
        }
        frame
    }

    #[test]
    fn words_go_where_nothing_is() {
        use Corner::*;
        let placement = Placement::identity(640, 480);
        for (written, expected) in [
            (&[][..], LowerRight),
            (&[LowerRight], LowerLeft),
            (&[LowerRight, LowerLeft], UpperRight),
            (&[LowerRight, LowerLeft, UpperRight], UpperLeft),
            (&Corner::ALL, LowerRight),
        ] {
            let frame = picture(written);
            let mut chooser = CornerChooser::default();
            let chosen = chooser.choose(CornerWish::Black, &frame.view(), &placement, Instant::now());
            assert_eq!(chosen, expected, "{written:?}");
            let always = CornerWish::UpperLeft;
            assert_eq!(chooser.choose(always, &frame.view(), &placement, Instant::now()), UpperLeft);
        }
    }

    #[test]
    fn words_do_not_jump_about() {
        let placement = Placement::identity(640, 480);
        let (free, taken) = (picture(&[]), picture(&[Corner::LowerRight]));
        let (mut chooser, mut now) = (CornerChooser::default(), Instant::now());
        let mut at = |frame: &Frame, seconds: f32| {
            let mut chosen = Corner::default();
            for _ in 0..(seconds * 60.0) as u32 {
                chosen = chooser.choose(CornerWish::Black, &frame.view(), &placement, now);
                now += Duration::from_micros(16_667);
            }
            chosen
        };
        assert_eq!(at(&free, 1.0), Corner::LowerRight);
        assert_eq!(at(&taken, 2.5), Corner::LowerRight, "a message that comes and goes");
        assert_eq!(at(&free, 2.5), Corner::LowerRight);
        assert_eq!(at(&taken, 6.0), Corner::LowerLeft);
        assert_eq!(at(&free, 60.0), Corner::LowerLeft, "they stay where there is room");
    }

    #[test]
    fn beside_the_picture_there_is_room() {
        // Bright all over, in the middle of a wider screen.
        let mut frame = Frame::black(64, 48);
        frame.pixels_mut().fill(200);
        let placement = Placement {
            frame: (64, 48),
            surface: (192, 48),
            target: Rect { x: 0, y: 0, width: 64, height: 48 },
        };
        let mut chooser = CornerChooser::default();
        let now = Instant::now();
        assert_eq!(chooser.choose(CornerWish::Black, &frame.view(), &placement, now), Corner::LowerRight);
        let right = Rect { x: 128, ..placement.target };
        let placement = Placement { target: right, ..placement };
        assert_eq!(chooser.choose(CornerWish::Black, &frame.view(), &placement, now), Corner::LowerLeft);
    }

    #[test]
    fn black_is_told_in_every_format() {
        use crate::frame::{Colour, Plane, Stride};
        let placement = Placement::identity(16, 8);
        // Luma at 16, chroma at 128: black.
        let formats = [
            (PixelFormat::Yuyv, [16, 128, 16, 128]),
            (PixelFormat::Uyvy, [128, 16, 128, 16]),
            (PixelFormat::Nv12, [16; 4]),
            (PixelFormat::Rgb24, [16; 4]),
            (PixelFormat::Bgr24, [16; 4]),
        ];
        for (format, bytes) in formats {
            let stride = Stride(format.row_bytes(16).unwrap());
            let black: Vec<u8> = bytes.into_iter().cycle().take(8 * stride.0).collect();
            let chroma = vec![128; 64];
            let view = |bytes| {
                let planes = [Plane { bytes, stride }, Plane { bytes: &chroma, stride: Stride(16) }];
                View::new(format, Colour::RGB, (16, 8), planes).unwrap()
            };
            assert_eq!(bright_dots(Corner::LowerRight, &view(&black), &placement), 0, "{format:?}");
            let bright: Vec<u8> = black.iter().map(|byte| if *byte == 16 { 200 } else { *byte }).collect();
            assert_eq!(bright_dots(Corner::LowerRight, &view(&bright), &placement), 384, "{format:?}");
        }
    }
}
