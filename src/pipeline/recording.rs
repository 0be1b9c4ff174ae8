//! The recording thread: pictures that were shown → code → the ring in memory. It writes nothing to a disk; where it is too slow, pictures
//! are missing in the film.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::frames::{Captured, Filmed, Found};
use super::shared::Boxes;
use super::{PATIENCE, Settings, priority};
use crate::fault::one_line;
use crate::latency::interval::SlowFrame;
use crate::overlay::Glyph;
use crate::recording::Wish;
use crate::recording::encoder::Encoder;
use crate::runtime;
use crate::track::Shown;

/// Less urgent than inference.
const NICENESS: i32 = 5;

/// The display's end: which pictures it hands on.
#[derive(Default)]
pub(super) struct Tap {
    /// When the next one is due.
    next: Option<Instant>,
}

impl Tap {
    /// Whether a picture captured then is to be recorded, as often as is wished.
    pub(super) fn is_due(&mut self, boxes: &Boxes, wish: Option<&Wish>, at: Instant) -> bool {
        let Some(wish) = wish.filter(|wish| !wish.before.is_zero() || boxes.ring.is_wanted()) else {
            return false;
        };
        self.is_time(wish.rate_hz, at)
    }

    fn is_time(&mut self, rate_hz: f64, at: Instant) -> bool {
        let period = Duration::from_secs_f64(1.0 / rate_hz.max(0.1));
        // Frames come a little early and a little late.
        if self.next.is_some_and(|next| at + period / 4 < next) {
            return false;
        }
        let due = self.next.filter(|&next| at < next + period).unwrap_or(at);
        self.next = Some(due + period);
        true
    }
}

/// What the display says of a picture, apart from what was drawn.
pub(super) struct Said<'a> {
    pub state: &'static str,
    pub settings: &'a Settings,
    pub glyph: Option<(Glyph, &'a str)>,
    pub opacities: &'a [f32],
    pub times: Option<SlowFrame>,
    pub newest: Option<&'a Found>,
}

impl Said<'_> {
    /// Gives on what was drawn on a picture, and the picture itself in exchange for another one's memory.
    pub(super) fn fill(&self, filmed: &mut Filmed, captured: &mut Captured, drawn: &Shown) {
        let (said, shot) = (self, &mut filmed.shot);
        shot.number = captured.number;
        shot.at = captured.at;
        shot.clock = runtime::wall_clock();
        shot.epoch = captured.epoch.0;
        shot.state = said.state;
        shot.outlines = said.settings.outlines;
        shot.style = said.settings.style;
        shot.corner = said.settings.corner;
        shot.shown.copy_moved(drawn, |_| Default::default());
        shot.times = said.times;
        shot.opacities.clear();
        shot.opacities.extend_from_slice(said.opacities);
        if let Some(found) = said.newest {
            shot.field = found.field;
        }
        shot.result =
            said.newest.map(|found| (found.number, captured.at.saturating_duration_since(found.at)));
        shot.glyph = said.glyph.map(|(glyph, _)| glyph);
        shot.words.clear();
        shot.words.push_str(said.glyph.map_or("", |(_, words)| words));
        std::mem::swap(&mut filmed.captured, captured);
    }
}

/// Encodes until the pipeline stops or `stop` is set.
pub(super) fn work(boxes: &Boxes, stop: &AtomicBool) {
    priority::set_niceness(NICENESS);
    let (mut encoder, mut settings, mut seen) = (Encoder::default(), boxes.settings.get(), 0);
    let mut has_failed = false;
    boxes.recorder_is_free.store(true, Ordering::Release);
    while !boxes.is_stopping() && !stop.load(Ordering::Relaxed) {
        if let Some(newer) = boxes.settings.newer(&mut seen) {
            settings = newer;
            boxes.ring.set_bytes(settings.recording.map_or(0, |wish| wish.memory_bytes));
        }
        boxes.ring.set_epoch(boxes.epoch());
        let Some(mut filmed) = boxes.recording.take(PATIENCE) else { continue };
        let wish = settings.recording;
        let taken = wish.map_or(Ok(()), |wish| encoder.take(&filmed.captured.view(), &wish));
        // The camera has its buffer back, and the display may hand on the next picture.
        filmed.captured.lease = None;
        boxes.recorder_is_free.store(true, Ordering::Release);
        if let Some(wish) = wish {
            let coded = taken.and_then(|()| encoder.encode(&filmed.shot, &wish));
            let told = match coded {
                Ok((about, parts)) if boxes.ring.put(about, parts) => None,
                Ok(_) => Some("a picture does not fit into recording.memory_megabytes".to_owned()),
                Err(error) => Some(one_line(&error)),
            };
            if let Some(why) = told.as_ref().filter(|_| !has_failed) {
                log::warn!("pictures cannot be recorded: {why}");
            }
            has_failed = told.is_some();
        }
        boxes.recording.give_back(filmed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a second's frames, each of them a little early or late, are taken.
    fn taken(rate_hz: f64, source_hz: f64) -> usize {
        let (mut tap, begun) = (Tap::default(), Instant::now());
        let mut state = 1u32;
        let frames = (0..(10.0 * source_hz) as u32).filter(|&number| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let jitter = f64::from(state >> 16) / 65_536.0 * 0.002;
            tap.is_time(rate_hz, begun + Duration::from_secs_f64(f64::from(number) / source_hz + jitter))
        });
        frames.count()
    }

    #[test]
    fn as_many_pictures_are_taken_as_are_wished_for() {
        for (rate_hz, source_hz, wanted) in
            [(30.0, 60.0, 300), (30.0, 30.0, 300), (60.0, 30.0, 300), (30.0, 25.0, 250), (25.0, 60.0, 250)]
        {
            let taken = taken(rate_hz, source_hz);
            assert!(taken.abs_diff(wanted) <= 2, "{rate_hz} of {source_hz} a second: {taken}");
        }
    }
}
