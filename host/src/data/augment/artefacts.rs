//! What an endoscope, its processor and a recorder add to a picture: glare, dark edges, boxes and text in the corners, blur,
//! motion, compression.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::example::Example;
use crate::data::cache::LARGEST_TEACHER_LOGIT;

/// Pixels darker than this, as the sum of their channels, lie outside the picture or in the dark.
const DARKEST: f32 = 45.0;

/// Soft-edged, nearly white ellipses, as wet mucosa shows the lamp.
pub(super) fn glare(pixels: &mut [f32], side: usize, rng: &mut ChaCha8Rng) {
    let plane = side * side;
    for _ in 0..rng.random_range(1..=6) {
        let (cx, cy) = (rng.random::<f32>() * side as f32, rng.random::<f32>() * side as f32);
        let (a, b) = (rng.random_range(1.5..9.0f32), rng.random_range(1.0..5.0f32));
        let (sin, cos) = (rng.random::<f32>() * std::f32::consts::PI).sin_cos();
        let strength = rng.random_range(0.5..1.0f32);
        let reach = 2.0 * a.max(b);
        let rows = (cy - reach).max(0.0) as usize..((cy + reach) as usize).min(side);
        for y in rows {
            for x in (cx - reach).max(0.0) as usize..((cx + reach) as usize).min(side) {
                let (dx, dy) = (x as f32 - cx, y as f32 - cy);
                let (u, v) = ((cos * dx + sin * dy) / a, (cos * dy - sin * dx) / b);
                let at = y * side + x;
                // Only what is lit shines back.
                let is_lit = (0..3).map(|c| pixels[c * plane + at]).sum::<f32>() > DARKEST;
                let share = if is_lit { strength * (1.5 - u.hypot(v)).clamp(0.0, 1.0) } else { 0.0 };
                for c in 0..3 {
                    let value = &mut pixels[c * plane + at];
                    *value += share * (250.0 - *value);
                }
            }
        }
    }
}

/// Darkness that grows towards the edges, as at the end of the lamp's reach; sometimes the corners are cut off, as by an
/// endoscope's mask.
pub(super) fn dark_edges(pixels: &mut [f32], side: usize, rng: &mut ChaCha8Rng) {
    let plane = side * side;
    let strength = rng.random_range(0.2..0.8f32);
    let from = rng.random_range(0.3..0.8f32);
    let (cx, cy) = (rng.random_range(-0.25..0.25f32), rng.random_range(-0.25..0.25f32));
    // Of the picture's half diagonal: a corner is at 1.41.
    let cut = if rng.random::<f32>() < 0.5 { rng.random_range(1.08..1.35f32) } else { f32::MAX };
    for y in 0..side {
        for x in 0..side {
            let (u, v) = (2.0 * x as f32 / side as f32 - 1.0, 2.0 * y as f32 / side as f32 - 1.0);
            let reach = ((u - cx).hypot(v - cy) - from).max(0.0);
            let light = if u.hypot(v) > cut { 0.0 } else { (1.0 - strength * reach * reach).max(0.0) };
            for c in 0..3 {
                pixels[c * plane + y * side + x] *= light;
            }
        }
    }
}

/// A box in a corner, black, grey, green or blue, with a line drawing as position monitors show, and a few lines of
/// something like text. What the box covers shows no polyp any more.
pub(super) fn corner(example: &mut Example, side: usize, rng: &mut ChaCha8Rng) {
    let Example { pixels, target, teacher, .. } = example;
    let plane = side * side;
    let (right, bottom) = (rng.random::<bool>(), rng.random::<bool>());
    let (width, height) = (rng.random_range(0.08..0.3f32), rng.random_range(0.08..0.3f32));
    let (width, height) = ((width * side as f32) as usize, (height * side as f32) as usize);
    let left = if right { side - width } else { 0 };
    let top = if bottom { side - height } else { 0 };
    if rng.random::<f32>() < 0.6 {
        let tones: [[f32; 3]; 4] = [[0.0; 3], [40.0, 40.0, 42.0], [20.0, 170.0, 130.0], [30.0, 60.0, 120.0]];
        let colour = tones[rng.random_range(0..tones.len())].map(|tone| tone * rng.random_range(0.7..1.2f32));
        for y in top..top + height {
            for x in left..left + width {
                let at = y * side + x;
                (0..3).for_each(|c| pixels[c * plane + at] = colour[c].min(255.0));
                target[at] = 0.0;
                if let Some(logit) = teacher.get_mut(at) {
                    *logit = logit.min(-LARGEST_TEACHER_LOGIT);
                }
            }
        }
    }
    // Strokes of one to four pixels on a grid of letters.
    let letter = rng.random_range(2..=4usize);
    let bright = rng.random_range(140.0..255.0f32);
    for row in 0..rng.random_range(1..=5usize) {
        for column in 0..rng.random_range(3..=10usize) {
            for _ in 0..rng.random_range(1..=3u8) {
                let x = left + 3 + column * (letter + 2) + rng.random_range(0..letter);
                let y = top + 3 + row * (2 * letter + 2);
                for at_y in y..y + rng.random_range(1..=letter) {
                    if x < side && at_y < side {
                        (0..3).for_each(|c| pixels[c * plane + at_y * side + x] = bright);
                    }
                }
            }
        }
    }
}

/// The camera moves: each pixel becomes the mean along a short line.
pub(super) fn motion(pixels: &mut [f32], side: usize, rng: &mut ChaCha8Rng) {
    let length = rng.random_range(0.01..0.04f32) * side as f32;
    let (sin, cos) = (rng.random::<f32>() * std::f32::consts::PI).sin_cos();
    let taps = (length.ceil() as usize).max(2);
    let offsets: Vec<(isize, isize)> = (0..taps)
        .map(|tap| length * (tap as f32 / (taps - 1) as f32 - 0.5))
        .map(|along| ((along * cos).round() as isize, (along * sin).round() as isize))
        .collect();
    let within = |at: usize, by: isize| at.saturating_add_signed(by).min(side - 1);
    for plane in pixels.chunks_exact_mut(side * side) {
        let sharp = plane.to_vec();
        for y in 0..side {
            for x in 0..side {
                let sum: f32 =
                    offsets.iter().map(|&(dx, dy)| sharp[within(y, dy) * side + within(x, dx)]).sum();
                plane[y * side + x] = sum / taps as f32;
            }
        }
    }
}

/// Through JPEG and back, as recorders and USB cameras do.
pub(super) fn compress(pixels: &mut [f32], side: usize, rng: &mut ChaCha8Rng) {
    let plane = side * side;
    let bytes: Vec<u8> =
        (0..plane).flat_map(|at| [0, 1, 2].map(|c| pixels[c * plane + at].round() as u8)).collect();
    let mut file = Vec::new();
    let quality = rng.random_range(12..70);
    let size = side as u32;
    let mut encoder = JpegEncoder::new_with_quality(&mut file, quality);
    if encoder.encode(&bytes, size, size, image::ExtendedColorType::Rgb8).is_err() {
        return;
    }
    let read = image::ImageReader::with_format(Cursor::new(file), image::ImageFormat::Jpeg).decode();
    let Ok(read) = read else { return };
    for (at, pixel) in read.into_rgb8().pixels().enumerate() {
        (0..3).for_each(|c| pixels[c * plane + at] = f32::from(pixel.0[c]));
    }
}
