//! Evaluation scores what the cart shows: `replay` and `evaluate` give the same masks, pixel for pixel.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use polyp_edge::bundle::Bundle;
use polyp_edge::capture::synthetic::Colon;
use polyp_edge::detect::Regions;
use polyp_edge::field_of_view::Sequence;
use polyp_edge::frame::Frame;
use polyp_edge::score::Scorer;
use polyp_edge::segment::Segmenter;
use polyp_edge::track::{Gate, Rule, Shown};
use polyp_host::data::lists::{data_folder, read_list};
use polyp_host::model::cart::cart_engine;

/// Real pictures of each list; more of them are compared by POLYP_SEGMENTATION_FRAMES.
const LISTS: [&str; 6] = [
    "test-kvasir",
    "test-clinicdb",
    "unseen-colondb",
    "unseen-polypgen-c2",
    "unseen-polypgen-c3",
    "negative-test",
];
const FRAMES_OF_A_LIST: usize = 4;

fn bundle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name)
}

/// A data folder with one data set `all`, its list, and the number of pictures.
struct Pictures {
    folder: tempfile::TempDir,
    stems: Vec<String>,
}

impl Pictures {
    fn empty() -> Pictures {
        let folder = tempfile::tempdir().unwrap();
        for part in ["all/images", "all/masks", "splits"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        Pictures { folder, stems: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn finish(self) -> Pictures {
        let list: String = self.stems.iter().map(|stem| format!("all/{stem}\n")).collect();
        std::fs::write(self.path("splits/all.txt"), list).unwrap();
        self
    }

    /// Frames of several sizes and patients, some of them with a black border.
    fn rendered() -> Pictures {
        let mut pictures = Pictures::empty();
        for (seed, (width, height)) in [(3, (320, 256)), (5, (640, 480)), (8, (401, 303))] {
            let colon = Colon::new(width, height, seed);
            for number in [40, 400, 900] {
                let (frame, mask) = colon.render(number);
                let stem = format!("patient-{seed}-{number}");
                let size = (width as u32, height as u32);
                let image = pictures.path(&format!("all/images/{stem}.png"));
                image::save_buffer(image, frame.pixels(), size.0, size.1, image::ColorType::Rgb8).unwrap();
                let truth = pictures.path(&format!("all/masks/{stem}.png"));
                image::save_buffer(truth, &mask.pixels, size.0, size.1, image::ColorType::L8).unwrap();
                pictures.stems.push(stem);
            }
        }
        pictures.finish()
    }

    /// Pictures of hospitals by links; `None` where there are none.
    fn real() -> Option<Pictures> {
        let data = match data_folder() {
            Ok(data) => data,
            Err(error) => {
                eprintln!("real pictures are left out: {error}");
                return None;
            }
        };
        let most = std::env::var("POLYP_SEGMENTATION_FRAMES").ok().and_then(|most| most.parse().ok());
        let mut pictures = Pictures::empty();
        for list in LISTS {
            let samples = read_list(Path::new(list), &data).unwrap();
            let step = (samples.len() / most.unwrap_or(FRAMES_OF_A_LIST)).max(1);
            for sample in samples.iter().step_by(step) {
                let stem = format!("{list}-{}", sample.name.replace('/', "-"));
                let ending = sample.image.extension().unwrap().to_str().unwrap();
                let image = pictures.path(&format!("all/images/{stem}.{ending}"));
                std::os::unix::fs::symlink(sample.image.canonicalize().unwrap(), image).unwrap();
                let truth = pictures.path(&format!("all/masks/{stem}.png"));
                match &sample.mask {
                    Some(mask) => {
                        std::os::unix::fs::symlink(mask.canonicalize().unwrap(), truth).unwrap();
                    }
                    None => {
                        let (width, height) = sample.read_size().unwrap();
                        image::GrayImage::new(width as u32, height as u32).save(truth).unwrap();
                    }
                }
                pictures.stems.push(stem);
            }
        }
        Some(pictures.finish())
    }
}

fn pixels(path: &Path) -> (u32, u32, Vec<u8>) {
    let picture =
        image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_luma8();
    (picture.width(), picture.height(), picture.into_raw())
}

fn masks_agree(pictures: &Pictures, model: &str) {
    let model = bundle(model);
    let arguments: Vec<OsString> = ["polyp-edge", "replay", "--masks", "--model"]
        .map(OsString::from)
        .into_iter()
        .chain([model.clone().into(), "--out".into(), pictures.path("replayed").into(), "--force".into()])
        .chain([pictures.path("all/images").into()])
        .collect();
    assert_eq!(polyp_edge::cli::run_from(arguments), std::process::ExitCode::SUCCESS);
    let output = Command::new(env!("CARGO_BIN_EXE_polyp-host"))
        .args(["evaluate", "--list", "all", "--model"])
        .arg(&model)
        .arg("--masks")
        .arg(pictures.path("evaluated"))
        .env("POLYP_DATA", pictures.folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut with_regions = 0;
    for stem in &pictures.stems {
        let replayed = pixels(&pictures.path(&format!("replayed/{stem}.png")));
        let evaluated = pixels(&pictures.path(&format!("evaluated/all/{stem}.png")));
        with_regions += usize::from(replayed.2.contains(&255));
        assert!(replayed == evaluated, "{stem}: the masks of replay and evaluate differ");
    }
    assert!(with_regions > 0, "no mask marks anything");
}

#[test]
fn replay_and_evaluate_give_the_same_masks_of_rendered_frames() {
    let pictures = Pictures::rendered();
    for model in ["full", "first-light"] {
        masks_agree(&pictures, model);
    }
}

#[test]
fn replay_and_evaluate_give_the_same_masks_of_real_pictures() {
    let Some(pictures) = Pictures::real() else { return };
    masks_agree(&pictures, "lite");
}

/// What a rendered video's regions are worth by `run`, in step with its frames, and by the cart's parts as `flicker` has them.
#[test]
fn run_and_the_workstation_show_the_same_regions_of_a_video() {
    const VIDEO: &str = "seed=18,size=480x384,frames=120";
    let folder = tempfile::tempdir().unwrap();
    let (at, model) = (folder.path(), bundle("first-light").canonicalize().unwrap());
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards/base.toml");
    std::fs::copy(base, at.join("base.toml")).unwrap();
    let profile = format!(
        "name = \"test\"\ninherits = \"base\"\n[model]\nbundle = {model:?}\n[camera]\nsource = \"synthetic:{VIDEO}\"\n\
         rate_hz = 0.0\n[trust]\ndevelopment_key = true\n[pipeline]\nlock_step = true\n[gate]\nhold_frames = 0\nsteady_percent = 0.0\n[display]\nkind = \"images\"\nevery_frames = 1000\nfolder = {:?}\n",
        at.join("out")
    );
    std::fs::write(at.join("test.toml"), profile).unwrap();
    let arguments: [OsString; 4] =
        ["polyp-edge".into(), "run".into(), "--board".into(), at.join("test.toml").into()];
    assert_eq!(polyp_edge::cli::run_from(arguments), std::process::ExitCode::SUCCESS);
    let text = std::fs::read(at.join("out/score.json")).unwrap();
    let run: serde_json::Value = serde_json::from_slice(&text).unwrap();

    let bundle = Bundle::open(&model).unwrap();
    let engine = cart_engine(bundle.model()).unwrap();
    let mut segmenter = Segmenter::new(engine, &bundle.manifest, Sequence::Video).unwrap();
    let mut gate = Gate::new(&Rule::of(bundle.manifest.gate));
    let (mut regions, mut shown, mut scorer) = (Regions::default(), Shown::default(), Scorer::default());
    let mut source = polyp_edge::capture::open(&format!("synthetic:{VIDEO}")).unwrap();
    let mut frame = Frame::black(1, 1);
    while source.read(&mut frame).unwrap() {
        segmenter.look(&frame).unwrap();
        segmenter.regions_into(&mut regions).unwrap();
        gate.update(&regions.list, Instant::now(), &mut shown);
        scorer.add(source.truth().unwrap(), shown.list());
    }
    // By text, as the other: reading may round a number's last digit.
    let expected = serde_json::to_vec(&scorer.report()).unwrap();
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
    assert_eq!(run, expected);
    assert_eq!(expected["frames"], 120);
    assert!(expected["hits"].as_u64() > Some(10), "{expected}");
}
