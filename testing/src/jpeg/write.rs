//! The file: its segments and scans.

use super::scan::{Band, Scan};
use super::tables::{AC_COUNTS, AC_SYMBOLS, DC_COUNTS, DC_SYMBOLS, Table, flat};
use super::{Encoded, QUANTISER};

fn segment(bytes: &mut Vec<u8>, code: u8, content: &[u8]) {
    bytes.extend_from_slice(&[0xFF, code]);
    bytes.extend_from_slice(&(content.len() as u16 + 2).to_be_bytes());
    bytes.extend_from_slice(content);
}

impl Encoded {
    pub(super) fn write(&mut self, units: (usize, usize)) {
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
        let (ac_counts, ac_symbols) = if plan.progressive {
            (&flat_counts, flat_symbols.as_slice())
        } else {
            (&AC_COUNTS, AC_SYMBOLS.as_slice())
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
}
