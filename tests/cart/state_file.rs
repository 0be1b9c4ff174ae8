//! State files that cannot be written, or that block whoever tries.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::system::{make_fifo, may_mount};
use testing::cart::{Cart, state_in};

use crate::PROGRAM;

/// Lines that say the state is not written.
fn complaints(run: &Running) -> usize {
    run.log.count(|line| line.contains("state.json"))
}

#[track_caller]
fn assert_told_once(run: &Running) {
    let told = run.log.wait_after(0, PATIENCE, |line| line.contains("state.json"));
    assert!(told.is_some(), "nobody is told that the state is not written: {}", run.log.text());
    // Time for a few more tries, which are not to be told again.
    run.assert_unbroken_for(Duration::from_millis(2500));
    assert_eq!(complaints(run), 1, "{}", run.log.text());
}

#[test]
fn a_state_file_that_is_a_pipe_nobody_reads_holds_nothing_up() {
    let cart = Cart::alone(PROGRAM);
    let path = cart.at("state/state.json");
    make_fifo(&path);
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    run.assert_unbroken_for(Duration::from_millis(1500));
    // A reload tells the state anew.
    run.send(Signal::HUP);
    run.assert_unbroken_for(Duration::from_millis(500));
    // Either it stands aside for a file, or the log says that it is none. Its content is never asked for: opening it
    // would wait for ever.
    let is_file = fs::metadata(&path).unwrap().is_file();
    assert!(is_file || complaints(&run) == 1, "{}", run.log.text());
    if is_file {
        assert_eq!(state_in(&path).unwrap()["state"], "assist");
    }
    run.assert_ends_well();
}

#[test]
fn a_state_file_whose_folder_goes_away_is_told_once_and_comes_back_later() {
    let cart = Cart::alone(PROGRAM);
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.state().is_some()));
    fs::rename(cart.at("state"), cart.at("state-away")).unwrap();
    // In its place is what cannot be a folder: otherwise it may be made again.
    let _ = fs::write(cart.at("state"), "");
    assert_told_once(&run);
    fs::remove_file(cart.at("state")).unwrap();
    fs::create_dir_all(cart.at("state")).unwrap();
    assert!(comes_true(PATIENCE, || cart.state().is_some()), "it is not written again: {}", run.log.text());
    run.assert_ends_well();
}

#[test]
fn a_state_file_on_a_full_disk_is_told_once_and_written_when_there_is_room() {
    let test = "a_state_file_on_a_full_disk_is_told_once_and_written_when_there_is_room";
    if !may_mount(test) {
        return;
    }
    let cart = Cart::alone(PROGRAM);
    let fill = "mount -t tmpfs -o size=16k full state && { head -c 1M /dev/zero > state/filled || true; } 2> /dev/null";
    let mut run = Running::start(cart.command_with_mounts(fill));
    run.first_picture();
    run.assisted();
    assert_told_once(&run);
    let there = PathBuf::from(format!("/proc/{}/root", run.id()));
    let at = |path: &str| there.join(cart.at(path).strip_prefix("/").unwrap());
    let names =
        || fs::read_dir(at("state")).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names(), ["filled"], "nothing half-written stays");
    fs::remove_file(at("state/filled")).unwrap();
    let written = || state_in(&at("state/state.json")).is_some();
    assert!(comes_true(PATIENCE, written), "it is not written again: {}", run.log.text());
    run.assert_ends_well();
}

#[test]
fn a_state_file_on_a_disk_that_cannot_be_written_is_told_once() {
    if !may_mount("a_state_file_on_a_disk_that_cannot_be_written_is_told_once") {
        return;
    }
    let cart = Cart::alone(PROGRAM);
    let mut run = Running::start(cart.command_with_mounts("mount -t tmpfs -o ro readonly state"));
    run.first_picture();
    run.assisted();
    assert_told_once(&run);
    run.assert_ends_well();
}

/// The state is told at each change and about once a second: what an outsider reads is never old.
#[test]
fn the_state_file_is_whole_and_fresh_whenever_it_is_read() {
    let cart = Cart::shared(PROGRAM);
    let mut run = Running::start(cart.command());
    run.assisted();
    let mut told = Vec::new();
    let from = std::time::Instant::now();
    while from.elapsed() < Duration::from_secs(3) {
        if let Some(state) = cart.state() {
            told.push(state["written_unix_s"].as_f64().unwrap());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    told.dedup();
    assert!(told.len() >= 3 && told.is_sorted(), "{told:?}");
    run.assert_ends_well();
    let last = cart.state().unwrap();
    assert_eq!(last["shown"], run.video.frames().len(), "the last state counts every picture: {last}");
}
