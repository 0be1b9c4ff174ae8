//! Bits as a scan has them.

use super::tables::Table;

#[derive(Default)]
pub(super) struct Bits {
    pub(super) bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    pub(super) fn put(&mut self, value: u32, bits: u32) {
        for bit in (0..bits).rev() {
            self.held = self.held << 1 | (value >> bit & 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.held as u8);
                if self.held as u8 == 0xFF {
                    self.bytes.push(0);
                }
                (self.held, self.count) = (0, 0);
            }
        }
    }
    pub(super) fn align(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }
    pub(super) fn symbol(&mut self, table: &Table, symbol: u8) {
        let (code, length) = table.0[symbol as usize].expect("the table has the symbol");
        self.put(code, length);
    }
    /// The bits of a value, of `size` bits as JPEG writes them.
    pub(super) fn value(&mut self, value: i32, size: u32) {
        self.put((if value < 0 { value - 1 } else { value }) as u32 & ((1 << size) - 1), size);
    }
}

pub(super) fn size_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}
