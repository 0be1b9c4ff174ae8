//! Proves that a JPEG picture's compressed data is all there, by reading every code word without decoding pixels.
//!
//! Decoders fill what is missing with grey and say nothing as long as there is an end marker; and a frame that is partly
//! grey must not pass for a frame.

use std::ops::Range;

use super::huffman::{BROKEN, Bits, CUT, Codes, Gap};
use super::parts::Parts;
use super::refused::Refused;

/// Most scans of a picture; ordinary progressive pictures have ten.
const MAX_SCANS: usize = 100;
/// Most bytes that cameras put between a scan's data and the marker that follows it, of whatever value; in pictures of
/// several scans, which cameras do not write, they must be 0x00 or 0xFF.
const MAX_PADDING: usize = 3;
/// Most bits of a coefficient in a picture of eight bits, and of a mean's difference.
const AC_BITS: u32 = 10;
const DC_BITS: u32 = 11;
/// Twice what a mean can be in a picture of eight bits.
const MEAN_LIMIT: i32 = 2048;

const LEFT_OVER: &str = "its compressed data continues after its last pixel";
const OUT_OF_ORDER: &str = "a restart marker is missing";
const INCOMPLETE: &str = "its later scans are missing";

/// What a check found besides a whole picture.
pub struct Found {
    pub parts: Parts,
    /// All colours come in each scan that has pixels of their own: none alone.
    pub interleaved: bool,
}

/// Memory that is kept from picture to picture.
#[derive(Default)]
pub struct Scratch {
    /// Bytes between a scan's data and the next marker, which nobody needs.
    pub padding: Vec<Range<usize>>,
    /// Which coefficients of each block are not zero, a bit each; for progressive pictures.
    history: Vec<u64>,
}

/// Which coefficients a scan has, and which of their bits.
#[derive(Clone, Copy)]
struct Band {
    from: u32,
    to: u32,
    high: u32,
    low: u32,
}

/// A component in a scan.
#[derive(Clone, Copy)]
struct Part {
    index: usize,
    /// Blocks in a unit.
    repeat: usize,
    dc: usize,
    ac: usize,
    step: i32,
    mean: i32,
}

/// Checks a picture, SOI to EOI.
///
/// Errors: what is damaged, or what is not read.
pub fn check(bytes: &[u8], scratch: &mut Scratch) -> Result<Found, Refused> {
    scratch.padding.clear();
    let mut parts = Parts::default();
    let (mut interleaved, mut scans) = (true, 0);
    let mut at = 2;
    loop {
        while bytes.get(at + 1) == Some(&0xFF) {
            at += 1;
        }
        let (Some(0xFF), Some(&code)) = (bytes.get(at), bytes.get(at + 1)) else { return Err(BROKEN.into()) };
        at += 2;
        match code {
            0xD9 => break,
            0x01 => continue,
            0x00 | 0xD0..=0xD8 => return Err(BROKEN.into()),
            _ => {}
        }
        let length = match bytes.get(at..at + 2) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => return Err(CUT.into()),
        };
        let content = bytes.get(at + 2..at + length.max(2)).ok_or(CUT)?;
        at += length.max(2);
        if code != 0xDA {
            parts.segment(code, content)?;
            continue;
        }
        scans += 1;
        if scans > MAX_SCANS {
            return Err("it has too many scans".into());
        }
        let (mut scan, band) = begin(&mut parts, content)?;
        interleaved &= scan.len() == parts.components.len();
        if parts.progressive && scans == 1 {
            scratch.history.clear();
            scratch.history.resize(parts.blocks(), 0);
        }
        at = walk(&parts, &mut scan, band, bytes, at, scratch)?;
    }
    let whole = |sent: &[u8; 64]| sent.iter().all(|&low| low == 0);
    match parts.components.iter().find(|component| !whole(&component.sent)) {
        _ if parts.components.is_empty() => Err("it has no pixels".into()),
        None => Ok(Found { parts, interleaved }),
        Some(_) if parts.progressive => Err(INCOMPLETE.into()),
        Some(_) => Err("a colour component is missing".into()),
    }
}

/// Reads a scan's header, and notes what it sends.
fn begin(parts: &mut Parts, content: &[u8]) -> Result<(Vec<Part>, Band), &'static str> {
    const HEADER: &str = "a scan's header is invalid";
    let count = usize::from(*content.first().ok_or(HEADER)?);
    let (Some(entries), Some(&[from, to, bits])) =
        (content.get(1..1 + 2 * count), content.get(1 + 2 * count..4 + 2 * count))
    else {
        return Err(HEADER);
    };
    let (from, to, high, low) = (u32::from(from), u32::from(to), u32::from(bits >> 4), u32::from(bits & 15));
    let band = if parts.progressive {
        Band { from, to, high, low }
    } else {
        Band { from: 0, to: 63, high: 0, low: 0 }
    };
    let sensible = band.from <= band.to
        && band.to <= 63
        && band.low <= 13
        && (band.high == 0 || band.high == band.low + 1)
        && (!parts.progressive || (band.from == 0) == (band.to == 0))
        && (band.from == 0 || count == 1);
    if !sensible || !(1..=4).contains(&count) {
        return Err(HEADER);
    }
    let mut scan: Vec<Part> = Vec::with_capacity(count);
    for entry in entries.chunks_exact(2) {
        let &[id, tables] = entry else { return Err(HEADER) };
        let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
        if !parts.progressive || (band.from == 0 && band.high == 0) {
            parts.need(0, dc)?;
        }
        if !parts.progressive || band.from > 0 {
            parts.need(1, ac)?;
        }
        let index = parts.components.iter().position(|c| c.id == id).ok_or(HEADER)?;
        if scan.iter().any(|part| part.index == index) {
            return Err(HEADER);
        }
        let component = parts.components.get_mut(index).ok_or(HEADER)?;
        let step = parts.steps.get(component.quantiser).copied().flatten();
        let step = step.ok_or("a quantisation table is missing")?;
        let before = if band.high == 0 { u8::MAX } else { band.high as u8 };
        if band.from > 0 && component.sent.first() == Some(&u8::MAX) {
            return Err("its scans are out of order");
        }
        for sent in component.sent.iter_mut().take(band.to as usize + 1).skip(band.from as usize) {
            if *sent != before {
                return Err("its scans are out of order");
            }
            *sent = band.low as u8;
        }
        let repeat = if count == 1 { 1 } else { component.across * component.down };
        scan.push(Part { index, repeat, dc, ac, step, mean: 0 });
    }
    Ok((scan, band))
}

/// Reads a scan's codes from `at`; gives where the next marker is.
#[expect(clippy::too_many_lines, reason = "one walk through a scan; its parts would pass a dozen values")]
fn walk(
    parts: &Parts,
    scan: &mut [Part],
    band: Band,
    bytes: &[u8],
    mut at: usize,
    scratch: &mut Scratch,
) -> Result<usize, &'static str> {
    let alone = match scan {
        [one] => parts.components.get(one.index),
        _ => None,
    };
    let units = alone.map_or(parts.units.0 * parts.units.1, |component| component.wide * component.high);
    // Only cameras pad, and they write one scan.
    let camera = !parts.progressive && scan.len() == parts.components.len();
    let interval = if parts.restart == 0 { units } else { parts.restart };
    let (mut done, mut restarts) = (0, 0u8);
    loop {
        let mut bits = Bits::new(bytes, at);
        let count = interval.min(units - done);
        scan.iter_mut().for_each(|part| part.mean = 0);
        match alone.filter(|_| band.from > 0) {
            Some(component) => {
                let codes = scan.first().and_then(|part| parts.ac.get(part.ac)?.as_deref()).ok_or(BROKEN)?;
                let first = component.history + done;
                let blocks = scratch.history.get_mut(first..first + count).ok_or(BROKEN)?;
                match band.high {
                    0 => ac_first(&mut bits, codes, band, blocks)?,
                    _ => ac_refinement(&mut bits, codes, band, blocks)?,
                }
            }
            None if band.high > 0 => {
                for _ in 0..count * scan.iter().map(|part| part.repeat).sum::<usize>() {
                    bits.skip_one()?;
                }
            }
            None => {
                let mut tables = [None; 4];
                for (table, part) in tables.iter_mut().zip(scan.iter()) {
                    let dc = parts.dc.get(part.dc).and_then(|codes| codes.as_deref()).ok_or(BROKEN)?;
                    let ac = parts.ac.get(part.ac).and_then(|codes| codes.as_deref());
                    *table = Some((dc, ac.filter(|_| !parts.progressive)));
                }
                for _ in 0..count {
                    for (part, &table) in scan.iter_mut().zip(&tables) {
                        let Some((dc, ac)) = table else { return Err(BROKEN) };
                        for _ in 0..part.repeat {
                            mean(&mut bits, dc, part, band.low)?;
                            if let Some(ac) = ac {
                                coefficients(&mut bits, ac)?;
                            }
                        }
                    }
                }
            }
        }
        done += count;
        let gap = bits.gap();
        let code = bytes.get(gap.marker + 1).copied();
        let restart = matches!(code, Some(0xD0..=0xD7));
        let sound = |gap: &Gap| gap.bytes == 0 || camera || gap.blank;
        if !camera && !gap.filled || !sound(&gap) {
            return Err(BROKEN);
        }
        if done < units {
            if gap.bytes > MAX_PADDING {
                return Err(LEFT_OVER);
            }
            if code != Some(0xD0 + restarts % 8) {
                return Err(if restart { OUT_OF_ORDER } else { CUT });
            }
            restarts = restarts.wrapping_add(1);
            remember(scratch, gap.start..gap.marker);
            at = gap.marker + 2;
            continue;
        }
        // Some encoders put a restart marker after the last interval, too.
        let (mut end, mut few, mut blank) = (gap.marker, gap.bytes <= MAX_PADDING, gap.blank);
        if restart {
            let after = Bits::new(bytes, end + 2).gap();
            (end, few, blank) = (after.marker, few && after.bytes == 0, blank && after.blank);
        }
        if !few && !blank {
            return Err(LEFT_OVER);
        }
        remember(scratch, gap.start..end);
        return Ok(end);
    }
}

fn remember(scratch: &mut Scratch, padding: Range<usize>) {
    if !padding.is_empty() {
        scratch.padding.push(padding);
    }
}

#[inline]
fn mean(bits: &mut Bits, dc: &Codes, part: &mut Part, low: u32) -> Result<(), &'static str> {
    let size = u32::from(bits.symbol(dc)?);
    if size > DC_BITS {
        return Err(BROKEN);
    }
    if size > 0 {
        let value = bits.take(size)?;
        part.mean += if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value };
        // A mean that no picture can have shows that codes before it were lost.
        if (i64::from(part.mean) << low).abs() * i64::from(part.step) > i64::from(MEAN_LIMIT + part.step) {
            return Err(BROKEN);
        }
    }
    Ok(())
}

#[inline]
fn coefficients(bits: &mut Bits, ac: &Codes) -> Result<(), &'static str> {
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (symbol >> 4, u32::from(symbol & 15));
        if size == 0 && run != 15 {
            return if run == 0 { Ok(()) } else { Err(BROKEN) };
        }
        if size > AC_BITS {
            return Err(BROKEN);
        }
        bits.skip(size)?;
        at += u32::from(run) + 1;
    }
    if at > 64 { Err(BROKEN) } else { Ok(()) }
}

fn ac_first(bits: &mut Bits, ac: &Codes, band: Band, blocks: &mut [u64]) -> Result<(), &'static str> {
    // Blocks that have nothing more.
    let mut ended = 0u32;
    for block in blocks {
        if ended > 0 {
            ended -= 1;
            continue;
        }
        let mut at = band.from;
        while at <= band.to {
            let symbol = bits.symbol(ac)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                ended = (1 << run) - 1 + bits.take(run)? as u32;
                break;
            }
            at += run;
            if size > 0 {
                if at > band.to || size + band.low > AC_BITS {
                    return Err(BROKEN);
                }
                bits.skip(size)?;
                *block |= 1 << at;
            }
            at += 1;
        }
        if at > band.to + 1 {
            return Err(BROKEN);
        }
    }
    if ended > 0 { Err(BROKEN) } else { Ok(()) }
}

fn ac_refinement(bits: &mut Bits, ac: &Codes, band: Band, blocks: &mut [u64]) -> Result<(), &'static str> {
    let mut ended = 0u32;
    for block in blocks {
        let mut at = band.from;
        while ended == 0 && at <= band.to {
            let symbol = bits.symbol(ac)?;
            let (run, size) = (u32::from(symbol >> 4), symbol & 15);
            match size {
                0 if run < 15 => {
                    ended = (1 << run) + bits.take(run)? as u32;
                    break;
                }
                0 => {}
                1 => bits.skip(1)?,
                _ => return Err(BROKEN),
            }
            let mut zeros = run;
            while at <= band.to {
                if *block >> at & 1 == 1 {
                    bits.skip_one()?;
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
            if size == 1 {
                if at > band.to {
                    return Err(BROKEN);
                }
                *block |= 1 << at;
            }
            at += 1;
        }
        if ended > 0 {
            for at in at..=band.to {
                if *block >> at & 1 == 1 {
                    bits.skip_one()?;
                }
            }
            ended -= 1;
        }
    }
    if ended > 0 { Err(BROKEN) } else { Ok(()) }
}
