//! Words as pixels: an outline font, shaped and rasterised by swash.

use std::sync::OnceLock;

use swash::scale::image::Image;
use swash::scale::{Render, ScaleContext, Source};
use swash::shape::ShapeContext;
use swash::text::Script;
use swash::zeno::{Format, Join, Stroke, Vector};
use swash::{FontRef, GlyphId};

use super::layer::Layer;

/// Noto Sans Bold with the letters of Europe's languages and of Vietnamese; see `font/OFL.txt`.
const FONT: &[u8] = include_bytes!("font/NotoSans-Bold.ttf");
/// The dark casing's width, as a share of the letters' size: on each side of a letter's edge half as much.
const CASING: f32 = 0.2;
const CASING_COLOUR: [u8; 3] = [0, 0, 0];

/// The first letter of a text that the font lacks.
pub fn missing_letter(text: &str) -> Option<char> {
    let map = font()?.charmap();
    text.chars().find(|&letter| map.map(letter) == 0)
}

/// `None` if the font that is part of the program cannot be read, which a test rules out.
fn font() -> Option<FontRef<'static>> {
    static KNOWN: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    *KNOWN.get_or_init(|| FontRef::from_index(FONT, 0))
}

/// Letters in a row: which, and where each begins, in pixels from the row's beginning.
#[derive(Default)]
pub(super) struct Row {
    glyphs: Vec<(GlyphId, f32)>,
    px: f32,
    /// In pixels.
    pub width: f32,
}

/// Shapes and rasterises. Keeps its buffers.
pub(super) struct Lettering {
    shapes: ShapeContext,
    outlines: ScaleContext,
    image: Image,
}

impl Row {
    /// The letters' size.
    pub(super) fn px(&self) -> f32 {
        self.px
    }
}

impl Default for Lettering {
    fn default() -> Self {
        Lettering { shapes: ShapeContext::new(), outlines: ScaleContext::new(), image: Image::new() }
    }
}

impl Lettering {
    /// Shapes a text in letters of this size.
    pub(super) fn row(&mut self, text: &str, px: f32) -> Row {
        let mut row = Row { px, ..Row::default() };
        let Some(font) = font() else { return row };
        let mut shaper = self.shapes.builder(font).script(Script::Latin).size(px).build();
        shaper.add_str(text);
        shaper.shape_with(|cluster| {
            for glyph in cluster.glyphs {
                row.glyphs.push((glyph.id, row.width + glyph.x));
                row.width += glyph.advance;
            }
        });
        row
    }

    /// Draws a row, its left end at `left`, its letters' feet at `baseline`; with a dark casing around it if `cased`.
    pub(super) fn draw(
        &mut self,
        layer: &mut Layer,
        row: &Row,
        (left, baseline): (f32, f32),
        colour: [u8; 3],
        cased: bool,
    ) {
        let Some(font) = font() else { return };
        let mut scaler = self.outlines.builder(font).size(row.px).hint(false).build();
        let mut casing = Stroke::new(CASING * row.px);
        casing.join(Join::Round);
        // The casing first, so that it lies under neighbouring letters too.
        for is_casing in [true, false] {
            if is_casing && !cased {
                continue;
            }
            for &(glyph, at) in &row.glyphs {
                let x = left + at;
                let mut render = Render::new(&[Source::Outline]);
                render.format(Format::Alpha).offset(Vector::new(x.fract(), baseline.fract()));
                if is_casing {
                    render.style(casing);
                }
                self.image.clear();
                if render.render_into(&mut scaler, glyph, &mut self.image) {
                    let colour = if is_casing { CASING_COLOUR } else { colour };
                    lay(layer, &self.image, (x.trunc() as i32, baseline.trunc() as i32), colour);
                }
            }
        }
    }
}

fn lay(layer: &mut Layer, image: &Image, (x, y): (i32, i32), colour: [u8; 3]) {
    let placement = image.placement;
    let (left, top) = (x + placement.left, y - placement.top);
    let width = (placement.width as usize).max(1);
    for (row, shares) in (top..).zip(image.data.chunks_exact(width)) {
        for (column, &share) in (left..).zip(shares) {
            if share > 0
                && let (Ok(x), Ok(y)) = (usize::try_from(column), usize::try_from(row))
            {
                layer.blend(x, y, colour, f32::from(share) / 255.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_the_letters_of_the_languages_that_it_is_for() {
        let letters = "ÄÖÜßäöü Éèêçœ Ñ¿¡ ÅØÆåøæ ĐƯỜỢẾđươờợếặ ŁŹąę ČŠŽ ŐŰ İŞğ Ελλάδα Київ – — … ’ × °C";
        assert_eq!(missing_letter(letters), None);
        assert_eq!(missing_letter("a信"), Some('信'));
    }

    #[test]
    fn a_row_is_as_wide_as_its_letters_and_grows_with_their_size() {
        let mut lettering = Lettering::default();
        let width = |lettering: &mut Lettering, text, px| lettering.row(text, px).width;
        let (small, large) =
            (width(&mut lettering, "ASSIST OFF", 14.0), width(&mut lettering, "ASSIST OFF", 28.0));
        assert!((small * 2.0 - large).abs() < 0.5, "{small} and {large}");
        assert!((70.0..90.0).contains(&small), "{small}");
        // Pairs of letters are moved together.
        let apart = width(&mut lettering, "A", 100.0) + width(&mut lettering, "V", 100.0);
        assert!(width(&mut lettering, "AV", 100.0) < apart - 2.0);
        // A mark that is written as a letter of its own stands above the letter before it.
        assert!((width(&mut lettering, "e\u{301}", 100.0) - width(&mut lettering, "é", 100.0)).abs() < 0.5);
    }

    #[test]
    fn letters_stand_on_their_line_within_their_casing() {
        let mut lettering = Lettering::default();
        let row = lettering.row("H", 40.0);
        let drawn = |lettering: &mut Lettering, cased| {
            let mut layer = Layer::new(80, 80);
            lettering.draw(&mut layer, &row, (20.0, 60.0), [255; 3], cased);
            let dots = |y: usize| {
                layer.runs(y).flat_map(|(_, run)| run.chunks_exact(4)).filter(|dot| dot[3] > 127).count()
            };
            let rows: Vec<usize> = (0..80).filter(|&y| dots(y) > 0).collect();
            (rows[0], rows[rows.len() - 1])
        };
        // Capitals of Noto Sans are .714 of its size high.
        assert_eq!(drawn(&mut lettering, false), (31, 59));
        let (top, bottom) = drawn(&mut lettering, true);
        assert!((26..=28).contains(&top) && (62..=64).contains(&bottom), "{top} to {bottom}");
    }
}
