//! A display that shows the next number as soon as it sees the last one, and notes when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::patch;
use crate::display::{Flipped, Scene, Shown, Sink};
use crate::geometry::Placement;
use crate::overlay::Layer;
use crate::runtime::sync::Mutex;

/// A number that has not come back by then is lost: the next one is shown.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// So many turns are kept.
const MOST: usize = 1_000_000;

/// What was measured of the loop so far. Clones are of the same loop.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<Inner>>);

#[derive(Clone, Debug, Default)]
struct Inner {
    list: Vec<Turn>,
    lost: u64,
}

/// One turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From the moment at which the monitor's output began to send the number until the program had the camera's picture of it.
    pub outside: Duration,
    /// From there until the output began to send the next one.
    pub inside: Duration,
}

impl Turns {
    /// The turns so far, and how many numbers did not come back.
    pub fn so_far(&self) -> (Vec<Turn>, u64) {
        let inner = self.0.lock().clone();
        (inner.list, inner.lost)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().list.len()
    }

    /// Forgets all so far.
    pub fn clear(&self) {
        *self.0.lock() = Inner::default();
    }

    fn add(&self, turn: Turn) {
        let mut inner = self.0.lock();
        if inner.list.len() < MOST {
            inner.list.push(turn);
        }
    }
}

/// Where a number is.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It is drawn on pictures from this one on, by when their camera gave them; how long its predecessor was outside, if it came back.
    Drawn { from: Instant, before: Option<Duration> },
    /// The output has been sending it since then.
    Sent(Instant),
}

/// Puts the pattern over what another sink shows.
pub struct Echo {
    sink: Box<dyn Sink>,
    turns: Turns,
    layer: Layer,
    number: u16,
    way: Option<Way>,
}

impl Echo {
    /// Over what `sink` shows; what is measured goes to `turns`.
    pub fn new(sink: Box<dyn Sink>, turns: &Turns) -> Echo {
        Echo { sink, turns: turns.clone(), layer: Layer::default(), number: 0, way: None }
    }

    /// Takes in a picture of the camera's.
    fn see(&mut self, scene: &Scene<'_>) {
        let seen = scene.picture.as_ref().and_then(patch::read);
        match self.way {
            Some(Way::Sent(sent)) if seen == Some(self.number) => {
                self.next(scene.captured, Some(scene.captured.saturating_duration_since(sent)));
            }
            Some(Way::Sent(since) | Way::Drawn { from: since, .. })
                if scene.captured.saturating_duration_since(since) > LOST_AFTER =>
            {
                self.turns.0.lock().lost += 1;
                self.next(scene.captured, None);
            }
            None => self.next(scene.captured, None),
            Some(_) => {}
        }
    }

    fn next(&mut self, from: Instant, before: Option<Duration>) {
        self.number = self.number.wrapping_add(1);
        self.way = Some(Way::Drawn { from, before });
    }

    /// Takes in that a picture is on its way out.
    fn sent(&mut self, captured: Instant, at: Instant) {
        if let Some(Way::Drawn { from, before }) = self.way
            && captured >= from
        {
            if let Some(outside) = before {
                self.turns.add(Turn { outside, inside: at.saturating_duration_since(from) });
            }
            self.way = Some(Way::Sent(at));
        }
    }
}

impl Sink for Echo {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        self.sink.place(width_px, height_px)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        self.see(scene);
        self.layer.reset(scene.layer.width_px(), scene.layer.height_px());
        self.layer.lay(scene.layer, 0, 0);
        patch::draw(&mut self.layer, self.number);
        let shown = self.sink.show(&Scene { layer: &self.layer, ..*scene })?;
        if shown == Shown::Yes && !self.sink.tells_flips() {
            self.sent(scene.captured, crate::runtime::now());
        }
        Ok(shown)
    }

    fn tend(&mut self, flipped: &mut dyn FnMut(Flipped)) -> Result<()> {
        let mut sent = Vec::new();
        let tended = self.sink.tend(&mut |flip| {
            sent.push((flip.captured, flip.at));
            flipped(flip);
        });
        for (captured, at) in sent {
            self.sent(captured, at);
        }
        tended
    }

    fn tells_flips(&self) -> bool {
        self.sink.tells_flips()
    }

    fn keeps_first_size(&self) -> bool {
        self.sink.keeps_first_size()
    }

    fn is_busy(&self) -> bool {
        self.sink.is_busy()
    }

    fn finish(&mut self, patience: Duration) -> Result<bool> {
        self.sink.finish(patience)
    }

    fn dark(&self) -> Option<&str> {
        self.sink.dark()
    }

    fn describe(&self) -> String {
        self.sink.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::lay_over;
    use crate::frame::Frame;
    use std::collections::VecDeque;
    use std::ffi::OsStr;

    const SIZE: (usize, usize) = (160, 120);

    /// A monitor and a cable, in a time that the test decides.
    #[derive(Clone)]
    struct Cable(Arc<Mutex<State>>);

    struct State {
        now: Instant,
        begun: Instant,
        refresh: Duration,
        /// On their way to the monitor, each with its flip.
        flips: VecDeque<(Flipped, Frame)>,
        /// What the output sends, since when.
        sent: Vec<(Instant, Frame)>,
    }

    impl Sink for Cable {
        fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
            let mut state = self.0.lock();
            let mut picture = Frame::black(SIZE.0, SIZE.1);
            lay_over(scene.layer, &mut picture);
            // At the next refresh.
            let since = state.now - state.begun;
            let turns = since.as_nanos() / state.refresh.as_nanos() + 1;
            let at = state.begun + state.refresh * turns as u32;
            let committed = state.now;
            state.flips.push_back((Flipped { captured: scene.captured, committed, at }, picture));
            Ok(Shown::Yes)
        }

        fn tend(&mut self, flipped: &mut dyn FnMut(Flipped)) -> Result<()> {
            let mut state = self.0.lock();
            while state.flips.front().is_some_and(|(flip, _)| flip.at <= state.now) {
                let Some((flip, picture)) = state.flips.pop_front() else { break };
                state.sent.push((flip.at, picture));
                flipped(flip);
            }
            Ok(())
        }

        fn tells_flips(&self) -> bool {
            true
        }

        fn describe(&self) -> String {
            "a cable".into()
        }
    }

    /// One loop: pictures a second of the camera and of the monitor, and what cable and input take.
    fn measured(camera_hz: f64, monitor_hz: f64, delay: Duration, drawing: Duration) -> (Vec<Turn>, u64) {
        let begun = Instant::now();
        let state = State {
            now: begun,
            begun,
            refresh: Duration::from_secs_f64(1.0 / monitor_hz),
            flips: VecDeque::new(),
            sent: Vec::new(),
        };
        let cable = Cable(Arc::new(Mutex::new(state)));
        let turns = Turns::default();
        let mut echo = Echo::new(Box::new(cable.clone()), &turns);
        for number in 0..600 {
            let captured = begun + Duration::from_secs_f64(f64::from(number) / camera_hz);
            cable.0.lock().now = captured;
            echo.tend(&mut |_| {}).unwrap();
            let picture = {
                let state = cable.0.lock();
                let older = state.sent.iter().rev().find(|(at, _)| *at + delay <= captured);
                older.map_or_else(|| Frame::black(SIZE.0, SIZE.1), |(_, picture)| picture.clone())
            };
            cable.0.lock().now = captured + drawing;
            let scene = Scene {
                picture: Some(picture.view()),
                lease: None,
                layer: &Layer::new(SIZE.0, SIZE.1),
                placement: Placement::identity(SIZE.0, SIZE.1),
                name: OsStr::new(""),
                captured,
            };
            assert_eq!(echo.show(&scene).unwrap(), Shown::Yes);
        }
        turns.so_far()
    }

    /// What is measured is what the cable takes, and what the camera makes wait until its next picture.
    #[test]
    fn the_loop_is_as_long_as_it_is() {
        for (camera_hz, monitor_hz, delay_ms, drawing_ms) in
            [(60.0, 60.0, 5, 2), (60.0, 60.0, 40, 4), (30.0, 60.0, 20, 3), (50.0, 60.0, 33, 1)]
        {
            let (delay, drawing) = (Duration::from_millis(delay_ms), Duration::from_millis(drawing_ms));
            let (turns, lost) = measured(camera_hz, monitor_hz, delay, drawing);
            assert!(turns.len() > 60 && lost == 0, "{} turns, {lost} lost", turns.len());
            let (picture, refresh) = (1.0 / camera_hz, 1.0 / monitor_hz);
            for turn in turns {
                let (outside, inside) = (turn.outside.as_secs_f64(), turn.inside.as_secs_f64());
                let least = delay.as_secs_f64();
                assert!(outside >= least - 1e-6 && outside <= least + picture + 1e-6, "{turn:?}");
                let least = drawing.as_secs_f64();
                assert!(inside >= least - 1e-6 && inside <= least + refresh + 1e-6, "{turn:?}");
            }
        }
    }

    #[test]
    fn numbers_that_do_not_come_back_are_counted() {
        let (turns, lost) = measured(60.0, 60.0, Duration::from_secs(3600), Duration::ZERO);
        assert!(turns.is_empty() && (3..=6).contains(&lost), "{lost}");
    }
}
