//! From a float graph to scores of a bundle, through the program itself, on rendered frames: needs no data set.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use polyp_edge::bundle::Bundle;
use polyp_edge::capture::synthetic::Colon;
use polyp_host::graph::{Graph, INPUT, Node, Op, Tensor4};
use polyp_host::model::cart::cart_engine;
use polyp_host::score::lists::Scorer;

const SIDE: usize = 64;

/// A filter for red bumps: blurred colour differences, pooled, brought back up and summed.
fn graph() -> Graph {
    let conv = |shape: [usize; 4], weight: &dyn Fn(usize) -> f32, bias: Vec<f32>, stride, pads, relu6| {
        let data = (0..shape.iter().product()).map(weight).collect();
        Op::Conv { weight: Tensor4 { shape, data }, bias, stride, pads, groups: 1, relu6 }
    };
    let node = |name: &str, op, inputs: &[&str]| Node {
        name: name.into(),
        op,
        inputs: inputs.iter().map(|name| name.to_string()).collect(),
    };
    let colour = |index: usize| [0.3, -0.2, -0.1, 0.1, 0.1, 0.1, -0.2, 0.3, 0.1][index / 16];
    let nodes = vec![
        node("colour", conv([3, 3, 4, 4], &colour, vec![0.5, 0.2, 0.1], 4, [0; 4], true), &[INPUT]),
        node("pooled", Op::MaxPool { size: 2 }, &["colour"]),
        node("back", Op::ResizeBilinear { factor: 2 }, &["pooled"]),
        node("both", Op::Concat, &["colour", "back"]),
        node(
            "logits",
            conv([1, 6, 3, 3], &|i| [0.2, -0.1, -0.1, 0.2, -0.1, -0.1][i / 9], vec![-0.5], 1, [1; 4], false),
            &["both"],
        ),
    ];
    Graph { input_side: SIDE, nodes, output: "logits".into() }
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// A data folder of rendered frames, with and without polyps, and the graph's file.
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let (width, height) = (120, 96);
        let colon = Colon::new(width, height, 5);
        let data = folder.path().join("data");
        for part in ["rendered/images", "rendered/masks", "clean/images", "splits"] {
            std::fs::create_dir_all(data.join(part)).unwrap();
        }
        let (mut polyps, mut clean) = (String::new(), String::new());
        for number in (0..3000).step_by(30) {
            let (frame, mask) = colon.render(number);
            let (set, list) = match mask.area_px() {
                0 => ("clean", &mut clean),
                area if area > 60 => ("rendered", &mut polyps),
                _ => continue,
            };
            if list.lines().count() == 12 {
                continue;
            }
            let size = (width as u32, height as u32);
            let path = |part: &str| data.join(set).join(part).join(format!("r{number}.png"));
            let rows: Vec<u8> = (0..height).flat_map(|y| frame.row(y).to_vec()).collect();
            image::save_buffer(path("images"), &rows, size.0, size.1, image::ColorType::Rgb8).unwrap();
            if set == "rendered" {
                image::save_buffer(path("masks"), &mask.pixels, size.0, size.1, image::ColorType::L8)
                    .unwrap();
            }
            list.push_str(&format!("{set}/r{number}\n"));
        }
        assert!(polyps.lines().count() >= 4 && clean.lines().count() >= 4, "{polyps} {clean}");
        std::fs::write(data.join("splits/polyps.txt"), polyps).unwrap();
        std::fs::write(data.join("splits/clean.txt"), clean).unwrap();
        graph().save(&folder.path().join("graph.safetensors")).unwrap();
        Bench { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_polyp-host"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("POLYP_DATA", self.path("data"))
            .output()
            .unwrap()
    }

    fn succeed(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with this code, saying one line that names `what`.
    fn fail(&self, line: &str, code: i32, what: &str) {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("polyp-host: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(what), "{line}: {said}");
    }
}

const CALIBRATE: &str = "calibrate --graph graph.safetensors --list polyps --negatives clean --whole-lists --frames 8 \
                         --out calibration";
const EXPORT: &str = "export --graph graph.safetensors --calibration calibration --out models/tiny --name tiny \
                      --f32 tiny.onnx --trained-on polyps --seed 9 --evaluate polyps --evaluate clean";

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".polyp-edge-output.jsonl");
    names.sort();
    names
}

#[test]
fn a_graph_becomes_a_bundle_with_scores() {
    let bench = Bench::new();
    bench.succeed(CALIBRATE);
    bench.succeed(EXPORT);
    assert_eq!(names(&bench.path("models")), ["tiny"]);
    let expected = ["MODEL_CARD.md", "failures.jpg", "golden", "manifest.toml", "model.onnx"];
    assert_eq!(names(&bench.path("models/tiny")), expected);
    let failures = image::open(bench.path("models/tiny/failures.jpg")).unwrap();
    assert_eq!((failures.width(), failures.height()), (640, 3 * 256));

    let bundle = Bundle::open(&bench.path("models/tiny")).unwrap();
    let manifest = &bundle.manifest;
    assert_eq!(manifest.provenance.seeds, [9]);
    assert_eq!(manifest.provenance.data, ["rendered: 12 frames"]);
    assert!(manifest.golden.len() >= 2);
    let mut scorer = Scorer::new(
        cart_engine(&bundle.read(&manifest.model).unwrap()).unwrap(),
        &manifest.decision,
        manifest.field_of_view,
    )
    .unwrap();
    for golden in &manifest.golden {
        let picture = image::load_from_memory(&bundle.read(&golden.frame).unwrap()).unwrap().into_rgb8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let frame = polyp_edge::frame::Frame::from_rgb(width, height, picture.into_raw()).unwrap();
        let mask =
            image::load_from_memory(&bundle.read(&golden.mask).unwrap()).unwrap().into_luma8().into_raw();
        assert_eq!(scorer.mask(&frame).unwrap().0, mask, "{}", golden.frame);
    }

    let line =
        "evaluate --model models/tiny --list polyps --list clean --f32 tiny.onnx --json --csv images.csv";
    let report: serde_json::Value = serde_json::from_str(&bench.succeed(line)).unwrap();
    assert_eq!(report["schema"], 1);
    let (polyps, clean) = (&report["lists"]["polyps"], &report["lists"]["clean"]);
    assert_eq!(polyps["int8"]["frames"], 12);
    assert!(polyps["int8"]["false_alarm_share"].is_null());
    assert_eq!(clean["int8"]["polyp_free"], 12);
    for (list, name) in [(polyps, "polyps"), (clean, "clean")] {
        let told = manifest.provenance.scores[name]["dice"];
        assert!((list["int8"]["dice"].as_f64().unwrap() - told).abs() < 1e-9, "{name}");
        assert!(list["dice_difference"].as_f64().unwrap().abs() < 0.05, "{list}");
    }
    let rows = std::fs::read_to_string(bench.path("images.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + 2 * 24);
    let told = &manifest.provenance.scores["polyps"];
    assert!(told.contains_key("field's mDice") && told.contains_key("missed"), "{told:?}");
    assert!(!manifest.provenance.scores["clean"].contains_key("missed"));
}

#[test]
fn a_bundle_is_looked_at_from_other_sides() {
    let bench = Bench::new();
    bench.succeed(CALIBRATE);
    let evidence = names(&bench.path("calibration"));
    for file in ["equalisation.csv", "sensitivity.csv", "sensitivity.png"] {
        assert!(evidence.iter().any(|name| name == file), "{file}: {evidence:?}");
    }
    let tried = std::fs::read_to_string(bench.path("calibration/calibration.toml")).unwrap();
    assert!(tried.contains("[calibration_dice]") && tried.contains("\"entropy corrected\""), "{tried}");
    bench.succeed(&format!("{EXPORT} --qdq qdq.onnx --qdq-symmetric symmetric.onnx"));
    let card = std::fs::read_to_string(bench.path("models/tiny/MODEL_CARD.md")).unwrap();
    let (_, curve) = card.split_once("Operating curve").unwrap();
    let shares = |column: usize| -> Vec<f64> {
        let rows = curve.lines().skip(4).take_while(|row| row.starts_with('|'));
        rows.map(|row| row.split('|').nth(column).unwrap().trim_matches([' ', '%']).parse().unwrap())
            .collect()
    };
    let (peaks, missed, marked) = (shares(1), shares(2), shares(3));
    assert!(
        peaks.len() > 5 && peaks.is_sorted() && missed.is_sorted() && marked.is_sorted_by(|a, b| a >= b),
        "{curve}"
    );
    for file in ["qdq.onnx", "symmetric.onnx"] {
        assert!(bench.path(file).metadata().unwrap().len() > 500, "{file}");
    }

    let line = "evaluate --model models/tiny --list polyps --maps maps --failures failures --worst 3";
    bench.succeed(line);
    assert_eq!(names(&bench.path("failures")), ["polyps-01.png", "polyps-02.png", "polyps-03.png"]);
    assert_eq!(names(&bench.path("maps/rendered")).len(), 12);
    assert!(bench.succeed("measure maps --list polyps").contains("polyps"));

    let line = "robustness --model models/tiny --list polyps --json --out robustness";
    let report: serde_json::Value = serde_json::from_str(&bench.succeed(line)).unwrap();
    let disturbed = report["disturbed"].as_object().unwrap();
    assert!(disturbed.len() == 8 && disturbed.values().all(|of| of.as_array().unwrap().len() == 5));
    assert!((report["dice"].as_f64().unwrap() - dice(&bench, "polyps")).abs() < 1e-9);
    assert_eq!(names(&bench.path("robustness")), ["robustness.csv", "robustness.png"]);

    let line = "flicker --model models/tiny data/rendered/images --appear 1 --window 1 --json";
    let report: serde_json::Value = serde_json::from_str(&bench.succeed(line)).unwrap();
    let video = &report["videos"][0];
    assert_eq!(video["frames"], 12);
    assert_eq!(video["changes_found"], video["changes_shown"]);
    bench.fail("flicker --model models/tiny nowhere", 74, "nowhere");

    // Ranges from elsewhere: no search, decision rules only.
    std::fs::copy(bench.path("calibration/ranges.csv"), bench.path("ranges.csv")).unwrap();
    let trained = CALIBRATE.replace("--out calibration", "--out trained");
    assert!(bench.succeed(&format!("{trained} --ranges ranges.csv")).contains("trained plain"));
    std::fs::write(bench.path("short.csv"), "tensor,seen_low,seen_high,scale,zero_point\n").unwrap();
    bench.fail(&format!("{trained} --ranges short.csv"), 65, "no range");
}

#[test]
fn of_networks_only_those_go_into_a_mean_that_do_it_good() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("run")).unwrap();
    graph().save(&bench.path("run/graph.safetensors")).unwrap();
    // Finds nothing, and in the middle between both nothing is found either.
    let mut blind = graph();
    let Op::Conv { bias, .. } = &mut blind.nodes[4].op else { panic!("no convolution") };
    bias[0] = -30.0;
    blind.save(&bench.path("blind.safetensors")).unwrap();

    let line =
        "soup --graph blind.safetensors --graph run --input-side 96 --list polyps --whole-lists --out mean";
    let said = bench.succeed(line);
    let verdicts: Vec<&str> =
        said.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(verdicts, ["in", "out"], "{said}");
    assert_eq!(names(&bench.path("mean")), ["graph.safetensors", "soup.csv"]);
    let mean = Graph::load(&bench.path("mean/graph.safetensors")).unwrap();
    assert_eq!(mean, Graph { input_side: 96, ..graph() });
    let rows = std::fs::read_to_string(bench.path("mean/soup.csv")).unwrap();
    assert!(rows.starts_with("graph,sha256,plain,disturbed") && rows.lines().count() == 3, "{rows}");

    blind.nodes[4].name = "other".into();
    blind.output = "other".into();
    blind.save(&bench.path("other.safetensors")).unwrap();
    let line = "soup --graph run --graph other.safetensors --list polyps --whole-lists --out not";
    bench.fail(line, 65, "other.safetensors");
    bench.fail("soup --graph run --input-side 50 --out not", 2, "--input-side 50");
    bench.fail("soup --graph run --out not", 74, "train");
    std::fs::write(bench.path("data/splits/none.txt"), "").unwrap();
    bench.fail("soup --graph run --list none --out not", 65, "none.txt is empty");
    assert!(!bench.path("not").exists());
}

fn dice(bench: &Bench, list: &str) -> f64 {
    let line = format!("evaluate --model models/tiny --list {list} --json");
    let report: serde_json::Value = serde_json::from_str(&bench.succeed(&line)).unwrap();
    report["lists"][list]["int8"]["dice"].as_f64().unwrap()
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let bench = Bench::new();
    bench.fail(&format!("{CALIBRATE} --observer nonsense"), 2, "nonsense");
    bench.fail(&CALIBRATE.replace("polyps", "nobody"), 74, "nobody");
    assert!(!bench.path("calibration").exists());
    bench.succeed(&format!("{CALIBRATE} --observer min-max"));

    let mut other = graph();
    other.nodes[0].name = "other".into();
    other.nodes[1].inputs[0] = "other".into();
    other.nodes[3].inputs[0] = "other".into();
    other.save(&bench.path("other.safetensors")).unwrap();
    bench.fail(&EXPORT.replace("graph.s", "other.s"), 65, "another graph");
    bench.fail(&format!("{EXPORT} --run nowhere"), 74, "nowhere");
    std::fs::create_dir_all(bench.path("models/tiny")).unwrap();
    std::fs::write(bench.path("models/tiny/notes.txt"), "mine").unwrap();
    bench.fail(EXPORT, 2, "models/tiny");
    assert_eq!(names(&bench.path("models")), ["tiny"]);
    std::fs::remove_dir_all(bench.path("models")).unwrap();
    bench.succeed(EXPORT);
    // The next one is nobody's yet.
    std::fs::write(bench.path("models/tiny/manifest.toml.sig"), "of the one before").unwrap();
    bench.succeed(EXPORT);
    assert!(!bench.path("models/tiny/manifest.toml.sig").exists());

    bench.fail("evaluate --model nowhere --list polyps", 74, "nowhere");
    bench.fail("evaluate --model models/tiny --list polyps --f32 graph.safetensors", 65, "float ONNX");
    let model = bench.path("models/tiny/model.onnx");
    let mut bytes = std::fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    bench.fail("evaluate --model models/tiny --list polyps", 65, "model.onnx");
    std::fs::write(bench.path("graph.safetensors"), "short").unwrap();
    bench.fail("graph graph.safetensors", 65, "graph.safetensors");
}

const GO_ON: &str = r#"
epochs = 2
batch = 4
lists = ["polyps"]
negative_lists = ["clean"]
depth_weights = [1.0, 0.0, 0.0]
rendered = 0
[quantised]
bundle = "models/tiny"
"#;

#[test]
fn training_goes_on_from_a_bundle_as_the_same_network() {
    let bench = Bench::new();
    bench.succeed(CALIBRATE);
    bench.succeed(EXPORT);
    std::fs::write(bench.path("on.toml"), GO_ON).unwrap();
    bench.succeed("distill --out runs/on --config on.toml");
    let curve = std::fs::read_to_string(bench.path("runs/on/curve.csv")).unwrap();
    assert_eq!(curve.lines().count(), 3, "{curve}");
    let again = "calibrate --graph runs/on/graph.safetensors --ranges runs/on/ranges.csv --list polyps --negatives clean \
                 --whole-lists --frames 8 --out calibrated-on";
    bench.succeed(again);
    let export = "export --graph runs/on/graph.safetensors --calibration calibrated-on --out models/on --name on \
                  --trained-on polyps --run runs/on";
    bench.succeed(export);
    assert!(Bundle::open(&bench.path("models/on")).is_ok());

    // A bundle, or a graph with its calibration: not both, not neither.
    let both = GO_ON.replace("[quantised]", "[quantised]\ngraph = \"graph.safetensors\"");
    std::fs::write(bench.path("both.toml"), both).unwrap();
    bench.fail("distill --out runs/both --config both.toml", 78, "needs bundle, or graph and calibration");
    std::fs::write(bench.path("none.toml"), GO_ON.replace("models/tiny", "models/none")).unwrap();
    bench.fail("distill --out runs/none --config none.toml", 74, "models/none");
}
