//! The thread that switches a lamp or a buzzer: what hangs or is not there holds up nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::news::News;
use crate::fault::one_line;
use crate::runtime;

/// Between two looks whether there is something new. A lamp is no faster than the eye needs it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between two tries to open what is not there.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Something that is switched on for a moment.
pub trait Lamp {
    /// On, or off.
    ///
    /// # Errors
    /// If it cannot be used any more.
    fn switch(&mut self, is_on: bool) -> Result<()>;
}

/// For how long it is on, and how long after the beginning of one moment the next may begin.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// On.
    pub lasts: Duration,
    /// From one beginning to the next, at least.
    pub again_after: Duration,
}

/// Switches a lamp on for a moment when a region is new, until `stop` is set. What was new while it was not there is past. A lamp that
/// cannot be used is opened again.
pub fn watch<L: Lamp>(
    name: &str,
    open: impl Fn() -> Result<L>,
    times: Times,
    news: &News,
    stop: &Arc<AtomicBool>,
) {
    let is_over = || stop.load(Ordering::Relaxed);
    let (mut has_failed, mut last): (bool, Option<Instant>) = (false, None);
    while !is_over() {
        let lost = match open() {
            Ok(mut lamp) => {
                log::info!("{name} tells of new regions");
                has_failed = false;
                let mut seen = news.count();
                let mut outcome = Ok(());
                while !is_over() && outcome.is_ok() {
                    runtime::thread::sleep(LOOK_EVERY);
                    let count = news.count();
                    let is_new = std::mem::replace(&mut seen, count) != count;
                    if is_new && last.is_none_or(|last| runtime::since(last) >= times.again_after) {
                        last = Some(runtime::now());
                        outcome = lamp.switch(true);
                        runtime::thread::sleep(times.lasts);
                        outcome = outcome.and_then(|()| lamp.switch(false));
                    }
                }
                outcome.err()
            }
            Err(error) => Some(error),
        };
        if let Some(error) = lost {
            if !std::mem::replace(&mut has_failed, true) {
                log::warn!("{}: it will be tried again and again", one_line(&error));
            }
            let since = runtime::now();
            while !is_over() && runtime::since(since) < TRY_AGAIN_AFTER {
                runtime::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::news::Novelty;
    use crate::track::TrackNumber;
    use std::sync::Mutex;

    type Said = Arc<Mutex<Vec<(bool, Instant)>>>;

    struct Told(Said, Arc<AtomicBool>);

    impl Lamp for Told {
        fn switch(&mut self, is_on: bool) -> Result<()> {
            anyhow::ensure!(!self.1.load(Ordering::Relaxed), "the line is gone");
            self.0.lock().unwrap().push((is_on, Instant::now()));
            Ok(())
        }
    }

    #[test]
    fn a_lamp_is_lit_for_a_moment_not_too_often_and_comes_back() {
        let (news, stop) = (News::default(), Arc::new(AtomicBool::new(false)));
        let is_gone: Arc<AtomicBool> = Arc::default();
        let said: Said = Arc::default();
        let mut novelty = Novelty::new(&news);
        let times = Times { lasts: Duration::from_millis(30), again_after: Duration::from_millis(400) };
        let count = |said: &Said| said.lock().unwrap().len();
        let comes = |wanted: usize| {
            let begun = Instant::now();
            while count(&said) < wanted && begun.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(1));
            }
            count(&said) >= wanted
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let open = || {
                    anyhow::ensure!(!is_gone.load(Ordering::Relaxed), "no line");
                    Ok(Told(said.clone(), is_gone.clone()))
                };
                watch("a lamp", open, times, &news, &stop);
            });
            std::thread::sleep(Duration::from_millis(100));
            novelty.drawn([TrackNumber(1)].into_iter());
            assert!(comes(2), "on and off");
            // Too soon: nobody is told of it.
            novelty.drawn([TrackNumber(2)].into_iter());
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(count(&said), 2);
            std::thread::sleep(Duration::from_millis(400));
            is_gone.store(true, Ordering::Relaxed);
            novelty.drawn([TrackNumber(3)].into_iter());
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(count(&said), 2, "it is gone");
            is_gone.store(false, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1300));
            novelty.drawn([TrackNumber(4)].into_iter());
            assert!(comes(4), "it is back");
            stop.store(true, Ordering::Relaxed);
        });
        let said = said.lock().unwrap();
        let values: Vec<bool> = said.iter().map(|(is_on, _)| *is_on).collect();
        assert_eq!(values, [true, false, true, false]);
        assert!(said[1].1 - said[0].1 >= Duration::from_millis(30));
    }
}
