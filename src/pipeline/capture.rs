//! The capture thread: feed → both mailboxes. One thread for each feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::frames::{Captured, Epoch};
use super::shared::Boxes;
use super::tally::count;
use super::{Feed, PATIENCE, Settings, priority};
use crate::capture::live::{Absence, Camera, Counts, Event, Stamp};
use crate::capture::{DamagedFrame, Source, name_by_number};
use crate::frame::FrameNumber;
use crate::latency::Stage;
use crate::runtime;

/// A source that gives nothing but damaged frames for so long ends.
const MOST_DAMAGED: u64 = 1000;

/// What the thread leaves behind.
pub(super) struct Ended {
    pub counts: Option<Counts>,
    pub error: Option<anyhow::Error>,
}

/// Captures until the feed ends, a limit is reached, or `stop` or the pipeline's own stop is set. `start` is the
/// pipeline's, from which its time counts.
pub(super) fn work(feed: Feed, boxes: &Boxes, stop: &AtomicBool, start: Instant) -> Ended {
    let mut run = Run {
        boxes,
        stop,
        settings: boxes.settings.get(),
        seen: 0,
        start,
        epoch: boxes.next_epoch(),
        read: 0,
        counts: Counts::default(),
        rests: priority::Rests::default(),
    };
    let (error, counts) = match feed {
        Feed::Recorded(open) => (open().and_then(|mut source| run.recorded(&mut *source)).err(), None),
        Feed::Live(mut camera) => {
            run.live(&mut *camera);
            boxes.tally.add(camera.counts(), &mut run.counts);
            (None, Some(camera.counts()))
        }
    };
    Ended { counts, error }
}

struct Run<'a> {
    boxes: &'a Boxes,
    stop: &'a AtomicBool,
    settings: Arc<Settings>,
    seen: u64,
    start: Instant,
    epoch: Epoch,
    /// Frames that this feed has given.
    read: u64,
    /// What a live camera has counted so far.
    counts: Counts,
    rests: priority::Rests,
}

impl Run<'_> {
    fn goes_on(&mut self) -> bool {
        self.rests.now_and_then(self.settings.realtime_priority);
        if let Some(settings) = self.boxes.settings.newer(&mut self.seen) {
            self.settings = settings;
            priority::set(self.settings.realtime_priority);
        }
        let captured = self.boxes.tally.captured.load(Ordering::Relaxed);
        self.settings.most_frames.is_none_or(|most| captured < most)
            && self.settings.most_time.is_none_or(|most| runtime::since(self.start) < most)
            && !self.stop.load(Ordering::Relaxed)
            && !self.boxes.is_stopping()
    }

    fn recorded(&mut self, source: &mut dyn Source) -> Result<()> {
        self.boxes.feed.put("recorded or rendered frames".into());
        // Said of another feed's frame.
        self.boxes.finished.try_take();
        let (mut begun, mut rate, mut damaged) = ((runtime::now(), 0), None, 0);
        while self.goes_on() {
            if self.settings.lock_step && self.read > 0 {
                if self.boxes.finished.take(PATIENCE).is_none() {
                    continue;
                }
            } else if let Some(pace_hz) = self.settings.pace_hz.filter(|_| !self.settings.lock_step) {
                // Another rate counts from here.
                if rate.replace(pace_hz) != Some(pace_hz) {
                    begun = (runtime::now(), self.read);
                }
                let due = Duration::from_secs_f64((self.read - begun.1) as f64 / pace_hz);
                runtime::thread::sleep(due.saturating_sub(runtime::since(begun.0)).min(PATIENCE));
                if runtime::since(begun.0) < due {
                    continue;
                }
            }
            let mut letter = self.boxes.display.blank().unwrap_or_else(Captured::blank);
            let started = runtime::now();
            loop {
                match source.read(&mut letter.frame) {
                    Ok(true) => break,
                    Ok(false) => return Ok(()),
                    Err(error) if error.is::<DamagedFrame>() => {
                        log::warn!("{error:#}: this frame is left out");
                        count(&self.boxes.tally.damaged);
                        count(&self.boxes.tally.unreadable);
                        damaged += 1;
                        if damaged >= MOST_DAMAGED || !self.goes_on() {
                            return Err(error);
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            damaged = 0;
            letter.at = runtime::now();
            (letter.since_taken, letter.ready) = (None, letter.at);
            letter.number = letter.frame.number;
            self.boxes.latencies.record(Stage::Capture, letter.at - started);
            letter.name.clear();
            letter.name.push(source.name());
            match (source.truth(), &mut letter.truth) {
                (Some(truth), Some(mine)) => mine.clone_from(truth),
                (truth, mine) => *mine = truth.cloned(),
            }
            self.post(letter);
        }
        Ok(())
    }

    fn live(&mut self, camera: &mut dyn Camera) {
        let mut absent: Option<Absence> = None;
        let mut told = false;
        while self.goes_on() {
            let mut letter = self.boxes.display.blank().unwrap_or_else(Captured::blank);
            let stamp = match camera.next(PATIENCE, &mut letter.frame) {
                Event::Lent(lease, stamp) => {
                    letter.lease = Some(lease);
                    stamp
                }
                Event::Decoded(stamp) => {
                    self.boxes.latencies.record(Stage::Decode, runtime::since(stamp.dequeued));
                    stamp
                }
                Event::Nothing => {
                    self.boxes.display.give_back(letter);
                    continue;
                }
                Event::Absent(absence) => {
                    self.boxes.display.give_back(letter);
                    // A picture that nobody has looked at yet keeps the device taken: it could not be opened again.
                    if let Some(unread) = self.boxes.inference.try_take() {
                        self.boxes.inference.give_back(unread);
                    }
                    if let Some(unread) = self.boxes.recording.try_take() {
                        self.boxes.recording.give_back(unread);
                        self.boxes.recorder_is_free.store(true, Ordering::Release);
                    }
                    if absent.is_none() {
                        // Whatever comes next may be another patient.
                        self.epoch = self.boxes.next_epoch();
                    }
                    if absent.as_ref() != Some(&absence) {
                        self.boxes.absent.put(absence.clone());
                        absent = Some(absence);
                    }
                    told = false;
                    continue;
                }
            };
            absent = None;
            self.boxes.tally.add(camera.counts(), &mut self.counts);
            self.boxes.tally.set_driver_clock(stamp.clock);
            if let Some(since_taken) = stamp.since_taken {
                self.boxes.latencies.record(Stage::Driver, since_taken);
            }
            if !told {
                told = true;
                self.boxes.feed.put(camera.granted());
            }
            self.stamp(&mut letter, stamp);
            self.post(letter);
        }
    }

    fn stamp(&self, letter: &mut Captured, stamp: Stamp) {
        letter.number = FrameNumber(self.read);
        // Nothing was taken later than now.
        letter.ready = runtime::now();
        letter.at = stamp.dequeued.min(letter.ready);
        letter.since_taken = stamp.since_taken;
        letter.truth = None;
        letter.frame.number = letter.number;
        letter.frame.timestamp = stamp.timestamp;
        name_by_number(self.read, &mut letter.name);
    }

    fn post(&mut self, mut letter: Captured) {
        // A feed that was exchanged while it waited shows nothing more.
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        letter.epoch = self.epoch;
        self.read += 1;
        count(&self.boxes.tally.captured);
        let mut copy = self.boxes.inference.blank().unwrap_or_else(Captured::blank);
        copy.copy_from(&letter);
        self.boxes.inference.put(copy);
        self.boxes.display.put(letter);
    }
}
