//! What a run counts while it goes on: written by its threads, read by whoever wants to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::shared::Boxes;
use crate::capture::live::{Counts, DriverClock};
use crate::latency::Latencies;
use crate::latency::interval::{Frames, SlowFrame, Slowest};
use crate::runtime::sync::Mutex;
use crate::state::State;

/// Counts that only grow, and what the run is doing now.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub captured: AtomicU64,
    pub damaged: AtomicU64,
    /// Those of a recorded or rendered source.
    pub unreadable: AtomicU64,
    pub missed: AtomicU64,
    pub stale: AtomicU64,
    pub shown: AtomicU64,
    pub outlined: AtomicU64,
    pub not_taken: AtomicU64,
    /// Frames that inference left alone because of heat.
    pub spared: AtomicU64,
    pub late: AtomicU64,
    pub transitions: AtomicU64,
    /// The state's place among [`State::WORDS`] and one; 0 before there is one.
    state: AtomicU8,
    is_dark: AtomicBool,
    driver_clock: AtomicU8,
    /// The slowest frames since somebody asked, and the video delay that a frame must exceed to be among them, µs.
    slowest: Mutex<Slowest>,
    slowest_exceed_us: AtomicU64,
}

/// One more.
pub(super) fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    pub fn set_state(&self, state: &State, transitions: u64, is_dark: bool) {
        let place = State::WORDS.iter().position(|&word| word == state.word());
        self.state.store(place.map_or(0, |place| place as u8 + 1), Ordering::Relaxed);
        self.transitions.store(transitions, Ordering::Relaxed);
        self.is_dark.store(is_dark, Ordering::Relaxed);
    }

    /// What a camera has counted since `before`, which becomes what it has counted.
    pub fn add(&self, counts: Counts, before: &mut Counts) {
        self.missed.fetch_add(counts.missed.saturating_sub(before.missed), Ordering::Relaxed);
        self.stale.fetch_add(counts.stale.saturating_sub(before.stale), Ordering::Relaxed);
        self.damaged.fetch_add(counts.damaged.saturating_sub(before.damaged), Ordering::Relaxed);
        *before = counts;
    }

    /// A frame was handed over to the display. Whoever reads these copies them and does nothing else with the lock.
    pub fn handed_over(&self, frame: SlowFrame) {
        if frame.video_delay_us() > self.slowest_exceed_us.load(Ordering::Relaxed) {
            let least = self.slowest.lock().take_in(frame);
            self.slowest_exceed_us.store(least, Ordering::Relaxed);
        }
    }

    pub fn set_driver_clock(&self, clock: DriverClock) {
        self.driver_clock.store(clock as u8, Ordering::Relaxed);
    }
}

/// What the pictures come from and go to, a line each; empty before there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// As [`super::Status::feed`].
    pub feed: String,
    /// As [`super::Status::display`].
    pub display: String,
}

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
        let place = usize::from(self.0.tally.state.load(Ordering::Relaxed));
        State::WORDS.get(place.checked_sub(1)?).copied()
    }

    /// Nobody sees the picture.
    pub fn is_dark(&self) -> bool {
        self.0.tally.is_dark.load(Ordering::Relaxed)
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
        let slowest = std::mem::take(&mut *self.0.tally.slowest.lock());
        self.0.tally.slowest_exceed_us.store(0, Ordering::Relaxed);
        slowest
    }

    /// What the pictures come from and go to.
    pub fn lines(&self) -> Arc<Lines> {
        self.0.lines.get()
    }

    /// By which clock the camera's driver tells when it took a picture.
    pub fn driver_clock(&self) -> DriverClock {
        DriverClock::of(self.0.tally.driver_clock.load(Ordering::Relaxed))
    }
}
