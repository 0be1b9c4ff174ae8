//! Where fuzzing starts: the networks of the engine's own tests, bundles around some of them, and what the other targets
//! draw.

use std::fs;
use std::path::Path;

use polyp_edge::bundle::manifest::{
    Decision, FieldOfViewRule, Gate, Golden, Manifest, Provenance, TensorContract,
};
use polyp_edge::engine::{Engine, Options};

use crate::{bundles, models};

/// Longer ones make every input that comes of them slow.
const LONGEST_SEED: usize = 8192;

/// u64 length, JSON, bytes: see scripts/oracle/nets.py.
const CASES: [&[u8]; 2] = [
    include_bytes!("../../tests/fixtures/engine/ops.cases"),
    include_bytes!("../../tests/fixtures/engine/hostile.cases"),
];

#[derive(serde::Deserialize)]
struct Header {
    cases: Vec<Entry>,
}

/// Name, and start and length of the model.
#[derive(serde::Deserialize)]
struct Entry {
    name: String,
    model: [usize; 2],
}

fn networks() -> anyhow::Result<Vec<(String, &'static [u8])>> {
    let mut networks = vec![];
    for cases in CASES {
        let (length, rest) = cases.split_first_chunk::<8>().ok_or_else(|| anyhow::anyhow!("no cases"))?;
        let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length))?);
        for Entry { name, model: [start, length] } in serde_json::from_slice::<Header>(header)?.cases {
            networks.push((name, &data[start..start + length]));
        }
    }
    Ok(networks)
}

/// Names and contents of files to start from.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// # Errors
/// If the engine's test cases cannot be read.
pub fn of_models() -> anyhow::Result<Seeds> {
    Ok(networks()?.into_iter().map(|(name, network)| (name, network.to_vec())).collect())
}

/// # Errors
/// As [`of_models`].
pub fn of_bundles() -> anyhow::Result<Seeds> {
    let mut seeds = vec![];
    for (index, (name, network)) in networks()?.into_iter().enumerate() {
        match models::for_bundle(network) {
            Some(network) => seeds.push((name, bundle(&network)?)),
            // What no manifest describes ends early: a few will do.
            None if index % 8 == 0 => seeds.push((name, bundle(network)?)),
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

/// A manifest with one golden frame, `golden.png`, which is its own mask.
pub fn manifest(input: TensorContract, output: TensorContract, files: &[(&str, &str)]) -> Manifest {
    Manifest {
        format_version: 1,
        name: "seed".into(),
        model_version: "1".into(),
        rollback_index: 0,
        model: "model.onnx".into(),
        input,
        output,
        field_of_view: FieldOfViewRule::Find,
        decision: Decision { threshold: 0.5, min_region_share: 0.001, min_peak: 0.6 },
        gate: Gate { appear: 3, window: 5 },
        golden: vec![Golden { frame: "golden.png".into(), mask: "golden.png".into() }],
        provenance: Provenance::default(),
        files: files.iter().map(|&(name, digest)| (name.to_owned(), digest.to_owned())).collect(),
    }
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
