//! What a run counts while it goes on, written by its threads.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::capture::live::{Counts, DriverClock};
use crate::latency::interval::{SlowFrame, Slowest};
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

    /// A frame was handed over to the display. Never waits: a frame that comes while somebody reads is left out.
    pub fn handed_over(&self, frame: SlowFrame) {
        if frame.video_delay_us() > self.slowest_exceed_us.load(Ordering::Relaxed)
            && let Some(mut slowest) = self.slowest.try_lock()
        {
            self.slowest_exceed_us.store(slowest.take_in(frame), Ordering::Relaxed);
        }
    }

    /// The state's word; `None` before there is one.
    pub fn state(&self) -> Option<&'static str> {
        let place = usize::from(self.state.load(Ordering::Relaxed));
        State::WORDS.get(place.checked_sub(1)?).copied()
    }

    /// Nobody sees the picture.
    pub fn is_dark(&self) -> bool {
        self.is_dark.load(Ordering::Relaxed)
    }

    /// The slowest frames since this was last asked.
    pub fn take_slowest(&self) -> Slowest {
        let slowest = std::mem::take(&mut *self.slowest.lock());
        self.slowest_exceed_us.store(0, Ordering::Relaxed);
        slowest
    }

    /// As it was set last.
    pub fn driver_clock(&self) -> DriverClock {
        DriverClock::of(self.driver_clock.load(Ordering::Relaxed))
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
