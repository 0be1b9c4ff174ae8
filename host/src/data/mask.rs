//! Masks as files: grey images, 255 where the polyp is, else 0.

use std::path::Path;

use polyp_edge::fault::Fault;

use crate::data::decode::decode;

/// Grey values that are neither polyp nor not.
const BETWEEN: std::ops::RangeInclusive<u8> = 32..=223;
/// The largest share of such values that edges alone account for. Every mask of Kvasir-SEG, CVC-ClinicDB, CVC-ColonDB and
/// PolypGen as they lie in the data folder has none; saved as JPEG of quality 50, at most 0.25 %; halved in size with
/// smoothed edges, at most 1.9 %. Blurred like a probability map (σ = 8 pixels), half of them have more than 4.9 %.
const LARGEST_SHARE_BETWEEN: f64 = 0.02;

/// A mask `[H, W]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Pixels in a row.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
    /// 255 or 0.
    pub pixels: Vec<u8>,
}

impl Mask {
    /// Reads a mask and divides it at 128. One that is no mask, because it is soft or holds 1 where 255 should be, is exit
    /// code 65.
    pub fn read(path: &Path) -> anyhow::Result<Mask> {
        let mask = decode(path)?.into_luma8();
        let (width_px, height_px) = (mask.width() as usize, mask.height() as usize);
        let mut pixels = mask.into_raw();
        let between = pixels.iter().filter(|value| BETWEEN.contains(*value)).count();
        let share = between as f64 / pixels.len().max(1) as f64;
        if share > LARGEST_SHARE_BETWEEN {
            return Err(Fault::data(format!(
                "mask {} is not binary: {:.1} % of its pixels are neither black nor white",
                path.display(),
                100.0 * share
            )));
        }
        match pixels.iter().copied().max() {
            Some(brightest @ 1..128) => Err(Fault::data(format!(
                "mask {} has no pixel brighter than {brightest}; polyp pixels must be 255",
                path.display()
            ))),
            _ => {
                pixels.iter_mut().for_each(|value| *value = if *value >= 128 { 255 } else { 0 });
                Ok(Mask { width_px, height_px, pixels })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyp_edge::fault::{Exit, exit_of};

    fn read(value: impl Fn(u32, u32) -> u8) -> anyhow::Result<Mask> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        image::GrayImage::from_fn(40, 30, |x, y| image::Luma([value(x, y)])).save(&path).unwrap();
        Mask::read(&path)
    }

    #[test]
    fn masks_with_ragged_edges_are_masks() {
        let mask = read(|x, y| match x {
            0..20 => 3,
            // 20 of 1,200 pixels.
            20 if y < 20 => 140,
            _ => 250,
        });
        let mask = mask.unwrap();
        assert_eq!((mask.width_px, mask.height_px, mask.pixels.len()), (40, 30, 1200));
        assert_eq!(mask.pixels[..40], [[0; 20], [255; 20]].concat());
        assert!(read(|_, _| 0).unwrap().pixels.iter().all(|value| *value == 0));
    }

    #[test]
    fn soft_masks_and_faint_ones_are_refused_by_name() {
        for (value, what) in [(100, "100.0 % of its pixels"), (1, "no pixel brighter than 1")] {
            let error = read(|_, _| value).unwrap_err();
            assert!(error.to_string().contains(what) && error.to_string().contains("mask.png"), "{error}");
            assert_eq!(exit_of(&error), Exit::Data);
        }
        let ramp = read(|x, _| (x * 6) as u8).unwrap_err();
        assert!(ramp.to_string().contains("is not binary"), "{ramp}");
    }
}
