use burn::tensor::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::graph::execute;
use crate::graph::fold::Fold;
use crate::net::decoder::{Attention, DecoderConfig, Mix, Skips};
use crate::net::encoder::efficientnet::{EfficientNet, Size};
use crate::net::encoder::{self, Encoder, EncoderKind};
use crate::net::forward::{Forward, Pass};
use crate::net::prompts::{Form, Prompts};
use crate::net::segmenter::{EncoderConfig, Segmenter, SegmenterConfig};
use crate::net::shapes::Shapes;
use crate::net::student::student;

fn small() -> SegmenterConfig {
    let decoder = DecoderConfig { branch_channels: 4, level_channels: 6, ..DecoderConfig::default() };
    SegmenterConfig { input_side: 64, decoder, ..SegmenterConfig::default() }
}

fn input(net: &Forward, mut pixels: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    let normalisation = Segmenter::new(&small()).unwrap().normalisation();
    normalisation.apply(&mut pixels, shape[2] * shape[3]);
    net.tensor(pixels, shape)
}

/// Random parameters with statistics that are not those of a fresh network.
fn parameters(config: &SegmenterConfig) -> Parameters {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let shapes = Segmenter::new(config).unwrap().shapes(config.input_side);
    let mut parameters = shapes.fresh(&mut rng, |_| true);
    for (name, array) in &mut parameters.0 {
        for value in &mut array.values {
            match name.rsplit('.').next() {
                Some("mean" | "beta") => *value = rng.random_range(-0.3..0.3),
                Some("variance" | "gamma") => *value = rng.random_range(0.6..1.6),
                _ => {}
            }
        }
    }
    parameters
}

/// The decoder in every form that the cart can be given.
fn forms() -> Vec<SegmenterConfig> {
    let small = small();
    let with = |change: &dyn Fn(&mut DecoderConfig)| {
        let mut config = small.clone();
        change(&mut config.decoder);
        config
    };
    vec![
        with(&|_| {}),
        with(&|d| d.attention = Attention::None),
        with(&|d| (d.attention, d.attention_reduction) = (Attention::SqueezeExcite, 2)),
        with(&|d| (d.mix, d.skips) = (Mix::Dense, Skips::Neighbours)),
        with(&|d| d.finest = 0),
        with(&|d| d.finest = 2),
        SegmenterConfig { encoder: EncoderConfig { width: 0.5, ..small.encoder.clone() }, ..small.clone() },
        SegmenterConfig {
            encoder: EncoderConfig { kind: EncoderKind::EfficientnetLite2, ..small.encoder.clone() },
            ..small.clone()
        },
    ]
}

#[test]
fn the_folded_graph_computes_what_the_network_computes() {
    for config in forms() {
        let side = config.input_side;
        let parameters = parameters(&config);
        let graph = Fold::graph(&parameters, side, |net, input| {
            student(
                net,
                input,
                &EfficientNet::new(config.encoder.kind.efficientnet().unwrap(), config.encoder.width),
                &config.decoder,
            )
        });
        graph.validate().unwrap();

        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let pixels: Vec<u8> = (0..3 * side * side).map(|_| rng.random()).collect();
        let mut net = Forward::inference(&parameters, &Device::flex());
        let x = input(&net, pixels.iter().map(|p| *p as f32).collect(), [1, 3, side, side]);
        let logits = Segmenter::new(&config).unwrap().logits(&mut net, &x);
        let low = side / (2 << config.decoder.finest);
        assert_eq!(logits.dims(), [1, 1, low, low]);
        let logits = logits.into_data().try_to_vec::<f32>().unwrap();

        let interleaved: Vec<u8> =
            (0..side * side).flat_map(|i| [0, 1, 2].map(|c| pixels[c * side * side + i])).collect();
        let input = execute::input_from_pixels(side, &interleaved).unwrap();
        let folded = execute::run(&graph, input, |_, _| {}).unwrap().data;
        let scale = logits.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
        for (a, b) in logits.iter().zip(&folded) {
            assert!((a - b).abs() < 1e-3 * scale, "{config:?}: {a} {b}");
        }
    }
}

#[test]
fn every_trained_value_gets_a_gradient() {
    for config in forms() {
        let side = config.input_side;
        let parameters = parameters(&config);
        let mut net = Forward::new(&parameters, None, &Device::flex(), Pass::Training);
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let pixels = (0..2 * 3 * side * side).map(|_| rng.random_range(0.0..255.0)).collect();
        let x = input(&net, pixels, [2, 3, side, side]);
        let depths = Segmenter::new(&config).unwrap().supervised(&mut net, &x);
        let sum = depths.into_iter().map(|logits| logits.square().sum()).reduce(|a, b| a + b).unwrap();
        let gradients = net.gradients(&sum.backward());
        for name in parameters.0.keys().filter(|name| Parameters::is_trained(name)) {
            let gradient = gradients.0.get(name).unwrap_or_else(|| panic!("{name} has no gradient"));
            assert_eq!(gradient.shape, parameters.get(name).shape, "{name}");
            assert!(gradient.values.iter().all(|g| g.is_finite()), "{name}");
            assert!(gradient.values.iter().any(|g| *g != 0.0), "{name}");
        }
        let statistics = net.batch_statistics();
        assert_eq!(statistics.0.len(), parameters.0.keys().filter(|n| !Parameters::is_trained(n)).count());
    }
}

#[test]
fn same_padding_is_tensorflows() {
    let spec = |kernel, stride| ConvSpec {
        filters: 1,
        kernel,
        stride,
        padding: Padding::Same,
        depthwise: false,
        after: After::Bias,
    };
    assert_eq!(spec(3, 2).pads(224, 224), [0, 0, 1, 1]);
    assert_eq!(spec(5, 2).pads(56, 56), [1, 1, 2, 2]);
    assert_eq!(spec(3, 2).pads(7, 9), [1, 1, 1, 1]);
    assert_eq!(spec(5, 1).pads(14, 14), [2, 2, 2, 2]);
    assert_eq!(
        [spec(3, 2), spec(1, 2), spec(5, 1)].map(|spec| spec.extent(7, 10)),
        [[4, 5], [4, 5], [7, 10]]
    );
    let sides = ConvSpec { padding: Padding::Sides(1), ..spec(3, 2) };
    assert_eq!((sides.pads(224, 224), sides.extent(224, 7)), ([1; 4], [112, 4]));
}

#[test]
fn checkpoints_come_back_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.safetensors");
    let own = parameters(&small());
    parameters::save(&path, &[("a", &own), ("b", &own.zeros_like())], [("step".into(), "3".into())].into())
        .unwrap();
    let (sets, notes) = parameters::load(&path).unwrap();
    assert_eq!((&sets["a"], &sets["b"], notes["step"].as_str()), (&own, &own.zeros_like(), "3"));

    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = parameters::load(&path).unwrap_err();
        assert_eq!(polyp_edge::fault::exit_of(&error), polyp_edge::fault::Exit::Data);
    }
    let mut other = own.clone();
    other.0.remove("head3.weight");
    assert!(own.clone().replace_with(other).unwrap_err().to_string().contains("head3.weight"));
}

/// Where the channels that go give nothing, a narrowed encoder computes what the published one does.
#[test]
fn a_narrowed_encoder_keeps_what_weighs() {
    let published = small();
    let narrow = SegmenterConfig {
        encoder: EncoderConfig { width: 0.5, ..published.encoder.clone() },
        ..published.clone()
    };
    let mut whole = parameters(&published);
    for (name, array) in &mut whole.0 {
        if name.starts_with("encoder.") && (name.ends_with(".gamma") || name.ends_with(".beta")) {
            array.values.iter_mut().skip(1).step_by(2).for_each(|value| *value = 0.0);
        }
    }
    let segmenter = Segmenter::new(&narrow).unwrap();
    let narrowed = segmenter.encoder.narrowed(whole.clone());
    let expected = segmenter.shapes(64);
    let expected: Vec<_> = expected.shapes().filter(|(name, _)| name.starts_with("encoder.")).collect();
    assert_eq!(narrowed.0.len(), expected.len());
    for (name, shape) in expected {
        assert_eq!(narrowed.get(name).shape, shape, "{name}");
    }
    // What each place of each feature adds up to, over channels in whatever order.
    let sums = |config: &SegmenterConfig, parameters: &Parameters| -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut net = Forward::inference(parameters, &Device::flex());
        let pixels = (0..3 * 64 * 64).map(|_| rng.random_range(0.0..255.0)).collect();
        let x = input(&net, pixels, [1, 3, 64, 64]);
        let encoder = Segmenter::new(config).unwrap().encoder;
        let features = encoder::encode(&encoder, &mut net, &x);
        let one = |x: Tensor<4>| x.sum_dim(1).into_data().try_to_vec::<f32>().unwrap();
        features.into_iter().flat_map(|x| [one(x.clone()), one(x.clone() * x)].concat()).collect()
    };
    let (whole, narrowed) = (sums(&published, &whole), sums(&narrow, &narrowed));
    assert_eq!(whole.len(), narrowed.len());
    let largest = whole.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(largest > 0.1 && whole.iter().zip(&narrowed).all(|(a, b)| (a - b).abs() < 1e-4 * largest));
    assert!(Segmenter::new(&published).unwrap().published().is_none());
    let refused = |width: f32, kind| EncoderKind::build(kind, width, &Prompts::none()).unwrap_err();
    assert!(refused(0.1, EncoderKind::EfficientnetLite0).contains("[0.25, 1]"));
    assert!(refused(0.5, EncoderKind::HieraTiny).contains("encoders other than efficientnet-lite"));
}

#[test]
fn tiny_vit_has_features_of_four_strides_and_takes_adapters_alone() {
    let high = Prompts { form: Form::HighFrequency, ..Prompts::default() };
    let why = EncoderKind::LiteMedsam.build(1.0, &high).unwrap_err();
    assert!(why.contains("prompts.form = \"adapter\""), "{why}");
    let beyond = Prompts { blocks: vec![10], ..Prompts::default() };
    assert!(
        EncoderKind::LiteMedsam.build(1.0, &beyond).unwrap_err().contains("block 10 of an encoder of 10")
    );
    let encoder = EncoderKind::LiteMedsam.build(1.0, &Prompts::default()).unwrap();
    for side in [32, 96, 256] {
        let mut shapes = Shapes::default();
        let features = encoder::encode(&encoder, &mut shapes, &[3, side, side]);
        let stride = encoder.finest_stride();
        let expected: Vec<[usize; 3]> = (0..4)
            .map(|n| [if n == 0 { 128 } else { 320 }, side / (stride << n), side / (stride << n)])
            .collect();
        assert_eq!(features, expected);
        let prompts = shapes.shapes().filter(|(name, _)| name.ends_with(".up.weight")).count();
        assert_eq!(prompts, 10);
    }
}

/// Channels, depth and parameters of the published checkpoints, without their last convolution and classifier.
#[test]
fn efficientnets_have_the_published_sizes() {
    for (size, channels, links, parameters) in [
        (Size::Lite0, [16, 24, 40, 112, 320], 17, 2_950_000..3_050_000),
        (Size::Lite1, [16, 24, 40, 112, 320], 22, 3_700_000..3_800_000),
        (Size::Lite2, [16, 24, 48, 120, 352], 22, 4_300_000..4_500_000),
    ] {
        let encoder = EfficientNet::new(size, 1.0);
        let mut shapes = Shapes::default();
        let features = encoder.encode(&mut shapes, &[3, 64, 64]);
        assert_eq!(features.iter().map(|shape| shape[0]).collect::<Vec<_>>(), channels, "{size:?}");
        assert_eq!(encoder.links(), links, "{size:?}");
        let counted = shapes.shapes().filter(|(name, _)| Parameters::is_trained(name));
        let counted: usize = counted.map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert!(parameters.contains(&counted), "{size:?}: {counted}");
    }
}
