//! Time, threads and waiting: the system's own, or a simulation's.
//!
//! Whatever the cart's program does with clocks, threads, locks and channels, it does through here, so that the same code
//! also runs under a seeded scheduler in simulated time ([`simulated`]). `clippy.toml` refuses the standard library's
//! functions elsewhere. On a cart this costs one look at a thread-local pointer a call.
//!
//! | module | instead of |
//! |---|---|
//! | here | `Instant::now`, `Instant::elapsed`, `SystemTime::now` |
//! | [`thread`] | `std::thread` |
//! | [`sync`] | `std::sync::{Mutex, Condvar}` |
//! | [`channel`] | `std::sync::mpsc` |
//!
//! [`virtual_time`] is a simulation in which nothing is left to chance: what a recording gives then depends on the recording alone.

pub mod channel;
pub mod sync;
#[cfg(test)]
mod tests;
pub mod thread;
pub mod virtual_time;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// What a simulation provides: one task runs at a time, and at each call here another may be chosen to go on.
pub trait Scheduler {
    /// The simulated time.
    fn now(&self) -> Instant;

    /// The simulated wall clock, which may jump.
    fn wall_clock(&self) -> SystemTime;

    /// Starts a task that may run from now on.
    ///
    /// # Errors
    /// If there can be no more threads.
    fn spawn(&self, name: &str, task: Box<dyn FnOnce() + Send>) -> std::io::Result<()>;

    /// The name that the running task was started with.
    fn name(&self) -> String;

    /// Lets the running task rest until the simulated time is `until`, or, without it, until another task has had a turn.
    fn rest(&self, until: Option<Instant>);

    /// Lets the running task rest until `key` is woken or it is `until`; whether it was woken.
    fn wait(&self, key: Key, until: Option<Instant>) -> bool;

    /// Wakes one task that waits for `key`, or all of them.
    fn wake(&self, key: Key, all: bool);

    /// The running task asks for this real-time priority, 0 for none.
    fn set_priority(&self, priority: u8);
}

/// What tasks wait for: stands for one lock or condition for as long as that stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(usize);

impl Key {
    fn of<T: ?Sized>(thing: &T) -> Key {
        Key(std::ptr::from_ref(thing).cast::<()>().addr())
    }
}

thread_local! {
    static SCHEDULER: RefCell<Option<Rc<dyn Scheduler>>> = const { RefCell::new(None) };
}

/// The simulation that the calling code runs in, if it does.
#[inline]
fn simulation() -> Option<Rc<dyn Scheduler>> {
    SCHEDULER.with_borrow(Option::clone)
}

/// Whether the calling code runs in a simulation: it must then not ask the system for anything that a simulation does not
/// know of.
#[inline]
pub fn is_simulated() -> bool {
    SCHEDULER.with_borrow(Option::is_some)
}

/// Runs `work` with this scheduler in place of the system's time and threads, as far as the calling thread goes.
pub fn simulated<T>(scheduler: Rc<dyn Scheduler>, work: impl FnOnce() -> T) -> T {
    struct PutsBack(Option<Rc<dyn Scheduler>>);
    impl Drop for PutsBack {
        fn drop(&mut self) {
            SCHEDULER.set(self.0.take());
        }
    }
    let _before = PutsBack(SCHEDULER.replace(Some(scheduler)));
    work()
}

/// What time it is, for spans of time.
#[inline]
pub fn now() -> Instant {
    simulation().map_or_else(Instant::now, |scheduler| scheduler.now())
}

/// The time that has passed since then; none if `then` is to come.
#[inline]
pub fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// The time since the machine was started, sleep included; none in a simulation.
pub fn since_boot() -> Duration {
    if is_simulated() {
        return Duration::ZERO;
    }
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// What time people say it is.
pub fn wall_clock() -> SystemTime {
    simulation().map_or_else(SystemTime::now, |scheduler| scheduler.wall_clock())
}
