//! Letters of 8×8 dots, scaled to stay legible.

use std::ops::Range;

use font8x8::{BASIC_FONTS, UnicodeFonts};

use super::Layer;

/// The most letters in the corner; what is longer is cut.
const MOST_LETTERS: usize = 64;

/// Dot and words in the lower right corner, light on a dark casing. A ring instead of a dot where `filled` is not
/// set, so that the two can be told apart without colours.
pub fn corner(layer: &mut Layer, colour: [u8; 3], filled: bool, words: &str) {
    let scale = (layer.height_px() / 300).max(1);
    let (letter, margin) = (8 * scale, 4 * scale);
    let room = (layer.width_px().saturating_sub(2 * margin) / letter).saturating_sub(2);
    let letters = words.chars().count().min(MOST_LETTERS).min(room);
    let Some(left) = layer.width_px().checked_sub(margin + (letters + 2) * letter) else { return };
    let Some(top) = layer.height_px().checked_sub(margin + letter) else { return };
    // Twice: the casing first, so that it lies under neighbouring letters too.
    for casing in [true, false] {
        disc(layer, left, top, letter, filled, casing, colour);
        let x = left + letter + letter / 2;
        for (index, character) in words.chars().take(letters).enumerate() {
            dots(layer, x + index * letter, top, scale, casing, colour, character);
        }
    }
}

/// Lines in the middle of the layer, the first one twice as large. What does not fit is cut.
pub fn middle(layer: &mut Layer, colour: [u8; 3], lines: &[&str]) {
    let (width, height) = (layer.width_px(), layer.height_px());
    let small = (height / 360).max(1);
    let scale_of = |index: usize| if index == 0 { 2 * small } else { small };
    let high: usize = (0..lines.len()).map(|index| 14 * scale_of(index)).sum();
    let mut top = height.saturating_sub(high) / 2;
    for (index, line) in lines.iter().enumerate() {
        let mut scale = scale_of(index);
        if line.chars().count() * 8 * scale > width {
            scale = small;
        }
        let letters = line.chars().count().min(width / (8 * scale));
        let left = (width - letters * 8 * scale) / 2;
        for (index, character) in line.chars().take(letters).enumerate() {
            dots(layer, left + index * 8 * scale, top, scale, false, colour, character);
        }
        top += 14 * scale_of(index);
    }
}

/// A letter, or the casing that surrounds it by half a dot.
fn dots(
    layer: &mut Layer,
    left: usize,
    top: usize,
    scale: usize,
    casing: bool,
    colour: [u8; 3],
    character: char,
) {
    let plain = match character {
        '–' | '—' => '-',
        '×' => 'x',
        other => other,
    };
    let rows = BASIC_FONTS.get(plain).or(BASIC_FONTS.get('?')).unwrap_or_default();
    let grow = if casing { scale.div_ceil(2) } else { 0 };
    for (row, bits) in rows.into_iter().enumerate() {
        let y = top + row * scale;
        for run in runs(bits) {
            let columns = (left + run.start * scale).saturating_sub(grow)..left + run.end * scale + grow;
            for y in y.saturating_sub(grow)..y + scale + grow {
                layer.fill(columns.clone(), y, if casing { [0, 0, 0] } else { colour });
            }
        }
    }
}

/// Runs of dots in a letter's row, whose leftmost dot is the lowest bit.
fn runs(mut bits: u8) -> impl Iterator<Item = Range<usize>> {
    let mut column = 0;
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let gap = bits.trailing_zeros();
        let length = (bits >> gap).trailing_ones();
        let start = column + gap as usize;
        column = start + length as usize;
        bits = bits.checked_shr(gap + length).unwrap_or(0);
        Some(start..column)
    })
}

fn disc(
    layer: &mut Layer,
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
            layer.blend(x, y, if casing { [0, 0, 0] } else { colour }, share.clamp(0.0, 1.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_are_the_dots_of_a_row() {
        for bits in 0..=u8::MAX {
            let dots: Vec<usize> = runs(bits).flatten().collect();
            let expected: Vec<usize> = (0..8).filter(|column| bits & (1 << column) != 0).collect();
            assert_eq!(dots, expected, "{bits:#010b}");
            assert!(runs(bits).collect::<Vec<_>>().windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
