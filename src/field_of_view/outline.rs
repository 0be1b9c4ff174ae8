//! The endoscope's picture without the dark corners of its box.

use super::Finder;
use crate::frame::Frame;
use crate::geometry::{Point, Rect};

/// What can be told of a frame's border.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    /// The endoscope's picture lies in this box, and within it in this convex polygon; both in frame pixels.
    Border(Rect, Vec<Point>),
    /// The endoscope's picture fills the frame.
    Whole,
    /// Nothing: the frame is dark, or nothing in it is large enough to be the picture.
    Nothing,
}

/// A convex polygon around the endoscope's picture, in frame pixels: its box less the corners where nothing is lit. `None` where the picture
/// cannot be told from a border: all of the frame then belongs to it.
pub fn outline(frame: &Frame) -> Option<Vec<Point>> {
    match Finder::default().border(frame) {
        Seen::Border(_, outline) => Some(outline),
        Seen::Whole | Seen::Nothing => None,
    }
}

impl Finder {
    /// The border around the endoscope's picture.
    pub(crate) fn border(&mut self, frame: &Frame) -> Seen {
        let Some(field) = self.look(frame) else {
            return if self.grid.has_black() { Seen::Nothing } else { Seen::Whole };
        };
        if field == Rect::whole(frame.width_px(), frame.height_px()) {
            return Seen::Whole;
        }
        let points = self.lit_corners(&field);
        let hull = hull(points);
        if hull.len() < 3 {
            // It cannot be told from what is lit: the box is what is known.
            let (left, top) = (field.x as f32, field.y as f32);
            let (right, bottom) = (left + field.width as f32, top + field.height as f32);
            let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
            return Seen::Border(field, corners.map(|(x, y)| Point { x, y }).to_vec());
        }
        Seen::Border(field, hull)
    }
}

impl Finder {
    /// The corners of the first and the last lit cell of each row in the field, each a cell wider for the soft edge, within the field.
    fn lit_corners(&self, field: &Rect) -> Vec<Point> {
        let grid = &self.grid;
        let cell = grid.cell_px.max(1);
        let (right, bottom) = (field.x + field.width, field.y + field.height);
        let rows = field.y / cell..bottom.div_ceil(cell).min(grid.rows);
        let columns = field.x / cell..right.div_ceil(cell).min(grid.columns);
        let mut points = Vec::new();
        for row in rows {
            let is_lit = |column: &usize| self.lit.get(row * grid.columns + column).copied().unwrap_or(false);
            let (Some(first), Some(last)) = (columns.clone().find(is_lit), columns.clone().rfind(is_lit))
            else {
                continue;
            };
            let within = |place: usize, low: usize, high: usize| place.clamp(low, high) as f32;
            let left = within((first * cell).saturating_sub(cell), field.x, right);
            let right = within((last + 2) * cell, field.x, right);
            let top = within((row * cell).saturating_sub(cell), field.y, bottom);
            let bottom = within((row + 2) * cell, field.y, bottom);
            points.extend(
                [(left, top), (right, top), (left, bottom), (right, bottom)].map(|(x, y)| Point { x, y }),
            );
        }
        points
    }
}

/// The convex hull of points, by Andrew's monotone chain.
fn hull(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let chain = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for point in points {
            while let [.., before, last] = chain.as_slice() {
                let turn =
                    (last.x - before.x) * (point.y - before.y) - (last.y - before.y) * (point.x - before.x);
                if turn > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = chain(&mut points.iter().copied());
    hull.extend(chain(&mut points.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hull_is_convex_and_holds_all_points() {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 16) as f32 / 65536.0
        };
        let points: Vec<Point> = (0..200).map(|_| Point { x: next(), y: next() }).collect();
        let hull = hull(points.clone());
        let turn = |a: Point, b: Point, c: Point| (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
        for index in 0..hull.len() {
            let (a, b) = (hull[index], hull[(index + 1) % hull.len()]);
            assert!(points.iter().all(|point| turn(a, b, *point) >= -1e-6));
        }
        assert!(hull.len() > 6 && hull.len() < 40, "{}", hull.len());
    }

    #[test]
    fn points_on_a_line_or_none_make_no_area() {
        assert!(hull(Vec::new()).is_empty());
        let line = (0..5).map(|index| Point { x: index as f32, y: 0.0 }).collect();
        assert!(hull(line).len() < 3);
    }
}
