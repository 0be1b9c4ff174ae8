//! When results are always too old, somebody is told.

use std::time::Duration;

use crate::cart::Cart;
use crate::running::{PATIENCE, Running, comes_true};

/// At 7 frames a second a picture is shown 143 ms after the one that its result belongs to: with 120 ms nothing would
/// ever be drawn.
#[test]
fn a_rate_too_slow_for_the_age_limit_is_told_or_assists() {
    let cart = Cart::alone();
    cart.put(&cart.profile().with("camera.rate_hz", "7.0").with("pipeline.max_age_ms", 120));
    let mut run = Running::start(cart.command());
    run.first_picture();
    let has_word = || {
        cart.state().is_some_and(|state| {
            state["state"] == "assist"
                || state["reason"].as_str().is_some_and(|reason| {
                    let reason = reason.to_lowercase();
                    reason.contains("old") || reason.contains("age") || reason.contains("late")
                })
        })
    };
    assert!(comes_true(PATIENCE, has_word), "{:?}; log: {}", cart.state(), run.log.text());
    // Once told it stays told.
    let until = std::time::Instant::now() + Duration::from_secs(2);
    while std::time::Instant::now() < until {
        assert!(has_word(), "{:?}", cart.state());
        std::thread::sleep(Duration::from_millis(20));
    }
    run.assert_ends_well();
}
