//! The colon's shape: a bending centre line, and the radius of the wall around it.
//!
//! Lengths are in mean radii of the colon (about 25 mm), angles around the centre line in turns. `s` runs along
//! the centre line; `z` is `s` less the frame's origin, small enough for `f32`.

use super::dice::{Dice, cos_turns, sin_turns};

/// Folds that a frame may see.
const FOLDS: usize = 24;
const RIPPLES: usize = 6;
const BENDS: usize = 3;

#[derive(Clone, Copy, Default)]
struct Fold {
    z: f32,
    depth: f32,
    /// How much deeper the three sides are than the corners, and one half than the other.
    sides: f32,
    half: f32,
    phase: [f32; 4],
    sharpness: f32,
}

/// One sine over the wall: `turns` whole waves around it, `frequency` waves a radius along it.
#[derive(Clone, Copy, Default)]
struct Ripple {
    amplitude: f32,
    turns: f32,
    frequency: f32,
    phase: f32,
}

#[derive(Clone, Copy, Default)]
struct Bend {
    curvature: f32,
    frequency: f32,
    phase: f32,
}

/// What a patient's colon is like everywhere.
pub struct Anatomy {
    seed: u64,
    fold_spacing: f32,
    fold_depth: f32,
    fold_width: f32,
    twist: f32,
    ripples: [Ripple; RIPPLES],
    bends: [[Bend; BENDS]; 2],
}

/// The part of a colon near one place: the same functions, of `z`.
pub struct Stretch {
    origin_folds: f32,
    fold_spacing: f32,
    folds: [Fold; FOLDS],
    ripples: [Ripple; RIPPLES],
    bends: [[Bend; BENDS]; 2],
}

/// The fraction of `frequency × s` in turns, exact for long colons.
fn phase_at(frequency: f32, s: f64) -> f32 {
    let turns = frequency as f64 * s;
    (turns - turns.floor()) as f32
}

impl Anatomy {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let mut ripples = [Ripple::default(); RIPPLES];
        for (index, ripple) in ripples.iter_mut().enumerate() {
            let (amplitude, turns, frequency) = match index {
                0 => (dice.range(0.02, 0.07), 3.0, dice.range(0.0, 0.02)),
                1 => (dice.range(0.03, 0.12), 1.0, dice.range(0.05, 0.15)),
                2 => (dice.range(0.03, 0.10), 0.0, dice.range(0.07, 0.20)),
                3 => (dice.range(0.01, 0.04), 2.0, dice.range(0.2, 0.5)),
                4 => (dice.range(0.004, 0.012), 5.0, dice.range(0.5, 1.2)),
                _ => (dice.range(0.003, 0.009), -7.0, dice.range(0.9, 2.0)),
            };
            *ripple = Ripple { amplitude, turns, frequency, phase: dice.unit() };
        }
        let mut bends = [[Bend::default(); BENDS]; 2];
        for bend in bends.iter_mut().flatten() {
            *bend = Bend {
                curvature: dice.range(0.02, 0.13),
                frequency: dice.range(0.02, 0.12),
                phase: dice.unit(),
            };
        }
        Anatomy {
            seed,
            fold_spacing: dice.range(0.75, 1.5),
            fold_depth: dice.range(0.22, 0.46),
            fold_width: dice.range(0.09, 0.17),
            twist: dice.range(-0.03, 0.03),
            ripples,
            bends,
        }
    }

    fn fold(&self, index: i64, origin: f64) -> Fold {
        let mut dice = Dice::new(self.seed, (index as u64) ^ 0xF01D);
        let s = (index as f64 + dice.range(-0.25, 0.25) as f64) * self.fold_spacing as f64;
        let deep = dice.range(0.45, 1.0);
        Fold {
            z: (s - origin) as f32,
            depth: self.fold_depth * deep,
            sides: dice.range(0.25, 0.42),
            half: dice.range(0.05, 0.45),
            phase: [phase_at(self.twist, s) + dice.range(-0.06, 0.06), dice.unit(), dice.unit(), dice.unit()],
            sharpness: 1.0 / (self.fold_width * dice.range(0.8, 1.4)),
        }
    }

    /// The functions of `z = s - origin`, good for `-4 < z < 16`.
    pub fn stretch(&self, origin: f64) -> Stretch {
        let spacing = self.fold_spacing as f64;
        let first_fold = (origin / spacing).floor() as i64 - 5;
        let mut folds = [Fold::default(); FOLDS];
        for (offset, fold) in folds.iter_mut().enumerate() {
            *fold = self.fold(first_fold + offset as i64, origin);
        }
        let mut ripples = self.ripples;
        for ripple in &mut ripples {
            ripple.phase += phase_at(ripple.frequency, origin);
        }
        let mut bends = self.bends;
        for bend in bends.iter_mut().flatten() {
            bend.phase += phase_at(bend.frequency, origin);
        }
        Stretch {
            origin_folds: (origin / spacing - first_fold as f64) as f32,
            fold_spacing: self.fold_spacing,
            folds,
            ripples,
            bends,
        }
    }
}

impl Stretch {
    /// Distance of the wall from the centre line, in 0.35..1.4.
    pub fn radius(&self, z: f32, turn: f32) -> f32 {
        let mut radius = 1.0;
        for ripple in &self.ripples {
            radius += ripple.amplitude * sin_turns(ripple.turns * turn + ripple.frequency * z + ripple.phase);
        }
        let place = z / self.fold_spacing + self.origin_folds;
        let first = (place.max(0.0) as usize).saturating_sub(1);
        let mut inward = 0.0;
        for fold in self.folds.iter().skip(first).take(4) {
            let wobble =
                0.11 * sin_turns(turn + fold.phase[2]) + 0.045 * sin_turns(2.0 * turn + fold.phase[3]);
            let x = (z - fold.z - wobble) * fold.sharpness;
            let bump = 1.0 / (1.0 + x * x);
            let around = 0.6
                + fold.sides * cos_turns(3.0 * (turn - fold.phase[0]))
                + fold.half * cos_turns(turn - fold.phase[1]);
            inward += fold.depth * around.max(0.04) * bump * bump;
        }
        (radius - inward).clamp(0.35, 1.4)
    }

    /// Curvature of the centre line towards the two normals of its frame.
    pub fn curvature(&self, z: f32) -> [f32; 2] {
        self.bends.map(|waves| {
            waves.iter().map(|wave| wave.curvature * sin_turns(wave.frequency * z + wave.phase)).sum()
        })
    }
}
