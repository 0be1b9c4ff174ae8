//! A bundle of two convolutions that finds what is bright, written byte by byte: it needs no training and no host.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use polyp_edge::bundle::manifest::{Decision, Gate, Golden, Manifest, Provenance, TensorContract};
use polyp_edge::bundle::{MANIFEST, digest};
use polyp_edge::field_of_view::Rule;

const SIDE: u64 = 64;
/// Lists what the program wrote into a folder.
pub const RECORD: &str = ".polyp-edge-output.jsonl";

/// Protobuf: a field of bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// Protobuf: a number.
pub fn number(field: u8, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(u64::from(field) << 3, &mut out);
    varint(value, &mut out);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tensor(name: &str, dims: &[u64], data_type: u64, raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&dim| number(1, dim)).collect();
    field(5, &[dims, number(2, data_type), field(8, name.as_bytes()), field(9, raw)].concat())
}

fn value(place: u8, name: &str, dims: [u64; 4]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&dim| field(1, &number(1, dim))).collect();
    let kind = field(1, &[number(1, 2), field(2, &dims)].concat());
    field(place, &[field(1, name.as_bytes()), field(2, &kind)].concat())
}

/// A 3×3 QLinearConv of stride 2 whose weights are all the same: `mean × gain`.
fn conv(name: &str, input: &str, output: &str, channels: u64, scales: [f32; 2], gain: f32) -> Vec<u8> {
    let taps = 9 * channels;
    let constant = |what: &str| format!("{name}_{what}");
    let weights = vec![100u8; taps as usize];
    let weight_scale = gain / (100.0 * taps as f32);
    let initializers = [
        tensor(&constant("xs"), &[], 1, &scales[0].to_le_bytes()),
        tensor(&constant("xz"), &[], 2, &[127]),
        tensor(&constant("w"), &[1, channels, 3, 3], 3, &weights),
        tensor(&constant("ws"), &[1], 1, &weight_scale.to_le_bytes()),
        tensor(&constant("wz"), &[1], 3, &[0]),
        tensor(&constant("ys"), &[], 1, &scales[1].to_le_bytes()),
        tensor(&constant("yz"), &[], 2, &[127]),
    ];
    let ints = |name: &str, values: &[u64]| {
        let values: Vec<u8> = values.iter().flat_map(|&value| number(8, value)).collect();
        field(5, &[field(1, name.as_bytes()), values, number(20, 7)].concat())
    };
    let inputs = ["xs", "xz", "w", "ws", "wz", "ys", "yz"].map(|what| field(1, constant(what).as_bytes()));
    let node = [
        field(1, input.as_bytes()),
        inputs.concat(),
        field(2, output.as_bytes()),
        field(3, name.as_bytes()),
        field(4, b"QLinearConv"),
        ints("kernel_shape", &[3, 3]),
        ints("pads", &[1, 1, 1, 1]),
        ints("strides", &[2, 2]),
    ];
    [field(1, &node.concat()), initializers.concat()].concat()
}

/// Logit = 8 × mean of (pixel − 127) / 128.
pub fn onnx() -> Vec<u8> {
    let graph = [
        conv("first", "image", "middle", 3, [1.0 / 128.0, 1.0 / 128.0], 1.0),
        conv("second", "middle", "logits", 1, [1.0 / 128.0, 8.0 / 128.0], 8.0),
        field(2, b"bright"),
        value(11, "image", [1, 3, SIDE, SIDE]),
        value(12, "logits", [1, 1, SIDE / 4, SIDE / 4]),
    ];
    [number(1, 8), field(7, &graph.concat()), field(8, &number(2, 13))].concat()
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
    let manifest = Manifest {
        format_version: 1,
        name: "bright".into(),
        model_version: "1".into(),
        rollback_index: 0,
        model: "model.onnx".into(),
        input: tensor("image", [1, 3, side, side], 1.0 / 128.0),
        output: tensor("logits", [1, 1, side / 4, side / 4], 8.0 / 128.0),
        field_of_view: Rule::Find,
        decision: Decision { threshold: 0.7, min_region_share: 0.002, min_peak: 0.8 },
        gate: Gate { appear: 1, window: 1 },
        golden: vec![golden("golden/dark.png"), golden("golden/light.png")],
        provenance: Provenance::default(),
        files: contents.iter().map(|(name, bytes)| ((*name).to_owned(), digest(bytes))).collect(),
    };
    std::fs::create_dir_all(folder.join("golden")).unwrap();
    for (name, bytes) in &contents {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    std::fs::write(folder.join(MANIFEST), toml::to_string(&manifest).unwrap()).unwrap();
}

/// A dark red picture with a bright disc; gives the disc's mask.
pub fn write_picture(path: &Path, width: u32, height: u32, centre: (f32, f32), radius: f32) -> Vec<bool> {
    let inside = |x: u32, y: u32| (x as f32 + 0.5 - centre.0).hypot(y as f32 + 0.5 - centre.1) < radius;
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb(if inside(x, y) { [250, 240, 235] } else { [110, 60, 50] })
    });
    picture.save(path).unwrap();
    (0..width * height).map(|index| inside(index % width, index / width)).collect()
}

/// Runs the program, in `folder`.
pub fn polyp_edge(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_polyp-edge"))
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "warn")
        .output()
        .unwrap()
}

/// All files under a folder, by relative path, sorted; without the records of what was written there.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.file_name().unwrap() == RECORD => {}
                false => found.push(path.strip_prefix(folder).unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}
