//! Pictures that show nearly the same: of one examination, taken a moment apart.
//!
//! Each picture becomes its fine structure on a small grid: the middle of it, where no text or box of the recorder lies, in
//! grey, less its surroundings' mean, so that light and colour count nothing. Two pictures are alike where these correlate.

use std::collections::BTreeMap;

use anyhow::Result;
use polyp_edge::geometry::Rect;
use polyp_edge::segment::Input;
use rayon::prelude::*;

use polyp_edge::field_of_view::{Locator, Rule, Sequence};

use crate::data::lists::Sample;
use crate::data::usable;

/// Side of the grid.
const GRID: usize = 32;
/// What is taken off is the mean over so many cells to each side.
const SURROUNDINGS: usize = 4;
/// Share of the field of view's sides that is looked at.
const MIDDLE: f64 = 0.7;
/// Pictures correlate this much if they show the same. Kvasir-SEG's pairs, looked at in order: the 18 from .66 up show the
/// same polyp, in part cut and framed differently, those from .62 down do not. Elsewhere only pictures without any structure
/// come between.
const ALIKE: f32 = 0.65;

/// Which pictures belong together: the number of a picture's cluster is the smallest index in it.
pub fn clusters(samples: &[Sample]) -> Result<Vec<usize>> {
    let structures = usable::all(samples.par_iter().map(structure).collect())?;
    let alike: Vec<(usize, usize)> = (0..structures.len())
        .into_par_iter()
        .flat_map_iter(|a| {
            let later = structures[a + 1..].iter().enumerate();
            let near = later.filter(|(_, other)| dot(&structures[a], other) >= ALIKE);
            near.map(|(offset, _)| (a, a + 1 + offset)).collect::<Vec<_>>()
        })
        .collect();
    Ok(joined(structures.len(), &alike))
}

/// Connected components of `0..count`, each named by its smallest member.
fn joined(count: usize, pairs: &[(usize, usize)]) -> Vec<usize> {
    let mut smallest: Vec<usize> = (0..count).collect();
    fn root(smallest: &mut [usize], mut at: usize) -> usize {
        while smallest[at] != at {
            smallest[at] = smallest[smallest[at]];
            at = smallest[at];
        }
        at
    }
    for &(a, b) in pairs {
        let (a, b) = (root(&mut smallest, a), root(&mut smallest, b));
        smallest[a.max(b)] = a.min(b);
    }
    (0..count).map(|at| root(&mut smallest, at)).collect()
}

/// For each cluster the smallest of its samples' names, by sample.
pub fn representatives(samples: &[Sample], clusters: &[usize]) -> Vec<String> {
    let mut first: BTreeMap<usize, &str> = BTreeMap::new();
    for (sample, cluster) in samples.iter().zip(clusters) {
        let name = first.entry(*cluster).or_insert(&sample.name);
        *name = (*name).min(&sample.name);
    }
    clusters.iter().map(|cluster| first[cluster].to_owned()).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `[GRID, GRID]`, of mean 0 and length 1.
fn structure(sample: &Sample) -> Result<Vec<f32>> {
    let frame = sample.read_image()?;
    let mut input = Input::new(GRID, Locator::new(Rule::Find, Sequence::Stills));
    let Rect { x, y, width, height } = input.prepare(&frame)?.crop;
    let margin = |length: usize| ((1.0 - MIDDLE) / 2.0 * length as f64) as usize;
    let (left, top) = (margin(width), margin(height));
    let middle = Rect { x: x + left, y: y + top, width: width - 2 * left, height: height - 2 * top };
    input.prepare_crop(&frame, middle)?;
    let grey: Vec<f32> = input
        .pixels()
        .chunks_exact(3)
        .map(|pixel| pixel.iter().map(|value| f32::from(*value)).sum::<f32>() / 3.0)
        .collect();
    let mut fine: Vec<f32> = (0..GRID * GRID)
        .map(|at| {
            let difference = grey[at] - around(&grey, at % GRID, at / GRID);
            // Glare must not outshine everything else.
            difference.signum() * difference.abs().sqrt()
        })
        .collect();
    let mean = fine.iter().sum::<f32>() / fine.len() as f32;
    fine.iter_mut().for_each(|value| *value -= mean);
    let length = dot(&fine, &fine).sqrt().max(f32::MIN_POSITIVE);
    fine.iter_mut().for_each(|value| *value /= length);
    Ok(fine)
}

fn around(grey: &[f32], x: usize, y: usize) -> f32 {
    let span = |at: usize| at.saturating_sub(SURROUNDINGS)..(at + SURROUNDINGS + 1).min(GRID);
    let cells = span(y).flat_map(|row| span(x).map(move |column| row * GRID + column));
    let (sum, count) = cells.fold((0.0, 0.0), |(sum, count), at| (sum + grey[at], count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use polyp_edge::capture::synthetic::Colon;

    use super::*;

    /// The same view in other light, cut a little differently, is alike; another colon is not.
    #[test]
    fn the_same_view_is_alike_and_another_colon_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let sample = |seed: u64, cut: u32, light: f32| {
            let (frame, _) = Colon::new(240, 200, seed).render(40);
            let path = folder.path().join(format!("{seed}-{cut}.png"));
            let pixels = frame.pixels().iter().map(|value| (f32::from(*value) * light) as u8).collect();
            let whole = image::RgbImage::from_raw(240, 200, pixels).unwrap();
            let part = image::imageops::crop_imm(&whole, cut, cut / 2, 240 - 2 * cut, 200 - cut).to_image();
            part.save(&path).unwrap();
            Sample { name: format!("set/{seed}-{cut}"), image: path, mask: None }
        };
        let samples =
            [sample(3, 3, 0.8), sample(5, 0, 1.0), sample(3, 0, 1.0), sample(7, 0, 1.0), sample(5, 2, 0.9)];
        let clusters = clusters(&samples).unwrap();
        assert_eq!(clusters, [0, 1, 0, 3, 1]);
        let names = representatives(&samples, &clusters);
        assert_eq!(names, ["set/3-0", "set/5-0", "set/3-0", "set/7-0", "set/5-0"]);
    }

    #[test]
    fn chains_of_likeness_are_one_cluster() {
        assert_eq!(joined(6, &[(4, 5), (1, 2), (2, 4)]), [0, 1, 1, 3, 1, 1]);
    }
}
