//! The six measures against the field's reference implementation, on maps made of real masks: blurred, shifted, noisy, faint.
//!
//! Needs the data folder and a Python with `scripts/measures/requirements.txt` (`POLYP_PYTHON`, else `python3`); skips without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use polyp_host::data::lists::data_folder;
use polyp_host::measures::{Accumulator, FrameMeasures, Map, Measures};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TOLERANCE: f64 = 1e-6;
/// With polyps, and frames whose mask is empty.
const MAPS: [(&str, usize, bool); 3] =
    [("kvasir-seg", 90, false), ("cvc-colondb", 90, false), ("polypgen", 20, true)];

#[derive(serde::Deserialize)]
struct Reference {
    list: BTreeMap<String, f64>,
    maps: BTreeMap<String, BTreeMap<String, f64>>,
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/measures")
}

/// A Python that has the reference; `None`, with a line that says so, if there is none. With `POLYP_ORACLE=required` that is
/// a failure.
fn python() -> Option<Command> {
    let python = std::env::var_os("POLYP_PYTHON").unwrap_or_else(|| "python3".into());
    let probe = Command::new(&python).args(["-c", "import py_sod_metrics, PIL"]).output();
    if probe.is_ok_and(|probe| probe.status.success()) {
        return Some(Command::new(python));
    }
    let problem = "this Python finds no pysodmetrics: pip install -r scripts/measures/requirements.txt";
    assert_ne!(std::env::var("POLYP_ORACLE").as_deref(), Ok("required"), "{problem}");
    eprintln!("skipped: {problem}");
    None
}

/// `count` masks of a data set, evenly picked; empty ones or others.
fn masks(data: &Path, set: &str, count: usize, empty: bool) -> Vec<image::GrayImage> {
    let files = std::fs::read_dir(data.join(set).join("masks")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let step = if empty { 1 } else { files.len() / count };
    let read = |path: &PathBuf| image::open(path).unwrap().into_luma8();
    let wanted = |mask: &image::GrayImage| mask.pixels().all(|pixel| pixel.0 == [0]) == empty;
    files.iter().step_by(step.max(1)).map(read).filter(wanted).take(count).collect()
}

/// The mean of 2·reach + 1 values along one direction, edges repeated.
fn blur(values: &[f32], reach: i64, at: impl Fn(usize, i64) -> usize) -> Vec<f32> {
    let mean = |index: usize| (-reach..=reach).map(|away| values[at(index, away)]).sum::<f32>();
    (0..values.len()).map(|index| mean(index) / (2 * reach + 1) as f32).collect()
}

/// What a network might have said of this mask.
fn map_of(mask: &image::GrayImage, turn: usize) -> image::GrayImage {
    let mut random = ChaCha8Rng::seed_from_u64(turn as u64);
    let (width, height) = (i64::from(mask.width()), i64::from(mask.height()));
    let shift = [width, height].map(|side| random.random_range(-side / 12..=side / 12));
    let reach = [0, 1, 3, 8][turn % 4];
    let (low, high) = [(0.0, 255.0), (0.0, 180.0), (20.0, 90.0), (-60.0, 300.0), (128.0, 128.0)][turn % 5];
    let noise = [0.0, 4.0, 40.0][turn % 3];
    let index = |x: i64, y: i64| (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)) as usize;
    let place = |index: usize| (index as i64 % width, index as i64 / width);
    let mut values: Vec<f32> = (0..mask.len())
        .map(|at| {
            let (x, y) = place(at);
            f32::from(mask.as_raw()[index(x - shift[0], y - shift[1])]) / 255.0
        })
        .collect();
    for _ in 0..2 {
        values = blur(&values, reach, |at, away| index(place(at).0 + away, place(at).1));
        values = blur(&values, reach, |at, away| index(place(at).0, place(at).1 + away));
    }
    let grey = values.iter().map(|value| {
        let noise = if noise > 0.0 { random.random_range(-noise..noise) } else { 0.0 };
        (low + (high - low) * value + noise).round().clamp(0.0, 255.0) as u8
    });
    image::GrayImage::from_raw(mask.width(), mask.height(), grey.collect()).unwrap()
}

fn values(measures: Measures) -> BTreeMap<String, f64> {
    let serde_json::Value::Object(values) = serde_json::to_value(measures).unwrap() else { panic!() };
    values.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect()
}

#[test]
fn two_hundred_maps_measure_as_the_reference_says() {
    let data = match data_folder() {
        Ok(data) => data,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let Some(mut python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [map_folder, mask_folder] = ["maps", "masks"].map(|name| folder.path().join(name));
    std::fs::create_dir(&map_folder).unwrap();
    std::fs::create_dir(&mask_folder).unwrap();
    let mut ours = BTreeMap::new();
    for (set, count, empty) in MAPS {
        let masks = masks(&data, set, count, empty);
        assert_eq!(masks.len(), count, "{set}");
        for (turn, mask) in masks.iter().enumerate() {
            // Something must be said of an empty mask now and then.
            let map = match (empty, turn % 4) {
                (true, 1..) => map_of(&blob(mask), turn),
                _ => map_of(mask, turn),
            };
            let name = format!("{set}-{turn}");
            map.save(map_folder.join(format!("{name}.png"))).unwrap();
            mask.save(mask_folder.join(format!("{name}.png"))).unwrap();
            let (width, height) = (mask.width() as usize, mask.height() as usize);
            ours.insert(name, FrameMeasures::of(Map::Grey(&map), mask, width, height).unwrap());
        }
    }
    let script = scripts().join("compare.py");
    let output = python.arg(script).args([&map_folder, &mask_folder]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Reference = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((ours.len(), theirs.maps.len()), (200, 200));

    let mut worst: BTreeMap<&str, (f64, &str)> = BTreeMap::new();
    let list = values(ours.values().collect::<Accumulator>().finish());
    let maps =
        ours.iter().map(|(name, frame)| (name.as_str(), values(Accumulator::from_iter([frame]).finish())));
    for (name, ours) in maps.chain([("list", list)]) {
        for (measure, expected) in theirs.maps.get(name).unwrap_or(&theirs.list) {
            let apart = (ours[measure] - expected).abs();
            assert!(apart.is_finite(), "{name}: {measure}");
            let worst = worst.entry(measure).or_default();
            if apart >= worst.0 {
                *worst = (apart, name);
            }
        }
    }
    assert_eq!(worst.len(), 8);
    for (measure, (apart, name)) in &worst {
        eprintln!("{measure}: at most {apart:.1e} apart, {name}");
    }
    assert!(worst.values().all(|(apart, _)| *apart <= TOLERANCE), "{worst:?}");
}

/// A disc on a mask of the same size.
fn blob(mask: &image::GrayImage) -> image::GrayImage {
    let (width, height) = (mask.width() as f32, mask.height() as f32);
    image::GrayImage::from_fn(mask.width(), mask.height(), |x, y| {
        let far = (x as f32 - 0.3 * width).hypot(y as f32 - 0.4 * height);
        image::Luma([if far < 0.1 * width { 255 } else { 0 }])
    })
}

/// A data folder with two lists, and a folder for maps.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        for part in ["data/a/images", "data/a/masks", "data/b/images", "data/splits", "maps/a"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        let bench = Bench { folder };
        for stem in ["1", "2"] {
            bench.picture(&format!("data/a/images/{stem}.png"));
            bench.grey(&format!("data/a/masks/{stem}.png"), 8, |x| if x < 4 { 255 } else { 0 });
            bench.grey(&format!("maps/a/{stem}.png"), 8, |x| if x < 4 { 90 } else { 10 });
        }
        bench.picture("data/b/images/1.png");
        bench.list("a", "a/1\na/2\n");
        bench.list("b", "b/1\n");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn list(&self, name: &str, lines: &str) {
        std::fs::write(self.path("data/splits").join(name).with_extension("txt"), lines).unwrap();
    }

    fn picture(&self, name: &str) {
        image::RgbImage::new(8, 6).save(self.path(name)).unwrap();
    }

    /// 6 pixels high.
    fn grey(&self, name: &str, width: u32, value: impl Fn(u32) -> u8) {
        image::GrayImage::from_fn(width, 6, |x, _| image::Luma([value(x)])).save(self.path(name)).unwrap();
    }

    /// Exit code, stdout, stderr.
    fn measure(&self, line: &str) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_polyp-host"))
            .arg("measure")
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("POLYP_DATA", self.path("data"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn fail(&self, line: &str, code: i32, what: &str) {
        let (found, _, said) = self.measure(line);
        assert_eq!(found, Some(code), "{line}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("polyp-host: ") && last.contains(what), "{line}: {said}");
    }
}

#[test]
fn a_folder_of_maps_is_scored() {
    let bench = Bench::new();
    bench.grey("maps/1.png", 8, |_| 0);
    let (code, table, said) = bench.measure("maps --list a --list b --json out/measures.json");
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(table.lines().count(), 3);
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bench.path("out/measures.json")).unwrap()).unwrap();
    let value = |list: &str, measure: &str| json["lists"][list][measure].as_f64().unwrap();
    for (list, measure, expected) in [
        ("a", "frames", 2.0),
        ("a", "max_dice", 1.0),
        ("a", "weighted_f", 1.0),
        ("a", "mae", 0.0),
        ("a", "dice_at_half", 0.0),
        ("b", "mean_dice", 0.0),
        ("b", "s_measure", 1.0),
        ("b", "iou_at_half", 1.0),
    ] {
        assert!((value(list, measure) - expected).abs() < 1e-9, "{list} {measure} {}", value(list, measure));
    }
    let (code, of_masks, said) = bench.measure("maps/a --masks data/a/masks");
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(of_masks.lines().nth(1).unwrap()[26..], table.lines().nth(1).unwrap()[26..]);
}

#[test]
fn maps_of_another_size_are_resized_and_that_is_said_once() {
    let bench = Bench::new();
    for stem in ["1", "2"] {
        bench.grey(&format!("maps/a/{stem}.png"), 4, |x| if x < 2 { 255 } else { 0 });
    }
    let (code, _, said) = bench.measure("maps --list a");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.lines().count() == 1 && said.contains("2 maps differ in size"), "{said}");
}

#[test]
fn nothing_is_skipped_in_silence() {
    let bench = Bench::new();
    bench.fail("maps --list b --list a", 74, "1 of 3 maps are not in maps: b/1");
    let many: String = (0..9).map(|n| format!("a/many{n}\n")).collect();
    for line in many.lines() {
        bench.picture(&format!("data/{}.png", line.replace('/', "/images/")));
        bench.grey(&format!("data/{}.png", line.replace('/', "/masks/")), 8, |_| 0);
    }
    bench.list("many", &many);
    bench.fail(
        "maps --list many",
        74,
        "9 of 9 maps are not in maps: a/many0; a/many1; a/many2; a/many3; a/many4; and 4 more",
    );
    bench.fail("maps/a --masks data/a/masks", 74, "9 of 11 maps");
    // Without folders of its own, a map fits pictures of two sets.
    bench.fail("maps/a --list a --list b", 65, "would be the map of a/1 and of b/1");
    bench.picture("maps/a/1.png");
    std::fs::write(bench.path("maps/a/2.png"), "no picture").unwrap();
    bench.fail("maps --list a", 65, "2 of 2 samples cannot be used: a/1: map");
    assert_eq!(bench.measure("maps").0, Some(2));
    bench.grey("data/a/masks/1.png", 8, |x| 30 * x as u8);
    bench.fail("maps --list a", 65, "is not binary");
    let (code, _, said) = bench.measure("maps --masks maps");
    assert_eq!(code, Some(65), "{said}");
}
