//! What is drawn into the picture: marks of regions, and in the corner what the program is doing.
//!
//! Guaranteed: a byte that no line, tint or letter covers keeps its value.

pub mod contrast;
mod corner;
mod fill;
mod glyph;
mod layer;
mod lettering;
mod marks;
mod stroke;
mod text;

pub use corner::{Corner, CornerChooser, CornerWish};
pub use fill::Filler;
pub use glyph::Glyph;
pub use layer::{Layer, MAX_SIDE_PX, composed};
pub use lettering::missing_letter;
pub use marks::Mark;

use crate::detect::Region;
use crate::geometry::{Placement, Rect};

use marks::Lines;
use stroke::Stroke;
use text::Writer;

/// How regions are marked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// By what.
    pub mark: Mark,
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// Line width, in pixels of a picture 480 pixels high; it grows with the height.
    pub line_px_at_480: f32,
    /// How much of the colour lies over the region's inside, 0..=1.
    pub tint: f32,
}

impl Default for Style {
    /// Cyan: no mucosa, blood or stain has it.
    fn default() -> Self {
        Style { mark: Mark::Outline, colour: [0, 255, 230], line_px_at_480: 2.0, tint: 0.0 }
    }
}

/// Draws into layers. Keeps its buffers.
#[derive(Default)]
pub struct Painter {
    style: Style,
    stroke: Stroke,
    filler: Filler,
    writer: Writer,
    /// Of the region that is being marked.
    lines: Lines,
}

impl Painter {
    /// Marks look as `style` says.
    pub fn new(style: Style) -> Painter {
        Painter { style, ..Painter::default() }
    }

    /// Marks regions of the placed frame, anti-aliased, each line with a thin dark casing. `opacities` are those of the regions' marks,
    /// 0..=1; where there is none, 1. `field` is the endoscope's picture in the frame.
    pub fn marks(
        &mut self,
        layer: &mut Layer,
        regions: &[Region],
        opacities: &[f32],
        field: &Rect,
        placement: &Placement,
    ) {
        let Style { mark, colour, line_px_at_480, tint } = self.style;
        let width = (line_px_at_480 * placement.target.height as f32 / 480.0).max(1.25);
        let opacities = opacities.iter().copied().chain(std::iter::repeat(1.0));
        for (region, opacity) in regions.iter().zip(opacities) {
            self.lines.area.clear();
            self.lines.area.extend(region.outline.iter().map(|&point| placement.to_surface(point)));
            if tint > 0.0 && mark != Mark::Margin {
                self.fill(layer, opacity * tint.min(1.0));
            }
            self.lines.make(mark, field, placement);
            if mark == Mark::Margin {
                self.fill(layer, opacity);
            }
            self.stroke.draw(layer, &self.lines.segments, width, (colour, opacity));
        }
    }

    fn fill(&mut self, layer: &mut Layer, share: f32) {
        let colour = self.style.colour;
        self.filler.spans(&self.lines.area, layer.width_px(), layer.height_px(), |y, columns| {
            for x in columns {
                layer.blend(x, y, colour, share);
            }
        });
    }

    /// A dot and a word or two in a corner.
    pub fn glyph(&mut self, layer: &mut Layer, corner: Corner, glyph: Glyph, words: &str) {
        self.corner(layer, corner, Some((glyph, words)), None);
    }

    /// Up to two dots, each with its words, one after the other in a corner: that of assistance, and that of a recording.
    pub fn corner(
        &mut self,
        layer: &mut Layer,
        corner: Corner,
        assistance: Option<(Glyph, &str)>,
        recording: Option<(Glyph, &str)>,
    ) {
        self.writer.corner(layer, corner, [assistance, recording]);
    }

    /// Lines in the middle of an empty screen: a headline, and what more there is to say.
    pub fn screen(&mut self, layer: &mut Layer, lines: &[&str]) {
        self.writer.middle(layer, [200, 200, 200], lines);
    }
}

#[cfg(test)]
mod tests;
