//! Our TinyViT against LiteMedSAM's own code: reduced and with random weights on fixtures, and with the published weights
//! where they are; skipped, and said so, where they are not. `scripts/oracle/make_tiny_vit.py` makes both kinds of expected
//! values. `POLYP_DEVICE` names another device than the CPU.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use polyp_host::data::lists::data_folder;
use polyp_host::data::weights;
use polyp_host::device;
use polyp_host::net::encoder;
use polyp_host::net::encoder::tiny_vit::{LITE_MEDSAM, MINI, TinyVit, TinyVitConfig};
use polyp_host::net::forward::{Forward, Pass, Resident};
use polyp_host::net::parameters::{Parameters, array_of};
use polyp_host::net::prompts::Prompts;
use polyp_host::net::shapes::Shapes;
use safetensors::SafeTensors;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn device() -> Device {
    let name = std::env::var("POLYP_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    device::open(device::parse(&name).unwrap()).unwrap()
}

fn tiny_vit(config: TinyVitConfig) -> TinyVit {
    TinyVit::new(config, Prompts::none()).unwrap()
}

fn shapes(encoder: &TinyVit, side: usize) -> Shapes {
    let mut shapes = Shapes::default();
    encoder::encode(encoder, &mut shapes, &[3, side, side]);
    shapes
}

fn loaded(encoder: &TinyVit, path: &Path) -> Parameters {
    encoder::load(encoder, &shapes(encoder, 64), path).unwrap()
}

/// The script's `picture`.
fn picture(side: usize) -> Vec<f32> {
    let value = |c: usize, row: usize, column: usize| {
        ((3 * row + 5 * column + 50 * c + row * column / 8) % 256) as f32 / 256.0
    };
    let place = |i: usize| (i / (side * side), i / side % side, i % side);
    (0..3 * side * side).map(place).map(|(c, row, column)| value(c, row, column)).collect()
}

/// Extents and values of each feature of `picture`.
fn features(encoder: &TinyVit, parameters: &Parameters, side: usize) -> Vec<(Vec<usize>, Vec<f32>)> {
    let device = device();
    let resident = Resident::upload(parameters, &device);
    let nothing = Parameters::default();
    let mut net = Forward::new(&nothing, Some(&resident), &device, Pass::Inference);
    let input: Tensor<4> = net.tensor(picture(side), [1, 3, side, side]);
    let features = encoder::encode(encoder, &mut net, &input);
    let one = |feature: Tensor<4>| (feature.dims().to_vec(), feature.to_data().try_to_vec::<f32>().unwrap());
    features.into_iter().map(one).collect()
}

/// Windows that need padding, that need none, and one that is the whole picture.
#[test]
fn features_are_those_of_the_reference() {
    let encoder = tiny_vit(MINI);
    let parameters = loaded(&encoder, &fixture("tiny_vit_weights.safetensors"));
    let bytes = std::fs::read(fixture("tiny_vit_features.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    for side in [64, 96] {
        let found = features(&encoder, &parameters, side);
        assert_eq!(found.len(), 4);
        for (i, (extents, values)) in found.iter().enumerate() {
            let expected = array_of(&expected.tensor(&format!("f{side}_{i}")).unwrap()).unwrap();
            assert_eq!(*extents, expected.shape);
            let largest = expected.values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let off = values.iter().zip(&expected.values).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            eprintln!("{side}, feature {i}: {} of the largest value", off / largest);
            assert!(off < 1e-4 * largest, "{side}, feature {i}: {off} of {largest}");
        }
    }
}

/// Of each feature at 256 px: mean, mean and largest absolute value, and some values.
const PUBLISHED: [(f64, f64, f32, [f32; 6]); 4] = [
    (0.0272891, 0.511795, 3.81955, [0.0853172, -0.827295, -1.17968, -0.299742, -1.26794, -0.116783]),
    (-0.0013686, 0.256285, 3.47875, [1.99261, 0.0706908, 0.0864629, -0.630756, -0.301464, -0.666233]),
    (-0.0013686, 0.237994, 2.98673, [2.04688, -0.28448, -0.0757699, -0.00267714, 0.449856, 0.0108146]),
    (-0.0013686, 0.231496, 2.7192, [1.94619, 0.448617, -0.633637, -0.294604, 0.0711046, 0.128515]),
];

#[test]
fn published_weights_give_the_features_of_the_reference() {
    let path = weights::find(Path::new("weights/lite_medsam.pth"), &data_folder().unwrap_or_default());
    if !path.is_file() {
        eprintln!("skipped: no lite_medsam.pth; scripts/weights lite-medsam fetches it");
        return;
    }
    let encoder = tiny_vit(LITE_MEDSAM);
    let parameters = loaded(&encoder, &path);
    let begun = Instant::now();
    let found = features(&encoder, &parameters, 256);
    eprintln!("forward pass at 256 px: {:.2} s", begun.elapsed().as_secs_f64());
    let sides = [128, 64, 32, 16];
    for ((i, (extents, values)), (mean, size, largest, some)) in found.iter().enumerate().zip(PUBLISHED) {
        assert_eq!(*extents, [1, [128, 320, 320, 320][i], sides[i], sides[i]]);
        let mean_of =
            |f: fn(f32) -> f32| values.iter().map(|v| f64::from(f(*v))).sum::<f64>() / values.len() as f64;
        let offs = [(mean_of(|v| v) - mean) as f32, (mean_of(f32::abs) - size) as f32];
        let places = (0..some.len()).map(|n| values[n * 7919 % values.len()]);
        let ours = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let offs = offs.into_iter().chain(places.zip(some).map(|(a, b)| a - b)).chain([ours - largest]);
        let off = offs.fold(0.0f32, |m, off| m.max(off.abs()));
        eprintln!("feature {i}: {} of the largest value", off / largest);
        assert!(off < 1e-4 * largest, "feature {i}: {off} of {largest}");
    }
}

/// Parameters of the encoder alone, as PyTorch counts them.
#[test]
fn it_has_the_published_size() {
    let shapes = shapes(&tiny_vit(LITE_MEDSAM), 256);
    let learned = shapes.shapes().filter(|(name, _)| Parameters::is_trained(name));
    let count: usize = learned.map(|(_, shape)| shape.iter().product::<usize>()).sum();
    assert_eq!(count, 5_053_972);
}
