//! Surface detail, baked once a patient into tiles that repeat without a seam.
//!
//! Channels of a tile: darkness of vessels or pits, slope along u, slope along v (128 is flat), mottling.

use super::dice::{Dice, smoothstep};

pub const TILE: usize = 1024;
const POLYP_TILE: usize = 256;

struct Level {
    size: usize,
    texels: Vec<[u8; 4]>,
}

/// A square tile with its halved copies.
pub struct Texture {
    levels: Vec<Level>,
}

/// Four channels: two in 0..1, slopes in -1..1 as channels 1 and 2.
#[derive(Clone, Copy)]
pub struct Detail {
    pub dark: f32,
    pub slope: [f32; 2],
    pub mottle: f32,
}

impl Texture {
    fn new(size: usize, texels: Vec<[u8; 4]>) -> Self {
        let mut levels = vec![Level { size, texels }];
        while let Some(last) = levels.last().filter(|level| level.size > 16) {
            let half = last.size / 2;
            let mut texels = Vec::with_capacity(half * half);
            for y in 0..half {
                for x in 0..half {
                    let corner = 2 * y * last.size + 2 * x;
                    let four = [corner, corner + 1, corner + last.size, corner + last.size + 1];
                    let mut mean = [0u8; 4];
                    for (channel, value) in mean.iter_mut().enumerate() {
                        let sum: u32 = four.iter().map(|&at| last.texels[at][channel] as u32).sum();
                        *value = ((sum + 2) / 4) as u8;
                    }
                    texels.push(mean);
                }
            }
            levels.push(Level { size: half, texels });
        }
        Texture { levels }
    }

    /// Bilinear lookup; `u` and `v` count tiles, at most 100 either way. `level` halves the resolution.
    #[inline]
    pub fn sample(&self, u: f32, v: f32, level: usize) -> Detail {
        let level = &self.levels[level.min(self.levels.len() - 1)];
        // 24.8 fixed point; two channels share a word.
        let scale = (level.size * 256) as f32;
        let (x, y) = ((u * scale) as i32, (v * scale) as i32);
        let (fx, fy) = ((x & 255) as u32, (y & 255) as u32);
        let mask = level.size - 1;
        let (x0, x1) = ((x >> 8) as usize & mask, ((x >> 8) + 1) as usize & mask);
        let row = |y: i32| (y as usize & mask) * level.size;
        let (row0, row1) = (row(y >> 8), row((y >> 8) + 1));
        let far = (fx * fy) >> 8;
        let weights = [256 + far - fx - fy, fx - far, fy - far, far];
        let (mut even, mut odd) = (0u32, 0u32);
        for (at, weight) in [row0 + x0, row0 + x1, row1 + x0, row1 + x1].into_iter().zip(weights) {
            let texel = u32::from_le_bytes(level.texels[at]);
            even += (texel & 0xFF_00FF) * weight;
            odd += ((texel >> 8) & 0xFF_00FF) * weight;
        }
        let unit = |sum: u32| (sum & 0xFFFF) as i32 as f32 * (1.0 / 65280.0);
        Detail {
            dark: unit(even),
            slope: [2.0 * unit(odd) - 1.0039, 2.0 * unit(even >> 16) - 1.0039],
            mottle: unit(odd >> 16),
        }
    }

    /// The level whose texels are about as large as a pixel that covers `footprint` tiles.
    pub fn level(&self, footprint: f32) -> usize {
        let texels = footprint * self.levels[0].size as f32;
        ((texels.to_bits() >> 23) as usize).saturating_sub(127)
    }
}

/// Adds smooth noise of `cells_x × cells_y` cells, between -`amplitude` and `amplitude`, to a square tile.
fn add_noise(tile: &mut [f32], size: usize, cells: [usize; 2], amplitude: f32, dice: &mut Dice) {
    let grid: Vec<f32> = (0..cells[0] * cells[1]).map(|_| dice.range(-amplitude, amplitude)).collect();
    let place = |at: usize, cells: usize| {
        let position = at as f32 * cells as f32 / size as f32;
        let cell = position as usize;
        (cell, (cell + 1) % cells, smoothstep(0.0, 1.0, position - cell as f32))
    };
    let columns: Vec<_> = (0..size).map(|x| place(x, cells[0])).collect();
    for (y, row) in tile.chunks_exact_mut(size).enumerate() {
        let (y0, y1, fy) = place(y, cells[1]);
        let (upper, lower) = (&grid[y0 * cells[0]..], &grid[y1 * cells[0]..]);
        for (value, &(x0, x1, fx)) in row.iter_mut().zip(&columns) {
            let above = upper[x0] + (upper[x1] - upper[x0]) * fx;
            let below = lower[x0] + (lower[x1] - lower[x0]) * fx;
            *value += above + (below - above) * fy;
        }
    }
}

/// Slopes of a height tile, scaled so that their root mean square is `rms`.
fn slopes(height: &[f32], size: usize, rms: f32) -> Vec<[f32; 2]> {
    let at = |x: usize, y: usize| height[(y & (size - 1)) * size + (x & (size - 1))];
    let mut all: Vec<[f32; 2]> = Vec::with_capacity(size * size);
    for y in 0..size {
        for x in 0..size {
            all.push([at(x + 1, y) - at(x + size - 1, y), at(x, y + 1) - at(x, y + size - 1)]);
        }
    }
    let square: f32 = all.iter().map(|s| s[0] * s[0] + s[1] * s[1]).sum::<f32>() / all.len() as f32;
    let scale = rms / square.max(1e-12).sqrt();
    all.iter().map(|s| s.map(|slope| slope * scale)).collect()
}

fn stamp(tile: &mut [f32], size: usize, centre: [f32; 2], radius: f32, strength: f32) {
    let reach = radius.ceil() as i64 + 1;
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let (x, y) = (centre[0].floor() + dx as f32, centre[1].floor() + dy as f32);
            let distance = (x - centre[0]).hypot(y - centre[1]);
            let dark = strength * (1.0 - smoothstep(0.5 * radius, radius + 0.8, distance));
            let at = (y.rem_euclid(size as f32) as usize % size) * size
                + x.rem_euclid(size as f32) as usize % size;
            tile[at] = tile[at].max(dark);
        }
    }
}

/// One vessel that winds, thins and branches.
fn vessel(
    tile: &mut [f32],
    mut at: [f32; 2],
    mut heading: f32,
    width: f32,
    length: f32,
    depth: u32,
    dice: &mut Dice,
) {
    let step = (0.5 * width).max(1.0);
    let steps = (length / step) as usize;
    let mut turn = 0.0f32;
    let straight = heading;
    for index in 0..steps {
        let left = 1.0 - 0.5 * index as f32 / steps as f32;
        stamp(tile, TILE, at, width * left, (0.28 + 0.13 * width).min(1.0));
        turn = 0.85 * turn + dice.range(-0.045, 0.045) - 0.01 * (heading - straight);
        heading += turn * step.min(2.0);
        at = [at[0] + step * heading.cos(), at[1] + step * heading.sin()];
        if depth > 0 && dice.chance(step / (0.22 * length)) {
            let side = dice.range(0.4, 1.1) * if dice.chance(0.5) { 1.0 } else { -1.0 };
            let (thin, short) = (dice.range(0.5, 0.8), dice.range(0.35, 0.7));
            vessel(tile, at, heading + side, width * left * thin, length * short, depth - 1, dice);
        }
    }
}

fn encode(dark: f32, slope: [f32; 2], mottle: f32) -> [u8; 4] {
    let unit = |x: f32| (255.0 * x.clamp(0.0, 1.0)).round() as u8;
    [unit(dark), unit(0.502 + 0.5 * slope[0]), unit(0.502 + 0.5 * slope[1]), unit(0.5 + 0.5 * mottle)]
}

/// Mucosa: branching vessels, the fine relief that glints, mottling.
pub fn mucosa(seed: u64) -> Texture {
    let mut dice = Dice::new(seed, 2);
    let mut dark = vec![0.0; TILE * TILE];
    for _ in 0..16 {
        let at = [dice.range(0.0, TILE as f32), dice.range(0.0, TILE as f32)];
        let heading = dice.range(0.0, 6.3);
        let (width, length) = (dice.range(1.6, 4.6), dice.range(300.0, 650.0));
        vessel(&mut dark, at, heading, width, length, 4, &mut dice);
    }
    let mut height = vec![0.0; TILE * TILE];
    let stretch = dice.range(0.6, 1.7);
    for (cells, amplitude) in [(14.0, 1.0), (34.0, 0.5), (80.0, 0.24), (170.0, 0.10)] {
        let cells = [(cells * stretch) as usize, (cells / stretch) as usize];
        add_noise(&mut height, TILE, cells, amplitude, &mut dice);
    }
    let mut mottle = vec![0.0; TILE * TILE];
    for (cells, amplitude) in [(4, 0.55), (9, 0.35), (23, 0.22), (120, 0.12)] {
        add_noise(&mut mottle, TILE, [cells, cells], amplitude, &mut dice);
    }
    let slopes = slopes(&height, TILE, 0.36);
    let texels = dark.iter().zip(slopes).zip(mottle).map(|((&d, s), m)| encode(d, s, m)).collect();
    Texture::new(TILE, texels)
}

/// Polyp surface: pits or gyri, their relief, mottling.
pub fn polyp(seed: u64) -> Texture {
    let mut dice = Dice::new(seed, 3);
    let size = POLYP_TILE;
    let cells = 15usize;
    let seeds: Vec<[f32; 2]> = (0..cells * cells).map(|_| [dice.unit(), dice.unit()]).collect();
    let gyri = dice.chance(0.5);
    let mut warp = [vec![0.0; size * size], vec![0.0; size * size]];
    for tile in &mut warp {
        add_noise(tile, size, [9, 9], 0.6, &mut dice);
    }
    let mut height = vec![0.0; size * size];
    for (at, value) in height.iter_mut().enumerate() {
        let (x, y) = (at % size, at / size);
        let place = [
            x as f32 * cells as f32 / size as f32 + warp[0][at],
            y as f32 * cells as f32 / size as f32 + warp[1][at],
        ];
        let (mut first, mut second) = (9.0f32, 9.0f32);
        for oy in -1..=1 {
            for ox in -1..=1 {
                let cell = [place[0].floor() + ox as f32, place[1].floor() + oy as f32];
                let index = cell.map(|c| c.rem_euclid(cells as f32) as usize % cells);
                let seed = seeds[index[1] * cells + index[0]];
                let distance = (cell[0] + seed[0] - place[0]).hypot(cell[1] + seed[1] - place[1]);
                second = second.min(distance.max(first));
                first = first.min(distance);
            }
        }
        *value = if gyri { (second - first).min(0.5) } else { first.min(0.6) };
    }
    let dark: Vec<f32> = height.iter().map(|&h| 1.0 - smoothstep(0.02, 0.28, h)).collect();
    add_noise(&mut height, size, [7, 7], 0.5, &mut dice);
    let mut mottle = vec![0.0; size * size];
    for (cells, amplitude) in [(3, 0.6), (8, 0.4), (31, 0.25)] {
        add_noise(&mut mottle, size, [cells, cells], amplitude, &mut dice);
    }
    let slopes = slopes(&height, size, 0.30);
    let texels = dark.iter().zip(slopes).zip(mottle).map(|((&d, s), m)| encode(d, s, m)).collect();
    Texture::new(size, texels)
}
