//! Recorded frames: folders of images, MJPEG and Y4M streams.
//!
//! | module | reads |
//! |---|---|
//! | [`folder`] | a folder of PNG and JPEG images, or one image |
//! | [`mjpeg`] | JPEG pictures one after another |
//! | [`y4m`] | uncompressed video, as `ffmpeg -f yuv4mpegpipe` writes it |
//! | [`still`] | one PNG or JPEG picture, strictly |
//! | `segments`, `entropy` | where a JPEG picture ends, and whether all of it is there |

mod entropy;
pub mod folder;
pub mod mjpeg;
pub(super) mod segments;
pub mod still;
#[cfg(test)]
mod tests;
pub mod y4m;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::Result;

use super::Source;
use crate::fault::{Exit, Fault};

/// Largest side of a recorded picture, pixels.
pub const MAX_SIDE_PX: usize = 8192;
/// Largest compressed picture, bytes.
pub const MAX_PICTURE_BYTES: usize = 64 << 20;

/// Enough of a file's start to tell what it is.
const HEAD: usize = 16;

/// Opens a folder, an image, an MJPEG or a Y4M file, by what is in it.
///
/// Errors: exit 74 if it cannot be read, 65 if it is none of these or damaged.
pub fn open(path: &Path) -> Result<Box<dyn Source>> {
    let shown = path.display();
    let metadata =
        std::fs::metadata(path).map_err(|error| Fault::io(format!("cannot read {shown}: {error}")))?;
    if metadata.is_dir() {
        return Ok(Box::new(folder::Folder::open(path)?));
    }
    if is_device(&metadata) {
        return Err(Fault::usage(format!(
            "{shown} is a device, not a recording: use `run` with a board profile"
        )));
    }
    let file = File::open(path).map_err(|error| Fault::io(format!("cannot read {shown}: {error}")))?;
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let image = matches!(extension.as_str(), "jpg" | "jpeg" | "jpe");
    stream(&shown.to_string(), Box::new(file), |head| match () {
        _ if head.starts_with(still::PNG) || (image && head.starts_with(still::JPEG)) => {
            Some(folder::Folder::single(path).map(|folder| Box::new(folder) as Box<dyn Source>))
        }
        _ => None,
    })
}

/// Opens MJPEG or Y4M video on standard input.
pub fn standard_input() -> Result<Box<dyn Source>> {
    stream("standard input", Box::new(std::io::stdin()), |_| None)
}

fn stream(
    name: &str,
    mut reader: Box<dyn Read + Send>,
    whole_file: impl Fn(&[u8]) -> Option<Result<Box<dyn Source>>>,
) -> Result<Box<dyn Source>> {
    let mut head = Vec::with_capacity(HEAD);
    reader
        .by_ref()
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(|error| Fault::io(format!("cannot read {name}: {error}")))?;
    if let Some(source) = whole_file(&head) {
        return source;
    }
    let kind = kind(&head);
    let reader: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(reader));
    match kind {
        Kind::Y4m => Ok(Box::new(y4m::Y4m::new(name, reader)?)),
        Kind::Jpeg => Ok(Box::new(mjpeg::Mjpeg::new(name, reader))),
        Kind::Other(what) => Err(Fault::data(format!("{name} {what}"))),
    }
}

enum Kind {
    Y4m,
    Jpeg,
    Other(&'static str),
}

fn kind(head: &[u8]) -> Kind {
    match head {
        [] => Kind::Other("is empty"),
        _ if head.starts_with(b"YUV4MPEG2") => Kind::Y4m,
        [0xFF, 0xD8, ..] => Kind::Jpeg,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Kind::Other(
            "is an AVI file, which is not read: pipe it through ffmpeg -i FILE -f yuv4mpegpipe - | polyp-edge replay -",
        ),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] | [0x1A, 0x45, 0xDF, 0xA3, ..] => Kind::Other(
            "is an MP4 or Matroska file, which is not read: pipe it through ffmpeg -i FILE -f yuv4mpegpipe - | polyp-edge replay -",
        ),
        _ if head.starts_with(still::PNG) => {
            Kind::Other("is a PNG image, not video: give its file or a folder of images")
        }
        _ => Kind::Other("is neither a folder of images, a PNG or JPEG image, MJPEG nor Y4M"),
    }
}

#[cfg(unix)]
fn is_device(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}
#[cfg(not(unix))]
fn is_device(_: &std::fs::Metadata) -> bool {
    false
}

/// An error from reading `name`: data if it ended too soon, else I/O.
fn read_fault(name: &str, error: &std::io::Error) -> anyhow::Error {
    let exit = match error.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => Exit::Data,
        _ => Exit::Io,
    };
    Fault::new(exit, format!("cannot read {name}: {error}"))
}
