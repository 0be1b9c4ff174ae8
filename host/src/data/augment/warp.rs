//! Where a picture's pixels go: turned, scaled, shifted, mirrored, cut out.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::amounts::{Augmentation, within};
use super::example::Example;
use crate::data::cache::{Cached, LARGEST_TEACHER_LOGIT, TeacherView};
use crate::numeric::corners;

/// From the output's coordinates in −1..1 to the picture's.
#[derive(Clone, Copy)]
pub(super) struct Affine([[f32; 3]; 2]);

impl Affine {
    pub fn identity() -> Self {
        Affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    }

    pub fn random(a: &Augmentation, rng: &mut ChaCha8Rng) -> Self {
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

/// Bilinear; black and without polyp outside the picture.
pub(super) fn warp(sample: &Cached, side: usize, affine: Affine) -> Example {
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
            let mut covered = 0.0;
            for (cx, cy, weight) in corners(px, py) {
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
    let confidence = sample.teacher.as_ref().map_or(1.0, |view| view.confidence);
    Example { pixels, target, truth: f32::from(u8::from(sample.labelled)), teacher, confidence }
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
