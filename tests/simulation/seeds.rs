//! Plans that a seed decides.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use testing::simulation::plan::{Change, Fault, Plan};
use testing::simulation::shrink::shrink;
use testing::simulation::{simulate, simulate_plan};

use crate::{HOUR, holds, quiet};

#[test]
fn a_seed_gives_the_same_run_twice_and_another_one_another() {
    quiet();
    let [first, second, other] = [7, 7, 8].map(|seed| simulate(seed, HOUR / 20, true));
    assert_eq!(first, second);
    assert_ne!(first.digest, other.digest);
    assert!(first.pictures > 1000 && first.story.len() > 10, "{} pictures", first.pictures);
}

#[test]
fn nothing_happens_where_no_fault_does() {
    quiet();
    let report = simulate_plan(1, HOUR, &Plan::default(), true);
    holds(&report, "no faults");
    let states: Vec<_> = report.story.iter().filter(|line| line.contains("state:")).collect();
    assert_eq!(states.len(), 2, "self-test, then assistance: {states:?}");
    // 60 a second, but for frames that come in the very moment of a refresh.
    assert!(report.pictures >= 60 * 3600 * 99 / 100, "{} pictures in an hour", report.pictures);
}

/// Seeds of the day's date, on all cores, for as long as `POLYP_SIMULATION_SECONDS` says; a failure prints the seed.
#[test]
fn fresh_seeds_break_nothing() {
    quiet();
    let seconds =
        std::env::var("POLYP_SIMULATION_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let (begun, first) = (Instant::now(), today % 1_000_000_000);
    println!("seeds from {first} on");
    let next = AtomicU64::new(first);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while begun.elapsed() < Duration::from_secs(seconds) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let report = simulate(seed, HOUR / 4, false);
                    let again = format!(
                        "cargo run --release --example simulate -- --seed {seed} --hours 0.25 --trace"
                    );
                    assert!(report.broken.is_empty(), "seed {seed}: {:?}; see {again}", report.broken);
                }
            });
        }
    });
}

#[test]
fn a_plan_that_breaks_nothing_stays_as_it_is() {
    quiet();
    let second = Duration::from_secs(1);
    let plan =
        Plan::of([(10 * second, Fault::CameraStalls(second)), (20 * second, Fault::Reload(Change::Monitor))]);
    let (kept, length) = shrink(5, 30 * second, &plan);
    assert_eq!((kept, length), (plan, 30 * second));
}
