//! Threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::sync::{Condvar, Mutex};
use super::{now, simulation};

/// A thread's result, or what it panicked with.
pub type Outcome<T> = Result<T, Box<dyn Any + Send>>;

/// Starts a thread of this name.
///
/// # Errors
/// If there can be no more threads.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let Some(scheduler) = simulation() else {
        return std::thread::Builder::new()
            .name(name.into())
            .spawn(work)
            .map(|thread| JoinHandle(Kind::System(thread)));
    };
    let ended = Arc::new(Ended { outcome: Mutex::new(None), changed: Condvar::new() });
    let theirs = ended.clone();
    scheduler.spawn(
        name,
        Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work));
            *theirs.outcome.lock() = Some(outcome);
            theirs.changed.notify_all();
        }),
    )?;
    Ok(JoinHandle(Kind::Simulated(ended)))
}

/// A thread that was started; it goes on if this is dropped.
#[derive(Debug)]
pub struct JoinHandle<T>(Kind<T>);

#[derive(Debug)]
enum Kind<T> {
    System(std::thread::JoinHandle<T>),
    Simulated(Arc<Ended<T>>),
}

/// How a simulated thread ended; `None` until it does.
#[derive(Debug)]
struct Ended<T> {
    outcome: Mutex<Option<Outcome<T>>>,
    changed: Condvar,
}

impl<T> JoinHandle<T> {
    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Kind::System(thread) => thread.is_finished(),
            Kind::Simulated(ended) => ended.outcome.lock().is_some(),
        }
    }

    /// Waits until the thread has ended.
    pub fn join(self) -> Outcome<T> {
        match self.0 {
            Kind::System(thread) => thread.join(),
            Kind::Simulated(ended) => {
                let mut outcome = ended.outcome.lock();
                loop {
                    match outcome.take() {
                        Some(outcome) => return outcome,
                        None => outcome = ended.changed.wait(outcome),
                    }
                }
            }
        }
    }
}

/// Waits for so long.
pub fn sleep(time: Duration) {
    match simulation() {
        Some(scheduler) => scheduler.rest(now().checked_add(time)),
        None => std::thread::sleep(time),
    }
}

/// The name of the calling thread.
pub fn name() -> String {
    match simulation() {
        Some(scheduler) => scheduler.name(),
        None => std::thread::current().name().unwrap_or("main").to_owned(),
    }
}

/// In a simulation, takes in that the calling thread asks for a real-time priority, 0 for none; whether it is one.
pub fn simulate_priority(priority: u8) -> bool {
    simulation().is_some_and(|scheduler| {
        scheduler.set_priority(priority);
        true
    })
}
