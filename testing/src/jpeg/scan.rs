//! What a scan is made of: blocks, coded one after another.

use super::Plan;
use super::bits::{Bits, size_of};
use super::tables::Table;

/// Which coefficients a scan has, and which of their bits.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) high: u32,
    pub(super) low: u32,
}

/// What lasts from block to block of a scan.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) bits: Bits,
    pub(super) last: [i32; 4],
    run: u32,
    corrections: Vec<u32>,
}

impl Scan {
    pub(super) fn end_run(&mut self, ac: &Table) {
        if self.run > 0 {
            let size = 31 - self.run.leading_zeros();
            self.bits.symbol(ac, (size as u8) << 4);
            self.bits.put(self.run - (1 << size), size);
            self.run = 0;
        }
        for bit in std::mem::take(&mut self.corrections) {
            self.bits.put(bit, 1);
        }
    }

    fn dc(&mut self, table: &Table, component: usize, value: i32) {
        let difference = value - self.last[component];
        self.last[component] = value;
        let size = size_of(difference);
        self.bits.symbol(table, size as u8);
        self.bits.value(difference, size);
    }

    fn baseline(&mut self, dc: &Table, ac: &Table, component: usize, block: &[i32; 64]) {
        self.dc(dc, component, block[0]);
        let last = block.iter().rposition(|&value| value != 0).unwrap_or(0);
        let mut zeros = 0;
        for &value in &block[1..=last.max(1)] {
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                self.bits.symbol(ac, 0xF0);
                zeros -= 16;
            }
            let size = size_of(value);
            self.bits.symbol(ac, (zeros << 4) as u8 | size as u8);
            self.bits.value(value, size);
            zeros = 0;
        }
        if last < 63 {
            self.bits.symbol(ac, 0);
        }
    }

    fn ac_first(&mut self, ac: &Table, band: Band, block: &[i32; 64]) {
        let mut zeros = 0;
        for &whole in &block[band.from..=band.to] {
            let value = whole.signum() * (whole.abs() >> band.low);
            if value == 0 {
                zeros += 1;
                continue;
            }
            self.end_run(ac);
            while zeros > 15 {
                self.bits.symbol(ac, 0xF0);
                zeros -= 16;
            }
            let size = size_of(value);
            self.bits.symbol(ac, (zeros << 4) as u8 | size as u8);
            self.bits.value(value, size);
            zeros = 0;
        }
        if zeros > 0 {
            self.run += 1;
        }
    }

    fn ac_refinement(&mut self, ac: &Table, band: Band, block: &[i32; 64]) {
        let shifted = |at: usize| block[at].abs() >> band.low;
        let last_new = (band.from..=band.to).rev().find(|&at| shifted(at) == 1);
        let (mut zeros, mut pending) = (0, Vec::new());
        for (at, &whole) in block.iter().enumerate().take(band.to + 1).skip(band.from) {
            let value = shifted(at);
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 && last_new.is_some_and(|last| at <= last) {
                self.end_run(ac);
                self.bits.symbol(ac, 0xF0);
                pending.drain(..).for_each(|bit| self.bits.put(bit, 1));
                zeros -= 16;
            }
            if value > 1 {
                pending.push(value as u32 & 1);
                continue;
            }
            self.end_run(ac);
            self.bits.symbol(ac, (zeros << 4) as u8 | 1);
            self.bits.put(u32::from(whole > 0), 1);
            pending.drain(..).for_each(|bit| self.bits.put(bit, 1));
            zeros = 0;
        }
        if zeros > 0 || !pending.is_empty() {
            self.run += 1;
            self.corrections.append(&mut pending);
            // A decoder may hold only so many.
            if self.run == 0x7FFF || self.corrections.len() > 800 {
                self.end_run(ac);
            }
        }
    }

    pub(super) fn block(
        &mut self,
        plan: &Plan,
        tables: (&Table, &Table),
        band: Band,
        component: usize,
        block: &[i32; 64],
    ) {
        let (dc, ac) = tables;
        match (plan.progressive, band.from, band.high) {
            (false, ..) => self.baseline(dc, ac, component, block),
            (true, 0, 0) => self.dc(dc, component, block[0] >> band.low),
            (true, 0, _) => self.bits.put((block[0] >> band.low) as u32 & 1, 1),
            (true, _, 0) => self.ac_first(ac, band, block),
            (true, ..) => self.ac_refinement(ac, band, block),
        }
    }
}
