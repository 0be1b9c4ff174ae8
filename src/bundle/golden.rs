//! Golden frames: pictures whose masks the bundle knows.

use super::Bundle;
use crate::fault::Fault;
use crate::frame::Frame;

/// A picture and the mask that the cart must make of it.
#[derive(Clone, Debug)]
pub struct GoldenFrame {
    pub name: String,
    pub frame: Frame,
    /// `[height, width] u8`, 0 or 255, of the frame's size.
    pub mask: Vec<u8>,
}

impl Bundle {
    /// The golden frames that the manifest lists. An error (exit 65) if one is no picture, or its mask does not fit it.
    pub fn golden_frames(&self) -> anyhow::Result<Vec<GoldenFrame>> {
        let read = |name: &str| {
            let bytes = self.read(name)?;
            image::load_from_memory(&bytes)
                .map_err(|error| Fault::data(format!("{}: no picture: {error}", self.path(name).display())))
        };
        let golden = self.manifest.golden.iter().map(|golden| {
            let (picture, mask) = (read(&golden.frame)?.into_rgb8(), read(&golden.mask)?.into_luma8());
            let (width, height) = (picture.width() as usize, picture.height() as usize);
            let fits = picture.dimensions() == mask.dimensions();
            let frame = Frame::from_rgb(width, height, picture.into_raw()).filter(|_| fits);
            let frame = frame.ok_or_else(|| {
                Fault::data(format!("{}: it is not of its frame's size", self.path(&golden.mask).display()))
            })?;
            Ok(GoldenFrame { name: golden.frame.clone(), frame, mask: mask.into_raw() })
        });
        golden.collect()
    }
}
