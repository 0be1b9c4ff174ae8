//! Resizing as two products with fixed matrices: burn's GPU backends have no backward for interpolation.

use burn::tensor::{Tensor, TensorData};

/// How an output takes from its neighbours: half-pixel centres, edges repeated, nothing smoothed when shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    Bilinear,
    /// With a = −0.75.
    Bicubic,
}

/// `[N, C, H, W]` → `[N, C, height, width]`.
pub fn resize(x: Tensor<4>, [height, width]: [usize; 2], interpolation: Interpolation) -> Tensor<4> {
    let [batch, channels, rows, columns] = x.dims();
    let device = x.device();
    let matrix = |from, to| {
        Tensor::<2>::from_data(TensorData::new(matrix(from, to, interpolation), [from, to]), &device)
    };
    let x = x.reshape([batch * channels * rows, columns]).matmul(matrix(columns, width));
    let x = x.reshape([batch * channels, rows, width]).swap_dims(1, 2);
    let x = x.reshape([batch * channels * width, rows]).matmul(matrix(rows, height));
    x.reshape([batch * channels, width, height]).swap_dims(1, 2).reshape([batch, channels, height, width])
}

/// `[from, to]`: column `o` holds what output `o` takes from each input.
pub fn matrix(from: usize, to: usize, interpolation: Interpolation) -> Vec<f32> {
    let mut matrix = vec![0.0; from * to];
    for o in 0..to {
        let at = (o as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let (first, shares) = match interpolation {
            Interpolation::Bilinear => (0, linear(at - at.floor()).to_vec()),
            Interpolation::Bicubic => (-1, cubic(at - at.floor()).to_vec()),
        };
        for (tap, share) in shares.into_iter().enumerate() {
            let input = (at.floor() as isize + first + tap as isize).clamp(0, from as isize - 1) as usize;
            matrix[input * to + o] += share as f32;
        }
    }
    matrix
}

fn linear(t: f64) -> [f64; 2] {
    [1.0 - t, t]
}

fn cubic(t: f64) -> [f64; 4] {
    const A: f64 = -0.75;
    let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)]
}
