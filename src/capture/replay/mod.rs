//! Recorded frames: folders of images, MJPEG and Y4M streams.
//!
//! | module | reads |
//! |---|---|
//! | [`folder`] | a folder of PNG and JPEG images, or one image |
//! | [`mjpeg`] | JPEG pictures one after another |
//! | [`video`] | video in any container, by ffmpeg |
//! | [`y4m`] | uncompressed video, as ffmpeg's yuv4mpegpipe writes it |
//!
//! # Pictures that are not ordinary
//!
//! - A photograph that says in Exif how the camera was held is turned upright, in a folder as a single image: that is how viewers
//!   show it. Masks are made at the size of the picture as it is shown. The pictures of an MJPEG stream are not turned.
//! - A PNG of 16 bits whose `sBIT` chunk says 10 or 12 and whose values go no further is scaled to them; one that says nothing and
//!   whose values all lie below 4096 is refused, since it would be all but black.
//! - An animated PNG is refused with the command that takes it apart. Transparency is ignored.
//! - A picture with a side above 8192 pixels is refused with its size and that limit.
//! - JPEG is read in every sampling at whole ratios, baseline or progressive, with one scan or several; without Huffman
//!   tables the standard's are taken. What is compressed arithmetically, without loss or with 12 bits is refused.
//!
//! A frame that is damaged costs that frame alone ([`DamagedFrame`](super::DamagedFrame)): the next image of the
//! folder, or the next picture of the stream, is read all the same.

pub mod folder;
pub mod mjpeg;
mod reading;
#[cfg(test)]
mod tests;
pub mod video;
pub mod y4m;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::Result;

pub use super::jpeg::MAX_BYTES as MAX_PICTURE_BYTES;
use super::jpeg::stream::MAX_JUNK_BYTES;
pub use super::still::MAX_SIDE_PX;
use super::{Source, foreign, jpeg, png};
use crate::fault::Fault;

/// Enough of a file's start to tell what it is, if it is read.
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
        _ if head.starts_with(png::START) || (image && head.starts_with(jpeg::START)) => {
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
    let mut read = |head: &mut Vec<u8>, most: usize| {
        let more = most.saturating_sub(head.len()) as u64;
        let outcome = reader.by_ref().take(more).read_to_end(head);
        outcome.map_err(|error| Fault::io(format!("cannot read {name}: {error}")))
    };
    read(&mut head, HEAD)?;
    if let Some(source) = whole_file(&head) {
        return source;
    }
    let mut kind = kind(&head);
    if let Container::Unknown = kind {
        read(&mut head, foreign::HEAD)?;
        kind = match foreign::what(&head) {
            Some(what) => Container::Other(what.to_string()),
            None => Container::Unknown,
        };
    }
    // A stream of pictures may begin with headers of HTTP, or with the rest of a picture.
    while let Container::Unknown = kind {
        let before = head.len();
        if head.windows(3).any(|bytes| bytes == b"\xFF\xD8\xFF") {
            kind = Container::Jpeg;
        } else if before > MAX_JUNK_BYTES || read(&mut head, 2 * before.max(HEAD))? == 0 {
            kind = Container::Other(
                "is neither a folder of images, a PNG or JPEG image, MJPEG nor Y4M".to_string(),
            );
        }
    }
    let reader: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(reader));
    match kind {
        Container::Y4m => Ok(Box::new(y4m::Y4m::new(name, reader)?)),
        Container::Other(what) => Err(Fault::data(format!("{name} {what}"))),
        Container::Jpeg | Container::Unknown => Ok(Box::new(mjpeg::Mjpeg::new(name, reader))),
    }
}

enum Container {
    Y4m,
    Jpeg,
    Other(String),
    Unknown,
}

fn kind(head: &[u8]) -> Container {
    match head {
        [] => Container::Other("is empty".into()),
        _ if head.starts_with(b"YUV4MPEG2") => Container::Y4m,
        _ if head.starts_with(jpeg::START) => Container::Jpeg,
        _ if head.starts_with(png::START) => {
            Container::Other("is a PNG image, not video: name its file or a folder of images".into())
        }
        _ => Container::Unknown,
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
