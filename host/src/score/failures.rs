//! Pictures of what went wrong: the frame, and beside it the truth's edge in green and the cart's in red.

use std::path::Path;

use polyp_edge::frame::Frame;

use crate::files;
use crate::measures::overlap::FrameScore;

const TRUTH: [u8; 3] = [60, 220, 90];
const FOUND: [u8; 3] = [240, 60, 60];

/// The `count` worst scores, worst first, by Dice and then by how much was wrongly marked or left out.
pub fn worst(scores: &[FrameScore], count: usize) -> Vec<usize> {
    let wrong = |score: &FrameScore| score.overlap.truth_px + score.overlap.predicted_px;
    let mut order: Vec<usize> = (0..scores.len()).filter(|i| scores[*i].overlap.dice() < 1.0).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&scores[*a], &scores[*b]);
        a.overlap.dice().total_cmp(&b.overlap.dice()).then(wrong(b).cmp(&wrong(a)))
    });
    order.truncate(count);
    order
}

/// Writes the pair of pictures as PNG; masks `[height_px, width_px] u8`.
pub fn write(path: &Path, frame: &Frame, truth: &[u8], found: &[u8]) -> anyhow::Result<()> {
    let mut png = std::io::Cursor::new(Vec::new());
    pair(frame, truth, found).write_to(&mut png, image::ImageFormat::Png)?;
    files::write_whole(path, &png.into_inner())
}

/// Pairs of one size, one over the other.
pub fn sheet(pairs: &[image::RgbImage]) -> image::RgbImage {
    let (width, height) = pairs.first().map_or((0, 0), |pair| pair.dimensions());
    let mut sheet = image::RgbImage::new(width, height * pairs.len() as u32);
    for (row, pair) in pairs.iter().enumerate() {
        image::imageops::replace(&mut sheet, pair, 0, row as i64 * i64::from(height));
    }
    sheet
}

/// The frame, and beside it the same with both edges.
pub fn pair(frame: &Frame, truth: &[u8], found: &[u8]) -> image::RgbImage {
    let (width, height) = (frame.width_px(), frame.height_px());
    let mut picture = image::RgbImage::new(2 * width as u32, height as u32);
    let is_edge = |mask: &[u8], x: usize, y: usize| {
        let inside = |x: usize, y: usize| mask.get(y * width + x).is_some_and(|value| *value != 0);
        let alone = |dx: isize, dy: isize| {
            let (x, y) = (x as isize + dx, y as isize + dy);
            x < 0 || y < 0 || x >= width as isize || y >= height as isize || !inside(x as usize, y as usize)
        };
        inside(x, y) && (alone(-1, 0) || alone(1, 0) || alone(0, -1) || alone(0, 1))
    };
    for y in 0..height {
        for (x, pixel) in frame.row(y).chunks_exact(3).enumerate() {
            let pixel = [pixel[0], pixel[1], pixel[2]];
            let marked = match () {
                () if is_edge(found, x, y) => FOUND,
                () if is_edge(truth, x, y) => TRUTH,
                () => pixel,
            };
            picture.put_pixel(x as u32, y as u32, image::Rgb(pixel));
            picture.put_pixel((width + x) as u32, y as u32, image::Rgb(marked));
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::overlap::Overlap;

    #[test]
    fn the_worst_come_first_and_the_faultless_not_at_all() {
        let score = |truth_px, predicted_px, both_px| {
            let overlap = Overlap { truth_px, predicted_px, both_px };
            FrameScore { frame_px: 100, overlap, at_half: overlap, regions: 0 }
        };
        let scores = [score(5, 5, 4), score(0, 9, 0), score(8, 8, 8), score(20, 0, 0), score(0, 0, 0)];
        assert_eq!(worst(&scores, 9), [3, 1, 0]);
        assert_eq!(worst(&scores, 1), [3]);
    }

    #[test]
    fn both_edges_are_drawn_beside_the_frame() {
        let frame = Frame::from_rgb(8, 8, vec![100; 192]).unwrap();
        let square = |from: usize, to: usize| -> Vec<u8> {
            let inside = |i: usize| (from..to).contains(&(i % 8)) && (from..to).contains(&(i / 8));
            (0..64).map(|i| if inside(i) { 255 } else { 0 }).collect()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/failure.png");
        write(&path, &frame, &square(0, 4), &square(4, 8)).unwrap();
        let picture = image::open(path).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (16, 8));
        let count = |colour: [u8; 3]| picture.pixels().filter(|pixel| pixel.0 == colour).count();
        assert_eq!((count(TRUTH), count(FOUND)), (12, 12));
        assert!(picture.enumerate_pixels().all(|(x, _, pixel)| x >= 8 || pixel.0 == [100; 3]));
        let sheet = sheet(&[image::RgbImage::new(16, 8), picture.clone()]);
        assert_eq!((sheet.dimensions(), sheet.get_pixel(8, 11)), ((16, 16), picture.get_pixel(8, 3)));
    }
}
