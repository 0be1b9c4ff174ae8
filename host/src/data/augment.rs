//! What training does to a picture: turned, scaled, shifted, mirrored; light, colour, blur, glare.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::cache::{Cached, LARGEST_TEACHER_LOGIT, TeacherView};

/// How far each change may go; 0 switches it off. Factors are drawn from `1 ± value`, scale from `e^±value`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Radians either way.
    pub rotation: f32,
    /// Natural logarithm of the largest change of size, either way. One axis is stretched and the other shrunk by up to a
    /// third of it besides.
    pub log_scale: f32,
    /// Share of the side.
    pub shift: f32,
    /// Probability that only a part of the picture fills the view, 0.4 to 0.8 of its sides, wherever it lies: with the
    /// polyp, with a piece of it, or with mucosa alone.
    pub zoom: f32,
    /// Probability of mirroring left to right.
    pub mirror: f32,
    /// Probability of mirroring top to bottom.
    pub flip: f32,
    /// How far the light changes, on all channels alike.
    pub brightness: f32,
    /// How far contrast changes: the distance of each value from the mean of all values.
    pub contrast: f32,
    /// How far each channel's gain changes by itself.
    pub channel_gain: f32,
    /// How far saturation changes: the distance of each value from its pixel's grey value.
    pub saturation: f32,
    /// Probability of a blur.
    pub blur: f32,
    /// Probability of specular highlights.
    pub glare: f32,
    /// Largest standard deviation of noise, in grey levels.
    pub noise: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation {
            rotation: std::f32::consts::PI,
            log_scale: 0.35,
            shift: 0.2,
            zoom: 0.2,
            mirror: 0.5,
            flip: 0.0,
            brightness: 0.3,
            contrast: 0.3,
            channel_gain: 0.12,
            saturation: 0.3,
            blur: 0.25,
            glare: 0.25,
            noise: 6.0,
        }
    }
}

impl Augmentation {
    /// Changes nothing.
    pub fn none() -> Self {
        Augmentation {
            rotation: 0.0,
            log_scale: 0.0,
            shift: 0.0,
            zoom: 0.0,
            mirror: 0.0,
            flip: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            channel_gain: 0.0,
            saturation: 0.0,
            blur: 0.0,
            glare: 0.0,
            noise: 0.0,
        }
    }
}

/// A training picture.
pub(crate) struct Example {
    /// Raw pixel values `[3, side, side]`, 0 to 255.
    pub pixels: Vec<f32>,
    /// `[side, side]`: 1 where the polyp is, else 0.
    pub target: Vec<f32>,
    /// Whether the target is the truth.
    pub labelled: bool,
    /// A teacher's logits `[side, side]`, moved as the picture was; empty if none has looked.
    pub teacher: Vec<f32>,
}

/// The picture as it is, resized; for validation.
pub(crate) fn plain(sample: &Cached, side: usize) -> Example {
    warp(sample, side, Affine::identity())
}

/// The picture changed at random.
pub(crate) fn augment(sample: &Cached, side: usize, a: &Augmentation, rng: &mut ChaCha8Rng) -> Example {
    let mut example = warp(sample, side, Affine::random(a, rng));
    if rng.random::<f32>() < a.glare {
        glare(&mut example.pixels, side, rng);
    }
    if rng.random::<f32>() < a.blur {
        let radius = rng.random_range(1..=2);
        example.pixels.chunks_exact_mut(side * side).for_each(|plane| blur(plane, side, radius));
    }
    light(&mut example.pixels, side, a, rng);
    example
}

/// From the output's coordinates in −1..1 to the picture's.
#[derive(Clone, Copy)]
struct Affine([[f32; 3]; 2]);

impl Affine {
    fn identity() -> Self {
        Affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    }

    fn random(a: &Augmentation, rng: &mut ChaCha8Rng) -> Self {
        let angle = within(rng, a.rotation);
        let scale = within(rng, a.log_scale).exp();
        // A little more along one axis than the other: fields of view are not all of one shape.
        let stretch = within(rng, a.log_scale / 3.0).exp();
        let mut either = |share: f32| if rng.random::<f32>() < share { -1.0 } else { 1.0 };
        let (mirror, flip) = (either(a.mirror), either(a.flip));
        let (sin, cos) = angle.sin_cos();
        let (sx, sy) = (stretch / scale * mirror, flip / (scale * stretch));
        let mut shift = [2.0 * within(rng, a.shift), 2.0 * within(rng, a.shift)];
        let (mut sx, mut sy) = (sx, sy);
        if a.zoom > 0.0 && rng.random::<f32>() < a.zoom {
            let share = rng.random_range(0.4..0.8f32);
            (sx, sy) = (sx.signum() * share * stretch, sy.signum() * share / stretch);
            shift = [within(rng, 1.0 - share), within(rng, 1.0 - share)];
        }
        Affine([[cos * sx, -sin * sy, shift[0]], [sin * sx, cos * sy, shift[1]]])
    }
}

fn within(rng: &mut ChaCha8Rng, reach: f32) -> f32 {
    (2.0 * rng.random::<f32>() - 1.0) * reach
}

/// Bilinear; black and without polyp outside the picture.
fn warp(sample: &Cached, side: usize, affine: Affine) -> Example {
    let Affine([row_x, row_y]) = affine;
    let from = (sample.mask.len() as f64).sqrt().round() as usize;
    let plane = side * side;
    let (mut pixels, mut target) = (vec![0.0; 3 * plane], vec![0.0; plane]);
    let place = |at: f32| (at + 1.0) / 2.0 * from as f32 - 0.5;
    let centre = |i: usize| (2.0 * i as f32 + 1.0) / side as f32 - 1.0;
    for y in 0..side {
        for x in 0..side {
            let (u, v) = (centre(x), centre(y));
            let px = place(row_x[0] * u + row_x[1] * v + row_x[2]);
            let py = place(row_y[0] * u + row_y[1] * v + row_y[2]);
            let (x0, y0) = (px.floor(), py.floor());
            let (fx, fy) = (px - x0, py - y0);
            let corners = [
                (0, 0, (1.0 - fx) * (1.0 - fy)),
                (1, 0, fx * (1.0 - fy)),
                (0, 1, (1.0 - fx) * fy),
                (1, 1, fx * fy),
            ];
            let mut covered = 0.0;
            for (dx, dy, weight) in corners {
                let (cx, cy) = (x0 as isize + dx, y0 as isize + dy);
                if cx < 0 || cy < 0 || cx >= from as isize || cy >= from as isize {
                    continue;
                }
                let at = cy as usize * from + cx as usize;
                let pixel = &sample.pixels[3 * at..3 * at + 3];
                for (c, value) in pixel.iter().enumerate() {
                    pixels[c * plane + y * side + x] += weight * *value as f32;
                }
                covered += weight * sample.mask[at] as f32;
            }
            target[y * side + x] = if covered >= 127.5 { 1.0 } else { 0.0 };
        }
    }
    let teacher = sample.teacher.as_ref().map_or(Vec::new(), |view| warp_view(view, side, affine));
    Example { pixels, target, labelled: sample.labelled, teacher }
}

/// A teacher's logits, bilinear; certainly no polyp outside the picture.
fn warp_view(view: &TeacherView, side: usize, Affine([row_x, row_y]): Affine) -> Vec<f32> {
    let from = view.side;
    let place = |at: f32| (at + 1.0) / 2.0 * from as f32 - 0.5;
    let centre = |i: usize| (2.0 * i as f32 + 1.0) / side as f32 - 1.0;
    // A cell is as wide as several pixels: half of it beyond the outermost centres is still picture.
    let inner = |at: f32| (-0.5..from as f32 - 0.5).contains(&at).then(|| at.clamp(0.0, from as f32 - 1.0));
    let cells = (0..side * side).map(|i| {
        let (u, v) = (centre(i % side), centre(i / side));
        let x = inner(place(row_x[0] * u + row_x[1] * v + row_x[2]));
        let y = inner(place(row_y[0] * u + row_y[1] * v + row_y[2]));
        let (Some(x), Some(y)) = (x, y) else { return -LARGEST_TEACHER_LOGIT };
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(from - 1), (y0 + 1).min(from - 1));
        let (fx, fy) = (x.fract(), y.fract());
        let along = |y: usize| view.logit(y * from + x0) * (1.0 - fx) + view.logit(y * from + x1) * fx;
        along(y0) * (1.0 - fy) + along(y1) * fy
    });
    cells.collect()
}

/// Soft-edged, nearly white ellipses, as wet mucosa shows the lamp.
fn glare(pixels: &mut [f32], side: usize, rng: &mut ChaCha8Rng) {
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
                let share = strength * (1.5 - u.hypot(v)).clamp(0.0, 1.0);
                for c in 0..3 {
                    let value = &mut pixels[c * plane + y * side + x];
                    *value += share * (250.0 - *value);
                }
            }
        }
    }
}

/// Box blur, rows then columns.
fn blur(plane: &mut [f32], side: usize, radius: usize) {
    let mut line = vec![0.0; side];
    for (count, step, stride) in [(side, side, 1), (side, 1, side)] {
        for i in 0..count {
            (0..side).for_each(|j| line[j] = plane[i * step + j * stride]);
            for j in 0..side {
                let window = &line[j.saturating_sub(radius)..(j + radius + 1).min(side)];
                plane[i * step + j * stride] = window.iter().sum::<f32>() / window.len() as f32;
            }
        }
    }
}

/// Brightness, contrast, gain of each channel, saturation, noise; rounded back to what a camera gives.
fn light(pixels: &mut [f32], side: usize, a: &Augmentation, rng: &mut ChaCha8Rng) {
    let plane = side * side;
    let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
    let contrast = 1.0 + within(rng, a.contrast);
    let brightness = 1.0 + within(rng, a.brightness);
    let saturation = 1.0 + within(rng, a.saturation);
    let gains = [0; 3].map(|_| brightness * (1.0 + within(rng, a.channel_gain)));
    let noise = rng.random::<f32>() * a.noise * if rng.random::<f32>() < 0.3 { 1.0 } else { 0.0 };
    let (red, rest) = pixels.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let grey = 0.299 * *r + 0.587 * *g + 0.114 * *b;
        for (value, gain) in [r, g, b].into_iter().zip(gains) {
            let coloured = grey + saturation * (*value - grey);
            let lit = ((coloured - mean) * contrast + mean) * gain;
            let grain = if noise > 0.0 { within(rng, noise) * 1.73 } else { 0.0 };
            *value = (lit + grain).clamp(0.0, 255.0).round();
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn sample(side: usize) -> Cached {
        let inside = |i: usize| {
            let (x, y) = (i % side, i / side);
            (x as f32 - side as f32 * 0.5).hypot(y as f32 - side as f32 * 0.4) < side as f32 * 0.2
        };
        let mask: Vec<u8> = (0..side * side).map(|i| if inside(i) { 255 } else { 0 }).collect();
        let pixels = mask.iter().flat_map(|m| [*m / 2 + 60, 40, 30]).collect();
        Cached { name: String::new(), pixels, mask, labelled: true, teacher: None }
    }

    #[test]
    fn plain_keeps_the_picture() {
        let sample = sample(64);
        let example = plain(&sample, 64);
        for (i, target) in example.target.iter().enumerate() {
            assert_eq!(*target, if sample.mask[i] > 127 { 1.0 } else { 0.0 });
            assert!((example.pixels[i] - sample.pixels[3 * i] as f32).abs() < 1e-3);
        }
    }

    #[test]
    fn picture_and_mask_move_together() {
        let Augmentation { rotation, log_scale, shift, .. } = Augmentation::default();
        let geometry = Augmentation { rotation, log_scale, shift, zoom: 0.5, ..Augmentation::none() };
        let mut sample = sample(64);
        // A teacher that is right, and sees a quarter as many cells along each side.
        let cell = |i: usize| (i % 16 * 4 + 2) + (i / 16 * 4 + 2) * 64;
        let logits: Vec<f32> = (0..256).map(|i| if sample.mask[cell(i)] > 0 { 6.0 } else { -6.0 }).collect();
        sample.teacher = Some(TeacherView::of(&logits, 16));
        for seed in 0..40 {
            let example = augment(&sample, 56, &geometry, &mut ChaCha8Rng::seed_from_u64(seed));
            let agree =
                example.target.iter().zip(&example.pixels).filter(|(t, p)| (**t > 0.5) == (**p > 123.0));
            assert!(agree.count() * 100 > 97 * 56 * 56, "seed {seed}");
            let agree =
                example.target.iter().zip(&example.teacher).filter(|(t, z)| (**t > 0.5) == (**z > 0.0));
            assert!(agree.count() * 100 > 92 * 56 * 56, "seed {seed}: teacher");
        }
    }

    #[test]
    fn some_parts_show_no_polyp_and_some_do() {
        let (mut sample, zoom) = (sample(64), Augmentation { zoom: 1.0, ..Augmentation::none() });
        let corner = |i: usize| i % 64 < 16 && i / 64 < 16;
        sample.mask.iter_mut().enumerate().for_each(|(i, mask)| *mask = if corner(i) { 255 } else { 0 });
        let shows = |seed| {
            let example = augment(&sample, 32, &zoom, &mut ChaCha8Rng::seed_from_u64(seed));
            // Wherever the part lies, it is picture to its edges, where half a pixel may be missing.
            assert!(example.pixels.iter().all(|value| *value >= 7.0));
            example.target.contains(&1.0)
        };
        let with = (0..60).filter(|seed| shows(*seed)).count();
        assert!((10..50).contains(&with), "{with}");
    }

    #[test]
    fn pixels_stay_what_a_camera_gives() {
        let sample = sample(48);
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let example = augment(&sample, 64, &Augmentation::default(), &mut rng);
            assert!(example.pixels.iter().all(|v| (0.0..=255.0).contains(v) && v.fract() == 0.0));
        }
    }
}
