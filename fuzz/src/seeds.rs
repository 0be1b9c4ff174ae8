//! Where fuzzing starts: the networks of the engine's own tests, bundles around some of them, and what the other targets
//! draw.

use std::fs;
use std::path::Path;

use polyp_edge::bundle::manifest::TensorContract;
use polyp_edge::engine::{Engine, Options};
use testing::bundle::manifest;
use testing::cases::Cases;

use crate::{bundles, models};

/// Longer ones make every input that comes of them slow.
const LONGEST_SEED: usize = 8192;

/// The engine's test cases, by name.
fn networks() -> impl Iterator<Item = (String, Vec<u8>)> {
    [Cases::ops(), Cases::hostile()].into_iter().flat_map(|cases| {
        cases.iter().map(|case| (case.name.to_owned(), case.model.to_vec())).collect::<Vec<_>>()
    })
}

/// Names and contents of files to start from.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// # Errors
/// None.
pub fn of_models() -> anyhow::Result<Seeds> {
    Ok(networks().collect())
}

/// # Errors
/// If a bundle cannot be made of a network.
pub fn of_bundles() -> anyhow::Result<Seeds> {
    let mut seeds = vec![];
    for (index, (name, network)) in networks().enumerate() {
        match models::for_bundle(&network) {
            Some(network) => seeds.push((name, bundle(&network)?)),
            // What no manifest describes ends early: a few will do.
            None if index % 8 == 0 => seeds.push((name, bundle(&network)?)),
            None => {}
        }
    }
    Ok(seeds)
}

/// A bundle whose manifest says of the network what is so, as far as a manifest can.
fn bundle(network: &[u8]) -> anyhow::Result<Vec<u8>> {
    let loaded = Engine::from_onnx(network, &Options::default()).ok();
    let nchw = |[height, width, channels]: [usize; 3]| [1, channels, height, width];
    let (input, output, (scale, zero_point)) = loaded
        .map_or(([32, 32, 3], [8, 8, 1], (0.1, 128)), |engine| {
            (engine.input_shape(), engine.output_shape(), engine.output_quantisation())
        });
    let tensor =
        |shape, scale, zero_point| TensorContract { name: "tensor".into(), shape, scale, zero_point };
    let files = [("model.onnx", "@model"), ("cards/card.md", "@card"), ("golden.png", "@golden")];
    let manifest =
        manifest(tensor(nchw(input), 0.0078125, 127), tensor(nchw(output), scale, zero_point), &files);
    let manifest = toml::to_string(&manifest)?;
    bundles::join(0, manifest.as_bytes(), network).ok_or_else(|| anyhow::anyhow!("a manifest is too long"))
}

/// Writes seeds and ends the process if `POLYP_FUZZ_SEEDS` names a folder for them.
pub fn write_if_asked(seeds: fn() -> anyhow::Result<Seeds>) {
    let Some(folder) = std::env::var_os("POLYP_FUZZ_SEEDS") else { return };
    let folder = Path::new(&folder);
    let write = || -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        for (name, seed) in seeds()?.into_iter().filter(|(_, seed)| seed.len() <= LONGEST_SEED) {
            fs::write(folder.join(name), seed)?;
        }
        Ok(())
    };
    if let Err(error) = write() {
        eprintln!("{}: {error:#}", folder.display());
        std::process::exit(74);
    }
    std::process::exit(0);
}
