//! What carts see and data sets do not: eight disturbances of a whole frame, each in five severities.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use polyp_edge::fault::Fault;
use polyp_edge::frame::Frame;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::blur;

/// A kind of disturbance. What a severity is, is said beside each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Standard deviation of 4, 8, 14, 22, 32 grey levels, each pixel and channel by itself.
    Noise,
    /// A Gaussian of standard deviation 0.2, 0.4, 0.7, 1.1, 1.6 % of the width.
    Blur,
    /// Quality 60, 40, 25, 15, 8.
    Jpeg,
    /// Odd rows lag behind even ones by 0.4, 0.8, 1.5, 2.5, 4 % of the width: a camera that moves, unwoven.
    Interlace,
    /// Red up and blue down, or the other way round, by 8, 16, 24, 32, 40 %.
    Colour,
    /// 4, 8, 16, 32, 64 specular highlights.
    Glare,
    /// Light times 0.75, 0.55, 0.4, 0.28, 0.2.
    Dark,
    /// Light times 1.25, 1.5, 1.8, 2.2, 2.8, clipped.
    Bright,
}

/// How many severities each kind has, counted from 1.
pub const SEVERITIES: usize = 5;

impl Disturbance {
    /// Every kind, in the order in which reports list them.
    pub const ALL: [Disturbance; 8] = [
        Disturbance::Noise,
        Disturbance::Blur,
        Disturbance::Jpeg,
        Disturbance::Interlace,
        Disturbance::Colour,
        Disturbance::Glare,
        Disturbance::Dark,
        Disturbance::Bright,
    ];

    /// The name in tables and reports.
    pub fn word(self) -> &'static str {
        match self {
            Disturbance::Noise => "noise",
            Disturbance::Blur => "blur",
            Disturbance::Jpeg => "jpeg",
            Disturbance::Interlace => "interlace",
            Disturbance::Colour => "colour",
            Disturbance::Glare => "glare",
            Disturbance::Dark => "under-exposure",
            Disturbance::Bright => "over-exposure",
        }
    }

    /// The frame disturbed; `severity` from 1 to [`SEVERITIES`]. Polyps stay where they are.
    ///
    /// # Panics
    /// If there is no such severity.
    pub fn apply(self, frame: &Frame, severity: usize, seed: u64) -> anyhow::Result<Frame> {
        let of = |values: [f32; SEVERITIES]| values[severity - 1];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (width, height) = (frame.width_px(), frame.height_px());
        let rows: Vec<&[u8]> = (0..height).map(|y| frame.row(y)).collect();
        let pixels = match self {
            Disturbance::Noise => {
                let spread = of([4.0, 8.0, 14.0, 22.0, 32.0]);
                // Three even draws are near enough to a Gaussian.
                let mut draw = || (0..3).map(|_| rng.random_range(-1f32..1.0)).sum::<f32>() * spread;
                rows.concat().iter().map(|value| (f32::from(*value) + draw()).round() as u8).collect()
            }
            Disturbance::Blur => {
                blur::gaussian(&rows.concat(), width, of([0.002, 0.004, 0.007, 0.011, 0.016]) * width as f32)
            }
            Disturbance::Jpeg => {
                let mut file = Vec::new();
                let quality = of([60.0, 40.0, 25.0, 15.0, 8.0]) as u8;
                JpegEncoder::new_with_quality(&mut file, quality).encode(
                    &rows.concat(),
                    width as u32,
                    height as u32,
                    image::ExtendedColorType::Rgb8,
                )?;
                let read = image::ImageReader::with_format(Cursor::new(file), image::ImageFormat::Jpeg);
                read.decode()?.into_rgb8().into_raw()
            }
            Disturbance::Interlace => {
                let lag = (of([0.004, 0.008, 0.015, 0.025, 0.04]) * width as f32).round() as usize;
                let lagging = |(y, row): (usize, &&[u8])| -> Vec<u8> {
                    let from = |x: usize| 3 * if y % 2 == 1 { x.saturating_sub(lag) } else { x };
                    (0..width).flat_map(|x| row[from(x)..from(x) + 3].to_vec()).collect()
                };
                rows.iter().enumerate().flat_map(lagging).collect()
            }
            Disturbance::Colour => {
                let way = if rng.random::<bool>() { 1.0 } else { -1.0 };
                let shift = way * of([0.08, 0.16, 0.24, 0.32, 0.4]);
                let gains = [1.0 + shift, 1.0, 1.0 - shift];
                let channel = |(i, value): (usize, &u8)| (f32::from(*value) * gains[i % 3]).round() as u8;
                rows.concat().iter().enumerate().map(channel).collect()
            }
            Disturbance::Glare => {
                glare(rows.concat(), width, of([4.0, 8.0, 16.0, 32.0, 64.0]) as usize, &mut rng)
            }
            Disturbance::Dark => lit(&rows, of([0.75, 0.55, 0.4, 0.28, 0.2])),
            Disturbance::Bright => lit(&rows, of([1.25, 1.5, 1.8, 2.2, 2.8])),
        };
        Frame::from_rgb(width, height, pixels).ok_or_else(|| Fault::data("a frame without pixels"))
    }
}

fn lit(rows: &[&[u8]], light: f32) -> Vec<u8> {
    rows.concat().iter().map(|value| (f32::from(*value) * light).round() as u8).collect()
}

/// Soft-edged white ellipses within the middle of the picture, up to 5 % of the width long.
fn glare(mut pixels: Vec<u8>, width: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let height = pixels.len() / 3 / width.max(1);
    for _ in 0..count {
        let centre = [width, height].map(|side| side as f32 * rng.random_range(0.15..0.85f32));
        let radii = [0; 2].map(|_| width as f32 * rng.random_range(0.004..0.025f32));
        let (sin, cos) = (rng.random::<f32>() * std::f32::consts::PI).sin_cos();
        let reach = 1.5 * radii[0].max(radii[1]);
        let span =
            |at: f32, side: usize| (at - reach).max(0.0) as usize..((at + reach) as usize + 1).min(side);
        for y in span(centre[1], height) {
            for x in span(centre[0], width) {
                let (dx, dy) = (x as f32 - centre[0], y as f32 - centre[1]);
                let distance = ((cos * dx + sin * dy) / radii[0]).hypot((cos * dy - sin * dx) / radii[1]);
                let share = (1.5 - distance).clamp(0.0, 1.0);
                for value in &mut pixels[3 * (y * width + x)..][..3] {
                    let lit = f32::from(*value) + share * (252.0 - f32::from(*value));
                    *value = lit.round() as u8;
                }
            }
        }
    }
    pixels
}

/// Another endoscope's look on the same `[side, side, 3] u8` pixels; nothing moves.
pub fn disguise(pixels: &[u8], side: usize, seed: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut values: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel)).collect();
    for _ in 0..random.random_range(0..=4) {
        values = blur::cross(&values, side);
    }
    let light = random.random_range(0.6..1.2);
    let gains: [f32; 3] = std::array::from_fn(|_| light * random.random_range(0.8..1.2));
    let saturation: f32 = random.random_range(0.6..1.4);
    let mut disturbed = Vec::with_capacity(values.len());
    for pixel in values.chunks_exact(3) {
        let lit: [f32; 3] = std::array::from_fn(|channel| pixel[channel] * gains[channel]);
        let grey = lit.iter().sum::<f32>() / 3.0;
        let noise = |random: &mut ChaCha8Rng| (0..3).map(|_| random.random_range(-6f32..6.0)).sum::<f32>();
        disturbed.extend(lit.map(|value| (grey + (value - grey) * saturation + noise(&mut random)) as u8));
    }
    disturbed
}

#[cfg(test)]
mod tests {
    use polyp_edge::capture::synthetic::Colon;

    use super::*;

    fn apart(a: &Frame, b: &Frame) -> f64 {
        let pairs = a.pixels().iter().zip(b.pixels());
        let sum: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
        (sum / a.pixels().len() as f64).sqrt()
    }

    #[test]
    fn each_is_worse_from_severity_to_severity() {
        let (frame, _) = Colon::new(360, 288, 3).render(40);
        for kind in Disturbance::ALL {
            let mut last = 0.0;
            for severity in 1..=SEVERITIES {
                let disturbed = kind.apply(&frame, severity, 7).unwrap();
                assert_eq!((disturbed.width_px(), disturbed.height_px()), (360, 288));
                assert_eq!(disturbed, kind.apply(&frame, severity, 7).unwrap());
                let distance = apart(&frame, &disturbed);
                assert!(distance > last, "{} {severity}: {distance} after {last}", kind.word());
                last = distance;
            }
            assert!(last > 4.0, "{}: {last}", kind.word());
        }
    }

    #[test]
    fn a_disturbed_picture_is_another_one_of_the_same_thing() {
        let side = 32;
        let pixels: Vec<u8> =
            (0..3 * side * side).map(|i| if (i / 3) % side < 16 { 40 } else { 180 }).collect();
        let disturbed = disguise(&pixels, side, 4);
        assert_eq!(disturbed, disguise(&pixels, side, 4));
        assert_ne!(disturbed, disguise(&pixels, side, 5));
        assert_ne!(disturbed, pixels);
        let mean = |left: bool| {
            let half = disturbed.iter().enumerate().filter(|(i, _)| ((i / 3) % side < 16) == left);
            half.map(|(_, &pixel)| f32::from(pixel)).sum::<f32>() / (side * side) as f32 / 1.5
        };
        assert!(mean(false) > 2.0 * mean(true), "{} {}", mean(true), mean(false));
    }
}
