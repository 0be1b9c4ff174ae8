//! A slot for one letter: who puts never waits, who takes gets the newest.

use crate::runtime;
use crate::runtime::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// What lies in a mailbox.
pub trait Letter {
    /// Called when the letter becomes a blank: lets go of what others need, keeps its memory.
    fn clear(&mut self) {}
}

/// Holds the newest `T` that has not been taken. Letters that were overwritten or given back are kept as blanks, so
/// that their memory is used again.
pub struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

struct Inner<T> {
    slot: Option<T>,
    blanks: Vec<T>,
    closed: bool,
    overwritten: u64,
}

/// Blanks that are kept: one being filled, one being read, one to spare.
const BLANKS: usize = 3;

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let blanks = Vec::with_capacity(BLANKS);
        Mailbox {
            inner: Mutex::new(Inner { slot: None, blanks, closed: false, overwritten: 0 }),
            changed: Condvar::new(),
        }
    }
}

impl<T: Letter> Mailbox<T> {
    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock()
    }

    /// A used letter to write on, if there is one.
    pub fn blank(&self) -> Option<T> {
        self.lock().blanks.pop()
    }

    /// Puts a letter in the slot, over one that was not taken.
    pub fn put(&self, letter: T) {
        let mut inner = self.lock();
        if let Some(old) = inner.slot.replace(letter) {
            inner.overwritten += 1;
            inner.keep(old);
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// Gives back what was taken.
    pub fn give_back(&self, letter: T) {
        self.lock().keep(letter);
    }

    /// The newest letter, if there is one.
    pub fn try_take(&self) -> Option<T> {
        self.lock().slot.take()
    }

    /// Waits for a letter until the time is over or the mailbox closed and empty.
    pub fn take(&self, patience: Duration) -> Option<T> {
        let end = runtime::now() + patience;
        let mut inner = self.lock();
        while inner.slot.is_none() && !inner.closed {
            let left = end.saturating_duration_since(runtime::now());
            if left.is_zero() {
                break;
            }
            inner = self.changed.wait_timeout(inner, left);
        }
        inner.slot.take()
    }

    /// Nothing more will be put; what is in the slot can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Closed, and nothing left to take.
    pub fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.closed && inner.slot.is_none()
    }

    pub fn overwritten(&self) -> u64 {
        self.lock().overwritten
    }
}

impl<T: Letter> Inner<T> {
    fn keep(&mut self, mut letter: T) {
        letter.clear();
        if self.blanks.len() < BLANKS {
            self.blanks.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Letter for i32 {}
    impl Letter for u8 {}
    impl Letter for std::sync::Arc<()> {
        fn clear(&mut self) {
            *self = Default::default();
        }
    }

    #[test]
    fn a_blank_holds_on_to_nothing() {
        let (mailbox, held) = (Mailbox::default(), std::sync::Arc::new(()));
        mailbox.put(held.clone());
        mailbox.put(held.clone());
        assert_eq!(std::sync::Arc::strong_count(&held), 2, "what was overwritten let go");
        if let Some(letter) = mailbox.try_take() {
            mailbox.give_back(letter);
        }
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }

    #[test]
    fn the_newest_letter_wins_and_the_old_one_is_a_blank() {
        let mailbox = Mailbox::default();
        mailbox.put(1);
        mailbox.put(2);
        assert_eq!((mailbox.try_take(), mailbox.try_take()), (Some(2), None));
        assert_eq!((mailbox.overwritten(), mailbox.blank(), mailbox.blank()), (1, Some(1), None));
    }

    #[test]
    fn a_closed_mailbox_gives_what_is_left_and_keeps_nobody_waiting() {
        let mailbox = Mailbox::default();
        mailbox.put(1);
        mailbox.close();
        assert!(!mailbox.is_over());
        assert_eq!(mailbox.take(Duration::from_secs(60)), Some(1));
        assert_eq!(mailbox.take(Duration::from_secs(60)), None);
        assert!(mailbox.is_over());
    }

    #[test]
    fn waiting_ends_with_the_time() {
        let mailbox = Mailbox::<u8>::default();
        assert_eq!(mailbox.take(Duration::from_millis(5)), None);
    }

    #[test]
    fn letters_arrive_in_another_thread() {
        let (there, back) = (Mailbox::default(), Mailbox::default());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(letter) = there.take(Duration::from_secs(10)) {
                    back.put(letter + 1);
                }
                back.close();
            });
            for letter in 0..100 {
                there.put(letter);
                assert_eq!(back.take(Duration::from_secs(10)), Some(letter + 1));
            }
            there.close();
        });
        assert!(back.is_over());
    }
}
