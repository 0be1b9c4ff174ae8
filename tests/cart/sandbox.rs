//! What the program denies itself, seen from outside.

use std::fs;

use rustix::process::Signal;
use testing::cart::Cart;
use testing::cart::running::{PATIENCE, Running, comes_true};

use crate::PROGRAM;

/// Whether the program has restricted itself; else says that a test is skipped.
fn is_restricted(run: &Running, test: &str) -> bool {
    let says =
        |line: &str| line.contains("the program may read") || line.contains("does not restrict itself");
    let line = run.log.wait_after(0, PATIENCE, says).unwrap_or_else(|| panic!("no word: {}", run.log.text()));
    let is_restricted = line.contains("the program may read");
    if !is_restricted {
        eprintln!("{test}: skipped: {line}");
    }
    is_restricted
}

#[test]
fn a_reload_that_needs_more_is_refused_and_one_that_does_not_is_taken() {
    let test = "a_reload_that_needs_more_is_refused_and_one_that_does_not_is_taken";
    let cart = Cart::shared(PROGRAM);
    testing::bundle::write(&cart.at("other"));
    let elsewhere = tempfile::tempdir().unwrap();
    let (bundle, state) = (elsewhere.path().join("model"), elsewhere.path().join("state/state.json"));
    testing::bundle::write(&bundle);
    let mut run = Running::start(cart.command());
    run.assisted();
    if !is_restricted(&run, test) {
        return;
    }
    let status = fs::read_to_string(format!("/proc/{}/task/{}/status", run.id(), run.id())).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let reload = |profile: &testing::cart::Profile| {
        let known = run.log.lines().len();
        cart.put(profile);
        run.send(Signal::HUP);
        let says = |line: &str| line.contains("stays as it was") || line.contains("was reloaded");
        run.log.wait_after(known, PATIENCE, says).unwrap_or_else(|| panic!("{}", run.log.text()))
    };
    for (key, path) in [("model.bundle", &bundle), ("pipeline.state_file", &state)] {
        let line = reload(&cart.profile().with_path(key, path));
        let words = format!(
            "{key} names {}",
            path.parent().filter(|_| key != "model.bundle").unwrap_or(path).display()
        );
        assert!(line.contains(&words) && line.contains("restart it to use this profile"), "{line}");
    }
    assert!(!state.exists() && !state.parent().unwrap().exists(), "nothing was written");
    assert!(comes_true(PATIENCE, || cart.state().is_some_and(|state| state["state"] == "assist")));
    let line = reload(&cart.profile().with("model.bundle", "\"../other\""));
    assert!(line.contains("was reloaded"), "{line}");
    run.assert_ends_well();
}

#[test]
fn a_profile_may_leave_all_open_and_the_log_says_so() {
    let cart = Cart::shared(PROGRAM);
    cart.put(&cart.profile().with("pipeline.sandbox", false));
    let mut run = Running::start(cart.command());
    run.assisted();
    assert_eq!(run.log.count(|line| line.contains("pipeline.sandbox is false")), 1, "{}", run.log.text());
    let status = fs::read_to_string(format!("/proc/{}/task/{}/status", run.id(), run.id())).unwrap();
    assert!(status.contains("NoNewPrivs:\t0"), "{status}");
    run.assert_ends_well();
}
