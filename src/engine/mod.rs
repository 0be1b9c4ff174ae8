//! tract with our int8 ops: a bundle's ONNX file → a plan → quantised logits.
//!
//! | file | job |
//! |---|---|
//! | `proto` | refuses files whose sizes or names make no sense, before tract sees them |
//! | `import` | ONNX → tract's typed model, quantised nodes marked |
//! | `operands` | a marked node's constants and shapes, and the op that they make |
//! | `lower` | marked nodes → our ops, NHWC, constants packed |
//! | `ops` | our ops inside tract's plan |
//! | `kernels` | what the ops call; one table, chosen at load |
//! | `quantise` | onnxruntime's arithmetic, rounding for rounding |
//!
//! Guaranteed: the same bytes as onnxruntime 1.32 on x86-64 with VNNI, for every kernel set and number of threads. The one
//! exception: bilinear resizing by a factor whose weights are not 1024ths, where onnxruntime's result depends on what its
//! optimiser made of the graph; ours is that of its NHWC form.

mod import;
pub mod kernels;
mod lower;
mod operands;
mod ops;
mod proto;
pub mod quantise;
#[allow(dead_code)]
mod threads;

use std::sync::Once;
use std::time::{Duration, Instant};

use anyhow::Context;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;

use crate::bundle::Bundle;
use crate::fault::Fault;

/// How a model is loaded and run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Let tract run nodes that no int8 op handles, instead of refusing the model.
    pub allow_fallback: bool,
    /// The kernel set's name; the best that this machine has if `None`.
    pub kernels: Option<String>,
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { allow_fallback: false, kernels: None, threads: 1 }
    }
}

/// What became of one node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NodeInfo {
    pub name: String,
    pub op: String,
    pub types: String,
    /// Height, width, channels.
    pub shape: Vec<usize>,
    pub multiply_adds: u64,
    /// The kernel set; `tract` for a fallback.
    pub kernel: String,
}

/// A loaded model.
pub struct Engine {
    state: SimpleState<TypedFact, Box<dyn TypedOp>>,
    nodes: Vec<NodeInfo>,
    kernels: &'static str,
    input: [usize; 3],
    output: [usize; 3],
    output_quantisation: quantise::Quantisation,
}

impl Engine {
    /// Loads a bundle's model, and checks it against the manifest.
    pub fn load(bundle: &Bundle, options: &Options) -> anyhow::Result<Engine> {
        // Before the model is read: unknown kernels are not the file's fault.
        kernels::choose(options.kernels.as_deref())?;
        let manifest = &bundle.manifest;
        let bytes = bundle.read(&manifest.model)?;
        let named = |error| Fault::data(format!("{}: {error:#}", bundle.path(&manifest.model).display()));
        let engine = Engine::from_onnx(&bytes, options).map_err(named)?;
        let (scale, zero_point) = engine.output_quantisation();
        let nchw = |[height, width, channels]: [usize; 3]| [1, channels, height, width];
        let fits = nchw(engine.input) == manifest.input.shape
            && nchw(engine.output) == manifest.output.shape
            && (scale, zero_point) == (manifest.output.scale, manifest.output.zero_point);
        match fits {
            true => Ok(engine),
            false => Err(named(anyhow::anyhow!(
                "it makes {:?} of {:?} (scale {scale}, zero point {zero_point}), the manifest says otherwise",
                nchw(engine.output),
                nchw(engine.input)
            ))),
        }
    }

    /// Loads a model from an ONNX file's bytes.
    ///
    /// # Errors
    /// A [`Fault`] of damaged or unsupported data that names the node, or of an unknown kernel set.
    pub fn from_onnx(bytes: &[u8], options: &Options) -> anyhow::Result<Engine> {
        let kernels = kernels::choose(options.kernels.as_deref())?;
        let build = || -> anyhow::Result<Engine> {
            let typed = import::typed_model(bytes, options.allow_fallback)?;
            let lowered = lower::lower(&typed, kernels, options)?;
            let ours = lowered.nodes.iter().all(|node| node.kernel == kernels.name);
            let model = if ours { lowered.model } else { lowered.model.into_optimized()? };
            let state = SimpleState::new(&TypedSimplePlan::new(model)?)?;
            Ok(Engine {
                state,
                nodes: lowered.nodes,
                kernels: kernels.name,
                input: lowered.input,
                output: lowered.output,
                output_quantisation: lowered.output_quantisation,
            })
        };
        match catch_panics(build) {
            Some(built) => built.map_err(|error| Fault::data(one_line(&error))),
            None => Err(Fault::data("the importer cannot make sense of it")),
        }
    }

    /// Height, width, channels.
    pub fn input_shape(&self) -> [usize; 3] {
        self.input
    }
    pub fn output_shape(&self) -> [usize; 3] {
        self.output
    }
    /// Real logit = scale × (stored − zero point).
    pub fn output_quantisation(&self) -> (f32, u8) {
        (self.output_quantisation.scale, self.output_quantisation.zero_point)
    }
    /// In the order in which they run.
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }
    pub fn multiply_adds(&self) -> u64 {
        self.nodes.iter().map(|node| node.multiply_adds).sum()
    }
    /// The kernel set's name.
    pub fn kernels(&self) -> &'static str {
        self.kernels
    }

    /// Runs the model: `input` is `[H, W, C] u8` of [`Self::input_shape`], `logits` of [`Self::output_shape`].
    pub fn run(&mut self, input: &[u8], logits: &mut [u8]) -> anyhow::Result<()> {
        let input = self.tensor(input)?;
        let outputs = self.state.run(tvec!(input))?;
        copy_logits(&outputs, logits)
    }

    /// As [`Self::run`], and tells each node's time, in the order of [`Self::nodes`].
    pub fn run_timed(&mut self, input: &[u8], logits: &mut [u8]) -> anyhow::Result<Vec<(String, Duration)>> {
        let input = self.tensor(input)?;
        let mut times = vec![];
        let outputs = self.state.run_plan_with_eval(tvec!(input), |context, state, node, inputs| {
            let start = Instant::now();
            let outputs = tract_onnx::tract_core::plan::eval(context, state, node, inputs);
            times.push((node.name.clone(), start.elapsed()));
            outputs
        })?;
        copy_logits(&outputs, logits)?;
        Ok(times)
    }

    fn tensor(&self, input: &[u8]) -> anyhow::Result<TValue> {
        let [height, width, channels] = self.input;
        let expected = height * width * channels;
        if input.len() != expected {
            return Err(Fault::data(format!("an input of {} bytes instead of {expected}", input.len())));
        }
        Ok(Tensor::from_shape(&[1, height, width, channels], input)?.into_tvalue())
    }
}

fn copy_logits(outputs: &[TValue], logits: &mut [u8]) -> anyhow::Result<()> {
    let output = outputs.first().context("the plan gave nothing")?;
    let view = output.try_as_plain_ram()?;
    let values = view.as_slice::<u8>()?;
    if values.len() != logits.len() {
        return Err(Fault::data(format!("room for {} logits instead of {}", logits.len(), values.len())));
    }
    logits.copy_from_slice(values);
    Ok(())
}

/// An error's chain on one line of a sensible length.
fn one_line(error: &anyhow::Error) -> String {
    const LONGEST: usize = 300;
    let words: Vec<_> = format!("{error:#}").split_whitespace().map(str::to_owned).collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

thread_local! {
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs what may panic on hostile bytes; `None` if it did. Nothing is printed.
fn catch_panics<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
    QUIET.set(true);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    QUIET.set(false);
    outcome.ok()
}
