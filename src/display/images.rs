//! Pictures as PNG files in a folder.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Result;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::{Scene, Shown, Sink};
use crate::convert;
use crate::files::{self, make_folder};
use crate::frame::Frame;
use crate::overlay::Layer;

/// Writes every n-th picture to `FOLDER/NAME.png`.
pub struct Images {
    folder: PathBuf,
    every: u64,
    seen: u64,
    picture: Frame,
}

impl Images {
    /// Makes the folder if need be. An error (exit 74) if that is not possible.
    pub fn new(folder: &Path, every: u64) -> Result<Images> {
        make_folder(folder)?;
        Ok(Images { folder: folder.to_owned(), every: every.max(1), seen: 0, picture: Frame::black(1, 1) })
    }
}

impl Sink for Images {
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        self.seen += 1;
        if !(self.seen - 1).is_multiple_of(self.every) {
            return Ok(Shown::Yes);
        }
        compose(scene, &mut self.picture)?;
        let path = self.folder.join(format!("{}.png", scene.name));
        let (width, height) = (self.picture.width_px(), self.picture.height_px());
        write_png(&path, self.picture.pixels(), width, height, ExtendedColorType::Rgb8)?;
        Ok(Shown::Yes)
    }

    fn describe(&self) -> String {
        format!("pictures in {}", self.folder.display())
    }
}

/// A scene whose placement is the identity, as one RGB picture.
pub(super) fn compose(scene: &Scene<'_>, picture: &mut Frame) -> Result<()> {
    match &scene.picture {
        Some(view) => convert::to_rgb(view, picture)?,
        None => {
            picture.resize(scene.layer.width_px().max(1), scene.layer.height_px().max(1));
            picture.pixels_mut().fill(0);
        }
    }
    lay_over(scene.layer, picture);
    Ok(())
}

/// Draws a layer into an RGB picture of its size.
pub fn lay_over(layer: &Layer, picture: &mut Frame) {
    for y in 0..layer.height_px() {
        layer.over::<3, true>(y, picture.row_mut(y));
    }
}

/// Writes a PNG file whole or not at all: under another name first, then renamed. An error (exit 74) names the file.
pub fn write_png(
    path: &Path,
    pixels: &[u8],
    width: usize,
    height: usize,
    colour: ExtendedColorType,
) -> Result<()> {
    files::write_whole(path, |file| {
        let writer = BufWriter::new(file);
        PngEncoder::new_with_quality(writer, CompressionType::Fast, FilterType::Adaptive).write_image(
            pixels,
            width as u32,
            height as u32,
            colour,
        )?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::tests::scene;
    use crate::fault::{Exit, exit_of};

    #[test]
    fn every_third_picture_is_written_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut images = Images::new(&folder.path().join("a/b"), 3).unwrap();
        let (mut frame, layer) = (Frame::black(5, 4), Layer::default());
        for number in 0..7u8 {
            frame.pixels_mut().fill(number);
            let name = format!("frame-{number}");
            images.show(&Scene { name: &name, ..scene(&frame, &layer) }).unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(folder.path().join("a/b"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["frame-0.png", "frame-3.png", "frame-6.png"]);
        let read = image::open(folder.path().join("a/b/frame-3.png")).unwrap().into_rgb8();
        assert_eq!((read.dimensions(), read.as_raw()), ((5, 4), &vec![3; 60]));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_one_clear_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = Images::new(&folder.path().join("file/out"), 1).err().unwrap();
        assert_eq!(exit_of(&error), Exit::Io);
        assert!(error.to_string().contains("file/out"));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // A folder of the file's name is in the way.
        std::fs::create_dir_all(folder.path().join("x.png/in-the-way")).unwrap();
        let path = folder.path().join("x.png");
        let error = write_png(&path, &[0; 12], 2, 2, ExtendedColorType::Rgb8).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Io);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
