//! Every kernel set against the definition, written as plainly as it can be.

use proptest::prelude::*;

use super::*;
use crate::engine::quantise::{self, Addition, Product, Quantisation, Requantise};

/// A convolution of any shape and an input for it.
#[derive(Debug)]
struct Problem {
    convolution: Convolution,
    input: Vec<u8>,
    output_zero_point: u8,
    /// Bytes between output pixels.
    gap: usize,
}

fn zero_point() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0), Just(255), Just(128), any::<u8>()]
}

prop_compose! {
    fn problem(depthwise: bool)(
        height in prop_oneof![1 => Just(1usize), 4 => 1usize..14],
        width in prop_oneof![1 => Just(1usize), 3 => 1usize..14, 3 => 14usize..60],
        kernel in prop::array::uniform2(1usize..6),
        strides in prop::array::uniform2(1usize..4),
        dilations in prop::array::uniform2(1usize..3),
        groups in 1usize..if depthwise { 40 } else { 4 },
        channels in prop::array::uniform2(prop_oneof![1usize..20, Just(8), Just(16), 20usize..70]),
        zero_points in (zero_point(), zero_point()),
    )(
        side in Just([height, width]),
        // Less padding than the window reaches, and enough that the window fits.
        before in [0..=(kernel[0] - 1) * dilations[0], 0..=(kernel[1] - 1) * dilations[1]],
        input in prop::collection::vec(any::<u8>(), height * width * groups * if depthwise { 1 } else { channels[0] }),
        weights in prop::collection::vec(
            any::<i8>(),
            kernel[0] * kernel[1] * groups * if depthwise { 1 } else { channels[0] * channels[1] },
        ),
        bias in prop::collection::vec(-30_000i32..30_000, groups * if depthwise { 1 } else { channels[1] }),
        factor in 0.0001f32..0.02,
        sizes in Just((kernel, strides, dilations, groups, if depthwise { [1, 1] } else { channels })),
        zero_points in Just(zero_points),
    ) -> Problem {
        let (kernel, strides, dilations, groups, [inputs, outputs]) = sizes;
        let reach = [0, 1].map(|axis| (kernel[axis] - 1) * dilations[axis] + 1);
        let output = [0, 1].map(|axis| (side[axis] + 2 * reach[axis] - 2 - before[axis]).div_ceil(strides[axis]).max(1));
        let convolution = Convolution {
            input: [side[0], side[1], groups * inputs],
            output: [output[0], output[1], groups * outputs],
            kernel,
            strides,
            dilations,
            padding: before,
            groups,
            input_zero_point: zero_points.0,
            factors: (0..bias.len()).map(|channel| factor * (1 + channel % 3) as f32).collect(),
            weights,
            bias,
            requantise: Requantise::new(zero_points.1),
        };
        Problem { convolution, input, output_zero_point: zero_points.1, gap: usize::from(zero_points.0) % 3 }
    }
}

impl Problem {
    /// One output, by the definition.
    fn expected(&self, y: usize, x: usize, channel: usize) -> u8 {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.input;
        let inputs = convolution.group_channels();
        let group = channel / (convolution.output[2] / convolution.groups);
        let mut sum = i64::from(convolution.bias[channel]);
        for ky in 0..convolution.kernel[0] {
            for kx in 0..convolution.kernel[1] {
                for input in 0..inputs {
                    let row = (y * convolution.strides[0] + ky * convolution.dilations[0]) as i64
                        - convolution.padding[0] as i64;
                    let column = (x * convolution.strides[1] + kx * convolution.dilations[1]) as i64
                        - convolution.padding[1] as i64;
                    if !(0..height as i64).contains(&row) || !(0..width as i64).contains(&column) {
                        continue;
                    }
                    let index = (row as usize * width + column as usize) * channels + group * inputs + input;
                    let value = i64::from(self.input[index]) - i64::from(convolution.input_zero_point);
                    let taps = convolution.kernel[0] * convolution.kernel[1];
                    let tap = ky * convolution.kernel[1] + kx;
                    let weight = convolution.weights[(channel * taps + tap) * inputs + input];
                    sum += value * i64::from(weight);
                }
            }
        }
        let steps = (sum as f32 * convolution.factors[channel]).round_ties_even();
        (steps + f32::from(self.output_zero_point)).clamp(0.0, 255.0) as u8
    }

    fn check(&self, pack: impl Fn(&Kernels) -> fn(&Convolution) -> Box<dyn RowKernel>) {
        self.convolution.check().unwrap();
        let [height, width, channels] = self.convolution.output;
        for set in available() {
            let kernel = pack(set)(&self.convolution);
            let mut scratch = Scratch::default();
            kernel.reserve(&mut scratch);
            let whole = Rows::whole(&self.input, self.convolution.input[1] * self.convolution.input[2]);
            // With a gap between pixels, as in a concatenation, and in two parts, as threads would.
            let stride = channels + self.gap;
            let mut output = vec![77; height * width * stride];
            let (first, second) = output.split_at_mut(height / 2 * width * stride);
            kernel.run(whole, 0..height / 2, first, stride, &mut scratch);
            let last = second.len() - self.gap.min(second.len());
            kernel.run(whole, height / 2..height, &mut second[..last], stride, &mut scratch);
            for (index, &ours) in output.iter().enumerate() {
                let (pixel, channel) = (index / stride, index % stride);
                let expected = if channel < channels {
                    self.expected(pixel / width, pixel % width, channel)
                } else {
                    77
                };
                assert_eq!(ours, expected, "{} at {pixel}, {channel}", set.name);
            }
            self.check_ring(set, &*kernel, &mut scratch, &output);
        }
    }
}

impl Problem {
    /// Row by row, from a ring that holds no more than one output row sees.
    fn check_ring(&self, set: &Kernels, kernel: &dyn RowKernel, scratch: &mut Scratch, expected: &[u8]) {
        let convolution = &self.convolution;
        let [height, width, channels] = convolution.output;
        let row = convolution.input[1] * convolution.input[2];
        let reach = (convolution.kernel[0] - 1) * convolution.dilations[0] + 1;
        let held = reach.min(convolution.input[0]);
        let mut ring = vec![99; held * row];
        let stride = channels + self.gap;
        let mut written = 0;
        for y in 0..height {
            let end = (y * convolution.strides[0] + reach).saturating_sub(convolution.padding[0]);
            while written < end.min(convolution.input[0]) {
                ring[written % held * row..][..row].copy_from_slice(&self.input[written * row..][..row]);
                written += 1;
            }
            let mut output = vec![77; width * stride];
            kernel.run(Rows::ring(&ring, row), y..y + 1, &mut output, stride, scratch);
            let expected = &expected[y * width * stride..][..width * stride];
            assert_eq!(output, expected, "{}: row {y} from a ring", set.name);
        }
    }
}

/// As many cases as PROPTEST_CASES says, else few enough for every day. What fails is not kept by itself, for a problem's
/// numbers fill pages: its shape belongs among the tests below as a case with a name.
fn configuration() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = std::env::var_os("PROPTEST_CASES").map_or(200, |_| default.cases);
    ProptestConfig { cases, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(configuration())]

    #[test]
    fn convolutions_follow_the_definition(problem in problem(false)) {
        problem.check(|set| set.convolution);
    }

    #[test]
    fn depthwise_convolutions_follow_the_definition(problem in problem(true)) {
        problem.check(|set| set.depthwise);
        problem.check(|set| set.convolution);
    }

    #[test]
    fn pointwise_convolutions_follow_the_definition(
        side in prop::array::uniform2(1usize..12),
        inputs in 1usize..40,
        outputs in 1usize..120,
        zero_points in (zero_point(), zero_point()),
        seed in any::<u32>(),
    ) {
        let mut state = seed;
        let mut bytes = |count: usize| -> Vec<u8> {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..count).map(|_| next()).collect()
        };
        let convolution = Convolution {
            input: [side[0], side[1], inputs],
            output: [side[0], side[1], outputs],
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            padding: [0, 0],
            groups: 1,
            input_zero_point: zero_points.0,
            weights: bytes(inputs * outputs).into_iter().map(|byte| byte as i8).collect(),
            bias: bytes(outputs).into_iter().map(|byte| (i32::from(byte) - 128) * 100).collect(),
            factors: bytes(outputs).into_iter().map(|byte| f32::from(byte) * 2e-5).collect(),
            requantise: Requantise::new(zero_points.1),
        };
        let input = bytes(side[0] * side[1] * inputs);
        Problem { convolution, input, output_zero_point: zero_points.1, gap: usize::from(zero_points.0) % 3 }.check(|set| set.convolution);
    }

    #[test]
    fn elementwise_functions_are_the_scalar_sets(
        (a, b) in (1usize..200).prop_flat_map(|length| {
            let bytes = || prop::collection::vec(any::<u8>(), length);
            (bytes(), bytes())
        }),
        channels in 1usize..40,
        table in prop::collection::vec(any::<u8>(), 256),
        zero_points in prop::array::uniform3(zero_point()),
    ) {
        let tensor = |scale, place: usize| Quantisation::new(scale, zero_points[place]).unwrap();
        let addition = Addition::new(tensor(0.02, 0), tensor(0.03, 1), tensor(0.04, 2)).unwrap();
        let product = Product::new(tensor(0.02, 0), tensor(0.03, 1), tensor(0.04, 2)).unwrap();
        let table: Box<[u8; 256]> = table.into_boxed_slice().try_into().unwrap();
        let channels = channels.min(a.len());
        let whole = a.len() / channels * channels;
        let all = |set: &Kernels| {
            let mut outputs = vec![vec![0u8; a.len()]; 3];
            (set.add)(&addition, &a, &b, &mut outputs[0]);
            (set.multiply)(&product, &a, &b, &mut outputs[1]);
            (set.lookup)(&table, &a, &mut outputs[2]);
            let mut each = vec![vec![0u8; whole]; 2];
            (set.add_channels)(&addition, &a[..whole], &b[..channels], &mut each[0]);
            (set.multiply_channels)(&product, &a[..whole], &b[..channels], &mut each[1]);
            let mut maximum = b.clone();
            (set.maximum)(&a, &mut maximum);
            let mut sums = vec![7; channels];
            (set.sum_channels)(&a[..whole], &mut sums);
            (outputs, each, maximum, sums)
        };
        let expected = all(&scalar::KERNELS);
        for set in available() {
            prop_assert_eq!(&all(set), &expected, "{}", set.name);
        }
    }

    #[test]
    fn rounding_is_half_to_even(value in -4_000_000f32..4_000_000.0, half in -2000i32..2000) {
        prop_assert_eq!(quantise::round(value), value.round_ties_even() as i32);
        let half = half as f32 + 0.5;
        prop_assert_eq!(quantise::round(half), half.round_ties_even() as i32);
    }

    #[test]
    fn blends_follow_the_definition(
        channels in 1usize..40,
        width in 1usize..6,
        gap in 0usize..3,
        bytes in prop::collection::vec(any::<u8>(), 2 * 40 * 6),
        places in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u16>()), 1..12),
        down in 0u16..=16,
        bits in 0u32..=4,
    ) {
        let one = 1u16 << bits;
        let down = down >> (4 - bits);
        let (above, below) = (&bytes[..width * channels], &bytes[240..][..width * channels]);
        let places: Vec<_> = places
            .into_iter()
            .map(|(left, right, weight)| (left % width as u32, right % width as u32, weight % (one + 1)))
            .collect();
        let blends = Blends { channels, pairs: &places, one, shift: 2 * bits };
        let stride = channels + gap;
        for set in available() {
            let mut row = vec![0; width * channels];
            (set.blend_rows)(above, below, [one - down, down], &mut row);
            let mut output = vec![5; places.len() * stride];
            (set.blend_columns)(&blends, &row, &mut output, stride);
            for (index, &ours) in output.iter().enumerate() {
                let ((left, right, across), channel) = (places[index / stride], index % stride);
                if channel >= channels {
                    prop_assert_eq!(ours, 5);
                    continue;
                }
                let at = |row: &[u8], column: u32| u64::from(row[column as usize * channels + channel]);
                let side = |row: &[u8]| at(row, left) * u64::from(one - across) + at(row, right) * u64::from(across);
                let sum = side(above) * u64::from(one - down) + side(below) * u64::from(down);
                prop_assert_eq!(u64::from(ours), sum >> (2 * bits), "{}", set.name);
            }
        }
    }

    #[test]
    fn maxima_follow_the_definition(
        channels in 1usize..40,
        width in 1usize..9,
        kernel in 1usize..4,
        stride in 1usize..3,
        dilation in 1usize..3,
        bytes in prop::collection::vec(any::<u8>(), 40 * 9),
        output in 1usize..6,
    ) {
        let padding = kernel / 2;
        let windows = Windows { channels, input: width, output, kernel, stride, dilation, padding };
        let row = &bytes[..width * channels];
        for set in available() {
            let mut found = vec![5; output * (channels + 1)];
            (set.maximum_columns)(&windows, row, &mut found, channels + 1);
            for (index, &ours) in found.iter().enumerate() {
                let (x, channel) = (index / (channels + 1), index % (channels + 1));
                let columns = (0..kernel).map(|tap| (x * stride + tap * dilation).wrapping_sub(padding));
                let inside = columns.filter(|&column| column < width).map(|column| row[(column * channels + channel) % row.len()]);
                let expected = if channel < channels { inside.max().unwrap_or(0) } else { 5 };
                prop_assert_eq!(ours, expected, "{}", set.name);
            }
        }
    }
}

#[test]
fn additions_are_fused_multiply_adds() {
    let tensor = |scale, zero_point| Quantisation::new(scale, zero_point).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    for (a, b, sum) in [(0.02, 0.03, 0.04), (1.0, 0.001, 0.9), (0.003, 0.7, 2.9), (17.0, 17.0, 17.0)] {
        let (a, b, sum) = (tensor(a, 131), tensor(b, 7), tensor(sum, 99));
        let addition = Addition::new(a, b, sum).unwrap();
        for set in available() {
            for &inner in &all {
                let mut output = vec![0; 256];
                (set.add)(&addition, &all, &vec![inner; 256], &mut output);
                for (&outer, &ours) in all.iter().zip(&output) {
                    let exact = f32::from(outer).mul_add(addition.ratio, addition.inner[usize::from(inner)]);
                    assert_eq!(ours, exact.round_ties_even().clamp(0.0, 255.0) as u8, "{}", set.name);
                }
            }
        }
    }
}

/// A shape that once failed: sides and channels in and out, the window, what its factors begin with, zero points.
struct Shape {
    input: [usize; 3],
    output: [usize; 3],
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    padding: [usize; 2],
    groups: usize,
    factor: f32,
    zero_points: (u8, u8),
}

impl Shape {
    /// The shape filled in several ways; in some of them the input begins with zeros, as it did where the shape failed.
    fn problems(&self) -> Vec<Problem> {
        let mut state = 1u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        let outputs = self.output[2];
        let weights = outputs * self.kernel.iter().product::<usize>() * self.input[2] / self.groups;
        let length = self.input.iter().product();
        let mut fill = |filling: usize| {
            let zeros = [0, length / 8, length / 2][filling % 3];
            let convolution = Convolution {
                input: self.input,
                output: self.output,
                kernel: self.kernel,
                strides: self.strides,
                dilations: self.dilations,
                padding: self.padding,
                groups: self.groups,
                input_zero_point: self.zero_points.0,
                weights: (0..weights).map(|_| next() as u8 as i8).collect(),
                bias: (0..outputs).map(|_| (next() % 60_000) as i32 - 30_000).collect(),
                factors: (0..outputs).map(|channel| self.factor * (1 + channel % 3) as f32).collect(),
                requantise: Requantise::new(self.zero_points.1),
            };
            let input = (0..length).map(|at| if at < zeros { 0 } else { next() as u8 }).collect();
            Problem { convolution, input, output_zero_point: self.zero_points.1, gap: filling % 2 }
        };
        (0..12).map(&mut fill).collect()
    }
}

#[test]
fn a_depthwise_window_that_reaches_beyond_an_input_of_three_rows() {
    for padding in [[2, 0], [4, 6]] {
        let shape = Shape {
            input: [3, 10, 30],
            output: if padding == [2, 0] { [5, 13, 30] } else { [4, 10, 30] },
            kernel: [4, 5],
            strides: [3, 2],
            dilations: [2, 2],
            padding,
            groups: 30,
            factor: 0.009542095,
            zero_points: (0, 128),
        };
        for problem in shape.problems() {
            problem.check(|set| set.depthwise);
            problem.check(|set| set.convolution);
        }
    }
}

#[test]
fn a_grouped_window_that_reaches_beyond_an_input_of_one_row() {
    for padding in [[1, 0], [3, 4]] {
        let shape = Shape {
            input: [1, 5, 51],
            output: if padding == [1, 0] { [3, 5, 96] } else { [2, 3, 96] },
            kernel: [4, 5],
            strides: [2, 3],
            dilations: [1, 1],
            padding,
            groups: 3,
            factor: 0.0016983362,
            zero_points: (255, 0),
        };
        shape.problems().iter().for_each(|problem| problem.check(|set| set.convolution));
    }
}

#[test]
fn a_set_is_chosen_by_name() {
    assert_eq!(choose(Some("scalar")).unwrap().name, "scalar");
    assert!(choose(None).is_ok());
    assert!(choose(Some("")).is_err());
}
