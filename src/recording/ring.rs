//! The last seconds of coded pictures in memory: what a recording begins with, and what a slow disk has not taken yet.
//!
//! One block of memory, taken once: the newest pictures displace the oldest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::runtime;
use crate::runtime::sync::{Condvar, Mutex};

/// What is coded of one picture, in the order in which it lies in memory: the bare picture, the outlined one, a line that tells what was
/// drawn.
pub const PARTS: usize = 3;

/// What is known of a picture besides its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// When it was captured.
    pub at: Instant,
    /// When it was shown.
    pub clock: SystemTime,
    /// Another one for each source, and each time that a camera comes back: another patient may have come.
    pub epoch: u64,
    /// The number of its frame.
    pub frame: u64,
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// What lay outside the endoscope's picture could be told from it, and was made black.
    pub is_black_outside: bool,
}

/// A picture as it is read from the ring. Its memory is used again.
#[derive(Debug, Default)]
pub struct Taken {
    /// `None` before the first.
    pub about: Option<About>,
    /// Counts pictures from 1 on; those that are missing were displaced before they were read.
    pub number: u64,
    parts: [Vec<u8>; PARTS],
}

impl Taken {
    /// Empty where it was not wanted.
    pub fn part(&self, index: usize) -> &[u8] {
        self.parts.get(index).map_or(&[], Vec::as_slice)
    }
}

/// Filled by one thread, read by another.
#[derive(Default)]
pub struct Ring {
    inner: Mutex<Inner>,
    changed: Condvar,
    is_wanted: AtomicBool,
    epoch: AtomicU64,
}

#[derive(Default)]
struct Inner {
    memory: Vec<u8>,
    /// Oldest first.
    pictures: VecDeque<Place>,
    /// Where the next one goes.
    end: usize,
    /// Pictures so far.
    count: u64,
    /// Somebody waits no longer.
    is_called: bool,
}

/// Where a picture lies.
struct Place {
    about: About,
    number: u64,
    start: usize,
    lengths: [usize; PARTS],
}

impl Place {
    fn bytes(&self) -> usize {
        self.lengths.iter().sum()
    }
}

impl Ring {
    /// Gives the ring so much memory, if it has another amount; what it holds is then lost. The system gives memory only as it is used.
    pub fn set_bytes(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        if inner.memory.len() != bytes {
            inner.pictures.clear();
            inner.end = 0;
            inner.memory = vec![0; bytes];
        }
    }

    /// Adds a picture; whether there is room for it at all.
    pub fn put(&self, about: About, parts: [&[u8]; PARTS]) -> bool {
        let mut inner = self.inner.lock();
        let is_there = inner.put(about, parts);
        drop(inner);
        self.changed.notify_all();
        is_there
    }

    /// Reads the first picture with a number above `after`; waits for it until `patience` is over or somebody [calls](Ring::call).
    pub fn take(&self, after: u64, patience: Duration, taken: &mut Taken) -> bool {
        let end = runtime::now() + patience;
        let mut inner = self.inner.lock();
        loop {
            if inner.read(after, taken) {
                return true;
            }
            let left = end.saturating_duration_since(runtime::now());
            if left.is_zero() || std::mem::take(&mut inner.is_called) {
                return false;
            }
            inner = self.changed.wait_timeout(inner, left);
        }
    }

    /// The source is another one from now on, or the camera is away: what was seen before may be another patient.
    pub fn set_epoch(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// The number below that of the first picture that is not older than `before`, of the source that there is; the newest picture's if there
    /// is none.
    pub fn before(&self, before: Duration) -> u64 {
        let inner = self.inner.lock();
        let (epoch, now) = (self.epoch.load(Ordering::Relaxed), runtime::now());
        let belongs = |place: &&Place| {
            place.about.epoch == epoch && now.saturating_duration_since(place.about.at) <= before
        };
        inner.pictures.iter().find(belongs).map_or(inner.count, |place| place.number - 1)
    }

    /// The newest picture's number.
    pub fn newest(&self) -> u64 {
        self.inner.lock().count
    }

    /// Lets go whoever waits for a picture.
    pub fn call(&self) {
        self.inner.lock().is_called = true;
        self.changed.notify_all();
    }

    /// Whether somebody is recording.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Somebody is recording, or nobody is any longer.
    pub fn set_wanted(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// Forgets all pictures.
    pub fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.pictures.clear();
        inner.end = 0;
    }
}

impl Inner {
    fn put(&mut self, about: About, parts: [&[u8]; PARTS]) -> bool {
        let lengths = parts.map(<[u8]>::len);
        let length: usize = lengths.iter().sum();
        if length > self.memory.len() {
            return false;
        }
        let mut start = self.end;
        if start + length > self.memory.len() {
            // What lies beyond is given up, so that a picture's bytes are never torn.
            self.displace(start, self.memory.len());
            start = 0;
        }
        self.displace(start, start + length);
        let mut at = start;
        for part in parts {
            if let Some(place) = self.memory.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
            at += part.len();
        }
        self.end = at;
        self.count += 1;
        self.pictures.push_back(Place { about, number: self.count, start, lengths });
        true
    }

    /// Removes the oldest pictures until none has bytes there.
    fn displace(&mut self, start: usize, end: usize) {
        let overlaps = |place: &Place| place.start < end && start < place.start + place.bytes();
        while self.pictures.iter().any(overlaps) {
            self.pictures.pop_front();
        }
    }

    fn read(&self, after: u64, taken: &mut Taken) -> bool {
        let index = self.pictures.partition_point(|place| place.number <= after);
        let Some(place) = self.pictures.get(index) else { return false };
        (taken.about, taken.number) = (Some(place.about), place.number);
        let mut at = place.start;
        for (part, length) in taken.parts.iter_mut().zip(place.lengths) {
            part.clear();
            part.extend_from_slice(self.memory.get(at..at + length).unwrap_or_default());
            at += length;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(epoch: u64, frame: u64) -> About {
        About {
            at: runtime::now(),
            clock: runtime::wall_clock(),
            epoch,
            frame,
            size: (16, 16),
            is_black_outside: true,
        }
    }

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn what_is_read_is_what_was_put_however_often_it_goes_round() {
        let (ring, mut taken) = (Ring::default(), Taken::default());
        ring.set_bytes(1000);
        let mut state = 1u32;
        let mut last = 0;
        for frame in 0..2000u64 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let lengths = [state >> 8, state >> 16, state >> 24].map(|length| length as usize % 90);
            let parts = lengths.map(|length| vec![frame as u8; length]);
            assert!(ring.put(about(1, frame), [&parts[0], &parts[1], &parts[2]]));
            // Now and then a reader falls behind.
            while frame % 37 > 20 && ring.take(last, NOW, &mut taken) {
                assert!(taken.number > last, "numbers only grow");
                last = taken.number;
                let wanted = taken.about.unwrap().frame as u8;
                for part in 0..PARTS {
                    assert!(taken.part(part).iter().all(|&byte| byte == wanted));
                }
                assert_eq!(taken.about.unwrap().frame + 1, taken.number);
            }
        }
        assert!(last > 1900, "{last}");
    }

    #[test]
    fn the_newest_displace_the_oldest_and_what_is_too_large_is_left_out() {
        let (ring, mut taken) = (Ring::default(), Taken::default());
        ring.set_bytes(100);
        for frame in 0..5 {
            assert!(ring.put(about(1, frame), [&[0; 20], &[0; 10], &[0; 5]]));
        }
        assert!(!ring.put(about(1, 5), [&[0; 90], &[0; 11], &[]]), "larger than all memory");
        assert!(ring.take(0, NOW, &mut taken));
        assert_eq!((taken.number, ring.newest()), (4, 5), "two fit");
        assert_eq!((taken.part(0).len(), taken.part(1).len(), taken.part(2).len()), (20, 10, 5));
        assert!(taken.part(3).is_empty());
        ring.set_bytes(200);
        assert!(!ring.take(0, NOW, &mut taken), "other memory holds nothing");
        assert!(!Ring::default().put(about(1, 0), [&[1], &[], &[]]), "no memory, no picture");
    }

    /// A recording never begins with what was seen before the camera went away: that may be another patient.
    #[test]
    fn what_was_before_belongs_to_the_newest_source() {
        let ring = Ring::default();
        ring.set_bytes(1000);
        assert_eq!(ring.before(Duration::from_secs(60)), 0);
        for (epoch, frame) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
            ring.set_epoch(epoch);
            ring.put(about(epoch, frame), [&[0], &[], &[]]);
        }
        assert_eq!(ring.before(Duration::from_secs(60)), 2);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(ring.before(Duration::ZERO), 4, "nothing is that new");
        // The camera is away, and no picture of another patient has come yet.
        ring.set_epoch(3);
        assert_eq!(ring.before(Duration::from_secs(60)), 4);
        ring.clear();
        assert_eq!(ring.before(Duration::from_secs(60)), 4);
    }

    #[test]
    fn who_waits_is_let_go_by_a_picture_or_a_call() {
        let ring = Ring::default();
        ring.set_bytes(10);
        std::thread::scope(|scope| {
            let waits = |after| {
                let ring = &ring;
                scope.spawn(move || ring.take(after, Duration::from_secs(60), &mut Taken::default()))
            };
            let reader = waits(0);
            ring.put(about(1, 0), [&[1], &[], &[]]);
            assert!(reader.join().unwrap());
            let reader = waits(1);
            ring.call();
            assert!(!reader.join().unwrap());
        });
    }
}
