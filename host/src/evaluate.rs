//! Scores of a model on lists of images: the cart's [`Segmenter`] with lists, truth and scores around it.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use polyp_edge::bundle::manifest::Decision;
use polyp_edge::detect::{Detector, Regions};
use polyp_edge::engine::{self, Engine};
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view::{Rule, Sequence};
use polyp_edge::frame::Frame;
use polyp_edge::segment::{Network, Segmenter};
use tract_onnx::prelude::*;

use crate::data::bad;
use crate::data::lists::Sample;
use crate::measures::{Accumulator, FrameMeasures, Map, Measures};
use crate::metrics::{FrameScore, Overlap};
use crate::teacher::{place, write_map};

/// A pixel is polyp from a probability of one half on; no region is left out.
pub const AT_HALF: Decision = Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 };

/// The cart's engine with the bytes of an int8 ONNX file.
pub fn cart_engine(onnx: &[u8]) -> anyhow::Result<Engine> {
    Engine::from_onnx(onnx, &engine::Options::default())
}

/// What a network makes of pixels `[S, S, 3] u8`: its quantised logits.
pub fn logits(network: &mut impl Network, pixels: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut logits = vec![0; network.output_shape().iter().product()];
    network.run(pixels, &mut logits)?;
    Ok(logits)
}

/// A float ONNX file through tract. Its logits are rounded to 255 steps within ±8, so that the same detector reads them.
pub struct Float {
    plan: Arc<TypedRunnableModel>,
    side: usize,
    output: [usize; 3],
}

impl Float {
    const LARGEST_LOGIT: f32 = 8.0;
    const ZERO_POINT: u8 = 127;
    const SCALE: f32 = Self::LARGEST_LOGIT / 127.0;

    pub fn new(onnx: &[u8]) -> anyhow::Result<Self> {
        let wrong = |error: TractError| Fault::data(format!("float ONNX: {error:#}"));
        let model = tract_onnx::onnx().model_for_read(&mut &*onnx).map_err(wrong)?;
        let model = model.into_optimized().map_err(wrong)?;
        let (input, output) = (model.input_fact(0).map_err(wrong)?, model.output_fact(0).map_err(wrong)?);
        let types = (input.datum_type, output.datum_type) == (u8::datum_type(), f32::datum_type());
        let (side, output) = match (input.shape.as_concrete(), output.shape.as_concrete()) {
            (Some(&[1, 3, side, width]), Some(&[1, 1, rows, columns])) if side == width && types => {
                (side, [rows, columns, 1])
            }
            _ => {
                return Err(Fault::data(format!(
                    "float ONNX: {input:?} → {output:?} is not pixels [1, 3, S, S] u8 → logits [1, 1, H, W] f32"
                )));
            }
        };
        Ok(Float { plan: model.into_runnable().map_err(wrong)?, side, output })
    }

    /// The logits as the file gives them.
    pub fn logits(&self, pixels: &[u8]) -> anyhow::Result<Vec<f32>> {
        let planes: Vec<u8> =
            (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied()).collect();
        let input = Tensor::from_shape(&[1, 3, self.side, self.side], &planes)?;
        let outputs = self.plan.run(tvec!(input.into()))?;
        let logits = outputs.first().context("the float network gave no output")?;
        Ok(logits.to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}

impl Network for Float {
    fn input_shape(&self) -> [usize; 3] {
        [self.side, self.side, 3]
    }
    fn output_shape(&self) -> [usize; 3] {
        self.output
    }
    fn output_quantisation(&self) -> (f32, u8) {
        (Self::SCALE, Self::ZERO_POINT)
    }
    fn run(&mut self, pixels: &[u8], logits: &mut [u8]) -> anyhow::Result<()> {
        let steps = |logit: f32| (logit / Self::SCALE).round_ties_even() + f32::from(Self::ZERO_POINT);
        for (stored, logit) in logits.iter_mut().zip(self.logits(pixels)?) {
            *stored = steps(logit).clamp(0.0, 255.0) as u8;
        }
        Ok(())
    }
}

/// Scores one image after the other with one network.
pub struct Scorer<N> {
    segmenter: Segmenter<N>,
    at_half: Detector,
    regions: Regions,
    mask: Vec<u8>,
}

impl<N: Network> Scorer<N> {
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
        let probability =
            |logit: &u8| 1.0 / (1.0 + (-scale * (f32::from(*logit) - f32::from(zero_point))).exp());
        let map: Vec<f32> = self.segmenter.logits().iter().map(probability).collect();
        let low = self.segmenter.network().output_shape()[0];
        Ok(place(&map, low, frame, self.segmenter.mapping().crop))
    }
}

/// A bar with a count, the time taken and the time left; hidden where stderr is no terminal.
pub fn progress_bar(label: &str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<24} {bar:30} {pos}/{len} {elapsed} < {eta}");
    let bar = ProgressBar::new(length as u64).with_prefix(label.to_string());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Calls `work` for every item, on `threads` threads, each with a state of its own made by `make`. Results are in the
/// items' order; the first error, in that order, is given.
pub fn in_parallel<T: Sync, S, R: Send>(
    items: &[T],
    threads: usize,
    make: impl Fn() -> anyhow::Result<S> + Sync,
    work: impl Fn(&mut S, &T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                let mut state = make();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = match &mut state {
                        Ok(state) => work(state, item),
                        Err(error) => Err(anyhow::anyhow!("{error:#}")),
                    };
                    let failed = result.is_err();
                    results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, result));
                    if failed {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
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
    bad::none(scores?)
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
    bad::none(measured?)?.iter().for_each(|frame| sums.add_frame(frame));
    Ok(sums.finish())
}

/// The name under which a list's scores are kept: its file's stem.
pub fn list_name(list: &Path) -> String {
    list.file_stem().map_or_else(|| "list".into(), |stem| stem.to_string_lossy().into_owned())
}

/// As many threads as the machine runs at once.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_the_first_error_wins() {
        let items: Vec<usize> = (0..100).collect();
        let doubled = in_parallel(&items, 3, || Ok(2), |factor, item| Ok(*factor * item)).unwrap();
        assert_eq!(doubled, (0..100).map(|item| 2 * item).collect::<Vec<_>>());
        let work = |_: &mut (), item: &usize| match item {
            7 => Err(Fault::data("seven")),
            item => Ok(*item),
        };
        let error = in_parallel(&items, 1, || Ok(()), work).unwrap_err();
        assert_eq!(error.to_string(), "seven");
        let error = in_parallel(&items, 2, || Err::<(), _>(Fault::data("no state")), |_, item| Ok(*item));
        assert_eq!(error.unwrap_err().to_string(), "no state");
    }
}
