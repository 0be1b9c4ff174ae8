//! State files that cannot be written, or that block whoever tries.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
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
    // A folder that was made anew is another one, which the kernel would deny to a program that has restricted itself.
    cart.put(&cart.profile().with("pipeline.sandbox", false));
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.state().is_some()));
    // In its place is what cannot be a folder, from the same instant on: otherwise the folder may be made again.
    fs::write(cart.at("state-away"), "").unwrap();
    renameat_with(CWD, cart.at("state"), CWD, cart.at("state-away"), RenameFlags::EXCHANGE).unwrap();
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

/// Nobody's old report is taken for the current one: where there is no room for a new one, the old one says that it is stale.
#[test]
fn a_state_that_can_no_longer_be_replaced_says_that_it_is_stale() {
    let test = "a_state_that_can_no_longer_be_replaced_says_that_it_is_stale";
    if !may_mount(test) {
        return;
    }
    let cart = Cart::shared(PROGRAM);
    let mut run = Running::start(cart.command_with_mounts("mount -t tmpfs -o size=16k full state"));
    run.assisted();
    let there = PathBuf::from(format!("/proc/{}/root", run.id()));
    let at = |path: &str| there.join(cart.at(path).strip_prefix("/").unwrap());
    let state = || state_in(&at("state/state.json"));
    assert!(comes_true(PATIENCE, || state().is_some_and(|state| state["state"] == "assist")));
    let fill = || {
        let mut file = fs::File::options().create(true).append(true).open(at("state/filled")).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    };
    // What is being written may take the room that is left at the moment.
    let is_stale = || {
        fill();
        state().is_some_and(|state| state["stale"] == true && state["state"].is_null())
    };
    assert!(comes_true(PATIENCE, is_stale), "{:?}; {}", state(), run.log.text());
    fs::remove_file(at("state/filled")).unwrap();
    assert!(
        comes_true(PATIENCE, || state().is_some_and(|state| state["state"] == "assist")),
        "{:?}",
        state()
    );
    run.assert_ends_well();
}

/// Which program, board and model wrote it, on which machine since which start; how far it has come, and how it ended.
#[test]
fn the_state_file_says_who_wrote_it_and_how_far_the_run_has_come() {
    let cart = Cart::shared(PROGRAM);
    let mut run = Running::start(cart.command());
    let early = || cart.state().is_some_and(|state| state["phase"] == "starting");
    let was_early = comes_true(Duration::from_millis(300), early);
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["state"] == "assist")));
    let state = cart.state().unwrap();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(state["phase"], "running", "early: {was_early}");
    assert!(state["exit_code"].is_null(), "{state}");
    assert_eq!(state["boot_id"], boot_id.trim());
    assert_eq!(state["pid"], run.id());
    let manifest = fs::read(cart.at("model/manifest.toml")).unwrap();
    let model = &state["model"];
    assert_eq!((&model["name"], &model["version"]), (&"bright".into(), &"1".into()));
    assert_eq!(model["digest"], polyp_edge::bundle::digest(&manifest));
    assert_eq!(model["key"], testing::bundle::key().id().to_string());
    assert_eq!(state["profile_digest"].as_str().unwrap().len(), 64);
    assert_eq!(state["program"]["version"], env!("CARGO_PKG_VERSION"));
    let uptime = |state: &serde_json::Value| state["written_uptime_s"].as_f64().unwrap();
    let later = || cart.state().is_some_and(|now| uptime(&now) >= uptime(&state) + 2.0);
    assert!(comes_true(PATIENCE, later), "its heart does not beat: {:?}", cart.state());
    // The log's first line and the report say the same.
    let first = run.log.lines().remove(0);
    let digest = state["profile_digest"].as_str().unwrap();
    assert!(
        first.contains("polyp-edge ") && first.contains("board test") && first.contains(digest),
        "{first}"
    );
    run.assert_ends_well();
    let last = cart.state().unwrap();
    assert_eq!((&last["phase"], &last["exit_code"]), (&"stopped".into(), &0.into()));
    let report = fs::read(cart.at("out/latency.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    for key in ["program", "profile_digest", "model"] {
        assert_eq!(report[key], last[key], "{key}");
    }
}

#[test]
fn a_run_that_ends_with_an_error_says_with_which() {
    let cart = Cart::shared(PROGRAM);
    fs::remove_file(cart.at("model/manifest.toml.sig")).unwrap();
    let mut run = Running::start(cart.command());
    run.first_picture();
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["state"] == "degraded")));
    run.assert_ends_with(Signal::TERM, 76);
    let last = cart.state().unwrap();
    assert_eq!((&last["phase"], &last["exit_code"]), (&"stopped".into(), &76.into()));
}

/// After SIGKILL the file says that the run goes on, of a process that is not there and at a time that does not move.
#[test]
fn a_run_that_was_killed_is_told_from_one_that_goes_on() {
    let cart = Cart::shared(PROGRAM);
    let mut run = Running::start(cart.command());
    run.assisted();
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["phase"] == "running")));
    run.send(Signal::KILL);
    assert!(run.wait(PATIENCE).is_some());
    let state = cart.state().unwrap();
    assert_eq!(state["phase"], "running");
    let pid = state["pid"].as_u64().unwrap();
    assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(cart.state().unwrap()["written_uptime_s"], state["written_uptime_s"]);
}

/// What calls an updated system good on an image with two slots (`scripts/image`) reads this program's own file.
#[test]
fn the_script_that_calls_a_slot_good_takes_the_state_file_of_a_run_that_assists() {
    let cart = Cart::shared(PROGRAM);
    let script =
        testing::root().join("scripts/cart/image/mkosi.extra/usr/lib/polyp-edge/wait-for-assistance");
    let is_good = |seconds: &str| {
        let mut command = std::process::Command::new("sh");
        command.arg(&script).arg(seconds).env("STATE_FILE", cart.at("state/state.json"));
        command.status().unwrap().success()
    };
    assert!(!is_good("1"), "nothing runs");
    let mut run = Running::start(cart.command());
    run.assisted();
    assert!(is_good("60"), "{:?}", cart.state());
    run.assert_ends_well();
    assert!(!is_good("1"), "it has ended: {:?}", cart.state());
}
