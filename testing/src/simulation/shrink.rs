//! From a plan that breaks something to a short one that does.

use std::time::Duration;

use super::plan::Plan;
use super::simulate_plan;

/// Simulations that are tried, at most.
const TRIES: usize = 400;
/// What is simulated after the last fault.
const AFTER: Duration = Duration::from_secs(200);

/// The plan without faults that are not needed for something to break, and how long to simulate it.
pub fn shrink(seed: u64, length: Duration, plan: &Plan) -> (Plan, Duration) {
    let mut shortest = plan.clone();
    let mut tries = 0;
    let mut breaks = |plan: &Plan| {
        tries += 1;
        tries <= TRIES && !simulate_plan(seed, ends(plan, length), plan, false).broken.is_empty()
    };
    let mut piece = shortest.0.len().div_ceil(2);
    while piece > 0 {
        let mut from = 0;
        while from < shortest.0.len() {
            let mut shorter = shortest.clone();
            shorter.0.drain(from..(from + piece).min(shortest.0.len()));
            if breaks(&shorter) {
                shortest = shorter;
            } else {
                from += piece;
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    let length = ends(&shortest, length);
    (shortest, length)
}

fn ends(plan: &Plan, length: Duration) -> Duration {
    plan.0.last().map_or(length, |(time, _)| (*time + AFTER).min(length))
}
