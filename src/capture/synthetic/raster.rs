//! A z-buffer that keeps, for each pixel, what the shading needs.

use super::dice::Vec3;

/// Projects by the stereographic projection, whose angles are true: a wide view without stretched edges.
/// Camera space: x right, y down, z ahead.
#[derive(Clone, Copy)]
pub struct Lens {
    pub centre: [f32; 2],
    pub focal_px: f32,
}

impl Lens {
    /// A corner at a place in camera space; `None` behind the camera.
    pub fn project(&self, place: Vec3) -> Option<[f32; 3]> {
        let distance = (place[0] * place[0] + place[1] * place[1] + place[2] * place[2]).sqrt();
        let denominator = distance + place[2];
        if distance < 0.02 || denominator < 0.45 * distance {
            return None;
        }
        let k = 2.0 * self.focal_px / denominator;
        Some([self.centre[0] + place[0] * k, self.centre[1] + place[1] * k, 1.0 / distance])
    }

    /// The direction (unit length) that falls on a place in the picture.
    pub fn ray(&self, x: f32, y: f32) -> Vec3 {
        let k = 1.0 / self.focal_px;
        let (x, y) = ((x - self.centre[0]) * k, (y - self.centre[1]) * k);
        let q = 0.25 * (x * x + y * y);
        let n = 1.0 / (1.0 + q);
        [x * n, y * n, (1.0 - q) * n]
    }
}

/// A corner of the mesh, projected. `near` is 1 / distance, 0 where it cannot be drawn.
#[derive(Clone, Copy, Default)]
pub struct Corner {
    pub x: f32,
    pub y: f32,
    pub near: f32,
    pub u: f32,
    pub v: f32,
    pub normal: Vec3,
    pub blend: f32,
}

/// What is seen in a pixel. `thing` 0 is the wall, above it a polyp; `blend` is the wall's tone over wide areas, or
/// says how much of a polyp it is.
#[derive(Clone, Copy, Default)]
pub struct Seen {
    pub u: f32,
    pub v: f32,
    pub normal: Vec3,
    pub blend: f32,
    pub thing: u32,
}

pub struct Target {
    pub width: usize,
    pub height: usize,
    /// 1 / distance; 0 where nothing is seen.
    pub near: Vec<f32>,
    pub seen: Vec<Seen>,
}

impl Target {
    pub fn new() -> Self {
        Target { width: 0, height: 0, near: Vec::new(), seen: Vec::new() }
    }

    pub fn clear(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.near.clear();
        self.near.resize(width * height, 0.0);
        self.seen.resize(width * height, Seen::default());
    }

    /// Draws a grid of corners, `columns` to a row, as quads; those turned away are left out.
    pub fn grid(&mut self, corners: &[Corner], columns: usize, thing: u32) {
        for (upper, lower) in corners.chunks_exact(columns).zip(corners.chunks_exact(columns).skip(1)) {
            for (a, b) in upper.windows(2).zip(lower.windows(2)) {
                let ([a0, a1], [b0, b1]) = (a, b) else { continue };
                self.triangle([a0, a1, b0], thing);
                self.triangle([b0, a1, b1], thing);
            }
        }
    }

    fn triangle(&mut self, [a, b, c]: [&Corner; 3], thing: u32) {
        if a.near <= 0.0 || b.near <= 0.0 || c.near <= 0.0 {
            return;
        }
        let area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
        if area <= 1e-6 {
            return;
        }
        let left = a.x.min(b.x).min(c.x).max(0.0);
        let right = a.x.max(b.x).max(c.x).min(self.width as f32 - 1.0);
        let top = a.y.min(b.y).min(c.y).max(0.0);
        let bottom = a.y.max(b.y).max(c.y).min(self.height as f32 - 1.0);
        // Pixel centres lie on whole numbers.
        let (x0, y0) =
            (left as usize + usize::from(left.fract() > 0.0), top as usize + usize::from(top.fract() > 0.0));
        if right < x0 as f32 || bottom < y0 as f32 {
            return;
        }
        let (x1, y1) = (right as usize, bottom as usize);
        let scale = 1.0 / area;
        // Weights of b and c, and their steps.
        let (step_b, down_b) = ((c.y - a.y) * scale, (a.x - c.x) * scale);
        let (step_c, down_c) = ((a.y - b.y) * scale, (b.x - a.x) * scale);
        let slack = -1e-4f32;
        for y in y0..=y1 {
            let (dx, dy) = (x0 as f32 - a.x, y as f32 - a.y);
            let mut weight_b = dx * step_b + dy * down_b;
            let mut weight_c = dx * step_c + dy * down_c;
            let row = y * self.width;
            let nears = self.near.get_mut(row + x0..=row + x1).unwrap_or_default();
            let seens = self.seen.get_mut(row + x0..=row + x1).unwrap_or_default();
            for (near, seen) in nears.iter_mut().zip(seens) {
                let weight_a = 1.0 - weight_b - weight_c;
                if weight_a >= slack && weight_b >= slack && weight_c >= slack {
                    let here = weight_a * a.near + weight_b * b.near + weight_c * c.near;
                    if here > *near {
                        *near = here;
                        let blend = |i: f32, j: f32, k: f32| weight_a * i + weight_b * j + weight_c * k;
                        *seen = Seen {
                            u: blend(a.u, b.u, c.u),
                            v: blend(a.v, b.v, c.v),
                            normal: [
                                blend(a.normal[0], b.normal[0], c.normal[0]),
                                blend(a.normal[1], b.normal[1], c.normal[1]),
                                blend(a.normal[2], b.normal[2], c.normal[2]),
                            ],
                            blend: blend(a.blend, b.blend, c.blend),
                            thing,
                        };
                    }
                }
                weight_b += step_b;
                weight_c += step_c;
            }
        }
    }
}
