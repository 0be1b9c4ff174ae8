//! Tokens cut into windows, and where the tokens of a window lie to each other.

use burn::tensor::Tensor;

/// `[N, H, W, C]` in windows: `[N · windows, rows, columns, C]`. Rows and columns must fit.
pub fn windowed(x: Tensor<4>, [rows, columns]: [usize; 2]) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let (down, across) = (height / rows, width / columns);
    let parted = x.reshape([batch, down, rows, across, columns, channels]).swap_dims(2, 3);
    parted.reshape([batch * down * across, rows, columns, channels])
}

/// The way back from [`windowed`], of `down × across` windows a picture.
pub fn joined(x: Tensor<4>, [batch, down, across]: [usize; 3]) -> Tensor<4> {
    let [_, rows, columns, channels] = x.dims();
    let parted = x.reshape([batch, down, across, rows, columns, channels]).swap_dims(2, 3);
    parted.reshape([batch, down * rows, across * columns, channels])
}

/// For each pair of a window's tokens, the place of its bias: rows between them times `window`, and columns between
/// them. Published values are numbered by when an offset first occurs, which is this order: the first token has all
/// offsets, row by row.
pub fn offsets(window: usize) -> Vec<i64> {
    let tokens = window * window;
    let one = |pair: usize| {
        let (a, b) = (pair / tokens, pair % tokens);
        let rows = (a / window).abs_diff(b / window);
        let columns = (a % window).abs_diff(b % window);
        (rows * window + columns) as i64
    };
    (0..tokens * tokens).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_numbered_as_they_first_occur() {
        for window in [1, 2, 3, 7] {
            let points = || (0..window).flat_map(|row| (0..window).map(move |column| (row, column)));
            let mut known: Vec<(usize, usize)> = Vec::new();
            let mut expected = Vec::new();
            for a in points() {
                for b in points() {
                    let offset = (usize::abs_diff(a.0, b.0), usize::abs_diff(a.1, b.1));
                    let place = known.iter().position(|other| *other == offset).unwrap_or_else(|| {
                        known.push(offset);
                        known.len() - 1
                    });
                    expected.push(place as i64);
                }
            }
            assert_eq!(offsets(window), expected);
        }
    }
}
