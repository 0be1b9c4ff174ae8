//! Level lines of the logit surface: marching squares around one region, then smoothing.
//!
//! The grid is extended by two rings. The first repeats the outermost cells at the crop's edge, as the mask does; the
//! second, in the same place, is outside every region, so that a region cut off by the edge is closed along it.

use crate::geometry::Point;

/// Outlines with fewer points than this are not relaxed: it would shrink them.
const RELAX_FROM: usize = 12;
/// Corner cuttings: each doubles the points.
const CUTS: usize = 2;

/// Follows outlines on one grid at a time. Keeps its buffers.
#[derive(Debug, Default)]
pub struct Tracer {
    /// Logits and labels of the extended grid, `[H + 4, W + 4]`.
    logits: Vec<u8>,
    labels: Vec<u32>,
    width: usize,
    height: usize,
    threshold: f32,
    scratch: Vec<Point>,
}

impl Tracer {
    /// Takes a grid, `[height, width]`, of which `labels` are the regions; `threshold` is in quantised units.
    pub fn start(&mut self, logits: &[u8], labels: &[u32], width: usize, height: usize, threshold: f32) {
        (self.width, self.height, self.threshold) = (width + 4, height + 4, threshold);
        self.logits.clear();
        self.labels.clear();
        for y in 0..self.height {
            for x in 0..self.width {
                let cell = y.saturating_sub(2).min(height - 1) * width + x.saturating_sub(2).min(width - 1);
                let outside = x == 0 || y == 0 || x + 1 == self.width || y + 1 == self.height;
                self.logits.push(logits[cell]);
                self.labels.push(if outside { 0 } else { labels[cell] });
            }
        }
    }

    /// The outer line of region `label`, whose first cell in reading order is `first_cell` (of the grid without
    /// rings), clockwise on the screen, in grid units: the grid reaches from 0 to its width and height.
    pub fn outline(&mut self, label: u32, first_cell: usize, out: &mut Vec<Point>) {
        out.clear();
        let grid_width = self.width - 4;
        let (node_x, mut node_y) = (first_cell % grid_width + 2, first_cell / grid_width + 2);
        while node_y > 1 && self.inside(label, node_x, node_y - 1) {
            node_y -= 1;
        }
        // Into the square right of the line between the region's first node and the one above it.
        let start = (node_x, node_y - 1, 3);
        let (mut x, mut y, mut entry) = start;
        for _ in 0..4 * self.width * self.height {
            let corner = |index: usize| match index % 4 {
                0 => (x, y),
                1 => (x + 1, y),
                2 => (x + 1, y + 1),
                _ => (x, y + 1),
            };
            // Edge k joins corners k and k + 1. The region is on the right: corner `entry` is inside, the next is not.
            let point = self.crossing(corner(entry), corner(entry + 1));
            let apart = |last: &Point| (last.x - point.x).abs() + (last.y - point.y).abs() > 1e-4;
            if out.last().is_none_or(apart) {
                out.push(point);
            }
            let is_inside = |index: usize| {
                let (x, y) = corner(index);
                self.inside(label, x, y)
            };
            let exit = match (is_inside(entry + 2), is_inside(entry + 3)) {
                (true, _) => (entry + 1) % 4,
                (false, true) => (entry + 2) % 4,
                (false, false) => (entry + 3) % 4,
            };
            (x, y, entry) = match exit {
                0 => (x, y - 1, 2),
                1 => (x + 1, y, 3),
                2 => (x, y + 1, 0),
                _ => (x - 1, y, 1),
            };
            if (x, y, entry) == start {
                break;
            }
        }
        self.smooth(out);
    }

    fn inside(&self, label: u32, x: usize, y: usize) -> bool {
        self.labels.get(y * self.width + x) == Some(&label)
    }

    /// Where the surface meets the threshold between a node inside and one outside.
    fn crossing(&self, inside: (usize, usize), outside: (usize, usize)) -> Point {
        let logit =
            |(x, y): (usize, usize)| self.logits.get(y * self.width + x).map_or(0.0, |&v| f32::from(v));
        let place = |node: usize, nodes: usize| match node {
            0 | 1 => 0.0,
            _ if node + 2 >= nodes => (nodes - 4) as f32,
            _ => node as f32 - 1.5,
        };
        let (high, low) = (logit(inside), logit(outside));
        // The rings' outer nodes repeat the value of the inner ones: any share of a way of no length will do.
        let share = if high > low { ((high - self.threshold) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        let (from_x, to_x) = (place(inside.0, self.width), place(outside.0, self.width));
        let (from_y, to_y) = (place(inside.1, self.height), place(outside.1, self.height));
        Point { x: from_x + (to_x - from_x) * share, y: from_y + (to_y - from_y) * share }
    }

    fn smooth(&mut self, outline: &mut Vec<Point>) {
        if outline.len() >= RELAX_FROM {
            // Taubin's pair: the second step undoes the first one's shrinking.
            for amount in [0.5, -0.52, 0.5, -0.52] {
                self.scratch.clone_from(outline);
                let points = &self.scratch;
                let count = points.len();
                for (index, target) in outline.iter_mut().enumerate() {
                    let (before, here, after) =
                        (points[(index + count - 1) % count], points[index], points[(index + 1) % count]);
                    target.x = here.x + amount * (0.5 * (before.x + after.x) - here.x);
                    target.y = here.y + amount * (0.5 * (before.y + after.y) - here.y);
                }
            }
        }
        for _ in 0..CUTS {
            self.scratch.clear();
            let count = outline.len();
            for index in 0..count {
                let (a, b) = (outline[index], outline[(index + 1) % count]);
                self.scratch.push(Point { x: 0.75 * a.x + 0.25 * b.x, y: 0.75 * a.y + 0.25 * b.y });
                self.scratch.push(Point { x: 0.25 * a.x + 0.75 * b.x, y: 0.25 * a.y + 0.75 * b.y });
            }
            std::mem::swap(outline, &mut self.scratch);
        }
        let (width, height) = ((self.width - 4) as f32, (self.height - 4) as f32);
        for point in outline {
            point.x = point.x.clamp(0.0, width);
            point.y = point.y.clamp(0.0, height);
        }
    }
}
