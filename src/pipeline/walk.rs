//! One frame's way from pixels to regions, without threads: what `replay`, `run` and evaluation share.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::bundle::manifest::{FieldOfViewRule, Gate, Manifest};
use crate::bundle::{GoldenFrame, GoldenFrames};
use crate::detect::{Detector, Regions};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::field_of_view::{Finder, Mapping, Steady};
use crate::frame::{Frame, Rect};
use crate::latency::{Latencies, Stage};
use crate::preprocess::Preprocessor;

/// A network: `[S, S, 3] u8` in, quantised logits out.
pub trait Segmenter {
    /// Height, width, channels.
    fn input_shape(&self) -> [usize; 3];
    fn output_shape(&self) -> [usize; 3];
    /// Real logit = scale × (stored − zero point).
    fn output_quantisation(&self) -> (f32, u8);
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()>;
    /// Called in the thread that is going to run it, before it does.
    fn enter_thread(&mut self) {}
}

impl Segmenter for Engine {
    fn input_shape(&self) -> [usize; 3] {
        Engine::input_shape(self)
    }
    fn output_shape(&self) -> [usize; 3] {
        Engine::output_shape(self)
    }
    fn output_quantisation(&self) -> (f32, u8) {
        Engine::output_quantisation(self)
    }
    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        Engine::run(self, input, logits)
    }
    fn enter_thread(&mut self) {
        Engine::enter_thread(self);
    }
}

/// Frames whose masks are known, one at a time.
pub trait Golden: Send {
    fn count(&self) -> usize;
    /// `None` if there is no such frame.
    fn frame(&self, index: usize) -> Option<Result<GoldenFrame>>;
}

/// Decoded anew each time: only their files are kept.
impl Golden for GoldenFrames {
    fn count(&self) -> usize {
        self.len()
    }
    fn frame(&self, index: usize) -> Option<Result<GoldenFrame>> {
        self.get(index)
    }
}

impl Golden for Vec<GoldenFrame> {
    fn count(&self) -> usize {
        self.len()
    }
    fn frame(&self, index: usize) -> Option<Result<GoldenFrame>> {
        self.get(index).cloned().map(Ok)
    }
}

/// How the field of view is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// Each frame for itself: a result depends on its frame alone.
    EachFrame,
    /// Steady over a video.
    Video,
}

/// Where the field of view is, if not where the bundle's rule has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placed {
    By(FieldOfViewRule),
    /// Here, as far as the frame goes; the whole frame where that leaves nothing.
    At(Rect),
}

/// Field of view → input → network → regions, with the buffers that they need.
pub struct Walk<S> {
    segmenter: S,
    rule: FieldOfViewRule,
    placed: Placed,
    following: Following,
    finder: Finder,
    steady: Steady,
    preprocessor: Preprocessor,
    detector: Detector,
    input: Vec<u8>,
    logits: Vec<u8>,
    shape: [usize; 3],
    mapping: Mapping,
    golden: Box<dyn Golden>,
    gate: Gate,
    mask: Vec<u8>,
}

impl<S: Segmenter> Walk<S> {
    /// An error if the network's input is not square RGB or its output not a single plane.
    pub fn new(segmenter: S, manifest: &Manifest, following: Following) -> Result<Walk<S>> {
        let [height, width, channels] = segmenter.input_shape();
        ensure!(
            height == width && channels == 3,
            "the model's input is {height}×{width}×{channels}, not S×S×3"
        );
        let shape = segmenter.output_shape();
        let (scale, zero_point) = segmenter.output_quantisation();
        Ok(Walk {
            rule: manifest.field_of_view,
            placed: Placed::By(manifest.field_of_view),
            following,
            finder: Finder::default(),
            steady: Steady::new(),
            preprocessor: Preprocessor::new(height),
            detector: Detector::new(&manifest.decision, scale, zero_point)?,
            input: vec![0; 3 * height * width],
            logits: vec![0; shape.iter().product()],
            shape,
            mapping: Mapping::new(Rect { x: 0, y: 0, width: 1, height: 1 }, height),
            segmenter,
            golden: Box::new(Vec::new()),
            gate: manifest.gate,
            mask: Vec::new(),
        })
    }

    /// With a field of view of one's own; golden frames keep to the bundle's rule.
    pub fn with_field_of_view(self, placed: Placed) -> Walk<S> {
        Walk { placed, ..self }
    }

    /// With frames whose masks are known, for [`Self::check`].
    pub fn with_golden(self, golden: impl Golden + 'static) -> Walk<S> {
        Walk { golden: Box::new(golden), ..self }
    }

    /// How often a region must be seen before it is shown, as the bundle says.
    pub fn gate(&self) -> Gate {
        self.gate
    }

    pub fn golden_frames(&self) -> usize {
        self.golden.count()
    }

    /// That a golden frame's mask comes out as it must, to the pixel. A video's field of view is not disturbed.
    ///
    /// # Errors
    /// Exit 65 if it does not: the model, the kernels or the memory are not what they were.
    pub fn check(&mut self, index: usize) -> Result<()> {
        let Some(golden) = self.golden.frame(index).transpose()? else { return Ok(()) };
        let (frame, side) = (&golden.frame, self.preprocessor.side());
        let crop = match self.rule {
            FieldOfViewRule::WholeFrame => {
                Rect { x: 0, y: 0, width: frame.width_px(), height: frame.height_px() }
            }
            FieldOfViewRule::Find => self.finder.find(frame),
        };
        self.preprocessor.prepare(frame, crop, &mut self.input)?;
        self.segmenter.run(&self.input, &mut self.logits)?;
        let size = (frame.width_px(), frame.height_px());
        let mapping = Mapping::new(crop, side);
        self.detector.mask(&self.logits, self.shape, &mapping, size, &mut self.mask)?;
        let wrong = self.mask.iter().zip(&golden.mask).filter(|(mine, theirs)| mine != theirs).count();
        match wrong == 0 && self.mask.len() == golden.mask.len() {
            true => Ok(()),
            false => Err(Fault::data(format!(
                "the self-test failed: {wrong} of {} pixels of {} are not as the bundle says",
                golden.mask.len(),
                golden.name
            ))),
        }
    }

    /// Called in the thread that is going to look at frames.
    pub fn enter_thread(&mut self) {
        self.segmenter.enter_thread();
    }

    /// Forgets where the field of view of a video was: what comes next is another one.
    pub fn forget(&mut self) {
        self.steady.forget();
    }

    /// Finds a frame's regions.
    pub fn regions(&mut self, frame: &Frame, latencies: &mut Latencies, regions: &mut Regions) -> Result<()> {
        let start = Instant::now();
        let whole = Rect { x: 0, y: 0, width: frame.width_px(), height: frame.height_px() };
        let crop = match (self.placed, self.following) {
            (Placed::At(rect), _) => within(rect, whole),
            (Placed::By(FieldOfViewRule::WholeFrame), _) => whole,
            (Placed::By(FieldOfViewRule::Find), Following::EachFrame) => self.finder.find(frame),
            (Placed::By(FieldOfViewRule::Find), Following::Video) => self.steady.update(frame),
        };
        self.mapping = Mapping::new(crop, self.preprocessor.side());
        self.preprocessor.prepare(frame, crop, &mut self.input)?;
        let prepared = Instant::now();
        self.segmenter.run(&self.input, &mut self.logits)?;
        let inferred = Instant::now();
        self.detector.detect_into(&self.logits, self.shape, &self.mapping, regions)?;
        latencies.record(Stage::Prepare, prepared - start);
        latencies.record(Stage::Inference, inferred - prepared);
        latencies.record(Stage::Detect, inferred.elapsed());
        Ok(())
    }

    /// The mask of the frame that [`Self::regions`] took last, `[height, width] u8`, 0 or 255.
    pub fn mask(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<()> {
        let size = (frame.width_px(), frame.height_px());
        self.detector.mask(&self.logits, self.shape, &self.mapping, size, out)
    }

    /// Where the last frame's picture was found, and how it maps to the model's square.
    pub fn mapping(&self) -> Mapping {
        self.mapping
    }
}

/// The part of a rectangle that lies in the frame; the whole frame if none does.
fn within(rect: Rect, whole: Rect) -> Rect {
    let width = rect.width.min(whole.width.saturating_sub(rect.x));
    let height = rect.height.min(whole.height.saturating_sub(rect.y));
    if width == 0 || height == 0 { whole } else { Rect { width, height, ..rect } }
}
