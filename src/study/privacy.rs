//! What a processor writes beside the endoscope's picture names the patient: it is made black before anything is kept.

use std::ops::Range;

use crate::field_of_view::{Finder, Seen};
use crate::frame::Frame;
use crate::geometry::Rect;
use crate::overlay::Filler;

/// Boxes that overlap by this (intersection over union) are the same.
const SAME: f32 = 0.97;
/// So many frames in a row must agree on another border before it is believed. Until then what was inside of both is kept, no more.
const AGREE: u32 = 30;

/// Makes black what lies outside the endoscope's picture, in one frame after another of a video.
#[derive(Default)]
pub(crate) struct Blackener {
    finder: Finder,
    filler: Filler,
    /// The border that is believed.
    held: Option<Border>,
    /// What was seen last, if it was another one, and how often in a row.
    wanted: Option<(Border, u32)>,
}

/// The endoscope's picture in frames of a size.
#[derive(Clone, Default)]
struct Border {
    size: (usize, usize),
    field: Rect,
    /// Of each row, the columns that belong to it.
    inside: Vec<Range<usize>>,
    is_whole: bool,
}

impl Border {
    /// Makes all black that does not belong to it.
    fn keep(&self, frame: &mut Frame) {
        for (y, columns) in self.inside.iter().enumerate() {
            let row = frame.row_mut(y);
            let (left, right) = (3 * columns.start, 3 * columns.end);
            row.get_mut(..left).unwrap_or_default().fill(0);
            row.get_mut(right..).unwrap_or_default().fill(0);
        }
    }
}

impl Blackener {
    /// The next frame is of another video.
    pub(crate) fn forget(&mut self) {
        (self.held, self.wanted) = (None, None);
    }

    /// Makes all black that does not belong to the endoscope's picture, by this frame and those before it; all of a frame as long as none
    /// could be told from a border. With `fixed`, it lies there, and nothing is looked for. Whether something lay outside.
    pub(crate) fn next(&mut self, frame: &mut Frame, fixed: Option<Rect>) -> bool {
        let size = (frame.width_px(), frame.height_px());
        if let Some(fixed) = fixed {
            return keep_rect(frame, fixed);
        }
        if self.held.as_ref().is_some_and(|held| held.size != size) {
            self.forget();
        }
        let seen = self.see(frame);
        let Some(held) = &self.held else {
            let Some(seen) = seen else {
                frame.pixels_mut().fill(0);
                return true;
            };
            seen.keep(frame);
            return !self.held.insert(seen).is_whole;
        };
        let Some(seen) = seen.filter(|seen| seen.field.overlap(held.field) < SAME) else {
            self.wanted = None;
            held.keep(frame);
            return !held.is_whole;
        };
        held.keep(frame);
        seen.keep(frame);
        let votes = match &self.wanted {
            Some((wanted, votes)) if wanted.field.overlap(seen.field) >= SAME => votes + 1,
            _ => 1,
        };
        if votes >= AGREE {
            (self.held, self.wanted) = (Some(seen), None);
        } else {
            self.wanted = Some((seen, votes));
        }
        true
    }

    /// What a frame by itself says; `None` if nothing.
    fn see(&mut self, frame: &Frame) -> Option<Border> {
        let size = (frame.width_px(), frame.height_px());
        let whole = Rect::whole(size.0, size.1);
        match self.finder.border(frame) {
            Seen::Nothing => None,
            Seen::Whole => {
                Some(Border { size, field: whole, inside: vec![0..size.0; size.1], is_whole: true })
            }
            Seen::Border(field, outline) => {
                let mut inside = vec![0..0; size.1];
                self.filler.spans(&outline, size.0, size.1, |y, columns| {
                    if let Some(row) = inside.get_mut(y) {
                        *row = columns;
                    }
                });
                Some(Border { size, field, inside, is_whole: false })
            }
        }
    }
}

/// Makes all black outside of a box; whether there is anything outside.
fn keep_rect(frame: &mut Frame, fixed: Rect) -> bool {
    let size = (frame.width_px(), frame.height_px());
    let field = fixed.within(size.0, size.1);
    let is_whole = field == Rect::whole(size.0, size.1);
    let columns = field.x..field.x + field.width;
    let rows = field.y..field.y + field.height;
    let inside = (0..size.1).map(|y| if rows.contains(&y) { columns.clone() } else { 0..0 }).collect();
    Border { size, field, inside, is_whole }.keep(frame);
    !is_whole
}

/// Makes all black that does not belong to the endoscope's picture, which lies in `fixed` if that is given; whether there was a border to be
/// told from it.
pub(super) fn blacken(frame: &mut Frame, fixed: Option<Rect>) -> bool {
    if let Some(fixed) = fixed {
        return keep_rect(frame, fixed);
    }
    let Some(border) = Blackener::default().see(frame).filter(|border| !border.is_whole) else {
        return false;
    };
    border.keep(frame);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round picture on black, and what is written beside it and in its dark corners.
    fn processor() -> Frame {
        let mut frame = Frame::black(640, 480);
        for y in 0..480 {
            for x in 0..640 {
                let inside = (x as f32 - 380.0).hypot(y as f32 - 240.0) < 220.0;
                let is_letter = x % 7 < 2 && (y / 12) % 2 == 0 && (x < 120 || x > 560 && y > 420);
                let pixel = &mut frame.pixels_mut()[3 * (640 * y + x)..][..3];
                if inside {
                    let shade = (40.0 * ((x as f32 / 31.0).sin() + (y as f32 / 23.0).cos())) as i32;
                    pixel.copy_from_slice(&[
                        (170 + shade) as u8,
                        (90 + shade / 2) as u8,
                        (70 + shade / 2) as u8,
                    ]);
                } else if is_letter {
                    pixel.fill(220);
                }
            }
        }
        frame
    }

    #[test]
    fn names_beside_the_picture_and_in_its_corners_go_and_the_picture_stays() {
        let (before, mut after) = (processor(), processor());
        assert!(blacken(&mut after, None));
        for y in 0..480 {
            for x in 0..640 {
                let off = (x as f32 - 380.0).hypot(y as f32 - 240.0) - 220.0;
                let at = 3 * (640 * y + x)..3 * (640 * y + x) + 3;
                if off < -3.0 {
                    assert_eq!(
                        before.pixels()[at.clone()],
                        after.pixels()[at],
                        "{x}, {y} belongs to the picture"
                    );
                } else if off > 24.0 {
                    assert_eq!(after.pixels()[at], [0; 3], "{x}, {y} does not");
                }
            }
        }
    }

    /// The same, with the endoscope's picture so bright, and its middle there.
    fn processor_with(light: f32, middle: f32) -> Frame {
        let mut frame = processor();
        for y in 0..480 {
            for x in 0..640 {
                let pixel = &mut frame.pixels_mut()[3 * (640 * y + x)..][..3];
                if (x as f32 - 380.0).hypot(y as f32 - 240.0) < 222.0 {
                    pixel.fill(0);
                }
                if (x as f32 - middle).hypot(y as f32 - 240.0) < 220.0 {
                    let shade = 40.0 * ((x as f32 / 31.0).sin() + (y as f32 / 23.0).cos());
                    let colour = [170.0 + shade, 90.0 + 0.5 * shade, 70.0 + 0.5 * shade];
                    pixel.copy_from_slice(&colour.map(|value| (light * value) as u8));
                }
            }
        }
        frame
    }

    /// Of what is outside the first picture, letters included.
    fn brightest_outside(frame: &Frame) -> u8 {
        let outside = (0..480 * 640)
            .filter(|index| ((index % 640) as f32 - 380.0).hypot((index / 640) as f32 - 240.0) > 244.0);
        outside.map(|index| frame.pixels()[3 * index]).max().unwrap()
    }

    #[test]
    fn a_name_stays_black_while_the_picture_is_dark_and_while_it_moves() {
        let mut blackener = Blackener::default();
        // Nothing is known yet: nothing is kept.
        let mut dark = processor_with(0.0, 380.0);
        assert!(brightest_outside(&dark) > 200);
        assert!(blackener.next(&mut dark, None));
        assert!(dark.pixels().iter().all(|&byte| byte == 0));
        for light in [1.0, 0.8, 0.0, 0.05, 1.0] {
            let mut frame = processor_with(light, 380.0);
            let before = frame.clone();
            assert!(blackener.next(&mut frame, None));
            assert_eq!(brightest_outside(&frame), 0, "{light}");
            assert_eq!(frame.row(240)[3 * 380..3 * 400], before.row(240)[3 * 380..3 * 400]);
        }
        // The picture goes elsewhere: what was not inside before is not believed at once.
        for number in 0..AGREE {
            let mut frame = processor_with(1.0, 250.0);
            blackener.next(&mut frame, None);
            assert_eq!(brightest_outside(&frame), 0, "{number}");
        }
        let mut frame = processor_with(1.0, 250.0);
        blackener.next(&mut frame, None);
        assert!(brightest_outside(&frame) > 0, "by then it is");
        // A video of another size begins anew.
        assert!(!blackener.next(&mut lit(), None));
    }

    fn lit() -> Frame {
        let mut frame = Frame::black(320, 240);
        for (index, pixel) in frame.pixels_mut().iter_mut().enumerate() {
            *pixel = 90 + (index % 97) as u8;
        }
        frame
    }

    /// Where the engineer has said where the picture lies, nobody looks for it.
    #[test]
    fn a_picture_that_lies_where_the_profile_says_keeps_nothing_else() {
        let rect = Rect { x: 160, y: 20, width: 440, height: 440 };
        for keeps in [
            |frame: &mut Frame, rect| blacken(frame, Some(rect)),
            |frame: &mut Frame, rect| Blackener::default().next(frame, Some(rect)),
        ] {
            let (before, mut after) = (processor(), processor());
            assert!(keeps(&mut after, rect));
            for y in 0..480 {
                let (was, is) = (before.row(y), after.row(y));
                let is_inside = (20..460).contains(&y);
                assert!(is[..3 * 160].iter().chain(&is[3 * 600..]).all(|&byte| byte == 0));
                let wanted = if is_inside { &was[3 * 160..3 * 600] } else { &[0; 3 * 440][..] };
                assert_eq!(&is[3 * 160..3 * 600], wanted, "row {y}");
            }
        }
        let mut frame = processor();
        assert!(!blacken(&mut frame, Some(Rect::whole(640, 480))));
        assert_eq!(frame, processor());
    }

    #[test]
    fn a_picture_without_a_border_stays_as_it_is() {
        let mut frame = Frame::black(640, 480);
        for (index, pixel) in frame.pixels_mut().iter_mut().enumerate() {
            *pixel = 90 + (index % 97) as u8;
        }
        let before = frame.clone();
        assert!(!blacken(&mut frame, None));
        assert_eq!(frame, before);
    }
}
