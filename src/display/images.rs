//! Pictures as PNG files in a folder.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Result;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::Sink;
use crate::files::{self, make_folder};
use crate::frame::Frame;

/// Writes every n-th picture to `FOLDER/NAME.png`.
pub struct Images {
    folder: PathBuf,
    every: u64,
    seen: u64,
    packed: Vec<u8>,
}

impl Images {
    /// Makes the folder if need be. An error (exit 74) if that is not possible.
    pub fn new(folder: &Path, every: u64) -> Result<Images> {
        make_folder(folder)?;
        Ok(Images { folder: folder.to_owned(), every: every.max(1), seen: 0, packed: Vec::new() })
    }
}

impl Sink for Images {
    fn show(&mut self, frame: &Frame, name: &str) -> Result<()> {
        self.seen += 1;
        if !(self.seen - 1).is_multiple_of(self.every) {
            return Ok(());
        }
        self.packed.clear();
        for y in 0..frame.height_px() {
            self.packed.extend_from_slice(frame.row(y));
        }
        let path = self.folder.join(format!("{name}.png"));
        write_png(&path, &self.packed, frame.width_px(), frame.height_px(), ExtendedColorType::Rgb8)
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
    use crate::fault::{Exit, exit_of};

    #[test]
    fn every_third_picture_is_written_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut images = Images::new(&folder.path().join("a/b"), 3).unwrap();
        let mut frame = Frame::black(5, 4);
        for number in 0..7u8 {
            frame.pixels_mut().fill(number);
            images.show(&frame, &format!("frame-{number}")).unwrap();
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
