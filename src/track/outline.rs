//! Outlines held still: a little of the last one is in the next, moved along with the region.

use crate::geometry::Point;

/// Points of a steadied outline, evenly spaced along it.
const POINTS: usize = 160;
/// Outlines further apart than this share of their size, on average, are not mixed: the region changed.
const MOST_APART: f32 = 0.15;

/// Mixes outlines. Keeps its buffers.
#[derive(Debug)]
pub(super) struct Steadier {
    share: f32,
    next: Vec<Point>,
}

impl Steadier {
    /// `share` of the last outline goes into the next; 0 leaves outlines as they are.
    pub(super) fn new(share: f32) -> Steadier {
        Steadier { share: share.clamp(0.0, 0.95), next: Vec::with_capacity(POINTS) }
    }

    /// Puts what is to be drawn for `found` in the place of the outline that was drawn last, which is empty if there
    /// was none.
    pub(super) fn steady(&mut self, found: &[Point], drawn: &mut Vec<Point>) {
        if self.share == 0.0 || found.len() < 3 {
            drawn.clear();
            drawn.extend_from_slice(found);
            return;
        }
        resample(found, &mut self.next);
        if drawn.len() == self.next.len()
            && let Some((shift, moved)) = self.alignment(drawn)
        {
            for (index, point) in self.next.iter_mut().enumerate() {
                let Some(last) = drawn.get((index + shift) % POINTS) else { continue };
                point.x += (last.x + moved.x - point.x) * self.share;
                point.y += (last.y + moved.y - point.y) * self.share;
            }
        }
        drawn.clear();
        drawn.extend_from_slice(&self.next);
    }

    /// By how many points and by how far the last outline is to be moved to lie on the next; `None` if it does not.
    fn alignment(&self, last: &[Point]) -> Option<(usize, Point)> {
        let (from, to) = (centre(last), centre(&self.next));
        let moved = Point { x: to.x - from.x, y: to.y - from.y };
        let apart = |shift: usize| {
            let turned = last.iter().cycle().skip(shift);
            let squares = self.next.iter().zip(turned).map(|(next, last)| {
                (last.x + moved.x - next.x).powi(2) + (last.y + moved.y - next.y).powi(2)
            });
            squares.sum::<f32>()
        };
        let (shift, least) = (0..POINTS)
            .map(|shift| (shift, apart(shift)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|(_, least)| least.is_finite())?;
        let size = self.next.iter().map(|point| (point.x - to.x).hypot(point.y - to.y)).sum::<f32>();
        let (apart, size) = ((least / POINTS as f32).sqrt(), 2.0 * size / POINTS as f32);
        (apart <= MOST_APART * size).then_some((shift, moved))
    }
}

fn centre(points: &[Point]) -> Point {
    let count = points.len().max(1) as f32;
    let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.x, sum.1 + point.y));
    Point { x: sum.0 / count, y: sum.1 / count }
}

/// The closed outline's length from point `index` to the next.
fn side(outline: &[Point], index: usize) -> f32 {
    match (outline.get(index), outline.get(index + 1).or(outline.first())) {
        (Some(from), Some(to)) => (to.x - from.x).hypot(to.y - from.y),
        _ => 0.0,
    }
}

/// [`POINTS`] points evenly along a closed outline, from its first point on.
fn resample(outline: &[Point], out: &mut Vec<Point>) {
    out.clear();
    let whole: f32 = (0..outline.len()).map(|index| side(outline, index)).sum();
    let step = whole / POINTS as f32;
    let (mut index, mut passed) = (0, 0.0);
    for number in 0..POINTS {
        let place = number as f32 * step;
        while index + 1 < outline.len() && passed + side(outline, index) < place {
            passed += side(outline, index);
            index += 1;
        }
        let (Some(from), Some(to)) = (outline.get(index), outline.get(index + 1).or(outline.first())) else {
            return;
        };
        let length = side(outline, index);
        let share = if length > 0.0 { ((place - passed) / length).clamp(0.0, 1.0) } else { 0.0 };
        out.push(Point { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share });
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    /// A circle of 90 points that starts anywhere, its radius off by up to `noise`.
    fn blob(x: f32, y: f32, radius: f32, noise: f32, seed: u32) -> Vec<Point> {
        let mut state = seed.wrapping_mul(2654435761).wrapping_add(1);
        let start = seed as f32;
        (0..90)
            .map(|index| {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                let radius = radius + noise * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0);
                let angle = start + index as f32 * TAU / 90.0;
                Point { x: x + radius * angle.cos(), y: y + radius * angle.sin() }
            })
            .collect()
    }

    /// Mean distance of the points from the circle.
    fn unrest(outline: &[Point], x: f32, y: f32, radius: f32) -> f32 {
        let off = outline.iter().map(|point| ((point.x - x).hypot(point.y - y) - radius).abs());
        off.sum::<f32>() / outline.len() as f32
    }

    #[test]
    fn jitter_is_halved_and_movement_is_followed_at_once() {
        let (mut steadier, mut drawn) = (Steadier::new(0.7), Vec::new());
        let (mut before, mut after) = (0.0, 0.0);
        for frame in 0..30 {
            // It moves by eight pixels a frame.
            let x = 100.0 + 8.0 * frame as f32;
            let found = blob(x, 90.0, 40.0, 3.0, frame);
            steadier.steady(&found, &mut drawn);
            let middle = centre(&drawn);
            assert!((middle.x - x).abs() < 3.0, "it lags: {} at {x}", middle.x);
            if frame >= 5 {
                before += unrest(&found, x, 90.0, 40.0);
                after += unrest(&drawn, x, 90.0, 40.0);
            }
        }
        assert!(after < 0.55 * before, "unrest {before} became {after}");
    }

    #[test]
    fn another_shape_is_taken_as_it_is() {
        let (mut steadier, mut drawn) = (Steadier::new(0.8), Vec::new());
        steadier.steady(&blob(100.0, 100.0, 20.0, 0.0, 1), &mut drawn);
        steadier.steady(&blob(110.0, 100.0, 60.0, 0.0, 2), &mut drawn);
        assert!(unrest(&drawn, 110.0, 100.0, 60.0) < 0.2);
    }

    #[test]
    fn odd_outlines_do_no_harm() {
        let nan = Point { x: f32::NAN, y: 0.0 };
        let same = Point { x: 3.0, y: 3.0 };
        let (mut steadier, mut drawn) = (Steadier::new(0.5), Vec::new());
        for outline in [vec![], vec![same], vec![same; 5], vec![nan; 4], vec![same, nan, same, same]] {
            for _ in 0..2 {
                steadier.steady(&outline, &mut drawn);
                assert!(drawn.len() <= POINTS.max(outline.len()));
            }
        }
    }
}
