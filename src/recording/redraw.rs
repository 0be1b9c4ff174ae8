//! What was drawn on a picture that was shown, drawn once more: for a film, or for another monitor.

use super::shot::Shot;
use crate::frame::View;
use crate::geometry::Placement;
use crate::overlay::{CornerChooser, Layer, Painter, Style};

/// Keeps its buffers from one picture to the next.
pub struct Redraw {
    style: Style,
    painter: Painter,
    corner: CornerChooser,
    layer: Layer,
}

impl Default for Redraw {
    fn default() -> Self {
        let style = Style::default();
        Redraw {
            style,
            painter: Painter::new(style),
            corner: CornerChooser::default(),
            layer: Layer::default(),
        }
    }
}

impl Redraw {
    /// What was drawn on a picture, on a layer of the placement's surface; without `has_marks`, what the corner said alone.
    pub fn shot(
        &mut self,
        shot: &Shot,
        has_marks: bool,
        picture: &View<'_>,
        placement: &Placement,
    ) -> &Layer {
        if self.style != shot.style {
            (self.style, self.painter) = (shot.style, Painter::new(shot.style));
        }
        self.layer.reset(placement.surface.0, placement.surface.1);
        let marked = if has_marks { shot.shown.list() } else { &[] };
        self.painter.marks(&mut self.layer, marked, &shot.opacities, &shot.field, placement);
        if let Some(glyph) = shot.glyph {
            let corner = self.corner.choose(shot.corner, picture, placement, shot.at);
            self.painter.glyph(&mut self.layer, corner, glyph, &shot.words);
        }
        &self.layer
    }

    /// Nothing, on a layer of the placement's surface.
    pub fn nothing(&mut self, placement: &Placement) -> &Layer {
        self.layer.reset(placement.surface.0, placement.surface.1);
        &self.layer
    }

    /// Lines of text in the middle, on a layer of the placement's surface.
    pub fn screen(&mut self, lines: &[&str], placement: &Placement) -> &Layer {
        self.layer.reset(placement.surface.0, placement.surface.1);
        self.painter.screen(&mut self.layer, lines);
        &self.layer
    }

    /// As it was drawn last.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }
}
