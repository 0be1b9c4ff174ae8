//! Scores of a model on lists of images: the cart's [`Segmenter`] with lists, truth and scores around it.

use std::path::Path;

use anyhow::Context;
use polyp_edge::bundle::manifest::Decision;
use polyp_edge::detect::{Detector, Regions};
use polyp_edge::field_of_view::{Rule, Sequence};
use polyp_edge::frame::Frame;
use polyp_edge::segment::{Network, Segmenter};

use crate::data::lists::Sample;
use crate::data::usable;
use crate::measures::overlap::{FrameScore, Overlap};
use crate::measures::{Accumulator, FrameMeasures, Map, Measures};
use crate::numeric::{place, sigmoid};
use crate::parallel::in_parallel;
use crate::parallel::progress_bar;
use crate::score::maps::write_map;

/// A pixel is polyp from a probability of one half on; no region is left out.
pub const AT_HALF: Decision = Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 };

/// Scores one image after the other with one network.
pub struct Scorer<N> {
    segmenter: Segmenter<N>,
    at_half: Detector,
    regions: Regions,
    mask: Vec<u8>,
}

impl<N: Network> Scorer<N> {
    /// Scores by `decision`, within the field of view that `rule` finds.
    pub fn new(network: N, decision: &Decision, rule: Rule) -> anyhow::Result<Self> {
        let (scale, zero_point) = network.output_quantisation();
        Ok(Scorer {
            segmenter: Segmenter::with(network, decision, rule, Sequence::Stills)?,
            at_half: Detector::new(&AT_HALF, scale, zero_point)?,
            regions: Regions::default(),
            mask: Vec::new(),
        })
    }

    /// The mask that the cart would show, `[height_px, width_px] u8`, 0 or 255, and the number of regions.
    pub fn mask(&mut self, frame: &Frame) -> anyhow::Result<(&[u8], usize)> {
        self.segmenter.look(frame)?;
        self.segmenter.mask_into(&mut self.mask)?;
        self.segmenter.regions_into(&mut self.regions)?;
        Ok((&self.mask, self.regions.list.len()))
    }

    /// Reads a sample and scores it.
    pub fn score(&mut self, sample: &Sample) -> anyhow::Result<FrameScore> {
        let frame = sample.read_image()?;
        let truth = sample.read_mask(frame.width_px(), frame.height_px())?;
        self.score_frame(&frame, &truth)
    }

    /// `truth [height_px, width_px]`
    pub fn score_frame(&mut self, frame: &Frame, truth: &[u8]) -> anyhow::Result<FrameScore> {
        let (mask, regions) = self.mask(frame)?;
        let overlap = Overlap::of(truth, mask);
        self.segmenter.mask_by(&mut self.at_half, &mut self.mask)?;
        let frame_px = frame.width_px() * frame.height_px();
        Ok(FrameScore { frame_px, overlap, at_half: Overlap::of(truth, &self.mask), regions })
    }

    /// The probability of polyp at every pixel, `[height_px, width_px]`; 0 outside the field of view.
    pub fn probabilities(&mut self, frame: &Frame) -> anyhow::Result<Vec<f32>> {
        self.segmenter.look(frame)?;
        let (scale, zero_point) = self.segmenter.network().output_quantisation();
        let real = |stored: &u8| scale * (f32::from(*stored) - f32::from(zero_point));
        let map: Vec<f32> = self.segmenter.logits().iter().map(|stored| sigmoid(real(stored))).collect();
        let low = self.segmenter.network().output_shape()[0];
        Ok(place(&map, low, frame, self.segmenter.mapping().crop))
    }
}

/// Scores a list; `label` stands before the progress bar. Samples that cannot be read are one error for all of them.
pub fn score_list<N: Network>(
    label: &str,
    samples: &[Sample],
    threads: usize,
    make: impl Fn() -> anyhow::Result<N> + Sync,
    decision: &Decision,
    rule: Rule,
) -> anyhow::Result<Vec<FrameScore>> {
    let bar = progress_bar(label, samples.len());
    let scores = in_parallel(
        samples,
        threads,
        || Scorer::new(make()?, decision, rule),
        |scorer, sample| {
            let score = scorer.score(sample).with_context(|| sample.name.clone());
            bar.inc(1);
            Ok(score)
        },
    );
    bar.finish_and_clear();
    usable::all(scores?)
}

/// Measures a list by the field's six measures, of maps of probabilities before any decision rule; writes each map as
/// `maps/dataset/stem.png` if a folder is given.
pub fn measure_list<N: Network>(
    label: &str,
    samples: &[Sample],
    threads: usize,
    make: impl Fn() -> anyhow::Result<N> + Sync,
    rule: Rule,
    maps: Option<&Path>,
) -> anyhow::Result<Measures> {
    let bar = progress_bar(label, samples.len());
    let measured = in_parallel(
        samples,
        threads,
        || Scorer::new(make()?, &AT_HALF, rule),
        |scorer, sample| {
            bar.inc(1);
            let mut measure = || -> anyhow::Result<FrameMeasures> {
                let frame = sample.read_image()?;
                let (width, height) = (frame.width_px(), frame.height_px());
                let truth = sample.read_mask(width, height)?;
                let map = scorer.probabilities(&frame)?;
                if let Some(folder) = maps {
                    write_map(&folder.join(format!("{}.png", sample.name)), &map, width, height)?;
                }
                FrameMeasures::of(Map::Probability(&map), &truth, width, height)
            };
            Ok(measure().with_context(|| sample.name.clone()))
        },
    );
    bar.finish_and_clear();
    let mut sums = Accumulator::default();
    usable::all(measured?)?.iter().for_each(|frame| sums.add_frame(frame));
    Ok(sums.finish())
}
