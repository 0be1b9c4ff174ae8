//! S-measure (Fan et al., ICCV 2017), α = 0.5: half how alike the map and the mask are as objects, half how alike they
//! are in the four rectangles that meet at the mask's centre of mass.

use std::ops::Range;

use crate::measures::scene::Scene;

const ALPHA: f64 = 0.5;

pub(super) fn s_measure(scene: &Scene) -> f64 {
    let pixels = scene.map.len();
    let mean = scene.map.iter().sum::<f64>() / pixels as f64;
    match scene.truth_px {
        0 => 1.0 - mean,
        all if all == pixels => mean,
        _ => (ALPHA * objects(scene) + (1.0 - ALPHA) * regions(scene)).max(0.0),
    }
}

/// How bright and even the map is inside the mask, and how dark and even outside, weighted by area.
fn objects(scene: &Scene) -> f64 {
    let chosen =
        |inside: bool| scene.map.iter().zip(&scene.truth).filter(move |(_, truth)| **truth == inside);
    let polyp: Vec<f64> = chosen(true).map(|(value, _)| *value).collect();
    let rest: Vec<f64> = chosen(false).map(|(value, _)| 1.0 - value).collect();
    let share = scene.truth_px as f64 / scene.map.len() as f64;
    object(&polyp) * share + object(&rest) * (1.0 - share)
}

/// 2·mean / (mean² + 1 + standard deviation)
fn object(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = match values.len() {
        1 => 0.0,
        _ => (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt(),
    };
    2.0 * mean / (mean * mean + 1.0 + deviation + f64::EPSILON)
}

/// Structural similarity of the four rectangles, weighted by area. One without pixels has weight 0; the reference divides
/// by 0 there and gives NaN for the whole list.
fn regions(scene: &Scene) -> f64 {
    let (width, height) = (scene.width_px, scene.height_px);
    let (mut rows, mut columns) = (0, 0);
    for (y, row) in scene.truth.chunks_exact(width).enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, truth)| **truth) {
            rows += y;
            columns += x;
        }
    }
    let middle = |sum: usize| (sum as f64 / scene.truth_px as f64).round_ties_even() as usize + 1;
    let (y, x) = (middle(rows), middle(columns));
    let corners = [(0..y, 0..x), (0..y, x..width), (y..height, 0..x), (y..height, x..width)];
    let area = (width * height) as f64;
    corners
        .into_iter()
        .filter(|(rows, columns)| !rows.is_empty() && !columns.is_empty())
        .map(|(rows, columns)| (rows.len() * columns.len()) as f64 / area * similarity(scene, rows, columns))
        .sum()
}

fn similarity(scene: &Scene, rows: Range<usize>, columns: Range<usize>) -> f64 {
    let count = rows.len() * columns.len();
    let row = |y: usize| y * scene.width_px + columns.start..y * scene.width_px + columns.end;
    let truth_px =
        rows.clone().map(|y| scene.truth[row(y)].iter().filter(|truth| **truth).count()).sum::<usize>();
    let truth_mean = truth_px as f64 / count as f64;
    // In an even rectangle the score is 1 or 0 by whether this rounds to the very value.
    let map_mean = numpy_sum(scene, &rows, &columns) / count as f64;
    let (mut map_variance, mut truth_variance, mut covariance) = (0.0, 0.0, 0.0);
    for y in rows {
        for (value, &truth) in scene.map[row(y)].iter().zip(&scene.truth[row(y)]) {
            let (map, truth) = (value - map_mean, f64::from(u8::from(truth)) - truth_mean);
            map_variance += map * map;
            truth_variance += truth * truth;
            covariance += map * truth;
        }
    }
    let degrees = count as f64 - 1.0 + f64::EPSILON;
    let both = 4.0 * map_mean * truth_mean * (covariance / degrees);
    let each =
        (map_mean * map_mean + truth_mean * truth_mean) * (map_variance / degrees + truth_variance / degrees);
    match (both == 0.0, each == 0.0) {
        (false, _) => both / (each + f64::EPSILON),
        (true, true) => 1.0,
        (true, false) => 0.0,
    }
}

/// The sum of a rectangle's values, rounded as numpy rounds it: rows one after the other, each in halves; one run where
/// the rectangle is a single row or column or as wide as the map.
fn numpy_sum(scene: &Scene, rows: &Range<usize>, columns: &Range<usize>) -> f64 {
    let width = scene.width_px;
    if columns.len() == 1 {
        let column: Vec<f64> = rows.clone().map(|y| scene.map[y * width + columns.start]).collect();
        return in_halves(&column);
    }
    if columns.len() == width {
        return in_halves(&scene.map[rows.start * width..rows.end * width]);
    }
    rows.clone().map(|y| in_halves(&scene.map[y * width + columns.start..y * width + columns.end])).sum()
}

/// Eight sums side by side for up to 128 values; more are halved, at a multiple of eight.
fn in_halves(values: &[f64]) -> f64 {
    const BLOCK: usize = 128;
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (first, second) = values.split_at(half - half % 8);
        return in_halves(first) + in_halves(second);
    }
    let (eights, rest) = values.as_chunks::<8>();
    let start = match eights.split_first() {
        None => 0.0,
        Some((first, others)) => {
            let mut s = *first;
            others.iter().for_each(|eight| s.iter_mut().zip(eight).for_each(|(sum, value)| *sum += value));
            ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
        }
    };
    rest.iter().fold(start, |sum, value| sum + value)
}
