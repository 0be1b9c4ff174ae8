//! What inference is at, for others to see.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LOADING: u64 = u64::MAX;
const IDLE: u64 = u64::MAX - 1;

/// Told by inference, read by the display; neither waits.
pub(super) struct Progress {
    start: Instant,
    /// [`LOADING`], [`IDLE`], or since how many milliseconds after the start it works on a frame.
    state: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Progress { start: Instant::now(), state: AtomicU64::new(LOADING) }
    }
}

impl Progress {
    pub(super) fn idle(&self) {
        self.state.store(IDLE, Ordering::Relaxed);
    }

    pub(super) fn working(&self) {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(IDLE - 1);
        self.state.store(since, Ordering::Relaxed);
    }

    pub(super) fn is_loading(&self) -> bool {
        self.state.load(Ordering::Relaxed) == LOADING
    }

    /// For how long it has been working on the same frame, or loading.
    pub(super) fn busy(&self) -> Duration {
        match self.state.load(Ordering::Relaxed) {
            IDLE => Duration::ZERO,
            LOADING => self.start.elapsed(),
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since)),
        }
    }
}
