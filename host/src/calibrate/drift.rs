//! A still as a moving camera sees it: a second of video in which it is known where the polyp is, for want of labelled video.

use polyp_edge::detect::Bounds;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::blur;

/// Frames of a second, as endoscopes in Europe give them.
pub const FRAMES: usize = 25;
/// A polyp of which less than this share is in view is not looked for.
const IN_VIEW: f32 = 0.5;

/// How the camera moves over one still.
pub struct Drift {
    /// Of zoom, left, top and light: where in its swing each begins, and swings a second.
    swings: [(f32, f32); 4],
    seed: u64,
}

/// What the camera sees at one moment.
pub struct View {
    /// The part seen, in shares of the still's side.
    left: f32,
    top: f32,
    part: f32,
    light: f32,
    /// Smeared by a quick movement.
    smeared: bool,
    seed: u64,
}

impl Drift {
    /// A movement that depends on nothing but the seed.
    pub fn new(seed: u64) -> Drift {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let swings = std::array::from_fn(|_| (random.random_range(0.0..1.0), random.random_range(0.2..0.9)));
        Drift { swings, seed }
    }

    /// Frame `number` of the second.
    pub fn view(&self, number: usize) -> View {
        let swing = |index: usize| {
            let (start, pace) = self.swings[index];
            0.5 + 0.5 * (std::f32::consts::TAU * (start + pace * number as f32 / FRAMES as f32)).sin()
        };
        let part = 1.0 / (1.05 + 0.3 * swing(0));
        let seed = self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(number as u64);
        View {
            left: (1.0 - part) * swing(1),
            top: (1.0 - part) * swing(2),
            part,
            light: 0.8 + 0.35 * swing(3),
            smeared: ChaCha8Rng::seed_from_u64(seed).random_bool(0.15),
            seed,
        }
    }
}

impl View {
    /// What it sees of a still, `[side, side, 3] u8`, at the same size.
    pub fn pixels(&self, still: &[u8], side: usize) -> Vec<u8> {
        let place = |index: usize, start: f32| {
            let at =
                ((index as f32 + 0.5) * self.part + start * side as f32 - 0.5).clamp(0.0, side as f32 - 1.0);
            (at as usize, (at as usize + 1).min(side - 1), at.fract())
        };
        let columns: Vec<_> = (0..side).map(|x| place(x, self.left)).collect();
        let mut values = Vec::with_capacity(still.len());
        for y in 0..side {
            let (above, below, down) = place(y, self.top);
            for &(before, after, right) in &columns {
                for channel in 0..3 {
                    let at = |x: usize, y: usize| f32::from(still[3 * (y * side + x) + channel]);
                    let upper = at(before, above) + (at(after, above) - at(before, above)) * right;
                    let lower = at(before, below) + (at(after, below) - at(before, below)) * right;
                    values.push(self.light * (upper + (lower - upper) * down));
                }
            }
        }
        for _ in 0..if self.smeared { 4 } else { 0 } {
            values = blur::cross(&values, side);
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        values.into_iter().map(|value| (value + random.random_range(-6f32..6.0)) as u8).collect()
    }

    /// Where what lies at `bounds`, in shares of the still's side, is seen, in pixels; nowhere if too little of it is.
    pub fn bounds(&self, bounds: &Bounds, side: usize) -> Option<Bounds> {
        let seen = |value: f32, start: f32| ((value - start) / self.part).clamp(0.0, 1.0) * side as f32;
        let moved = Bounds {
            left: seen(bounds.left, self.left),
            right: seen(bounds.right, self.left),
            top: seen(bounds.top, self.top),
            bottom: seen(bounds.bottom, self.top),
        };
        let area = |of: &Bounds| (of.right - of.left) * (of.bottom - of.top);
        let whole = area(bounds) * (side as f32 / self.part).powi(2);
        (whole > 0.0 && area(&moved) >= IN_VIEW * whole).then_some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 64;

    /// A bright square on dark ground, and its bounds.
    fn still() -> (Vec<u8>, Bounds) {
        let inside = |x: usize, y: usize| (24..40).contains(&x) && (24..40).contains(&y);
        let pixels = (0..SIDE * SIDE).flat_map(|at| [if inside(at % SIDE, at / SIDE) { 200 } else { 30 }; 3]);
        (pixels.collect(), Bounds { left: 0.375, top: 0.375, right: 0.625, bottom: 0.625 })
    }

    #[test]
    fn what_moves_is_where_its_bounds_are() {
        let (pixels, bounds) = still();
        let mut places = Vec::new();
        for seed in 0..4 {
            let drift = Drift::new(seed);
            for number in 0..FRAMES {
                let view = drift.view(number);
                let seen = view.pixels(&pixels, SIDE);
                let at = view.bounds(&bounds, SIDE).unwrap();
                let inside = |index: usize| {
                    let (x, y) = ((index % SIDE) as f32 + 0.5, (index / SIDE) as f32 + 0.5);
                    x > at.left && x < at.right && y > at.top && y < at.bottom
                };
                let bright = |index: usize| f32::from(seen[3 * index]) > view.light * 115.0;
                let wrong = (0..SIDE * SIDE).filter(|&index| inside(index) != bright(index)).count();
                assert!(wrong < 40, "{wrong} pixels of frame {number}");
                places.push(at.left);
            }
        }
        let spread = |of: &[f32]| of.iter().fold(0f32, |most, at| most.max((at - of[0]).abs()));
        assert!(spread(&places[..FRAMES]) > 1.0 && spread(&places[..FRAMES]) < 16.0, "{places:?}");
    }

    #[test]
    fn what_leaves_the_view_is_not_looked_for() {
        let view = View { left: 0.25, top: 0.25, part: 0.5, light: 1.0, smeared: false, seed: 1 };
        let at = |left, right| Bounds { left, right, top: 0.4, bottom: 0.5 };
        assert_eq!(view.bounds(&at(0.0, 0.2), SIDE), None);
        assert_eq!(view.bounds(&at(0.15, 0.3), SIDE), None);
        let half = view.bounds(&at(0.2, 0.4), SIDE).unwrap();
        assert!(half.left == 0.0 && (half.right - 19.2).abs() < 1e-3, "{half:?}");
    }
}
