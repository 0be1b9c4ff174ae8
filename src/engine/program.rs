//! What runs a model made of our ops alone: tract's plan, laid out once in one arena, so that a frame allocates nothing.
//!
//! A concatenation's parts are written in place; ops whose results are large and used once are chained; a tensor's memory is
//! used again after its last use.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::arena::{self, Lifetime};
use super::chain::{Chain, From, Link, MOST_INPUTS, MOST_LINKS};
use super::kernels::Rows;
use super::ops::{Compute, Int8, Lookup, Shape};
use super::options::Tuning;
use super::threads::Pool;
use crate::runtime;

/// Rows up to which an op's weights weigh more than its tensors.
const LOW: usize = 16;
/// What writing a byte weighs in multiply-adds.
const WORK_A_BYTE: u64 = 4;

/// One op, or several that were chained, ready to run.
#[derive(Debug)]
struct Step {
    op: Arc<dyn Compute>,
    /// Names of the nodes that it computes.
    names: Vec<String>,
    inputs: Vec<Input>,
    output: Output,
    threads: usize,
    /// Rows of a part.
    part: usize,
}

#[derive(Clone, Copy, Debug)]
enum Input {
    /// What the caller gives; bytes of a row.
    Caller {
        row: usize,
    },
    Arena {
        start: usize,
        length: usize,
        row: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Output {
    /// The first channel of the first pixel, and the end of the last channel of the last one.
    start: usize,
    end: usize,
    /// Bytes from pixel to pixel, and from row to row.
    stride: usize,
    row: usize,
    rows: usize,
}

/// A model that runs in one arena.
#[derive(Debug)]
pub struct Program {
    steps: Vec<Step>,
    arena: Vec<u8>,
    /// Where the result lies; the caller's input if nothing is computed.
    result: Option<Range<usize>>,
    pool: Pool,
}

impl Program {
    /// From a model all of whose nodes are [`Int8`].
    pub fn new(model: &TypedModel, pool: Pool, tuning: Tuning) -> Result<Program> {
        let mut plan = Plan::new(model)?;
        plan.chain(tuning.chained_bytes);
        plan.lay_out(pool, tuning.work_a_part)
    }

    /// Bytes of the arena, and of what all threads work in.
    pub fn memory(&mut self) -> [usize; 2] {
        [self.arena.len(), self.pool.scratch_bytes()]
    }

    /// The names and descriptions of what runs, in order.
    pub fn steps(&self) -> impl Iterator<Item = (&[String], &dyn Compute)> {
        self.steps.iter().map(|step| (step.names.as_slice(), &*step.op))
    }

    /// Both have the model's sizes.
    pub fn run(&mut self, input: &[u8], output: &mut [u8]) {
        for step in &self.steps {
            step.run(input, &mut self.arena, &self.pool);
        }
        self.copy(input, output);
    }

    /// As [`Self::run`], and tells each step's time.
    pub fn run_timed(&mut self, input: &[u8], output: &mut [u8], mut tell: impl FnMut(Duration)) {
        for step in &self.steps {
            let start = runtime::now();
            step.run(input, &mut self.arena, &self.pool);
            tell(runtime::since(start));
        }
        self.copy(input, output);
    }

    fn copy(&self, input: &[u8], output: &mut [u8]) {
        output.copy_from_slice(self.result.clone().map_or(input, |range| &self.arena[range]));
    }
}

impl Step {
    fn run(&self, input: &[u8], arena: &mut [u8], pool: &Pool) {
        let Output { start, end, stride, row, rows } = self.output;
        let (before, rest) = arena.split_at_mut(start);
        let (output, after) = rest.split_at_mut(end - start);
        let mut given = [Rows::whole(&[], 0); MOST_INPUTS];
        for (given, place) in given.iter_mut().zip(&self.inputs) {
            *given = match *place {
                Input::Caller { row } => Rows::whole(input, row),
                Input::Arena { start, length, row } if start < before.len() => {
                    Rows::whole(&before[start..start + length], row)
                }
                Input::Arena { start, length, row } => Rows::whole(&after[start - end..][..length], row),
            };
        }
        let given = &given[..self.inputs.len()];
        pool.split_rows(self.threads, rows, self.part, row, output, |rows, output, scratch| {
            self.op.run(given, rows, output, stride, scratch);
        });
    }
}

/// A tensor of the model.
type Value = usize;

/// What becomes a step.
struct Planned {
    op: Arc<dyn Compute>,
    names: Vec<String>,
    inputs: Vec<Value>,
    output: Value,
    /// The tensor that it is written into, and the channel: a concatenation's, else its own.
    target: (Value, usize),
}

struct Plan {
    planned: Vec<Planned>,
    shapes: Vec<Shape>,
    input: Value,
    result: Value,
}

impl Plan {
    /// The nodes in tract's order. A concatenation becomes copies of those parts that cannot be written in place.
    fn new(model: &TypedModel) -> Result<Plan> {
        let &[input] = model.input_outlets()? else { bail!("there is not one input") };
        let &[result] = model.output_outlets()? else { bail!("there is not one output") };
        let mut plan = Plan { planned: vec![], shapes: vec![], input: 0, result: 0 };
        let mut values: HashMap<OutletId, Value> = HashMap::new();
        let mut copies = vec![];
        for id in model.eval_order()? {
            let (node, outlet) = (model.node(id), OutletId::new(id, 0));
            let value = plan.shapes.len();
            values.insert(outlet, value);
            if node.op_is::<TypedSource>() {
                match model.outlet_fact(outlet)?.shape.as_concrete() {
                    Some(&[_, height, width, channels]) => plan.shapes.push([height, width, channels]),
                    shape => bail!("the input is {shape:?}"),
                }
                continue;
            }
            let Int8(op) = node.op_as::<Int8>().with_context(|| format!("{} is not ours", node.name))?;
            plan.shapes.push(op.output_shape());
            let inputs = node.inputs.iter().map(|outlet| values.get(outlet).copied());
            let inputs: Vec<Value> = inputs.collect::<Option<_>>().context("an input is missing")?;
            if op.as_concatenation().is_some() {
                copies.push((plan.planned.len(), value, inputs, op.clone(), node.name.clone()));
                continue;
            }
            ensure!(inputs.len() <= MOST_INPUTS, "{} inputs are too many", inputs.len());
            let (names, target) = (vec![node.name.clone()], (value, 0));
            plan.planned.push(Planned { op: op.clone(), names, inputs, output: value, target });
        }
        plan.input = *values.get(&input).context("the input is missing")?;
        plan.result = *values.get(&result).context("the output is missing")?;
        let by_ops = plan.planned.iter().flat_map(|planned| &planned.inputs);
        let by_copies = copies.iter().flat_map(|(_, _, inputs, _, _)| inputs);
        let used = uses(plan.shapes.len(), by_ops.chain(by_copies).chain([&plan.result]));
        // From the last, so that places in the order stay what they were.
        for (place, value, inputs, op, name) in copies.into_iter().rev() {
            let Some(concatenation) = op.as_concatenation() else { continue };
            let mut channel = 0;
            let mut steps = vec![];
            for (&part, (shape, table)) in inputs.iter().zip(concatenation.parts()) {
                let maker = plan.planned.iter_mut().find(|planned| planned.output == part);
                match maker {
                    Some(maker) if table.is_none() && used[part] == 1 && maker.target == (part, 0) => {
                        maker.target = (value, channel);
                    }
                    _ => {
                        let kernels = concatenation.kernels();
                        let what = if table.is_some() { "rescale" } else { "copy" };
                        let op = Arc::new(Lookup { shape: *shape, what, table: table.clone(), kernels });
                        // Its output is nothing that another op could name.
                        let output = plan.shapes.len();
                        plan.shapes.push(*shape);
                        let (names, target) = (vec![name.clone()], (value, channel));
                        steps.push(Planned { op, names, inputs: vec![part], output, target });
                    }
                }
                channel += shape[2];
            }
            plan.planned.splice(place..place, steps);
        }
        Ok(plan)
    }

    /// Makes one op of ops whose results are large and used once.
    fn chain(&mut self, chained_bytes: usize) {
        let by_ops = self.planned.iter().flat_map(|planned| &planned.inputs);
        let used = uses(self.shapes.len(), by_ops.chain([&self.result]));
        // Whatever is written into a concatenation is used by what uses that.
        let mut links: Vec<Vec<Planned>> = vec![];
        for planned in std::mem::take(&mut self.planned) {
            // One row may be one value a channel, which is seen whole.
            let large = |value: Value| {
                let shape = self.shapes[value];
                shape[0] > 1 && shape.iter().product::<usize>() >= chained_bytes
            };
            let before = planned.inputs.iter().find_map(|&input| {
                let place = links.iter().position(|chain| {
                    chain.len() < MOST_LINKS
                        && outside(chain) + planned.inputs.len() - 1 <= MOST_INPUTS
                        && chain.last().is_some_and(|last| last.output == input && last.target == (input, 0))
                })?;
                (used[input] == 1 && large(input) && reads_in_order(&*planned.op)).then_some(place)
            });
            match before {
                // All that the chain reads is still there: it runs where its last op ran.
                Some(place) => {
                    let mut chain = links.remove(place);
                    chain.push(planned);
                    links.push(chain);
                }
                None => links.push(vec![planned]),
            }
        }
        self.planned = links.into_iter().filter_map(join).collect();
    }

    /// Gives every tensor its place.
    fn lay_out(self, mut pool: Pool, work_a_part: u64) -> Result<Program> {
        let bytes = |value: Value| self.shapes[value].iter().product::<usize>();
        // From the first step that writes a tensor to the last one that reads it.
        let mut lifetimes: HashMap<Value, Lifetime> = HashMap::new();
        for (step, planned) in self.planned.iter().enumerate() {
            let target = planned.target.0;
            let fresh = Lifetime { bytes: bytes(target), first: step, last: step };
            lifetimes.entry(target).or_insert(fresh).last = step;
            for &input in planned.inputs.iter().filter(|&&input| input != self.input) {
                lifetimes.get_mut(&input).context("a tensor is read before it is written")?.last = step;
            }
        }
        if let Some(lifetime) = lifetimes.get_mut(&self.result) {
            lifetime.last = self.planned.len();
        }
        let mut values: Vec<Value> = lifetimes.keys().copied().collect();
        values.sort_unstable();
        let ordered: Vec<Lifetime> = values.iter().map(|value| lifetimes[value]).collect();
        let (places, total) = arena::plan(&ordered);
        let places: HashMap<Value, usize> = values.into_iter().zip(places).collect();
        let result = places.get(&self.result).map(|&start| start..start + bytes(self.result));
        ensure!(result.is_some() || self.result == self.input, "nothing writes the output");
        let threads = pool.threads();
        let mut steps = vec![];
        for planned in self.planned {
            let [height, width, channels] = planned.op.output_shape();
            let (target, channel) = planned.target;
            let stride = self.shapes[target][2];
            let base = places[&target];
            let inputs = planned.inputs.iter().map(|&input| {
                let row = self.shapes[input][1] * self.shapes[input][2];
                match places.get(&input) {
                    Some(&start) => Input::Arena { start, length: self.shapes[input].iter().product(), row },
                    None => Input::Caller { row },
                }
            });
            pool.reserve(|scratch| planned.op.reserve(scratch));
            let work = planned.op.multiply_adds() + WORK_A_BYTE * (height * width * channels) as u64;
            let parts =
                usize::try_from(work / work_a_part.max(1)).unwrap_or(usize::MAX).clamp(1, height.max(1));
            // More parts than threads let a thread that is held up do less; but a chain begins anew with each part, and a
            // low tensor's ops read all their weights for each.
            let most = if planned.names.len() > 1 || height <= LOW { threads } else { 2 * threads };
            let part = height.div_ceil(parts.min(most)).max(1);
            steps.push(Step {
                inputs: inputs.collect(),
                output: Output {
                    start: base + channel,
                    end: base + (height * width).saturating_sub(1) * stride + channel + channels,
                    stride,
                    row: width * stride,
                    rows: height,
                },
                threads: threads.min(parts),
                part: if part > 4 { part.next_multiple_of(4) } else { part },
                op: planned.op,
                names: planned.names,
            });
        }
        Ok(Program { steps, arena: vec![0; total], result, pool })
    }
}

/// How often each of `count` tensors is among `values`.
fn uses<'a>(count: usize, values: impl Iterator<Item = &'a Value>) -> Vec<usize> {
    let mut uses = vec![0; count];
    values.for_each(|&value| uses[value] += 1);
    uses
}

/// Inputs of a chain: each op after the first has one from the op before it.
fn outside(chain: &[Planned]) -> usize {
    let inputs: usize = chain.iter().map(|planned| planned.inputs.len()).sum();
    inputs + 1 - chain.len()
}

/// Whether an op can be computed a few rows at a time from a few rows of its input.
fn reads_in_order(op: &dyn Compute) -> bool {
    let [height, _, _] = op.output_shape();
    height > 1 && op.needs(0..1).len() < height
}

/// One op out of a chain's.
fn join(mut chain: Vec<Planned>) -> Option<Planned> {
    if chain.len() < 2 {
        return chain.pop();
    }
    let (output, target) = chain.last().map(|last| (last.output, last.target))?;
    let mut joined = Planned { op: chain[0].op.clone(), names: vec![], inputs: vec![], output, target };
    let (mut links, mut shapes, mut before) = (vec![], vec![], None);
    for planned in chain {
        let mut inputs = vec![];
        for (&input, shape) in planned.inputs.iter().zip(planned.op.input_shapes()) {
            inputs.push(if Some(input) == before {
                From::Before
            } else {
                joined.inputs.push(input);
                shapes.push(shape);
                From::Outside(joined.inputs.len() - 1)
            });
        }
        links.push(Link { op: planned.op, inputs });
        joined.names.extend(planned.names);
        before = Some(planned.output);
    }
    joined.op = Arc::new(Chain::new(links, shapes));
    Some(joined)
}
