//! Files that never come: a FIFO that nobody writes stands for a disk that hangs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::cart::{Cart, replace_by_fifo};
use crate::running::{PATIENCE, Running, comes_true};
use crate::video::Corner;

/// The picture comes first and goes on; the state says that there is no assistance, or why; the end comes when asked.
/// Gives what the state file said, and the exit code of what was wrong.
fn without_assistance(cart: &Cart) {
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assert_unbroken_for(Duration::from_secs(2));
    assert!(run.video.frames().iter().all(|frame| frame.corner != Corner::Assist));
    let state = cart.state().unwrap_or_else(|| panic!("no state file; log: {}", run.log.text()));
    let code = match state["state"].as_str().unwrap() {
        // Still waiting for the file.
        "self-test" => 0,
        // The file was refused: the bundle is damaged, or cannot be read.
        "degraded" => {
            let reason = state["reason"].as_str().unwrap_or_else(|| panic!("no reason: {state}"));
            assert!(reason.starts_with("model"), "{state}");
            if reason.contains("read") && !reason.contains("regular") { 74 } else { 65 }
        }
        other => panic!("{other} while the bundle is not there: {state}"),
    };
    run.assert_ends_with(Signal::TERM, code);
}

#[test]
fn a_model_that_never_comes_delays_neither_the_picture_nor_the_end() {
    let cart = Cart::alone();
    replace_by_fifo(&cart.at("model/model.onnx"));
    without_assistance(&cart);
}

#[test]
fn a_manifest_that_never_comes_delays_neither_the_picture_nor_the_end() {
    let cart = Cart::alone();
    replace_by_fifo(&cart.at("model/manifest.toml"));
    without_assistance(&cart);
}

#[test]
fn a_golden_frame_that_never_comes_delays_neither_the_picture_nor_the_end() {
    let cart = Cart::alone();
    let (from, to) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("models/first-light"), cart.at("golden-model"));
    fs::create_dir_all(to.join("golden")).unwrap();
    for path in crate::bundle::files(&from) {
        fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
    let golden = crate::bundle::files(&to.join("golden"));
    replace_by_fifo(&to.join("golden").join(golden.first().unwrap()));
    cart.put(&cart.profile().with("model.bundle", "\"../golden-model\""));
    without_assistance(&cart);
}

#[test]
fn a_profile_that_never_comes_at_a_reload_leaves_the_run_as_it_is() {
    let cart = Cart::alone();
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    replace_by_fifo(&cart.at("boards/test.toml"));
    for _ in 0..3 {
        run.send(Signal::HUP);
        run.assert_unbroken_for(Duration::from_millis(500));
    }
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["state"] == "assist")));
    run.assert_ends_well();
}

#[test]
fn a_profile_is_read_again_once_the_disk_is_back() {
    let cart = Cart::alone();
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    replace_by_fifo(&cart.at("boards/test.toml"));
    run.send(Signal::HUP);
    run.assert_unbroken_for(Duration::from_millis(500));
    // Whoever waits for the FIFO gets it, empty; then the file is back.
    let writer = {
        let path = cart.at("boards/test.toml");
        std::thread::spawn(move || fs::OpenOptions::new().read(true).write(true).open(path).map(drop))
    };
    writer.join().unwrap().unwrap();
    cart.put(&cart.profile().with("overlay.colour", "[255, 0, 0]"));
    run.send(Signal::HUP);
    let since = std::time::Instant::now();
    let taken = run.video.wait_since(since, PATIENCE, |frame| frame.outlined == 0);
    assert!(taken.is_some(), "the new profile's colour is not drawn: {}", run.log.text());
    run.assert_unbroken_since(since);
    run.assert_ends_well();
}

#[test]
fn a_new_bundle_that_never_comes_leaves_the_old_one_at_work() {
    let cart = Cart::alone();
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    crate::bundle::write(&cart.at("other"));
    replace_by_fifo(&cart.at("other/model.onnx"));
    cart.put(&cart.profile().with("model.bundle", "\"../other\""));
    let from = std::time::Instant::now();
    run.send(Signal::HUP);
    run.assert_unbroken_for(Duration::from_secs(2));
    let lost = run.video.since(from).into_iter().filter(|frame| frame.corner != Corner::Assist).count();
    assert_eq!(lost, 0, "frames without assistance; log: {}", run.log.text());
    run.assert_ends_well();
}
