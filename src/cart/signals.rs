//! What the system asks of the program, as flags.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::surroundings::Asked;
use crate::fault::Fault;
use crate::runtime;

/// These end the run.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT];
/// These would end a program that does not expect them; nothing is asked by them here.
const HARMLESS: [i32; 9] = [
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    // A limit on time or on a file's size: the call that meets it fails, and says so.
    libc::SIGXCPU,
    libc::SIGXFSZ,
];

/// Signals that the process receives.
pub struct Signals {
    end: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    /// When the first of the ending ones was seen.
    seen: Cell<Option<Instant>>,
    /// The second one ends the process on the spot.
    at_once: Arc<AtomicBool>,
    twice: Cell<bool>,
}

impl Signals {
    /// Watches for them from now on.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn watch() -> Result<Signals> {
        let flag = || Arc::new(AtomicBool::new(false));
        let (end, reload, at_once, early) = (flag(), flag(), flag(), flag());
        let cannot = |error: std::io::Error| Fault::io(format!("cannot watch for signals: {error}"));
        for signal in ENDING {
            // From the first of these on, a signal no longer ends the process, and only this flag keeps one that comes before the last.
            signal_hook::flag::register(signal, early.clone()).map_err(cannot)?;
            // In this order: the first signal sets the flag after it was looked at.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, at_once.clone())
                .map_err(cannot)?;
            signal_hook::flag::register(signal, end.clone()).map_err(cannot)?;
        }
        signal_hook::flag::register(libc::SIGHUP, reload.clone()).map_err(cannot)?;
        for signal in HARMLESS {
            signal_hook::flag::register(signal, flag()).map_err(cannot)?;
        }
        if early.load(Ordering::Relaxed) {
            end.store(true, Ordering::Relaxed);
        }
        Ok(Signals { end, reload, seen: Cell::new(None), at_once, twice: Cell::new(false) })
    }
}

impl Asked for Signals {
    fn to_end(&self) -> Option<Instant> {
        if self.seen.get().is_none() && self.end.swap(false, Ordering::Relaxed) {
            self.seen.set(Some(runtime::now()));
        }
        self.seen.get()
    }

    fn twice(&self) -> bool {
        if self.to_end().is_some() && self.end.load(Ordering::Relaxed) {
            self.twice.set(true);
        }
        self.twice.get()
    }

    fn nothing_to_restore(&self) {
        self.at_once.store(self.to_end().is_some(), Ordering::Relaxed);
    }

    fn to_reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }
}
