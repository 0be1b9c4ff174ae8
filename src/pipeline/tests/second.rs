//! A second monitor beside the first one.

use super::*;
use crate::display::{Flipped, Shown, Shows};
use crate::geometry::Placement;
use crate::recording::{Pictures, Wish};

/// What a monitor was given: whether there was a picture, and how many rows were drawn on.
type Given = Arc<Mutex<Vec<(bool, usize)>>>;

struct Screen {
    given: Given,
    takes: Duration,
    second: Option<Box<dyn Sink>>,
    fails_after: usize,
}

impl Sink for Screen {
    fn place(&mut self, width_px: usize, height_px: usize) -> Placement {
        Placement::identity(width_px, height_px)
    }
    fn show(&mut self, scene: &Scene<'_>) -> Result<Shown> {
        thread::sleep(self.takes);
        let mut given = self.given.lock().unwrap();
        if given.len() >= self.fails_after {
            bail!("the cable is cut");
        }
        let height = scene.placement.surface.1;
        let drawn = (0..height).filter(|&row| scene.layer.is_touched(row)).count();
        given.push((scene.picture.is_some(), drawn));
        Ok(Shown::Yes)
    }
    fn tend(&mut self, _: &mut dyn FnMut(Flipped)) -> Result<()> {
        Ok(())
    }
    fn take_second(&mut self) -> Option<Box<dyn Sink>> {
        self.second.take()
    }
    fn describe(&self) -> String {
        "a screen".into()
    }
}

/// A first and a second screen, and what they are given.
fn screens(takes: Duration, fails_after: usize) -> (Box<dyn Sink>, [Given; 2]) {
    let given = [Given::default(), Given::default()];
    let second = Screen { given: given[1].clone(), takes, second: None, fails_after };
    let first = Screen {
        given: given[0].clone(),
        takes: Duration::ZERO,
        second: Some(Box::new(second)),
        fails_after: usize::MAX,
    };
    (Box::new(first), given)
}

fn goes(settings: Settings, frames: u64, takes: Duration, fails_after: usize) -> ([Given; 2], Outcome) {
    let (sink, given) = screens(takes, fails_after);
    let settings =
        Settings { lock_step: false, pace_hz: Some(50.0), max_age: Duration::from_secs(5), ..settings };
    let mut pipeline = Pipeline::start(settings, Box::new(())).unwrap();
    pipeline.set_sink(sink);
    pipeline.load(loads(|| segmenter(None))).unwrap();
    pipeline.set_feed(Feed::recorded(squares(frames))).unwrap();
    let event = attend(&mut pipeline, Duration::from_secs(60), || false);
    assert!(matches!(event, Event::Over));
    (given, pipeline.end(&|| false))
}

fn count(given: &Given, is: impl Fn(&(bool, usize)) -> bool) -> usize {
    given.lock().unwrap().iter().filter(|given| is(given)).count()
}

#[test]
fn a_second_monitor_shows_the_pictures_outlined_or_clean() {
    for shows in [Shows::Outlined, Shows::Clean] {
        let settings = Settings { second: Some(shows), ..settings() };
        let ([first, second], outcome) = goes(settings, 100, Duration::ZERO, usize::MAX);
        let pictures = count(&second, |(has_picture, _)| *has_picture);
        assert!(pictures > 30, "{pictures} of 100");
        assert!(count(&first, |(_, drawn)| *drawn > 0) > 30);
        let drawn = count(&second, |(has_picture, drawn)| *has_picture && *drawn > 0);
        assert_eq!(drawn > 20, shows == Shows::Outlined, "{drawn}");
        assert!(shows == Shows::Outlined || drawn == 0, "nothing lies over a clean picture: {drawn}");
        assert_eq!(outcome.lost_threads, 0);
    }
}

#[test]
fn a_second_monitor_that_is_slow_or_fails_costs_the_first_one_nothing() {
    for (takes, fails_after) in [(Duration::from_millis(120), usize::MAX), (Duration::ZERO, 3)] {
        let settings = Settings { second: Some(Shows::Outlined), ..settings() };
        let ([first, second], outcome) = goes(settings, 100, takes, fails_after);
        // If the first one waited for the second one, it would be 17.
        assert!(outcome.frames.shown > 50, "{} shown", outcome.frames.shown);
        assert_eq!(count(&first, |(has_picture, _)| *has_picture) as u64, outcome.frames.shown);
        let pictures = count(&second, |_| true);
        assert!((1..30).contains(&pictures), "{pictures}");
    }
}

#[test]
fn what_a_second_monitor_shows_is_recorded_all_the_same() {
    let wish = Wish {
        pictures: Pictures::Figures,
        before: Duration::from_secs(60),
        rate_hz: 200.0,
        quality: 80,
        memory_bytes: 1 << 24,
        outside: crate::study::Outside::Black,
        fixed: None,
    };
    let settings = Settings { second: Some(Shows::Clean), recording: Some(wish), ..settings() };
    let ([_, second], outcome) = goes(settings, 100, Duration::ZERO, usize::MAX);
    assert!(count(&second, |(has_picture, _)| *has_picture) > 30);
    assert!(outcome.coded > 20, "{} were coded", outcome.coded);
}

/// Closing a display may take long: the thread that shows never does it, not even for a monitor that nobody attends to.
#[test]
fn a_second_monitor_that_nobody_takes_is_closed_elsewhere() {
    struct Closes(Arc<Mutex<Vec<String>>>);
    impl Sink for Closes {
        fn show(&mut self, _: &Scene<'_>) -> Result<Shown> {
            Ok(Shown::Yes)
        }
        fn describe(&self) -> String {
            "closes".into()
        }
    }
    impl Drop for Closes {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(crate::runtime::thread::name());
        }
    }
    let closed = Arc::new(Mutex::new(Vec::new()));
    // Nothing is wished for a second monitor, so there is no thread for it.
    let mut pipeline = Pipeline::<Fake>::start(settings(), Box::new(())).unwrap();
    for wanted in 0..8 {
        let second = Some(Box::new(Closes(closed.clone())) as Box<dyn Sink>);
        let (given, takes) = (Given::default(), Duration::ZERO);
        pipeline.set_sink(Box::new(Screen { given, takes, second, fails_after: usize::MAX }));
        attend(&mut pipeline, Duration::from_secs(10), || closed.lock().unwrap().len() >= wanted);
        // Until the next order is there, the last one waits.
        thread::sleep(Duration::from_millis(100));
    }
    let closed = closed.lock().unwrap().clone();
    assert!(closed.len() >= 6, "{closed:?}");
    assert!(closed.iter().all(|thread| thread != "display"), "{closed:?}");
}
