//! Blurs. Edges repeat, unless said otherwise.

/// The mean over `2 · radius + 1` pixels of a plane `[side, side]`, rows then columns; at the edges over those that are there.
pub fn boxed(plane: &mut [f32], side: usize, radius: usize) {
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

/// Each pixel of `[side, side, 3]` averaged with its four neighbours.
pub fn cross(values: &[f32], side: usize) -> Vec<f32> {
    let at =
        |x: usize, y: usize, channel: usize| values[3 * (y.min(side - 1) * side + x.min(side - 1)) + channel];
    let places =
        (0..side).flat_map(|y| (0..side).flat_map(move |x| (0..3).map(move |channel| (x, y, channel))));
    places
        .map(|(x, y, channel)| {
            let (before, above) = (x.saturating_sub(1), y.saturating_sub(1));
            let sides = at(before, y, channel) + at(x + 1, y, channel);
            let ends = at(x, above, channel) + at(x, y + 1, channel);
            at(x, y, channel) * 0.5 + (sides + ends) * 0.125
        })
        .collect()
}

/// A Gaussian of `deviation` pixels over rows of `width` RGB pixels.
pub fn gaussian(pixels: &[u8], width: usize, deviation: f32) -> Vec<u8> {
    let reach = (3.0 * deviation).ceil() as isize;
    let weights: Vec<f32> = (-reach..=reach).map(|d| (-0.5 * (d as f32 / deviation).powi(2)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let height = pixels.len() / 3 / width.max(1);
    let along = |values: &dyn Fn(usize, usize) -> f32, at: usize, last: usize, c: usize| -> f32 {
        let taps = weights.iter().enumerate().map(|(tap, weight)| {
            let place = (at as isize + tap as isize - reach).clamp(0, last as isize) as usize;
            weight * values(place, c)
        });
        taps.sum::<f32>() / total
    };
    let mut across = vec![0.0; pixels.len()];
    for y in 0..height {
        let row = |x: usize, c: usize| f32::from(pixels[3 * (y * width + x) + c]);
        for i in 0..3 * width {
            across[3 * y * width + i] = along(&row, i / 3, width - 1, i % 3);
        }
    }
    let mut out = vec![0; pixels.len()];
    for x in 0..width {
        let column = |y: usize, c: usize| across[3 * (y * width + x) + c];
        for i in 0..3 * height {
            out[3 * (i / 3 * width + x) + i % 3] = along(&column, i / 3, height - 1, i % 3).round() as u8;
        }
    }
    out
}
