//! The end comes within a second of being asked for, whatever blocks.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::cart::Cart;
use testing::cart::running::{ONE_SECOND, PATIENCE, Running, comes_true};
use testing::cart::system::{full_pipe, make_fifo};

use crate::PROGRAM;

fn start_with(mut command: Command, stdin: Stdio, stdout: Stdio) -> Running {
    command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
    Running::spawn(command)
}

/// Waits until it is under way as far as it gets.
fn settle(run: &mut Running) {
    thread::sleep(Duration::from_millis(700));
    run.assert_runs();
}

#[test]
fn a_source_that_is_a_pipe_nobody_writes() {
    for signal in [Signal::TERM, Signal::INT] {
        let cart = Cart::alone(PROGRAM);
        make_fifo(&cart.at("video"));
        cart.put(&cart.profile().with_path("camera.source", &cart.at("video")));
        let mut run = Running::start(cart.command());
        settle(&mut run);
        run.assert_ends_with(signal, 0);
    }
}

#[test]
fn a_standard_input_that_says_nothing() {
    let cart = Cart::alone(PROGRAM);
    cart.put(&cart.profile().with("camera.source", "\"-\""));
    let (_silent, stdin) = {
        let (reader, writer) = std::io::pipe().unwrap();
        (writer, reader)
    };
    let mut run = start_with(cart.command(), stdin.into(), Stdio::piped());
    settle(&mut run);
    run.assert_ends_well();
}

#[test]
fn a_standard_input_that_stalls_in_the_middle_of_a_frame() {
    use std::io::Write;
    let cart = Cart::alone(PROGRAM);
    cart.put(&cart.profile().with("camera.source", "\"-\""));
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut run = start_with(cart.command(), reader.into(), Stdio::piped());
    let frame = [&b"FRAME\n"[..], &[90; 160 * 120 * 3]].concat();
    writer.write_all(b"YUV4MPEG2 W160 H120 F25:1 C444\n").unwrap();
    for _ in 0..10 {
        writer.write_all(&frame).unwrap();
    }
    writer.write_all(&frame[..10_000]).unwrap();
    assert!(run.video.wait_since(run.begun, PATIENCE, |_| true).is_some(), "{}", run.log.text());
    settle(&mut run);
    run.assert_ends_well();
}

#[test]
fn a_viewer_that_sleeps() {
    let cart = Cart::alone(PROGRAM);
    let (_unread, stdout) = std::io::pipe().unwrap();
    let mut run = start_with(cart.command(), Stdio::null(), stdout.into());
    settle(&mut run);
    run.assert_ends_well();
}

/// The state tells that nobody sees the picture, although nobody does.
#[test]
fn a_viewer_that_sleeps_is_told_in_the_state_and_goes_on_when_it_wakes() {
    let cart = Cart::alone(PROGRAM);
    let (unread, stdout) = std::io::pipe().unwrap();
    let mut run = start_with(cart.command(), Stdio::null(), stdout.into());
    let is_dark = || cart.state().is_some_and(|state| state["dark"].is_string());
    assert!(comes_true(PATIENCE, is_dark), "{:?}; log: {}", cart.state(), run.log.text());
    run.video = testing::cart::video::Video::watch(unread);
    run.assisted();
    let from = Instant::now() + Duration::from_millis(500);
    thread::sleep(Duration::from_millis(500));
    run.assert_unbroken_for(Duration::from_secs(1));
    assert!(run.video.since(from).len() > 10);
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["dark"].is_null())));
    run.assert_ends_well();
}

/// Nothing of the run goes to standard output but the report at its end, and that nobody reads.
#[test]
fn unread_standard_output() {
    let cart = Cart::alone(PROGRAM);
    cart.put(&cart.profile().with("display.kind", "\"null\""));
    let (_unread, stdout) = full_pipe();
    let mut run = start_with(cart.command(), Stdio::null(), stdout.into());
    let shown = || cart.state().and_then(|state| state["shown"].as_u64()).unwrap_or(0);
    assert!(comes_true(PATIENCE, || shown() > 5), "{:?}; log: {}", cart.state(), run.log.text());
    // The report is lost, and that is an error.
    run.assert_ends_with(Signal::TERM, 74);
    let report = testing::cart::state_in(&cart.at("out/latency.json")).unwrap();
    assert!(report["shown"].as_u64().unwrap() > 5, "{report}");
}

/// Before it watches for signals it ends as any program does, afterwards as a run.
#[test]
fn a_signal_at_any_instant_of_the_start() {
    use std::os::unix::process::ExitStatusExt;
    let cart = Cart::alone(PROGRAM);
    for delay_ms in (0..=150).step_by(10) {
        let mut run = Running::start(cart.command());
        thread::sleep(Duration::from_millis(delay_ms));
        run.send(Signal::TERM);
        let ended = run.wait(PATIENCE).unwrap_or_else(|| panic!("after {delay_ms} ms it does not end"));
        assert!(ended.took < ONE_SECOND + ended.noise, "after {delay_ms} ms: {ended:?}");
        let status = ended.status;
        assert!(status.success() || status.signal() == Some(libc::SIGTERM), "after {delay_ms} ms: {status}");
    }
}

#[test]
fn a_viewer_that_goes_away_ends_the_run_with_a_word() {
    let cart = Cart::alone(PROGRAM);
    let (mut viewer, stdout) = std::io::pipe().unwrap();
    let mut run = start_with(cart.command(), Stdio::null(), stdout.into());
    viewer.read_exact(&mut [0; 100_000]).unwrap();
    drop(viewer);
    let ended = run.wait(PATIENCE).unwrap_or_else(|| panic!("it does not end: {}", run.log.text()));
    assert!(ended.took < ONE_SECOND + ended.noise, "{ended:?}");
    run.log.wait_for_end(PATIENCE);
    assert_eq!(ended.status.code(), Some(74), "{}", run.log.text());
    assert_eq!(run.log.count(|line| line.starts_with("polyp-edge: ")), 1, "{}", run.log.text());
}

#[test]
fn a_second_signal_ends_at_once() {
    let cart = Cart::alone(PROGRAM);
    let (_unread, stdout) = std::io::pipe().unwrap();
    let mut run = start_with(cart.command(), Stdio::null(), stdout.into());
    settle(&mut run);
    run.send(Signal::TERM);
    thread::sleep(Duration::from_millis(20));
    run.send(Signal::TERM);
    let ended = run.wait(PATIENCE).unwrap_or_else(|| panic!("it does not end: {}", run.log.text()));
    // One signal alone waits 250 ms for the viewer to take the last pictures.
    assert!(ended.took < Duration::from_millis(200) + ended.noise, "{ended:?}");
}

#[test]
fn signals_that_mean_nothing_to_it_do_no_harm() {
    let cart = Cart::alone(PROGRAM);
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    let begun = Instant::now();
    let harmless = [
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::PIPE,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::WINCH,
        Signal::POWER,
        Signal::URG,
        Signal::CHILD,
        Signal::CONT,
        Signal::XFSZ,
    ];
    for signal in harmless {
        run.send(signal);
        thread::sleep(Duration::from_millis(60));
        let ended = run.ended();
        assert!(ended.is_none(), "{signal:?} ends it with {}; log: {}", ended.unwrap(), run.log.text());
    }
    run.assert_unbroken_since(begun);
    run.assert_ends_well();
}

#[test]
fn stopped_and_continued_it_shows_and_assists_again() {
    let cart = Cart::alone(PROGRAM);
    let mut run = Running::start(cart.command());
    run.first_picture();
    run.assisted();
    run.send(Signal::STOP);
    thread::sleep(Duration::from_millis(1500));
    let stopped = run.video.frames().len();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(run.video.frames().len(), stopped, "it was stopped");
    let continued = Instant::now();
    run.send(Signal::CONT);
    thread::sleep(ONE_SECOND);
    let from = Instant::now();
    run.assert_unbroken_for(Duration::from_secs(1));
    let assists =
        run.video.since(from).into_iter().all(|frame| frame.corner == testing::cart::video::Corner::Assist);
    assert!(assists, "{}", run.log.text());
    assert!(run.video.since(continued).len() > 30);
    run.assert_ends_well();
}
