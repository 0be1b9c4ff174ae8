//! What a processor writes beside the endoscope's picture names the patient: it is made black before anything is kept.

use crate::field_of_view;
use crate::frame::Frame;
use crate::overlay::Filler;

/// Makes all black that does not belong to the endoscope's picture; whether there was a border to be told from it.
pub(super) fn blacken(frame: &mut Frame) -> bool {
    let Some(outline) = field_of_view::outline(frame) else { return false };
    let (width, height) = (frame.width_px(), frame.height_px());
    let mut inside = vec![0..0; height];
    Filler::default().spans(&outline, width, height, |y, columns| {
        if let Some(row) = inside.get_mut(y) {
            *row = columns;
        }
    });
    for (y, columns) in inside.into_iter().enumerate() {
        let row = frame.row_mut(y);
        let (left, right) = (3 * columns.start, 3 * columns.end);
        row.get_mut(..left).unwrap_or_default().fill(0);
        row.get_mut(right..).unwrap_or_default().fill(0);
    }
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
        assert!(blacken(&mut after));
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

    #[test]
    fn a_picture_without_a_border_stays_as_it_is() {
        let mut frame = Frame::black(640, 480);
        for (index, pixel) in frame.pixels_mut().iter_mut().enumerate() {
            *pixel = 90 + (index % 97) as u8;
        }
        let before = frame.clone();
        assert!(!blacken(&mut frame));
        assert_eq!(frame, before);
    }
}
