//! Why a picture is not shown.

use std::fmt;

/// Largest side of a picture, pixels.
pub const MAX_SIDE_PX: usize = 8192;

/// Why a picture is not shown. The message ends a sentence that begins with the picture's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// What is damaged.
    Damaged(&'static str),
    /// A decoder found damage that the check did not.
    Decoder(String),
    /// It may be whole, but is of a kind that is not read.
    NotRead(&'static str),
    /// Its width and height are more than is read, or none.
    Size(usize, usize),
    /// Its width and height are not those of the stream.
    OtherSize((usize, usize), (usize, usize)),
    /// More pixels than the caller takes.
    Pixels((usize, usize), usize),
    /// There is not enough memory for a picture of this width and height.
    Memory(usize, usize),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Damaged(what) => write!(f, "is a damaged JPEG image: {what}"),
            Refused::Decoder(what) => write!(f, "is a damaged JPEG image: {what}"),
            Refused::NotRead(why) => write!(f, "is a JPEG image of a kind that is not supported: {why}"),
            Refused::Size(width, height) => {
                write!(f, "is an image of {width} × {height} pixels; each side must have 1 to {MAX_SIDE_PX}")
            }
            Refused::OtherSize((width, height), (wanted_width, wanted_height)) => write!(
                f,
                "is an image of {width} × {height} pixels instead of {wanted_width} × {wanted_height}"
            ),
            Refused::Pixels((width, height), most) => {
                write!(f, "is an image of {width} × {height} pixels; at most {most} pixels are allowed")
            }
            Refused::Memory(width, height) => {
                write!(f, "is an image of {width} × {height} pixels, for which there is not enough memory")
            }
        }
    }
}

impl From<&'static str> for Refused {
    fn from(what: &'static str) -> Self {
        Refused::Damaged(what)
    }
}
