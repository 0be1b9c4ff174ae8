//! Numbers that look like chance and are the same each time (xorshift64*).

use std::time::Duration;

/// A sequence of such numbers.
pub struct Chance(u64);

impl Chance {
    /// `seed` must not be 0.
    pub fn of(seed: u64) -> Chance {
        Chance(seed)
    }

    /// 0 up to but not including 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f64 / (1u64 << 24) as f64
    }

    /// A time from 0 to `most`.
    pub fn below(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.share())
    }

    /// A number from 0 up to but not including `most`.
    pub(crate) fn below_count(&mut self, most: usize) -> usize {
        (self.share() * most as f64) as usize
    }

    /// One entry of a list that is not empty.
    pub fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below_count(list.len())]
    }
}
