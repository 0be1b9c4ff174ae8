//! A plain float executor that shows every tensor: the reference for export and the instrument of calibration.

use std::collections::HashMap;

use polyp_edge::fault::Fault;

use crate::graph::{Graph, INPUT, INPUT_SCALE, INPUT_ZERO_POINT, Node, Op, Shape, Tensor4};
use crate::numeric::{planar, sigmoid};
use crate::ops::kernels::{self, Geometry};

/// Values of one `[1, C, H, W]` tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Channels, height and width.
    pub shape: Shape,
    /// Row-major.
    pub data: Vec<f32>,
}

/// Turns `[S, S, 3] u8` pixels into the graph's input.
pub fn input_from_pixels(side: usize, pixels: &[u8]) -> anyhow::Result<Activation> {
    if pixels.len() != 3 * side * side {
        return Err(Fault::data(format!(
            "{} pixel bytes do not make a {side} × {side} picture",
            pixels.len()
        )));
    }
    let real = |pixel: u8| (f32::from(pixel) - f32::from(INPUT_ZERO_POINT)) * INPUT_SCALE;
    let data = planar(pixels).map(real).collect();
    Ok(Activation { shape: Shape { channels: 3, height: side, width: side }, data })
}

/// Runs a validated graph; `observe` is called with the input and then each node's output, and may change it before
/// later nodes read it. Tensors that nobody reads any more are dropped. Returns the logits.
pub fn run(
    graph: &Graph,
    input: Activation,
    mut observe: impl FnMut(&str, &mut Activation),
) -> anyhow::Result<Activation> {
    let mut last_use: HashMap<&str, usize> = HashMap::new();
    for (position, node) in graph.nodes.iter().enumerate() {
        for name in &node.inputs {
            last_use.insert(name, position);
        }
    }
    last_use.insert(&graph.output, usize::MAX);
    let mut tensors: HashMap<&str, Activation> = HashMap::new();
    let mut input = input;
    observe(INPUT, &mut input);
    tensors.insert(INPUT, input);
    for (position, node) in graph.nodes.iter().enumerate() {
        let inputs = node
            .inputs
            .iter()
            .map(|name| tensors.get(name.as_str()).ok_or_else(|| missing(name)))
            .collect::<anyhow::Result<Vec<&Activation>>>()?;
        let mut output = apply(node, &inputs)?;
        observe(&node.name, &mut output);
        tensors.insert(&node.name, output);
        tensors.retain(|name, _| last_use.get(name).is_some_and(|&last| last > position));
    }
    tensors.remove(graph.output.as_str()).ok_or_else(|| missing(&graph.output))
}

fn missing(name: &str) -> anyhow::Error {
    Fault::data(format!("graph: tensor {name} was never computed"))
}

pub(crate) fn apply(node: &Node, inputs: &[&Activation]) -> anyhow::Result<Activation> {
    let wrong = || Fault::data(format!("graph node {}: wrong number of inputs", node.name));
    let first = *inputs.first().ok_or_else(wrong)?;
    let second = || inputs.get(1).copied().ok_or_else(wrong);
    let map = |shape: Shape, data: Vec<f32>| Activation { shape, data };
    Ok(match &node.op {
        Op::Conv { weight, bias, stride, pads, groups, relu6 } => {
            let mut output = convolve(first, weight, bias, *stride, *pads, *groups);
            if *relu6 {
                output.data.iter_mut().for_each(|value| *value = value.clamp(0.0, 6.0));
            }
            output
        }
        Op::Add => map(first.shape, first.data.iter().zip(&second()?.data).map(|(a, b)| a + b).collect()),
        Op::Concat => {
            let channels = inputs.iter().map(|input| input.shape.channels).sum();
            let data = inputs.iter().flat_map(|input| input.data.iter().copied()).collect();
            map(Shape { channels, ..first.shape }, data)
        }
        Op::MaxPool { size } => max_pool(first, *size),
        Op::ResizeBilinear { factor } => resize_bilinear(first, *factor),
        Op::ResizeNearest { factor } => resize_nearest(first, *factor),
        Op::GlobalAveragePool => {
            let area = first.shape.area();
            let mean =
                |plane: &[f32]| (plane.iter().map(|&v| f64::from(v)).sum::<f64>() / area as f64) as f32;
            let shape = Shape { height: 1, width: 1, ..first.shape };
            map(shape, first.data.chunks_exact(area).map(mean).collect())
        }
        Op::Sigmoid => map(first.shape, first.data.iter().map(|value| sigmoid(*value)).collect()),
        Op::Mul => {
            let planes = first.data.chunks_exact(first.shape.area()).zip(&second()?.data);
            map(first.shape, planes.flat_map(|(plane, &gate)| plane.iter().map(move |v| v * gate)).collect())
        }
    })
}

/// By training's kernels where they know the kind, else by [`convolve_plainly`].
pub(crate) fn convolve(
    input: &Activation,
    weight: &Tensor4,
    bias: &[f32],
    stride: usize,
    pads: [usize; 4],
    groups: usize,
) -> Activation {
    let [filters, _, kernel, kernel_width] = weight.shape;
    let Shape { channels, height, width } = input.shape;
    let depthwise = groups > 1 && groups == channels && groups == filters && matches!(kernel, 3 | 5);
    if kernel != kernel_width || !(groups == 1 || depthwise && stride <= 2) {
        return convolve_plainly(input, weight, bias, stride, pads, groups);
    }
    let geometry = Geometry { batch: 1, channels, filters, height, width, kernel, stride, pads, groups };
    let mut data = kernels::conv2d(&input.data, &weight.data, &geometry);
    let shape = Shape { channels: filters, height: geometry.out_height(), width: geometry.out_width() };
    for (plane, bias) in data.chunks_exact_mut(shape.area()).zip(bias) {
        plane.iter_mut().for_each(|value| *value += bias);
    }
    Activation { shape, data }
}

/// The reference: every sum in the order of the weights.
pub(crate) fn convolve_plainly(
    input: &Activation,
    weight: &Tensor4,
    bias: &[f32],
    stride: usize,
    pads: [usize; 4],
    groups: usize,
) -> Activation {
    let [out_channels, in_per_group, kernel_height, kernel_width] = weight.shape;
    let [top, left, bottom, right] = pads;
    let shape = Shape {
        channels: out_channels,
        height: (input.shape.height + top + bottom - kernel_height) / stride + 1,
        width: (input.shape.width + left + right - kernel_width) / stride + 1,
    };
    let area = shape.area();
    let mut data: Vec<f32> = bias.iter().flat_map(|&b| std::iter::repeat_n(b, area)).collect();
    let out_per_group = out_channels / groups;
    let in_area = input.shape.area();
    let pointwise = kernel_height * kernel_width == 1 && stride == 1 && pads == [0; 4];
    for group in 0..groups {
        let planes = &input.data[group * in_per_group * in_area..][..in_per_group * in_area];
        let columns = if pointwise {
            planes.to_vec()
        } else {
            columns(planes, input.shape, shape, [kernel_height, kernel_width], stride, [top, left])
        };
        let taps = in_per_group * kernel_height * kernel_width;
        for out in group * out_per_group..(group + 1) * out_per_group {
            accumulate(&mut data[out * area..][..area], &weight.data[out * taps..][..taps], &columns);
        }
    }
    Activation { shape, data }
}

/// One row of `[taps, area]` for each input channel and kernel position, zeros where the kernel hangs over the edge.
fn columns(
    planes: &[f32],
    from: Shape,
    to: Shape,
    [kernel_height, kernel_width]: [usize; 2],
    stride: usize,
    [top, left]: [usize; 2],
) -> Vec<f32> {
    let channels = planes.len() / from.area();
    let mut columns = Vec::with_capacity(channels * kernel_height * kernel_width * to.area());
    for plane in planes.chunks_exact(from.area()) {
        for ky in 0..kernel_height {
            for kx in 0..kernel_width {
                for y in 0..to.height {
                    let row = (y * stride + ky).checked_sub(top).filter(|&row| row < from.height);
                    let row = row.map(|row| &plane[row * from.width..][..from.width]);
                    columns.extend((0..to.width).map(|x| {
                        let column = (x * stride + kx).checked_sub(left);
                        row.zip(column).and_then(|(row, column)| row.get(column)).copied().unwrap_or(0.0)
                    }));
                }
            }
        }
    }
    columns
}

/// `output += weights · columns`, columns `[weights.len(), output.len()]`.
fn accumulate(output: &mut [f32], weights: &[f32], columns: &[f32]) {
    let area = output.len();
    for (weights, columns) in weights.chunks(4).zip(columns.chunks(4 * area)) {
        if let [a, b, c, d] = *weights {
            let (first, rest) = columns.split_at(area);
            let (second, rest) = rest.split_at(area);
            let (third, fourth) = rest.split_at(area);
            let taps = first.iter().zip(second).zip(third.iter().zip(fourth));
            for (output, ((w, x), (y, z))) in output.iter_mut().zip(taps) {
                *output += a * w + b * x + c * y + d * z;
            }
        } else {
            for (weight, column) in weights.iter().zip(columns.chunks_exact(area)) {
                output.iter_mut().zip(column).for_each(|(output, value)| *output += weight * value);
            }
        }
    }
}

fn max_pool(input: &Activation, size: usize) -> Activation {
    let shape = Shape { height: input.shape.height / size, width: input.shape.width / size, ..input.shape };
    let mut data = Vec::with_capacity(shape.len());
    for plane in input.data.chunks_exact(input.shape.area()) {
        for y in 0..shape.height {
            for x in 0..shape.width {
                let rows = (y * size..(y + 1) * size)
                    .map(|row| &plane[row * input.shape.width + x * size..][..size]);
                data.push(rows.flatten().copied().fold(f32::NEG_INFINITY, f32::max));
            }
        }
    }
    Activation { shape, data }
}

/// For each output position the two input positions that it mixes and the second one's share.
fn bilinear_taps(side: usize, factor: usize) -> Vec<(usize, usize, f32)> {
    (0..side * factor)
        .map(|position| {
            let source = ((position as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, (side - 1) as f32);
            let low = source as usize;
            (low, (low + 1).min(side - 1), source - low as f32)
        })
        .collect()
}

fn resize_bilinear(input: &Activation, factor: usize) -> Activation {
    let from = input.shape;
    let shape = Shape { height: from.height * factor, width: from.width * factor, ..from };
    let rows = bilinear_taps(from.height, factor);
    let columns = bilinear_taps(from.width, factor);
    let mut data = Vec::with_capacity(shape.len());
    for plane in input.data.chunks_exact(from.area()) {
        for &(above, below, down) in &rows {
            let (above, below) = (&plane[above * from.width..], &plane[below * from.width..]);
            data.extend(columns.iter().map(|&(left, right, along)| {
                let upper = above[left] + (above[right] - above[left]) * along;
                let lower = below[left] + (below[right] - below[left]) * along;
                upper + (lower - upper) * down
            }));
        }
    }
    Activation { shape, data }
}

fn resize_nearest(input: &Activation, factor: usize) -> Activation {
    let from = input.shape;
    let shape = Shape { height: from.height * factor, width: from.width * factor, ..from };
    let mut data = Vec::with_capacity(shape.len());
    for plane in input.data.chunks_exact(from.area()) {
        for y in 0..shape.height {
            let row = &plane[y / factor * from.width..][..from.width];
            data.extend(row.iter().flat_map(|&value| std::iter::repeat_n(value, factor)));
        }
    }
    Activation { shape, data }
}
