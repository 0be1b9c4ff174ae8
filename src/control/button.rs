//! Things that can be pressed: keys and buttons of a device that comes and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::order::{Action, Request, Way};
use crate::fault::one_line;
use crate::runtime;
use crate::runtime::channel::Sender;

/// Between two tries to open a device that is not there.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Between two looks whether the run is over.
const STOP_SEEN_WITHIN: Duration = Duration::from_millis(100);

/// What a button does, and what it is called in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Such as `KEY_F13 of /dev/input/event3`.
    pub name: String,
    /// What it does.
    pub action: Action,
}

/// A button of a device was pressed or let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// Which, as the device's bindings are counted.
    pub button: usize,
    /// Not let go.
    pub is_pressed: bool,
}

/// A device with buttons that is open.
pub trait Buttons {
    /// Waits until something is pressed or let go, for so long at most.
    ///
    /// # Errors
    /// If the device cannot be used any more.
    fn presses(&mut self, patience: Duration, presses: &mut Vec<Press>) -> Result<()>;
}

/// Watches a device until `stop` is set, and opens it again whenever it is not there.
pub fn watch<B: Buttons>(
    device: &str,
    bound: &[Bound],
    open: impl Fn() -> Result<B>,
    orders: &Sender<Request>,
    stop: &Arc<AtomicBool>,
) {
    let is_over = || stop.load(Ordering::Relaxed);
    let (mut has_failed, mut presses) = (false, Vec::new());
    while !is_over() {
        let mut buttons = match open() {
            Ok(buttons) => buttons,
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    log::warn!("{}: it will be tried again and again", one_line(&error));
                }
                for _ in 0..TRY_AGAIN_AFTER.as_millis() / STOP_SEEN_WITHIN.as_millis() {
                    if !is_over() {
                        runtime::thread::sleep(STOP_SEEN_WITHIN);
                    }
                }
                continue;
            }
        };
        has_failed = false;
        log::info!("{device} is open for orders");
        let mut held = vec![false; bound.len()];
        let lost = loop {
            if is_over() {
                break None;
            }
            presses.clear();
            let outcome = buttons.presses(STOP_SEEN_WITHIN, &mut presses);
            for press in &presses {
                if let (Some(bound), Some(held)) = (bound.get(press.button), held.get_mut(press.button)) {
                    *held = press.is_pressed;
                    give(bound, press.is_pressed, orders);
                }
            }
            if let Err(error) = outcome {
                break Some(error);
            }
        };
        // What cannot be let go any more counts as let go.
        for (bound, _) in bound.iter().zip(held).filter(|(_, held)| *held) {
            give(bound, false, orders);
        }
        if let Some(error) = lost {
            log::warn!("{}: it will be opened again", one_line(&error));
            runtime::thread::sleep(STOP_SEEN_WITHIN);
        }
    }
}

fn give(bound: &Bound, is_pressed: bool, orders: &Sender<Request>) {
    if let Some(order) = bound.action.order(is_pressed, &bound.name) {
        // Nobody to take it: the run is over.
        let _ = orders.send(Request { order, way: Way::Button(bound.name.clone()), answer: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::order::{Order, Switch};
    use crate::fault::Fault;
    use crate::runtime::channel::channel;
    use crate::runtime::virtual_time;

    /// Gives what it has, a step each time, and then fails; `true` is pressed.
    struct Story(Vec<Vec<(usize, bool)>>);

    impl Buttons for Story {
        fn presses(&mut self, patience: Duration, presses: &mut Vec<Press>) -> Result<()> {
            if self.0.is_empty() {
                return Err(Fault::device("the pedal is gone"));
            }
            runtime::thread::sleep(patience / 2);
            let step = self.0.remove(0);
            presses.extend(step.into_iter().map(|(button, is_pressed)| Press { button, is_pressed }));
            Ok(())
        }
    }

    /// What comes of stories told one after another; between them the device is not there.
    fn orders(stories: Vec<Vec<Vec<(usize, bool)>>>) -> Vec<Order> {
        virtual_time::run(|| {
            let (sender, receiver) = channel();
            let stop = Arc::new(AtomicBool::new(false));
            let theirs = stop.clone();
            let stories = runtime::sync::Mutex::new((0, stories));
            let bound = [Action::OutlinesToggle, Action::OutlinesOffWhileHeld, Action::Mark]
                .map(|action| Bound { name: "KEY_A of pedal".into(), action });
            let thread = runtime::thread::spawn("keys", move || {
                let open = || {
                    let mut stories = stories.lock();
                    stories.0 += 1;
                    match stories.0 % 2 {
                        0 if !stories.1.is_empty() => Ok(Story(stories.1.remove(0))),
                        _ => Err(Fault::device("no pedal")),
                    }
                };
                watch("pedal", &bound, open, &sender, &theirs);
            });
            runtime::thread::sleep(Duration::from_secs(20));
            stop.store(true, Ordering::Relaxed);
            thread.unwrap().join().unwrap();
            std::iter::from_fn(|| receiver.try_recv().ok()).map(|request| request.order).collect()
        })
    }

    #[test]
    fn each_press_is_one_order_and_what_is_lost_is_let_go() {
        let to = |to| Order::Outlines { to };
        let mark = Order::Mark { text: "KEY_A of pedal was pressed".into() };
        let first = vec![vec![(0, true), (0, false)], vec![], vec![(0, true), (0, false), (2, true)]];
        assert_eq!(orders(vec![first]), [to(Switch::Toggle), to(Switch::Toggle), mark]);
        let held = vec![vec![(1, true)], vec![]];
        let after = vec![vec![(1, true), (1, false), (9, true)]];
        assert_eq!(
            orders(vec![held, after]),
            [to(Switch::Off), to(Switch::On), to(Switch::Off), to(Switch::On)],
            "pulled out while it is held down, then plugged in"
        );
    }
}
