//! Every kernel of every set that this machine runs, at shapes that a network for a cart has.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use polyp_edge::engine::kernels::{self, Blends, Convolution, Kernels, Rows, Scratch, Windows};
use polyp_edge::engine::quantise::{Addition, Product, Quantisation, Requantise};

/// Op and name, side, input channels, output channels, kernel, stride, groups.
type Shape = ([&'static str; 2], usize, usize, usize, usize, usize, usize);

const CONVOLUTIONS: [Shape; 11] = [
    (["stem", "3×3 /2"], 256, 3, 32, 3, 2, 1),
    (["conv 1×1", "expand"], 64, 24, 144, 1, 1, 1),
    (["conv 1×1", "project"], 64, 144, 24, 1, 1, 1),
    (["conv 1×1", "deep"], 8, 192, 1152, 1, 1, 1),
    (["conv 3×3", "narrow"], 64, 24, 24, 3, 1, 1),
    (["conv 3×3", "wide"], 32, 64, 64, 3, 1, 1),
    (["conv 3×3", "to one channel"], 64, 48, 1, 3, 1, 1),
    (["depthwise", "3×3"], 64, 144, 144, 3, 1, 144),
    (["depthwise", "3×3 /2"], 64, 144, 144, 3, 2, 144),
    (["depthwise", "5×5"], 32, 240, 240, 5, 1, 240),
    (["depthwise", "5×5 /2"], 32, 240, 240, 5, 2, 240),
];

fn convolution((_, side, inputs, outputs, kernel, stride, groups): Shape) -> Convolution {
    let mut convolution = Convolution {
        input: [side, side, inputs],
        output: [side / stride, side / stride, outputs],
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        padding: [(kernel - stride) / 2; 2],
        groups,
        input_zero_point: 3,
        weights: vec![],
        bias: vec![1000; outputs],
        factors: vec![0.001; outputs],
        requantise: Requantise::new(128),
    };
    let length = outputs * convolution.sum_length();
    convolution.weights = (0..length).map(|index| (index * 37 % 255) as u8 as i8).collect();
    convolution.check().expect("the benchmark's own shapes fit");
    convolution
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 97 % 251) as u8).collect()
}

fn convolutions(criterion: &mut Criterion, set: &Kernels) {
    for shapes in CONVOLUTIONS.chunk_by(|a, b| a.0[0] == b.0[0]) {
        let mut group = criterion.benchmark_group(format!("{}/{}", shapes[0].0[0], set.name));
        for &shape in shapes {
            let convolution = convolution(shape);
            let pack = if convolution.is_depthwise() { set.depthwise } else { set.convolution };
            let kernel = pack(&convolution);
            let input = bytes(convolution.input.iter().product());
            let mut output = vec![0; convolution.output.iter().product()];
            group.throughput(Throughput::Elements(convolution.multiply_adds()));
            let mut scratch = Scratch::default();
            kernel.reserve(&mut scratch);
            let [height, _, channels] = convolution.output;
            group.bench_function(shape.0[1], |bencher| {
                let rows = Rows::whole(&input, convolution.input[1] * convolution.input[2]);
                bencher.iter(|| kernel.run(rows, 0..height, &mut output, channels, &mut scratch));
            });
        }
    }
}

fn elementwise(criterion: &mut Criterion, set: &Kernels) {
    const CHANNELS: usize = 24;
    const VALUES: usize = 64 * 64 * CHANNELS;
    let tensor = |scale, zero_point| Quantisation::new(scale, zero_point).expect("a sensible scale");
    let (a, b, sum) = (tensor(0.02, 128), tensor(0.03, 7), tensor(0.04, 100));
    let addition = Addition::new(a, b, sum).expect("scales that fit");
    let product = Product::new(a, b, sum).expect("scales that fit");
    let table = Box::new(std::array::from_fn(|stored| 255 - stored as u8));
    let (first, second) = (bytes(VALUES), bytes(VALUES + 1)[1..].to_vec());
    let mut output = vec![0; VALUES];
    let mut sums = vec![0; CHANNELS];

    let mut measure = |op: &str, name: &str, work: &mut dyn FnMut()| {
        let mut group = criterion.benchmark_group(format!("{op}/{}", set.name));
        group.throughput(Throughput::Elements(VALUES as u64));
        group.bench_function(name, |bencher| bencher.iter(&mut *work));
    };
    measure("add", "tensors", &mut || (set.add)(&addition, &first, &second, &mut output));
    measure("add", "one value a channel", &mut || {
        (set.add_channels)(&addition, &first, &second[..CHANNELS], &mut output);
    });
    measure("multiply", "tensors", &mut || (set.multiply)(&product, &first, &second, &mut output));
    measure("multiply", "gate", &mut || {
        (set.multiply_channels)(&product, &first, &second[..CHANNELS], &mut output);
    });
    measure("lookup", "table", &mut || (set.lookup)(&table, &first, &mut output));
    measure("global average", "sums", &mut || {
        sums.fill(0);
        (set.sum_channels)(&first, &mut sums);
    });
    let windows =
        Windows { channels: CHANNELS, input: 64, output: 32, kernel: 2, stride: 2, dilation: 1, padding: 0 };
    measure("max pool", "2×2 /2", &mut || {
        let rows = first.chunks_exact(2 * 64 * CHANNELS).zip(output.chunks_exact_mut(32 * CHANNELS));
        let mut highest = [0; 64 * CHANNELS];
        rows.for_each(|(rows, output)| {
            let (above, below) = rows.split_at(64 * CHANNELS);
            highest.copy_from_slice(above);
            (set.maximum)(below, &mut highest);
            (set.maximum_columns)(&windows, &highest, output, CHANNELS);
        });
    });
    // To twice the size.
    let pair = |x: u32| {
        let weight = if x.is_multiple_of(2) { 3 } else { 1 };
        (x.saturating_sub(1) / 2, x.div_ceil(2).min(31), weight)
    };
    let pairs: Vec<(u32, u32, u16)> = (0..64).map(pair).collect();
    let blends = Blends { channels: CHANNELS, pairs: &pairs, one: 4, shift: 4 };
    let mut row = vec![0u16; 32 * CHANNELS];
    measure("resize", "bilinear ×2", &mut || {
        for (y, output) in output.chunks_exact_mut(64 * CHANNELS).enumerate() {
            let [above, below] = [y / 2, y / 2 + 1].map(|y| &first[y * 32 * CHANNELS..][..32 * CHANNELS]);
            (set.blend_rows)(above, below, [3, 1], &mut row);
            (set.blend_columns)(&blends, &row, output, CHANNELS);
        }
    });
}

fn all(criterion: &mut Criterion) {
    for set in kernels::available() {
        convolutions(criterion, set);
        elementwise(criterion, set);
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
