//! Pictures that the small bundle finds something in.

use std::path::Path;

/// A dark red picture with a bright disc; gives the disc's mask.
pub fn write_picture(path: &Path, width: u32, height: u32, centre: (f32, f32), radius: f32) -> Vec<bool> {
    let inside = |x: u32, y: u32| (x as f32 + 0.5 - centre.0).hypot(y as f32 + 0.5 - centre.1) < radius;
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb(if inside(x, y) { [250, 240, 235] } else { [110, 60, 50] })
    });
    picture.save(path).unwrap();
    (0..width * height).map(|index| inside(index % width, index / width)).collect()
}
