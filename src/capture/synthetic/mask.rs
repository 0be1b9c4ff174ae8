//! Which pixels show a polyp.

/// Which pixels show a polyp: `[height, width] u8`, 0 or 255.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `width × height` values, row by row.
    pub pixels: Vec<u8>,
}

impl Mask {
    /// Number of polyp pixels.
    pub fn area_px(&self) -> usize {
        self.pixels.iter().filter(|&&pixel| pixel != 0).count()
    }
}
