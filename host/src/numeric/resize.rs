//! Half-pixel bilinear sampling, and Keys' bicubic, on the CPU.

use polyp_edge::frame::Frame;
use polyp_edge::geometry::Rect;

/// Half-pixel centres, edges repeated, no smoothing when it shrinks: PyTorch's `align_corners=False, antialias=False`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// Linear interpolation along each axis.
    Bilinear,
    /// Keys' kernel (1981) with `a = −0.75`.
    Bicubic,
}

impl Resize {
    /// Where output `o` of [`Resize::Bilinear`] lies among the inputs.
    pub fn position(o: usize, from: usize, to: usize) -> f64 {
        ((o as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64)
    }

    /// `[from, to]`: column `o` holds what output `o` takes from each input.
    pub fn matrix(self, from: usize, to: usize) -> Vec<f32> {
        let mut matrix = vec![0.0; from * to];
        for o in 0..to {
            let mut take = |i: i64, share: f64| {
                let i = i.clamp(0, from as i64 - 1) as usize;
                matrix[i * to + o] += share as f32;
            };
            match self {
                Resize::Bilinear => {
                    let at = Self::position(o, from, to);
                    let (low, share) = (at as i64, at.fract());
                    take(low, 1.0 - share);
                    take(low + 1, share);
                }
                Resize::Bicubic => {
                    let at = (o as f64 + 0.5) * from as f64 / to as f64 - 0.5;
                    let low = at.floor() as i64;
                    (-1..=2).for_each(|i| take(low + i, keys(at - (low + i) as f64)));
                }
            }
        }
        matrix
    }
}

fn keys(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let d = distance.abs();
    match d {
        d if d <= 1.0 => ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0,
        d if d < 2.0 => ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A,
        _ => 0.0,
    }
}

/// Each output's two inputs and their shares, for [`Resize::Bilinear`] from `low` to `side`.
pub type Taps = Vec<(usize, f32, f32)>;

/// One picture's logits enlarged bilinearly.
pub fn enlarged(logits: &[f32], low: usize, side: usize) -> Vec<f32> {
    enlarge(logits, low, side, &taps(low, side))
}

/// See [`Taps`].
pub fn taps(low: usize, side: usize) -> Taps {
    sparse_columns(&Resize::Bilinear.matrix(low, side), low, side)
}

/// Each output's two inputs and their shares.
fn sparse_columns(matrix: &[f32], low: usize, side: usize) -> Taps {
    (0..side)
        .map(|o| {
            let first = (0..low).find(|i| matrix[i * side + o] > 0.0).unwrap_or(0);
            let next = if first + 1 < low { matrix[(first + 1) * side + o] } else { 0.0 };
            (first, matrix[first * side + o], next)
        })
        .collect()
}

/// `values [low, low]` enlarged to `[side, side]`.
pub fn enlarge(values: &[f32], low: usize, side: usize, taps: &Taps) -> Vec<f32> {
    let mut wide = vec![0.0; low * side];
    for (row, out) in values.chunks_exact(low).zip(wide.chunks_exact_mut(side)) {
        for (out, (i, a, b)) in out.iter_mut().zip(taps) {
            *out = a * row[*i] + b * row[(i + 1).min(low - 1)];
        }
    }
    let mut out = vec![0.0; side * side];
    for (out, (i, a, b)) in out.chunks_exact_mut(side).zip(taps) {
        let (top, bottom) = (&wide[i * side..][..side], &wide[(i + 1).min(low - 1) * side..][..side]);
        out.iter_mut().zip(top).zip(bottom).for_each(|((out, top), bottom)| *out = a * top + b * bottom);
    }
    out
}

/// The transpose of [`enlarge`], added to `out`.
pub fn reduce(values: &[f32], low: usize, side: usize, taps: &Taps, out: &mut [f32]) {
    let mut wide = vec![0.0; low * side];
    for (row, (i, a, b)) in values.chunks_exact(side).zip(taps) {
        for (offset, share) in [(*i, a), ((i + 1).min(low - 1), b)] {
            let wide = &mut wide[offset * side..][..side];
            wide.iter_mut().zip(row).for_each(|(wide, value)| *wide += share * value);
        }
    }
    for (row, out) in wide.chunks_exact(side).zip(out.chunks_exact_mut(low)) {
        for (value, (i, a, b)) in row.iter().zip(taps) {
            out[*i] += a * value;
            out[(i + 1).min(low - 1)] += b * value;
        }
    }
}

/// The four pixels around a place, columns and rows counted from their centres, with the share of each; they may lie outside.
pub fn corners(x: f32, y: f32) -> [(isize, isize, f32); 4] {
    let (left, top) = (x.floor(), y.floor());
    let (right, down) = (x - left, y - top);
    let (column, row) = (left as isize, top as isize);
    [
        (column, row, (1.0 - right) * (1.0 - down)),
        (column + 1, row, right * (1.0 - down)),
        (column, row + 1, (1.0 - right) * down),
        (column + 1, row + 1, right * down),
    ]
}

/// `map [low, low]` enlarged to `crop` in a picture that is 0 elsewhere.
pub fn place(map: &[f32], low: usize, frame: &Frame, crop: Rect) -> Vec<f32> {
    let enlarged = bilinear(|at| map[at], (low, low), (crop.width, crop.height));
    let mut out = vec![0.0; frame.width_px() * frame.height_px()];
    let rows = out.chunks_exact_mut(frame.width_px().max(1)).skip(crop.y);
    for (row, enlarged) in rows.zip(enlarged.chunks_exact(crop.width.max(1))) {
        row[crop.x..crop.x + crop.width].copy_from_slice(enlarged);
    }
    out
}

/// A map of `from` columns and rows, resized to `to` as [`Resize::Bilinear`].
pub fn bilinear(value: impl Fn(usize) -> f32, from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let (across, down) = (neighbours(from.0, to.0), neighbours(from.1, to.1));
    let mut out = Vec::with_capacity(to.0 * to.1);
    for (y, share_y) in &down {
        let (above, below) = (y * from.0, (y + 1).min(from.1 - 1) * from.0);
        out.extend(across.iter().map(|(x, share_x)| {
            let right = (x + 1).min(from.0 - 1);
            let along = |row: usize| value(row + x) * (1.0 - share_x) + value(row + right) * share_x;
            along(above) * (1.0 - share_y) + along(below) * share_y
        }));
    }
    out
}

/// Each output's first input and the share of the next one, as [`Resize::Bilinear`].
fn neighbours(from: usize, to: usize) -> Vec<(usize, f32)> {
    (0..to)
        .map(|o| {
            let at = Resize::position(o, from, to);
            (at as usize, at.fract() as f32)
        })
        .collect()
}
