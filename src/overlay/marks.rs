//! The lines by which a region is marked.

use serde::Deserialize;

use crate::geometry::{Placement, Point, Rect};

/// How regions are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// A line around the region, along its edge.
    #[default]
    Outline,
    /// The corners of a box around it.
    Brackets,
    /// A box around it.
    Box,
    /// Nothing on the mucosa: a dot beside the endoscope's picture, as high up as the region.
    Margin,
}

/// Between a region and the box around it, in pixels of a picture 480 pixels high.
const ROOM_AT_480: f32 = 6.0;
/// A bracket's legs, as a share of the box's side.
const LEG: f32 = 0.25;
/// The radius of a dot in the margin, in pixels of a picture 480 pixels high.
const DOT_AT_480: f32 = 7.0;
/// A circle's corners.
const CORNERS: usize = 24;

/// Lines of a mark on the surface: a closed one, or several open ones.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// From here to there, each.
    pub segments: Vec<(Point, Point)>,
    /// The corners of the area that they go around; empty if there is none.
    pub area: Vec<Point>,
}

impl Lines {
    /// Those of a region whose outline, on the surface, is in `area`; `field` is the endoscope's picture in the frame.
    pub(super) fn make(&mut self, mark: Mark, field: &Rect, placement: &Placement) {
        self.segments.clear();
        if self.area.is_empty() {
            return;
        }
        let scale = placement.target.height as f32 / 480.0;
        match mark {
            Mark::Outline => self.close(),
            Mark::Box => {
                let corners = corners(&self.area, ROOM_AT_480 * scale);
                self.area.clear();
                self.area.extend(corners);
                self.close();
            }
            Mark::Brackets => {
                let corners = corners(&self.area, ROOM_AT_480 * scale);
                self.area.clear();
                for (index, corner) in corners.iter().enumerate() {
                    for other in [index + 1, index + 3] {
                        if let Some(other) = corners.get(other % 4) {
                            let leg = |from: f32, to: f32| from + LEG * (to - from);
                            let end = Point { x: leg(corner.x, other.x), y: leg(corner.y, other.y) };
                            self.segments.push((*corner, end));
                        }
                    }
                }
            }
            Mark::Margin => {
                let centre = beside(&self.area, field, placement, DOT_AT_480 * scale);
                self.area.clear();
                self.area.extend((0..CORNERS).map(|corner| {
                    let angle = corner as f32 * std::f32::consts::TAU / CORNERS as f32;
                    let radius = 0.6 * DOT_AT_480 * scale;
                    Point { x: centre.x + radius * angle.cos(), y: centre.y + radius * angle.sin() }
                }));
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let next = self.area.iter().skip(1).chain(self.area.first());
        self.segments.extend(self.area.iter().copied().zip(next.copied()));
    }
}

/// Left, top, right, bottom.
fn bounds(points: &[Point]) -> [f32; 4] {
    let start = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
    points.iter().fold(start, |[left, top, right, bottom], point| {
        [left.min(point.x), top.min(point.y), right.max(point.x), bottom.max(point.y)]
    })
}

fn corners(points: &[Point], room: f32) -> [Point; 4] {
    let [left, top, right, bottom] = bounds(points);
    let (left, top, right, bottom) = (left - room, top - room, right + room, bottom + room);
    [(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| Point { x, y })
}

/// A place beside the endoscope's picture, on the region's side; where there is no room beside it, on its very edge.
fn beside(points: &[Point], field: &Rect, placement: &Placement, room: f32) -> Point {
    let place = |x: usize, y: usize| placement.to_surface(Point { x: x as f32, y: y as f32 });
    let (first, last) = (place(field.x, field.y), place(field.x + field.width, field.y + field.height));
    let [left, top, right, bottom] = bounds(points);
    let (x, y) = (0.5 * (left + right), 0.5 * (top + bottom));
    let (target_left, target_right) =
        (placement.target.x as f32, (placement.target.x + placement.target.width) as f32);
    let x = if x - first.x <= last.x - x {
        (first.x - room).max(target_left + room)
    } else {
        (last.x + room).min(target_right - room)
    };
    Point { x, y }
}
