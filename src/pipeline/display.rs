//! The display's side: newest frame + newest result → layer → sink. In the thread that runs the pipeline.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::{Boxes, Captured, Found, Observer, Outcome, PATIENCE, Settings, Status};
use crate::capture::live::{Absence, Why};
use crate::detect::Region;
use crate::display::{Scene, Shown, Sink};
use crate::frame::FrameNumber;
use crate::latency::{Latencies, Stage};
use crate::overlay::{Glyph, Layer, Painter};
use crate::state::{Machine, Reason, State};

/// Without a frame for this long there is no signal.
const NO_SIGNAL_AFTER: Duration = Duration::from_secs(1);
/// How long the display waits for a frame before it looks after its sink.
const TEND_EVERY: Duration = Duration::from_millis(20);
/// Results that come this far apart still count as assistance: the state is not to flicker with each late one.
const ASSIST_LASTS: Duration = Duration::from_millis(300);
/// How often the screen that says why there is no picture is drawn anew.
const SCREEN_EVERY: Duration = Duration::from_millis(250);
/// Letters in the corner.
const CORNER_LETTERS: usize = 64;
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// What the screen is taken to be for before the first picture, where the sink has no size of its own.
const NO_PICTURE_PX: (usize, usize) = (1280, 720);

/// Shows until the frames end or `stop` is set. What capture and inference know is added by the caller.
pub(super) fn show(
    sink: &mut dyn Sink,
    settings: &Settings,
    boxes: &Boxes,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    super::hurry(settings.realtime_priority);
    let mut display = Display::new(sink, settings, boxes, stop, observer);
    while !stop.load(Ordering::Relaxed) {
        let captured = boxes.display.take(TEND_EVERY);
        display.tend()?;
        match captured {
            Some(captured) => display.frame(captured)?,
            None if boxes.display.is_over() => break,
            None => display.nothing()?,
        }
        display.tell();
    }
    Ok(display.end())
}

struct Display<'a> {
    sink: &'a mut dyn Sink,
    settings: &'a Settings,
    boxes: &'a Boxes,
    stop: &'a AtomicBool,
    observer: &'a mut dyn Observer,
    machine: Machine,
    since: SystemTime,
    painter: Painter,
    layer: Layer,
    outcome: Outcome,
    newest: Option<Found>,
    drawn_last: Option<FrameNumber>,
    last_fresh: Option<Instant>,
    last_frame: Instant,
    frame_size: (usize, usize),
    absence: Option<Absence>,
    /// Since when there are no pictures.
    absent_since: Option<(Instant, SystemTime)>,
    screen_drawn: Option<Instant>,
    told: Option<Instant>,
    /// What the corner says, kept while the state is the same.
    words: String,
    feed: String,
    sink_line: String,
    was_dark: bool,
}

impl<'a> Display<'a> {
    fn new(
        sink: &'a mut dyn Sink,
        settings: &'a Settings,
        boxes: &'a Boxes,
        stop: &'a AtomicBool,
        observer: &'a mut dyn Observer,
    ) -> Display<'a> {
        Display {
            sink,
            settings,
            boxes,
            stop,
            observer,
            machine: Machine::default(),
            since: SystemTime::now(),
            painter: Painter::new(settings.style),
            layer: Layer::default(),
            outcome: Outcome {
                state: State::SelfTest,
                transitions: 0,
                captured: 0,
                shown: 0,
                with_regions: 0,
                skipped: 0,
                not_shown: 0,
                latencies: Latencies::default(),
                counts: None,
                lost: None,
                feed: None,
            },
            newest: None,
            drawn_last: None,
            last_fresh: None,
            last_frame: Instant::now(),
            frame_size: NO_PICTURE_PX,
            absence: None,
            absent_since: None,
            screen_drawn: None,
            told: None,
            words: "SELF-TEST".into(),
            feed: String::new(),
            sink_line: String::new(),
            was_dark: false,
        }
    }

    fn tend(&mut self) -> Result<()> {
        let latencies = &mut self.outcome.latencies;
        self.sink.tend(&mut |captured, flipped| {
            latencies.record(Stage::OnMonitor, flipped.saturating_duration_since(captured));
        })?;
        if let Some((reason, error)) = self.boxes.lost.try_take() {
            self.go(State::Degraded(reason));
            self.outcome.lost = Some(error);
        }
        if let Some(feed) = self.boxes.feed.try_take() {
            log::info!("pictures: {feed}");
            self.feed = feed;
        }
        let dark = self.sink.dark();
        if dark.is_some() != self.was_dark {
            self.was_dark = dark.is_some();
            match dark {
                Some(why) => log::warn!("display: {why}"),
                None => log::info!("display: {}", self.sink.describe()),
            }
            self.told = None;
        }
        Ok(())
    }

    fn go(&mut self, next: State) {
        if !self.machine.go(next) {
            return;
        }
        self.since = SystemTime::now();
        self.told = None;
        self.words.clear();
        // Writing to a string cannot fail.
        let _ = match self.machine.state() {
            State::SelfTest => write!(self.words, "SELF-TEST"),
            State::Assist => write!(self.words, "ASSIST"),
            State::Degraded(reason) => {
                self.words.push_str(&assist_off(reason));
                Ok(())
            }
            State::Passthrough | State::NoSignal(_) => write!(self.words, "PASSTHROUGH"),
        };
    }

    fn frame(&mut self, captured: Captured) -> Result<()> {
        self.last_frame = Instant::now();
        (self.absence, self.absent_since, self.screen_drawn) = (None, None, None);
        // Said of frames before this one.
        self.boxes.absent.try_take();
        match self.settings.lock_step {
            true => self.wait_for(captured.number),
            false => self.newer(self.boxes.found.try_take()),
        }
        let view = captured.view();
        self.frame_size = (view.width_px(), view.height_px());
        let placement = self.sink.place(self.frame_size.0, self.frame_size.1);

        let begun = Instant::now();
        let (settings, newest) = (self.settings, self.newest.take());
        let fresh = newest.as_ref().filter(|found| match settings.lock_step {
            true => found.number == captured.number,
            false => begun.saturating_duration_since(found.at) <= settings.max_age,
        });
        if fresh.is_some() {
            self.last_fresh = Some(begun);
        }
        self.judge(fresh, begun);
        let is_assisting = *self.machine.state() == State::Assist;
        let fresh = fresh.filter(|_| is_assisting);
        let regions = fresh.map_or(&[][..], |found| found.shown.list());
        self.layer.reset(placement.surface.0, placement.surface.1);
        self.painter.outlines(&mut self.layer, regions, &placement);
        if settings.glyph {
            let glyph = match self.machine.state() {
                State::Assist => Glyph::Assist,
                State::Degraded(_) => Glyph::Off,
                _ => Glyph::Passthrough,
            };
            self.painter.glyph(&mut self.layer, glyph, &self.words);
        }
        let drawn = Instant::now();
        let shown = self.sink.show(&Scene {
            picture: Some(view),
            lease: captured.lease.as_ref(),
            layer: &self.layer,
            placement,
            name: &captured.name,
            captured: captured.at,
        })?;
        self.count(&captured, shown, fresh, (begun, drawn));
        self.newest = newest;
        self.boxes.display.give_back(captured);
        if settings.lock_step {
            self.boxes.finished.put(());
        }
        Ok(())
    }

    /// What the state is, with a frame at hand and perhaps a fresh result.
    fn judge(&mut self, fresh: Option<&Found>, now: Instant) {
        let recent = |at: Option<Instant>| at.is_some_and(|at| now - at < ASSIST_LASTS);
        let progress = &self.boxes.progress;
        let next = match fresh {
            Some(found) if found.implausible => State::Degraded(Reason::Implausible),
            Some(_) => State::Assist,
            None if progress.is_loading() && progress.busy() < 30 * self.settings.silent_after => {
                State::SelfTest
            }
            None if progress.busy() > self.settings.silent_after => State::Degraded(Reason::Silent),
            None if recent(self.last_fresh) => return,
            None => State::Passthrough,
        };
        self.go(next);
    }

    fn count(
        &mut self,
        captured: &Captured,
        shown: Shown,
        fresh: Option<&Found>,
        (begun, drawn): (Instant, Instant),
    ) {
        let done = Instant::now();
        if shown == Shown::Skipped {
            self.outcome.not_shown += 1;
            return;
        }
        let latencies = &mut self.outcome.latencies;
        latencies.record(Stage::Draw, drawn - begun);
        latencies.record(Stage::Display, done - drawn);
        latencies.record(Stage::VideoDelay, done.saturating_duration_since(captured.at));
        let regions: &[Region] = fresh.map_or(&[], |found| found.shown.list());
        if let Some(found) = fresh
            && self.drawn_last != Some(found.number)
        {
            self.drawn_last = Some(found.number);
            latencies.record(Stage::Total, done.saturating_duration_since(found.at));
        }
        self.outcome.shown += 1;
        self.outcome.with_regions += u64::from(!regions.is_empty());
        self.observer.shown(captured.truth.as_ref(), regions);
    }

    /// No frame came: after a while a screen says why.
    fn nothing(&mut self) -> Result<()> {
        if let Some(absence) = self.boxes.absent.try_take() {
            self.absence = Some(absence);
        }
        let why = match &self.absence {
            Some(absence) => absence.why,
            // In lock step the feed waits for us.
            None if self.settings.lock_step || self.last_frame.elapsed() < NO_SIGNAL_AFTER => return Ok(()),
            None => Why::Stalled,
        };
        self.go(State::NoSignal(why));
        if self.screen_drawn.is_some_and(|drawn| drawn.elapsed() < SCREEN_EVERY) {
            return Ok(());
        }
        self.screen_drawn = Some(Instant::now());
        let (at, clock) = *self.absent_since.get_or_insert_with(|| {
            let gone = self.last_frame.elapsed();
            (self.last_frame, SystemTime::now().checked_sub(gone).unwrap_or(SystemTime::now()))
        });
        let detail = self.absence.as_ref().map_or("", |absence| &absence.detail);
        let tried = match self.absence.as_ref().map_or(0, |absence| absence.attempts) {
            0 => String::new(),
            1 => "tried once, goes on trying".into(),
            attempts => format!("tried {attempts} times, goes on trying"),
        };
        let since = format!("since {} UTC, {} s", time_of_day(clock), at.elapsed().as_secs());
        let headline = why.to_string().to_uppercase();
        let placement = self.sink.place(self.frame_size.0, self.frame_size.1);
        self.layer.reset(placement.surface.0, placement.surface.1);
        self.painter.screen(&mut self.layer, &[&headline, "", &since, &tried, detail]);
        if let Some(lost) = self.machine.lost().filter(|_| self.settings.glyph) {
            self.painter.glyph(&mut self.layer, Glyph::Off, &assist_off(lost));
        }
        let scene = Scene {
            picture: None,
            lease: None,
            layer: &self.layer,
            placement,
            name: "no-signal",
            captured: Instant::now(),
        };
        self.sink.show(&scene).map(|_| ())
    }

    /// Tells the observer now and then.
    fn tell(&mut self) {
        if self.told.is_some_and(|told| told.elapsed() < STATUS_EVERY) {
            return;
        }
        if self.told.is_none() {
            self.sink_line = self.sink.describe();
        }
        self.told = Some(Instant::now());
        self.observer.status(&Status {
            state: self.machine.state(),
            since: self.since,
            shown: self.outcome.shown,
            with_regions: self.outcome.with_regions,
            dark: self.sink.dark(),
            feed: &self.feed,
            display: &self.sink_line,
        });
    }

    fn newer(&mut self, taken: Option<Found>) {
        if let Some(found) = taken
            && let Some(old) = self.newest.replace(found)
        {
            self.boxes.found.give_back(old);
        }
    }

    /// In lock step: until the frame's own result is there or will never be.
    fn wait_for(&mut self, number: FrameNumber) {
        let is_older = |newest: &Option<Found>| newest.as_ref().is_none_or(|found| found.number < number);
        while is_older(&self.newest) && !self.stop.load(Ordering::Relaxed) {
            let taken = self.boxes.found.take(PATIENCE);
            self.newer(taken);
            if self.boxes.found.is_over() {
                break;
            }
        }
        if let Some((reason, error)) = self.boxes.lost.try_take() {
            self.go(State::Degraded(reason));
            self.outcome.lost = Some(error);
        }
    }

    fn end(mut self) -> Outcome {
        if let Some((reason, error)) = self.boxes.lost.try_take() {
            self.go(State::Degraded(reason));
            self.outcome.lost = Some(error);
        }
        self.told = None;
        self.tell();
        self.outcome.state = self.machine.state().clone();
        self.outcome.transitions = self.machine.transitions();
        self.outcome
    }
}

/// What the corner says without assistance: of a long reason, its beginning and its end.
fn assist_off(reason: &Reason) -> String {
    let words = format!("ASSIST OFF - {reason}");
    let letters = words.chars().count();
    if letters <= CORNER_LETTERS {
        return words;
    }
    let head = CORNER_LETTERS / 2;
    let tail = letters - (CORNER_LETTERS - head - 2);
    let kept = |(place, letter): (usize, char)| (place < head || place >= tail).then_some(letter);
    let mut short: Vec<char> = words.chars().enumerate().filter_map(kept).collect();
    short.splice(head..head, ['.', '.']);
    short.into_iter().collect()
}

fn time_of_day(clock: SystemTime) -> String {
    let seconds = clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_keeps_its_beginning_and_its_end() {
        let reason = Reason::Model(format!("/a/long/{}/manifest.toml: no such file", "folder/".repeat(20)));
        let words = assist_off(&reason);
        assert_eq!(words.chars().count(), CORNER_LETTERS);
        assert!(
            words.starts_with("ASSIST OFF - model: /a/long/") && words.ends_with("no such file"),
            "{words}"
        );
        assert_eq!(assist_off(&Reason::Silent), "ASSIST OFF - inference gives no results");
    }
}
