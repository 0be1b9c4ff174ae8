//! What a run counts while it goes on, for whoever wants to read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shared::Boxes;
use super::tally::Lines;
use crate::capture::live::DriverClock;
use crate::latency::Latencies;
use crate::latency::interval::{Frames, Slowest};

/// A run's counts while it goes on, for whoever wants to read them.
#[derive(Clone)]
pub struct Gauges(pub(super) Arc<Boxes>);

impl Gauges {
    /// What has become of the frames so far.
    pub fn frames(&self) -> Frames {
        let tally = &self.0.tally;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Frames {
            captured: read(&tally.captured),
            damaged: read(&tally.damaged),
            missed: read(&tally.missed),
            stale: read(&tally.stale),
            shown: read(&tally.shown),
            outlined: read(&tally.outlined),
            overtaken: self.0.display.overwritten(),
            not_taken: read(&tally.not_taken),
            skipped: self.0.inference.overwritten(),
            spared: read(&tally.spared),
            late: read(&tally.late),
        }
    }

    /// The state's word; `None` before there is one.
    pub fn state(&self) -> Option<&'static str> {
        self.0.tally.state()
    }

    /// Nobody sees the picture.
    pub fn is_dark(&self) -> bool {
        self.0.tally.is_dark()
    }

    /// Changes of state.
    pub fn transitions(&self) -> u64 {
        self.0.tally.transitions.load(Ordering::Relaxed)
    }

    /// How long each stage takes.
    pub fn latencies(&self) -> &Latencies {
        &self.0.latencies
    }

    /// The slowest frames since this was last asked.
    pub fn take_slowest(&self) -> Slowest {
        self.0.tally.take_slowest()
    }

    /// What the pictures come from and go to.
    pub fn lines(&self) -> Arc<Lines> {
        self.0.lines.get()
    }

    /// By which clock the camera's driver tells when it took a picture.
    pub fn driver_clock(&self) -> DriverClock {
        self.0.tally.driver_clock()
    }
}
