//! Threads beside the picture's way to its monitor: a run goes on without them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shared::Boxes;
use crate::runtime;
use crate::runtime::thread::JoinHandle;

/// A thread that is wanted or not, and is started once: one that panicked stays away until it is forgiven.
pub(super) struct Aside {
    name: &'static str,
    work: fn(&Boxes, &AtomicBool),
    /// What there is not without it, for the log.
    without: &'static str,
    running: Option<(JoinHandle<()>, Arc<AtomicBool>)>,
    is_lost: bool,
}

impl Aside {
    pub fn new(name: &'static str, work: fn(&Boxes, &AtomicBool), without: &'static str) -> Aside {
        Aside { name, work, without, running: None, is_lost: false }
    }

    /// Starts the thread if it is wanted, and takes in that it panicked; whether it has.
    pub fn attend(&mut self, boxes: &Arc<Boxes>, is_wanted: bool) -> bool {
        let mut has_panicked = false;
        if self.running.as_ref().is_some_and(|(thread, _)| thread.is_finished()) && !boxes.is_stopping() {
            log::error!("the thread {} panicked: {} until the profile is reloaded", self.name, self.without);
            (self.running, self.is_lost, has_panicked) = (None, true, true);
        }
        if self.running.is_none() && is_wanted && !self.is_lost {
            let stop = Arc::new(AtomicBool::new(false));
            let (theirs, told, work) = (boxes.clone(), stop.clone(), self.work);
            match runtime::thread::spawn(self.name, move || work(&theirs, &told)) {
                Ok(thread) => self.running = Some((thread, stop)),
                Err(error) => {
                    log::error!(
                        "cannot start a thread: {error}; {} until the profile is reloaded",
                        self.without
                    );
                    self.is_lost = true;
                }
            }
        }
        has_panicked
    }

    /// Another try is worth it.
    pub fn forgive(&mut self) {
        self.is_lost = false;
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Tells the thread to end; whether it goes on.
    pub fn end(&self) -> bool {
        let Some((thread, stop)) = &self.running else { return false };
        stop.store(true, Ordering::Relaxed);
        !thread.is_finished()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.end();
    }
}
