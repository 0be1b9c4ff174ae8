//! The one mapping between the frame and the model's square.

use super::Rect;

/// Ties the crop of a frame to the model's square of `model_side` pixels: each side of the crop is stretched to
/// `model_side`, so both corners map onto corners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// In pixels of the frame.
    pub crop: Rect,
    pub(crate) model_side: usize,
}

impl Mapping {
    /// `model_side`: pixels along each side of the model's square.
    pub fn new(crop: Rect, model_side: usize) -> Mapping {
        Mapping { crop, model_side }
    }

    /// From a place in the model's square to the frame.
    pub fn to_frame(&self, x: f64, y: f64) -> (f64, f64) {
        let side = self.model_side.max(1) as f64;
        (
            self.crop.x as f64 + x * self.crop.width as f64 / side,
            self.crop.y as f64 + y * self.crop.height as f64 / side,
        )
    }

    /// From a place in the frame to the model's square; places outside the crop land outside the square.
    pub fn to_model(&self, x: f64, y: f64) -> (f64, f64) {
        let side = self.model_side as f64;
        (
            (x - self.crop.x as f64) * side / self.crop.width.max(1) as f64,
            (y - self.crop.y as f64) * side / self.crop.height.max(1) as f64,
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_and_back_is_where_it_was(
            x in 0usize..4000, y in 0usize..4000, width in 1usize..4000, height in 1usize..4000,
            side in 1usize..1024, u in -1f64..2.0, v in -1f64..2.0,
        ) {
            let mapping = Mapping::new(Rect { x, y, width, height }, side);
            let (model_x, model_y) = (u * side as f64, v * side as f64);
            let (frame_x, frame_y) = mapping.to_frame(model_x, model_y);
            let (back_x, back_y) = mapping.to_model(frame_x, frame_y);
            // The frame's coordinates reach 8000: an ulp there is 1e-12, stretched by at most `side`.
            prop_assert!((back_x - model_x).abs() < 1e-8 && (back_y - model_y).abs() < 1e-8);
        }

        #[test]
        fn corners_map_onto_corners(
            x in 0usize..4000, y in 0usize..4000, width in 1usize..4000, height in 1usize..4000, side in 1usize..1024,
        ) {
            let mapping = Mapping::new(Rect { x, y, width, height }, side);
            prop_assert_eq!(mapping.to_frame(0.0, 0.0), (x as f64, y as f64));
            prop_assert_eq!(mapping.to_frame(side as f64, side as f64), ((x + width) as f64, (y + height) as f64));
            prop_assert_eq!(mapping.to_model(x as f64, y as f64), (0.0, 0.0));
            prop_assert_eq!(mapping.to_model((x + width) as f64, (y + height) as f64), (side as f64, side as f64));
        }
    }
}
