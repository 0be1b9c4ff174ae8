//! The simulated camera.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use polyp_edge::capture::live::{Absence, Camera, Counts, DriverClock, Event, Lease, Stamp, Why};
use polyp_edge::frame::{Frame, Timestamp};
use polyp_edge::runtime;

use super::picture::{CELLS, SIZES, cell_of};
use super::world::{EXCHANGED_WITHIN, Given, RATE_HZ, World};

/// The camera.
pub struct WorldCamera {
    world: World,
    /// `None` before its first picture, and before the first since it was away.
    epoch: Option<u64>,
    next: Option<Instant>,
    attempts: u64,
    counts: Counts,
}

impl WorldCamera {
    /// A camera that has given nothing yet.
    pub fn new(world: &World) -> WorldCamera {
        let world = world.clone();
        WorldCamera { world, epoch: None, next: None, attempts: 0, counts: Counts::default() }
    }
}

impl Drop for WorldCamera {
    fn drop(&mut self) {
        // Another one may be taking its place.
        self.world.lock().picture_ill(EXCHANGED_WITHIN);
    }
}

impl Camera for WorldCamera {
    fn next(&mut self, patience: Duration, _: &mut Frame) -> Event {
        let now = runtime::now();
        let (hangs_until, absent, stalled) = {
            let mut world = self.world.lock();
            if std::mem::take(&mut world.capture_panics) {
                drop(world);
                self.world.capture_panicked();
                panic!("the capture thread was told to panic");
            }
            (world.hangs_until, world.is_absent(now), now < world.stalls_until)
        };
        if now < hangs_until {
            runtime::thread::sleep(hangs_until - now);
        }
        if absent {
            let left = self.world.lock().unplugged_until.saturating_duration_since(now);
            runtime::thread::sleep(patience.min(left));
            (self.epoch, self.next) = (None, None);
            self.attempts += 1;
            let detail = Arc::from("the camera is unplugged");
            return Event::Absent(Absence { why: Why::Unplugged, detail, attempts: self.attempts });
        }
        if stalled {
            runtime::thread::sleep(patience);
            self.next = None;
            return Event::Nothing;
        }
        let interval = Duration::from_secs_f64(1.0 / RATE_HZ);
        let due =
            self.next.map_or(now + interval, |next| next.max(now.checked_sub(interval).unwrap_or(next)));
        if due > now + patience {
            runtime::thread::sleep(patience);
            return Event::Nothing;
        }
        runtime::thread::sleep(due.saturating_duration_since(now));
        self.next = Some(due + interval);
        let mut world = self.world.lock();
        let epoch = *self.epoch.get_or_insert_with(|| {
            world.epoch += 1;
            world.epoch
        });
        let size = SIZES[world.size];
        let number = world.frames;
        world.frames += 1;
        let cell = cell_of(number, epoch);
        let buffer = world.buffers[world.size * CELLS * CELLS + cell].clone();
        // A display that gets no core keeps the picture that it is at.
        if buffer.leases.load(Ordering::Relaxed) > 0 && now >= world.manager.display_starved_until {
            world.breaks("a buffer of the camera was not given back");
        }
        let at = runtime::now();
        world.gave(Given { cell, at, epoch, size });
        self.counts.pictures += 1;
        let ahead = world.stamps_ahead.take().unwrap_or_default();
        let stamp = Stamp {
            sequence: number,
            timestamp: Timestamp(at.duration_since(world.begin)),
            since_taken: None,
            clock: DriverClock::Unknown,
            dequeued: at + ahead,
        };
        Event::Lent(Lease::new(buffer), stamp)
    }

    fn granted(&self) -> String {
        "a simulated camera".into()
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}
