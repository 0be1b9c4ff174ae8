use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Canvas, Colon, FPS, Mask};
use crate::capture::{Source, name_by_number};
use crate::frame::{Frame, FrameNumber, Timestamp};
use crate::runtime;

/// The rendered endoscope as a camera.
pub struct Synthetic {
    colon: Colon,
    canvas: Canvas,
    truth: Mask,
    fps: f64,
    next: u64,
    limit: Option<u64>,
    paced: bool,
    start: Option<Instant>,
    name: OsString,
}

impl Synthetic {
    /// Frames from number 0 on, at [`FPS`], without end, as fast as they are asked for.
    pub fn new(colon: Colon) -> Self {
        Synthetic {
            colon,
            canvas: Canvas::default(),
            truth: Mask::default(),
            fps: FPS,
            next: 0,
            limit: None,
            paced: false,
            start: None,
            name: OsString::new(),
        }
    }

    /// Frames a second, in the timestamps and when [`Synthetic::paced`]; kept within 1..=240.
    pub fn fps(mut self, fps: f64) -> Self {
        self.fps = if fps.is_finite() { fps.clamp(1.0, 240.0) } else { FPS };
        self
    }

    /// Ends after this many frames.
    pub fn limit(mut self, frames: u64) -> Self {
        self.limit = Some(frames);
        self
    }

    /// Gives frames no sooner than a camera would: frame n at n / fps seconds after the first. A reader that comes
    /// late misses the frames in between; their numbers are left out.
    pub fn paced(mut self, paced: bool) -> Self {
        self.paced = paced;
        self
    }

    fn wait(&mut self) {
        let start = *self.start.get_or_insert_with(runtime::now);
        let due = Duration::from_secs_f64(self.next as f64 / self.fps);
        match due.checked_sub(runtime::since(start)) {
            Some(early) => runtime::thread::sleep(early),
            None => self.next = self.next.max((runtime::since(start).as_secs_f64() * self.fps) as u64),
        }
    }
}

impl Source for Synthetic {
    fn rate_hz(&self) -> Option<f64> {
        Some(self.fps)
    }

    fn read(&mut self, frame: &mut Frame) -> Result<bool> {
        if self.paced {
            self.wait();
        }
        if self.limit.is_some_and(|limit| self.next >= limit) {
            return Ok(false);
        }
        self.colon.render_into(self.next, &mut self.canvas, frame, &mut self.truth);
        frame.number = FrameNumber(self.next);
        frame.timestamp = Timestamp(Duration::from_secs_f64(self.next as f64 / self.fps));
        name_by_number(self.next, &mut self.name);
        self.next += 1;
        Ok(true)
    }

    fn name(&self) -> &OsStr {
        &self.name
    }

    fn truth(&self) -> Option<&Mask> {
        Some(&self.truth)
    }
}
