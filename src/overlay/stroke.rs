//! Anti-aliased lines: each pixel is blended once, by its distance from the line.

use super::Layer;
use crate::geometry::Point;

/// The casing: what keeps a bright line visible on bright mucosa.
const CASING: [u8; 3] = [0, 20, 20];
const CASING_SHARE: f32 = 0.45;

#[derive(Default)]
pub struct Stroke {
    /// `[H, W]`: distance from the line, squared; infinite where it is far.
    distance: Vec<f32>,
    touched: Vec<(u32, u32)>,
}

impl Stroke {
    /// Lines from here to there, `width` pixels wide, with half a width of casing on each side, in a colour of an opacity.
    pub fn draw(
        &mut self,
        layer: &mut Layer,
        segments: &[(Point, Point)],
        width: f32,
        (colour, opacity): ([u8; 3], f32),
    ) {
        let (layer_width, layer_height) = (layer.width_px(), layer.height_px());
        if self.distance.len() != layer_width * layer_height {
            self.distance.clear();
            self.distance.resize(layer_width * layer_height, f32::INFINITY);
        }
        let half = 0.5 * width;
        let reach = half + (0.5 * width).max(1.0) + 0.5;
        for &(from, to) in segments {
            if [from.x, from.y, to.x, to.y].iter().all(|place| place.is_finite()) {
                self.segment(from, to, reach, layer_width, layer_height);
            }
        }
        for &(x, y) in &self.touched {
            let (x, y) = (x as usize, y as usize);
            let Some(slot) = self.distance.get_mut(y * layer_width + x) else { continue };
            let distance = slot.sqrt();
            *slot = f32::INFINITY;
            let casing = (reach - distance).clamp(0.0, 1.0) * CASING_SHARE;
            let line = (half + 0.5 - distance).clamp(0.0, 1.0);
            layer.blend(x, y, CASING, opacity * casing);
            layer.blend(x, y, colour, opacity * line);
        }
        self.touched.clear();
    }

    fn segment(&mut self, from: Point, to: Point, reach: f32, width: usize, height: usize) {
        let span = |a: f32, b: f32, length: usize| {
            let first = (a.min(b) - reach - 0.5).floor().clamp(0.0, length as f32) as usize;
            let last = (a.max(b) + reach + 0.5).ceil().clamp(0.0, length as f32) as usize;
            first..last
        };
        let (along_x, along_y) = (to.x - from.x, to.y - from.y);
        let length = along_x * along_x + along_y * along_y;
        for y in span(from.y, to.y, height) {
            for x in span(from.x, to.x, width) {
                let (off_x, off_y) = (x as f32 + 0.5 - from.x, y as f32 + 0.5 - from.y);
                let share = if length > 0.0 { (off_x * along_x + off_y * along_y) / length } else { 0.0 };
                let share = share.clamp(0.0, 1.0);
                let distance = (off_x - share * along_x).powi(2) + (off_y - share * along_y).powi(2);
                if distance >= reach * reach {
                    continue;
                }
                if let Some(slot) = self.distance.get_mut(y * width + x) {
                    if slot.is_infinite() {
                        self.touched.push((x as u32, y as u32));
                    }
                    *slot = slot.min(distance);
                }
            }
        }
    }
}
