//! What an inference thread is at, for others to see.

use crate::runtime;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Told by an inference thread, read by others; neither waits.
pub(super) struct Progress {
    start: Instant,
    /// When the thread last said that it goes on, in milliseconds after the start.
    alive_ms: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Progress { start: runtime::now(), alive_ms: AtomicU64::new(0) }
    }
}

impl Progress {
    /// The thread begins a frame, ends one, or waits for one.
    pub(super) fn alive(&self) {
        let now = u64::try_from(runtime::since(self.start).as_millis()).unwrap_or(u64::MAX);
        self.alive_ms.store(now, Ordering::Relaxed);
    }

    /// For how long nothing was heard of it.
    pub(super) fn silent_for(&self) -> Duration {
        runtime::since(self.start)
            .saturating_sub(Duration::from_millis(self.alive_ms.load(Ordering::Relaxed)))
    }
}
