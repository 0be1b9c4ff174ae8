//! What all threads of a pipeline share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::Settings;
use super::frames::{Captured, Epoch, Filmed, Found, Screen};
use super::mailbox::Mailbox;
use super::progress::Progress;
use super::tally::{Lines, Tally};
use crate::capture::live::Absence;
use crate::display::Sink;
use crate::latency::Latencies;
use crate::recording::Ring;
use crate::runtime::sync::Mutex;
use crate::state::Reason;
use crate::study::Still;

/// A value that others may exchange while it is in use. Reading it costs one atomic load as long as it stays the same.
pub(super) struct Live<T> {
    version: AtomicU64,
    value: Mutex<Arc<T>>,
}

impl<T> Live<T> {
    pub fn new(value: T) -> Live<T> {
        Live { version: AtomicU64::new(1), value: Mutex::new(Arc::new(value)) }
    }

    pub fn set(&self, value: T) {
        *self.value.lock() = Arc::new(value);
        self.version.fetch_add(1, Ordering::Release);
    }

    pub fn get(&self) -> Arc<T> {
        self.value.lock().clone()
    }

    /// The value, if it is another one than at the last call with the same `seen`, which begins at 0.
    pub fn newer(&self, seen: &mut u64) -> Option<Arc<T>> {
        let version = self.version.load(Ordering::Acquire);
        (version != std::mem::replace(seen, version)).then(|| self.get())
    }
}

/// Whether results can be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assistance {
    /// A model is being loaded and tested, and there is none yet.
    Loading,
    Ready,
    /// There is no model, and none is being loaded.
    Lost,
}

/// An [`Assistance`] that all may read and write.
pub(super) struct AssistanceCell(AtomicU8);

impl AssistanceCell {
    pub fn get(&self) -> Assistance {
        match self.0.load(Ordering::Acquire) {
            0 => Assistance::Loading,
            1 => Assistance::Ready,
            _ => Assistance::Lost,
        }
    }

    pub fn set(&self, assistance: Assistance) {
        self.0.store(assistance as u8, Ordering::Release);
    }
}

/// What a display that changes hands is told.
pub(super) enum SinkOrder {
    /// Show on this one from now on.
    Take(Box<dyn Sink>),
    /// Let go of the one there is: the device is wanted.
    Release,
}

impl super::mailbox::Letter for SinkOrder {}
impl super::mailbox::Letter for Still {}

/// Mailboxes and flags between the threads.
pub(super) struct Boxes {
    pub settings: Live<Settings>,
    pub display: Mailbox<Captured>,
    pub inference: Mailbox<Captured>,
    pub found: Mailbox<Found>,
    /// Why inference ended, as state and as error.
    pub lost: Mailbox<(Reason, anyhow::Error)>,
    /// Why there are no frames.
    pub absent: Mailbox<Absence>,
    /// What the feed is now.
    pub feed: Mailbox<String>,
    /// In lock step: the display is done with a frame.
    pub finished: Mailbox<()>,
    pub sink: Mailbox<SinkOrder>,
    /// The next frame is wanted as it is shown; and here it is.
    pub still_wanted: AtomicBool,
    pub still: Mailbox<Still>,
    /// Pictures that were shown; the recording thread has taken over the one before; what it has coded.
    pub recording: Mailbox<Filmed>,
    pub recorder_is_free: AtomicBool,
    pub ring: Arc<Ring>,
    /// Pictures for a second monitor, whose thread has done with the one before; what is shown where there are none; its sink, and a
    /// line about it.
    pub second: Mailbox<Filmed>,
    pub second_is_free: AtomicBool,
    pub second_screen: Mailbox<Screen>,
    pub second_sink: Mailbox<SinkOrder>,
    pub second_line: Live<String>,
    pub assistance: AssistanceCell,
    /// Of the inference thread that is in charge.
    progress: Mutex<Arc<Progress>>,
    /// Which inference thread is in charge.
    pub generation: AtomicU64,
    epochs: AtomicU64,
    /// What is counted as the run goes on, and how long each stage takes.
    pub tally: Tally,
    pub latencies: Arc<Latencies>,
    pub lines: Live<Lines>,
    /// All threads are to end.
    pub stop: AtomicBool,
    /// And not to finish what they are at.
    pub hurry: AtomicBool,
}

impl Boxes {
    pub fn new(settings: Settings) -> Boxes {
        Boxes {
            settings: Live::new(settings),
            display: Mailbox::default(),
            inference: Mailbox::default(),
            found: Mailbox::default(),
            lost: Mailbox::default(),
            absent: Mailbox::default(),
            feed: Mailbox::default(),
            finished: Mailbox::default(),
            sink: Mailbox::default(),
            still_wanted: AtomicBool::new(false),
            still: Mailbox::default(),
            recording: Mailbox::default(),
            recorder_is_free: AtomicBool::new(false),
            ring: Arc::default(),
            second: Mailbox::default(),
            second_is_free: AtomicBool::new(false),
            second_screen: Mailbox::default(),
            second_sink: Mailbox::default(),
            second_line: Live::new(String::new()),
            assistance: AssistanceCell(AtomicU8::new(Assistance::Loading as u8)),
            progress: Mutex::default(),
            generation: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
            tally: Tally::default(),
            latencies: Arc::default(),
            lines: Live::new(Lines::default()),
            stop: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
        }
    }

    /// Whether the recording thread takes a picture now: never more than one that it has not taken over, for each keeps one of the camera's
    /// buffers.
    pub fn recorder_takes(&self) -> bool {
        self.recorder_is_free.swap(false, Ordering::AcqRel)
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn is_hurried(&self) -> bool {
        self.hurry.load(Ordering::Relaxed)
    }

    /// The newest one.
    pub fn epoch(&self) -> u64 {
        self.epochs.load(Ordering::Relaxed)
    }

    /// One that was not there before.
    pub fn next_epoch(&self) -> Epoch {
        Epoch(1 + self.epochs.fetch_add(1, Ordering::Relaxed))
    }

    pub fn progress(&self) -> Arc<Progress> {
        self.progress.lock().clone()
    }

    /// Puts another inference thread in charge; its number.
    pub fn begin_generation(&self, progress: Arc<Progress>) -> u64 {
        *self.progress.lock() = progress;
        1 + self.generation.fetch_add(1, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_seen_once_after_each_change() {
        let live = Live::new(1);
        let mut seen = 0;
        assert_eq!(live.newer(&mut seen).as_deref(), Some(&1));
        assert_eq!(live.newer(&mut seen), None);
        live.set(2);
        live.set(3);
        assert_eq!(live.newer(&mut seen).as_deref(), Some(&3));
        assert_eq!(live.newer(&mut seen), None);
    }
}
