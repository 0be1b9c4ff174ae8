//! Signs of life for the service manager: given by a thread of its own as long as the thread that shows pictures goes on in time.
//!
//! The display's thread turns about fifty times a second, also without a camera, a monitor or a model. If it does not come back from
//! a call of its driver, or has no core, it no longer does; then the manager hears nothing, and starts the program anew after the
//! span that it has set (`WatchdogSec`). No other thread matters: a disk, a log or a network that hangs costs no picture.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::manager::Notice;
use super::surroundings::Surroundings;
use crate::fault::Fault;
use crate::runtime;

/// From one turn of the display's thread to the next: what takes longer is not in time. A monitor that is set up anew takes some
/// hundred milliseconds.
pub const STANDS_STILL_AFTER: Duration = Duration::from_secs(1);
/// How often it is looked, as a part of the manager's span, and within which bounds.
const LOOKS: u32 = 6;
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(40), Duration::from_millis(500));

/// The turns of the display's thread, for others to see. Neither side waits.
pub(super) struct Turns {
    begin: Instant,
    /// The last one, in microseconds after the beginning.
    last_us: AtomicU64,
    /// The longest time between two since it was looked.
    longest_us: AtomicU64,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns { begin: runtime::now(), last_us: AtomicU64::new(0), longest_us: AtomicU64::new(0) }
    }
}

impl Turns {
    fn now_us(&self) -> u64 {
        u64::try_from(runtime::since(self.begin).as_micros()).unwrap_or(u64::MAX)
    }

    /// The display's thread has turned.
    pub(super) fn turned(&self) {
        let now = self.now_us();
        let before = self.last_us.swap(now, Ordering::Relaxed);
        self.longest_us.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
    }

    /// Whether it has turned since `seen`, and always in time since this was asked last.
    fn are_in_time(&self, seen: &mut u64) -> bool {
        let last = self.last_us.load(Ordering::Relaxed);
        let longest = self.longest_us.swap(0, Ordering::Relaxed).max(self.now_us().saturating_sub(last));
        let has_turned = std::mem::replace(seen, last) != last;
        has_turned && Duration::from_micros(longest) <= STANDS_STILL_AFTER
    }
}

/// The thread that gives signs of life, until this is dropped.
pub(super) struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    /// Starts it, if the manager waits for signs of life.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(surroundings: &impl Surroundings, turns: &Arc<Turns>) -> Result<Option<Watchdog>> {
        let Some(span) = surroundings.watchdog() else { return Ok(None) };
        let is_over = Arc::new(AtomicBool::new(false));
        let (surroundings, turns, theirs) = (surroundings.clone(), turns.clone(), is_over.clone());
        runtime::thread::spawn("watchdog", move || work(&surroundings, &turns, span, &theirs))
            .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        Ok(Some(Watchdog(is_over)))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn work(surroundings: &impl Surroundings, turns: &Turns, span: Duration, is_over: &AtomicBool) {
    let look_every = (span / LOOKS).clamp(LOOK_EVERY.0, LOOK_EVERY.1);
    let (mut seen, mut given, mut is_said) = (0, runtime::now(), false);
    while !is_over.load(Ordering::Relaxed) {
        if turns.are_in_time(&mut seen) {
            surroundings.notify(&Notice::Alive);
            (given, is_said) = (runtime::now(), false);
        } else if runtime::since(given) > STANDS_STILL_AFTER + look_every && !is_said {
            is_said = true;
            log::error!(
                "the thread that shows pictures does not go on in time: the service manager gets no sign of life until it does, \
                 and ends the program after {:.1} s without one",
                span.as_secs_f64()
            );
        }
        runtime::thread::sleep(look_every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    #[test]
    fn turns_are_in_time_only_while_there_are_some() {
        let (turns, mut seen) = (Turns::default(), 0);
        assert!(!turns.are_in_time(&mut seen), "none yet");
        sleep(Duration::from_millis(2));
        turns.turned();
        assert!(turns.are_in_time(&mut seen));
        assert!(!turns.are_in_time(&mut seen), "none since");
        turns.last_us.store(0, Ordering::Relaxed);
        sleep(STANDS_STILL_AFTER + Duration::from_millis(20));
        turns.turned();
        sleep(Duration::from_millis(2));
        turns.turned();
        assert!(!turns.are_in_time(&mut seen), "one of them came late");
        sleep(Duration::from_millis(2));
        turns.turned();
        assert!(turns.are_in_time(&mut seen), "and the next did not");
    }
}
