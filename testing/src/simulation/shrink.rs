//! From a plan that breaks something to a short one that does.

use std::time::Duration;

use super::plan::Plan;
use super::simulate_plan;

/// Simulations that are tried, at most.
const TRIES: usize = 300;
/// What is simulated after the moment at which something broke: without a fault, it may break a little later.
const AFTER: Duration = Duration::from_secs(5);

/// The plan without faults that are not needed for something to break, and how long to simulate it.
pub fn shrink(seed: u64, length: Duration, plan: &Plan) -> (Plan, Duration) {
    let mut shortest = plan.clone();
    let Some(broke_after) = simulate_plan(seed, length, plan, false).broke_after else {
        return (shortest, length);
    };
    let length = length.min(broke_after + AFTER);
    shortest.faults.retain(|(time, _)| *time <= broke_after);
    let mut tries = 0;
    let mut breaks = |plan: &Plan| {
        tries += 1;
        tries <= TRIES && simulate_plan(seed, length, plan, false).broke_after.is_some()
    };
    let mut piece = shortest.faults.len().div_ceil(2);
    while piece > 0 {
        let mut from = 0;
        while from < shortest.faults.len() {
            let mut shorter = shortest.clone();
            shorter.faults.drain(from..(from + piece).min(shortest.faults.len()));
            if breaks(&shorter) {
                shortest = shorter;
            } else {
                from += piece;
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    (shortest, length)
}
