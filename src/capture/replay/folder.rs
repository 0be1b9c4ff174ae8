//! A folder of images, one frame each.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::MAX_PICTURE_BYTES;
use crate::capture::synthetic::FPS;
use crate::capture::{DamagedFrame, Source, still};
use crate::fault::{Exit, Fault, exit_of};
use crate::frame::{Frame, FrameNumber, Timestamp};

/// The PNG and JPEG images of a folder in natural order (`2.png` before `10.png`), stamped 25 a second.
/// Hidden files, subfolders and other files are left out.
#[derive(Debug)]
pub struct Folder {
    images: Vec<PathBuf>,
    next: usize,
    name: OsString,
}

impl Folder {
    /// Errors: exit 74 if the folder cannot be read, 65 if it holds no image, or two that would be named alike.
    pub fn open(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        let unreadable =
            |error: std::io::Error| Fault::io(format!("cannot read the folder {shown}: {error}"));
        let mut images = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if !hidden && matches!(extension.as_str(), "png" | "jpg" | "jpeg" | "jpe") && path.is_file() {
                images.push(path);
            }
        }
        if images.is_empty() {
            return Err(Fault::data(format!("the folder {shown} contains no PNG or JPEG image")));
        }
        images.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()).then_with(|| a.cmp(b)));
        let mut stems = HashMap::new();
        for image in &images {
            if let Some(other) = stems.insert(image.file_stem(), image) {
                return Err(Fault::data(format!(
                    "{} and {} would give results of the same name: rename one of them",
                    other.display(),
                    image.display()
                )));
            }
        }
        Ok(Folder { images, next: 0, name: OsString::new() })
    }

    /// One image.
    pub fn single(image: &Path) -> Result<Self> {
        Ok(Folder { images: vec![image.to_owned()], next: 0, name: OsString::new() })
    }

    /// The images, in the order in which they are read.
    pub fn images(&self) -> &[PathBuf] {
        &self.images
    }
}

impl Source for Folder {
    fn read(&mut self, frame: &mut Frame) -> Result<bool> {
        let Some(path) = self.images.get(self.next) else { return Ok(false) };
        let number = self.next as u64;
        path.file_stem().unwrap_or_default().clone_into(&mut self.name);
        self.next += 1;
        match read_image(path, frame) {
            Ok(()) => {}
            Err(error) if exit_of(&error) == Exit::Data => {
                return Err(DamagedFrame::new(format!("{error:#}")));
            }
            Err(error) => {
                self.next = usize::MAX;
                return Err(error);
            }
        }
        frame.number = FrameNumber(number);
        frame.timestamp = Timestamp(Duration::from_secs_f64(number as f64 / FPS));
        Ok(true)
    }

    fn name(&self) -> &OsStr {
        &self.name
    }

    fn expected(&self) -> Option<u64> {
        Some(self.images.len() as u64)
    }
}

/// Reads one PNG or JPEG file into `frame`. Errors name the file: exit 65 if damaged, 74 if unreadable.
pub fn read_image(path: &Path, frame: &mut Frame) -> Result<()> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| Fault::io(format!("cannot read {name}: {error}"));
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_PICTURE_BYTES as u64 {
        return Err(Fault::data(format!(
            "{name} has {length} bytes; an image file may have at most {MAX_PICTURE_BYTES} bytes"
        )));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    still::decode(&name, &bytes, still::MAX_PIXELS, frame)
}

/// Compares runs of digits by their value, all else letter by letter.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (digits_a, rest_a) = digits(a);
                let (digits_b, rest_b) = digits(b);
                let order = digits_a.len().cmp(&digits_b.len()).then_with(|| digits_a.cmp(digits_b));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (rest_a, rest_b);
            }
            (Some(x), Some(y)) if x == y => (a, b) = (a.get(1..).unwrap_or(&[]), b.get(1..).unwrap_or(&[])),
            (x, y) => return x.cmp(&y),
        }
    }
}

/// The leading digits less leading zeros, and what follows.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    let zeros = run.iter().take_while(|&&byte| byte == b'0').count();
    (run.get(zeros..).unwrap_or(&[]), rest)
}
