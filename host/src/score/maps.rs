//! The field's measures of maps of probabilities before any decision rule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;
use polyp_edge::frame::Frame;
use rayon::prelude::*;
use serde::Serialize;

use crate::data::lists::{Sample, data_folder, list_name, read_list};
use crate::files;
use crate::measures::{Accumulator, FrameMeasures, Map, Measures};
use crate::model::teacher::Teacher;
use crate::parallel::progress_bar;

/// Measures of each list, as JSON has them.
#[derive(Serialize)]
pub struct MapReport {
    /// Version of the JSON's format.
    pub schema: u32,
    /// By the list's name.
    pub lists: BTreeMap<String, Measures>,
}

/// Measures a run's best epoch on lists.
pub fn score_run(run: &Path, lists: &[PathBuf], device: &Device, maps: Option<&Path>) -> Result<MapReport> {
    let data = data_folder()?;
    let teacher = Teacher::open(run, &data, device)?;
    let mut report = MapReport { schema: 1, lists: BTreeMap::new() };
    for list in lists {
        let name = list_name(list);
        let measures = measure(&teacher, &name, &read_list(list, &data)?, maps)?;
        report.lists.insert(name, measures);
    }
    Ok(report)
}

/// Frames that go through the network at once.
const AT_ONCE: usize = 8;

/// Measures a list of samples; writes each map as `maps/dataset/stem.png` if a folder is given.
pub fn measure(teacher: &Teacher, name: &str, samples: &[Sample], maps: Option<&Path>) -> Result<Measures> {
    let bar = progress_bar(name, samples.len());
    let mut sums = Accumulator::default();
    for samples in samples.chunks(AT_ONCE) {
        let pairs = samples.par_iter().map(|sample| {
            let frame = sample.read_image()?;
            let mask = sample.read_mask(frame.width_px(), frame.height_px())?;
            Ok((frame, mask))
        });
        let pairs: Vec<(Frame, Vec<u8>)> = pairs.collect::<Result<_>>()?;
        let frames: Vec<&Frame> = pairs.iter().map(|(frame, _)| frame).collect();
        let found = teacher.maps(&frames)?;
        let measured = samples.par_iter().zip(&pairs).zip(&found).map(|((sample, (frame, mask)), map)| {
            let (width, height) = (frame.width_px(), frame.height_px());
            if let Some(folder) = maps {
                write_map(&folder.join(format!("{}.png", sample.name)), map, width, height)?;
            }
            FrameMeasures::of(Map::Probability(map), mask, width, height)
        });
        for measured in measured.collect::<Result<Vec<_>>>()? {
            sums.add_frame(&measured);
        }
        bar.inc(samples.len() as u64);
    }
    bar.finish_and_clear();
    Ok(sums.finish())
}

/// A grey PNG, 255 for certain.
pub fn write_map(path: &Path, map: &[f32], width: usize, height: usize) -> Result<()> {
    let grey = map.iter().map(|p| (255.0 * p).round() as u8).collect();
    let picture =
        image::GrayImage::from_raw(width as u32, height as u32, grey).context("a map without pixels")?;
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    files::write_whole(path, &png.into_inner())
}
