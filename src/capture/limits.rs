//! How large a picture may be.

use super::jpeg::Refused;
pub use super::jpeg::refused::MAX_SIDE_PX;

/// Most pixels of a picture where a caller does not ask for fewer.
pub const MAX_PIXELS: usize = MAX_SIDE_PX * MAX_SIDE_PX;

/// Bytes that decoding a pixel may need at once: the frame, a decoder's coefficients, and a copy.
const BYTES_PER_PIXEL: usize = 16;

/// Refuses pictures that are too large, or for which there is not enough memory.
pub fn check_size(width: usize, height: usize, most_pixels: usize) -> Result<(), Refused> {
    let sides = 1..=MAX_SIDE_PX;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(Refused::Size(width, height));
    }
    if width * height > most_pixels {
        return Err(Refused::Pixels((width, height), most_pixels));
    }
    match Vec::<u8>::new().try_reserve_exact(BYTES_PER_PIXEL * width * height) {
        Ok(()) => Ok(()),
        Err(_) => Err(Refused::Memory(width, height)),
    }
}
