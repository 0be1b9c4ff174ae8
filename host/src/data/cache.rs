//! Samples decoded once and kept in memory as the cart would see them: cropped to the field of view.

use anyhow::{Context, Result};
use polyp_edge::capture::synthetic::Colon;
use polyp_edge::field_of_view::{Locator, Rule, Sequence};
use polyp_edge::frame::Frame;
use polyp_edge::geometry::Rect;
use polyp_edge::segment::Input;
use rayon::prelude::*;

use crate::data::lists::Sample;
use crate::data::usable;

/// A square picture with its mask.
#[derive(Clone)]
pub struct Cached {
    /// `dataset/stem`, or `rendered/NUMBER`.
    pub name: String,
    /// `[side, side, 3] u8` RGB.
    pub pixels: Vec<u8>,
    /// `[side, side] u8`: the share of each cell that is polyp, 255 for all of it.
    pub mask: Vec<u8>,
    /// Whether the mask is the truth; without one it is 0 everywhere.
    pub labelled: bool,
    /// What teachers say of the whole picture.
    pub teacher: Option<TeacherView>,
}

impl Cached {
    /// The data set that it is of.
    pub fn set(&self) -> &str {
        self.name.split_once('/').map_or("", |(set, _)| set)
    }
}

/// Teachers' logits are kept within ± this: beyond it a probability is within 0.0003 of certainty.
pub const LARGEST_TEACHER_LOGIT: f32 = 8.0;

/// A map of logits in u8, and how far it is to be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherView {
    /// Logits along each side.
    pub side: usize,
    /// `[side, side]`; 0 and 255 are ± [`LARGEST_TEACHER_LOGIT`].
    pub stored: Vec<u8>,
    /// 0 to 1: what the map counts where the truth is not known.
    pub confidence: f32,
}

impl TeacherView {
    /// Stores logits `[side, side]`; those beyond ±[`LARGEST_TEACHER_LOGIT`] are cut.
    pub fn of(logits: &[f32], side: usize, confidence: f32) -> Self {
        let store = |logit: &f32| {
            let share = (logit / LARGEST_TEACHER_LOGIT).clamp(-1.0, 1.0) * 0.5 + 0.5;
            (share * 255.0).round() as u8
        };
        TeacherView { side, stored: logits.iter().map(store).collect(), confidence }
    }

    /// The logit of cell `i`, as near as 255 steps come to it.
    pub fn logit(&self, i: usize) -> f32 {
        (f32::from(self.stored[i]) / 255.0 * 2.0 - 1.0) * LARGEST_TEACHER_LOGIT
    }
}

/// Reads every sample at `side` pixels, cut to the endoscope's field of view if `crop`. Those that cannot be read are one
/// error for all of them.
pub fn load(samples: &[Sample], side: usize, crop: bool) -> Result<Vec<Cached>> {
    let read = |sample: &Sample| {
        let frame = sample.read_image()?;
        let mask = sample.read_mask(frame.width_px(), frame.height_px())?;
        square(&sample.name, &frame, &mask, side, crop)
    };
    usable::all(samples.par_iter().map(read).collect())
}

/// Reads samples without masks of which it is not known what they show.
pub fn load_unlabelled(samples: &[Sample], side: usize, crop: bool) -> Result<Vec<Cached>> {
    let mut cached = load(samples, side, crop)?;
    cached.iter_mut().for_each(|sample| sample.labelled = false);
    Ok(cached)
}

/// Rendered frames, each of a colon of its own.
pub fn render(count: usize, side: usize, seed: u64) -> Result<Vec<Cached>> {
    (0..count as u64)
        .into_par_iter()
        .map(|i| {
            let colon = Colon::new(480, 400, seed.wrapping_add(i));
            let (frame, mask) = colon.render(37 * i % 600);
            square(&format!("rendered/{i}"), &frame, &mask.pixels, side, true)
        })
        .collect()
}

fn square(name: &str, frame: &Frame, mask: &[u8], side: usize, crop: bool) -> Result<Cached> {
    let rule = if crop { Rule::Find } else { Rule::WholeFrame };
    let mut input = Input::new(side, Locator::new(rule, Sequence::Stills));
    let crop = input.prepare(frame).with_context(|| name.to_owned())?.crop;
    let pixels = input.pixels().to_vec();
    let mask = shrink_mask(mask, frame, crop, &mut input).with_context(|| name.to_owned())?;
    Ok(Cached { name: name.to_owned(), pixels, mask, labelled: true, teacher: None })
}

/// The mask through the very resize that the picture went through.
fn shrink_mask(mask: &[u8], frame: &Frame, crop: Rect, input: &mut Input) -> Result<Vec<u8>> {
    let grey = mask.iter().flat_map(|value| [*value; 3]).collect();
    let grey = Frame::from_rgb(frame.width_px(), frame.height_px(), grey).context("mask of another size")?;
    input.prepare_crop(&grey, crop)?;
    Ok(input.pixels().chunks_exact(3).map(|pixel| pixel[0]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyp_edge::fault::{Exit, exit_of};

    #[test]
    fn all_bad_samples_are_found_before_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        image::RgbImage::from_pixel(64, 64, image::Rgb([90, 40, 30])).save(path("picture.png")).unwrap();
        image::GrayImage::new(64, 64).save(path("dark.png")).unwrap();
        image::GrayImage::new(60, 64).save(path("narrow.png")).unwrap();
        image::GrayImage::from_pixel(64, 64, image::Luma([99])).save(path("soft.png")).unwrap();
        std::fs::write(path("broken.png"), b"no picture").unwrap();
        let sample = |image: &str, mask: &str| Sample {
            name: format!("set/{mask}"),
            image: path(image),
            mask: Some(path(mask)),
        };
        let good = sample("picture.png", "dark.png");
        assert_eq!(load(std::slice::from_ref(&good), 32, true).unwrap()[0].mask, vec![0; 32 * 32]);
        let samples = [
            sample("picture.png", "narrow.png"),
            good,
            sample("picture.png", "soft.png"),
            sample("broken.png", "dark.png"),
            sample("picture.png", "none.png"),
        ];
        let error = load(&samples, 32, true).err().unwrap();
        let said = error.to_string();
        assert!(said.starts_with("4 of 5 samples cannot be used: "), "{said}");
        for what in [
            "narrow.png has 60 × 64 pixels",
            "soft.png is not binary: 100.0 %",
            "broken.png is neither",
            "none.png",
        ] {
            assert!(said.contains(what), "{what}: {said}");
        }
        assert_eq!(exit_of(&error), Exit::Data);
        let error = load(&samples[4..], 32, true).err().unwrap();
        assert_eq!(exit_of(&error), Exit::Io);
    }
}
