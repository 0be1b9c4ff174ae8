//! JPEG as cameras, capture cards and recorders write it; live capture and recorded sources share it.
//!
//! | module | does |
//! |---|---|
//! | `stream` | splits a stream into pictures |
//! | `parts` | the segments before and between scans |
//! | `huffman` | code tables and the bits of a scan |
//! | `check` | proves that all of a picture is there |
//! | [`picture`] | one picture → RGB |
//! | [`exif`] | which way up a photograph is |
//!
//! # What is guaranteed
//!
//! A picture is either shown as its bytes say or refused. Before any decoder sees it, every code word of every scan is
//! read, baseline and progressive alike: each block of each colour has its codes, no code is one that the tables do not
//! have, no value is larger than a picture of eight bits can need, restart markers come in order, a progressive picture
//! sends each bit of each coefficient once and in order down to the last one, and nothing is left over before the next marker
//! but padding. A picture that was cut, lost a piece, or had one overwritten by zeros is refused.
//!
//! # What is not guaranteed
//!
//! JPEG has no checksum. Bits that were changed so that the rest still reads as valid codes, each within its range, and
//! ends where it must, cannot be told from a picture.

mod check;
pub mod exif;
mod huffman;
mod parts;
pub mod picture;
pub mod refused;
pub(crate) mod stream;

pub use picture::decode;
pub use refused::Refused;

/// How a JPEG picture begins.
pub const START: &[u8] = b"\xFF\xD8";
/// Largest compressed picture, bytes.
pub const MAX_BYTES: usize = 64 << 20;
