//! The loss and its gradient towards the logits, in closed form.
//!
//! Weighted BCE plus weighted IoU as in F3Net (Wei et al., AAAI 2020) and PraNet: pixels near a boundary weigh up to six
//! times as much. The field's code averages its BCE plainly by an oversight (`reduce='none'`); both are offered.

use rayon::prelude::*;

use crate::numeric::{enlarge, reduce, sigmoid, taps};
use crate::run::config::BceWeighting;

/// Half the side of the window that tells a boundary, for targets of 352 pixels.
const BOUNDARY_RADIUS_AT_352: f32 = 15.0;

/// `1 + 5 · |mean of the target over a window − target|`, `[side, side]`.
pub fn boundary_weights(target: &[f32], side: usize) -> Vec<f32> {
    let radius = (BOUNDARY_RADIUS_AT_352 * side as f32 / 352.0).round().max(1.0) as usize;
    let mean = box_mean(target, side, radius);
    mean.iter().zip(target).map(|(mean, target)| 1.0 + 5.0 * (mean - target).abs()).collect()
}

/// Mean over the window clipped to the picture counted as full (zeros outside), as an average pool with padding.
fn box_mean(values: &[f32], side: usize, radius: usize) -> Vec<f32> {
    let window = 2 * radius + 1;
    let mut rows = vec![0.0; side * side];
    let mut sums = vec![0.0; side + 1];
    for (row, out) in values.chunks_exact(side).zip(rows.chunks_exact_mut(side)) {
        (0..side).for_each(|x| sums[x + 1] = sums[x] + row[x]);
        (0..side).for_each(|x| out[x] = sums[(x + radius + 1).min(side)] - sums[x.saturating_sub(radius)]);
    }
    let mut out = vec![0.0; side * side];
    for x in 0..side {
        (0..side).for_each(|y| sums[y + 1] = sums[y] + rows[y * side + x]);
        for y in 0..side {
            let sum = sums[(y + radius + 1).min(side)] - sums[y.saturating_sub(radius)];
            out[y * side + x] = sum / (window * window) as f32;
        }
    }
    out
}

/// What logits are compared with: `[N, S, S]` each.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Probabilities of polyp; 0 or 1 where it is the truth.
    pub values: &'a [f32],
    /// See [`boundary_weights`]; not looked at by [`likeness_loss`].
    pub weights: &'a [f32],
    /// How much each of the N pictures counts; 1 if `None`.
    pub shares: Option<&'a [f32]>,
}

impl Target<'_> {
    fn share(&self, picture: usize) -> f32 {
        self.shares.map_or(1.0, |shares| shares[picture])
    }
}

/// Loss of a batch and its gradient. `logits [N, 1, h, h]` are enlarged bilinearly to the targets' `[N, S, S]`; the
/// loss is the mean over pictures.
pub fn segmentation_loss(
    logits: &[f32],
    low: usize,
    target: Target,
    side: usize,
    weighting: BceWeighting,
) -> (f32, Vec<f32>) {
    enlarged_loss(logits, low, side, |picture, logits| {
        let share = target.share(picture);
        if share == 0.0 {
            return (0.0, vec![0.0; side * side]);
        }
        let plane = picture * side * side..(picture + 1) * side * side;
        let (loss, mut towards) =
            picture_loss(logits, &target.values[plane.clone()], &target.weights[plane], weighting);
        towards.iter_mut().for_each(|g| *g *= share);
        (share * loss, towards)
    })
}

/// Binary cross-entropy between what `logits [N, 1, h, h]` and a teacher's logits, the target's values, say at a temperature,
/// times its square, which keeps gradients the same size (Hinton et al., 2015); the teacher's own entropy taken off, so that it is 0
/// where both say the same.
pub fn likeness_loss(
    logits: &[f32],
    low: usize,
    teacher: Target,
    side: usize,
    temperature: f32,
) -> (f32, Vec<f32>) {
    let plane = side * side;
    enlarged_loss(logits, low, side, |picture, logits| {
        let mut sum = 0.0f64;
        let share = teacher.share(picture);
        let teacher = &teacher.values[picture * plane..][..plane];
        let towards = logits.iter().zip(teacher).map(|(z, t)| {
            let (z, t) = (z / temperature, t / temperature);
            let (p, q) = (sigmoid(z), sigmoid(t));
            let entropy = |z: f32| z.max(0.0) - z * q + (-z.abs()).exp().ln_1p();
            sum += (entropy(z) - entropy(t)) as f64;
            share * temperature * (p - q) / plane as f32
        });
        let towards = towards.collect();
        (share * (temperature * temperature) * (sum / plane as f64) as f32, towards)
    })
}

/// The mean of `f(picture, its enlarged logits)` and the gradient, which `f` gives towards the enlarged ones.
fn enlarged_loss(
    logits: &[f32],
    low: usize,
    side: usize,
    f: impl Fn(usize, &[f32]) -> (f32, Vec<f32>) + Sync,
) -> (f32, Vec<f32>) {
    let batch = logits.len() / (low * low);
    let taps = taps(low, side);
    let mut gradient = vec![0.0; logits.len()];
    let losses: Vec<f32> = gradient
        .par_chunks_mut(low * low)
        .zip(logits.par_chunks(low * low))
        .enumerate()
        .map(|(picture, (gradient, logits))| {
            let (loss, towards) = f(picture, &enlarge(logits, low, side, &taps));
            reduce(&towards, low, side, &taps, gradient);
            gradient.iter_mut().for_each(|g| *g /= batch as f32);
            loss
        })
        .collect();
    (losses.iter().sum::<f32>() / batch as f32, gradient)
}

fn picture_loss(logits: &[f32], target: &[f32], weight: &[f32], weighting: BceWeighting) -> (f32, Vec<f32>) {
    let total: f32 = weight.iter().sum();
    let count = logits.len() as f32;
    let (mut bce, mut intersection, mut union) = (0.0f64, 0.0f64, 0.0f64);
    let mut probabilities = Vec::with_capacity(logits.len());
    for ((z, t), w) in logits.iter().zip(target).zip(weight) {
        let p = sigmoid(*z);
        let entropy = z.max(0.0) - z * t + (-z.abs()).exp().ln_1p();
        bce += match weighting {
            BceWeighting::Boundary => (w * entropy / total) as f64,
            BceWeighting::Plain => (entropy / count) as f64,
        };
        intersection += (w * p * t) as f64;
        union += (w * (p + t - p * t)) as f64;
        probabilities.push(p);
    }
    let (i, u) = (intersection as f32 + 1.0, union as f32 + 1.0);
    let gradient = probabilities
        .iter()
        .zip(target.iter().zip(weight))
        .map(|(p, (t, w))| {
            let entropy = match weighting {
                BceWeighting::Boundary => w * (p - t) / total,
                BceWeighting::Plain => (p - t) / count,
            };
            entropy - w * (t * u - i * (1.0 - t)) / (u * u) * p * (1.0 - p)
        })
        .collect();
    (bce as f32 + 1.0 - i / u, gradient)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::numeric::enlarged;

    /// A loss and its gradient.
    type Slope = (f32, Vec<f32>);

    #[test]
    fn the_gradient_is_the_loss_differentiated() {
        let (low, side, batch) = (4, 16, 2);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let logits: Vec<f32> = (0..batch * low * low).map(|_| rng.random_range(-2.0..2.0)).collect();
        let targets: Vec<f32> =
            (0..batch * side * side).map(|i| (i % side > 6 && i < 200) as u8 as f32).collect();
        let weights: Vec<f32> = targets.chunks(side * side).flat_map(|t| boundary_weights(t, side)).collect();
        let check = |loss: &dyn Fn(&[f32]) -> Slope| {
            let (_, gradient) = loss(&logits);
            for i in 0..logits.len() {
                let mut moved = logits.clone();
                moved[i] += 0.02;
                let above = loss(&moved).0;
                moved[i] -= 0.04;
                let slope = (above - loss(&moved).0) / 0.04;
                assert!((slope - gradient[i]).abs() < 2e-4, "{i}: {slope} {}", gradient[i]);
            }
        };
        let soft: Vec<f32> = targets.iter().map(|t| 0.2 + 0.7 * t).collect();
        for weighting in [BceWeighting::Boundary, BceWeighting::Plain] {
            for (values, shares) in [(&targets, None), (&targets, Some(&[0.3, 1.0][..])), (&soft, None)] {
                let target = Target { values, weights: &weights, shares };
                check(&|logits| segmentation_loss(logits, low, target, side, weighting));
            }
        }
        let teacher: Vec<f32> = targets.iter().map(|t| 5.0 * t - 2.0).collect();
        for temperature in [1.0, 3.0] {
            for shares in [None, Some(&[0.3, 1.0][..])] {
                let target = Target { values: &teacher, weights: &[], shares };
                check(&|logits| likeness_loss(logits, low, target, side, temperature));
            }
        }
        let own: Vec<f32> = logits.chunks(low * low).flat_map(|z| enlarged(z, low, side)).collect();
        let target = Target { values: &own, weights: &[], shares: None };
        let (loss, gradient) = likeness_loss(&logits, low, target, side, 2.0);
        assert!(loss.abs() < 1e-6 && gradient.iter().all(|g| g.abs() < 1e-6));
    }

    #[test]
    fn a_picture_without_truth_counts_nothing() {
        let (low, side) = (4, 16);
        let logits: Vec<f32> = (0..2 * low * low).map(|i| i as f32 / 8.0 - 2.0).collect();
        let (values, weights) = (vec![1.0; 2 * side * side], vec![1.0; 2 * side * side]);
        let target = Target { values: &values, weights: &weights, shares: Some(&[1.0, 0.0]) };
        let (_, gradient) = segmentation_loss(&logits, low, target, side, BceWeighting::Plain);
        assert!(gradient[..low * low].iter().all(|g| *g != 0.0));
        assert!(gradient[low * low..].iter().all(|g| *g == 0.0));
    }

    #[test]
    fn weights_are_high_at_the_boundary() {
        let side = 64;
        let target: Vec<f32> = (0..side * side).map(|i| (i % side >= 32) as u8 as f32).collect();
        let weights = boundary_weights(&target, side);
        assert!(weights[20 * side + 31] > 3.0 && weights[20 * side + 10] == 1.0);
    }
}
