//! Files that come late or never. A FIFO that nobody writes can be told from a file and refused; a file whose opening
//! takes long (see [`Held`]) cannot.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::bundle;
use testing::cart::Cart;
use testing::cart::held_file::Held;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::system::replace_by_fifo;
use testing::cart::video::Corner;
use testing::folder;

use crate::PROGRAM;

const RED: &str = "[255, 0, 0]";

/// `golden-model` has golden frames.
fn with_golden_frames(cart: &Cart) -> PathBuf {
    let (from, to) = (testing::root().join("models/first-light"), cart.at("golden-model"));
    fs::create_dir_all(to.join("golden")).unwrap();
    for path in folder::files(&from) {
        fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
    let profile = cart.profile().with("model.bundle", "\"../golden-model\"");
    cart.put(&profile.with("trust.development_key", true));
    let golden = folder::files(&to.join("golden"));
    to.join("golden").join(golden.first().unwrap())
}

/// A file of a bundle that is a FIFO: the picture comes first and goes on; the state says that there is no assistance, or
/// why; the end comes when asked.
#[track_caller]
fn assert_does_without(cart: &Cart, file: &Path) {
    replace_by_fifo(file);
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assert_unbroken_for(Duration::from_millis(1500));
    assert!(run.video.frames().iter().all(|frame| frame.corner != Corner::Assist));
    let state = cart.state().unwrap_or_else(|| panic!("no state file; log: {}", run.log.text()));
    let code = match state["state"].as_str().unwrap() {
        // It waits for the file.
        "self-test" => 0,
        // The file was refused: the bundle is damaged.
        "degraded" => {
            let reason = state["reason"].as_str().unwrap_or_else(|| panic!("no reason: {state}"));
            assert!(reason.starts_with("model"), "{state}");
            65
        }
        other => panic!("{other} while the bundle is not there: {state}"),
    };
    run.assert_ends_with(Signal::TERM, code);
}

/// A file of a bundle that takes long to open: the picture comes first and goes on, with the state of a start, and the
/// end comes when asked; in another run the file comes after a while, and assistance with it.
#[track_caller]
fn assert_waits_for(cart: &Cart, file: &Path) {
    for comes in [false, true] {
        let Some(held) = Held::hold(file) else { return };
        let mut run = Running::start(cart.command());
        run.first_picture();
        run.assert_unbroken_for(Duration::from_millis(1200));
        let state = cart.state().unwrap_or_else(|| panic!("no state file; log: {}", run.log.text()));
        assert_eq!(state["state"], "self-test", "{state}; log: {}", run.log.text());
        assert!(run.video.frames().iter().all(|frame| frame.corner != Corner::Assist));
        if comes {
            let from = Instant::now();
            drop(held);
            run.assisted();
            run.assert_unbroken_since(from);
        }
        run.assert_ends_well();
        fs::remove_file(cart.at("state/state.json")).unwrap();
    }
}

#[test]
fn a_model_that_never_comes() {
    let cart = Cart::alone(PROGRAM);
    assert_does_without(&cart, &cart.at("model/model.onnx"));
}

#[test]
fn a_manifest_that_never_comes() {
    let cart = Cart::alone(PROGRAM);
    assert_does_without(&cart, &cart.at("model/manifest.toml"));
}

#[test]
fn a_golden_frame_that_never_comes() {
    let cart = Cart::alone(PROGRAM);
    let golden = with_golden_frames(&cart);
    assert_does_without(&cart, &golden);
}

#[test]
fn a_model_that_comes_late() {
    let cart = Cart::alone(PROGRAM);
    assert_waits_for(&cart, &cart.at("model/model.onnx"));
}

#[test]
fn a_manifest_that_comes_late() {
    let cart = Cart::alone(PROGRAM);
    assert_waits_for(&cart, &cart.at("model/manifest.toml"));
}

#[test]
fn a_golden_frame_that_comes_late() {
    let cart = Cart::alone(PROGRAM);
    let golden = with_golden_frames(&cart);
    assert_waits_for(&cart, &golden);
}

#[test]
fn a_profile_that_never_comes_at_a_reload_leaves_the_run_as_it_is() {
    let cart = Cart::alone(PROGRAM);
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    replace_by_fifo(&cart.at("boards/test.toml"));
    for _ in 0..3 {
        run.send(Signal::HUP);
        run.assert_unbroken_for(Duration::from_millis(400));
    }
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["state"] == "assist")));
    run.assert_ends_well();
}

/// Until the last file is there nothing of a new profile is in force; then all of it is.
#[track_caller]
fn assert_taken_whole_when_it_comes(cart: &Cart, file: &Path) {
    cart.put(&cart.profile().with("pipeline.max_age_ms", 1000));
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    let new = cart.profile().with("pipeline.max_age_ms", 1000).with("overlay.colour", RED);
    cart.put(&new.with("model.bundle", "\"../other\""));
    let Some(held) = Held::hold(file) else { return };
    thread::sleep(Duration::from_millis(100));
    let from = Instant::now();
    run.send(Signal::HUP);
    run.assert_unbroken_for(Duration::from_secs(1));
    let frames = run.video.since(from);
    let changed = frames.iter().filter(|frame| frame.corner != Corner::Assist || frame.outlined == 0).count();
    assert_eq!(
        changed,
        0,
        "of {} frames, while the file is not there; log: {}",
        frames.len(),
        run.log.text()
    );
    drop(held);
    let taken = run.video.wait_since(from, PATIENCE, |frame| frame.outlined == 0);
    assert!(taken.is_some(), "the new profile's colour is not drawn: {}", run.log.text());
    thread::sleep(Duration::from_millis(300));
    run.assert_unbroken_since(from);
    let frames = run.video.since(from);
    let without = frames.iter().filter(|frame| frame.corner != Corner::Assist).count();
    assert_eq!(without, 0, "of {} frames, without assistance; log: {}", frames.len(), run.log.text());
    run.assert_ends_well();
}

#[test]
fn a_profile_that_comes_late_at_a_reload_is_taken_whole() {
    let cart = Cart::alone(PROGRAM);
    bundle::write(&cart.at("other"));
    // Held under its final name: it is put in place first.
    assert_taken_whole_when_it_comes(&cart, &cart.at("boards/test.toml"));
}

#[test]
fn a_new_bundle_that_comes_late_is_taken_whole_and_the_old_one_works_until_then() {
    let cart = Cart::alone(PROGRAM);
    bundle::write(&cart.at("other"));
    assert_taken_whole_when_it_comes(&cart, &cart.at("other/model.onnx"));
}

/// A hanging reload ends with the run.
#[test]
fn a_new_bundle_that_never_comes_delays_nothing() {
    let cart = Cart::alone(PROGRAM);
    bundle::write(&cart.at("other"));
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    cart.put(&cart.profile().with("model.bundle", "\"../other\""));
    let Some(_held) = Held::hold(&cart.at("other/model.onnx")) else { return };
    for _ in 0..5 {
        run.send(Signal::HUP);
        run.assert_unbroken_for(Duration::from_millis(200));
    }
    run.assert_ends_well();
}
