//! The capture thread: feed → both mailboxes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::mailbox::ClosesOnDrop;
use super::{Boxes, Captured, Feed, PATIENCE, Settings};
use crate::capture::live::{Absence, Camera, Counts, Event, Stamp};
use crate::capture::{Source, name_by_number};
use crate::frame::FrameNumber;
use crate::latency::{Latencies, Stage};

/// What the thread leaves behind.
pub(super) struct Ended {
    pub feed: Feed,
    pub captured: u64,
    pub counts: Option<Counts>,
    pub latencies: Latencies,
    pub error: Option<anyhow::Error>,
}

pub(super) fn work(mut feed: Feed, settings: &Settings, stop: &AtomicBool, boxes: &Boxes) -> Ended {
    let _closes = (ClosesOnDrop(&boxes.display), ClosesOnDrop(&boxes.inference));
    let mut run =
        Run { settings, stop, boxes, start: Instant::now(), captured: 0, latencies: Default::default() };
    let error = match &mut feed {
        Feed::Recorded(source) => run.recorded(&mut **source).err(),
        Feed::Live(camera) => {
            run.live(&mut **camera);
            None
        }
    };
    let counts = match &feed {
        Feed::Recorded(_) => None,
        Feed::Live(camera) => Some(camera.counts()),
    };
    Ended { captured: run.captured, latencies: run.latencies, counts, feed, error }
}

struct Run<'a> {
    settings: &'a Settings,
    stop: &'a AtomicBool,
    boxes: &'a Boxes,
    start: Instant,
    captured: u64,
    latencies: Latencies,
}

impl Run<'_> {
    fn goes_on(&self) -> bool {
        self.settings.most_frames.is_none_or(|most| self.captured < most)
            && self.settings.most_time.is_none_or(|most| self.start.elapsed() < most)
            && !self.stop.load(Ordering::Relaxed)
            && !self.boxes.stop.load(Ordering::Relaxed)
    }

    fn recorded(&mut self, source: &mut dyn Source) -> Result<()> {
        self.boxes.feed.put("recorded or rendered frames".into());
        let settings = self.settings;
        while self.goes_on() {
            if settings.lock_step && self.captured > 0 {
                if self.boxes.finished.take(PATIENCE).is_none() {
                    continue;
                }
            } else if let Some(pace_hz) = settings.pace_hz.filter(|_| !settings.lock_step) {
                let due = Duration::from_secs_f64(self.captured as f64 / pace_hz);
                thread::sleep(due.saturating_sub(self.start.elapsed()).min(PATIENCE));
                if self.start.elapsed() < due {
                    continue;
                }
            }
            let mut letter = self.boxes.display.blank().unwrap_or_else(Captured::blank);
            let begun = Instant::now();
            if !source.read(&mut letter.frame)? {
                break;
            }
            letter.at = Instant::now();
            letter.number = letter.frame.number;
            self.latencies.record(Stage::Capture, letter.at - begun);
            letter.name.clear();
            letter.name.push_str(source.name());
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
                    self.latencies.record(Stage::Decode, stamp.dequeued.elapsed());
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
                    if absent.as_ref() != Some(&absence) {
                        self.boxes.absent.put(absence.clone());
                        absent = Some(absence);
                    }
                    told = false;
                    continue;
                }
            };
            absent = None;
            if !told {
                told = true;
                self.boxes.feed.put(camera.granted());
            }
            self.stamp(&mut letter, stamp);
            self.post(letter);
        }
    }

    fn stamp(&self, letter: &mut Captured, stamp: Stamp) {
        letter.number = FrameNumber(self.captured);
        letter.at = stamp.dequeued;
        letter.truth = None;
        letter.frame.number = letter.number;
        letter.frame.timestamp = stamp.timestamp;
        name_by_number(self.captured, &mut letter.name);
    }

    fn post(&mut self, letter: Captured) {
        self.captured += 1;
        let mut copy = self.boxes.inference.blank().unwrap_or_else(Captured::blank);
        copy.copy_from(&letter);
        self.boxes.inference.put(copy);
        self.boxes.display.put(letter);
    }
}
