//! The thread of a second monitor: pictures that were shown → the same pictures there, with or without what was drawn on them. It may be
//! slow, hang or have nothing to show on: the first monitor's picture does not wait for it.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::frames::{Filmed, Screen};
use super::shared::{Boxes, SinkOrder};
use super::{PATIENCE, priority};
use crate::capture::live::Why;
use crate::display::{Scene, Shows, Sink};
use crate::fault::one_line;
use crate::recording::Redraw;
use crate::runtime;

/// More urgent than recording, less than inference.
const NICENESS: i32 = 3;
/// How long it waits for a picture before it looks after its monitor.
const TEND_EVERY: Duration = Duration::from_millis(20);
/// A picture that was not followed by another one for so long is taken away: it must not look live.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// A picture that was captured so long ago is not shown any more.
const OLD_AFTER: Duration = Duration::from_millis(500);
/// How often a screen without a picture is drawn anew.
const SCREEN_EVERY: Duration = Duration::from_millis(250);
/// What the screen is taken to be for before the first picture.
const NO_PICTURE_PX: (usize, usize) = (1280, 720);

/// Shows until the pipeline stops or `stop` is set.
pub(super) fn work(boxes: &Boxes, stop: &AtomicBool) {
    priority::set_niceness(NICENESS);
    let mut second = Second {
        boxes,
        sink: None,
        redraw: Redraw::default(),
        size: NO_PICTURE_PX,
        came: runtime::now(),
        screen: Screen::default(),
        screen_drawn: None,
        was_dark: true,
    };
    let is_over = || boxes.is_stopping() || stop.load(Ordering::Relaxed);
    while !is_over() {
        second.follow_orders();
        boxes.second_is_free.store(second.sink.is_some(), Ordering::Release);
        let patience = if second.sink.is_some() { TEND_EVERY } else { PATIENCE };
        match boxes.second.take(patience) {
            Some(filmed) => second.picture(filmed),
            None => second.nothing(),
        }
        second.tend();
    }
    boxes.second_is_free.store(false, Ordering::Release);
    boxes.second_line.set(String::new());
}

struct Second<'a> {
    boxes: &'a Boxes,
    sink: Option<Box<dyn Sink>>,
    redraw: Redraw,
    /// Of the last picture.
    size: (usize, usize),
    /// When the last picture came.
    came: Instant,
    screen: Screen,
    screen_drawn: Option<Instant>,
    was_dark: bool,
}

impl Second<'_> {
    fn follow_orders(&mut self) {
        match self.boxes.second_sink.try_take() {
            Some(SinkOrder::Take(sink)) => {
                // The one before is closed first: it may be the same monitor.
                self.sink = None;
                self.sink = Some(sink);
            }
            Some(SinkOrder::Release) => self.sink = None,
            None => return,
        }
        (self.was_dark, self.screen_drawn) = (true, None);
        self.tell();
    }

    fn tell(&self) {
        let line = self.sink.as_ref().map(|sink| sink.dark().map_or_else(|| sink.describe(), str::to_owned));
        self.boxes.second_line.set(line.unwrap_or_default());
    }

    /// Shows a picture, and gives it on to those who record it.
    fn picture(&mut self, filmed: Filmed) {
        (self.came, self.screen_drawn) = (runtime::now(), None);
        let (picture, shot) = (filmed.captured.view(), &filmed.shot);
        self.size = (picture.width_px(), picture.height_px());
        let age = runtime::since(filmed.captured.at);
        if let Some(sink) = self.sink.as_mut().filter(|_| age < OLD_AFTER) {
            let placement = sink.place(self.size.0, self.size.1);
            let settings = self.boxes.settings.get();
            // Outlines are as old here as they are on the first monitor, at most.
            let result_age = shot.result.map_or(Duration::ZERO, |(_, before)| before + age);
            let layer = match settings.second {
                Some(Shows::Outlined) => {
                    self.redraw.shot(shot, result_age <= settings.max_age, &picture, &placement)
                }
                Some(Shows::Clean) | None => self.redraw.nothing(&placement),
            };
            let shown = sink.show(&Scene {
                picture: Some(picture),
                // It is drawn: the camera has its buffer back at once.
                lease: None,
                layer,
                placement,
                name: &filmed.captured.name,
                captured: filmed.captured.at,
            });
            if let Err(error) = shown {
                self.failed(&error);
            }
        }
        let is_recorded = filmed.is_recorded && self.boxes.recorder_takes();
        let used = if is_recorded {
            let other = self.boxes.recording.blank().unwrap_or_else(Filmed::blank);
            self.boxes.recording.put(filmed);
            other
        } else {
            filmed
        };
        self.boxes.second.give_back(used);
    }

    /// No picture came: after a while the screen says so, as the first monitor's does.
    fn nothing(&mut self) {
        if let Some(screen) = self.boxes.second_screen.try_take() {
            self.screen = screen;
        } else if runtime::since(self.came) < STALE_AFTER {
            return;
        } else if self.screen.lines.iter().all(String::is_empty) {
            let words = self.boxes.settings.get().words.no_picture(Why::Stalled).to_owned();
            self.screen.lines = [words, String::new(), String::new(), String::new()];
        }
        if self.screen_drawn.is_some_and(|drawn| runtime::since(drawn) < SCREEN_EVERY) {
            return;
        }
        self.screen_drawn = Some(runtime::now());
        let Some(sink) = &mut self.sink else { return };
        let placement = sink.place(self.size.0, self.size.1);
        let shown = sink.show(&Scene {
            picture: None,
            lease: None,
            layer: self.redraw.screen(&self.screen.lines.each_ref().map(String::as_str), &placement),
            placement,
            name: OsStr::new("no-signal"),
            captured: runtime::now(),
        });
        if let Err(error) = shown {
            self.failed(&error);
        }
    }

    fn tend(&mut self) {
        let Some(sink) = &mut self.sink else { return };
        if let Err(error) = sink.tend(&mut |_| {}) {
            return self.failed(&error);
        }
        let is_dark = sink.dark().is_some();
        if is_dark != self.was_dark {
            self.was_dark = is_dark;
            match sink.dark() {
                Some(why) => log::warn!("second monitor: {why}"),
                None => log::info!("second monitor: {}", sink.describe()),
            }
            self.tell();
        }
    }

    fn failed(&mut self, error: &anyhow::Error) {
        let why = one_line(error);
        log::warn!("second monitor: {why}; it shows nothing until the first one is opened again");
        self.sink = None;
        self.boxes.second_line.set(why);
    }
}
