//! Pictures as PNG files in a folder.

use std::ffi::{OsStr, OsString};
use std::io::{BufWriter, Write};

use anyhow::Result;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::{Scene, Shown, Sink};
use crate::convert;
use crate::files::{OutputFolder, Safety};
use crate::frame::Frame;
use crate::overlay::Layer;

/// What an output folder must be claimed for, so that pictures can be written to it.
pub const PICTURES: &str = "*.png";

/// Writes every n-th picture to `NAME.png` in a folder.
pub struct Images {
    folder: OutputFolder,
    every: u64,
    seen: u64,
    picture: Frame,
}

impl Images {
    /// The folder must have been claimed for [`PICTURES`].
    pub fn new(folder: OutputFolder, every: u64) -> Images {
        Images { folder, every: every.max(1), seen: 0, picture: Frame::black(1, 1) }
    }
}

impl Sink for Images {
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        self.seen += 1;
        if (self.seen - 1).is_multiple_of(self.every) {
            compose(scene, &mut self.picture)?;
            let (width, height) = (self.picture.width_px(), self.picture.height_px());
            let pixels = self.picture.pixels();
            write_png(&self.folder, scene.name, pixels, width, height, ExtendedColorType::Rgb8)?;
        }
        Ok(Shown::Yes)
    }

    fn describe(&self) -> String {
        format!("images in {}", self.folder.path().display())
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

/// Writes `NAME.png` whole or not at all, the name byte for byte. Errors are [`OutputFolder::write`]'s.
pub fn write_png(
    folder: &OutputFolder,
    name: &OsStr,
    pixels: &[u8],
    width: usize,
    height: usize,
    colour: ExtendedColorType,
) -> Result<()> {
    let mut file_name = OsString::with_capacity(name.len() + 4);
    file_name.push(name);
    file_name.push(".png");
    folder.write(&file_name, Safety::Unsynced, |file| {
        let mut writer = BufWriter::new(file);
        PngEncoder::new_with_quality(&mut writer, CompressionType::Fast, FilterType::Adaptive).write_image(
            pixels,
            width as u32,
            height as u32,
            colour,
        )?;
        // What is dropped unflushed would hide a full disk.
        Ok(writer.flush()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::tests::scene;
    use crate::fault::{Exit, exit_of};
    use crate::files::output::{Claim, RECORD};

    fn claim(folder: &std::path::Path, force: bool) -> Result<OutputFolder> {
        OutputFolder::claim(&Claim { folder, names: &[PICTURES], what: "test", inputs: &[], force })
    }

    #[test]
    fn every_third_picture_is_written_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut images = Images::new(claim(&folder.path().join("a/b"), false).unwrap(), 3);
        let (mut frame, layer) = (Frame::black(5, 4), Layer::default());
        for number in 0..7u8 {
            frame.pixels_mut().fill(number);
            let name = format!("frame-{number}");
            images.show(&Scene { name: OsStr::new(&name), ..scene(&frame, &layer) }).unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(folder.path().join("a/b"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != RECORD)
            .collect();
        names.sort();
        assert_eq!(names, ["frame-0.png", "frame-3.png", "frame-6.png"]);
        let read = image::open(folder.path().join("a/b/frame-3.png")).unwrap().into_rgb8();
        assert_eq!((read.dimensions(), read.as_raw()), ((5, 4), &vec![3; 60]));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // A folder of the file's name is in the way.
        std::fs::create_dir_all(folder.path().join("x.png/in-the-way")).unwrap();
        let claimed = claim(folder.path(), true).unwrap();
        let error =
            write_png(&claimed, OsStr::new("x"), &[0; 12], 2, 2, ExtendedColorType::Rgb8).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Io);
        assert!(error.to_string().contains("x.png"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "the folder and the record");
    }
}
