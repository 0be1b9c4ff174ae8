//! Tells what a file is that is not read, and how to convert it.

use std::fmt;

/// Makes of a video what is read, with its colours. FILE stands for the video's file. ffmpeg never writes the matrix into the
/// stream, so this asks for BT.601 in full range, by which a stream is read that names full range and no matrix.
pub const CONVERT_VIDEO: &str = "ffmpeg -i FILE -vf scale=out_color_matrix=bt601:out_range=full:flags=accurate_rnd+full_chroma_int,format=yuv444p -color_range pc -f yuv4mpegpipe - | polyp-edge replay -";
/// The part of it that follows where the colours come from.
pub const CONVERT_SCALE: &str =
    "out_color_matrix=bt601:out_range=full:flags=accurate_rnd+full_chroma_int,format=yuv444p";
/// ffmpeg takes all video without a tag for BT.601, and high-definition video is BT.709.
const UNTAGGED_HD: &str =
    "for high-definition video without a colour tag, write scale=in_color_matrix=bt709:out_color_matrix=…";
const CONVERT_PICTURE: &str = "ffmpeg -i FILE picture.png";

/// A kind of file that is not read. The message ends a sentence that begins with the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    kind: &'static str,
    command: &'static str,
    video: bool,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.video { "pipe it through" } else { "convert it with" };
        write!(f, "is {}, which is not supported: {how} {}", self.kind, self.command)?;
        if self.video {
            write!(f, " ({UNTAGGED_HD}); where ffmpeg is installed, replay runs it by itself")
        } else {
            Ok(())
        }
    }
}

impl Foreign {
    /// It holds moving pictures, which ffmpeg decodes.
    pub fn is_video(&self) -> bool {
        self.video
    }
}

const fn video(kind: &'static str) -> Option<Foreign> {
    Some(Foreign { kind, command: CONVERT_VIDEO, video: true })
}

const fn picture(kind: &'static str) -> Option<Foreign> {
    Some(Foreign { kind, command: CONVERT_PICTURE, video: false })
}

const fn by(kind: &'static str, command: &'static str) -> Option<Foreign> {
    Some(Foreign { kind, command, video: false })
}

/// Bytes of a file's start that are enough to tell.
pub const HEAD: usize = 512;

/// What a file that starts so is, if it is known and not read.
pub fn what(head: &[u8]) -> Option<Foreign> {
    let at = |place: usize, bytes: &[u8]| head.get(place..).is_some_and(|rest| rest.starts_with(bytes));
    match () {
        _ if at(0, b"RIFF") && at(8, b"AVI") => video("an AVI file"),
        _ if at(0, b"RIFF") && at(8, b"WEBP") => by("a WebP image", "dwebp FILE -o picture.png"),
        _ if at(4, b"ftyphei") || at(4, b"ftypmif1") || at(4, b"ftypmsf1") => {
            by("a HEIF image", "heif-convert FILE picture.png")
        }
        _ if at(4, b"ftypavi") => picture("an AVIF image"),
        _ if at(4, b"ftyp") || at(4, b"moov") || at(4, b"mdat") => video("an MP4 or QuickTime file"),
        _ if at(0, b"\x1A\x45\xDF\xA3") => video("a Matroska or WebM file"),
        _ if at(0, b"G") && at(188, b"G") && at(376, b"G") => video("an MPEG transport stream"),
        _ if at(4, b"G") && at(196, b"G") && at(388, b"G") => video("an MPEG transport stream"),
        _ if at(0, b"\0\0\x01\xBA") => video("an MPEG programme stream"),
        _ if at(0, b"\0\0\x01\xB3") => video("MPEG video without a container"),
        _ if at(0, b"\0\0\0\x01") || at(0, b"\0\0\x01") => video("H.264 or H.265 video without a container"),
        _ if at(0, b"\x30\x26\xB2\x75\x8E\x66\xCF\x11") => video("a Windows Media file"),
        _ if at(0, b"FLV\x01") => video("a Flash video file"),
        _ if at(0, b"OggS") => video("an Ogg file"),
        _ if at(0, b"\x06\x0E\x2B\x34") => video("an MXF file"),
        _ if at(128, b"DICM") => by("a DICOM file", "dcm2img FILE picture.png (of DCMTK)"),
        _ if at(0, b"II*\0") || at(0, b"MM\0*") || at(0, b"II+\0") || at(0, b"MM\0+") => {
            picture("a TIFF image")
        }
        _ if at(0, b"GIF8") => by("a GIF image", "ffmpeg -i FILE picture-%04d.png"),
        _ if at(0, b"BM") && at(6, b"\0\0\0\0") => picture("a BMP image"),
        _ if at(0, b"\0\0\0\x0CjP  \r\n") || at(0, b"\xFF\x4F\xFF\x51") => picture("a JPEG 2000 image"),
        _ if at(0, b"\xFF\x0A") || at(0, b"\0\0\0\x0CJXL ") => by("a JPEG XL image", "djxl FILE picture.png"),
        _ if at(0, b"%PDF-") => by("a PDF document", "pdfimages -png FILE picture"),
        _ if at(0, b"PK\x03\x04") => by("a ZIP archive", "unzip FILE -d pictures"),
        _ if at(0, b"\x1F\x8B") => by("compressed by gzip", "gunzip FILE"),
        _ if at(0, b"7z\xBC\xAF\x27\x1C") => by("a 7-Zip archive", "7z x FILE -opictures"),
        _ if at(257, b"ustar") => by("a tar archive", "tar -xf FILE"),
        _ => None,
    }
}
