//! The wall near the camera as a grid of corners in camera space.

use super::anatomy::Stretch;
use super::dice::{Vec3, add, cos_turns, cross, dot, lerp, normalise, scale, sin_turns, sub};
use super::raster::{Corner, Lens};

/// Corners around the wall; the first is repeated at the end.
const AROUND: usize = 192;
pub const COLUMNS: usize = AROUND + 1;
/// Rings lie at multiples of this along the centre line, wider apart further off.
pub const GRID: f32 = 0.03;
const BEHIND: f32 = 1.4;
const AHEAD: f32 = 12.0;

/// Where the camera is and looks, in the centre line's frame at `z`.
pub struct Pose {
    pub z: f32,
    pub place: Vec3,
    /// Right, down, ahead.
    pub axes: [Vec3; 3],
}

#[derive(Clone, Copy)]
struct Ring {
    z: f32,
    centre: Vec3,
    /// Two normals, and the direction of the centre line.
    frame: [Vec3; 3],
}

#[derive(Default)]
pub struct Tube {
    rings: Vec<Ring>,
    places: Vec<Vec3>,
    pub corners: Vec<Corner>,
}

fn advance(ring: &Ring, stretch: &Stretch, z: f32) -> Ring {
    let step = z - ring.z;
    let [bend_n, bend_b] = stretch.curvature(ring.z + 0.5 * step);
    let [n, b, t] = ring.frame;
    let ahead = normalise(add(t, scale(add(scale(n, bend_n), scale(b, bend_b)), step)));
    let n = sub(n, scale(ahead, dot(n, ahead)));
    let n = normalise(n);
    let b = cross(ahead, n);
    let centre = add(ring.centre, scale(normalise(add(t, ahead)), step));
    Ring { z, centre, frame: [n, b, ahead] }
}

impl Tube {
    /// Makes the mesh; `tone` gives what its corners carry as their blend, by turn and `z`.
    pub fn build(&mut self, stretch: &Stretch, pose: &Pose, lens: &Lens, tone: impl Fn(f32, f32) -> f32) {
        self.place_rings(stretch, pose);
        self.places.clear();
        let turns: [(f32, f32, f32); COLUMNS] = std::array::from_fn(|j| {
            let turn = (j % AROUND) as f32 / AROUND as f32;
            (turn, cos_turns(turn), sin_turns(turn))
        });
        for ring in &self.rings {
            let [n, b, _] = ring.frame;
            for &(turn, cos, sin) in &turns {
                let radius = stretch.radius(ring.z, turn);
                self.places.push(add(ring.centre, add(scale(n, radius * cos), scale(b, radius * sin))));
            }
        }
        self.corners.clear();
        let last = self.rings.len().saturating_sub(1);
        for (i, ring) in self.rings.iter().enumerate() {
            let (below, above) = (i.saturating_sub(1) * COLUMNS, (i + 1).min(last) * COLUMNS);
            for j in 0..COLUMNS {
                let place = self.places[i * COLUMNS + j];
                let Some([x, y, near]) = lens.project(place) else {
                    self.corners.push(Corner::default());
                    continue;
                };
                let (left, right) = ((j + AROUND - 1) % AROUND, (j + 1) % AROUND);
                let along = sub(self.places[above + j], self.places[below + j]);
                let around = sub(self.places[i * COLUMNS + right], self.places[i * COLUMNS + left]);
                let normal = normalise(cross(along, around));
                let u = j as f32 / AROUND as f32;
                self.corners.push(Corner { x, y, near, u, v: ring.z, normal, blend: tone(u, ring.z) });
            }
        }
    }

    fn place_rings(&mut self, stretch: &Stretch, pose: &Pose) {
        let camera = |v: Vec3| pose.axes.map(|axis| dot(axis, v));
        let start = Ring {
            z: pose.z,
            centre: camera(scale(pose.place, -1.0)),
            frame: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(camera),
        };
        self.rings.clear();
        let first = ((pose.z - BEHIND) / GRID).ceil() as i32;
        let here = (pose.z / GRID).floor() as i32;
        let mut ring = start;
        for index in (first..=here).rev() {
            ring = advance(&ring, stretch, index as f32 * GRID);
            self.rings.push(ring);
        }
        self.rings.reverse();
        ring = start;
        let mut index = here + 1;
        while index as f32 * GRID < pose.z + AHEAD {
            ring = advance(&ring, stretch, index as f32 * GRID);
            self.rings.push(ring);
            let distance = ring.z - pose.z;
            index += match () {
                _ if distance > 5.0 && index % 4 == 0 => 4,
                _ if distance > 1.5 && index % 2 == 0 => 2,
                _ => 1,
            };
        }
    }

    /// The place of the wall at `z` and `turn`, `None` outside the stretch that was built.
    pub fn wall(&self, stretch: &Stretch, z: f32, turn: f32) -> Option<Vec3> {
        let above = self.rings.partition_point(|ring| ring.z <= z);
        let (low, high) = (self.rings.get(above.checked_sub(1)?)?, self.rings.get(above)?);
        let t = (z - low.z) / (high.z - low.z).max(1e-6);
        let centre = lerp(low.centre, high.centre, t);
        let n = lerp(low.frame[0], high.frame[0], t);
        let b = lerp(low.frame[1], high.frame[1], t);
        let radius = stretch.radius(z, turn);
        Some(add(centre, add(scale(n, radius * cos_turns(turn)), scale(b, radius * sin_turns(turn)))))
    }

    /// Fills a table of the centre line's direction, one entry a [`GRID`] step from `z = start`.
    pub fn axes(&self, start: f32, table: &mut Vec<Vec3>) {
        table.clear();
        let mut next = start;
        for ring in &self.rings {
            while next <= ring.z {
                table.push(ring.frame[2]);
                next += GRID;
            }
        }
    }

    /// The first ring's `z`.
    pub fn start(&self) -> f32 {
        self.rings.first().map_or(0.0, |ring| ring.z)
    }
}
