//! The device as time passes: pictures are taken, acts happen, calls are counted.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use polyp_edge::capture::v4l2::kernel::*;
use polyp_edge::runtime;

use super::model::{Act, Quirk, Signal, Taken};
use super::picture::byte;
use super::{BEGIN, CALLS, State, World};

/// What each call takes.
const CALL: Duration = Duration::from_micros(10);

const FLAG_ERROR: u32 = 0x40;
const FLAG_MONOTONIC: u32 = 0x2000;

impl World {
    pub(super) fn period(&self) -> Duration {
        let rate = self.interval.rate_hz().unwrap_or(50.0).clamp(1.0, 240.0);
        Duration::from_secs_f64(1.0 / rate)
    }

    /// Lets the time pass that has passed by the runtime's clock, if that is the device's.
    pub(super) fn keep_up(&mut self) {
        if let Some(begin) = self.on_runtime {
            self.pass(BEGIN + runtime::since(begin), false);
        }
    }

    /// When something may change next, pictures and acts.
    pub(super) fn next_change(&self) -> Duration {
        let period = self.period();
        let ticks = (self.now.as_nanos() / period.as_nanos()) as u32 + 1;
        let tick = period * ticks;
        self.timeline.first().map_or(tick, |(time, _)| tick.min(*time))
    }

    /// Whether a poll has something to tell.
    pub(super) fn is_ready(&self) -> bool {
        !self.done.is_empty() || !self.events.is_empty() || self.error || !self.plugged
    }

    /// Lets time pass up to `until`, or until something can be had if `wake` says so.
    pub(super) fn pass(&mut self, until: Duration, wake: bool) {
        loop {
            if wake && self.is_ready() {
                return;
            }
            let act = self.timeline.first().map(|(time, _)| *time);
            let next = self.next_change();
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            if act == Some(next) {
                let (_, act) = self.timeline.remove(0);
                self.act(act);
            } else {
                self.take_picture();
            }
        }
        self.now = self.now.max(until);
    }

    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Unplug => {
                self.plugged = false;
                self.streaming = false;
                self.queued.clear();
                self.done.clear();
            }
            Act::Replug => {
                // What the old files hold is theirs alone; the queue is a new one.
                if !self.plugged {
                    self.plugged = true;
                    self.generation += 1;
                    (self.owner, self.streaming, self.error, self.subscribed) = (None, false, false, false);
                    self.buffers.clear();
                    self.queued.clear();
                    self.done.clear();
                    self.events.clear();
                }
            }
            Act::Stall(stalled) => self.stalled = stalled,
            Act::Signal(signal) => {
                self.signal = signal;
                if self.subscribed {
                    self.events.push_back(Notice::SourceChanged);
                }
            }
            Act::Quirk(quirk, count) => self.quirks.extend((0..count).map(|_| quirk)),
            Act::QueueError => self.error = self.streaming,
            Act::SpuriousEvent => {
                if self.subscribed {
                    self.events.push_back(Notice::SourceChanged);
                }
            }
            Act::Fail(call, errno, times) => {
                self.injected = true;
                self.faults.insert(call, (errno, 0, times));
            }
            Act::Hang(time) => self.hangs_until = self.hangs_until.max(self.now + time),
            Act::Panic => self.panics = true,
            Act::Mend => {
                self.faults.clear();
                self.quirks.clear();
            }
        }
    }

    pub(super) fn take_picture(&mut self) {
        self.tick += 1;
        let has_source = !self.model.digital || self.signal == Signal::Source(self.timings);
        if !self.plugged || !self.streaming || self.stalled || self.error || !has_source {
            return;
        }
        let drawn = match &mut self.draw {
            None => None,
            Some(draw) => {
                let taken =
                    Taken { generation: self.generation, at: self.base + self.now, format: self.format };
                let Some(drawn) = draw(taken) else { return };
                Some(drawn)
            }
        };
        self.sequence += 1;
        if self.queued.len() < self.model.least_queued {
            self.missed_ticks += 1;
            return;
        }
        let Some(index) = self.queued.pop_front() else { return };
        let (tick, now, sequence) = (self.tick, self.now, self.sequence - 1);
        let offset = if self.model.buffers == BufferType::Multi { self.model.data_offset } else { 0 };
        let jpeg = self.model.jpeg.map(|encode| encode(tick));
        let Some(buffer) = self.buffers.get_mut(index) else { return };
        let mut done = Dequeued {
            index: index as u32,
            flags: FLAG_MONOTONIC,
            sequence,
            timestamp: now,
            planes: buffer.planes.len() as u32,
            plane: Default::default(),
        };
        for (plane, file) in buffer.planes.iter().enumerate() {
            let length = buffer.lengths[plane];
            let mut bytes = match (&jpeg, &drawn) {
                (Some(jpeg), _) => jpeg.clone(),
                (None, Some(drawn)) => drawn.clone(),
                (None, None) => {
                    let all = length - offset as usize;
                    (0..all).map(|at| byte(tick, plane, at)).collect::<Vec<u8>>()
                }
            };
            if plane == 0 && jpeg.is_none() && drawn.is_none() {
                bytes[..8].copy_from_slice(&tick.to_le_bytes());
            }
            file.write_all_at(&bytes, offset.into()).unwrap();
            let end = offset + bytes.len() as u32;
            done.plane[plane] = Used { start: offset, end, length: length as u32 };
        }
        if let Some(quirk) = self.quirks.pop_front() {
            self.distort(quirk, &mut done);
        }
        self.last_done = Some(done);
        if let Some(buffer) = self.buffers.get_mut(index) {
            (buffer.state, buffer.done) = (State::Done, done);
        }
        self.done.push_back(index);
    }

    pub(super) fn distort(&mut self, quirk: Quirk, done: &mut Dequeued) {
        let last = self.last_done.unwrap_or(*done);
        let plane = &mut done.plane[0];
        match quirk {
            Quirk::ErrorFlag => done.flags |= FLAG_ERROR,
            Quirk::Truncated => plane.end = plane.start + 3,
            Quirk::Oversized => plane.end = plane.length + 1,
            Quirk::BadOffset => plane.start = plane.end + 1,
            Quirk::Planes => done.planes += 1,
            Quirk::Duplicate => (done.sequence, done.timestamp) = (last.sequence, last.timestamp),
            Quirk::Misordered => {
                done.sequence = last.sequence.wrapping_sub(1);
                done.timestamp = last.timestamp.saturating_sub(Duration::from_millis(5));
            }
            Quirk::Stale => done.timestamp = Duration::from_secs(1),
            Quirk::Ahead => done.timestamp += Duration::from_secs(3600),
            Quirk::Leap => done.sequence = done.sequence.wrapping_add(1 << 29),
            Quirk::NoSuchIndex => done.index = 77,
            // Which one shows when it is dequeued.
            Quirk::WrongIndex => done.index = u32::MAX,
        }
    }

    pub(super) fn stop(&mut self) {
        (self.streaming, self.error) = (false, false);
        self.queued.clear();
        self.done.clear();
        self.buffers.iter_mut().for_each(|buffer| buffer.state = State::Dequeued);
    }

    /// A file is let go once it is closed and nothing of it is mapped.
    pub(super) fn let_go(&mut self, file: u64) {
        let Some(state) = self.files.get(&file) else { return };
        if !state.open && state.maps == 0 {
            self.files.remove(&file);
            if self.owner == Some(file) {
                self.stop();
                self.buffers.clear();
                self.owner = None;
            }
        }
    }

    pub(super) fn violation(&mut self, words: String) {
        self.violations.push(words);
    }

    /// Counts a call, and answers for it if it is to fail.
    pub(super) fn call(&mut self, call: &'static str) -> Answer<()> {
        assert!(CALLS.contains(&call), "{call}");
        *self.calls.entry(call).or_default() += 1;
        if self.on_runtime.is_none() {
            self.pass(self.now + CALL, false);
        }
        if let Some((errno, after, times)) = self.faults.get_mut(call) {
            if *after > 0 {
                *after -= 1;
            } else if *times > 0 {
                *times -= 1;
                return Err(*errno);
            }
        }
        Ok(())
    }

    pub(super) fn layout(&self, format: &mut Format) {
        let model = &self.model;
        let (width, height, pad) = (format.width, format.height, model.padding);
        let offset = if model.buffers == BufferType::Multi { model.data_offset } else { 0 };
        let size = |bytes: u32| bytes + model.tail + offset;
        format.plane = Default::default();
        format.planes = 1;
        format.plane[0] = match &format.fourcc.0.to_le_bytes() {
            b"YUYV" | b"UYVY" => {
                PlaneFormat { stride: 2 * width + pad, size: size((2 * width + pad) * height) }
            }
            b"RGB3" | b"BGR3" => {
                PlaneFormat { stride: 3 * width + pad, size: size((3 * width + pad) * height) }
            }
            b"NV12" => PlaneFormat { stride: width + pad, size: size((width + pad) * height * 3 / 2) },
            b"NM12" => {
                format.planes = 2;
                format.plane[1] = PlaneFormat { stride: width + pad, size: size((width + pad) * height / 2) };
                PlaneFormat { stride: width + pad, size: size((width + pad) * height) }
            }
            _ => PlaneFormat { stride: 0, size: size(width * height * 4 + 2000) },
        };
    }
}
