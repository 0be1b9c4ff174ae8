//! SIGKILL at any instant: what is on disk is whole, and the next start finds nothing in its way.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use testing::cart::chance::Chance;
use testing::cart::running::{PATIENCE, Running, comes_true};
use testing::cart::{Cart, state_in};
use testing::folder::files;

use crate::PROGRAM;

const KILLS: usize = 200;

/// When the kill comes.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Start,
    Run,
    Reload,
    Report,
}

fn start(cart: &Cart, arguments: &[&str]) -> Running {
    let mut command = cart.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Running::spawn(command)
}

/// Names of what a run left, without the pictures, whose number is the time's.
fn left_by(cart: &Cart) -> BTreeSet<PathBuf> {
    let in_folder = |folder: &'static str| {
        files(&cart.at(folder)).into_iter().map(move |file| Path::new(folder).join(file))
    };
    let is_picture = |file: &PathBuf| {
        file.to_str().is_some_and(|name| name.starts_with("out/frame-") && name.ends_with(".png"))
    };
    ["out", "state", "boards", "model", "temporary"]
        .into_iter()
        .flat_map(in_folder)
        .filter(|file| !is_picture(file))
        .collect()
}

/// That every report parses, every picture decodes, and every text ends with its line.
#[track_caller]
fn assert_whole(cart: &Cart, when: &str) {
    for file in ["out", "state"]
        .iter()
        .flat_map(|folder| files(&cart.at(folder)).into_iter().map(|file| cart.at(folder).join(file)))
    {
        let hidden = file.file_name().unwrap().to_str().unwrap().starts_with('.');
        match file.extension().and_then(|extension| extension.to_str()) {
            // Under its temporary name nobody takes it for a result.
            _ if hidden => {}
            Some("json") => {
                drop(state_in(&file).unwrap_or_else(|| panic!("{when}: {} is empty", file.display())))
            }
            Some("png") => {
                let picture =
                    image::open(&file).unwrap_or_else(|error| panic!("{when}: {}: {error}", file.display()));
                assert_eq!((picture.width(), picture.height()), (160, 120));
            }
            Some("txt") => {
                assert!(fs::read_to_string(&file).unwrap().ends_with('\n'), "{when}: {}", file.display())
            }
            other => panic!("{when}: {} is of an unknown kind, {other:?}", file.display()),
        }
    }
}

#[test]
fn killed_at_any_instant_it_leaves_nothing_half_written_and_starts_again() {
    let cart = Cart::shared(PROGRAM);
    // A picture every 10 ms, each large enough that many kills come in the middle of one.
    let recording = cart.recording(1000);
    let profile = cart.profile().with("display.kind", "\"images\"").with("camera.rate_hz", "100.0");
    cart.put(&profile.with_path("camera.source", &recording));
    // A run that ends by itself says which files there are to be.
    let complete = |cart: &Cart, when: &str| {
        let mut run = start(cart, &["--frames", "2"]);
        let ended =
            run.wait(PATIENCE).unwrap_or_else(|| panic!("{when}: it does not end: {}", run.log.text()));
        run.log.wait_for_end(PATIENCE);
        assert!(ended.status.success(), "{when}: {}: {}", ended.status, run.log.text());
        assert_whole(cart, when);
        left_by(cart)
    };
    let usual = complete(&cart, "the first run");
    let mut chance = Chance::of(7);
    for kill in 0..KILLS {
        let phase = [Phase::Start, Phase::Run, Phase::Reload, Phase::Report][kill % 4];
        let when = format!("kill {kill}, {phase:?}");
        let _ = fs::remove_file(cart.at("state/state.json"));
        let mut run = start(&cart, &[]);
        let wait_until_under_way = || {
            let begun = comes_true(PATIENCE, || cart.state().is_some());
            assert!(begun, "{when}: it does not start again: {}", run.log.text());
        };
        match phase {
            Phase::Start => thread::sleep(chance.below(Duration::from_millis(80))),
            Phase::Run => {
                wait_until_under_way();
                thread::sleep(chance.below(Duration::from_millis(200)));
            }
            Phase::Reload => {
                wait_until_under_way();
                run.send(Signal::HUP);
                thread::sleep(chance.below(Duration::from_millis(40)));
            }
            Phase::Report => {
                wait_until_under_way();
                run.send(Signal::TERM);
                thread::sleep(chance.below(Duration::from_millis(40)));
            }
        }
        if let Some(status) = run.ended() {
            let is_end = matches!(phase, Phase::Report) && status.success();
            assert!(is_end, "{when}: it ended with {status} before the kill: {}", run.log.text());
        }
        run.send(Signal::KILL);
        assert!(run.wait(PATIENCE).is_some(), "{when}: it outlives the kill");
        assert_whole(&cart, &when);
        if kill % 10 == 9 {
            let after = complete(&cart, &format!("the run after kill {kill}"));
            assert_eq!(after, usual, "files after kill {kill}, beside those that a run leaves");
        }
    }
}
