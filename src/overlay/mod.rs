//! What is drawn into the picture: outlines, and in the corner what the program is doing.
//!
//! Guaranteed: a byte that no line, tint or letter covers keeps its value.

mod fill;
mod stroke;
mod text;

pub use fill::Filler;

use crate::detect::Region;
use crate::frame::Frame;

use stroke::Stroke;

/// How outlines look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    pub colour: [u8; 3],
    /// Line width, in pixels of a picture 480 pixels high; it grows with the height.
    pub line_px_at_480: f32,
    /// How much of the colour lies over the region's inside, 0..=1.
    pub tint: f32,
}

impl Default for Style {
    /// Cyan: no mucosa, blood or stain has it.
    fn default() -> Self {
        Style { colour: [0, 255, 230], line_px_at_480: 2.0, tint: 0.0 }
    }
}

/// What the corner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    /// Results are drawn.
    Assist,
    /// There is no fresh result.
    Passthrough,
    /// There will be no results.
    Off,
}

impl Glyph {
    fn colour(self) -> [u8; 3] {
        match self {
            Glyph::Assist => [60, 230, 90],
            Glyph::Passthrough => [200, 200, 200],
            Glyph::Off => [255, 170, 0],
        }
    }
}

/// Draws into frames. Keeps its buffers.
#[derive(Default)]
pub struct Painter {
    style: Style,
    stroke: Stroke,
    filler: Filler,
}

impl Painter {
    pub fn new(style: Style) -> Painter {
        Painter { style, ..Painter::default() }
    }

    /// Outlines, anti-aliased, each with a thin dark casing.
    pub fn outlines(&mut self, frame: &mut Frame, regions: &[Region]) {
        let width = (self.style.line_px_at_480 * frame.height_px() as f32 / 480.0).max(1.25);
        for region in regions {
            if self.style.tint > 0.0 {
                let (colour, share) = (self.style.colour, self.style.tint.min(1.0));
                self.filler.spans(&region.outline, frame.width_px(), frame.height_px(), |y, columns| {
                    for x in columns {
                        blend(frame, x, y, colour, share);
                    }
                });
            }
            self.stroke.draw(frame, &region.outline, width, self.style.colour);
        }
    }

    /// A dot and a word or two in the lower right corner, where endoscopes leave the picture black.
    pub fn glyph(&mut self, frame: &mut Frame, glyph: Glyph, words: &str) {
        text::corner(frame, glyph.colour(), glyph == Glyph::Assist, words);
    }
}

/// Lays a colour over a pixel; `share` 0 leaves it, 1 replaces it. Nothing happens outside the frame.
fn blend(frame: &mut Frame, x: usize, y: usize, colour: [u8; 3], share: f32) {
    if let Some(pixel) = frame.row_mut(y).get_mut(3 * x..3 * x + 3) {
        for (byte, value) in pixel.iter_mut().zip(colour) {
            *byte = (f32::from(*byte) + (f32::from(value) - f32::from(*byte)) * share).round() as u8;
        }
    }
}

#[cfg(test)]
mod tests;
