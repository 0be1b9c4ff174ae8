//! The display thread: newest frame + newest result → layer → sink. It opens nothing, writes to nothing that can block, and
//! waits for nothing but frames and its own sink.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::fade::Fade;
use super::frames::{Captured, Epoch, Filmed, Found, Screen};
use super::judge::{self, Judge};
use super::recording::{Said, Tap};
use super::shared::{Assistance, Boxes, SinkOrder};
use super::tally::{Lines, count};
use super::{Drawn, Observer, Outcome, PATIENCE, Picture, Settings, Status, priority};
use crate::capture::live::{Absence, Why};
use crate::display::{Dark, Scene, Shown, Sink};
use crate::frame::{Frame, FrameNumber};
use crate::geometry::Rect;
use crate::latency::Stage;
use crate::latency::interval::SlowFrame;
use crate::motion::{self, Thumbnail};
use crate::overlay::{CornerChooser, Glyph, Layer, Painter};
use crate::recording::Sign;
use crate::runtime;
use crate::runtime::channel::Sender;
use crate::state::{Machine, Reason, State};
use crate::study::{self, Still};
use crate::thermal::Step;
use crate::track;

/// Without a frame for this long there is no signal.
const NO_SIGNAL_AFTER: Duration = Duration::from_secs(1);
/// How long the display waits for a frame before it looks after its sink.
const TEND_EVERY: Duration = Duration::from_millis(20);
/// How often the screen that says why there is no picture is drawn anew.
const SCREEN_EVERY: Duration = Duration::from_millis(250);
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// What the screen is taken to be for before the first picture, where the sink has no size of its own.
const NO_PICTURE_PX: (usize, usize) = (1280, 720);
/// How long a sink may take for what is still under way when the run is told to end.
const LAST_PICTURES: Duration = Duration::from_millis(250);
/// So many regions, the largest first, are moved with the picture: each takes some tens of microseconds.
const MOST_FOLLOWED: usize = 4;
/// Between two tries to hand a picture to a busy sink, in lock step.
const BUSY: Duration = Duration::from_millis(1);

/// What the display thread gives up: to be closed by others, for that may take long.
pub(super) enum Left {
    /// As it was ordered, by [`SinkOrder::Release`] or for another one.
    Released(Box<dyn Sink>),
    /// It failed.
    Failed(Box<dyn Sink>, anyhow::Error),
    /// A second monitor's, which nobody took before there was another order.
    Untaken(Box<dyn Sink>),
}

/// Shows until the frames end or the pipeline stops; gives how that went, as far as it is known here.
pub(super) fn work(boxes: &Boxes, left: &Sender<Left>, observer: &mut dyn Observer) -> Outcome {
    let mut display = Display::new(boxes, left, observer);
    let mut rests = priority::Rests::default();
    while !boxes.is_stopping() {
        display.observer.turned();
        rests.now_and_then(display.settings.realtime_priority);
        let captured = boxes.display.take(TEND_EVERY);
        // What was ordered before the frame came holds for it.
        display.follow_settings();
        display.follow_orders();
        display.tend();
        match captured {
            Some(captured) => display.frame(captured),
            None if boxes.display.is_over() => break,
            None => display.nothing(),
        }
        display.tell();
    }
    display.end()
}

struct Display<'a> {
    boxes: &'a Boxes,
    left: &'a Sender<Left>,
    observer: &'a mut dyn Observer,
    sink: Box<dyn Sink>,
    settings: Arc<Settings>,
    seen: u64,
    machine: Machine,
    judge: Judge,
    since: SystemTime,
    painter: Painter,
    layer: Layer,
    corner: CornerChooser,
    outcome: Outcome,
    newest: Option<Found>,
    /// As it is drawn on the frame at hand.
    drawn: track::Shown,
    thumbnail: Thumbnail,
    fade: Fade,
    tap: Tap,
    drawn_last: Option<(Epoch, FrameNumber)>,
    late_last: Option<(Epoch, FrameNumber)>,
    /// When the last picture was shown, as long as nothing but pictures has been since.
    shown_last: Option<Instant>,
    last_frame: Instant,
    frame_size: (usize, usize),
    absence: Option<Absence>,
    /// Since when there are no pictures.
    absent_since: Option<(Instant, SystemTime)>,
    screen_drawn: Option<Instant>,
    told: Option<Instant>,
    feed: String,
    sink_line: String,
    second_seen: u64,
    was_dark: bool,
}

impl<'a> Display<'a> {
    fn new(boxes: &'a Boxes, left: &'a Sender<Left>, observer: &'a mut dyn Observer) -> Display<'a> {
        let settings = boxes.settings.get();
        Display {
            boxes,
            left,
            observer,
            sink: Box::new(Dark::new("the display is not open yet")),
            painter: Painter::new(settings.style),
            settings,
            seen: 0,
            machine: Machine::default(),
            judge: Judge::new(runtime::now()),
            since: runtime::wall_clock(),
            layer: Layer::default(),
            corner: CornerChooser::default(),
            outcome: Outcome::default(),
            newest: None,
            drawn: track::Shown::default(),
            thumbnail: Thumbnail::default(),
            fade: Fade::default(),
            tap: Tap::default(),
            drawn_last: None,
            late_last: None,
            shown_last: None,
            last_frame: runtime::now(),
            frame_size: NO_PICTURE_PX,
            absence: None,
            absent_since: None,
            screen_drawn: None,
            told: None,
            feed: String::new(),
            sink_line: String::new(),
            second_seen: 0,
            // Whatever comes first is worth a line, the display that is not open yet is not.
            was_dark: true,
        }
    }

    fn follow_settings(&mut self) {
        if let Some(settings) = self.boxes.settings.newer(&mut self.seen) {
            if settings.style != self.settings.style {
                self.painter = Painter::new(settings.style);
            }
            if settings.heat() != self.settings.heat() {
                self.told = None;
            }
            self.settings = settings;
            priority::set(self.settings.realtime_priority);
        }
    }

    fn follow_orders(&mut self) {
        let mut next: Box<dyn Sink> = match self.boxes.sink.try_take() {
            Some(SinkOrder::Take(sink)) => sink,
            Some(SinkOrder::Release) => Box::new(Dark::new("the display is being reopened")),
            None => return,
        };
        if let Some(SinkOrder::Take(untaken)) = self.boxes.second_sink.try_take() {
            let _ = self.left.send(Left::Untaken(untaken));
        }
        self.boxes.second_sink.put(next.take_second().map_or(SinkOrder::Release, SinkOrder::Take));
        let old = std::mem::replace(&mut self.sink, next);
        (self.told, self.screen_drawn, self.was_dark, self.shown_last) = (None, None, true, None);
        if self.sink.dark().is_none() {
            log::info!("display: {}", self.sink.describe());
            self.was_dark = false;
        }
        // Nobody to take it: the pipeline ends, and the sink with it.
        let _ = self.left.send(Left::Released(old));
    }

    fn failed(&mut self, error: anyhow::Error) {
        let why = crate::fault::one_line(&error);
        let old = std::mem::replace(&mut self.sink, Box::new(Dark::new(&why)));
        self.told = None;
        let _ = self.left.send(Left::Failed(old, error));
    }

    fn tend(&mut self) {
        let (latencies, last) = (&self.boxes.latencies, &mut self.shown_last);
        let tended = self.sink.tend(&mut |flip| {
            latencies.record(Stage::Flip, flip.at.saturating_duration_since(flip.committed));
            latencies.record(Stage::OnMonitor, flip.at.saturating_duration_since(flip.captured));
            if let Some(last) = last.replace(flip.at) {
                latencies.record(Stage::Interval, flip.at.saturating_duration_since(last));
            }
        });
        if let Err(error) = tended {
            self.failed(error);
        }
        self.follow_assistance();
        if let Some(feed) = self.boxes.feed.try_take() {
            log::info!("source: {feed}");
            self.feed = feed;
        }
        let dark = self.sink.dark();
        if dark.is_some() != self.was_dark {
            self.was_dark = dark.is_some();
            self.shown_last = None;
            match dark {
                Some(why) => log::warn!("display: {why}"),
                None => log::info!("display: {}", self.sink.describe()),
            }
            self.told = None;
        }
    }

    /// Takes in that there is a model, or that there will be none.
    fn follow_assistance(&mut self) {
        if let Some((reason, error)) = self.boxes.lost.try_take() {
            self.go(State::Degraded(reason));
            self.outcome.lost = Some(error);
        }
        // After the reason: that there is one is said first by those who give it, so that it is never taken for an earlier model's.
        let assistance = self.boxes.assistance.get();
        if assistance != Assistance::Lost && self.machine.lost().is_some() {
            self.machine.recover();
            self.outcome.lost = None;
        }
        self.judge.assistance(assistance, runtime::now());
    }

    fn go(&mut self, next: State) {
        if self.machine.go(next) {
            self.since = runtime::wall_clock();
            self.told = None;
        }
    }

    /// Frames that the display has taken.
    fn shown(&self) -> u64 {
        self.boxes.tally.shown.load(Ordering::Relaxed)
    }

    #[expect(clippy::too_many_lines, reason = "the way of one frame to the monitor, step by step")]
    fn frame(&mut self, mut captured: Captured) {
        self.last_frame = runtime::now();
        (self.absence, self.absent_since, self.screen_drawn) = (None, None, None);
        // Said of frames before this one.
        self.boxes.absent.try_take();
        if self.settings.lock_step {
            self.wait_for(&captured)
        } else {
            self.newer(self.boxes.found.try_take())
        }
        let view = captured.view();
        self.frame_size = (view.width_px(), view.height_px());
        let placement = self.sink.place(self.frame_size.0, self.frame_size.1);

        let begun = runtime::now();
        let mut newest = self.newest.take();
        let result = self.result(newest.as_mut(), &captured, begun);
        if let Some(next) = self.next_state(result, begun) {
            self.go(next);
        }
        let is_drawn = result == judge::Result::Plausible
            && *self.machine.state() == State::Assist
            && self.settings.outlines;
        let fresh = newest.as_ref().filter(|_| is_drawn);
        match fresh {
            Some(found) => self.place(found, &captured),
            None => self.drawn.clear(),
        }
        self.layer.reset(placement.surface.0, placement.surface.1);
        let field = fresh.map_or(Rect::whole(1, 1), |found| found.field);
        // What was there before outlines were switched off is there at once when they are on again.
        let opacities = if self.settings.outlines {
            self.fade.opacities(self.drawn.tracks(), begun, self.settings.fade_in)
        } else {
            &[]
        };
        self.painter.marks(&mut self.layer, self.drawn.list(), opacities, &field, &placement);
        let glyph = glyph(&self.settings, self.machine.state());
        let sign = sign(&self.settings);
        if glyph.is_some() || sign.is_some() {
            let corner = self.corner.choose(self.settings.corner, &view, &placement, begun);
            self.painter.corner(&mut self.layer, corner, glyph, sign);
        }
        let drawn = runtime::now();
        let scene = Scene {
            picture: Some(view),
            lease: captured.lease.as_ref(),
            layer: &self.layer,
            placement,
            name: &captured.name,
            captured: captured.at,
        };
        let shown = loop {
            match self.sink.show(&scene) {
                // Every frame of a simulation is shown.
                Ok(Shown::Skipped)
                    if self.settings.lock_step && self.sink.is_busy() && !self.boxes.is_stopping() =>
                {
                    self.observer.turned();
                    runtime::thread::sleep(BUSY);
                }
                shown => break shown,
            }
        };
        let shown = match shown {
            Ok(shown) => shown,
            Err(error) => {
                self.failed(error);
                Shown::Skipped
            }
        };
        let times = self.count(&captured, shown, newest.as_ref().filter(|_| is_drawn), (begun, drawn));
        if shown == Shown::Yes && self.boxes.still_wanted.swap(false, Ordering::AcqRel) {
            self.boxes.still.put(self.still(&captured, newest.as_ref().filter(|_| is_drawn)));
        }
        self.hand_on(&mut captured, newest.as_ref().filter(|_| is_drawn), times, shown);
        self.newest = newest;
        self.boxes.display.give_back(captured);
        if self.settings.lock_step {
            self.boxes.finished.put(());
        }
    }

    /// Puts what was found where it belongs on a frame: the picture may have moved since.
    fn place(&mut self, found: &Found, captured: &Captured) {
        let follows = self.settings.follows_motion()
            && found.number != captured.number
            && !found.shown.list().is_empty();
        if follows {
            self.thumbnail.take(&captured.view(), found.field);
        }
        let mut followed = 0;
        self.drawn.copy_moved(&found.shown, |region| {
            followed += 1;
            let moved = if follows && followed <= MOST_FOLLOWED {
                motion::moved(&found.thumbnail, &self.thumbnail, &region.bounds)
            } else {
                None
            };
            moved.unwrap_or_default()
        });
    }

    /// The state with a frame at hand; `None` if it stays as it is.
    fn next_state(&mut self, result: judge::Result, now: Instant) -> Option<State> {
        if self.settings.heat() == Step::Off {
            // That there are no results is not inference's fault.
            self.judge.no_frames();
            return Some(State::Degraded(Reason::Hot));
        }
        let next = self.judge.frame(result, now, self.settings.silent_after, self.settings.max_age);
        // Pictures are back, whatever else there is to say; if assistance is lost, that.
        let is_back = matches!(self.machine.state(), State::NoSignal(_));
        next.or_else(|| self.machine.regained()).or_else(|| is_back.then_some(State::Passthrough))
    }

    /// What may be drawn on a frame of the newest result. Regions that were last seen too long ago are dropped from it.
    fn result(&mut self, newest: Option<&mut Found>, captured: &Captured, now: Instant) -> judge::Result {
        let Some(found) = newest.filter(|found| found.origin == captured.origin()) else {
            return judge::Result::None;
        };
        if self.settings.lock_step {
            if found.number != captured.number {
                return judge::Result::None;
            }
        } else {
            let age = now.saturating_duration_since(found.at);
            if age > self.settings.max_age {
                let which = Some((found.origin.epoch, found.number));
                if self.drawn_last != which && self.late_last != which {
                    self.late_last = which;
                    count(&self.boxes.tally.late);
                }
                return judge::Result::TooOld(age);
            }
            // What the gate holds is as old as its last sighting.
            if let Some(limit) = now.checked_sub(self.settings.max_age) {
                found.shown.drop_older_than(limit);
            }
        }
        if found.implausible { judge::Result::Implausible } else { judge::Result::Plausible }
    }

    fn count(
        &mut self,
        captured: &Captured,
        shown: Shown,
        fresh: Option<&Found>,
        (begun, drawn): (Instant, Instant),
    ) -> Option<SlowFrame> {
        let done = runtime::now();
        if shown == Shown::Skipped {
            count(&self.boxes.tally.not_taken);
            return None;
        }
        let latencies = &self.boxes.latencies;
        latencies.record(Stage::Draw, drawn - begun);
        latencies.record(Stage::Display, done - drawn);
        latencies.record(Stage::VideoDelay, done.saturating_duration_since(captured.at));
        let has_regions = fresh.is_some_and(|found| !found.shown.list().is_empty());
        if let Some(found) = fresh
            && self.drawn_last != Some((found.origin.epoch, found.number))
        {
            self.drawn_last = Some((found.origin.epoch, found.number));
            latencies.record(Stage::Total, done.saturating_duration_since(found.at));
        }
        let us = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        let times = SlowFrame {
            number: captured.number.0,
            unix_s: runtime::wall_clock()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
            driver_us: captured.since_taken.map(us),
            ready_us: us(captured.ready.saturating_duration_since(captured.at)),
            waited_us: us(begun.saturating_duration_since(captured.ready)),
            draw_us: us(drawn - begun),
            display_us: us(done - drawn),
        };
        self.boxes.tally.handed_over(times);
        if !self.sink.tells_flips()
            && let Some(last) = self.shown_last.replace(done)
        {
            latencies.record(Stage::Interval, done.saturating_duration_since(last));
        }
        count(&self.boxes.tally.shown);
        if has_regions {
            count(&self.boxes.tally.outlined);
        }
        let view = captured.view();
        self.observer.shown(&Picture {
            number: captured.number,
            name: &captured.name,
            size_px: (view.width_px(), view.height_px()),
            at: captured.at,
            drawn_at: begun,
            truth: captured.truth.as_ref(),
            state: self.machine.state(),
            result: fresh.map(|found| Drawn {
                number: found.number,
                at: found.at,
                found: &found.regions.list,
                shown: &self.drawn,
            }),
        });
        Some(times)
    }

    /// Hands a frame on: to a second monitor, and what was shown to those who record, if one is due.
    fn hand_on(
        &mut self,
        captured: &mut Captured,
        drawn: Option<&Found>,
        times: Option<SlowFrame>,
        shown: Shown,
    ) {
        let boxes = self.boxes;
        let is_recorded =
            shown == Shown::Yes && self.tap.is_due(boxes, self.settings.recording.as_ref(), captured.at);
        let is_second = self.settings.second.is_some() && boxes.second_is_free.swap(false, Ordering::AcqRel);
        let to = match (is_second, is_recorded) {
            (true, _) => &boxes.second,
            (false, true) if boxes.recorder_takes() => &boxes.recording,
            _ => return,
        };
        let said = Said {
            state: self.machine.state().word(),
            settings: &self.settings,
            glyph: glyph(&self.settings, self.machine.state()),
            opacities: self.fade.latest(),
            times,
            newest: drawn,
        };
        let mut filmed = to.blank().unwrap_or_else(Filmed::blank);
        said.fill(&mut filmed, captured, &self.drawn);
        filmed.is_recorded = is_recorded;
        to.put(filmed);
    }

    /// The frame as it was shown. Lent pixels are lent once more, others copied.
    fn still(&self, captured: &Captured, drawn: Option<&Found>) -> Still {
        Still {
            frame: if captured.lease.is_some() { Frame::black(1, 1) } else { captured.frame.clone() },
            lease: captured.lease.clone(),
            number: captured.number,
            clock: runtime::wall_clock(),
            state: self.machine.state().clone(),
            outlines: self.settings.outlines,
            style: self.settings.style,
            shown: self.drawn.clone(),
            result: drawn.map(|found| study::still::Result {
                number: found.number,
                age: captured.at.saturating_duration_since(found.at),
                found: found.regions.list.clone(),
            }),
        }
    }

    /// No frame came: after a while a screen says why.
    fn nothing(&mut self) {
        if let Some(absence) = self.boxes.absent.try_take() {
            self.absence = Some(absence);
        }
        let why = match &self.absence {
            Some(absence) => absence.why,
            // In lock step the feed waits for us.
            None if self.settings.lock_step || runtime::since(self.last_frame) < NO_SIGNAL_AFTER => return,
            None => Why::Stalled,
        };
        self.judge.no_frames();
        self.shown_last = None;
        self.go(State::NoSignal(why));
        if self.screen_drawn.is_some_and(|drawn| runtime::since(drawn) < SCREEN_EVERY) {
            return;
        }
        self.screen_drawn = Some(runtime::now());
        if self.sink.keeps_first_size() && self.shown() == 0 {
            return;
        }
        let (at, clock) = *self.absent_since.get_or_insert_with(|| {
            let gone = runtime::since(self.last_frame);
            (self.last_frame, runtime::wall_clock().checked_sub(gone).unwrap_or(runtime::wall_clock()))
        });
        let words = &self.settings.words;
        let tried = words.tried(self.absence.as_ref().map_or(0, |absence| absence.attempts));
        let since = words.since(&time_of_day(clock, &self.settings.zone), runtime::since(at).as_secs());
        let placement = self.sink.place(self.frame_size.0, self.frame_size.1);
        self.layer.reset(placement.surface.0, placement.surface.1);
        let lines = [words.no_picture(why), "", &since, &tried];
        self.painter.screen(&mut self.layer, &lines);
        if self.settings.second.is_some() {
            self.boxes.second_screen.put(Screen { lines: lines.map(|line: &str| line.to_owned()) });
        }
        let hot = (self.settings.heat() == Step::Off).then_some(&Reason::Hot);
        let switched_off = (!self.settings.outlines).then(|| words.outlines_off());
        let off = self.machine.lost().or(hot).map(|reason| words.off(reason)).or(switched_off);
        let sign = sign(&self.settings);
        if off.is_some() || sign.is_some() {
            let corner = self.settings.corner.always().unwrap_or_default();
            self.painter.corner(&mut self.layer, corner, off.map(|words| (Glyph::Off, words)), sign);
        }
        let scene = Scene {
            picture: None,
            lease: None,
            layer: &self.layer,
            placement,
            name: OsStr::new("no-signal"),
            captured: runtime::now(),
        };
        if let Err(error) = self.sink.show(&scene) {
            self.failed(error);
        }
    }

    /// Tells the observer now and then.
    fn tell(&mut self) {
        if self.told.is_some_and(|told| runtime::since(told) < STATUS_EVERY) {
            return;
        }
        let second = self.boxes.second_line.newer(&mut self.second_seen);
        if self.told.is_none() || second.is_some() {
            self.sink_line = self.sink.describe();
            let second = self.boxes.second_line.get();
            if !second.is_empty() {
                self.sink_line = format!("{}; second monitor: {second}", self.sink_line);
            }
            self.boxes.lines.set(Lines { feed: self.feed.clone(), display: self.sink_line.clone() });
        }
        self.boxes.tally.set_state(
            self.machine.state(),
            self.machine.transitions(),
            self.sink.dark().is_some(),
        );
        self.told = Some(runtime::now());
        self.observer.status(&Status {
            state: self.machine.state(),
            since: self.since,
            heat: self.settings.heat(),
            shown: self.shown(),
            with_regions: self.boxes.tally.outlined.load(Ordering::Relaxed),
            dark: self.sink.dark(),
            feed: &self.feed,
            display: &self.sink_line,
        });
    }

    fn newer(&mut self, taken: Option<Found>) {
        let Some(found) = taken else { return };
        self.judge.result_came(runtime::now());
        if let Some(old) = self.newest.replace(found) {
            self.boxes.found.give_back(old);
        }
    }

    /// In lock step: until the frame's own result is there or will never be.
    fn wait_for(&mut self, captured: &Captured) {
        let progress = self.boxes.progress();
        let is_its_own = |newest: &Option<Found>| {
            newest
                .as_ref()
                .is_some_and(|found| found.origin.epoch == captured.epoch && found.number >= captured.number)
        };
        while !is_its_own(&self.newest) && !self.boxes.is_stopping() {
            self.newer(self.boxes.found.take(PATIENCE));
            self.observer.turned();
            // The thread that had the frame is gone, and the frame with it.
            let is_replaced = !Arc::ptr_eq(&progress, &self.boxes.progress());
            if is_replaced || self.boxes.assistance.get() == Assistance::Lost {
                break;
            }
        }
        self.follow_assistance();
    }

    fn end(mut self) -> Outcome {
        self.follow_assistance();
        let told_at = |boxes: &Boxes| boxes.is_stopping().then(runtime::now);
        let mut stopped = told_at(self.boxes);
        loop {
            match self.sink.finish(TEND_EVERY) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    self.failed(error);
                    break;
                }
            }
            stopped = stopped.or_else(|| told_at(self.boxes));
            if self.boxes.is_hurried() || stopped.is_some_and(|at| runtime::since(at) >= LAST_PICTURES) {
                log::warn!("the display did not take the last frames in time");
                break;
            }
        }
        self.told = None;
        self.tell();
        self.outcome.state = self.machine.state().clone();
        self.outcome.transitions = self.machine.transitions();
        self.outcome
    }
}

/// What the corner says of assistance.
fn glyph<'a>(settings: &'a Settings, state: &State) -> Option<(Glyph, &'a str)> {
    let words = &settings.words;
    match state {
        State::Degraded(_) => Some((Glyph::Off, words.state(state))),
        _ if !settings.outlines => Some((Glyph::Off, words.outlines_off())),
        State::Assist if settings.heat().is_reduced() => Some((Glyph::Reduced, words.reduced())),
        State::Assist => Some((Glyph::Assist, words.state(state))).filter(|_| settings.glyph),
        // Whoever looks must know that there are no outlines.
        _ => Some((Glyph::Passthrough, words.state(state))),
    }
}

/// What the corner says of a recording.
fn sign(settings: &Settings) -> Option<(Glyph, &str)> {
    match settings.sign {
        Sign::Off => None,
        Sign::On => Some((Glyph::Recording, settings.words.recording())),
        Sign::Failed => Some((Glyph::Off, settings.words.not_recording())),
    }
}

/// `14:03:22 CET`
fn time_of_day(clock: SystemTime, zone: &TimeZone) -> String {
    // A clock that is thousands of years off is told as midnight.
    let time = Timestamp::try_from(clock).unwrap_or_default();
    time.to_zoned(zone.clone()).strftime("%H:%M:%S %Z").to_string()
}
