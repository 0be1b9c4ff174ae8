//! Locks and conditions.
//!
//! A lock whose holder panicked is as good as any: those who use one leave nothing half done under it, or say how they cope.

use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::{Key, now, simulation};

/// A value that one thread at a time may use.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked one.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(std::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let Some(scheduler) = simulation() else {
            return self.guard(self.0.lock().unwrap_or_else(PoisonError::into_inner));
        };
        // Who runs may be exchanged before a lock is taken.
        scheduler.rest(None);
        loop {
            match self.try_lock() {
                Some(guard) => return guard,
                None => scheduler.wait(Key::of(&self.0), None),
            };
        }
    }

    /// Takes the lock if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(self.guard(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.guard(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn guard<'a>(&'a self, guard: std::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard { guard, lock: self, _wakes: Wakes(Key::of(&self.0)) }
    }
}

/// The right to use what a [`Mutex`] holds, until it is dropped.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    // In this order: the lock is free when others are woken.
    guard: std::sync::MutexGuard<'a, T>,
    lock: &'a Mutex<T>,
    _wakes: Wakes,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Wakes who waits for a lock in a simulation, when it is dropped.
#[derive(Debug)]
struct Wakes(Key);

impl Drop for Wakes {
    fn drop(&mut self) {
        if let Some(scheduler) = simulation() {
            scheduler.wake(self.0, false);
        }
    }
}

/// Lets threads wait until others say that something has changed.
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar(std::sync::Condvar::new())
    }

    /// Gives the lock up, waits until it is told of a change, and takes the lock again. May also return for no reason.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_until(guard, None)
    }

    /// As [`Condvar::wait`], for so long at most.
    pub fn wait_timeout<'a, T>(&self, guard: MutexGuard<'a, T>, patience: Duration) -> MutexGuard<'a, T> {
        self.wait_until(guard, Some(patience))
    }

    fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, patience: Option<Duration>) -> MutexGuard<'a, T> {
        let lock = guard.lock;
        if let Some(scheduler) = simulation() {
            // Nobody else runs between these two lines.
            drop(guard);
            let until = patience.and_then(|patience| now().checked_add(patience));
            scheduler.wait(Key::of(&self.0), until);
            return lock.lock();
        }
        let held = guard.guard;
        lock.guard(match patience {
            Some(patience) => self.0.wait_timeout(held, patience).unwrap_or_else(PoisonError::into_inner).0,
            None => self.0.wait(held).unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// Tells all who wait.
    pub fn notify_all(&self) {
        match simulation() {
            Some(scheduler) => scheduler.wake(Key::of(&self.0), true),
            None => self.0.notify_all(),
        }
    }
}

/// The end of a wait of this length; `None` if it lies beyond what a clock can tell.
pub(super) fn end_of(patience: Duration) -> Option<Instant> {
    now().checked_add(patience)
}
