//! A bundle of two convolutions that finds what is bright, written byte by byte: it needs no training and no host.

mod network;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use polyp_edge::bundle::manifest::{
    COMPATIBLE, Decision, Gate, Golden, Manifest, OperatingPoint, Provenance, Sensitivity, TensorContract,
};
use polyp_edge::bundle::signature::SigningKey;
use polyp_edge::bundle::{MANIFEST, SIGNATURE, digest};
use polyp_edge::field_of_view::Rule;

pub use network::{cells, onnx};

const SIDE: u64 = 64;

/// A manifest with one golden frame, `golden.png`, which is its own mask.
pub fn manifest(input: TensorContract, output: TensorContract, files: &[(&str, &str)]) -> Manifest {
    Manifest {
        format_version: 1,
        name: "seed".into(),
        model_version: "1".into(),
        rollback_index: 0,
        compatible: COMPATIBLE.into(),
        model: "model.onnx".into(),
        input,
        output,
        field_of_view: Rule::Find,
        decision: Decision { threshold: 0.5, min_region_share: 0.001, min_peak: 0.6 },
        gate: Gate { appear: 3, window: 5 },
        sensitivity: BTreeMap::new(),
        golden: vec![Golden { frame: "golden.png".into(), mask: "golden.png".into() }],
        provenance: Provenance::default(),
        files: files.iter().map(|&(name, digest)| (name.to_owned(), digest.to_owned())).collect(),
    }
}

/// Writes the bundle into `folder`, which must not be there.
pub fn write(folder: &Path) {
    write_model(folder, &onnx());
}

/// A bundle whose digests are right, whatever its model is.
pub fn write_model(folder: &Path, model: &[u8]) {
    let side = SIDE as usize;
    let tensor =
        |name: &str, shape, scale| TensorContract { name: name.into(), shape, scale, zero_point: 127 };
    // Nothing is bright in the dark, and everything in the light.
    let plain = |level: u8| {
        let mut png = std::io::Cursor::new(Vec::new());
        let picture = image::GrayImage::from_pixel(SIDE as u32, SIDE as u32, image::Luma([level]));
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        png.into_inner()
    };
    let contents =
        [("model.onnx", model.to_vec()), ("golden/dark.png", plain(0)), ("golden/light.png", plain(255))];
    let golden = |name: &str| Golden { frame: name.into(), mask: name.into() };
    let digests = contents.each_ref().map(|(name, bytes)| (*name, digest(bytes)));
    let files = digests.each_ref().map(|(name, digest)| (*name, digest.as_str()));
    let input = tensor("image", [1, 3, side, side], 1.0 / 128.0);
    let output = tensor("logits", [1, 1, side / 4, side / 4], 8.0 / 128.0);
    // So quiet that no logit of eight bits reaches its peak.
    let quiet = OperatingPoint {
        decision: Decision { threshold: 0.7, min_region_share: 0.002, min_peak: 0.9999 },
        gate: Gate { appear: 2, window: 3 },
    };
    let manifest = Manifest {
        name: "bright".into(),
        decision: Decision { threshold: 0.7, min_region_share: 0.002, min_peak: 0.8 },
        gate: Gate { appear: 1, window: 1 },
        sensitivity: BTreeMap::from([(Sensitivity::Quiet, quiet)]),
        golden: vec![golden("golden/dark.png"), golden("golden/light.png")],
        ..manifest(input, output, &files)
    };
    std::fs::create_dir_all(folder.join("golden")).unwrap();
    for (name, bytes) in &contents {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    std::fs::write(folder.join(MANIFEST), toml::to_string(&manifest).unwrap()).unwrap();
    sign(folder);
}

/// The same as another version, with a rollback index of its own.
pub fn write_version(folder: &Path, version: &str, rollback_index: u64) {
    write(folder);
    let path = folder.join(MANIFEST);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut manifest: Manifest = toml::from_str(&text).unwrap();
    (manifest.model_version, manifest.rollback_index) = (version.into(), rollback_index);
    std::fs::write(&path, toml::to_string(&manifest).unwrap()).unwrap();
    sign(folder);
}

/// The key that this process signs bundles with.
pub fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::new().unwrap())
}

/// Signs the manifest in a folder as it is now. The carts of tests trust the key.
pub fn sign(folder: &Path) {
    let manifest = std::fs::read(folder.join(MANIFEST)).unwrap();
    std::fs::write(folder.join(SIGNATURE), key().sign(&manifest, "a test's").unwrap()).unwrap();
}

/// Puts the public half of the key into a folder.
pub fn trust(keys: &Path) {
    std::fs::create_dir_all(keys).unwrap();
    std::fs::write(keys.join("test.pub"), key().public().unwrap()).unwrap();
}
