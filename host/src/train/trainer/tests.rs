use polyp_edge::capture::synthetic::Colon;
use polyp_edge::fault::{Exit, exit_of};

use super::*;
use crate::data::augment::Augmentation;
use crate::data::cache::TeacherView;
use crate::graph::Graph;
use crate::net::decoder::DecoderConfig;
use crate::net::encoder::{EncoderKind, is_encoders};
use crate::net::prompts::Prompts;
use crate::net::segmenter::{EncoderConfig, SegmenterConfig};
use crate::run::BEST;
use crate::run::GRAPH;
use crate::run::config::{Distillation, Mix, OptimizerConfig};
use crate::train::hardness::Hardness;

/// A data folder of rendered frames: ten with a polyp, six without.
pub(crate) fn data() -> tempfile::TempDir {
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

/// A network and a training that take a second.
pub(crate) fn config(epochs: u64) -> TrainConfig {
    let decoder = DecoderConfig { branch_channels: 4, level_channels: 6, ..DecoderConfig::default() };
    let encoder = EncoderConfig { weights: PathBuf::new(), ..EncoderConfig::default() };
    TrainConfig {
        epochs,
        batch: 4,
        rendered: 2,
        network: SegmenterConfig { input_side: 64, encoder, decoder, ..SegmenterConfig::default() },
        ..Default::default()
    }
}

fn run(folder: &Path, data: &Path, config: TrainConfig, stop_after: Option<u64>) -> Run {
    let (folder, data) = (folder.to_path_buf(), data.to_path_buf());
    Run { folder, data, config, device: Device::flex(), resume: true, stop_after, checkpoint_every: 1 }
}

/// Hiera with frozen random weights, prompts and decoder learned.
fn frozen(epochs: u64) -> TrainConfig {
    let plain = config(epochs);
    let decoder = DecoderConfig { finest: 0, ..plain.network.decoder };
    let encoder = EncoderConfig {
        kind: EncoderKind::HieraMini,
        weights: PathBuf::new(),
        frozen: true,
        ..EncoderConfig::default()
    };
    let network = SegmenterConfig { encoder, decoder, prompts: Prompts::default(), ..plain.network };
    TrainConfig { network, ..plain }
}

#[test]
fn a_run_cut_off_and_resumed_is_the_run_that_was_not() {
    let data = data();
    let several =
        TrainConfig { accumulate: 2, batch: 2, scales: vec![1.0, 1.5], checkpoint_links: 3, ..frozen(2) };
    let shares = [("polyps", 2.0), ("clean", 1.0), ("rendered", 0.5)];
    let mixed = TrainConfig {
        mix: Mix {
            shares: shares.map(|(set, share)| (set.to_owned(), share)).into(),
            pictures_per_epoch: 16,
            hard_negatives: 5.0,
            machine_masks: vec!["rendered".to_owned()],
            ..Mix::default()
        },
        augmentation: Augmentation { paste: 0.5, exchange: 0.5, ..Augmentation::default() },
        choosing_lists: vec!["negative-train".into()],
        ..config(2)
    };
    for config in [config(2), several, mixed] {
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(train(&run(whole.path(), data.path(), config.clone(), None)).unwrap().len(), 2);
        for stop in [1, 4, u64::MAX] {
            train(&run(parts.path(), data.path(), config.clone(), Some(stop))).unwrap();
        }
        for file in [CHECKPOINT, BEST] {
            let load = |folder: &Path| parameters::load(&folder.join(file)).unwrap();
            let ((whole_sets, whole_notes), (sets, notes)) = (load(whole.path()), load(parts.path()));
            assert_eq!(whole_notes, notes);
            for (set, parameters) in &whole_sets {
                for (name, array) in &parameters.0 {
                    assert_eq!(array, sets[set].get(name), "{set}/{name}");
                }
            }
        }
        let point = |folder: &Path| curve::read(folder).unwrap().last().copied().unwrap();
        assert_eq!(point(whole.path()).held_back_dice, point(parts.path()).held_back_dice);
        assert_eq!(point(whole.path()).loss, point(parts.path()).loss);
        for file in ["curve.png", "examples.png", "config.toml", "held-back.txt"] {
            assert!(whole.path().join(file).is_file(), "{file}");
        }
        let read = TrainConfig::load(&whole.path().join("config.toml"), &TrainConfig::default()).unwrap();
        assert_eq!(read, config);
        match config.network.encoder.kind {
            EncoderKind::EfficientnetLite0 => {
                let graph = |folder: &Path| Graph::load(&folder.join(GRAPH)).unwrap();
                let written = graph(whole.path());
                written.validate().unwrap();
                export_checkpoint(whole.path()).unwrap();
                assert_eq!(graph(whole.path()), written);
            }
            _ => assert_eq!(exit_of(&export_checkpoint(whole.path()).unwrap_err()), Exit::Usage),
        }
    }
}

/// Teachers that look once, at every batch, at features, at features alone; a picture without a label among the others.
#[test]
fn a_student_of_teachers_is_resumed_too() {
    let (data, teacher) = (data(), tempfile::tempdir().unwrap());
    train(&run(teacher.path(), data.path(), config(1), None)).unwrap();
    let hiera = tempfile::tempdir().unwrap();
    train(&run(hiera.path(), data.path(), frozen(1), None)).unwrap();
    std::fs::write(data.path().join("splits/more.txt"), "polyps/u0\npolyps/u250\n").unwrap();
    for number in [0, 250] {
        let (frame, _) = Colon::new(96, 80, 77).render(number);
        let picture = image::RgbImage::from_raw(96, 80, frame.pixels().to_vec()).unwrap();
        picture.save(data.path().join(format!("polyps/images/u{number}.png"))).unwrap();
    }
    for (cached, features, logits) in [(true, 0.0, 0.5), (false, 0.5, 0.5), (true, 0.5, 0.0)] {
        let teachers = vec![teacher.path().to_path_buf(), hiera.path().to_path_buf()];
        let distillation =
            Distillation { teachers, features, cached, soft: logits, logits, ..Distillation::default() };
        let config = TrainConfig {
            distillation: Some(distillation),
            unlabelled_lists: if logits > 0.0 { vec!["more".into()] } else { Vec::new() },
            ..config(2)
        };
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        train(&run(whole.path(), data.path(), config.clone(), None)).unwrap();
        for stop in [2, u64::MAX] {
            train(&run(parts.path(), data.path(), config.clone(), Some(stop))).unwrap();
        }
        let load = |folder: &Path| parameters::load(&folder.join(CHECKPOINT)).unwrap();
        assert_eq!(load(whole.path()), load(parts.path()));
        assert_eq!(whole.path().join("teachers.safetensors").is_file(), cached && logits > 0.0);
        let plain = tempfile::tempdir().unwrap();
        let alone = TrainConfig { distillation: None, unlabelled_lists: Vec::new(), ..config };
        train(&run(plain.path(), data.path(), alone, None)).unwrap();
        assert_ne!(load(plain.path()).0["parameters"], load(whole.path()).0["parameters"]);
    }
}

/// Another input size and decoder on the same encoder: what fits is taken over.
#[test]
fn a_run_starts_from_another() {
    let (data, first) = (data(), tempfile::tempdir().unwrap());
    train(&run(first.path(), data.path(), config(1), None)).unwrap();
    let best = parameters::load(&first.path().join(BEST)).unwrap().0.remove("averaged").unwrap();
    let mut next = config(1);
    next.start_from = Some(first.path().to_path_buf());
    next.network.input_side = 96;
    next.network.decoder.branch_channels = 6;
    let device = Device::flex();
    let start = Start::new(&next, &next.segmenter().unwrap(), data.path(), &device).unwrap();
    let (mut same, mut other) = (0, 0);
    for (name, array) in &start.parameters.0 {
        if is_encoders(name) {
            assert_eq!(array, best.get(name), "{name}");
            same += 1;
        } else if best.0.get(name) != Some(array) {
            other += 1;
        }
    }
    assert!(same > 100 && other > 5, "{same} {other}");
    let start_of =
        |next: &TrainConfig| Start::new(next, &next.segmenter().unwrap(), data.path(), &device).unwrap();
    // Of the same shape throughout, and yet only the encoder.
    let alone = TrainConfig { start_from: next.start_from.clone(), start_from_encoder: true, ..config(1) };
    let taken = |name: &String, array| best.0.get(name) == Some(array);
    let start = start_of(&alone);
    let heads =
        || start.parameters.0.iter().filter(|(name, _)| !is_encoders(name) && name.ends_with("weight"));
    assert!(
        start
            .parameters
            .0
            .iter()
            .filter(|(name, _)| is_encoders(name))
            .all(|(name, array)| taken(name, array))
    );
    assert!(
        heads().count() > 5
            && heads().filter(|(name, array)| taken(name, array)).count() * 2 < heads().count()
    );
    // A narrower encoder takes the channels that weigh most.
    let mut narrow = TrainConfig { start_from: next.start_from.clone(), ..config(1) };
    narrow.network.encoder.width = 0.5;
    let segmenter = narrow.segmenter().unwrap();
    let start = Start::new(&narrow, &segmenter, data.path(), &device).unwrap();
    let expected = segmenter.encoder.narrowed(best);
    assert!(expected.0.iter().all(|(name, array)| start.parameters.get(name) == array));
    next.start_from = Some(data.path().join("splits"));
    let error = Start::new(&next, &next.segmenter().unwrap(), data.path(), &device).err().unwrap();
    assert_eq!(exit_of(&error), Exit::Io);
}

/// The first links of an encoder stay as they are to the bit, norms included; the others move.
#[test]
fn a_part_of_an_encoder_may_stay_frozen() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let mut partly = config(2);
    partly.network.encoder.frozen_links = 4;
    let start = Start::new(&partly, &partly.segmenter().unwrap(), data.path(), &Device::flex()).unwrap();
    train(&run(folder.path(), data.path(), partly.clone(), None)).unwrap();
    let trained = parameters::load(&folder.path().join(CHECKPOINT)).unwrap().0.remove("parameters").unwrap();
    let is_first =
        |name: &str| ["stem.", "blocks.0.", "blocks.1.", "blocks.2."].iter().any(|part| name.contains(part));
    let (mut first, mut others) = (0, 0);
    for (name, array) in start.parameters.0.iter().filter(|(name, _)| is_encoders(name)) {
        let same = trained.get(name) == array;
        assert_eq!(same, is_first(name), "{name}");
        *(if same { &mut first } else { &mut others }) += 1;
    }
    assert!(first > 30 && others > 100, "{first} {others}");
    partly.network.encoder.frozen_links = 17;
    assert!(partly.check().unwrap_err().contains("leave one link"));
}

#[test]
fn sizes_grow_to_the_whole() {
    let growing = TrainConfig { grow_from: 0.5, grow_until: 0.5, ..config(10) };
    let sides: Vec<usize> = (0..10).flat_map(|epoch| growing.sides(epoch)).collect();
    assert_eq!(sides, [32, 32, 32, 64, 64, 64, 64, 64, 64, 64]);
    assert_eq!((growing.largest_side(), config(10).sides(0)), (64, vec![64]));
}

/// Every epoch meets every frame with a polyp once, and so many of the others, other ones each time.
#[test]
fn an_epoch_meets_as_many_polyp_free_frames_as_asked() {
    let sample = |name: &str, share: u8, labelled: bool| Cached {
        name: name.to_owned(),
        pixels: vec![0; 3],
        mask: vec![share; 1],
        labelled,
        teacher: None,
    };
    let samples: Vec<Cached> = (0..20)
        .map(|i| sample(&format!("polyp/{i}"), 255, true))
        .chain((0..4).map(|i| sample(&format!("unlabelled/{i}"), 0, false)))
        .chain((0..30).map(|i| sample(&format!("free/{i}"), 0, true)))
        .collect();
    let samples = Arc::new(samples);
    let none = Hardness::default();
    let few = Plan::new(&TrainConfig { negatives_per_epoch: Some(6), ..config(3) }, samples.clone()).unwrap();
    assert_eq!(few.batches_per_epoch(), 30 / 4);
    let free = |epoch: u64| {
        let mut order = few.order(epoch, &none);
        order.sort_unstable();
        assert!(order.len() == 30 && order[..24].iter().copied().eq(0..24), "{order:?}");
        order.split_off(24)
    };
    let epochs = [free(0), free(1), free(2)];
    assert!(epochs.iter().all(|numbers| numbers.iter().all(|i| *i >= 24) && numbers.len() == 6));
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2] && epochs[0] == free(0));
    let all = Plan::new(&config(3), samples).unwrap();
    assert_eq!((all.batches_per_epoch(), all.order(1, &none).len()), (54 / 4, 54));
}

/// Teachers count fully where the truth is known, and as far as they are to be trusted where it is not.
#[test]
fn teachers_are_trusted_where_the_truth_is_known() {
    let sample = |name: &str, labelled: bool| Cached {
        name: name.to_owned(),
        pixels: vec![90; 3 * 64],
        mask: vec![255; 64],
        labelled,
        teacher: Some(TeacherView::of(&[2.0; 16], 4, 0.25)),
    };
    let samples = ["true/0", "machine/0", "machine/1", "none/0"].map(|name| sample(name, name != "none/0"));
    let mix = Mix { machine_masks: vec!["machine".into()], machine_mask_weight: 0.5, ..Mix::default() };
    let plan = Plan::new(&TrainConfig { mix, ..config(1) }, Arc::new(samples.to_vec())).unwrap();
    let batch = plan.batch(0, &Hardness::default());
    let mut counts: Vec<_> = batch.numbers.iter().zip(batch.truth).zip(batch.confidence).collect();
    counts.sort_by_key(|((number, _), _)| **number);
    let counts: Vec<(f32, f32)> =
        counts.into_iter().map(|((_, truth), confidence)| (truth, confidence)).collect();
    assert_eq!(counts, [(1.0, 1.0), (0.5, 0.25), (0.5, 0.25), (0.0, 0.25)]);
}

/// A student that does nothing but what its teacher does comes close to it.
#[test]
fn a_student_learns_from_its_teacher_alone() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let teacher =
        TrainConfig { optimizer: OptimizerConfig { rate: 1e-2, ..Default::default() }, ..config(6) };
    train(&run(folder.path(), data.path(), teacher.clone(), None)).unwrap();
    let teachers = vec![folder.path().to_path_buf()];
    let own = Distillation { teachers, truth: 0.0, soft: 0.0, logits: 1.0, ..Distillation::default() };
    let student =
        TrainConfig { distillation: Some(own), seed: 2, augmentation: Augmentation::none(), ..teacher };
    let points = train(&run(tempfile::tempdir().unwrap().path(), data.path(), student, None)).unwrap();
    let (first, last) = (points.first().unwrap().loss, points.last().unwrap().loss);
    assert!(last < 0.5 * first, "{first} {last}");
}

#[test]
fn frozen_means_frozen() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let config = TrainConfig { batch: 2, rendered: 0, ..frozen(50) };
    let (segmenter, device) = (config.segmenter().unwrap(), Device::flex());
    let Start { resident, parameters: fresh, encoder } =
        Start::new(&config, &segmenter, data.path(), &device).unwrap();
    let before = resident.download();
    assert!(before.0.keys().all(|name| is_encoders(name)) && before.0.len() > 50);
    let mut state = TrainState::fresh(fresh.clone(), encoder);
    let samples = Samples::load(&config, folder.path(), data.path()).unwrap();
    let plan = Plan::new(&config, Arc::new(samples.train)).unwrap();
    let batches = Arc::new(plan).stream(0, 50, Hardness::default());
    let learner = FloatLearner {
        segmenter: &segmenter,
        config: &config,
        resident: &resident,
        teachers: None,
        device: &device,
    };
    for i in 0..50 {
        step(&mut state, &batches, &learner, None, &config, i as f32 / 100.0).unwrap();
    }
    assert_eq!(resident.download(), before);
    for (name, array) in &state.parameters.0 {
        assert_ne!(array, fresh.get(name), "{name} has not moved");
    }

    // Neither does a run's folder hold any of it, and it remembers to which encoder it belongs.
    train(&run(folder.path(), data.path(), config.clone(), Some(15))).unwrap();
    let (sets, notes) = parameters::load(&folder.path().join(CHECKPOINT)).unwrap();
    assert_eq!((notes["step"].as_str(), notes["encoder"].as_str()), ("15", "random:1"));
    for (set, parameters) in sets.iter().filter(|(set, _)| *set != "hardness") {
        assert!(parameters.0.keys().all(|name| !is_encoders(name)), "{set}");
        assert!(parameters.0.keys().any(|name| name.starts_with("prompt.")), "{set}");
    }
    let size = std::fs::metadata(folder.path().join(BEST)).unwrap().len();
    let learned = fresh.count() as u64;
    assert!(size < 4 * learned + 20_000, "{size} bytes for {learned} values");

    let other = TrainConfig { seed: 2, ..config };
    let error = train(&run(folder.path(), data.path(), other, Some(60))).unwrap_err();
    assert!(error.to_string().contains("random:1, not random:2"), "{error}");
    assert_eq!(exit_of(&error), Exit::Data);
}

#[test]
fn training_ends_when_nothing_gets_better() {
    let point = |epoch: u64, held_back_dice| Point {
        epoch,
        steps: epoch,
        loss: 1.0,
        held_back_dice,
        held_back_false: 0.0,
        held_back_separation: None,
        rate: 1e-3,
        seconds: 1.0,
    };
    let points: Vec<Point> =
        [0.1, 0.5, 0.4, 0.5].iter().enumerate().map(|(i, d)| point(i as u64, *d)).collect();
    assert!(has_stalled(&points, 2) && !has_stalled(&points, 3) && !has_stalled(&points, 0));
    assert!(!has_stalled(&points[..2], 1) && !has_stalled(&[], 1));

    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let optimizer = OptimizerConfig { encoder_rate: 1e-12, rate: 1e-12, ..Default::default() };
    let config = TrainConfig { patience: 2, rendered: 0, optimizer, ..frozen(30) };
    let points = train(&run(folder.path(), data.path(), config.clone(), None)).unwrap();
    assert!((3..30).contains(&points.len()), "{}", points.len());
    assert_eq!(train(&run(folder.path(), data.path(), config, None)).unwrap(), points);
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
        let error = TrainConfig::load(&path, &TrainConfig::default()).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Configuration);
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
    let base = TrainConfig::default();
    let set = |settings: &[&str]| base.set(&settings.iter().map(|s| s.to_string()).collect::<Vec<_>>());
    let other = set(&[
        "network.encoder.kind=efficientnet-lite2",
        "network.encoder.weights=/elsewhere/a b.pt",
        "scales=[0.5, 1]",
        "distillation.teachers=[\"runs/a\", \"runs/b\"]",
    ])
    .unwrap();
    assert_eq!(other.network.encoder.kind.word(), "efficientnet-lite2");
    assert_eq!(other.network.encoder.weights, Path::new("/elsewhere/a b.pt"));
    assert_eq!((other.scales, other.distillation.unwrap().teachers.len()), (vec![0.5, 1.0], 2));
    for (setting, expected) in [
        ("batch", "KEY=VALUE"),
        ("batch size=2", "no key"),
        ("network.kind=tiny", "unknown field `kind`"),
        ("batch=1", "batch must be at least 2"),
    ] {
        let error = set(&[setting]).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Usage);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut missing = config(1);
    missing.network.encoder.weights = "nowhere.safetensors".into();
    let error = train(&run(folder.path(), data.path(), missing, None)).unwrap_err();
    assert!(format!("{error:#}").contains("nowhere.safetensors") && exit_of(&error) == Exit::Io, "{error:#}");

    std::fs::write(folder.path().join("checkpoint.safetensors"), b"half").unwrap();
    let error = train(&run(folder.path(), data.path(), config(1), None)).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Data, "{error:#}");
    let again = Run { resume: false, ..run(folder.path(), data.path(), config(1), None) };
    assert_eq!(exit_of(&train(&again).unwrap_err()), Exit::Usage);
}

#[test]
fn a_random_trunk_overfits_sixteen_real_pictures() {
    let Ok(data) = crate::data::lists::data_folder() else {
        eprintln!("skipped: no data folder; set POLYP_DATA to it");
        return;
    };
    let list = crate::data::lists::read_list(Path::new("train"), &data).unwrap();
    let samples: Vec<_> = list.into_iter().step_by(90).take(16).collect();
    let plain = frozen(1);
    let decoder = DecoderConfig { branch_channels: 12, level_channels: 24, ..plain.network.decoder };
    let config = TrainConfig {
        batch: 8,
        network: SegmenterConfig { input_side: 96, decoder, ..plain.network },
        augmentation: Augmentation::none(),
        optimizer: OptimizerConfig {
            rate: 5e-3,
            weight_decay: 0.0,
            average_decay: 0.9,
            ..Default::default()
        },
        ..plain
    };
    let (segmenter, device) = (config.segmenter().unwrap(), Device::flex());
    let start = Start::new(&config, &segmenter, &data, &device).unwrap();
    let mut state = TrainState::fresh(start.parameters, start.encoder);
    let samples = Arc::new(crate::data::cache::load(&samples, 96, true).unwrap());
    let plan = Plan::new(&config, samples.clone()).unwrap();
    let learner = FloatLearner {
        segmenter: &segmenter,
        config: &config,
        resident: &start.resident,
        teachers: None,
        device: &device,
    };
    let steps = 400;
    let batches = Arc::new(plan).stream(0, steps, Hardness::default());
    for i in 0..steps {
        step(&mut state, &batches, &learner, None, &config, i as f32 / steps as f32).unwrap();
        if i % 50 == 49 {
            let dice = validate(&learner, &state.averaged, &samples, &config).unwrap().dice;
            eprintln!("{} steps: Dice {dice:.4}", i + 1);
            if dice > 0.95 {
                return;
            }
        }
    }
    panic!("Dice stayed under 0.95");
}
