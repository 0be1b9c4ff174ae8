//! When results are always too old, somebody is told.

use std::thread;
use std::time::{Duration, Instant};

use testing::cart::Cart;
use testing::cart::running::{PATIENCE, Running, comes_true};

use crate::PROGRAM;

/// At 7 frames a second a picture is shown 143 ms after the one that its result belongs to: with 120 ms nothing would
/// ever be drawn. A recording is read without the jitter of rendering, which would let a result be in time now and then.
#[test]
fn a_rate_too_slow_for_the_age_limit_is_told_or_assists() {
    let cart = Cart::alone(PROGRAM);
    let recording = cart.recording(200);
    let profile = cart.profile().with("camera.rate_hz", "7.0").with("pipeline.max_age_ms", 120);
    cart.put(&profile.with_path("camera.source", &recording));
    let mut run = Running::start(cart.command());
    run.first_picture();
    let has_word = || {
        cart.state().is_some_and(|state| {
            let reason = state["reason"].as_str().unwrap_or("").to_lowercase();
            state["state"] == "assist" || ["old", "late"].iter().any(|word| reason.contains(word))
        })
    };
    assert!(comes_true(PATIENCE, has_word), "{:?}; log: {}", cart.state(), run.log.text());
    // A machine that is busy may let a result be in time by chance; the reason comes back soon then.
    let until = Instant::now() + Duration::from_secs(3);
    let mut told = Instant::now();
    while Instant::now() < until {
        if has_word() {
            told = Instant::now();
        }
        assert!(told.elapsed() < Duration::from_millis(2500), "{:?}; log: {}", cart.state(), run.log.text());
        thread::sleep(Duration::from_millis(20));
    }
    run.assert_ends_well();
}
