//! Huffman codes, and the bits of a scan.

/// Bits of a code that are looked up at once.
const LOOKUP_BITS: u32 = 9;

pub const CUT: &str = "its compressed data ends too soon";
pub const BROKEN: &str = "its compressed data is corrupt";

/// The marker segment with the tables of the standard's Annex K.3, which pictures without tables rely on.
pub const STANDARD_TABLES: [u8; 420] = standard_tables();

/// Counts of codes by length, and their symbols.
struct Standard {
    /// Class and number of the table, as a segment has them.
    kind: u8,
    counts: [u8; 16],
    symbols: &'static [u8],
}

const STANDARD: [Standard; 4] = [
    Standard {
        kind: 0x00,
        counts: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        symbols: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    },
    Standard {
        kind: 0x01,
        counts: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        symbols: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    },
    Standard {
        kind: 0x10,
        counts: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
        symbols: b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xA1\x08\
            \x23\x42\xB1\xC1\x15\x52\xD1\xF0\x24\x33\x62\x72\x82\x09\x0A\x16\x17\x18\x19\x1A\x25\x26\x27\x28\
            \x29\x2A\x34\x35\x36\x37\x38\x39\x3A\x43\x44\x45\x46\x47\x48\x49\x4A\x53\x54\x55\x56\x57\x58\x59\
            \x5A\x63\x64\x65\x66\x67\x68\x69\x6A\x73\x74\x75\x76\x77\x78\x79\x7A\x83\x84\x85\x86\x87\x88\x89\
            \x8A\x92\x93\x94\x95\x96\x97\x98\x99\x9A\xA2\xA3\xA4\xA5\xA6\xA7\xA8\xA9\xAA\xB2\xB3\xB4\xB5\xB6\
            \xB7\xB8\xB9\xBA\xC2\xC3\xC4\xC5\xC6\xC7\xC8\xC9\xCA\xD2\xD3\xD4\xD5\xD6\xD7\xD8\xD9\xDA\xE1\xE2\
            \xE3\xE4\xE5\xE6\xE7\xE8\xE9\xEA\xF1\xF2\xF3\xF4\xF5\xF6\xF7\xF8\xF9\xFA",
    },
    Standard {
        kind: 0x11,
        counts: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
        symbols: b"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91\
            \xA1\xB1\xC1\x09\x23\x33\x52\xF0\x15\x62\x72\xD1\x0A\x16\x24\x34\xE1\x25\xF1\x17\x18\x19\x1A\x26\
            \x27\x28\x29\x2A\x35\x36\x37\x38\x39\x3A\x43\x44\x45\x46\x47\x48\x49\x4A\x53\x54\x55\x56\x57\x58\
            \x59\x5A\x63\x64\x65\x66\x67\x68\x69\x6A\x73\x74\x75\x76\x77\x78\x79\x7A\x82\x83\x84\x85\x86\x87\
            \x88\x89\x8A\x92\x93\x94\x95\x96\x97\x98\x99\x9A\xA2\xA3\xA4\xA5\xA6\xA7\xA8\xA9\xAA\xB2\xB3\xB4\
            \xB5\xB6\xB7\xB8\xB9\xBA\xC2\xC3\xC4\xC5\xC6\xC7\xC8\xC9\xCA\xD2\xD3\xD4\xD5\xD6\xD7\xD8\xD9\xDA\
            \xE2\xE3\xE4\xE5\xE6\xE7\xE8\xE9\xEA\xF2\xF3\xF4\xF5\xF6\xF7\xF8\xF9\xFA",
    },
];

/// Computed by the compiler, which refuses an index that is out of range.
const fn standard_tables() -> [u8; 420] {
    let mut bytes = [0; 420];
    (bytes[0], bytes[1], bytes[2], bytes[3]) = (0xFF, 0xC4, 418u16.to_be_bytes()[0], 418u16.to_be_bytes()[1]);
    let (mut at, mut table) = (4, 0);
    while table < STANDARD.len() {
        bytes[at] = STANDARD[table].kind;
        at += 1;
        let mut index = 0;
        while index < 16 {
            bytes[at] = STANDARD[table].counts[index];
            (at, index) = (at + 1, index + 1);
        }
        index = 0;
        while index < STANDARD[table].symbols.len() {
            bytes[at] = STANDARD[table].symbols[index];
            (at, index) = (at + 1, index + 1);
        }
        table += 1;
    }
    assert!(at == 420);
    bytes
}

/// Canonical Huffman codes as JPEG has them.
#[derive(Clone)]
pub struct Codes {
    /// By the next nine bits: length << 8 | symbol, or 0 for a longer code.
    lookup: [u16; 1 << LOOKUP_BITS],
    /// By length: the first code that is longer, left-aligned to 16 bits; and the index of its length's symbols.
    limit: [u32; 17],
    offset: [i32; 17],
    symbols: [u8; 256],
}

impl Codes {
    /// `None` if the counts ask for more codes than there are.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut codes =
            Codes { lookup: [0; 1 << LOOKUP_BITS], limit: [0; 17], offset: [0; 17], symbols: [0; 256] };
        for (mine, symbol) in codes.symbols.iter_mut().zip(symbols) {
            *mine = *symbol;
        }
        let (mut code, mut index) = (0u32, 0u32);
        for (length, &count) in (1u32..).zip(counts) {
            *codes.offset.get_mut(length as usize)? = index as i32 - code as i32;
            for _ in 0..count {
                if length <= LOOKUP_BITS {
                    let symbol = symbols.get(index as usize).copied()?;
                    let shift = LOOKUP_BITS - length;
                    for entry in codes.lookup.iter_mut().skip((code << shift) as usize).take(1 << shift) {
                        *entry = (length as u16) << 8 | u16::from(symbol);
                    }
                }
                code += 1;
                index += 1;
            }
            if code > 1 << length || index > 256 {
                return None;
            }
            *codes.limit.get_mut(length as usize)? = code << (16 - length);
            code <<= 1;
        }
        Some(codes)
    }

    /// The standard's table of that class (0: DC, 1: AC) and number; there are two of each.
    pub fn standard(class: u8, number: usize) -> Option<Self> {
        let table =
            STANDARD.iter().find(|table| usize::from(table.kind) == usize::from(class) << 4 | number)?;
        Codes::new(&table.counts, table.symbols)
    }
}

/// Bits of a scan, up to the next marker.
pub struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    ended: bool,
}

/// Bytes that lie between what a scan needs and the next marker.
pub struct Gap {
    /// Where they start; what is before it is needed.
    pub start: usize,
    /// The byte before the next marker's code; the end of the data where there is none.
    pub marker: usize,
    /// How many bytes there are, stuffed ones counted once; and whether all are 0x00 or 0xFF.
    pub bytes: usize,
    pub blank: bool,
    /// The bits that fill up the last byte are all ones, as they should be, or all zeros.
    pub filled: bool,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8], at: usize) -> Self {
        Bits { data, at, held: 0, count: 0, ended: false }
    }

    fn fill(&mut self) {
        while self.count <= 48 && !self.ended {
            match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.at += 2;
                    self.held = self.held << 8 | 0xFF;
                    self.count += 8;
                }
                (None | Some(0xFF), _) => self.ended = true,
                (Some(&byte), _) => {
                    self.at += 1;
                    self.held = self.held << 8 | u64::from(byte);
                    self.count += 8;
                }
            }
        }
    }

    /// Passes over up to 16 bits that follow a symbol.
    #[inline]
    pub fn skip(&mut self, bits: u32) -> Result<(), &'static str> {
        self.count = self.count.checked_sub(bits).ok_or(CUT)?;
        Ok(())
    }

    /// The value of up to 16 bits that follow a symbol.
    #[inline]
    pub fn take(&mut self, bits: u32) -> Result<i32, &'static str> {
        self.skip(bits)?;
        Ok((self.held >> self.count) as i32 & ((1 << bits) - 1))
    }

    /// As [`Bits::skip`], wherever it is called.
    #[inline]
    pub fn skip_one(&mut self) -> Result<(), &'static str> {
        if self.count == 0 {
            self.fill();
        }
        self.skip(1)
    }

    /// The next code's symbol; 16 more bits are held then unless the data has ended.
    #[inline]
    pub fn symbol(&mut self, codes: &Codes) -> Result<u8, &'static str> {
        if self.count < 32 {
            self.fill();
        }
        let next = if self.count >= 16 {
            (self.held >> (self.count - 16)) as u32 & 0xFFFF
        } else {
            (self.held << (16 - self.count)) as u32 & 0xFFFF
        };
        let entry = codes.lookup.get((next >> (16 - LOOKUP_BITS)) as usize).copied().unwrap_or(0);
        if entry != 0 {
            self.skip(u32::from(entry) >> 8)?;
            return Ok(entry as u8);
        }
        for length in LOOKUP_BITS + 1..=16 {
            if next < codes.limit.get(length as usize).copied().unwrap_or(0) {
                self.skip(length)?;
                let offset = codes.offset.get(length as usize).copied().unwrap_or(0);
                let index = (next >> (16 - length)) as i32 + offset;
                return codes.symbols.get(index as usize).copied().ok_or(BROKEN);
            }
        }
        Err(if self.ended && self.count < 16 { CUT } else { BROKEN })
    }

    /// What is left up to the next marker.
    pub fn gap(&mut self) -> Gap {
        self.fill();
        let (bytes, fill) = ((self.count / 8) as usize, self.count % 8);
        let bits = (self.held >> (8 * bytes as u32).min(63)) & ((1 << fill) - 1);
        let filled = bits == 0 || bits == (1 << fill) - 1;
        let mut gap = Gap { start: self.at, marker: self.at, bytes, blank: true, filled };
        for _ in 0..gap.bytes {
            let stuffed =
                gap.start.checked_sub(2).and_then(|at| self.data.get(at..gap.start)) == Some(&[0xFF, 0]);
            gap.start -= if stuffed { 2 } else { 1 };
        }
        // What is held and whole was not needed.
        let held = self.held & (1u64 << (8 * gap.bytes as u32).min(63)).wrapping_sub(1);
        gap.blank = (0..gap.bytes).all(|byte| matches!((held >> (8 * byte)) as u8, 0x00 | 0xFF));
        loop {
            match (self.data.get(gap.marker), self.data.get(gap.marker + 1)) {
                (None, _) | (Some(0xFF), None) => return Gap { marker: self.data.len(), ..gap },
                (Some(0xFF), Some(0xFF)) => gap.marker += 1,
                (Some(0xFF), Some(0)) => {
                    gap.marker += 2;
                    gap.bytes += 1;
                }
                (Some(0xFF), _) => return gap,
                (Some(&byte), _) => {
                    gap.marker += 1;
                    gap.bytes += 1;
                    gap.blank &= byte == 0;
                }
            }
        }
    }
}
