//! Which shapes of the student are tried.

use std::path::Path;

use anyhow::Result;
use polyp_edge::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::net::decoder::{Attention, DecoderConfig};
use crate::run::config::TrainConfig;

/// What is varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Pixels along each side of the input.
    pub input_sides: Vec<usize>,
    /// Shares of the encoder's published channels.
    #[serde(default = "whole")]
    pub widths: Vec<f32>,
    /// Channels of each branch of a decoder level; the level itself has twice as many.
    pub branch_channels: Vec<usize>,
    /// Kinds of channel attention in the decoder.
    pub attention: Vec<Attention>,
    /// Pixels between two logits: 2, 4, 8 or 16.
    #[serde(default = "four")]
    pub output_strides: Vec<usize>,
    /// Only shapes that differ from the first values in one respect, instead of every combination.
    #[serde(default)]
    pub one_at_a_time: bool,
}

fn whole() -> Vec<f32> {
    vec![1.0]
}

fn four() -> Vec<usize> {
    vec![4]
}

impl Grid {
    /// Reads a grid (TOML). An unknown key, another output stride or an empty list is exit code 78.
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |why: &str| Fault::configuration(format!("{}: {why}", path.display()));
        let grid: Grid = toml::from_str(&files::read_text(path)?).map_err(|e| wrong(e.message()))?;
        if let Some(stride) = grid.output_strides.iter().find(|stride| ![2, 4, 8, 16].contains(*stride)) {
            return Err(wrong(&format!("output_strides: {stride} is not 2, 4, 8 or 16")));
        }
        if grid.shapes().is_empty() { Err(wrong("a list is empty")) } else { Ok(grid) }
    }

    /// All shapes, in the order in which they are tried; none if a list is empty.
    pub fn shapes(&self) -> Vec<Shape> {
        let all: [(usize, Set); 5] = [
            (self.input_sides.len(), &|shape, i| shape.input_side = self.input_sides[i]),
            (self.widths.len(), &|shape, i| shape.width = self.widths[i]),
            (self.branch_channels.len(), &|shape, i| shape.branch_channels = self.branch_channels[i]),
            (self.attention.len(), &|shape, i| shape.attention = self.attention[i]),
            (self.output_strides.len(), &|shape, i| shape.output_stride = self.output_strides[i]),
        ];
        if all.iter().any(|(values, _)| *values == 0) {
            return Vec::new();
        }
        // A shape with each value of a list from number `from` on.
        let varied = |shape: Shape, (values, set): (usize, Set), from: usize| -> Vec<Shape> {
            let one = |i| {
                let mut varied = shape;
                set(&mut varied, i);
                varied
            };
            (from..values).map(one).collect()
        };
        if self.one_at_a_time {
            let mut first = Shape::default();
            all.iter().for_each(|(_, set)| set(&mut first, 0));
            return std::iter::once(first)
                .chain(all.iter().flat_map(|list| varied(first, *list, 1)))
                .collect();
        }
        all.iter().fold(vec![Shape::default()], |shapes, list| {
            shapes.into_iter().flat_map(|shape| varied(shape, *list, 0)).collect()
        })
    }
}

/// Gives a shape the value of this number in one of the grid's lists.
type Set<'a> = &'a dyn Fn(&mut Shape, usize);

/// One shape of the student.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Pixels along each side of the input.
    pub input_side: usize,
    /// Share of the encoder's published channels.
    pub width: f32,
    /// Channels of each branch of a decoder level.
    pub branch_channels: usize,
    /// Channel attention in the decoder.
    pub attention: Attention,
    /// Pixels between two logits: 2, 4, 8 or 16.
    pub output_stride: usize,
}

impl Default for Shape {
    fn default() -> Self {
        let decoder = DecoderConfig::default();
        Shape {
            input_side: 224,
            width: 1.0,
            branch_channels: decoder.branch_channels,
            attention: decoder.attention,
            output_stride: 4,
        }
    }
}

impl Shape {
    /// The shape's folder.
    pub fn word(&self) -> String {
        let attention = match self.attention {
            Attention::None => "none",
            Attention::Eca => "eca",
            Attention::SqueezeExcite => "squeeze-excite",
        };
        let mut word = format!("{}-{}-{attention}", self.input_side, self.branch_channels);
        if self.width != 1.0 {
            word += &format!("-width-{}", self.width);
        }
        if self.output_stride != 4 {
            word += &format!("-stride-{}", self.output_stride);
        }
        word
    }

    /// The configuration of a run of this shape. Where the shape has another number of decoder levels than `base` has weights,
    /// each level weighs half of the finer one.
    pub fn apply(&self, base: &TrainConfig) -> TrainConfig {
        let mut config = base.clone();
        config.network.input_side = self.input_side;
        config.network.decoder.branch_channels = self.branch_channels;
        config.network.decoder.level_channels = 2 * self.branch_channels;
        config.network.decoder.attention = self.attention;
        config.network.encoder.width = self.width;
        // The encoder's finest feature lies at stride 2.
        config.network.decoder.finest = self.output_stride.ilog2() as usize - 1;
        // Another stride has another number of levels; each weighs half of the finer one, as it does unless configured.
        let depths = config.segmenter().map_or(0, |segmenter| segmenter.depths());
        if config.depth_weights.len() != depths {
            config.depth_weights = (0..depths).map(|depth| 0.5f32.powi(depth as i32)).collect();
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_a_shape_or_one_thing_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.toml");
        let shapes = |more: &str| {
            let text = format!(
                "input_sides = [224, 288]\nbranch_channels = [16]\nattention = [\"eca\", \"none\"]\n{more}"
            );
            std::fs::write(&path, text).unwrap();
            Grid::load(&path).map(|grid| grid.shapes())
        };
        let words = |more: &str| shapes(more).unwrap().iter().map(Shape::word).collect::<Vec<_>>();
        assert_eq!(words(""), ["224-16-eca", "224-16-none", "288-16-eca", "288-16-none"]);
        let config = shapes("").unwrap()[2].apply(&TrainConfig::default());
        assert_eq!((config.network.input_side, config.network.decoder.level_channels), (288, 32));
        assert_eq!(config.depth_weights, TrainConfig::default().depth_weights);
        let more = "widths = [1.0, 0.75]\noutput_strides = [4, 8]\n";
        assert_eq!(shapes(more).unwrap().len(), 16);
        let one_at_a_time = format!("one_at_a_time = true\n{more}");
        let expected =
            ["224-16-eca", "288-16-eca", "224-16-eca-width-0.75", "224-16-none", "224-16-eca-stride-8"];
        assert_eq!(words(&one_at_a_time), expected);
        let coarse = shapes(&one_at_a_time).unwrap()[4].apply(&TrainConfig::default());
        assert_eq!((coarse.network.decoder.finest, coarse.check()), (2, Ok(())));
        assert_eq!(coarse.depth_weights, [1.0, 0.5]);
        let narrow = shapes(&one_at_a_time).unwrap()[2].apply(&TrainConfig::default());
        assert_eq!(narrow.network.encoder.width, 0.75);
        assert!(shapes("output_strides = [3]").is_err() && shapes("widths = []").is_err());
    }
}
