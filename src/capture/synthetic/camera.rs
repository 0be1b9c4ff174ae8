//! How the endoscope is moved: along the colon, back and forth, looking around and at polyps.

use super::anatomy::Stretch;
use super::dice::{Dice, Vec3, add, cos_turns, cross, mix, normalise, scale, sin_turns, smoothstep};
use super::polyp::Polyp;
use super::tube::Pose;

/// How far along the colon a polyp draws the camera.
pub const LINGER: f64 = 3.5;
/// The path repeats after this many frames.
pub const PERIOD: u64 = 1 << 20;
const WAVES: usize = 3;

#[derive(Clone, Copy, Default)]
struct Wave {
    amplitude: f32,
    frequency: f64,
    phase: f64,
}

fn sway(waves: &[Wave; WAVES], time: f64) -> f32 {
    waves
        .iter()
        .map(|wave| {
            let turns = wave.frequency * time + wave.phase;
            wave.amplitude * sin_turns((turns - turns.floor()) as f32)
        })
        .sum()
}

/// Times are in frames.
pub struct Path {
    start: f64,
    speed: f64,
    push: [Wave; WAVES],
    place: [[Wave; WAVES]; 2],
    gaze: [[Wave; WAVES]; 2],
    roll: [Wave; WAVES],
    interest: f32,
}

impl Path {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 4);
        let mut waves = |amplitude: f32, period: f32| {
            let mut waves = [Wave::default(); WAVES];
            for (index, wave) in waves.iter_mut().enumerate() {
                let faster = 1.0 + index as f32 * 1.7;
                *wave = Wave {
                    amplitude: amplitude * dice.range(0.5, 1.0) / faster,
                    frequency: (faster / (period * dice.range(0.8, 1.25))) as f64,
                    phase: dice.unit() as f64,
                };
            }
            waves
        };
        let push = waves(0.5, 210.0);
        let place = [waves(0.16, 260.0), waves(0.16, 300.0)];
        let curiosity = Dice::new(seed, 7).range(0.3, 0.95);
        let gaze = [waves(curiosity, 190.0), waves(curiosity, 230.0)];
        let roll = waves(0.12, 700.0);
        let withdrawing = dice.chance(0.6);
        Path {
            start: dice.range(50.0, 150.0) as f64,
            speed: dice.range(0.024, 0.038) as f64 * if withdrawing { -1.0 } else { 1.0 },
            push,
            place,
            gaze,
            roll,
            interest: dice.range(0.5, 0.9),
        }
    }

    /// Where along the colon the camera's tip would be if there were nothing to see.
    pub fn cruise(&self, frame: u64) -> f64 {
        let time = (frame % PERIOD) as f64;
        self.start + self.speed * time + sway(&self.push, time) as f64
    }

    /// Where it is since it lingers before `polyps`, those within [`LINGER`] radii of where it cruises.
    pub fn linger(&self, cruise: f64, polyps: &[Polyp]) -> f64 {
        let mut s = cruise;
        for polyp in polyps {
            let past = cruise - (polyp.s - 0.55);
            s -= 0.75 * past * (-past * past).exp();
        }
        s
    }

    /// Place and view at a frame, kept clear of the wall and of `polyps`.
    pub fn pose(&self, frame: u64, s: f64, origin: f64, stretch: &Stretch, polyps: &[Polyp]) -> Pose {
        let time = (frame % PERIOD) as f64;
        let z = (s - origin) as f32;
        let bend = stretch.curvature(z + 0.7);
        let mut place = [sway(&self.place[0], time), sway(&self.place[1], time)];
        let mut gaze = [sway(&self.gaze[0], time) + 0.8 * bend[0], sway(&self.gaze[1], time) + 0.8 * bend[1]];
        for polyp in polyps {
            let ahead = (polyp.s - origin) as f32 - z;
            let side = [cos_turns(polyp.turn), sin_turns(polyp.turn)];
            let close = smoothstep(-0.9, -0.2, ahead) * (1.0 - smoothstep(0.15, 0.6, ahead));
            let near = smoothstep(0.15, 0.6, ahead) * (1.0 - smoothstep(0.9, 1.8, ahead));
            let look = self.interest * smoothstep(0.05, 0.9, ahead) * (1.0 - smoothstep(1.6, 3.2, ahead));
            for axis in 0..2 {
                place[axis] += (polyp.approach * near - (0.12 + 0.6 * polyp.radius) * close) * side[axis];
                let towards = (0.75 * side[axis] - place[axis]) / ahead.max(0.4);
                gaze[axis] = mix(gaze[axis], towards.clamp(-1.4, 1.4), look);
            }
        }
        let out = place[0].hypot(place[1]);
        let mut room = 1.0f32;
        for step in 0..32 {
            let (dz, turn) = (0.12 * (step / 8) as f32 - 0.12, (step % 8) as f32 / 8.0);
            room = room.min(stretch.radius(z + dz, turn) - 0.27);
        }
        let keep = (room.max(0.05) / out.max(1e-6)).min(1.0);
        let place: Vec3 = [place[0] * keep, place[1] * keep, 0.0];
        let ahead = normalise([gaze[0], gaze[1], 1.0]);
        let turns = sway(&self.roll, time);
        let (cos, sin) = (cos_turns(turns), sin_turns(turns));
        let right = normalise(cross([0.0, 1.0, 0.0], ahead));
        let down = cross(ahead, right);
        let axes =
            [add(scale(right, cos), scale(down, sin)), add(scale(right, -sin), scale(down, cos)), ahead];
        Pose { z, place, axes }
    }
}
