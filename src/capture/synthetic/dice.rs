//! Randomness that is a pure function of a seed, and the cheap maths that the renderer leans on.

use std::f32::consts::TAU;

/// Scrambles 64 bits (the finaliser of SplitMix64).
pub fn hash(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A stream of random numbers; equal seeds and streams give equal numbers on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, stream: u64) -> Self {
        Dice(hash(seed ^ hash(stream)))
    }
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        hash(self.0)
    }
    /// In `0.0..1.0`.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }
    pub fn range(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * self.unit()
    }
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }
    pub fn pick<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> T {
        from[(self.bits() % N as u64) as usize]
    }
    /// A direction on the unit sphere.
    pub fn direction(&mut self) -> [f32; 3] {
        let z = self.range(-1.0, 1.0);
        let turn = self.unit();
        let flat = (1.0 - z * z).max(0.0).sqrt();
        [flat * (TAU * turn).cos(), flat * (TAU * turn).sin(), z]
    }
}

/// Largest integer not above `x`, for |x| < 2³¹, without a call into the C library.
pub fn floor(x: f32) -> f32 {
    let whole = x as i32 as f32;
    if whole > x { whole - 1.0 } else { whole }
}

/// sin(2π `x`), within 0.002, smooth.
pub fn sin_turns(x: f32) -> f32 {
    let x = x - floor(x + 0.5);
    let y = 8.0 * x - 16.0 * x * x.abs();
    0.775 * y + 0.225 * y * y.abs()
}

/// cos(2π `x`), within 0.002, smooth.
pub fn cos_turns(x: f32) -> f32 {
    sin_turns(x + 0.25)
}

pub fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

pub fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

pub type Vec3 = [f32; 3];

pub fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}
pub fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}
pub fn scale(a: Vec3, k: f32) -> Vec3 {
    [a[0] * k, a[1] * k, a[2] * k]
}
pub fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
pub fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
pub fn normalise(a: Vec3) -> Vec3 {
    scale(a, 1.0 / dot(a, a).max(1e-20).sqrt())
}
pub fn lerp(a: Vec3, b: Vec3, t: f32) -> Vec3 {
    [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)]
}
