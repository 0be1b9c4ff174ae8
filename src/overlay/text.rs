//! What is written: the corner's dot and words, and lines in the middle of an empty screen.

use super::corner::Corner;
use super::glyph::Glyph;
use super::layer::Layer;
use super::lettering::{Lettering, Row};

/// The corner's letters, as a share of the picture's height.
const SIZE: f32 = 0.026;
/// No smaller than this, in pixels, as long as there is room.
const SMALLEST: f32 = 13.0;
/// Words that are too long are written in smaller letters, down to this share; what is still too long is cut.
const LEAST: f32 = 0.7;
/// Between the corner's words and the picture's edge, as a share of the letters' size.
const MARGIN: f32 = 0.5;
/// What was written last is kept: so many different things.
const KEPT: usize = 8;
/// Headlines in the middle of the screen, as a share of its height, and the lines below.
const HEADLINE: f32 = 0.055;
const BELOW: f32 = 0.03;

/// What is said: a dot and its words, twice.
type Said<'a> = [Option<(Glyph, &'a str)>; 2];

/// What is in a corner, ready to be laid over pictures.
struct Stamp {
    said: [Option<(Glyph, String)>; 2],
    /// Of the picture.
    size: (usize, usize),
    layer: Layer,
}

impl Stamp {
    fn says(&self, said: &Said<'_>) -> bool {
        let mine = self.said.iter().map(|said| said.as_ref().map(|(glyph, words)| (*glyph, words.as_str())));
        mine.eq(said.iter().copied())
    }
}

/// Writes. What it has written lately it need not make again.
#[derive(Default)]
pub(super) struct Writer {
    lettering: Lettering,
    /// The last one was used last.
    stamps: Vec<Stamp>,
}

impl Writer {
    /// Dots and words in a corner, light on a dark casing. A ring instead of the dot where there are no results, so that the two can be
    /// told apart without colours.
    pub(super) fn corner(&mut self, layer: &mut Layer, corner: Corner, said: Said<'_>) {
        let size = (layer.width_px(), layer.height_px());
        let is_it = |stamp: &Stamp| stamp.size == size && stamp.says(&said);
        match self.stamps.iter().position(is_it) {
            Some(index) => self.stamps.get_mut(index..).unwrap_or_default().rotate_left(1),
            None => {
                if self.stamps.len() >= KEPT {
                    self.stamps.remove(0);
                }
                let layer = self.stamp(size, said);
                let said = said.map(|said| said.map(|(glyph, words)| (glyph, words.to_owned())));
                self.stamps.push(Stamp { said, size, layer });
            }
        }
        if let Some(stamp) = self.stamps.last() {
            let (width, height) = (stamp.layer.width_px(), stamp.layer.height_px());
            let (left, top) = corner.place((width, height), size);
            layer.lay(&stamp.layer, left, top);
        }
    }

    fn stamp(&mut self, (width, height): (usize, usize), said: Said<'_>) -> Layer {
        let px = (SIZE * height as f32).max(SMALLEST);
        let margin = MARGIN * px;
        let mut left = margin;
        let mut rows: Vec<(Glyph, Row, f32)> = Vec::new();
        // The last one first: it is short, and what stays is the other's. A dot takes as much room as a letter and a half.
        let mut room = width as f32 - 2.0 * margin;
        for (glyph, words) in said.into_iter().flatten().rev() {
            let row = self.fitting(words, px, room - 1.5 * px);
            room -= row.width + 2.0 * px;
            rows.push((glyph, row, 0.0));
        }
        rows.reverse();
        for (_, row, place) in &mut rows {
            *place = left;
            left += if row.width > 0.0 { 1.3 * row.px() + row.width } else { px };
            left += 0.7 * px;
        }
        let high = 2.0 * margin + rows.iter().map(|(_, row, _)| row.px()).fold(0.0, f32::max);
        let wide = left - 0.7 * px + margin;
        let mut stamp = Layer::new((wide.ceil() as usize).min(width), (high.ceil() as usize).min(height));
        for (glyph, row, left) in rows {
            // Capitals are in the middle of their line.
            let (middle, baseline) = (0.5 * high, 0.5 * high + 0.357 * row.px());
            let (radius, colour) = (0.34 * row.px(), glyph.colour());
            dot(&mut stamp, (left + 0.45 * row.px(), middle), radius, glyph.is_full(), colour);
            self.lettering.draw(&mut stamp, &row, (left + 1.3 * row.px(), baseline), colour, true);
        }
        stamp
    }

    /// The words in letters that fit into the room, or as many of them as do.
    fn fitting(&mut self, words: &str, px: f32, room: f32) -> Row {
        let row = self.lettering.row(words, px);
        if row.width <= room {
            return row;
        }
        let px = px * (room / row.width).clamp(LEAST, 1.0);
        let mut letters = words.chars().count();
        loop {
            let ends: String = words.chars().take(letters).collect();
            let row = self.lettering.row(&ends, px);
            if row.width <= room || letters == 0 {
                return row;
            }
            letters -= 1;
        }
    }

    /// Lines in the middle of the layer, the first one larger.
    pub(super) fn middle(&mut self, layer: &mut Layer, colour: [u8; 3], lines: &[&str]) {
        let (width, height) = (layer.width_px() as f32, layer.height_px() as f32);
        let size_of = |index: usize| (height * if index == 0 { HEADLINE } else { BELOW }).max(SMALLEST);
        let high: f32 = (0..lines.len()).map(|index| 1.5 * size_of(index)).sum();
        let mut top = 0.5 * (height - high);
        for (index, line) in lines.iter().enumerate() {
            let px = size_of(index);
            let row = self.fitting(line, px, 0.94 * width);
            let left = 0.5 * (width - row.width);
            self.lettering.draw(layer, &row, (left.max(0.0), (top + px).max(0.0)), colour, false);
            top += 1.5 * px;
        }
    }
}

fn dot(layer: &mut Layer, (x, y): (f32, f32), radius: f32, filled: bool, colour: [u8; 3]) {
    let casing = 0.35 * radius;
    let reach = radius + casing + 1.0;
    let span = |centre: f32| (centre - reach).max(0.0) as usize..(centre + reach).max(0.0) as usize + 1;
    for row in span(y) {
        for column in span(x) {
            let distance = (column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y);
            let dark = (radius + casing + 0.5 - distance).clamp(0.0, 1.0);
            layer.blend(column, row, [0; 3], dark);
            let bright = if filled {
                radius + 0.5 - distance
            } else {
                0.2 * radius + 0.5 - (distance - 0.8 * radius).abs()
            };
            layer.blend(column, row, colour, bright.clamp(0.0, 1.0));
        }
    }
}
