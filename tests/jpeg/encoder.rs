//! A small JPEG encoder that writes what cameras and programs write and ordinary encoders do not: any sampling,
//! one scan for each component, restart markers with bytes before them, no Huffman tables, progressive scans.
//!
//! It keeps the coefficients that it writes, and [`Encoded::reference`] makes a picture of them in floating point: an
//! answer that shares no code with any decoder.

use std::f64::consts::PI;
use std::sync::LazyLock;

#[derive(Clone, Debug)]
pub struct Plan {
    pub width: usize,
    pub height: usize,
    /// Horizontal and vertical sampling factors of each component.
    pub sampling: Vec<(usize, usize)>,
    /// All components in one scan, else one scan for each.
    pub interleaved: bool,
    /// Units between restart markers; 0 for none.
    pub restart: usize,
    /// Bytes put before each restart marker.
    pub padding: Vec<u8>,
    /// Without, the standard's tables are used and not written.
    pub tables: bool,
    pub progressive: bool,
    /// An `AVI1` segment, as cameras that leave out the tables should write.
    pub avi1: bool,
}

impl Plan {
    pub fn new(width: usize, height: usize, sampling: &[(usize, usize)]) -> Plan {
        Plan {
            width,
            height,
            sampling: sampling.to_vec(),
            interleaved: true,
            restart: 0,
            padding: Vec::new(),
            tables: true,
            progressive: false,
            avi1: false,
        }
    }
}

pub struct Encoded {
    pub bytes: Vec<u8>,
    plan: Plan,
    components: Vec<Component>,
}

struct Component {
    across: usize,
    down: usize,
    /// Samples that belong to the picture.
    width: usize,
    height: usize,
    /// Blocks in a row, padded to whole units.
    blocks_wide: usize,
    blocks: Vec<[i32; 64]>,
}

const QUANTISER: i32 = 3;

const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Annex K.3: tables 3 and 5.
pub const DC_COUNTS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
pub const DC_SYMBOLS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
pub const AC_COUNTS: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
pub const AC_SYMBOLS: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22,
    0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33,
    0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x34,
    0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55,
    0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76,
    0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5,
    0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4,
    0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1,
    0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
];

/// Code and length of each symbol.
struct Table([Option<(u32, u32)>; 256]);

impl Table {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Table {
        let mut table = Table([None; 256]);
        let (mut code, mut symbols) = (0, symbols.iter());
        for (length, &count) in (1..).zip(counts) {
            for _ in 0..count {
                table.0[*symbols.next().unwrap() as usize] = Some((code, length));
                code += 1;
            }
            code <<= 1;
        }
        table
    }
}

/// A table that has every symbol but 255 with a code of eight bits: progressive scans need more than Annex K has.
fn flat() -> ([u8; 16], Vec<u8>) {
    let mut counts = [0; 16];
    counts[7] = 255;
    (counts, (0..255).collect())
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32) {
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
    fn align(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }
    fn symbol(&mut self, table: &Table, symbol: u8) {
        let (code, length) = table.0[symbol as usize].expect("the table has the symbol");
        self.put(code, length);
    }
    /// The bits of a value, of `size` bits as JPEG writes them.
    fn value(&mut self, value: i32, size: u32) {
        self.put((if value < 0 { value - 1 } else { value }) as u32 & ((1 << size) - 1), size);
    }
}

fn size_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

/// Which coefficients a scan has, and which of their bits.
#[derive(Clone, Copy)]
struct Band {
    from: usize,
    to: usize,
    high: u32,
    low: u32,
}

/// What lasts from block to block of a scan.
#[derive(Default)]
struct Scan {
    bits: Bits,
    last: [i32; 4],
    run: u32,
    corrections: Vec<u32>,
}

impl Scan {
    fn end_run(&mut self, ac: &Table) {
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

    fn block(
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

fn segment(bytes: &mut Vec<u8>, code: u8, content: &[u8]) {
    bytes.extend_from_slice(&[0xFF, code]);
    bytes.extend_from_slice(&(content.len() as u16 + 2).to_be_bytes());
    bytes.extend_from_slice(content);
}

/// Encodes a picture of interleaved samples in 0..=255, RGB, or grey where there is but one component.
pub fn encode(plan: &Plan, rgb: &[u8]) -> Encoded {
    let widest = plan.sampling.iter().map(|s| s.0).max().unwrap();
    let tallest = plan.sampling.iter().map(|s| s.1).max().unwrap();
    let units = (plan.width.div_ceil(8 * widest), plan.height.div_ceil(8 * tallest));
    let components: Vec<Component> = (plan.sampling.iter().enumerate())
        .map(|(index, &(across, down))| {
            let (width, height) =
                ((plan.width * across).div_ceil(widest), (plan.height * down).div_ceil(tallest));
            let (wide, high) = (units.0 * across, units.1 * down);
            let sample = |x: usize, y: usize| {
                let (left, right) = (x * widest / across, ((x + 1) * widest).div_ceil(across));
                let (top, bottom) = (y * tallest / down, ((y + 1) * tallest).div_ceil(down));
                let (mut sum, mut count) = (0.0, 0.0);
                for (y, x) in (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x))) {
                    let at = 3 * (y.min(plan.height - 1) * plan.width + x.min(plan.width - 1));
                    let [r, g, b] = [0, 1, 2].map(|channel| rgb[at + channel] as f64);
                    sum += match index {
                        0 => 0.299 * r + 0.587 * g + 0.114 * b,
                        1 => 128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b,
                        _ => 128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b,
                    };
                    count += 1.0;
                }
                sum / count - 128.0
            };
            let blocks = (0..wide * high)
                .map(|block| {
                    let (left, top) = (8 * (block % wide), 8 * (block / wide));
                    let samples: Vec<f64> = (0..64)
                        .map(|at| sample((left + at % 8).min(width - 1), (top + at / 8).min(height - 1)))
                        .collect();
                    ZIGZAG.map(|at| (forward(&samples, at % 8, at / 8) / QUANTISER as f64).round() as i32)
                })
                .collect();
            Component { across, down, width, height, blocks_wide: wide, blocks }
        })
        .collect();
    let mut encoded = Encoded { bytes: Vec::new(), plan: plan.clone(), components };
    encoded.write(units);
    encoded
}

fn scale(frequency: usize) -> f64 {
    if frequency == 0 { 0.5 * 0.5f64.sqrt() } else { 0.5 }
}

fn wave(frequency: usize, at: usize) -> f64 {
    static WAVES: LazyLock<[f64; 64]> = LazyLock::new(|| {
        std::array::from_fn(|index| ((2 * (index % 8) + 1) as f64 * (index / 8) as f64 * PI / 16.0).cos())
    });
    WAVES[8 * frequency + at]
}

fn forward(samples: &[f64], u: usize, v: usize) -> f64 {
    let sum: f64 = (0..64).map(|at| samples[at] * wave(u, at % 8) * wave(v, at / 8)).sum();
    scale(u) * scale(v) * sum
}

impl Encoded {
    fn write(&mut self, units: (usize, usize)) {
        let plan = self.plan.clone();
        let mut bytes = vec![0xFF, 0xD8];
        if plan.avi1 {
            segment(&mut bytes, 0xE0, b"AVI1\0\0\0\0\0\0\0\0\0\0");
        }
        let mut quantiser = vec![0];
        quantiser.extend_from_slice(&[QUANTISER as u8; 64]);
        segment(&mut bytes, 0xDB, &quantiser);
        let mut start = vec![8];
        start.extend_from_slice(&(plan.height as u16).to_be_bytes());
        start.extend_from_slice(&(plan.width as u16).to_be_bytes());
        start.push(self.components.len() as u8);
        for (index, component) in self.components.iter().enumerate() {
            start.extend_from_slice(&[index as u8 + 1, (component.across << 4 | component.down) as u8, 0]);
        }
        segment(&mut bytes, if plan.progressive { 0xC2 } else { 0xC0 }, &start);
        let (flat_counts, flat_symbols) = flat();
        let (ac_counts, ac_symbols) = match plan.progressive {
            true => (&flat_counts, flat_symbols.as_slice()),
            false => (&AC_COUNTS, AC_SYMBOLS.as_slice()),
        };
        if plan.tables {
            segment(&mut bytes, 0xC4, &[&[0x00], DC_COUNTS.as_slice(), DC_SYMBOLS.as_slice()].concat());
            segment(&mut bytes, 0xC4, &[&[0x10], ac_counts.as_slice(), ac_symbols].concat());
        }
        if plan.restart > 0 {
            segment(&mut bytes, 0xDD, &(plan.restart as u16).to_be_bytes());
        }
        let tables = (Table::new(&DC_COUNTS, &DC_SYMBOLS), Table::new(ac_counts, ac_symbols));
        let all: Vec<usize> = (0..self.components.len()).collect();
        let each: Vec<Vec<usize>> = all.iter().map(|&component| vec![component]).collect();
        let groups = if plan.interleaved { vec![all] } else { each.clone() };
        let band = |from, to, high, low| Band { from, to, high, low };
        let mut scans = Vec::new();
        if plan.progressive {
            scans.extend(groups.iter().map(|group| (group.clone(), band(0, 0, 0, 1))));
            for (from, to, high, low) in [(1, 5, 0, 2), (6, 63, 0, 2), (1, 63, 2, 1), (1, 63, 1, 0)] {
                scans.extend(each.iter().map(|one| (one.clone(), band(from, to, high, low))));
            }
            scans.extend(groups.iter().map(|group| (group.clone(), band(0, 0, 1, 0))));
        } else {
            scans.extend(groups.into_iter().map(|group| (group, band(0, 63, 0, 0))));
        }
        for (group, band) in scans {
            let mut head = vec![group.len() as u8];
            group.iter().for_each(|&component| head.extend_from_slice(&[component as u8 + 1, 0]));
            head.extend_from_slice(&[band.from as u8, band.to as u8, (band.high << 4 | band.low) as u8]);
            segment(&mut bytes, 0xDA, &head);
            bytes.extend_from_slice(&self.scan(units, &group, band, (&tables.0, &tables.1)));
        }
        bytes.extend_from_slice(&[0xFF, 0xD9]);
        self.bytes = bytes;
    }

    fn scan(&self, units: (usize, usize), group: &[usize], band: Band, tables: (&Table, &Table)) -> Vec<u8> {
        let mut scan = Scan::default();
        let mut unit_blocks = Vec::new();
        if let &[one] = group {
            let component = &self.components[one];
            let (wide, high) = (component.width.div_ceil(8), component.height.div_ceil(8));
            for (y, x) in (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))) {
                unit_blocks.push(vec![(one, y * component.blocks_wide + x)]);
            }
        } else {
            for (row, column) in (0..units.1).flat_map(|y| (0..units.0).map(move |x| (y, x))) {
                let mut blocks = Vec::new();
                for &index in group {
                    let component = &self.components[index];
                    for (y, x) in (0..component.down).flat_map(|y| (0..component.across).map(move |x| (y, x)))
                    {
                        let place = (row * component.down + y) * component.blocks_wide;
                        blocks.push((index, place + column * component.across + x));
                    }
                }
                unit_blocks.push(blocks);
            }
        }
        for (count, blocks) in unit_blocks.iter().enumerate() {
            if self.plan.restart > 0 && count > 0 && count % self.plan.restart == 0 {
                scan.end_run(tables.1);
                scan.bits.align();
                scan.bits.bytes.extend_from_slice(&self.plan.padding);
                scan.bits
                    .bytes
                    .extend_from_slice(&[0xFF, 0xD0 + ((count / self.plan.restart - 1) % 8) as u8]);
                scan.last = [0; 4];
            }
            for &(component, block) in blocks {
                let block = &self.components[component].blocks[block];
                scan.block(&self.plan, tables, band, component, block);
            }
        }
        scan.end_run(tables.1);
        scan.bits.align();
        scan.bits.bytes
    }

    /// What the coefficients show, as RGB: an inverse transform in floating point, each sample repeated over the
    /// pixels that share it.
    pub fn reference(&self) -> Vec<u8> {
        let widest = self.plan.sampling.iter().map(|s| s.0).max().unwrap();
        let tallest = self.plan.sampling.iter().map(|s| s.1).max().unwrap();
        let planes: Vec<Vec<f64>> = self.components.iter().map(Component::samples).collect();
        let mut rgb = Vec::new();
        for (y, x) in (0..self.plan.height).flat_map(|y| (0..self.plan.width).map(move |x| (y, x))) {
            let sample = |index: usize| match (planes.get(index), self.components.get(index)) {
                (Some(plane), Some(component)) => {
                    let (x, y) = (x * component.across / widest, y * component.down / tallest);
                    plane[y * 8 * component.blocks_wide + x]
                }
                _ => 0.0,
            };
            let (light, blue, red) = (sample(0) + 128.0, sample(1), sample(2));
            let pixel =
                [light + 1.402 * red, light - 0.344_136 * blue - 0.714_136 * red, light + 1.772 * blue];
            rgb.extend(pixel.map(|value| value.round().clamp(0.0, 255.0) as u8));
        }
        rgb
    }
}

impl Component {
    fn samples(&self) -> Vec<f64> {
        let row = 8 * self.blocks_wide;
        let mut plane = vec![0.0; 64 * self.blocks.len()];
        for (index, block) in self.blocks.iter().enumerate() {
            let mut natural = [0.0; 64];
            for (at, &value) in block.iter().enumerate() {
                natural[ZIGZAG[at]] = (value * QUANTISER) as f64;
            }
            let (left, top) = (8 * (index % self.blocks_wide), 8 * (index / self.blocks_wide));
            for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
                let sum: f64 = (0..64)
                    .filter(|&at| natural[at] != 0.0)
                    .map(|at| {
                        let (u, v) = (at % 8, at / 8);
                        scale(u) * scale(v) * natural[at] * wave(u, x) * wave(v, y)
                    })
                    .sum();
                plane[(top + y) * row + left + x] = sum.clamp(-128.0, 127.0);
            }
        }
        plane
    }
}

/// A smooth scene with light and colour that change over the whole picture.
pub fn scene(width: usize, height: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(3 * width * height);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let (u, v) = (x as f64 / 96.0, y as f64 / 96.0);
        rgb.extend([(u, v, 0.0), (v, u, 1.3), (u + v, u - v, 2.1)].map(|(a, b, phase)| {
            (128.0 + 90.0 * (2.1 * a + phase).sin() * (1.7 * b + phase).cos()).round() as u8
        }));
    }
    rgb
}

/// The largest difference of two pictures, and the mean one.
pub fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().zip(b).map(|(x, y)| x.abs_diff(*y)).max().unwrap_or(0);
    let sum: u64 = a.iter().zip(b).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
    (largest, sum as f64 / a.len().max(1) as f64)
}
