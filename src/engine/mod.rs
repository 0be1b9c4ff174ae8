//! tract with our int8 ops: a bundle's ONNX file → a plan → quantised logits.
//!
//! | file | job |
//! |---|---|
//! | [`Options`], [`NodeInfo`] | how a model is loaded and run, and what it says of itself |
//! | `memory` | asks for what loading takes before it is needed |
//! | `wire` | bounds what reading a file may take |
//! | `proto` | refuses files whose sizes or names are not possible, before tract sees them |
//! | `marked` | a quantised node as the file has it |
//! | `import` | ONNX → tract's typed model, quantised nodes marked |
//! | `operands` | a marked node's constants and shapes, and the op that they make |
//! | `lower` | marked nodes → our ops, NHWC, constants packed |
//! | `ops` | our ops inside tract's plan |
//! | `program` | the plan laid out in one arena: what runs a frame |
//! | `chain`, `arena`, `threads` | what it is made of |
//! | `kernels` | what the ops call; one table, chosen at load |
//! | `float` | the same network in float through tract's own ops, to be compared with |
//! | `quantise` | onnxruntime's arithmetic, rounding for rounding |
//!
//! Guaranteed: the same bytes as onnxruntime 1.32 on x86-64 with VNNI, for every kernel set and number of threads. The one
//! exception: bilinear resizing by a factor whose weights are not 1024ths, where onnxruntime's result depends on what its
//! optimiser made of the graph; ours is that of its NHWC form.

mod arena;
mod chain;
pub mod float;
mod import;
mod info;
pub mod kernels;
mod lower;
mod marked;
mod memory;
mod operands;
mod ops;
mod options;
mod program;
mod proto;
pub mod quantise;
#[expect(unsafe_code, reason = "threads share the arena that one of them owns")]
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a frame's arithmetic, not its time")]
mod threads;
mod wire;

use std::time::Duration;

use anyhow::Context;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;

use crate::bundle::Bundle;
use crate::fault::{Fault, exit_of};
use crate::panics;
use crate::runtime;
pub use info::{MemoryUse, NodeInfo, StepInfo};
pub use options::{Options, Tuning};
use program::Program;
use proto::one_line;
use threads::Pool;

/// Who runs a model.
enum Runner {
    Program(Program),
    /// Only if the model has nodes that no int8 op handles.
    Tract(SimpleState<TypedFact, Box<dyn TypedOp>>),
}

/// What a model runs on.
struct Machine {
    kernels: &'static kernels::Kernels,
    pool: Pool,
}

impl Machine {
    fn new(options: &Options) -> anyhow::Result<Machine> {
        let kernels = kernels::choose(options.kernels.as_deref())?;
        Ok(Machine { kernels, pool: Pool::new(options.threads, &options.cores)? })
    }
}

/// A loaded model.
pub struct Engine {
    runner: Runner,
    nodes: Vec<NodeInfo>,
    steps: Vec<StepInfo>,
    kernels: &'static str,
    input: [usize; 3],
    output: [usize; 3],
    output_quantisation: quantise::Quantisation,
    /// Of the thread that runs it.
    core: Option<usize>,
}

impl Engine {
    /// Loads a bundle's model, and checks it against the manifest.
    pub fn load(bundle: &Bundle, options: &Options) -> anyhow::Result<Engine> {
        // Before the model is read: unknown kernels are not the file's fault.
        let machine = Machine::new(options)?;
        let manifest = &bundle.manifest;
        let named = |error: anyhow::Error| {
            let message = format!("{}: {error:#}", bundle.path(&manifest.model).display());
            Fault::new(exit_of(&error), message)
        };
        let engine = Engine::on(machine, bundle.model(), options).map_err(named)?;
        let (scale, zero_point) = engine.output_quantisation();
        let nchw = |[height, width, channels]: [usize; 3]| [1, channels, height, width];
        let fits = nchw(engine.input) == manifest.input.shape
            && nchw(engine.output) == manifest.output.shape
            && (scale, zero_point) == (manifest.output.scale, manifest.output.zero_point);
        if fits {
            Ok(engine)
        } else {
            Err(named(Fault::data(format!(
                "it makes {:?} of {:?} with scale {scale} and zero point {zero_point}, but the manifest says {:?} of {:?} \
             with scale {} and zero point {}; write the bundle again with polyp-host export",
                nchw(engine.output),
                nchw(engine.input),
                manifest.output.shape,
                manifest.input.shape,
                manifest.output.scale,
                manifest.output.zero_point
            ))))
        }
    }

    /// Loads a model from an ONNX file's bytes.
    ///
    /// # Errors
    /// A [`Fault`]: exit 65 for damaged or unsupported data, with the node's name; 74 where memory does not suffice; 2
    /// for unknown kernels.
    pub fn from_onnx(bytes: &[u8], options: &Options) -> anyhow::Result<Engine> {
        Engine::on(Machine::new(options)?, bytes, options)
    }

    fn on(machine: Machine, bytes: &[u8], options: &Options) -> anyhow::Result<Engine> {
        let Machine { kernels, pool } = machine;
        let build = || -> anyhow::Result<Engine> {
            let typed = import::typed_model(bytes, options.allow_fallback)?;
            let lowered = lower::lower(&typed, kernels, options)?;
            let ours = lowered.nodes.iter().all(|node| node.kernel == kernels.name);
            let (runner, steps) = if ours {
                let program = Program::new(&lowered.model, pool, options.tuning)?;
                let steps = program.steps().map(|(names, op)| StepInfo {
                    nodes: names.to_vec(),
                    op: op.describe(),
                    multiply_adds: op.multiply_adds(),
                });
                let steps = steps.collect();
                (Runner::Program(program), steps)
            } else {
                let plan = TypedSimplePlan::new(lowered.model.into_optimized()?)?;
                let steps = plan.order_without_consts().iter().map(|&id| {
                    let node = plan.model().node(id);
                    let known = lowered.nodes.iter().find(|known| known.name == node.name);
                    StepInfo {
                        nodes: vec![node.name.clone()],
                        op: known.map_or_else(|| node.op.name().into_owned(), |known| known.op.clone()),
                        multiply_adds: known.map_or(0, |known| known.multiply_adds),
                    }
                });
                let steps = steps.collect();
                (Runner::Tract(SimpleState::new(&plan)?), steps)
            };
            Ok(Engine {
                runner,
                steps,
                nodes: lowered.nodes,
                kernels: kernels.name,
                input: lowered.input,
                output: lowered.output,
                output_quantisation: lowered.output_quantisation,
                core: options.cores.first().copied(),
            })
        };
        memory::check(bytes.len())?;
        finished(panics::caught(build))
    }

    /// Keeps the calling thread, which is going to run the model, to the first of the options' cores, if there is one.
    pub fn enter_thread(&mut self) {
        self.core.into_iter().for_each(threads::pin);
    }

    /// Height, width, channels.
    pub fn input_shape(&self) -> [usize; 3] {
        self.input
    }
    /// Height, width, channels.
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
    /// For one frame; nodes that tract runs count as 0.
    pub fn multiply_adds(&self) -> u64 {
        self.nodes.iter().map(|node| node.multiply_adds).sum()
    }
    /// The kernel set's name.
    pub fn kernels(&self) -> &'static str {
        self.kernels
    }

    /// What runs at once, in the order in which it runs.
    pub fn steps(&self) -> &[StepInfo] {
        &self.steps
    }
    /// Nothing if tract runs the model.
    pub fn memory(&mut self) -> Option<MemoryUse> {
        match &mut self.runner {
            Runner::Program(program) => {
                let [arena, scratch] = program.memory();
                Some(MemoryUse { arena, scratch })
            }
            Runner::Tract(_) => None,
        }
    }

    /// Runs the model: `input` is `[H, W, C] u8` of [`Self::input_shape`], `logits` of [`Self::output_shape`]. Allocates
    /// nothing, unless tract runs the model.
    pub fn run(&mut self, input: &[u8], logits: &mut [u8]) -> anyhow::Result<()> {
        self.check(input, logits)?;
        match &mut self.runner {
            Runner::Program(program) => {
                program.run(input, logits);
                Ok(())
            }
            Runner::Tract(state) => copy_logits(&state.run(tvec!(tensor(self.input, input)?))?, logits),
        }
    }

    /// As [`Self::run`], and tells each step's time, in the order of [`Self::steps`].
    pub fn run_timed(&mut self, input: &[u8], logits: &mut [u8]) -> anyhow::Result<Vec<Duration>> {
        self.check(input, logits)?;
        let mut times = vec![];
        match &mut self.runner {
            Runner::Program(program) => program.run_timed(input, logits, |time| times.push(time)),
            Runner::Tract(state) => {
                let input = tensor(self.input, input)?;
                let outputs = state.run_plan_with_eval(tvec!(input), |context, state, node, inputs| {
                    let start = runtime::now();
                    let outputs = tract_onnx::tract_core::plan::eval(context, state, node, inputs);
                    times.push(runtime::since(start));
                    outputs
                })?;
                copy_logits(&outputs, logits)?;
            }
        }
        Ok(times)
    }

    fn check(&self, input: &[u8], logits: &[u8]) -> anyhow::Result<()> {
        let sizes = [self.input, self.output].map(|shape| shape.iter().product::<usize>());
        if input.len() != sizes[0] {
            return Err(Fault::data(format!("an input of {} bytes instead of {}", input.len(), sizes[0])));
        }
        if logits.len() == sizes[1] {
            Ok(())
        } else {
            Err(Fault::data(format!("room for {} logits instead of {}", logits.len(), sizes[1])))
        }
    }
}

fn tensor([height, width, channels]: [usize; 3], input: &[u8]) -> anyhow::Result<TValue> {
    Ok(Tensor::from_shape(&[1, height, width, channels], input)?.into_tvalue())
}

fn copy_logits(outputs: &[TValue], logits: &mut [u8]) -> anyhow::Result<()> {
    let output = outputs.first().context("the plan gave nothing")?;
    let view = output.try_as_plain_ram()?;
    let values = view.as_slice::<u8>()?;
    anyhow::ensure!(values.len() == logits.len(), "the plan gave {} values", values.len());
    logits.copy_from_slice(values);
    Ok(())
}

/// What a file's building came to; `None` if it panicked.
fn finished<T>(built: Option<anyhow::Result<T>>) -> anyhow::Result<T> {
    match built {
        Some(Err(error)) if memory::is_short(&error) => Err(memory::short()),
        Some(built) => built.map_err(|error| Fault::data(one_line(&error))),
        None => Err(Fault::data("the ONNX importer failed on it; write it again with polyp-host export")),
    }
}
