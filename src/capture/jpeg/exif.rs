//! Which way up a photograph is: cameras that are held sideways say so instead of turning the pixels.

use crate::frame::Frame;

const ORIENTATION: u16 = 0x0112;

/// The orientation that Exif data (a small TIFF file) says, 1 to 8; `None` where it says none that makes sense.
pub fn orientation(tiff: &[u8]) -> Option<u8> {
    let big = match tiff.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let field = tiff.get(at..at.checked_add(bytes)?)?;
        let join = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
        Some(if big { field.iter().fold(0, join) } else { field.iter().rev().fold(0, join) })
    };
    let list = number(4, 4)?;
    let entries = number(list, 2)?;
    let entry = (0..entries.min(512))
        .map(|index| list.saturating_add(2 + 12 * index))
        .find(|&entry| number(entry, 2) == Some(usize::from(ORIENTATION)))?;
    let short = number(entry + 2, 2)? == 3 && number(entry + 4, 4)? == 1;
    number(entry + 8, 2).filter(|value| short && (1..=8).contains(value)).map(|value| value as u8)
}

/// Turns and mirrors a picture so that it is upright, as photo viewers show it.
pub fn turn(frame: &mut Frame, orientation: u8) {
    if !(2..=8).contains(&orientation) {
        return;
    }
    let (width, height) = (frame.width_px(), frame.height_px());
    let sideways = orientation >= 5;
    let (wide, high) = if sideways { (height, width) } else { (width, height) };
    let mut turned = Frame::black(wide, high);
    (turned.number, turned.timestamp) = (frame.number, frame.timestamp);
    for y in 0..high {
        let row = turned.row_mut(y);
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let (from_x, from_y) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                _ => (width - 1 - y, x),
            };
            if let Some(source) = frame.row(from_y).get(3 * from_x..3 * from_x + 3) {
                pixel.copy_from_slice(source);
            }
        }
    }
    *frame = turned;
}
