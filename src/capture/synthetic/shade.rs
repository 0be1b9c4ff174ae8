//! Light and colour: what was seen in each pixel becomes a picture.

use super::border::Border;
use super::dice::{Dice, Vec3, add, cross, dot, hash, mix, normalise, scale, smoothstep, sub};
use super::mask::Mask;
use super::polyp::Polyp;
use super::raster::{Lens, Target};
use super::texture::{self, Texture};
use super::tube::GRID;
use crate::frame::Frame;

/// Tiles of mucosa around the colon, and along one radius of it.
const TILES_AROUND: f32 = 2.0;
const TILES_ALONG: f32 = 0.33;
const BROAD_TILES_ALONG: f32 = 0.13;
const CURVE: usize = 2048;
const GRAIN: usize = 1 << 15;
/// A polyp darker than this cannot be seen, and is not in the mask.
const VISIBLE: f32 = 22.0;

/// How a patient's mucosa looks, and what the endoscope makes of it.
pub struct Shader {
    albedo: Vec3,
    vessels: f32,
    vessel_colour: Vec3,
    mottle: f32,
    relief: f32,
    wetness: f32,
    glint: [f32; 2],
    /// How much of the wall does not glint.
    dryness: f32,
    residue: f32,
    key: f32,
    fill: f32,
    light: [f32; 2],
    softness: u32,
    grain: f32,
    warmth: Vec3,
    mucosa: Texture,
    polyp: Texture,
    curve: Vec<u8>,
    noise: Vec<i8>,
}

/// What a frame adds to the picture's geometry.
pub struct Scene<'a> {
    pub origin: f64,
    pub lens: Lens,
    pub axes: &'a [Vec3],
    pub axes_start: f32,
    /// By `thing - 1`: the polyp and its mesh's axis.
    pub polyps: &'a [(Polyp, Vec3)],
}

fn linear(colour: [u8; 3]) -> Vec3 {
    colour.map(|channel| (channel as f32 / 255.0).powf(2.2))
}

impl Shader {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 5);
        let albedo = dice.pick(&[
            [214, 112, 88],
            [205, 132, 76],
            [222, 142, 112],
            [206, 92, 72],
            [196, 118, 80],
            [226, 126, 94],
        ]);
        let albedo = linear(albedo).map(|channel| channel * dice.range(0.88, 1.12));
        let curve = (0..CURVE)
            .map(|index| {
                let x = (index as f32 / (CURVE - 1) as f32).powi(2) * 4.0;
                let shoulder = 1.0 - (-1.25 * x).exp();
                (255.0 * shoulder.powf(0.4545).min(1.0)).round() as u8
            })
            .collect();
        let mut grain: Vec<f32> = (0..GRAIN)
            .map(|_| dice.range(-1.0, 1.0) + dice.range(-1.0, 1.0) + dice.range(-1.0, 1.0))
            .collect();
        for index in 0..GRAIN {
            grain[index] = 0.6 * grain[index] + 0.4 * grain[(index + 3) % GRAIN];
        }
        let level = dice.range(0.7, 2.6);
        let noise = grain.iter().map(|&value| (value * level * 1.3).round() as i8).collect();
        let angle = dice.range(0.0, std::f32::consts::TAU);
        Shader {
            albedo,
            vessels: dice.range(0.2, 1.6),
            vessel_colour: [dice.range(0.6, 0.8), dice.range(0.2, 0.36), dice.range(0.2, 0.36)],
            mottle: dice.range(0.10, 0.3),
            relief: dice.range(0.15, 0.5),
            wetness: dice.range(0.7, 1.5),
            glint: [dice.range(0.965, 0.98), dice.range(0.984, 0.993)],
            dryness: dice.range(0.45, 0.8),
            residue: if dice.chance(0.3) { dice.range(0.1, 0.32) } else { 0.0 },
            key: dice.range(0.4, 0.8),
            fill: dice.range(0.02, 0.07),
            light: [0.07 * angle.cos(), 0.07 * angle.sin()],
            softness: dice.range(1.0, 2.6) as u32,
            grain: level,
            warmth: [1.0, dice.range(0.93, 1.07), dice.range(0.9, 1.1)],
            mucosa: texture::mucosa(seed),
            polyp: texture::polyp(seed),
            curve,
            noise,
        }
    }

    /// The mucosa's colour over wide areas, 0..1, at a turn and at `z` from `origin`.
    pub fn tone(&self, turn: f32, z: f32, origin: f64) -> f32 {
        let along = (origin * BROAD_TILES_ALONG as f64).rem_euclid(64.0) as f32 + z * BROAD_TILES_ALONG;
        self.mucosa.sample(turn + 0.37, along, 4).mottle
    }

    /// Light that reaches a surface, as the camera's automatic exposure measures it.
    fn exposure(&self, target: &Target, border: &Border) -> f32 {
        let (mut sum, mut count) = (0.0f32, 0u32);
        for y in (2..target.height).step_by(6) {
            let (x0, x1) = border.span(y);
            for x in (x0..x1).step_by(6) {
                let at = y * target.width + x;
                let (near, seen) = (target.near[at], &target.seen[at]);
                let facing = if near > 0.0 { dot(seen.normal, seen.normal).sqrt() * 0.6 } else { 0.0 };
                sum += (facing * near * near).min(6.0).sqrt();
                count += 1;
            }
        }
        let mean = (sum / count.max(1) as f32).powi(2);
        self.key / mean.clamp(0.12, 12.0)
    }

    /// Paints the picture inside the border's opening, and the mask of the polyps that can be seen.
    pub fn paint(&self, scene: &Scene, target: &Target, border: &Border, frame: &mut Frame, mask: &mut Mask) {
        let exposure = self.exposure(target, border);
        let tile_origin = (scene.origin * TILES_ALONG as f64).rem_euclid(64.0) as f32;
        let width = target.width;
        for y in 0..target.height {
            let (x0, x1) = border.span(y);
            let row = frame.row_mut(y);
            let mask_row = mask.pixels.get_mut(y * width..(y + 1) * width).unwrap_or_default();
            for (x, covered) in mask_row.iter_mut().enumerate().take(x1).skip(x0) {
                let at = y * width + x;
                let ray = scene.lens.ray(x as f32, y as f32);
                let (colour, polyp) = self.pixel(scene, target, at, ray, exposure, tile_origin);
                let mut bytes = [0u8; 3];
                for (byte, value) in bytes.iter_mut().zip(colour) {
                    let index = (value * 0.25).max(0.0).sqrt() * (CURVE - 1) as f32;
                    *byte = self.curve[(index as i32 as usize).min(CURVE - 1)];
                }
                if let Some(pixel) = row.get_mut(3 * x..3 * x + 3) {
                    pixel.copy_from_slice(&bytes);
                }
                let bright = 0.3 * bytes[0] as f32 + 0.6 * bytes[1] as f32 + 0.1 * bytes[2] as f32;
                if polyp && bright > VISIBLE {
                    *covered = 255;
                }
            }
        }
    }

    #[inline]
    #[expect(clippy::too_many_lines, reason = "the light of one pixel, term by term")]
    fn pixel(
        &self,
        scene: &Scene,
        target: &Target,
        at: usize,
        ray: Vec3,
        exposure: f32,
        tile_origin: f32,
    ) -> (Vec3, bool) {
        let near = target.near[at];
        if near <= 0.0 {
            return (scale(self.albedo, 0.0015), false);
        }
        let seen = &target.seen[at];
        let distance = 1.0 / near;
        let normal = normalise(seen.normal);
        let facing = -dot(normal, ray);
        let footprint = distance / (scene.lens.focal_px * facing.max(0.25));

        let (detail, axis, polyp) = if seen.thing == 0 {
            let (u, v) = (seen.u * TILES_AROUND, seen.v * TILES_ALONG + tile_origin);
            let level = self.mucosa.level(footprint * TILES_ALONG);
            let index = ((seen.v - scene.axes_start) * (1.0 / GRID)).max(0.0) as i32 as usize;
            let axis = scene.axes.get(index).copied().unwrap_or([0.0, 0.0, 1.0]);
            (self.mucosa.sample(u, v, level), axis, None)
        } else {
            let Some((polyp, axis)) = scene.polyps.get(seen.thing as usize - 1) else {
                return ([0.0; 3], false);
            };
            let (u, v) =
                (seen.u * polyp.pit_scale + polyp.phase[0], seen.v * polyp.pit_scale + polyp.phase[1]);
            let level = self.polyp.level(footprint * polyp.pit_scale);
            let pits = self.polyp.sample(u, v, level);
            let k = 0.9 * TILES_ALONG;
            let wet = self.mucosa.sample(
                seen.u * k + polyp.phase[1],
                seen.v * k + polyp.phase[0],
                self.mucosa.level(footprint * k),
            );
            let strength = polyp.pits * seen.blend;
            let mut detail = wet;
            detail.dark = 0.0;
            // Near the foot the texture is drawn out: no relief there.
            for ((slope, fine), pit) in detail.slope.iter_mut().zip(wet.slope).zip(pits.slope) {
                *slope = mix(0.75 * fine, pit, 0.7 * strength) * seen.blend * seen.blend;
            }
            detail.mottle = mix(wet.mottle, pits.mottle - 0.5 * strength * pits.dark, 0.8);
            (detail, *axis, Some(polyp))
        };

        // The surface's own axes, and its relief.
        let e1 = sub(axis, scale(normal, dot(axis, normal)));
        let e2 = cross(normal, e1);
        let slope = add(scale(e1, detail.slope[1]), scale(e2, detail.slope[0]));
        let steep = dot(slope, slope);

        // The lamp sits beside the lens.
        let to_lamp =
            [self.light[0] - distance * ray[0], self.light[1] - distance * ray[1], -distance * ray[2]];
        let square = dot(to_lamp, to_lamp);
        let spot = ray[2].max(0.0) * (0.35 + 0.65 * ray[2].max(0.0));
        let falling = exposure * spot / (square + 0.012);
        let (face, tilt) = (dot(normal, to_lamp), dot(slope, to_lamp));
        let cosine =
            (face - self.relief * tilt) / (square * (1.0 + self.relief * self.relief * steep)).sqrt();
        let lit = falling * (0.12 + 0.88 * cosine.max(0.0));
        let lit_red = falling * (0.17 + 0.83 * ((cosine + 0.12) * 0.893).max(0.0));
        let fill = self.fill * exposure / (square + 0.6);

        let mut albedo = self.albedo;
        let broad = if polyp.is_none() { seen.blend } else { 0.5 };
        let shade = 1.0 + self.mottle * ((detail.mottle - 0.5) + 1.6 * (broad - 0.5));
        let flush = self.mottle * 1.5 * (broad - 0.5);
        albedo = [albedo[0] * shade, albedo[1] * shade * (1.0 - flush), albedo[2] * shade * (1.0 - flush)];
        let vessels = self.vessels * detail.dark * (0.35 + 1.3 * smoothstep(0.35, 0.65, broad));
        for (channel, colour) in albedo.iter_mut().zip(self.vessel_colour) {
            *channel *= mix(1.0, colour, vessels.min(1.0));
        }
        let mut is_polyp = false;
        if let Some(polyp) = polyp {
            is_polyp = seen.blend > 0.25;
            let arc = (seen.u * seen.u + seen.v * seen.v).sqrt();
            let tip = 1.0 - smoothstep(0.3 * polyp.radius, 1.3 * polyp.radius, arc);
            for ((channel, body), top) in albedo.iter_mut().zip(polyp.tint).zip(polyp.tip_tint) {
                *channel *= mix(1.0, mix(body, top, tip), seen.blend);
            }
        } else if self.residue > 0.0 {
            let stain = smoothstep(1.0 - self.residue, 1.12 - self.residue, broad + 0.25 * detail.mottle);
            albedo = [
                mix(albedo[0], 0.72, 0.75 * stain),
                mix(albedo[1], 0.43, 0.75 * stain),
                mix(albedo[2], 0.10, 0.75 * stain),
            ];
        }

        // Halfway between lamp and lens is towards either: they are close together.
        let mirror =
            (face - self.wetness * tilt) / (square * (1.0 + self.wetness * self.wetness * steep)).sqrt();
        let gloss = match polyp {
            Some(polyp) => polyp.gloss * seen.blend * seen.blend,
            None => smoothstep(self.dryness - 0.12, self.dryness + 0.12, 0.6 * detail.mottle + 0.4 * broad),
        };
        let glint = gloss * smoothstep(self.glint[0], self.glint[1], mirror);
        let shine = glint * (falling * 1.6).min(2.2) + 0.03 * falling * smoothstep(0.6, 1.0, mirror);
        let colour = [
            self.warmth[0] * (albedo[0] * (lit_red + fill) + shine),
            self.warmth[1] * (albedo[1] * (lit + 0.6 * fill) + shine),
            self.warmth[2] * (albedo[2] * (lit + 0.5 * fill) + shine),
        ];
        (colour, is_polyp)
    }

    /// The lens's blur and the sensor's noise.
    pub fn finish(&self, number: u64, border: &Border, frame: &mut Frame, scratch: &mut Vec<u8>) {
        for _ in 0..self.softness {
            soften(frame, scratch);
        }
        if self.grain <= 0.0 {
            return;
        }
        for y in 0..frame.height_px() {
            let (x0, x1) = border.span(y);
            let start = hash(number ^ ((y as u64) << 40)) as usize;
            let pixels = frame.row_mut(y).get_mut(3 * x0..3 * x1).unwrap_or_default();
            let mut offset = start % GRAIN;
            let mut rest = pixels;
            while !rest.is_empty() {
                let length = rest.len().min(GRAIN - offset);
                let (now, later) = rest.split_at_mut(length);
                for (byte, &noise) in now.iter_mut().zip(&self.noise[offset..]) {
                    *byte = byte.saturating_add_signed(noise);
                }
                (rest, offset) = (later, 0);
            }
        }
    }
}

/// Blurs by the kernel 1 2 1 in both directions.
fn soften(frame: &mut Frame, scratch: &mut Vec<u8>) {
    let (row, height) = (3 * frame.width_px(), frame.height_px());
    scratch.clear();
    scratch.extend_from_slice(frame.pixels());
    let pixels = frame.pixels_mut();
    let blend = |a: u8, b: u8, c: u8| ((a as u16 + 2 * b as u16 + c as u16 + 2) / 4) as u8;
    for y in 0..height {
        let source = &scratch[y * row..(y + 1) * row];
        let out = &mut pixels[y * row..(y + 1) * row];
        for (out, ((&a, &b), &c)) in
            out.iter_mut().skip(3).zip(source.iter().zip(source.iter().skip(3)).zip(source.iter().skip(6)))
        {
            *out = blend(a, b, c);
        }
    }
    scratch.copy_from_slice(pixels);
    for y in 1..height.saturating_sub(1) {
        let (above, here, below) = (
            &scratch[(y - 1) * row..y * row],
            &scratch[y * row..(y + 1) * row],
            &scratch[(y + 1) * row..(y + 2) * row],
        );
        let out = &mut pixels[y * row..(y + 1) * row];
        for (out, ((&a, &b), &c)) in out.iter_mut().zip(above.iter().zip(here).zip(below)) {
            *out = blend(a, b, c);
        }
    }
}
