//! Crop → input → network → regions and mask, with the decision rules.

use anyhow::{Result, ensure};

use super::{Golden, Input, Network};
use crate::bundle::manifest::{Decision, Gate, Manifest, OperatingPoint};
use crate::detect::{Detector, Regions};
use crate::fault::Fault;
use crate::field_of_view::{Locator, Rule, Sequence};
use crate::frame::Frame;
use crate::geometry::{Mapping, Rect};
use crate::latency::{Latencies, Stage};
use crate::runtime;

/// Segments one frame after another. Keeps its buffers: nothing is allocated once frames of one size flow.
pub struct Segmenter<N> {
    network: N,
    input: Input,
    detector: Detector,
    logits: Vec<u8>,
    output_shape: [usize; 3],
    /// Of the frame that was seen last.
    mapping: Mapping,
    size: (usize, usize),
    /// The rules that golden frames were made by.
    golden_crop: Locator,
    golden_detector: Detector,
    golden: Box<dyn Golden>,
    mask: Vec<u8>,
    gate: Gate,
}

impl<N: Network> Segmenter<N> {
    /// With the decision rules, the field of view and the temporal gate of a bundle.
    ///
    /// # Errors
    /// See [`Segmenter::with`].
    pub fn new(network: N, manifest: &Manifest, sequence: Sequence) -> Result<Segmenter<N>> {
        let segmenter = Segmenter::with(network, &manifest.decision, manifest.field_of_view, sequence)?;
        Ok(Segmenter { gate: manifest.gate, ..segmenter })
    }

    /// With decision rules and a field of view of the caller's; every region is to be shown at once.
    ///
    /// # Errors
    /// If the network's input is not square RGB, its output not a single plane, or a rule out of range.
    pub fn with(network: N, decision: &Decision, rule: Rule, sequence: Sequence) -> Result<Segmenter<N>> {
        let [height, width, channels] = network.input_shape();
        ensure!(
            height == width && channels == 3,
            "the model's input is {height}×{width}×{channels}, not S×S×3"
        );
        let output_shape = network.output_shape();
        let (scale, zero_point) = network.output_quantisation();
        Ok(Segmenter {
            input: Input::new(height, Locator::new(rule, sequence)),
            detector: Detector::new(decision, scale, zero_point)?,
            logits: vec![0; output_shape.iter().product()],
            output_shape,
            mapping: Mapping::new(Rect::whole(1, 1), height),
            size: (1, 1),
            golden_crop: Locator::new(rule, Sequence::Stills),
            golden_detector: Detector::new(decision, scale, zero_point)?,
            golden: Box::new(Vec::new()),
            mask: Vec::new(),
            gate: Gate { appear: 1, window: 1 },
            network,
        })
    }

    /// The same with another network in its place, of the same shapes.
    pub fn over<M: Network>(self, exchange: impl FnOnce(N) -> M) -> Segmenter<M> {
        let Segmenter { network, input, detector, logits, output_shape, mapping, size, .. } = self;
        let Segmenter { golden_crop, golden_detector, golden, mask, gate, .. } = self;
        Segmenter {
            network: exchange(network),
            input,
            detector,
            logits,
            output_shape,
            mapping,
            size,
            golden_crop,
            golden_detector,
            golden,
            mask,
            gate,
        }
    }

    /// With a field of view of the cart's own; golden frames keep to the bundle's rule.
    pub fn with_field_of_view(self, rule: Rule, sequence: Sequence) -> Segmenter<N> {
        let input = Input::new(self.input.side(), Locator::new(rule, sequence));
        Segmenter { input, ..self }
    }

    /// At another point of the operating curve; golden frames keep to the bundle's standard one.
    ///
    /// # Errors
    /// If a rule is out of range.
    pub fn at(self, point: &OperatingPoint) -> Result<Segmenter<N>> {
        let (scale, zero_point) = self.network.output_quantisation();
        let detector = Detector::new(&point.decision, scale, zero_point)?;
        Ok(Segmenter { detector, gate: point.gate, ..self })
    }

    /// With frames whose masks are known, for [`Segmenter::check`].
    pub fn with_golden(self, golden: impl Golden + 'static) -> Segmenter<N> {
        Segmenter { golden: Box::new(golden), ..self }
    }

    /// How often a region must be seen before it is shown, as the bundle says.
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// How many frames there are for [`Segmenter::check`].
    pub fn golden_frames(&self) -> usize {
        self.golden.count()
    }

    /// Called in the thread that is going to segment frames.
    pub fn enter_thread(&mut self) {
        self.network.enter_thread();
    }

    /// The next frame is of another video.
    pub fn forget(&mut self) {
        self.input.forget();
    }

    /// Finds a frame's regions, and records how long the stages took.
    pub fn regions(&mut self, frame: &Frame, latencies: &Latencies, regions: &mut Regions) -> Result<()> {
        let start = runtime::now();
        let mapping = self.input.prepare(frame)?;
        let prepared = runtime::now();
        self.run(frame, mapping)?;
        let inferred = runtime::now();
        self.detector.detect_into(&self.logits, self.output_shape, &self.mapping, regions)?;
        latencies.record(Stage::Prepare, prepared - start);
        latencies.record(Stage::Inference, inferred - prepared);
        latencies.record(Stage::Detect, runtime::since(inferred));
        Ok(())
    }

    /// Runs the network on a frame: what is asked for afterwards is this frame's.
    pub fn look(&mut self, frame: &Frame) -> Result<()> {
        let mapping = self.input.prepare(frame)?;
        self.run(frame, mapping)
    }

    /// As [`Segmenter::look`] at `[S, S, 3] u8` pixels that are the network's input already; they count as the frame.
    pub fn look_at(&mut self, pixels: &[u8]) -> Result<()> {
        let side = self.side();
        self.network.run(pixels, &mut self.logits)?;
        (self.mapping, self.size) = (Mapping::new(Rect::whole(side, side), side), (side, side));
        Ok(())
    }

    /// Pixels along each side of what the network sees.
    pub fn side(&self) -> usize {
        self.input.side()
    }

    fn run(&mut self, frame: &Frame, mapping: Mapping) -> Result<()> {
        self.network.run(self.input.pixels(), &mut self.logits)?;
        (self.mapping, self.size) = (mapping, (frame.width_px(), frame.height_px()));
        Ok(())
    }

    /// The last frame's regions.
    pub fn regions_into(&mut self, regions: &mut Regions) -> Result<()> {
        self.detector.detect_into(&self.logits, self.output_shape, &self.mapping, regions)
    }

    /// The last frame's mask, `[height, width] u8`, 0 or 255.
    pub fn mask_into(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.detector.mask(&self.logits, self.output_shape, &self.mapping, self.size, out)
    }

    /// As [`Segmenter::mask_into`], by other decision rules.
    pub fn mask_by(&self, detector: &mut Detector, out: &mut Vec<u8>) -> Result<()> {
        detector.mask(&self.logits, self.output_shape, &self.mapping, self.size, out)
    }

    /// The last frame's logits as the network gave them, of [`Network::output_shape`].
    pub fn logits(&self) -> &[u8] {
        &self.logits
    }

    /// The network that frames are run through.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// Where the last frame's picture was found, and how it maps to the network's square.
    pub fn mapping(&self) -> Mapping {
        self.mapping
    }

    /// That a golden frame's mask comes out as it must, to the pixel. A video's field of view is not disturbed.
    ///
    /// # Errors
    /// Exit 65 if it does not: the model, the kernels or the memory are not what they were.
    pub fn check(&mut self, index: usize) -> Result<()> {
        let Some(golden) = self.golden.frame(index).transpose()? else { return Ok(()) };
        let crop = self.golden_crop.locate(&golden.frame);
        let mapping = self.input.prepare_crop(&golden.frame, crop)?;
        self.run(&golden.frame, mapping)?;
        let detector = &mut self.golden_detector;
        detector.mask(&self.logits, self.output_shape, &self.mapping, self.size, &mut self.mask)?;
        let wrong = self.mask.iter().zip(&golden.mask).filter(|(mine, theirs)| mine != theirs).count();
        if wrong == 0 && self.mask.len() == golden.mask.len() {
            Ok(())
        } else {
            Err(Fault::data(format!(
                "the self-test failed: {wrong} of {} pixels of {} differ from the bundle's mask",
                golden.mask.len(),
                golden.name
            )))
        }
    }
}
