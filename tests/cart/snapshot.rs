//! Pictures that somebody in the room keeps.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use dicom_dictionary_std::tags;
use rustix::process::Signal;
use serde_json::Value;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::{Cart, Profile};
use testing::oracle;

use crate::PROGRAM;
use crate::errors::assert_fault;

/// A cart that keeps pictures in `study`.
fn profile(cart: &Cart) -> Profile {
    let profile = cart.profile().with_path("control.socket", &cart.at("control.sock"));
    profile.with_path("pipeline.audit_folder", &cart.at("audit")).with_path("study.folder", &cart.at("study"))
}

fn assisting(cart: &Cart, profile: &Profile) -> Running {
    cart.put(profile);
    let run = Running::start(cart.command());
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.at("control.sock").exists()), "{}", run.log.text());
    run
}

fn snapshot(cart: &Cart) -> Output {
    PROGRAM.run(&cart.at("."), &["ctl", "--socket", "control.sock", "snapshot"])
}

/// The folder that the answer names.
fn kept(told: &Output) -> PathBuf {
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&told.stderr));
    PathBuf::from(text.trim().strip_prefix("kept in ").unwrap_or_else(|| panic!("{text}")))
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_picture_is_kept_whole_private_and_without_a_name() {
    let cart = Cart::alone(PROGRAM);
    let mut run = assisting(&cart, &profile(&cart));
    let from = Instant::now();
    let folder = kept(&snapshot(&cart));
    run.assert_unbroken_since(from);
    assert_eq!(folder.parent().unwrap(), cart.at("study"));
    let files = ["outlined.png", "picture.dcm", "picture.png", "regions.json", "segmentation.dcm"];
    assert_eq!(names(&folder), files);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert!(files.iter().all(|name| mode(&folder.join(name)) == 0o600));

    let regions: Value = serde_json::from_slice(&fs::read(folder.join("regions.json")).unwrap()).unwrap();
    assert_eq!((&regions["state"], &regions["model"]["name"]), (&"assist".into(), &"bright".into()));
    let drawn = regions["regions"].as_array().unwrap();
    assert!(!drawn.is_empty() && drawn.iter().all(|region| region["track"].is_u64()), "{regions}");
    assert!(regions["result"]["frame"].as_u64().unwrap() <= regions["frame"].as_u64().unwrap());

    let bare = image::open(folder.join("picture.png")).unwrap().into_rgb8();
    let outlined = image::open(folder.join("outlined.png")).unwrap().into_rgb8();
    assert_eq!(bare.dimensions(), (160, 120));
    assert_ne!(bare, outlined);
    let picture = dicom_object::open_file(folder.join("picture.dcm")).unwrap();
    assert_eq!(picture.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap(), bare.as_raw().as_slice());
    for unknown in [tags::PATIENT_NAME, tags::PATIENT_ID, tags::PATIENT_BIRTH_DATE] {
        assert!(picture.element(unknown).unwrap().to_str().unwrap().is_empty());
    }
    let segmentation = dicom_object::open_file(folder.join("segmentation.dcm")).unwrap();
    let frames: usize = segmentation.element(tags::NUMBER_OF_FRAMES).unwrap().to_int().unwrap();
    assert_eq!(frames, drawn.len());

    let audit = PROGRAM.run(&cart.at("."), &["audit", "--folder", "audit", "--json"]);
    let audit = String::from_utf8_lossy(&audit.stdout).into_owned();
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert!(audit.contains("\"snapshot\"") && audit.contains(name), "{audit}");
    run.assert_ends_well();
}

/// Others' programs read what an archive gets.
#[test]
fn an_archives_programs_read_what_is_kept() {
    let Some(mut python) = oracle::python() else { return };
    let cart = Cart::alone(PROGRAM);
    let mut run = assisting(&cart, &profile(&cart));
    let folder = kept(&snapshot(&cart));
    run.assert_ends_well();
    let read = python.arg("read_dicom.py").arg(&folder).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let found: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(found["patient"], "");
    assert_eq!(found["same_study"], true);
    assert_eq!(found["kinds"], serde_json::json!(["Polyp of colon"]));
    let regions: Value = serde_json::from_slice(&fs::read(folder.join("regions.json")).unwrap()).unwrap();
    let drawn = regions["regions"].as_array().unwrap();
    let areas: Vec<f64> =
        found["areas"].as_array().unwrap().iter().map(|area| area.as_f64().unwrap()).collect();
    assert_eq!(areas.len(), drawn.len());
    for (area, region) in areas.iter().zip(drawn) {
        // By the shoelace formula, from the polygon that was drawn.
        let points: Vec<(f64, f64)> = region["outline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| (point["x"].as_f64().unwrap(), point["y"].as_f64().unwrap()))
            .collect();
        let next = points.iter().cycle().skip(1);
        let twice: f64 = points.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
        assert!((area - 0.5 * twice.abs()).abs() < 0.1 * area + 8.0, "{area} and {twice}");
    }
}

#[test]
fn what_cannot_be_kept_is_refused_with_a_reason_and_the_picture_goes_on() {
    let cart = Cart::alone(PROGRAM);
    let without = cart.profile().with_path("control.socket", &cart.at("control.sock"));
    let mut run = assisting(&cart, &without);
    assert_fault(&snapshot(&cart), 69, "study.folder in the profile");
    // More than may be kept is there already.
    fs::create_dir(cart.at("study")).unwrap();
    fs::write(cart.at("study/earlier"), vec![0; 11_000_000]).unwrap();
    cart.put(&profile(&cart).with("pipeline.sandbox", false).with("study.most_megabytes", 10));
    run.assert_ends_well();
    let mut run = Running::start(cart.command());
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.at("control.sock").exists()));
    assert_fault(&snapshot(&cart), 69, "has 11 MB of pictures, and study.most_megabytes allows 10");
    assert_eq!(names(&cart.at("study")), ["earlier"], "nothing is removed, nothing half written");
    fs::remove_file(cart.at("study/earlier")).unwrap();
    kept(&snapshot(&cart));
    // In the folder's place is a file.
    fs::rename(cart.at("study"), cart.at("away")).unwrap();
    fs::write(cart.at("study"), "").unwrap();
    assert_fault(&snapshot(&cart), 69, "study");
    run.assert_unbroken_for(Duration::from_millis(300));
    run.assert_ends_with(Signal::TERM, 0);
}

#[test]
fn pictures_of_one_second_have_names_of_their_own() {
    let cart = Cart::alone(PROGRAM);
    let mut run = assisting(&cart, &profile(&cart));
    let folders: Vec<PathBuf> = (0..4).map(|_| kept(&snapshot(&cart))).collect();
    assert_eq!(names(&cart.at("study")).len(), folders.len());
    assert!(folders.iter().all(|folder| folder.is_dir()));
    run.assert_ends_well();
}
