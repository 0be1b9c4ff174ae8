//! Polyps cut out of one picture and put into another, with soft edges and in the other's light and colour: small polyps are
//! rare in data sets, and a polyp-free frame that gets one differs from itself by the polyp alone (Dwibedi et al., "Cut,
//! Paste and Learn", ICCV 2017).

use std::ops::RangeInclusive;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::example::Example;
use crate::data::cache::Cached;
use crate::numeric::corners;

/// Share of the frame that a pasted polyp takes, drawn evenly in its logarithm.
const SHARES: RangeInclusive<f32> = 0.002..=0.03;
/// How far beyond the polyp's edge its own surroundings fade into the frame's, in radii of the polyp.
const FADE: f32 = 0.35;
/// A place darker than this, in grey levels, is no mucosa.
const DARKEST: f32 = 35.0;
/// The largest gain or loss of light with which a polyp is put into a frame.
const LARGEST_GAIN: f32 = 2.5;
/// Logit that teachers are taken to give a pasted polyp.
const TEACHER_LOGIT: f32 = 4.0;
const TRIES: usize = 8;
/// A polyp fills its box's ellipse at least so far: several polyps, or shreds of one, would become specks.
const LEAST_FILLED: f32 = 0.6;
/// So much of the place must be lit: no polyp hangs over a border or a lumen.
const LIT_SHARE: f32 = 0.97;

/// A polyp in its own picture.
struct Donor<'a> {
    sample: &'a Cached,
    side: usize,
    /// Middle and half the sides of the box around it, in pixels.
    centre: (f32, f32),
    half: (f32, f32),
    /// Pixels that are polyp.
    area: f32,
}

impl<'a> Donor<'a> {
    /// `None` if there is no polyp, more than one, or one that the picture's edge cuts.
    fn of(sample: &'a Cached) -> Option<Self> {
        let side = (sample.mask.len() as f64).sqrt().round() as usize;
        let polyp = || sample.mask.iter().enumerate().filter(|(_, share)| **share > 127).map(|(at, _)| at);
        let (left, right) = (polyp().map(|at| at % side).min()?, polyp().map(|at| at % side).max()?);
        let (top, bottom) = (polyp().map(|at| at / side).min()?, polyp().map(|at| at / side).max()?);
        if left < 2 || top < 2 || right + 2 >= side || bottom + 2 >= side {
            return None;
        }
        let half = ((right - left + 1) as f32 / 2.0, (bottom - top + 1) as f32 / 2.0);
        let area = polyp().count() as f32;
        if area < LEAST_FILLED * std::f32::consts::PI * half.0 * half.1 {
            return None;
        }
        let centre = ((left + right) as f32 / 2.0, (top + bottom) as f32 / 2.0);
        Some(Donor { sample, side, centre, half, area })
    }

    /// Colour and share of polyp at a place, bilinear; black beyond the picture.
    fn at(&self, x: f32, y: f32) -> ([f32; 3], f32) {
        let (mut colour, mut share) = ([0.0; 3], 0.0);
        for (cx, cy, weight) in corners(x, y) {
            if cx < 0 || cy < 0 || cx >= self.side as isize || cy >= self.side as isize {
                continue;
            }
            let at = cy as usize * self.side + cx as usize;
            for (c, sum) in colour.iter_mut().enumerate() {
                *sum += weight * f32::from(self.sample.pixels[3 * at + c]);
            }
            share += weight * f32::from(self.sample.mask[at]) / 255.0;
        }
        (colour, share)
    }
}

/// Puts the donor's polyp somewhere into the example. Says whether it did: not if the donor shows no whole polyp, or no
/// lit place without a polyp was found.
pub(super) fn paste(example: &mut Example, side: usize, donor: &Cached, rng: &mut ChaCha8Rng) -> bool {
    let Some(donor) = Donor::of(donor) else { return false };
    let (low, high) = (SHARES.start().ln(), SHARES.end().ln());
    let area = rng.random_range(low..=high).exp() * (side * side) as f32;
    // Donor pixels a pixel of the example.
    let zoom = (donor.area / area).sqrt();
    let (sin, cos) = (rng.random::<f32>() * std::f32::consts::TAU).sin_cos();
    let mirror = if rng.random::<bool>() { -1.0 } else { 1.0 };
    let reach = (1.0 + FADE) * donor.half.0.hypot(donor.half.1) / zoom + 2.0;
    if 2.0 * reach >= side as f32 {
        return false;
    }
    for _ in 0..TRIES {
        let place = |rng: &mut ChaCha8Rng| rng.random_range(reach..side as f32 - reach);
        let (cx, cy) = (place(rng), place(rng));
        let patch = Patch { centre: (cx, cy), reach, zoom, turn: (sin, cos), mirror };
        if patch.put(example, side, &donor) {
            return true;
        }
    }
    false
}

/// Where and how a donor is put.
struct Patch {
    centre: (f32, f32),
    reach: f32,
    zoom: f32,
    turn: (f32, f32),
    mirror: f32,
}

/// A pixel of the example and what the donor has for it.
struct Cell {
    at: usize,
    colour: [f32; 3],
    /// Share of polyp.
    polyp: f32,
    /// Share of the donor in the blend.
    blend: f32,
}

impl Patch {
    fn put(&self, example: &mut Example, side: usize, donor: &Donor<'_>) -> bool {
        let cells = self.cells(side, donor);
        if cells.iter().any(|cell| cell.blend > 0.0 && example.target[cell.at] > 0.5) {
            return false;
        }
        let plane = side * side;
        // Light and colour are compared where the donor shows its own surroundings.
        let (mut theirs, mut ours, mut count) = ([0.0f32; 3], [0.0f32; 3], 0.0f32);
        for cell in cells.iter().filter(|cell| cell.polyp < 0.05 && cell.colour.iter().sum::<f32>() > DARKEST)
        {
            for c in 0..3 {
                theirs[c] += cell.colour[c];
                ours[c] += example.pixels[c * plane + cell.at];
            }
            count += 1.0;
        }
        let is_lit =
            |cell: &&Cell| (0..3).map(|c| example.pixels[c * plane + cell.at]).sum::<f32>() > 3.0 * DARKEST;
        let covered = || cells.iter().filter(|cell| cell.blend > 0.0);
        if (covered().filter(is_lit).count() as f32) < LIT_SHARE * covered().count() as f32 {
            return false;
        }
        if count < 12.0 || ours.iter().sum::<f32>() / count < 3.0 * DARKEST {
            return false;
        }
        let gains: [f32; 3] = std::array::from_fn(|c| ours[c] / theirs[c].max(1.0));
        if gains.iter().any(|gain| !(1.0 / LARGEST_GAIN..=LARGEST_GAIN).contains(gain)) {
            return false;
        }
        for cell in cells {
            for (c, (colour, gain)) in cell.colour.iter().zip(gains).enumerate() {
                let value = &mut example.pixels[c * plane + cell.at];
                *value += cell.blend * ((colour * gain).min(255.0) - *value);
            }
            if cell.polyp >= 0.5 {
                example.target[cell.at] = 1.0;
                if let Some(logit) = example.teacher.get_mut(cell.at) {
                    *logit = TEACHER_LOGIT;
                }
            }
        }
        true
    }

    fn cells(&self, side: usize, donor: &Donor<'_>) -> Vec<Cell> {
        let (cx, cy) = self.centre;
        let (sin, cos) = self.turn;
        let span = |centre: f32| {
            (centre - self.reach).max(0.0) as usize..=((centre + self.reach) as usize).min(side - 1)
        };
        let mut cells = Vec::new();
        for y in span(cy) {
            for x in span(cx) {
                let (dx, dy) = (self.mirror * (x as f32 - cx), y as f32 - cy);
                let (u, v) = (self.zoom * (cos * dx + sin * dy), self.zoom * (cos * dy - sin * dx));
                let mut colour = [0.0; 3];
                let mut polyp = 0.0;
                // The donor is larger than its picture here: several samples a pixel, or it would sparkle.
                let taps = (self.zoom.ceil() as usize).clamp(1, 4);
                for tap in 0..taps * taps {
                    let shift = |k: usize| self.zoom * ((k as f32 + 0.5) / taps as f32 - 0.5);
                    let (c, p) = donor
                        .at(donor.centre.0 + u + shift(tap % taps), donor.centre.1 + v + shift(tap / taps));
                    (0..3).for_each(|i| colour[i] += c[i]);
                    polyp += p;
                }
                let count = (taps * taps) as f32;
                colour.iter_mut().for_each(|value| *value /= count);
                polyp /= count;
                // In radii of the box's ellipse: 1 at its edge.
                let radius = (u / donor.half.0).hypot(v / donor.half.1);
                let around = (1.0 - (radius - 1.0) / FADE).clamp(0.0, 1.0);
                let blend = if colour.iter().sum::<f32>() < DARKEST { polyp } else { polyp.max(around) };
                if blend > 0.0 || radius < 1.0 + 2.0 * FADE {
                    cells.push(Cell { at: y * side + x, colour, polyp, blend });
                }
            }
        }
        cells
    }
}
