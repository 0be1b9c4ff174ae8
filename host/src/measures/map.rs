//! Predicted maps: as they come, stretched, resized.

use std::path::Path;

use image::DynamicImage;
use polyp_edge::fault::Fault;

use crate::data::decode::decode;
use crate::numeric::bilinear;

/// A predicted map `[H, W]`, polyp where large.
#[derive(Clone, Copy, Debug)]
pub enum Map<'a> {
    /// 255 is probability 1.
    Grey(&'a [u8]),
    /// 0…1
    Probability(&'a [f32]),
}

impl Map<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Map::Grey(values) => values.len(),
            Map::Probability(values) => values.len(),
        }
    }

    /// 1 where the probability is at least 0.5, else 0.
    pub(super) fn at_least_half(&self) -> Vec<u8> {
        match self {
            Map::Grey(values) => values.iter().map(|&value| u8::from(value >= 128)).collect(),
            Map::Probability(values) => values.iter().map(|&value| u8::from(value >= 0.5)).collect(),
        }
    }

    /// The values as f64, the least 0 and the greatest 1; untouched where all are the same. The order of operations is
    /// the reference's: levels are cut from these values, so the last bit counts.
    pub(super) fn stretched(&self) -> anyhow::Result<Vec<f64>> {
        let mut values: Vec<f64> = match self {
            Map::Grey(values) => values.iter().map(|&value| f64::from(value) / 255.0).collect(),
            Map::Probability(values) => values.iter().map(|&value| f64::from(value)).collect(),
        };
        if let Some(value) = values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(Fault::data(format!("a map's value {value} is not a probability, 0…1")));
        }
        let least = values.iter().copied().fold(1.0, f64::min);
        let greatest = values.iter().copied().fold(0.0, f64::max);
        if greatest != least {
            values.iter_mut().for_each(|value| *value = (*value - least) / (greatest - least));
        }
        Ok(values)
    }
}

/// A map that owns its values.
#[derive(Clone, Debug, PartialEq)]
pub struct MapFile {
    /// Pixels in a row.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    Grey(Vec<u8>),
    Probability(Vec<f32>),
}

impl MapFile {
    /// Reads a grey image of 8 or 16 bits a pixel; anything else is exit code 65.
    pub fn read(path: &Path) -> anyhow::Result<MapFile> {
        let image = decode(path)?;
        let (width_px, height_px) = (image.width() as usize, image.height() as usize);
        let values = match image {
            DynamicImage::ImageLuma8(image) => Values::Grey(image.into_raw()),
            DynamicImage::ImageLuma16(image) => Values::Probability(
                image.into_raw().into_iter().map(|value| f32::from(value) / 65535.0).collect(),
            ),
            other => {
                return Err(Fault::data(format!(
                    "map {} is {:?}; save it as a grey image",
                    path.display(),
                    other.color()
                )));
            }
        };
        Ok(MapFile { width_px, height_px, values })
    }

    /// The values, borrowed.
    pub fn map(&self) -> Map<'_> {
        match &self.values {
            Values::Grey(values) => Map::Grey(values),
            Values::Probability(values) => Map::Probability(values),
        }
    }

    /// Bilinear, pixel centres on pixel centres, without smoothing: as networks enlarge their output. Not rounded to
    /// whole grey values.
    pub fn resized(&self, width_px: usize, height_px: usize) -> MapFile {
        let value: &dyn Fn(usize) -> f32 = match &self.values {
            Values::Grey(values) => &|index| f32::from(values[index]) / 255.0,
            Values::Probability(values) => &|index| values[index],
        };
        let resized = bilinear(value, (self.width_px, self.height_px), (width_px, height_px));
        MapFile { width_px, height_px, values: Values::Probability(resized) }
    }
}
