//! Each thread stands still for a while, one at a time: what it does is missing, and nothing else.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::cart::Cart;
use testing::cart::running::{ONE_SECOND, PATIENCE, Running, comes_true};
use testing::cart::stopped::Stopped;

use crate::PROGRAM;

/// Longer than any thread may be late before something is said.
const STANDS_STILL: Duration = Duration::from_millis(2500);
/// From the moment at which a thread goes on to pictures as before.
const SETTLES: Duration = Duration::from_millis(300);

/// `None`, with a word about it, where threads cannot be stopped.
fn stop(run: &Running, name: &str) -> Option<Stopped> {
    match Stopped::thread(run.id(), name) {
        Ok(stopped) => Some(stopped),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("a thread is not stopped: tracing is not permitted here");
            None
        }
        Err(error) => panic!("{name}: {error}; log: {}", run.log.text()),
    }
}

fn started(cart: &Cart) -> Running {
    let run = Running::start(cart.command());
    run.assisted();
    run
}

fn state(cart: &Cart) -> String {
    let state = cart.state().and_then(|state| state["state"].as_str().map(str::to_owned));
    state.unwrap_or_default()
}

#[test]
fn one_that_does_not_carry_the_picture_holds_up_no_picture() {
    let cart = Cart::alone(PROGRAM);
    let mut run = started(&cart);
    let carriers = ["capture", "display", "pictures"];
    let names: Vec<String> = testing::cart::process::threads(run.id())
        .into_iter()
        .map(|thread| thread.name)
        .filter(|name| !carriers.contains(&&**name))
        .collect();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        let Some(stopped) = stop(&run, &name) else { return };
        run.assert_unbroken_for(STANDS_STILL);
        drop(stopped);
        run.assert_unbroken_for(SETTLES);
        assert!(comes_true(PATIENCE, || state(&cart) == "assist"), "{name}: {:?}", cart.state());
    }
    run.assert_ends_well();
}

#[test]
fn a_stopped_inference_is_told_and_comes_back() {
    let cart = Cart::alone(PROGRAM);
    let mut run = started(&cart);
    let Some(stopped) = stop(&run, "inference") else { return };
    assert!(comes_true(PATIENCE, || state(&cart) == "degraded"), "{:?}", cart.state());
    run.assert_unbroken_for(Duration::from_millis(500));
    drop(stopped);
    assert!(comes_true(PATIENCE, || state(&cart) == "assist"), "{:?}", cart.state());
    run.assert_ends_well();
}

#[test]
fn a_run_ends_in_time_while_a_thread_stands_still() {
    for name in ["capture", "inference", "state file", "log"] {
        let cart = Cart::alone(PROGRAM);
        let mut run = started(&cart);
        let Some(stopped) = stop(&run, name) else { return };
        thread::sleep(Duration::from_millis(200));
        run.send(Signal::TERM);
        let asked = Instant::now();
        let has_ended = comes_true(PATIENCE, || {
            stopped.let_die();
            run.ended().is_some()
        });
        let (took, noise) = (asked.elapsed(), run.noise.of_program(asked, Instant::now()));
        assert!(has_ended, "{name}: it does not end; log: {}", run.log.text());
        assert!(took < ONE_SECOND + noise, "{name}: it ended after {took:?}; noise {noise:?}");
    }
}

#[test]
fn pictures_go_on_once_the_thread_that_carries_them_does() {
    let cart = Cart::alone(PROGRAM);
    let mut run = started(&cart);
    for name in ["capture", "display"] {
        let Some(stopped) = stop(&run, name) else { return };
        thread::sleep(STANDS_STILL);
        let from = Instant::now();
        drop(stopped);
        let next = run.video.wait_since(from, PATIENCE, |_| true);
        let next = next.unwrap_or_else(|| panic!("{name}: no picture; log: {}", run.log.text()));
        let noise = run.noise.of_picture(from, next.at);
        assert!(next.at - from < SETTLES + noise, "{name}: the next picture came after {:?}", next.at - from);
        thread::sleep(SETTLES);
        run.assert_unbroken_for(Duration::from_millis(500));
        assert!(comes_true(PATIENCE, || state(&cart) == "assist"), "{name}: {:?}", cart.state());
    }
    run.assert_ends_well();
}
