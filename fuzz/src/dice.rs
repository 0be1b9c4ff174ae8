//! Choices drawn from libFuzzer's seed.

/// SplitMix64.
pub struct Dice(u64);

/// Sizes and counts at which things change: small ones, vectors' widths, limits of the importer and of integers.
const NUMBERS: [i64; 33] = [
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    15,
    16,
    17,
    20,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    255,
    256,
    1024,
    1 << 14,
    (1 << 14) + 1,
    1 << 26,
    1 << 31,
    1 << 32,
    1 << 40,
    1 << 62,
    i64::MAX,
    i64::MIN,
];

const SCALES: [f32; 18] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.0078125,
    0.5,
    2.0,
    256.0,
    1e-10,
    1e10,
    1e-38,
    3e38,
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1e-45,
];

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    pub fn pick_mut<'a, T>(&mut self, from: &'a mut [T]) -> Option<&'a mut T> {
        let index = self.below(from.len());
        from.get_mut(index)
    }

    /// Mostly small.
    pub fn side(&mut self) -> usize {
        let most = [2, 5, 9, 20, 40, 70][self.below(6)];
        1 + self.below(most)
    }

    /// Near `old`, small, or one that programs stumble over.
    pub fn number(&mut self, old: i64) -> i64 {
        match self.below(6) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 | 3 => self.side() as i64,
            4 => NUMBERS[self.below(NUMBERS.len())],
            _ => self.bits() as i64 >> self.below(64),
        }
    }

    pub fn float(&mut self, old: f32) -> f32 {
        match self.below(5) {
            0 => SCALES[self.below(SCALES.len())],
            1 => f32::from_bits(self.bits() as u32),
            2 => old * 2f32.powi(self.below(33) as i32 - 16),
            3 => f32::from_bits(old.to_bits() ^ 1 << self.below(32)),
            _ => 2f32.powi(self.below(20) as i32 - 15),
        }
    }
}
