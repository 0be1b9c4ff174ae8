//! Ops whose results pass from one to the next a few rows at a time, so that they never leave the cache.

use std::ops::Range;
use std::sync::Arc;

use super::kernels::{Rows, Scratch, grow};
use super::ops::{Compute, Shape};

/// Rows of the last op's output that are computed together.
const ROWS: usize = 4;

/// Where an op of a chain finds an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// What the op before it gives.
    Before,
    /// An input of the chain, by its number.
    Outside(usize),
}

/// One op of a chain.
#[derive(Debug)]
pub struct Link {
    pub op: Arc<dyn Compute>,
    pub inputs: Vec<From>,
}

/// The most inputs of an op of a chain, and of a chain.
pub const MOST_INPUTS: usize = 4;

/// Each op's first [`From::Before`] is the output of the op before it, which nothing else uses.
#[derive(Debug)]
pub struct Chain {
    links: Vec<Link>,
    /// The chain's own inputs.
    inputs: Vec<Shape>,
    /// For all links but the last: rows of their output that are kept.
    held: Vec<usize>,
}

impl Chain {
    /// `links` has two or more; `inputs` are the shapes of what comes from outside.
    pub fn new(links: Vec<Link>, inputs: Vec<Shape>) -> Self {
        let heights: Vec<usize> = links.iter().map(|link| link.op.output_shape()[0]).collect();
        let mut held = vec![];
        // From the last back to the first: how many rows the next one sees at once.
        let mut together = ROWS;
        for index in (1..links.len()).rev() {
            let height = heights[index];
            let starts = (0..height).map(|start| links[index].op.needs(start..height.min(start + together)));
            let rows = starts.map(|rows| rows.len()).max().unwrap_or(1);
            held.push(rows.next_multiple_of(ROWS).min(heights[index - 1]));
            together = rows;
        }
        held.reverse();
        Chain { links, inputs, held }
    }

    /// Bytes of a row of a link's output.
    fn row_bytes(&self, link: usize) -> usize {
        let [_, width, channels] = self.links[link].op.output_shape();
        width * channels
    }

    /// Makes rows of a link up to `end`, where `next[link]` says how far it got, into `rings` or, for the last, to `output`.
    fn advance(
        &self,
        link: usize,
        rows: Range<usize>,
        state: &mut RowState<'_, '_>,
        output: Option<(&mut [u8], usize)>,
    ) {
        let op = &self.links[link].op;
        if link > 0 {
            let needed = op.needs(rows.clone());
            let next = &mut state.next[link - 1];
            // Rows before those that are needed are never made.
            *next = (*next).max(needed.start);
            while state.next[link - 1] < needed.end {
                let start = state.next[link - 1];
                let end = needed.end.min((start / self.held[link - 1] + 1) * self.held[link - 1]);
                state.next[link - 1] = end;
                self.advance(link - 1, start..end, state, None);
            }
        }
        match output {
            Some((output, stride)) => self.run(link, rows, state, output, stride),
            None => {
                let row = self.row_bytes(link);
                let mut ring = std::mem::take(&mut state.rings[link]);
                let place = rows.start % self.held[link] * row;
                let [_, _, channels] = op.output_shape();
                let length = rows.len() * row;
                self.run(link, rows, state, &mut ring[place..place + length], channels);
                state.rings[link] = ring;
            }
        }
    }

    fn run(
        &self,
        link: usize,
        rows: Range<usize>,
        state: &mut RowState<'_, '_>,
        output: &mut [u8],
        stride: usize,
    ) {
        let Link { op, inputs } = &self.links[link];
        let mut given = [Rows::whole(&[], 0); MOST_INPUTS];
        for (given, from) in given.iter_mut().zip(inputs) {
            *given = match *from {
                From::Outside(number) => state.inputs[number],
                From::Before => {
                    let row = self.row_bytes(link - 1);
                    Rows::ring(&state.rings[link - 1][..self.held[link - 1] * row], row)
                }
            };
        }
        op.run(&given[..inputs.len()], rows, output, stride, state.scratch);
    }
}

struct RowState<'a, 'b> {
    inputs: &'a [Rows<'b>],
    scratch: &'a mut Scratch,
    rings: Vec<Vec<u8>>,
    /// For each link but the last the row after those that it has made.
    next: [usize; MOST_LINKS],
}

/// The most ops of a chain.
pub const MOST_LINKS: usize = 8;

impl Compute for Chain {
    fn describe(&self) -> String {
        let names: Vec<String> = self.links.iter().map(|link| link.op.describe()).collect();
        names.join(" → ")
    }
    fn input_shapes(&self) -> Vec<Shape> {
        self.inputs.clone()
    }
    fn output_shape(&self) -> Shape {
        self.links.last().map_or([0; 3], |link| link.op.output_shape())
    }
    fn multiply_adds(&self) -> u64 {
        self.links.iter().map(|link| link.op.multiply_adds()).sum()
    }
    fn reserve(&self, scratch: &mut Scratch) {
        if scratch.rings.len() < self.held.len() {
            scratch.rings.resize(self.held.len(), vec![]);
        }
        for (link, &held) in self.held.iter().enumerate() {
            grow(&mut scratch.rings[link], held * self.row_bytes(link), 0);
        }
        self.links.iter().for_each(|link| link.op.reserve(scratch));
    }
    fn run(
        &self,
        inputs: &[Rows<'_>],
        rows: Range<usize>,
        output: &mut [u8],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let [_, width, _] = self.output_shape();
        let rings = std::mem::take(&mut scratch.rings);
        let mut state = RowState { inputs, scratch, rings, next: [0; MOST_LINKS] };
        let last = self.links.len() - 1;
        for start in rows.clone().step_by(ROWS) {
            let end = rows.end.min(start + ROWS);
            let output = &mut output[(start - rows.start) * width * stride..];
            self.advance(last, start..end, &mut state, Some((output, stride)));
        }
        let RowState { scratch, rings, .. } = state;
        scratch.rings = rings;
    }
}
