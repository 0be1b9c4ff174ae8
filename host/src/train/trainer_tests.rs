use polyp_edge::capture::synthetic::Colon;
use polyp_edge::fault::{Exit, exit_of};

use super::*;
use crate::net::decoder::DecoderConfig;

/// A data folder of rendered frames: ten with a polyp, six without.
fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for part in ["polyps/images", "polyps/masks", "clean/images", "splits"] {
        std::fs::create_dir_all(folder.path().join(part)).unwrap();
    }
    let colon = Colon::new(96, 80, 5);
    for number in (0..).step_by(25) {
        let (frame, mask) = colon.render(number);
        let (size, stem) = ((96, 80), format!("f{number}.png"));
        let picture = image::RgbImage::from_raw(size.0, size.1, frame.pixels().to_vec()).unwrap();
        let polyp = mask.pixels.iter().filter(|m| **m > 0).count();
        if polyp == 0 && without.len() < 6 {
            picture.save(folder.path().join("clean/images").join(&stem)).unwrap();
            without.push(format!("clean/f{number}"));
        } else if polyp > 200 && with.len() < 10 {
            picture.save(folder.path().join("polyps/images").join(&stem)).unwrap();
            let mask = image::GrayImage::from_raw(size.0, size.1, mask.pixels).unwrap();
            mask.save(folder.path().join("polyps/masks").join(&stem)).unwrap();
            with.push(format!("polyps/f{number}"));
        } else if with.len() == 10 && without.len() == 6 {
            break;
        }
    }
    std::fs::write(folder.path().join("splits/train.txt"), with.join("\n")).unwrap();
    std::fs::write(folder.path().join("splits/negative-train.txt"), without.join("\n")).unwrap();
    folder
}

fn config(epochs: u64) -> TrainConfig {
    let decoder = DecoderConfig { branch_channels: 4, level_channels: 6, attention_kernel: 3, finest: 1 };
    TrainConfig {
        epochs,
        batch: 4,
        rendered: 2,
        encoder_weights: PathBuf::new(),
        student: StudentConfig { input_side: 64, decoder },
        ..Default::default()
    }
}

fn run(folder: &Path, data: &Path, config: TrainConfig, stop_after: Option<u64>) -> Run {
    let (folder, data) = (folder.to_path_buf(), data.to_path_buf());
    Run { folder, data, config, resume: true, stop_after, checkpoint_every: 1 }
}

#[test]
fn a_run_cut_off_and_resumed_is_the_run_that_was_not() {
    let data = data();
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(2);
    train(&run(whole.path(), data.path(), config.clone(), None)).unwrap().unwrap();
    for stop in [1, 4, u64::MAX] {
        train(&run(parts.path(), data.path(), config.clone(), Some(stop))).unwrap();
    }
    let load = |folder: &Path| parameters::load(&folder.join("checkpoint.safetensors")).unwrap();
    let ((whole_sets, whole_notes), (sets, notes)) = (load(whole.path()), load(parts.path()));
    assert_eq!(whole_notes, notes);
    for (set, parameters) in &whole_sets {
        for (name, array) in &parameters.0 {
            assert_eq!(array, sets[set].get(name), "{set}/{name}");
        }
    }
    let point = |folder: &Path| curve::read(folder).unwrap().last().copied().unwrap();
    assert_eq!(point(whole.path()).held_back_dice, point(parts.path()).held_back_dice);
    for file in ["curve.png", "examples.png", "config.toml", "held-back.txt", "graph.safetensors"] {
        assert!(whole.path().join(file).is_file(), "{file}");
    }
    assert_eq!(TrainConfig::load(&whole.path().join("config.toml")).unwrap(), config);
    graph_of_checkpoint(whole.path()).unwrap().validate().unwrap();
}

#[test]
fn the_loss_falls() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let optimizer = OptimizerConfig { encoder_rate: 3e-3, rate: 5e-3, ..Default::default() };
    let config = TrainConfig { augmentation: Augmentation::none(), optimizer, ..config(20) };
    train(&run(folder.path(), data.path(), config, None)).unwrap();
    let points = curve::read(folder.path()).unwrap();
    assert!(points[19].loss < 0.8 * points[0].loss, "{} → {}", points[0].loss, points[19].loss);
}

#[test]
fn what_is_wrong_is_named() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let path = folder.path().join("c.toml");
    for (text, expected) in [("epoch = 3", "epoch"), ("batch = 1", "batch"), ("epochs = \"many\"", "c.toml")]
    {
        std::fs::write(&path, text).unwrap();
        let error = TrainConfig::load(&path).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Configuration);
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
    let missing = TrainConfig { encoder_weights: "nowhere.safetensors".into(), ..config(1) };
    let error = train(&run(folder.path(), data.path(), missing, None)).unwrap_err();
    assert!(format!("{error:#}").contains("nowhere.safetensors") && exit_of(&error) == Exit::Io, "{error:#}");

    std::fs::write(folder.path().join("checkpoint.safetensors"), b"half").unwrap();
    let error = train(&run(folder.path(), data.path(), config(1), None)).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Data, "{error:#}");
    let again = Run { resume: false, ..run(folder.path(), data.path(), config(1), None) };
    assert_eq!(exit_of(&train(&again).unwrap_err()), Exit::Usage);
}
