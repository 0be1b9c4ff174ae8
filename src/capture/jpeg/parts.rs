//! The segments of a JPEG picture that say how its scans are to be read.

use super::exif;
use super::huffman::{BROKEN, Codes};
use super::refused::MAX_SIDE_PX;
use super::refused::Refused;

/// A colour of the picture.
#[derive(Clone, Copy)]
pub struct Component {
    pub id: u8,
    pub across: usize,
    pub down: usize,
    /// The number of its quantiser.
    pub quantiser: usize,
    /// A coefficient's lowest bit that was sent, by zigzag index; `u8::MAX` where none was.
    pub sent: [u8; 64],
    /// Blocks that hold pixels.
    pub wide: usize,
    pub high: usize,
    /// Where its blocks' history starts, in a progressive picture.
    pub history: usize,
}

/// What is known of a picture from the segments so far.
#[derive(Default)]
pub struct Parts {
    pub width: usize,
    pub height: usize,
    pub progressive: bool,
    /// Blocks that span the units of a scan of several components.
    pub units: (usize, usize),
    pub components: Vec<Component>,
    pub dc: [Option<Box<Codes>>; 4],
    pub ac: [Option<Box<Codes>>; 4],
    /// A table of the standard was taken where the picture brings none.
    pub standard: bool,
    /// Step of the mean value, of each quantiser.
    pub steps: [Option<i32>; 4],
    pub restart: usize,
    /// As Exif has it; 0 if it does not say.
    pub orientation: u8,
}

fn word(content: &[u8], at: usize) -> Option<usize> {
    content.get(at..at + 2).map(|pair| pair.iter().fold(0, |value, &byte| value << 8 | usize::from(byte)))
}

impl Parts {
    /// Takes a segment by its marker's code.
    pub fn segment(&mut self, code: u8, content: &[u8]) -> Result<(), Refused> {
        match code {
            0xC0..=0xC2 => self.start(code, content),
            0xC3 | 0xC5..=0xC7 => Err(Refused::NotRead("its compression is lossless or hierarchical")),
            0xC9..=0xCB | 0xCD..=0xCF => Err(Refused::NotRead("its compression is arithmetic")),
            0xC4 => Ok(self.tables(content).ok_or("its Huffman tables are invalid")?),
            0xDB => Ok(self.quantisers(content).ok_or("its quantisation tables are invalid")?),
            0xDD => {
                self.restart = word(content, 0).ok_or(BROKEN)?;
                Ok(())
            }
            0xDC => Err(Refused::NotRead("its header leaves the height open")),
            0xE1 => {
                if let Some(upright) = content.strip_prefix(b"Exif\0\0").and_then(exif::orientation) {
                    self.orientation = upright;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, code: u8, content: &[u8]) -> Result<(), Refused> {
        const HEADER: &str = "its header is damaged";
        if !self.components.is_empty() {
            return Err("it has two headers".into());
        }
        (self.height, self.width) = (word(content, 1).ok_or(HEADER)?, word(content, 3).ok_or(HEADER)?);
        let sides = 1..=MAX_SIDE_PX;
        match content.first() {
            Some(8) => {}
            Some(12) => return Err(Refused::NotRead("its samples have 12 bits")),
            _ => return Err(HEADER.into()),
        }
        if self.height == 0 {
            return Err(Refused::NotRead("its header leaves the height open"));
        }
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return Err(Refused::Size(self.width, self.height));
        }
        self.header(content).ok_or(HEADER)?;
        self.progressive = code == 0xC2;
        Ok(())
    }

    fn header(&mut self, content: &[u8]) -> Option<()> {
        let count = usize::from(*content.get(5)?);
        let entries = content.get(6..6 + 3 * count).filter(|_| (1..=4).contains(&count))?;
        for entry in entries.chunks_exact(3) {
            let &[id, sampling, quantiser] = entry else { return None };
            let (across, down) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            let known = self.components.iter().any(|component| component.id == id);
            if known || !(1..=4).contains(&across) || !(1..=4).contains(&down) || quantiser > 3 {
                return None;
            }
            self.components.push(Component {
                id,
                across,
                down,
                quantiser: usize::from(quantiser),
                sent: [u8::MAX; 64],
                wide: 0,
                high: 0,
                history: 0,
            });
        }
        let widest = self.components.iter().map(|c| c.across).max()?;
        let tallest = self.components.iter().map(|c| c.down).max()?;
        self.units = (self.width.div_ceil(8 * widest), self.height.div_ceil(8 * tallest));
        let mut history = 0;
        for component in &mut self.components {
            component.wide = (self.width * component.across).div_ceil(widest).div_ceil(8);
            component.high = (self.height * component.down).div_ceil(tallest).div_ceil(8);
            component.history = history;
            history += component.wide * component.high;
        }
        Some(())
    }

    /// Blocks of all components.
    pub fn blocks(&self) -> usize {
        self.components.iter().map(|component| component.wide * component.high).sum()
    }

    fn tables(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = content.split_first() {
            let counts: &[u8; 16] = rest.first_chunk()?;
            let total = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
            let symbols = rest.get(16..16 + total)?;
            let family = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *family.get_mut(usize::from(kind & 15))? = Some(Box::new(Codes::new(counts, symbols)?));
            content = rest.get(16 + total..)?;
        }
        Some(())
    }

    fn quantisers(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = content.split_first() {
            let bytes = match kind >> 4 {
                0 => 1,
                1 => 2,
                _ => return None,
            };
            let table = rest.get(..64 * bytes)?;
            let step = table.get(..bytes)?.iter().fold(0, |value, &byte| value << 8 | i32::from(byte));
            *self.steps.get_mut(usize::from(kind & 15))? = Some(step);
            content = rest.get(64 * bytes..)?;
        }
        Some(())
    }

    /// Takes the standard's table where a scan needs one that the picture does not bring. Pictures from cameras do
    /// without; progressive ones need others than the standard has.
    pub fn need(&mut self, class: u8, number: usize) -> Result<(), &'static str> {
        let progressive = self.progressive;
        let family = if class == 0 { &mut self.dc } else { &mut self.ac };
        match family.get_mut(number) {
            Some(Some(_)) => Ok(()),
            Some(table) if !progressive => {
                let codes = Codes::standard(class, number).ok_or("a Huffman table is missing")?;
                *table = Some(Box::new(codes));
                self.standard = true;
                Ok(())
            }
            _ => Err("a Huffman table is missing"),
        }
    }
}
