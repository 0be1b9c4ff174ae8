//! Polyps: where they grow, their shape and colour, and their mesh.

use super::anatomy::Stretch;
use super::dice::{
    Dice, Vec3, add, cos_turns, cross, dot, lerp, mix, normalise, scale, sin_turns, smoothstep, sub,
};
use super::raster::{Corner, Lens};
use super::tube::Tube;
use super::variety::{POLYPS_AHEAD, Variety};

/// Length of colon that holds at most one group of polyps.
const SLOT: f64 = 5.5;
const AROUND: usize = 72;
pub const COLUMNS: usize = AROUND + 1;
const ROWS: usize = 44;
const LUMPS: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolypShape {
    /// A slight elevation (Paris IIa).
    Flat,
    /// A dome (Is).
    Sessile,
    /// A head on a stalk (Ip).
    Pedunculated,
}

#[derive(Clone, Copy)]
struct Lump {
    direction: Vec3,
    amplitude: f32,
    phase: f32,
}

#[derive(Clone, Copy)]
pub struct Polyp {
    pub s: f64,
    pub turn: f32,
    pub kind: PolypShape,
    /// Of the head, in colon radii.
    pub radius: f32,
    height: f32,
    stalk: f32,
    neck: f32,
    squeeze: f32,
    lean: [f32; 2],
    lumps: [Lump; LUMPS],
    /// Colour relative to the mucosa around, linear light.
    pub tint: Vec3,
    pub tip_tint: Vec3,
    /// How strongly pits show, and how often the texture's tile repeats over a colon radius.
    pub pits: f32,
    pub pit_scale: f32,
    pub gloss: f32,
    pub phase: [f32; 2],
    /// How far the camera leaves the centre line to look at it.
    pub approach: f32,
}

fn tint(dice: &mut Dice, contrast: f32) -> Vec3 {
    // Redder, paler, yellowish, darker, like the mucosa.
    let towards = match dice.range(0.0, 10.0) as u32 {
        0..=4 => [dice.range(0.95, 1.1), dice.range(0.55, 0.8), dice.range(0.55, 0.8)],
        5..=6 => [dice.range(1.05, 1.3), dice.range(1.05, 1.35), dice.range(1.05, 1.4)],
        7 => [dice.range(1.05, 1.2), dice.range(1.0, 1.2), dice.range(0.6, 0.85)],
        8 => [dice.range(0.6, 0.8), dice.range(0.4, 0.6), dice.range(0.4, 0.65)],
        _ => [dice.range(0.95, 1.05), dice.range(0.88, 1.0), dice.range(0.88, 1.0)],
    };
    towards.map(|channel| mix(1.0, channel, contrast))
}

impl Polyp {
    fn grow(dice: &mut Dice, s: f64, turn: f32, variety: &Variety) -> Self {
        let kind = match dice.unit() {
            x if x < variety.flat => PolypShape::Flat,
            x if x < variety.flat + variety.pedunculated => PolypShape::Pedunculated,
            _ => PolypShape::Sessile,
        };
        let [small, large] = variety.radius;
        let mut radius = small * (large / small).powf(dice.unit());
        let height = match kind {
            PolypShape::Flat => {
                radius *= 1.3;
                radius * dice.range(0.16, 0.34)
            }
            PolypShape::Sessile => radius * dice.range(0.65, 1.15),
            PolypShape::Pedunculated => radius * dice.range(0.8, 1.1),
        };
        let rough = variety.lumpiness * if dice.chance(0.35) { 1.5 } else { 0.8 };
        let lumps = std::array::from_fn(|index| {
            let (frequency, amplitude) = match index {
                0..=2 => (dice.range(0.22, 0.42), dice.range(0.03, 0.10)),
                _ => (dice.range(0.7, 1.5), dice.range(0.015, 0.05)),
            };
            Lump {
                direction: scale(dice.direction(), frequency),
                amplitude: amplitude * rough,
                phase: dice.unit(),
            }
        });
        let body = tint(dice, variety.contrast);
        let flush = dice.range(0.75, 1.0);
        Polyp {
            s,
            turn,
            kind,
            radius,
            height,
            stalk: if kind == PolypShape::Pedunculated { dice.range(0.25, 1.1) * radius } else { 0.0 },
            neck: dice.range(-0.1, 0.3),
            squeeze: dice.range(0.7, 1.0),
            lean: [dice.range(-0.5, 0.5), dice.range(-0.5, 0.5)],
            lumps,
            tint: body,
            tip_tint: [body[0], body[1] * flush, body[2] * flush],
            pits: variety.texture * dice.range(0.05, 1.0),
            pit_scale: dice.range(0.35, 0.7) / radius,
            gloss: dice.range(0.6, 1.3),
            phase: [dice.unit(), dice.unit()],
            approach: dice.range(0.0, 0.55),
        }
    }

    /// Radius and height of the ring at `t` between the base (0) and the top (1).
    fn profile(&self, t: f32) -> [f32; 2] {
        let flare = 1.0 - (t / 0.12).min(1.0);
        match self.kind {
            PolypShape::Flat => {
                let (sin, cos) = (sin_turns(0.25 * t), cos_turns(0.25 * t));
                [self.radius * (cos + 0.12 * flare * flare), self.height * sin.max(0.0).powf(0.75)]
            }
            PolypShape::Sessile => {
                let (sin, cos) = (sin_turns(0.25 * t), cos_turns(0.25 * t));
                let belly = 1.0 + self.neck * sin * cos * 2.0;
                [self.radius * (cos * belly + 0.18 * flare * flare), self.height * sin]
            }
            PolypShape::Pedunculated => {
                const SHARE: f32 = 0.3;
                let stalk_radius = 0.36 * self.radius;
                if t < SHARE {
                    let up = t / SHARE;
                    [stalk_radius * (1.0 + 0.7 * (1.0 - up) * (1.0 - up)), self.stalk * up]
                } else {
                    let from = -0.19;
                    let angle = mix(from, 0.25, (t - SHARE) / (1.0 - SHARE));
                    let (sin, cos) = (sin_turns(angle), cos_turns(angle));
                    [self.radius * cos.max(0.0), self.stalk + self.height * (sin - sin_turns(from))]
                }
            }
        }
    }

    fn top(&self) -> f32 {
        self.profile(1.0)[1]
    }

    /// Makes the mesh; `false` if the polyp lies outside the stretch.
    ///
    /// Farther off than four radii from the camera at `camera_z` it shrinks, so that none comes into being in sight.
    pub fn mesh(
        &self,
        origin: f64,
        camera_z: f32,
        stretch: &Stretch,
        tube: &Tube,
        lens: &Lens,
        mesh: &mut Mesh,
    ) -> bool {
        let z = (self.s - origin) as f32;
        let size = 1.0 - smoothstep(4.0, POLYPS_AHEAD as f32, z - camera_z);
        let around = std::f32::consts::TAU * stretch.radius(z, self.turn);
        let step = 0.5 * self.radius.min(0.15);
        let wall = |x: f32, y: f32| tube.wall(stretch, z + y, self.turn + x / around);
        let (Some(foot), Some(x0), Some(x1), Some(y0), Some(y1)) =
            (wall(0.0, 0.0), wall(-step, 0.0), wall(step, 0.0), wall(0.0, -step), wall(0.0, step))
        else {
            return false;
        };
        let normal = normalise(cross(sub(y1, y0), sub(x1, x0)));
        let right = normalise(sub(x1, x0));
        let ahead = cross(right, normal);
        let ahead = scale(ahead, dot(ahead, sub(y1, y0)).signum());
        mesh.axis = ahead;
        mesh.places.clear();
        let top = size * self.top();
        for row in 0..=ROWS {
            let t = row as f32 / ROWS as f32;
            let [ring, height] = self.profile(t).map(|length| length * size);
            let free = smoothstep(0.0, 0.6 * self.radius, height);
            // The foot is sunk into the wall, whose mesh is coarser.
            let sunk = (0.014 + 0.03 * self.radius) * (1.0 - (t / 0.16).min(1.0));
            let bow = height * height / top.max(1e-6);
            for column in 0..COLUMNS {
                let turn = (column % AROUND) as f32 / AROUND as f32;
                let (cos, sin) = (cos_turns(turn), sin_turns(turn));
                let at = [ring * cos, ring * sin, height - 0.4 * top];
                let direction = normalise(at);
                let mut swell = 1.0;
                for lump in &self.lumps {
                    swell += lump.amplitude * sin_turns(dot(lump.direction, direction) + lump.phase);
                }
                let x = ring * cos * swell + self.lean[0] * bow;
                let y = ring * sin * swell * self.squeeze + self.lean[1] * bow;
                let straight = add(foot, add(scale(right, x), scale(ahead, y)));
                let Some(bent) = wall(x, y) else { return false };
                let lift = mix(height, height * swell, free) - sunk;
                mesh.places.push(add(lerp(bent, straight, free), scale(normal, lift)));
            }
        }
        self.corners(lens, mesh);
        true
    }

    fn corners(&self, lens: &Lens, mesh: &mut Mesh) {
        mesh.corners.clear();
        let mut arc = 0.0;
        let mut previous = self.profile(1.0);
        let mut arcs = [0.0; ROWS + 1];
        for row in (0..=ROWS).rev() {
            let here = self.profile(row as f32 / ROWS as f32);
            arc += (here[0] - previous[0]).hypot(here[1] - previous[1]);
            arcs[row] = arc;
            previous = here;
        }
        for (row, arc) in arcs.into_iter().enumerate() {
            let t = row as f32 / ROWS as f32;
            let (below, above) = (row.saturating_sub(1) * COLUMNS, (row + 1).min(ROWS) * COLUMNS);
            let blend = match self.kind {
                PolypShape::Pedunculated => smoothstep(0.0, 0.3, t) * 0.5 + smoothstep(0.24, 0.4, t) * 0.5,
                _ => smoothstep(0.0, 0.22, t),
            };
            for column in 0..COLUMNS {
                let at = row * COLUMNS + column;
                let Some([x, y, near]) = lens.project(mesh.places[at]) else {
                    mesh.corners.push(Corner::default());
                    continue;
                };
                let (left, right) = ((column + AROUND - 1) % AROUND, (column + 1) % AROUND);
                let here = if row == ROWS { below } else { row * COLUMNS };
                let up = sub(mesh.places[above + column], mesh.places[below + column]);
                let across = sub(mesh.places[here + right], mesh.places[here + left]);
                let normal = normalise(cross(up, across));
                let turn = (column % AROUND) as f32 / AROUND as f32;
                let (u, v) = (arc * cos_turns(turn), arc * sin_turns(turn));
                mesh.corners.push(Corner { x, y, near, u, v, normal, blend });
            }
        }
    }
}

#[derive(Default)]
pub struct Mesh {
    places: Vec<Vec3>,
    pub corners: Vec<Corner>,
    pub axis: Vec3,
}

/// Where a patient's polyps are.
pub struct Polyps {
    seed: u64,
    variety: Variety,
}

impl Polyps {
    pub fn new(seed: u64, variety: Variety) -> Self {
        Polyps { seed, variety }
    }

    /// The polyps between two places along the colon, nearest the start first.
    pub fn between(&self, from: f64, to: f64, found: &mut Vec<Polyp>) {
        found.clear();
        let (first, last) = ((from / SLOT).floor() as i64, (to / SLOT).floor() as i64);
        for slot in first..=last {
            let mut dice = Dice::new(self.seed, slot as u64 ^ 0x9017);
            if !dice.chance(self.variety.density) {
                continue;
            }
            let count = if dice.chance(0.22) { 2 } else { 1 };
            let s = (slot as f64 + dice.range(0.25, 0.75) as f64) * SLOT;
            for index in 0..count {
                let s = s + index as f64 * dice.range(0.3, 1.2) as f64;
                let turn = dice.unit();
                let polyp = Polyp::grow(&mut dice, s, turn, &self.variety);
                if s >= from && s < to {
                    found.push(polyp);
                }
            }
        }
    }
}
