//! How far a replay is.

use std::time::{Duration, Instant};

use crate::runtime::virtual_time::outside;

/// Between two lines about how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Tells now and then how far it is.
pub(super) struct Progress {
    expected: Option<u64>,
    begun: Instant,
    told: Instant,
}

impl Progress {
    pub(super) fn new(expected: Option<u64>) -> Progress {
        let now = outside();
        Progress { expected, begun: now, told: now }
    }

    pub(super) fn tell(&mut self, frames: u64) {
        if since(self.told) < TOLD_EVERY {
            return;
        }
        self.told = outside();
        let rate = frames as f64 / since(self.begun).as_secs_f64();
        match self.expected.and_then(|expected| expected.checked_sub(frames)) {
            Some(left) if rate > 0.0 => {
                let seconds = (left as f64 / rate).round() as u64;
                let all = frames + left;
                log::info!(
                    "{frames} of about {all} frames, {rate:.1} a second, {}:{:02} min left",
                    seconds / 60,
                    seconds % 60
                );
            }
            _ => log::info!("{frames} frames, {rate:.1} a second"),
        }
    }
}

fn since(then: Instant) -> Duration {
    outside().saturating_duration_since(then)
}
