//! Our Hiera against Meta's own code, on the fixtures of the data folder's `golden/`, and its key tables; skipped, and
//! said so, where there is none. `POLYP_DEVICE` names another device than the CPU.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use polyp_edge::fault::{Exit, exit_of};
use polyp_host::data::lists::data_folder;
use polyp_host::device;
use polyp_host::net::encoder;
use polyp_host::net::encoder::Encoder;
use polyp_host::net::encoder::hiera::{BASE_PLUS, Hiera, HieraConfig, LARGE, MINI, SMALL, TINY};
use polyp_host::net::forward::{Forward, Pass, Resident};
use polyp_host::net::parameters::{Parameters, array_of};
use polyp_host::net::prompts::Prompts;
use polyp_host::net::shapes::Shapes;
use safetensors::SafeTensors;

fn golden() -> Option<PathBuf> {
    let folder = data_folder().ok().map(|folder| folder.join("golden")).filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("skipped: no golden/ in the data folder; set POLYP_DATA to it");
    }
    folder
}

fn device() -> Device {
    let name = std::env::var("POLYP_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    device::open(device::parse(&name).unwrap()).unwrap()
}

fn hiera(config: HieraConfig) -> Hiera {
    Hiera::new(config, Prompts::none()).unwrap()
}

fn shapes(encoder: &Hiera, side: usize) -> Shapes {
    let mut shapes = Shapes::default();
    encoder::encode(encoder, &mut shapes, &[3, side, side]);
    shapes
}

const MINI_L: HieraConfig = HieraConfig {
    channels: 16,
    heads: 2,
    stages: [1, 2, 4, 2],
    global: &[4, 6, 8],
    background: [7, 7],
    windows: [8, 4, 16, 8],
};
const MINI_B: HieraConfig = HieraConfig {
    channels: 16,
    heads: 2,
    stages: [1, 1, 3, 1],
    global: &[3, 4],
    background: [14, 14],
    windows: [8, 4, 14, 7],
};

/// Largest difference of each feature as a share of its largest value.
fn differences(encoder: &Hiera, parameters: &Parameters, io: &SafeTensors, side: usize) -> Vec<f32> {
    let tensor = |name: &str| array_of(&io.tensor(name).unwrap()).unwrap();
    let x = tensor(&format!("x{side}"));
    let device = device();
    let resident = Resident::upload(parameters, &device);
    let nothing = Parameters::default();
    let mut net = Forward::new(&nothing, Some(&resident), &device, Pass::Inference);
    let input: Tensor<4> = net.tensor(x.values, [1, 3, side, side]);
    let features = encoder::encode(encoder, &mut net, &input);
    assert_eq!(features.len(), 4);
    let one = |(i, feature): (usize, &Tensor<4>)| {
        let expected = tensor(&format!("f{side}_{i}"));
        assert_eq!(feature.dims().to_vec(), expected.shape);
        let ours = feature.to_data().try_to_vec::<f32>().unwrap();
        let largest = expected.values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        ours.iter().zip(&expected.values).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
    };
    features.iter().enumerate().map(one).collect()
}

#[test]
fn features_are_metas() {
    let Some(folder) = golden() else { return };
    let cases = [
        ("mini_t", "mini_t_weights.safetensors", MINI, vec![224, 352]),
        // The same weights in the layout of Meta's files.
        ("mini_t", "mini_t_meta_layout.pt", MINI, vec![224, 352]),
        ("mini_l", "mini_l_weights.safetensors", MINI_L, vec![256]),
        ("mini_b", "mini_b_weights.safetensors", MINI_B, vec![352]),
    ];
    for (name, weights, config, sides) in cases {
        let encoder = hiera(config);
        let bytes = std::fs::read(folder.join(format!("{name}_io.safetensors"))).unwrap();
        let io = SafeTensors::deserialize(&bytes).unwrap();
        for side in sides {
            let parameters = encoder::load(&encoder, &shapes(&encoder, side), &folder.join(weights)).unwrap();
            let found = differences(&encoder, &parameters, &io, side);
            eprintln!("{weights} at {side}: {found:?}");
            assert!(found.iter().all(|d| *d < 1e-4), "{weights} at {side}: {found:?}");
        }
    }
}

#[test]
fn every_published_size_has_the_keys_and_shapes_of_its_file() {
    let Some(folder) = golden() else { return };
    #[derive(serde::Deserialize)]
    struct Published {
        parameters: usize,
        keys: BTreeMap<String, Vec<usize>>,
    }
    let text = std::fs::read_to_string(folder.join("checkpoint_keys.json")).unwrap();
    let mut published: BTreeMap<String, Published> = serde_json::from_str(&text).unwrap();
    for (name, config) in [("tiny", TINY), ("small", SMALL), ("base_plus", BASE_PLUS), ("large", LARGE)] {
        let theirs = published.remove(&format!("sam2.1_hiera_{name}")).unwrap();
        let encoder = hiera(config);
        for side in [352, 1024] {
            let shapes = shapes(&encoder, side);
            let ours: BTreeMap<String, Vec<usize>> = shapes
                .shapes()
                .map(|(name, shape)| {
                    let key = format!("{}{}", encoder.published_prefix(), encoder.published_key(name));
                    (key, shape.to_vec())
                })
                .collect();
            assert_eq!(ours, theirs.keys, "{name}");
            let count: usize = ours.values().map(|shape| shape.iter().product::<usize>()).sum();
            assert_eq!(count, theirs.parameters, "{name}");
        }
    }
    assert!(published.is_empty());
}

#[test]
fn what_does_not_fit_is_listed_before_anything_is_computed() {
    let Some(folder) = golden() else { return };
    let (file, work) = (folder.join("mini_t_meta_layout.pt"), tempfile::tempdir().unwrap());
    let load = |config: HieraConfig, path: &std::path::Path| {
        let encoder = hiera(config);
        let error = encoder::load(&encoder, &shapes(&encoder, 224), path).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Data, "{error:#}");
        format!("{error:#}")
    };
    // A block more, a block less, wider.
    let longer = load(HieraConfig { stages: [1, 2, 3, 2], ..MINI }, &file);
    assert!(longer.contains("12 missing: image_encoder.trunk.blocks.7.norm1.weight"), "{longer}");
    let shorter = load(HieraConfig { stages: [1, 2, 3, 1], global: &[4], background: [9, 9], ..MINI }, &file);
    assert!(
        shorter.contains("image_encoder.trunk.pos_embed is [1, 24, 7, 7], not [1, 24, 9, 9]"),
        "{shorter}"
    );
    let fewer = load(HieraConfig { stages: [1, 2, 2, 1], global: &[4], ..MINI }, &file);
    assert!(fewer.contains("unknown: image_encoder.trunk.blocks.6."), "{fewer}");
    assert!(!fewer.contains("memory_attention") && !fewer.contains("neck"), "{fewer}");

    let whole = std::fs::read(&file).unwrap();
    for length in [0, 100, whole.len() / 2, whole.len() - 1000] {
        let cut = work.path().join("cut.pt");
        std::fs::write(&cut, &whole[..length]).unwrap();
        let text = load(MINI, &cut);
        assert!(text.contains("cut.pt"), "{text}");
    }
    let encoder = hiera(MINI);
    let nowhere = encoder::load(&encoder, &shapes(&encoder, 224), &work.path().join("no.pt")).unwrap_err();
    assert_eq!(exit_of(&nowhere), Exit::Io);
}
