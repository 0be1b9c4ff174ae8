//! Frame → the model's input: crop and antialiased resize in one pass.

use anyhow::{Result, ensure};
use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::frame::Frame;
use crate::geometry::Rect;

/// Makes `[side, side, 3] u8` RGB of a crop. Keeps its buffers from frame to frame.
pub struct Preprocessor {
    side: usize,
    resizer: Resizer,
    packed: Vec<u8>,
}

impl Preprocessor {
    /// For a network whose input has `side` pixels along each side.
    pub fn new(side: usize) -> Preprocessor {
        Preprocessor { side, resizer: Resizer::new(), packed: Vec::new() }
    }

    /// Pixels along each side of the network's input.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Stretches `crop` of the frame to `[side, side, 3] u8`, with a triangle filter as wide as the reduction asks.
    /// Pixels outside the crop have no influence. An error if the crop leaves the frame, is empty, or `out` has
    /// another size.
    pub fn prepare(&mut self, frame: &Frame, crop: Rect, out: &mut [u8]) -> Result<()> {
        let (width, height) = (frame.width_px(), frame.height_px());
        ensure!(
            crop.width > 0
                && crop.height > 0
                && crop.x.saturating_add(crop.width) <= width
                && crop.y.saturating_add(crop.height) <= height,
            "crop {crop:?} does not lie in a frame of {width}×{height}"
        );
        ensure!(
            out.len() == 3 * self.side * self.side,
            "the model's input is {0}×{0}×3, the buffer holds {1} bytes",
            self.side,
            out.len()
        );
        // Rows of whole pixels are read where they lie; others are packed first.
        let stride = frame.stride().0;
        let (pixels, row_px) = if stride.is_multiple_of(3) {
            (frame.pixels(), stride / 3)
        } else {
            self.packed.clear();
            for y in 0..height {
                self.packed.extend_from_slice(frame.row(y));
            }
            (self.packed.as_slice(), width)
        };
        let whole = TypedImageRef::<U8x3>::from_buffer(row_px as u32, height as u32, pixels)?;
        let (left, top) = (crop.x as u32, crop.y as u32);
        let source = TypedCroppedImage::from_ref(&whole, left, top, crop.width as u32, crop.height as u32)?;
        let mut target = TypedImage::<U8x3>::from_buffer(self.side as u32, self.side as u32, out)?;
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
        self.resizer.resize_typed(&source, &mut target, &options)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(width: usize, height: usize, seed: u32) -> Frame {
        let mut state = seed.wrapping_mul(2654435761).wrapping_add(1);
        let pixels = (0..3 * width * height)
            .map(|_| {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                (state >> 24) as u8
            })
            .collect();
        Frame::from_rgb(width, height, pixels).unwrap()
    }

    fn prepare(frame: &Frame, crop: Rect, side: usize) -> Vec<u8> {
        let mut out = vec![0; 3 * side * side];
        Preprocessor::new(side).prepare(frame, crop, &mut out).unwrap();
        out
    }

    #[test]
    fn a_crop_of_the_models_size_is_copied() {
        let frame = noise(50, 40, 3);
        let crop = Rect { x: 7, y: 5, width: 32, height: 32 };
        let expected: Vec<u8> = (5..37).flat_map(|y| frame.row(y)[21..117].to_vec()).collect();
        assert_eq!(prepare(&frame, crop, 32), expected);
    }

    #[test]
    fn reduction_averages_rather_than_skips() {
        let mut frame = Frame::black(256, 256);
        for (index, byte) in frame.pixels_mut().iter_mut().enumerate() {
            *byte = if (index / 3) % 2 == 0 { 0 } else { 200 };
        }
        let out = prepare(&frame, Rect { x: 0, y: 0, width: 256, height: 256 }, 32);
        assert!(out.iter().all(|&value| (92..=108).contains(&value)), "stripes must come out even: {out:?}");
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let frame = noise(20, 20, 1);
        let mut out = vec![0; 3 * 16 * 16];
        let mut preprocessor = Preprocessor::new(16);
        assert!(preprocessor.prepare(&frame, Rect { x: 10, y: 0, width: 11, height: 5 }, &mut out).is_err());
        assert!(preprocessor.prepare(&frame, Rect { x: 0, y: 0, width: 0, height: 5 }, &mut out).is_err());
        assert!(
            preprocessor.prepare(&frame, Rect { x: 0, y: 0, width: 9, height: 9 }, &mut out[1..]).is_err()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pixels_outside_the_crop_have_no_influence(
            x in 0usize..20, y in 0usize..20, width in 1usize..60, height in 1usize..60, seed in 0u32..1000,
        ) {
            let crop = Rect { x, y, width, height };
            let frame = noise(80, 80, seed);
            let mut painted = frame.clone();
            for row in 0..80 {
                for column in 0..80 {
                    let inside = (x..x + width).contains(&column) && (y..y + height).contains(&row);
                    if !inside {
                        painted.row_mut(row)[3 * column..3 * column + 3].fill(255);
                    }
                }
            }
            prop_assert_eq!(prepare(&frame, crop, 32), prepare(&painted, crop, 32));
        }
    }
}
