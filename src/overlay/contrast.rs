//! How well a colour can be told from mucosa, also by people who see fewer colours.
//!
//! Measured is the difference by CIE 1976 (a just noticeable one is about 2) between the colour and each of nine colours of mucosa, as somebody
//! with normal sight sees both, and somebody who lacks one kind of cone (Machado, Oliveira and Fernandes, IEEE TVCG 2009, full severity).

use std::fmt;

/// Red, green and blue of lit and shaded mucosa, blood and bile among it: the means of clusters of the pixels of 160 frames of four
/// data sets (Kvasir-SEG, CVC-ClinicDB, PolypGen, GastroVision), without glare and burned-in marks.
const MUCOSA: [[f32; 3]; 9] = [
    [64.0, 37.0, 27.0],
    [103.0, 56.0, 38.0],
    [158.0, 72.0, 37.0],
    [132.0, 81.0, 61.0],
    [172.0, 101.0, 73.0],
    [207.0, 97.0, 51.0],
    [209.0, 129.0, 96.0],
    [236.0, 131.0, 73.0],
    [237.0, 170.0, 127.0],
];

/// Colours that differ by less are hard to find.
pub const LEAST: f32 = 25.0;

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Three kinds of cones.
    Normal,
    /// No cones for long waves.
    Protanopia,
    /// None for middle waves.
    Deuteranopia,
    /// None for short waves.
    Tritanopia,
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sight::Normal => "people with normal sight",
            Sight::Protanopia => "people with protanopia",
            Sight::Deuteranopia => "people with deuteranopia",
            Sight::Tritanopia => "people with tritanopia",
        })
    }
}

/// Of linear red, green and blue.
type Matrix = [[f32; 3]; 3];

const SIGHTS: [(Sight, Matrix); 4] = [
    (Sight::Normal, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    (
        Sight::Protanopia,
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    ),
    (
        Sight::Deuteranopia,
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ),
    (
        Sight::Tritanopia,
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ),
];

/// From linear sRGB, white being D65: IEC 61966-2-1.
const XYZ: Matrix =
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]];
const WHITE: [f32; 3] = [0.95047, 1.0, 1.08883];

/// The least difference from mucosa, and who sees it.
pub fn least(colour: [u8; 3]) -> (f32, Sight) {
    let colour = colour.map(f32::from);
    let differences = SIGHTS.iter().flat_map(|(sight, matrix)| {
        let seen = lab(times(matrix, linear(colour)));
        MUCOSA.iter().map(move |mucosa| {
            let other = lab(times(matrix, linear(*mucosa)));
            let squares = seen.iter().zip(other).map(|(one, other)| (one - other).powi(2));
            (squares.sum::<f32>().sqrt(), *sight)
        })
    });
    differences.min_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or((0.0, Sight::Normal))
}

fn linear(colour: [f32; 3]) -> [f32; 3] {
    colour.map(|value| {
        let value = value / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

fn times(matrix: &Matrix, [red, green, blue]: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| (row[0] * red + row[1] * green + row[2] * blue).clamp(0.0, 1.0))
}

/// CIE 1976 L*a*b* of linear red, green and blue.
fn lab(linear: [f32; 3]) -> [f32; 3] {
    let [x, y, z] = times_unclamped(&XYZ, linear);
    let [x, y, z] = [x / WHITE[0], y / WHITE[1], z / WHITE[2]]
        .map(|t| if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

fn times_unclamped(matrix: &Matrix, [red, green, blue]: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| row[0] * red + row[1] * green + row[2] * blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a program of others' says, with the same formulas.
    #[test]
    fn colours_differ_from_mucosa_as_computed_elsewhere() {
        for (colour, expected, who) in [
            ([0, 255, 230], 32.0, Sight::Protanopia),
            ([0, 255, 0], 29.0, Sight::Deuteranopia),
            ([255, 0, 0], 11.0, Sight::Protanopia),
            ([255, 170, 0], 6.0, Sight::Tritanopia),
            ([0, 0, 255], 53.0, Sight::Tritanopia),
            ([0, 0, 0], 19.0, Sight::Protanopia),
        ] {
            let (difference, sight) = least(colour);
            assert!((difference - expected).abs() <= 1.0, "{colour:?}: {difference}");
            assert_eq!(sight, who, "{colour:?}");
        }
    }
}
