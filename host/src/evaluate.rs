//! Scores of a model on lists of images, the pictures going the cart's own way: field of view, preprocessing, network,
//! decision rules, mask at the picture's size.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use polyp_edge::bundle::manifest::{Decision, FieldOfViewRule};
use polyp_edge::detect::{Detector, Regions};
use polyp_edge::engine::{self, Engine};
use polyp_edge::fault::Fault;
use polyp_edge::field_of_view::{self, Mapping};
use polyp_edge::frame::{Frame, Rect};
use polyp_edge::preprocess::Preprocessor;
use tract_onnx::prelude::*;

use crate::data::bad;
use crate::data::lists::Sample;
use crate::measures::{Accumulator, FrameMeasures, Map, Measures};
use crate::metrics::{FrameScore, Overlap};
use crate::teacher::{place, write_map};

/// A network that turns `[S, S, 3] u8` pixels into quantised logits.
pub trait Predictor {
    /// Height and width of the input in pixels.
    fn side(&self) -> usize;
    /// `[H, W, 1]`
    fn output_shape(&self) -> [usize; 3];
    /// Scale and zero point of the logits.
    fn output_quantisation(&self) -> (f32, u8);
    /// Replaces what `logits` holds.
    fn predict(&mut self, pixels: &[u8], logits: &mut Vec<u8>) -> anyhow::Result<()>;
}

/// The cart's engine.
pub struct Cart(Engine);

impl Cart {
    pub fn new(onnx: &[u8]) -> anyhow::Result<Self> {
        Ok(Cart(Engine::from_onnx(onnx, &engine::Options::default())?))
    }
}

impl Predictor for Cart {
    fn side(&self) -> usize {
        self.0.input_shape()[0]
    }
    fn output_shape(&self) -> [usize; 3] {
        self.0.output_shape()
    }
    fn output_quantisation(&self) -> (f32, u8) {
        self.0.output_quantisation()
    }
    fn predict(&mut self, pixels: &[u8], logits: &mut Vec<u8>) -> anyhow::Result<()> {
        logits.resize(self.output_shape().iter().product(), 0);
        self.0.run(pixels, logits)
    }
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

impl Predictor for Float {
    fn side(&self) -> usize {
        self.side
    }
    fn output_shape(&self) -> [usize; 3] {
        self.output
    }
    fn output_quantisation(&self) -> (f32, u8) {
        (Self::SCALE, Self::ZERO_POINT)
    }
    fn predict(&mut self, pixels: &[u8], logits: &mut Vec<u8>) -> anyhow::Result<()> {
        let steps = |logit: f32| (logit / Self::SCALE).round_ties_even() + f32::from(Self::ZERO_POINT);
        logits.clear();
        logits.extend(self.logits(pixels)?.into_iter().map(|logit| steps(logit).clamp(0.0, 255.0) as u8));
        Ok(())
    }
}

/// Where the endoscope's picture lies, by a bundle's rule.
pub fn crop(frame: &Frame, rule: FieldOfViewRule) -> Rect {
    match rule {
        FieldOfViewRule::Find => field_of_view::find(frame),
        FieldOfViewRule::WholeFrame => {
            Rect { x: 0, y: 0, width: frame.width_px(), height: frame.height_px() }
        }
    }
}

/// Scores one image after the other with one predictor.
pub struct Scorer<P> {
    predictor: P,
    rule: FieldOfViewRule,
    preprocessor: Preprocessor,
    shown: Detector,
    at_half: Detector,
    pixels: Vec<u8>,
    logits: Vec<u8>,
    mask: Vec<u8>,
}

impl<P: Predictor> Scorer<P> {
    pub fn new(predictor: P, decision: &Decision, rule: FieldOfViewRule) -> anyhow::Result<Self> {
        let (scale, zero_point) = predictor.output_quantisation();
        let bare = Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 };
        Ok(Scorer {
            preprocessor: Preprocessor::new(predictor.side()),
            pixels: vec![0; 3 * predictor.side() * predictor.side()],
            shown: Detector::new(decision, scale, zero_point)?,
            at_half: Detector::new(&bare, scale, zero_point)?,
            predictor,
            rule,
            logits: Vec::new(),
            mask: Vec::new(),
        })
    }

    /// The mask that the cart would show, `[height_px, width_px] u8`, 0 or 255, and the number of regions.
    pub fn mask(&mut self, frame: &Frame) -> anyhow::Result<(&[u8], usize)> {
        let mapping = self.look(frame)?;
        let (shape, size) = (self.predictor.output_shape(), (frame.width_px(), frame.height_px()));
        self.shown.mask(&self.logits, shape, &mapping, size, &mut self.mask)?;
        let regions = self.shown.detect(&self.logits, shape, &mapping)?.list.len();
        Ok((&self.mask, regions))
    }

    /// The regions that the cart would hand to its temporal gate.
    pub fn regions(&mut self, frame: &Frame) -> anyhow::Result<Regions> {
        let mapping = self.look(frame)?;
        self.shown.detect(&self.logits, self.predictor.output_shape(), &mapping)
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
        let mapping = Mapping::new(crop(frame, self.rule), self.predictor.side());
        let (shape, size) = (self.predictor.output_shape(), (frame.width_px(), frame.height_px()));
        self.at_half.mask(&self.logits, shape, &mapping, size, &mut self.mask)?;
        let frame_px = frame.width_px() * frame.height_px();
        Ok(FrameScore { frame_px, overlap, at_half: Overlap::of(truth, &self.mask), regions })
    }

    /// The probability of polyp at every pixel, `[height_px, width_px]`; 0 outside the field of view.
    pub fn probabilities(&mut self, frame: &Frame) -> anyhow::Result<Vec<f32>> {
        self.look(frame)?;
        let (scale, zero_point) = self.predictor.output_quantisation();
        let probability =
            |logit: &u8| 1.0 / (1.0 + (-scale * (f32::from(*logit) - f32::from(zero_point))).exp());
        let map: Vec<f32> = self.logits.iter().map(probability).collect();
        Ok(place(&map, self.predictor.output_shape()[0], frame, crop(frame, self.rule)))
    }

    /// Runs the network on a frame; its logits are kept.
    fn look(&mut self, frame: &Frame) -> anyhow::Result<Mapping> {
        let crop = crop(frame, self.rule);
        self.preprocessor.prepare(frame, crop, &mut self.pixels)?;
        self.predictor.predict(&self.pixels, &mut self.logits)?;
        Ok(Mapping::new(crop, self.predictor.side()))
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
pub fn score_list<P: Predictor>(
    label: &str,
    samples: &[Sample],
    threads: usize,
    make: impl Fn() -> anyhow::Result<P> + Sync,
    decision: &Decision,
    rule: FieldOfViewRule,
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
pub fn measure_list<P: Predictor>(
    label: &str,
    samples: &[Sample],
    threads: usize,
    make: impl Fn() -> anyhow::Result<P> + Sync,
    rule: FieldOfViewRule,
    maps: Option<&Path>,
) -> anyhow::Result<Measures> {
    let bar = progress_bar(label, samples.len());
    let bare = Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 };
    let measured = in_parallel(
        samples,
        threads,
        || Scorer::new(make()?, &bare, rule),
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
