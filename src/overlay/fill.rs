//! The inside of a polygon, row by row.

use std::ops::Range;

use crate::geometry::Point;

/// Finds which pixels' centres lie inside a closed polygon (even-odd). Keeps its buffer.
#[derive(Default)]
pub struct Filler {
    crossings: Vec<f32>,
}

impl Filler {
    /// Gives the runs of inside pixels, in a picture of the given size, top to bottom.
    pub fn spans(
        &mut self,
        outline: &[Point],
        width: usize,
        height: usize,
        mut run: impl FnMut(usize, Range<usize>),
    ) {
        let lowest = outline.iter().fold(f32::INFINITY, |lowest, point| lowest.min(point.y));
        let highest = outline.iter().fold(f32::NEG_INFINITY, |highest, point| highest.max(point.y));
        let row = |place: f32| place.clamp(0.0, height as f32) as usize;
        for y in row(lowest.floor())..row(highest.ceil()) {
            let centre = y as f32 + 0.5;
            self.crossings.clear();
            for (index, from) in outline.iter().enumerate() {
                let to = outline.get(index + 1).or(outline.first()).unwrap_or(from);
                if (from.y > centre) != (to.y > centre) {
                    let share = (centre - from.y) / (to.y - from.y);
                    self.crossings.push(from.x + share * (to.x - from.x));
                }
            }
            self.crossings.sort_unstable_by(f32::total_cmp);
            for pair in self.crossings.chunks_exact(2) {
                if let &[left, right] = pair {
                    // Pixel x is inside if left <= x + 0.5 < right.
                    let column = |place: f32| (place - 0.5).ceil().clamp(0.0, width as f32) as usize;
                    if column(left) < column(right) {
                        run(y, column(left)..column(right));
                    }
                }
            }
        }
    }
}
