//! Bundles on trial.

use std::time::Duration;

use testing::simulation::plan::{Change, Fault, Plan};
use testing::simulation::simulate_plan;

use crate::{holds, quiet};

const SECOND: Duration = Duration::from_secs(1);

/// The story's lines that hold a text.
fn told<'a>(story: &'a [String], text: &str) -> Vec<&'a String> {
    story.iter().filter(|line| line.contains(text)).collect()
}

#[test]
fn a_good_bundle_proves_itself_and_nobody_sees_it() {
    quiet();
    let faults = [(10 * SECOND, Fault::Reload(Change::TrialOfGood))];
    let report = simulate_plan(5, 60 * SECOND, &Plan::of(faults), true);
    holds(&report, "a good bundle");
    let story = &report.story;
    assert_eq!(told(story, "trial of installed-1: Good").len(), 1, "{story:#?}");
    assert_eq!(told(story, "state:").len(), 2, "self-test, then assistance: {story:#?}");
}

#[test]
fn a_bad_bundle_gives_way_to_the_good_one() {
    quiet();
    let faults = [(10 * SECOND, Fault::Reload(Change::TrialOfBad))];
    let report = simulate_plan(6, 60 * SECOND, &Plan::of(faults), true);
    holds(&report, "a bad bundle");
    let story = &report.story;
    assert_eq!(told(story, "trial of installed-1: Failed").len(), 1, "{story:#?}");
    let states: Vec<&str> =
        told(story, "state:").iter().map(|line| line.split("state: ").nth(1).unwrap()).collect();
    let [_, "assist", degraded, rest @ ..] = &states[..] else { panic!("{states:?}") };
    assert!(degraded.starts_with("degraded: inference"), "{states:?}");
    assert_eq!(rest.last(), Some(&"assist"), "{states:?}");
}

/// The disk hangs or is full while the bundle fails: the good one returns all the same, at the latest once the disk is back.
#[test]
fn a_disk_that_fails_keeps_no_bad_bundle_in_charge() {
    quiet();
    for (seed, fault) in [
        (7, Fault::DiskFull(60 * SECOND)),
        (8, Fault::DiskHangs(45 * SECOND)),
        (9, Fault::DiskHangs(85 * SECOND)),
    ] {
        let faults = [(10 * SECOND, Fault::Reload(Change::TrialOfBad)), (12 * SECOND, fault)];
        let report = simulate_plan(seed, 240 * SECOND, &Plan::of(faults), true);
        holds(&report, &format!("{fault}"));
        let last = told(&report.story, "state:").pop().unwrap();
        assert!(last.ends_with("state: assist"), "{fault}: {:#?}", report.story);
    }
}
