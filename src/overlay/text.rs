//! Letters of 8×8 dots, scaled to stay legible.

use font8x8::{BASIC_FONTS, UnicodeFonts};

use super::blend;
use crate::frame::Frame;

/// The most letters in the corner; what is longer is cut.
const MOST_LETTERS: usize = 48;

/// Dot and words in the lower right corner, light on a dark casing. A ring instead of a dot where `filled` is not
/// set, so that the two can be told apart without colours.
pub fn corner(frame: &mut Frame, colour: [u8; 3], filled: bool, words: &str) {
    let scale = (frame.height_px() / 300).max(1);
    let (letter, margin) = (8 * scale, 4 * scale);
    let room = (frame.width_px().saturating_sub(2 * margin) / letter).saturating_sub(2);
    let letters = words.chars().count().min(MOST_LETTERS).min(room);
    let Some(left) = frame.width_px().checked_sub(margin + (letters + 2) * letter) else { return };
    let Some(top) = frame.height_px().checked_sub(margin + letter) else { return };
    // Twice: the casing first, so that it lies under neighbouring letters too.
    for casing in [true, false] {
        disc(frame, left, top, letter, filled, casing, colour);
        for (index, character) in words.chars().take(letters).enumerate() {
            let dots = BASIC_FONTS.get(character).or(BASIC_FONTS.get('?')).unwrap_or_default();
            let x = left + (index + 1) * letter + letter / 2;
            for (row, bits) in dots.into_iter().enumerate() {
                for column in (0..8).filter(|column| bits & (1 << column) != 0) {
                    square(frame, x + column * scale, top + row * scale, scale, casing, colour);
                }
            }
        }
    }
}

/// One dot of a letter, or the casing that surrounds it by half a dot.
fn square(frame: &mut Frame, x: usize, y: usize, scale: usize, casing: bool, colour: [u8; 3]) {
    let grow = if casing { scale.div_ceil(2) } else { 0 };
    for y in y.saturating_sub(grow)..y + scale + grow {
        for x in x.saturating_sub(grow)..x + scale + grow {
            blend(frame, x, y, if casing { [0, 0, 0] } else { colour }, 1.0);
        }
    }
}

fn disc(
    frame: &mut Frame,
    left: usize,
    top: usize,
    side: usize,
    filled: bool,
    casing: bool,
    colour: [u8; 3],
) {
    let radius = side as f32 * 0.4;
    let (centre_x, centre_y) = (left as f32 + side as f32 / 2.0, top as f32 + side as f32 / 2.0);
    for y in top.saturating_sub(side / 8)..top + side + side / 8 {
        for x in left.saturating_sub(side / 8)..left + side + side / 8 {
            let distance = (x as f32 + 0.5 - centre_x).hypot(y as f32 + 0.5 - centre_y);
            let share = match (casing, filled) {
                (true, _) => radius + side as f32 / 16.0 + 0.5 - distance,
                (false, true) => radius + 0.5 - distance,
                (false, false) => side as f32 / 10.0 + 0.5 - (distance - radius * 0.8).abs(),
            };
            let share = share.clamp(0.0, 1.0);
            if share > 0.0 {
                blend(frame, x, y, if casing { [0, 0, 0] } else { colour }, share);
            }
        }
    }
}
