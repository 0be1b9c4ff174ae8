//! Held-back frames, brought to the network's input as the cart does, and what is made of them for choosing decision rules.
//!
//! Held-back frames come from the hospitals that training saw, and so flatter any rule. Two things stand in for the
//! hospitals that it did not see: a *disturbed* copy of each frame with a polyp (blur, light, colour, noise), so that no
//! rule counts on how sure the network is of pictures it knows; and *cut-outs*, the largest part of such a frame that
//! shows no polyp, because whole frames without a polyp may come from data sets that can be told by their look alone.

use polyp_edge::bundle::digest;
use polyp_edge::detect::Bounds;
use polyp_edge::frame::Frame;
use polyp_edge::geometry::Rect;
use polyp_edge::segment::Input;

use crate::calibrate::decision::{TRUTH_SIDE_PX, Truth};
use crate::data::lists::Sample;
use crate::files;

/// A cut-out has at least this share of the field of view's sides.
const SMALLEST_CUT_OUT: f64 = 0.4;
/// A cut-out stays this share of the field of view's longer side away from the polyp.
const CUT_OUT_MARGIN: f64 = 0.04;

/// A frame, ready for the network.
pub struct HeldBack {
    /// `dataset/stem`.
    pub name: String,
    /// Of the picture's file.
    pub sha256: String,
    /// `[S, S, 3] u8`
    pub pixels: Vec<u8>,
    /// What there is to find.
    pub truth: Truth,
    /// Around the polyp, in shares of the field of view's sides.
    pub polyp: Option<Bounds>,
    /// `[S, S, 3] u8`: the frame's largest part without a polyp, if it has a polyp and there is room beside it.
    pub cut_out: Option<Vec<u8>>,
}

/// Reads a picture and brings it to the network's input. `is_truth`: its mask was made by people.
pub fn prepare(sample: &Sample, is_truth: bool, input: &mut Input) -> anyhow::Result<HeldBack> {
    let frame = sample.read_image()?;
    let mask = sample.read_mask(frame.width_px(), frame.height_px())?;
    let crop = input.prepare(&frame)?.crop;
    let pixels = input.pixels().to_vec();
    let mut stretch = |crop: Rect| input.prepare_crop(&frame, crop).map(|_| input.pixels().to_vec());
    let polyp = bounds(&mask, &frame);
    Ok(HeldBack {
        name: sample.name.clone(),
        sha256: digest(&files::read(&sample.image)?),
        pixels,
        polyp: polyp.map(|polyp| shares(polyp, crop)),
        cut_out: polyp.and_then(|polyp| beside(crop, polyp)).map(&mut stretch).transpose()?,
        truth: match polyp {
            Some(_) if !is_truth => Truth::Somewhere,
            Some(_) => Truth::Polyp(sample_mask(&mask, &frame, crop)),
            None => Truth::Negative,
        },
    })
}

/// The mask at the centres of a grid over the crop, `[TRUTH_SIDE_PX, TRUTH_SIDE_PX] u8`.
fn sample_mask(mask: &[u8], frame: &Frame, crop: Rect) -> Vec<u8> {
    let place =
        |cell: usize, start: usize, length: usize| start + (2 * cell + 1) * length / (2 * TRUTH_SIDE_PX);
    let cells = (0..TRUTH_SIDE_PX).flat_map(|row| (0..TRUTH_SIDE_PX).map(move |column| (row, column)));
    cells
        .map(|(row, column)| {
            let (x, y) = (place(column, crop.x, crop.width), place(row, crop.y, crop.height));
            mask.get(y * frame.width_px() + x).copied().unwrap_or(0)
        })
        .collect()
}

/// The box around all polyp pixels.
fn bounds(mask: &[u8], frame: &Frame) -> Option<Rect> {
    let width = frame.width_px();
    let polyp = || mask.iter().enumerate().filter(|(_, pixel)| **pixel != 0).map(|(index, _)| index);
    let (left, right) =
        (polyp().map(|index| index % width).min()?, polyp().map(|index| index % width).max()?);
    let (top, bottom) =
        (polyp().map(|index| index / width).min()?, polyp().map(|index| index / width).max()?);
    Some(Rect { x: left, y: top, width: right + 1 - left, height: bottom + 1 - top })
}

fn shares(polyp: Rect, crop: Rect) -> Bounds {
    let share = |at: usize, start: usize, length: usize| (at as f32 - start as f32) / length as f32;
    Bounds {
        left: share(polyp.x, crop.x, crop.width),
        top: share(polyp.y, crop.y, crop.height),
        right: share(polyp.x + polyp.width, crop.x, crop.width),
        bottom: share(polyp.y + polyp.height, crop.y, crop.height),
    }
}

/// The largest rectangle of the crop's proportions on one side of the polyp.
fn beside(crop: Rect, polyp: Rect) -> Option<Rect> {
    let margin = (CUT_OUT_MARGIN * crop.width.max(crop.height) as f64) as usize;
    let (right, bottom) = (crop.x + crop.width, crop.y + crop.height);
    let start_x = polyp.x.saturating_sub(margin).clamp(crop.x, right);
    let start_y = polyp.y.saturating_sub(margin).clamp(crop.y, bottom);
    let end_x = (polyp.x + polyp.width + margin).clamp(crop.x, right);
    let end_y = (polyp.y + polyp.height + margin).clamp(crop.y, bottom);
    let strips = [
        Rect { width: start_x - crop.x, ..crop },
        Rect { height: start_y - crop.y, ..crop },
        Rect { x: end_x, width: right - end_x, ..crop },
        Rect { y: end_y, height: bottom - end_y, ..crop },
    ];
    let share =
        |strip: &Rect| (strip.width as f64 / crop.width as f64).min(strip.height as f64 / crop.height as f64);
    let strip = strips.into_iter().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    let share = share(&strip);
    let (width, height) = ((share * crop.width as f64) as usize, (share * crop.height as f64) as usize);
    (share >= SMALLEST_CUT_OUT).then(|| Rect {
        x: strip.x + (strip.width - width) / 2,
        y: strip.y + (strip.height - height) / 2,
        width,
        height,
    })
}

impl HeldBack {
    /// The data set that it is of.
    pub fn set(&self) -> &str {
        self.name.split_once('/').map_or("", |(set, _)| set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROP: Rect = Rect { x: 10, y: 20, width: 100, height: 80 };

    #[test]
    fn a_cut_out_lies_in_the_crop_beside_the_polyp() {
        let polyp = Rect { x: 15, y: 40, width: 30, height: 30 };
        let part = beside(CROP, polyp).unwrap();
        assert!(part.x >= 45 + 4 && part.x + part.width <= 110, "{part:?}");
        assert!(part.y >= 20 && part.y + part.height <= 100, "{part:?}");
        assert_eq!((part.width, part.height), (61, 48));
        assert_eq!(beside(CROP, Rect { x: 40, y: 45, width: 40, height: 30 }), None);
    }
}
