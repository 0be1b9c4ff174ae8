//! What the network is shown: one batch as a sheet of pictures, for a person to look at before the hours are spent.

use std::path::Path;

use anyhow::{Context, Result};
use image::{ImageFormat, Rgb, RgbImage};

use crate::files;
use crate::train::batches::Batch;

/// Writes a sheet of the batch's pictures, the edge of each target in green.
pub fn write(path: &Path, batch: &Batch) -> Result<()> {
    let side = batch.side;
    let columns = (batch.size as f64).sqrt().ceil() as usize;
    let rows = batch.size.div_ceil(columns);
    let mut sheet = RgbImage::new((columns * side) as u32, (rows * side) as u32);
    let plane = side * side;
    for i in 0..batch.size {
        let pixels = &batch.pixels[3 * i * plane..3 * (i + 1) * plane];
        let target = &batch.targets[i * plane..(i + 1) * plane];
        for at in 0..plane {
            let (x, y) = (at % side, at / side);
            let polyp = |x: usize, y: usize| target[y.min(side - 1) * side + x.min(side - 1)] > 0.5;
            let edge = polyp(x, y) != polyp(x + 1, y) || polyp(x, y) != polyp(x, y + 1);
            let colour =
                if edge { Rgb([0, 255, 0]) } else { Rgb([0, 1, 2].map(|c| pixels[c * plane + at] as u8)) };
            sheet.put_pixel((i % columns * side + x) as u32, (i / columns * side + y) as u32, colour);
        }
    }
    let mut png = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut png, ImageFormat::Png).context("cannot encode the sheet")?;
    files::write_whole(path, &png.into_inner())
}
