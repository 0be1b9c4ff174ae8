//! Proves that a JPEG picture's compressed data is all there, by reading every code word without decoding pixels.
//!
//! The decoder fills what is missing with grey and says nothing as long as there is an end marker; and a frame
//! that is partly grey must not pass for a frame. Guaranteed: in a baseline picture every block of every component
//! has its codes. Not guaranteed: that no bit was changed within them; anything about progressive pictures.

const LOOKUP_BITS: u32 = 9;

/// Canonical Huffman codes as JPEG has them.
struct Codes {
    /// By the next nine bits: length << 8 | symbol, or 0 for a longer code.
    lookup: [u16; 1 << LOOKUP_BITS],
    /// By length: the first code that is longer, left-aligned to 16 bits; and the index of its length's symbols.
    limit: [u32; 17],
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Codes {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Self {
        let mut codes = Codes {
            lookup: [0; 1 << LOOKUP_BITS],
            limit: [0; 17],
            offset: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0u32, 0u32);
        for (length, &count) in (1u32..).zip(counts) {
            codes.offset[length as usize] = index as i32 - code as i32;
            for _ in 0..count {
                if length <= LOOKUP_BITS {
                    let symbol = symbols.get(index as usize).copied().unwrap_or(0);
                    let shift = LOOKUP_BITS - length;
                    for entry in codes.lookup.iter_mut().skip((code << shift) as usize).take(1 << shift) {
                        *entry = (length as u16) << 8 | symbol as u16;
                    }
                }
                code += 1;
                index += 1;
            }
            codes.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        codes
    }
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    ended: bool,
}

const CUT: &str = "its compressed data ends too soon";
const BROKEN: &str = "its compressed data makes no sense";

impl Bits<'_> {
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
                    self.held = self.held << 8 | byte as u64;
                    self.count += 8;
                }
            }
        }
    }

    fn skip(&mut self, bits: u32) -> Result<(), &'static str> {
        self.count = self.count.checked_sub(bits).ok_or(CUT)?;
        Ok(())
    }

    /// The next code's symbol; up to 15 more bits are held then unless the data has ended.
    fn symbol(&mut self, codes: &Codes) -> Result<u8, &'static str> {
        if self.count < 32 {
            self.fill();
        }
        let next = match self.count >= 16 {
            true => (self.held >> (self.count - 16)) as u32 & 0xFFFF,
            false => (self.held << (16 - self.count)) as u32 & 0xFFFF,
        };
        let entry = codes.lookup[(next >> (16 - LOOKUP_BITS)) as usize];
        if entry != 0 {
            self.skip(entry as u32 >> 8)?;
            return Ok(entry as u8);
        }
        for length in LOOKUP_BITS + 1..=16 {
            if next < codes.limit[length as usize] {
                self.skip(length)?;
                let index = (next >> (16 - length)) as i32 + codes.offset[length as usize];
                return codes.symbols.get(index as usize).copied().ok_or(BROKEN);
            }
        }
        Err(if self.ended && self.count < 16 { CUT } else { BROKEN })
    }

    fn block(&mut self, dc: &Codes, ac: &Codes) -> Result<(), &'static str> {
        let size = self.symbol(dc)?;
        if size > 15 {
            return Err(BROKEN);
        }
        self.skip(size as u32)?;
        let mut coefficient = 1;
        while coefficient < 64 {
            let symbol = self.symbol(ac)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            if size == 0 && run != 15 {
                return Ok(());
            }
            self.skip(size as u32)?;
            coefficient += run as u32 + 1;
        }
        if coefficient > 64 { Err(BROKEN) } else { Ok(()) }
    }

    /// Moves past the restart marker that must come next.
    fn restart(&mut self) -> Result<(), &'static str> {
        self.fill();
        if !self.ended || self.count >= 8 {
            return Err(BROKEN);
        }
        while self.data.get(self.at + 1) == Some(&0xFF) {
            self.at += 1;
        }
        match self.data.get(self.at + 1) {
            Some(0xD0..=0xD7) => self.at += 2,
            _ => return Err(CUT),
        }
        (self.held, self.count, self.ended) = (0, 0, false);
        Ok(())
    }
}

#[derive(Clone, Copy, Default)]
struct Component {
    id: u8,
    across: usize,
    down: usize,
    seen: bool,
}

#[derive(Default)]
struct Picture {
    width: usize,
    height: usize,
    components: Vec<Component>,
    dc: [Option<Codes>; 4],
    ac: [Option<Codes>; 4],
    restart: usize,
}

/// Checks a picture whose segments [`super::segments::next_picture`] has walked.
///
/// Errors: in words that end the sentence "it is damaged: …".
pub fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let mut picture = Picture::default();
    let mut at = 2;
    loop {
        while bytes.get(at + 1) == Some(&0xFF) {
            at += 1;
        }
        let (Some(0xFF), Some(&code)) = (bytes.get(at), bytes.get(at + 1)) else { return Err(BROKEN) };
        at += 2;
        match code {
            0xD9 => {
                let whole = !picture.components.is_empty() && picture.components.iter().all(|c| c.seen);
                return if whole { Ok(()) } else { Err("a colour is missing") };
            }
            0x01 | 0xD0..=0xD7 => continue,
            _ => {}
        }
        let length = match bytes.get(at..at + 2) {
            Some(&[high, low]) => u16::from_be_bytes([high, low]) as usize,
            _ => return Err(BROKEN),
        };
        let content = bytes.get(at + 2..at + length.max(2)).ok_or(BROKEN)?;
        at += length.max(2);
        match code {
            0xC0 | 0xC1 => picture.start(content).ok_or(BROKEN)?,
            // Progressive, lossless, arithmetic: left to the decoder.
            0xC2 | 0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => return Ok(()),
            0xC4 => picture.tables(content).ok_or(BROKEN)?,
            0xDD => {
                picture.restart =
                    u16::from_be_bytes([*content.first().ok_or(BROKEN)?, *content.get(1).ok_or(BROKEN)?])
                        as usize
            }
            0xDA => {
                let rest = bytes.get(at..).unwrap_or_default();
                at += match picture.scan(content, rest)? {
                    Some(used) => used,
                    None => return Ok(()),
                };
            }
            _ => {}
        }
    }
}

impl Picture {
    fn start(&mut self, content: &[u8]) -> Option<()> {
        let side = |at: usize| Some(u16::from_be_bytes([*content.get(at)?, *content.get(at + 1)?]) as usize);
        (self.height, self.width) = (side(1)?, side(3)?);
        self.components.clear();
        for entry in content.get(6..)?.chunks_exact(3).take(*content.get(5)? as usize) {
            let (across, down) = ((entry[1] >> 4) as usize, (entry[1] & 15) as usize);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return None;
            }
            self.components.push(Component { id: entry[0], across, down, seen: false });
        }
        Some(())
    }

    fn tables(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = content.split_first() {
            let counts: &[u8; 16] = rest.first_chunk()?;
            let total = counts.iter().map(|&count| count as usize).sum::<usize>();
            let symbols = rest.get(16..16 + total)?;
            let family = if kind >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *family.get_mut((kind & 15) as usize)? = Some(Codes::new(counts, symbols));
            content = rest.get(16 + total..)?;
        }
        Some(())
    }

    /// Reads a scan's codes; gives how many bytes they take up to the next marker, `None` if the picture brings no
    /// code tables and relies on the standard's.
    fn scan(&mut self, content: &[u8], data: &[u8]) -> Result<Option<usize>, &'static str> {
        let count = *content.first().ok_or(BROKEN)? as usize;
        let widest = self.components.iter().map(|c| c.across).max().unwrap_or(1);
        let tallest = self.components.iter().map(|c| c.down).max().unwrap_or(1);
        let mut blocks = Vec::with_capacity(4);
        let (mut units_wide, mut units_high) =
            (self.width.div_ceil(8 * widest), self.height.div_ceil(8 * tallest));
        for entry in content.get(1..).unwrap_or_default().chunks_exact(2).take(count) {
            let component = self.components.iter_mut().find(|c| c.id == entry[0]).ok_or(BROKEN)?;
            component.seen = true;
            let mut repeat = component.across * component.down;
            if count == 1 {
                repeat = 1;
                units_wide = (self.width * component.across).div_ceil(widest).div_ceil(8);
                units_high = (self.height * component.down).div_ceil(tallest).div_ceil(8);
            }
            let table = |family: &'_ [Option<Codes>; 4], index: u8| {
                (index < 4 && family[index as usize].is_some()).then_some(index as usize)
            };
            let (Some(dc), Some(ac)) = (table(&self.dc, entry[1] >> 4), table(&self.ac, entry[1] & 15))
            else {
                return Ok(None);
            };
            blocks.push((repeat, dc, ac));
        }
        let mut bits = Bits { data, at: 0, held: 0, count: 0, ended: false };
        for unit in 0..units_wide * units_high {
            if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                bits.restart()?;
            }
            for &(repeat, dc, ac) in &blocks {
                let (Some(dc), Some(ac)) = (&self.dc[dc], &self.ac[ac]) else { return Err(BROKEN) };
                for _ in 0..repeat {
                    bits.block(dc, ac)?;
                }
            }
        }
        // What pads the data up to the next marker is of no interest.
        let mut end = bits.at;
        while !matches!((data.get(end), data.get(end + 1)), (Some(0xFF), Some(0x01..=0xCF | 0xD8..=0xFE)) | (None, _))
        {
            end += 1;
        }
        Ok(Some(end))
    }
}
