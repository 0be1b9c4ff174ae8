//! A marked node's constants and shapes, and the op that they make.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::tract_core::internal::*;

use super::kernels::{Convolution, Kernels};
use super::marked::{OpKind, Quantised};
use super::ops::{
    Add, Axis, Compute, Concatenate, Convolve, GlobalAverage, Lookup, MaxPool, Multiply, Resize, Shape,
};
use super::proto::{LONGEST_SIDE, MOST_VALUES};
use super::quantise::{
    Addition, Product, Quantisation, Requantise, average_factor, convolution_factor, rescale_table,
    sigmoid_table,
};

/// A marked node's inputs by their ONNX position.
pub struct Operands<'a> {
    pub quantised: &'a Quantised,
    pub facts: &'a [&'a TypedFact],
}

impl Operands<'_> {
    fn fact(&self, position: usize) -> Result<&TypedFact> {
        let index = self.quantised.inputs.get(position).copied().flatten();
        let fact = index.and_then(|index| self.facts.get(index));
        fact.copied().with_context(|| format!("input {position} is missing"))
    }

    fn is_given(&self, position: usize) -> bool {
        self.fact(position).is_ok()
    }

    /// `[C, H, W]` of a u8 `[1, C, H, W]`, as H, W, C.
    fn shape(&self, position: usize) -> Result<Shape> {
        let fact = self.fact(position)?;
        let shape = fact.shape.as_concrete().context("a shape is not fixed")?;
        ensure!(
            fact.datum_type == u8::datum_type(),
            "input {position} is {:?} instead of u8",
            fact.datum_type
        );
        match *shape {
            [1, channels, height, width] => Ok([height, width, channels]),
            _ => bail!("input {position} is {shape:?} instead of [1, C, H, W]"),
        }
    }

    fn constant<D: Datum>(&self, position: usize) -> Result<Vec<D>> {
        let fact = self.fact(position)?;
        let tensor = fact.konst.as_ref().with_context(|| format!("input {position} is not a constant"))?;
        let view = tensor.try_as_plain_ram()?;
        let values = view.as_slice::<D>().with_context(|| {
            format!("input {position} is {:?} instead of {:?}", tensor.datum_type(), D::datum_type())
        })?;
        Ok(values.to_vec())
    }

    fn single<D: Datum + Copy>(&self, position: usize) -> Result<D> {
        match self.constant::<D>(position)?.as_slice() {
            &[value] => Ok(value),
            values => bail!("input {position} has {} values instead of 1", values.len()),
        }
    }

    /// Scale at `position`, zero point after it.
    fn quantisation(&self, position: usize) -> Result<Quantisation> {
        let zero_point = if self.is_given(position + 1) { self.single::<u8>(position + 1)? } else { 0 };
        Quantisation::new(self.single::<f32>(position)?, zero_point)
    }

    /// Positions of the tensors that flow.
    pub fn tensors(&self) -> Vec<usize> {
        match self.quantised.kind {
            OpKind::Add | OpKind::Multiply => vec![0, 3],
            OpKind::Concatenate => (2..self.quantised.inputs.len()).step_by(3).collect(),
            _ => vec![0],
        }
    }

    /// Height and width of a convolution's kernel, and `[M, C / groups]` of its weights.
    fn kernel(&self) -> Result<([usize; 2], [usize; 2])> {
        let shape = self.fact(3)?.shape.as_concrete().context("the weights' shape is not fixed")?;
        match *shape {
            [outputs, inputs, height, width] => Ok(([height, width], [outputs, inputs])),
            _ => bail!("the weights are {shape:?} instead of [M, C, kH, kW]"),
        }
    }

    /// How many weights there are once they are packed: output channels and products of a sum fill up vectors.
    pub fn packed_weights(&self) -> Result<u64> {
        if !matches!(self.quantised.kind, OpKind::Convolution { .. }) {
            return Ok(0);
        }
        let ([height, width], [outputs, inputs]) = self.kernel()?;
        let products =
            [inputs, height, width].iter().fold(1u64, |all, &side| all.saturating_mul(side as u64));
        let padded = |count: u64, lanes: u64| count.div_ceil(lanes).saturating_mul(lanes);
        Ok(padded(outputs as u64, 16).saturating_mul(padded(products, 4)))
    }

    /// Scales of height and width, and the output's height and width.
    fn resized(&self) -> Result<([f32; 2], [usize; 2])> {
        let [height, width, _] = self.shape(0)?;
        if self.is_given(3) {
            let sizes = self.constant::<i64>(3)?;
            let &[1, _, rows, columns] = sizes.as_slice() else {
                bail!("the sizes are {sizes:?}; there must be four, the first of them 1")
            };
            let possible = 1..=LONGEST_SIDE as i64;
            ensure!(
                possible.contains(&rows) && possible.contains(&columns),
                "the sizes are {sizes:?}; each must lie between 1 and {LONGEST_SIDE}"
            );
            ensure!(sizes[1] == self.shape(0)?[2] as i64, "channels cannot be resized");
            return Ok((
                [rows as f32 / height as f32, columns as f32 / width as f32],
                [rows as usize, columns as usize],
            ));
        }
        let scales = self.constant::<f32>(2)?;
        let &[1.0, 1.0, down, across] = scales.as_slice() else {
            bail!("the scales are {scales:?}; there must be four, the first two of them 1")
        };
        let size = |side: usize, scale: f32| -> Result<usize> {
            let size = (side as f32 * scale).floor();
            ensure!(
                (1.0..=LONGEST_SIDE as f32).contains(&size),
                "the scales {scales:?} give a side of {size}; it must lie between 1 and {LONGEST_SIDE}"
            );
            Ok(size as usize)
        };
        Ok(([down, across], [size(height, down)?, size(width, across)?]))
    }

    fn output_shape(&self) -> Result<Shape> {
        let [height, width, channels] = match self.quantised.kind {
            OpKind::Concatenate => self.shape(2)?,
            _ => self.shape(0)?,
        };
        let shape = match &self.quantised.kind {
            OpKind::Convolution { window, .. } => {
                let (kernel, [outputs, _]) = self.kernel()?;
                let (_, [rows, columns]) = window.place(kernel, [height, width])?;
                [rows, columns, outputs]
            }
            OpKind::MaxPool(window) => {
                let kernel = window.kernel.context("kernel_shape is missing")?;
                let (_, [rows, columns]) = window.place(kernel, [height, width])?;
                [rows, columns, channels]
            }
            OpKind::Resize { .. } => {
                let (_, [rows, columns]) = self.resized()?;
                [rows, columns, channels]
            }
            OpKind::GlobalAverage => [1, 1, channels],
            OpKind::Sigmoid => [height, width, channels],
            OpKind::Add | OpKind::Multiply => {
                let other = self.shape(3)?;
                if [height, width] == [1, 1] { other } else { [height, width, channels] }
            }
            OpKind::Concatenate => {
                ensure!((self.quantised.inputs.len().max(2) - 2).is_multiple_of(3), "inputs are missing");
                let channels = self.tensors().into_iter().map(|position| Ok(self.shape(position)?[2]));
                [height, width, channels.sum::<Result<usize>>()?]
            }
        };
        let sides_fit = shape.iter().all(|side| (1..=LONGEST_SIDE).contains(side));
        ensure!(
            sides_fit && shape.iter().product::<usize>() <= MOST_VALUES,
            "its output of {shape:?} is too large"
        );
        Ok(shape)
    }

    /// The op, and what its output's values mean.
    pub fn compute(&self, kernels: &'static Kernels) -> Result<(Arc<dyn Compute>, Quantisation)> {
        let input = || self.shape(0);
        Ok(match &self.quantised.kind {
            OpKind::Convolution { .. } => {
                let (convolution, output) = self.convolution()?;
                (Arc::new(Convolve::new(&convolution, kernels)?), output)
            }
            OpKind::Add => {
                let (a, b, output) = (self.quantisation(1)?, self.quantisation(4)?, self.quantisation(6)?);
                let shapes = [self.shape(0)?, self.shape(3)?];
                let (addition, swapped) = (Addition::new(a, b, output)?, Addition::new(b, a, output)?);
                (Arc::new(Add::new(shapes, addition, swapped, kernels)?), output)
            }
            OpKind::Multiply => {
                let (a, b, output) = (self.quantisation(1)?, self.quantisation(4)?, self.quantisation(6)?);
                let shapes = [self.shape(0)?, self.shape(3)?];
                let (product, swapped) = (Product::new(a, b, output)?, Product::new(b, a, output)?);
                (Arc::new(Multiply::new(shapes, product, swapped, kernels)?), output)
            }
            OpKind::Concatenate => {
                let output = self.quantisation(0)?;
                let parts = self.tensors().into_iter().map(|position| {
                    let table = rescale_table(self.quantisation(position + 1)?, output);
                    Ok((self.shape(position)?, table))
                });
                (Arc::new(Concatenate::new(parts.collect::<Result<_>>()?, kernels)?), output)
            }
            OpKind::GlobalAverage => {
                let (from, output) = (self.quantisation(1)?, self.quantisation(3)?);
                let input = input()?;
                ensure!(input[0] * input[1] <= 1 << 22, "{input:?} has too many values for a sum");
                let op = GlobalAverage {
                    input,
                    input_zero_point: from.zero_point,
                    factor: average_factor(from.scale, output.scale, input[0] * input[1])?,
                    requantise: Requantise::new(output.zero_point),
                    kernels,
                };
                (Arc::new(op), output)
            }
            OpKind::Sigmoid => {
                let output = self.quantisation(3)?;
                let table = sigmoid_table(self.quantisation(1)?, output);
                (Arc::new(Lookup { shape: input()?, what: "sigmoid", table: Some(table), kernels }), output)
            }
            OpKind::MaxPool(_) | OpKind::Resize { .. } => bail!("it has no scale of its own"),
        })
    }

    /// The ops that pass scale and zero point on.
    pub fn passing(&self, kernels: &'static Kernels) -> Result<Option<Arc<dyn Compute>>> {
        let input = self.shape(0);
        Ok(match &self.quantised.kind {
            OpKind::MaxPool(window) => {
                let input = input?;
                let kernel = window.kernel.context("kernel_shape is missing")?;
                let (padding, _) = window.place(kernel, [input[0], input[1]])?;
                let (strides, dilations) = (window.strides, window.dilations);
                let output = self.output_shape()?;
                Some(Arc::new(MaxPool { input, output, kernel, strides, dilations, padding, kernels }))
            }
            &OpKind::Resize { linear, nearest, coordinates } => {
                let input = input?;
                let (scales, sizes) = self.resized()?;
                let axis = |axis: usize| {
                    if linear {
                        Axis::linear(coordinates, scales[axis], input[axis], sizes[axis])
                    } else {
                        Axis::nearest(nearest, coordinates, scales[axis], input[axis], sizes[axis])
                    }
                };
                Some(Arc::new(Resize::new(input, axis(0), axis(1), kernels)?))
            }
            _ => None,
        })
    }

    fn convolution(&self) -> Result<(Convolution, Quantisation)> {
        let OpKind::Convolution { window, groups } = &self.quantised.kind else {
            bail!("it is not a convolution")
        };
        let (from, to) = (self.quantisation(1)?, self.quantisation(6)?);
        let ([height, width], [outputs, inputs]) = self.kernel()?;
        let input = self.shape(0)?;
        let named = window.kernel.unwrap_or([height, width]);
        ensure!(named == [height, width], "kernel_shape {named:?} is not the weights' {:?}", [height, width]);
        ensure!(
            inputs.checked_mul(*groups) == Some(input[2]),
            "{groups} groups of {inputs} channels are not the input's {}",
            input[2]
        );
        let output = self.output_shape()?;
        let (padding, _) = window.place([height, width], [input[0], input[1]])?;
        if self.is_given(5) {
            let centred = self.constant::<i8>(5)?.iter().all(|&zero_point| zero_point == 0);
            ensure!(centred, "the weights' zero point is not 0");
        }
        let weight_scales = self.constant::<f32>(4)?;
        ensure!(
            weight_scales.len() == 1 || weight_scales.len() == outputs,
            "{} weight scales for {outputs} channels",
            weight_scales.len()
        );
        let factors = (0..outputs).map(|channel| {
            let scale = weight_scales.get(channel).or(weight_scales.first()).copied().unwrap_or_default();
            convolution_factor(from.scale, scale, to.scale)
        });
        let bias = if self.is_given(8) { self.constant::<i32>(8)? } else { vec![0; outputs] };
        let weights = channels_last(&self.constant::<i8>(3)?, [outputs, inputs, height * width]);
        let convolution = Convolution {
            input,
            output,
            kernel: [height, width],
            strides: window.strides,
            dilations: window.dilations,
            padding,
            groups: *groups,
            input_zero_point: from.zero_point,
            weights,
            bias,
            factors: factors.collect(),
            requantise: Requantise::new(to.zero_point),
        };
        Ok((convolution, to))
    }
}

/// `[M, C, K]` to `[M, K, C]`.
fn channels_last(weights: &[i8], [_, inputs, taps]: [usize; 3]) -> Vec<i8> {
    let mut output = Vec::with_capacity(weights.len());
    for row in weights.chunks_exact((inputs * taps).max(1)) {
        for tap in 0..taps {
            output.extend(row.iter().skip(tap).step_by(taps.max(1)));
        }
    }
    output
}

/// `[1, C, H, W]` of a marked node's output.
pub fn output_shape(quantised: &Quantised, facts: &[&TypedFact]) -> TractResult<[usize; 4]> {
    let [height, width, channels] = Operands { quantised, facts }.output_shape()?;
    Ok([1, channels, height, width])
}
