//! Time that passes only while everybody waits for it, on threads of the system.
//!
//! One thread runs at a time. When it rests or waits, the one that is due first goes on, and time moves on to when that is due; of
//! two that are due at once, the one that was so first. Whatever a thread computes, reads or writes takes no time. So the same work
//! on the same input goes the same way each time, on any machine, as fast as that can.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::{Key, Scheduler, simulated};

/// Runs `work` and the threads that it starts in a time of their own, which begins at 0 o'clock. Threads that go on when `work`
/// ends never run again; what they hold is not given back.
///
/// # Panics
/// If all threads wait for one another, in each of them.
pub fn run<T>(work: impl FnOnce() -> T) -> T {
    let shared = Arc::new(Shared { begin: Instant::now(), state: Mutex::default() });
    let me = {
        let mut state = shared.lock();
        let me = state.add("main");
        state.running = Some(me);
        me
    };
    simulated(Rc::new(Thread { shared, me }), work)
}

/// The system's own time: for who wants to know how long a simulation takes.
pub fn outside() -> Instant {
    Instant::now()
}

struct Shared {
    begin: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    time: Duration,
    threads: Vec<Rests>,
    running: Option<usize>,
    /// When, after how many others were arranged, which thread, and for which of its rests.
    due: BinaryHeap<Reverse<(Duration, u64, usize, u64)>>,
    arranged: u64,
    waiting: HashMap<Key, VecDeque<(usize, u64)>>,
    is_stuck: bool,
}

/// A thread as others see it.
struct Rests {
    name: String,
    /// Counts its rests: what was arranged for an earlier one no longer holds.
    turn: u64,
    was_woken: bool,
    goes_on: Arc<Condvar>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, name: &str) -> usize {
        let goes_on = Arc::new(Condvar::new());
        self.threads.push(Rests { name: name.to_owned(), turn: 0, was_woken: false, goes_on });
        self.threads.len() - 1
    }

    fn arrange(&mut self, thread: usize, time: Duration) {
        let Some(rests) = self.threads.get(thread) else { return };
        self.arranged += 1;
        self.due.push(Reverse((time.max(self.time), self.arranged, thread, rests.turn)));
    }

    /// Lets the thread go on that is due first.
    fn next(&mut self) {
        self.running = None;
        while let Some(Reverse((time, _, thread, turn))) = self.due.pop() {
            let Some(rests) = self.threads.get_mut(thread) else { continue };
            if rests.turn != turn {
                continue;
            }
            rests.turn += 1;
            (self.time, self.running) = (time, Some(thread));
            rests.goes_on.notify_all();
            return;
        }
        self.is_stuck = true;
        self.threads.iter().for_each(|rests| rests.goes_on.notify_all());
    }
}

/// What the running thread asks of the others.
struct Thread {
    shared: Arc<Shared>,
    me: usize,
}

impl Thread {
    /// Others go on; returns when it is this one's turn again.
    fn give_way(&self, mut state: MutexGuard<'_, State>) {
        state.next();
        drop(self.turn(state));
    }

    fn turn<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(goes_on) = state.threads.get(self.me).map(|rests| rests.goes_on.clone()) else {
            return state;
        };
        while state.running != Some(self.me) && !state.is_stuck {
            state = goes_on.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        assert!(!state.is_stuck, "all threads wait for one another");
        state
    }
}

impl Scheduler for Thread {
    fn now(&self) -> Instant {
        self.shared.begin + self.shared.lock().time
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.shared.lock().time
    }

    fn spawn(&self, name: &str, task: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let (shared, me) = {
            let mut state = self.shared.lock();
            let me = state.add(name);
            let now = state.time;
            state.arrange(me, now);
            (self.shared.clone(), me)
        };
        let started = std::thread::Builder::new().name(name.into()).spawn(move || {
            let thread = Thread { shared: shared.clone(), me };
            drop(thread.turn(shared.lock()));
            /// Others go on, however this one ends.
            struct Passes(Arc<Shared>);
            impl Drop for Passes {
                fn drop(&mut self) {
                    self.0.lock().next();
                }
            }
            let _passes = Passes(shared);
            simulated(Rc::new(thread), task);
        });
        if let Err(error) = started {
            let mut state = self.shared.lock();
            if let Some(rests) = state.threads.get_mut(me) {
                rests.turn += 1;
            }
            return Err(error);
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.shared.lock().threads.get(self.me).map_or(String::new(), |rests| rests.name.clone())
    }

    /// Before a lock is taken, nobody else is given a turn: whoever holds it has given one already.
    fn rest(&self, until: Option<Instant>) {
        let Some(until) = until else { return };
        let mut state = self.shared.lock();
        state.arrange(self.me, until.saturating_duration_since(self.shared.begin));
        self.give_way(state);
    }

    fn wait(&self, key: Key, until: Option<Instant>) -> bool {
        let mut state = self.shared.lock();
        let turn = state.threads.get(self.me).map_or(0, |rests| rests.turn);
        let State { waiting, threads, .. } = &mut *state;
        let queue = waiting.entry(key).or_default();
        queue.retain(|&(thread, turn)| threads.get(thread).is_some_and(|rests| rests.turn == turn));
        queue.push_back((self.me, turn));
        if let Some(until) = until {
            state.arrange(self.me, until.saturating_duration_since(self.shared.begin));
        }
        self.give_way(state);
        let mut state = self.shared.lock();
        state.threads.get_mut(self.me).is_some_and(|rests| std::mem::take(&mut rests.was_woken))
    }

    fn wake(&self, key: Key, all: bool) {
        let mut state = self.shared.lock();
        let Some(mut waiting) = state.waiting.remove(&key) else { return };
        let now = state.time;
        while let Some((thread, turn)) = waiting.pop_front() {
            let Some(rests) = state.threads.get_mut(thread) else { continue };
            if rests.turn != turn || rests.was_woken {
                continue;
            }
            rests.was_woken = true;
            state.arrange(thread, now);
            if !all {
                break;
            }
        }
        if !waiting.is_empty() {
            state.waiting.insert(key, waiting);
        }
    }

    fn set_priority(&self, _: u8) {}
}

#[cfg(test)]
mod tests {
    use super::super::sync::{Condvar, Mutex};
    use super::super::{channel, now, since, thread, wall_clock};
    use super::*;

    /// Four threads that sleep, lock and send; what the receiver saw, and when.
    fn story() -> Vec<(u64, u32)> {
        run(|| {
            let begun = now();
            let (sender, receiver) = channel::channel();
            let shared = Arc::new((Mutex::new(0u32), Condvar::new()));
            let threads: Vec<_> = (0..4u32)
                .map(|number| {
                    let (sender, shared) = (sender.clone(), shared.clone());
                    let work = move || {
                        for step in 0..10 {
                            thread::sleep(Duration::from_millis(u64::from(7 + 3 * number)));
                            *shared.0.lock() += 1;
                            shared.1.notify_all();
                            sender.send(100 * number + step).unwrap();
                        }
                    };
                    thread::spawn("counts", work).unwrap()
                })
                .collect();
            drop(sender);
            let seen = std::iter::from_fn(|| {
                let value = receiver.recv()?;
                Some((since(begun).as_millis() as u64, value))
            })
            .collect();
            let mut count = shared.0.lock();
            while *count < 40 {
                count = shared.1.wait(count);
            }
            drop(count);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            seen
        })
    }

    #[test]
    fn the_same_work_goes_the_same_way_and_takes_no_time_of_ours() {
        let first = story();
        assert_eq!(first.len(), 40);
        assert_eq!(first.last(), Some(&(160, 309)), "ten times 16 ms");
        assert!(first.is_sorted_by_key(|(at, _)| *at));
        for _ in 0..20 {
            assert_eq!(story(), first);
        }
        let begun = Instant::now();
        run(|| thread::sleep(Duration::from_secs(86_400)));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_wait_ends_when_it_is_over_or_something_came() {
        run(|| {
            assert_eq!(wall_clock(), SystemTime::UNIX_EPOCH);
            let (sender, receiver) = channel::channel();
            let begun = now();
            assert_eq!(receiver.recv_timeout(Duration::from_millis(50)), Err(channel::Nothing::Yet));
            assert_eq!(since(begun), Duration::from_millis(50));
            thread::spawn("sends", move || {
                thread::sleep(Duration::from_millis(20));
                sender.send(thread::name()).unwrap();
                thread::sleep(Duration::from_secs(1000));
            })
            .unwrap();
            assert_eq!(receiver.recv_timeout(Duration::from_millis(50)).as_deref(), Ok("sends"));
            assert_eq!(since(begun), Duration::from_millis(70));
        });
    }

    #[test]
    fn a_thread_that_panics_stops_nobody_else() {
        run(|| {
            let thread =
                thread::spawn("panics", || std::panic::resume_unwind(Box::new("on purpose"))).unwrap();
            assert!(thread.join().is_err());
            thread::sleep(Duration::from_millis(1));
        });
    }

    #[test]
    #[should_panic(expected = "all threads wait for one another")]
    fn waiting_for_ever_is_said() {
        run(|| {
            let (_sender, receiver) = channel::channel::<()>();
            receiver.recv()
        });
    }
}
