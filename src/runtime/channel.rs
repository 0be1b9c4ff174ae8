//! Queues from any number of threads to one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::sync::{Condvar, Mutex, end_of};

/// Two ends of a queue without limit.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(Queue {
        state: Mutex::new(State { waiting: VecDeque::new(), senders: 1, has_receiver: true }),
        changed: Condvar::new(),
    });
    (Sender(queue.clone()), Receiver(queue))
}

#[derive(Debug)]
struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    senders: usize,
    has_receiver: bool,
}

/// The end that takes things in.
#[derive(Debug)]
pub struct Sender<T>(Arc<Queue<T>>);

/// The end that gives them out.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Queue<T>>);

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// There is nothing yet.
    Yet,
    /// All senders are gone, and what they sent was received.
    Ever,
}

impl<T> Sender<T> {
    /// Never waits.
    ///
    /// # Errors
    /// The value, if the receiver is gone.
    pub fn send(&self, value: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        if !state.has_receiver {
            drop(state);
            return Err(value);
        }
        state.waiting.push_back(value);
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state.lock().senders -= 1;
        self.0.changed.notify_all();
    }
}

impl<T> Receiver<T> {
    /// Never waits.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn try_recv(&self) -> Result<T, Nothing> {
        self.0.state.lock().take()
    }

    /// Waits for so long at most.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn recv_timeout(&self, patience: Duration) -> Result<T, Nothing> {
        let end = end_of(patience);
        let mut state = self.0.state.lock();
        loop {
            let taken = state.take();
            if !matches!(taken, Err(Nothing::Yet)) {
                return taken;
            }
            let left = end.map_or(patience, |end| end.saturating_duration_since(super::now()));
            if left.is_zero() {
                return taken;
            }
            state = self.0.changed.wait_timeout(state, left);
        }
    }

    /// Waits until there is something; `None` if all senders are gone.
    pub fn recv(&self) -> Option<T> {
        let mut state = self.0.state.lock();
        loop {
            match state.take() {
                Ok(value) => return Some(value),
                Err(Nothing::Ever) => return None,
                Err(Nothing::Yet) => state = self.0.changed.wait(state),
            }
        }
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Result<T, Nothing> {
        let nothing = if self.senders == 0 { Nothing::Ever } else { Nothing::Yet };
        self.waiting.pop_front().ok_or(nothing)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.has_receiver = false;
        let unread = std::mem::take(&mut state.waiting);
        drop(state);
        // What was sent may have a lock of its own to take.
        drop(unread);
    }
}
