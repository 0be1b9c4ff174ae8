//! A whole cart in simulated time, with faults: see `testing::simulation`.

mod endings;
mod faults;
mod invariants;
mod seeds;
mod trials;

use std::time::Duration;

use testing::simulation::Report;

const HOUR: Duration = Duration::from_secs(3600);

/// Panics are part of a simulation; what breaks is told by the report.
fn quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let is_simulated = panic.payload_as_str().is_some_and(|text| text.contains("was told to panic"));
        if !is_simulated {
            eprintln!("{panic}");
        }
    }));
}

fn holds(report: &Report, what: &str) {
    assert!(report.broken.is_empty(), "{what}: {:?}\n{}", report.broken, report.story.join("\n"));
}
