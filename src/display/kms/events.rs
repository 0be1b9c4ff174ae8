//! The kernel's events on a card's file: which commits have reached the monitor, and when.

use crate::runtime;
use std::time::{Duration, Instant};

/// A flip's event: the serial number of its commit, and its time on the monotonic clock.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub serial: u64,
    pub time: Duration,
}

/// The flips among the kernel's events: each begins with its kind and its length; others are passed over.
pub fn events(mut bytes: &[u8]) -> impl Iterator<Item = Event> {
    std::iter::from_fn(move || {
        loop {
            let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
            let (kind, length) = (number(0)?, number(4)? as usize);
            let event = (|| {
                let serial = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
                let time =
                    Duration::from_secs(number(16)?.into()) + Duration::from_micros(number(20)?.into());
                Some(Event { serial, time })
            })();
            if length < 8 {
                return None;
            }
            bytes = bytes.get(length..)?;
            if kind == drm_ffi::DRM_EVENT_FLIP_COMPLETE && event.is_some() {
                return event;
            }
        }
    })
}

/// The monotonic clock as the kernel counts it and as the standard library does, at one moment.
pub struct Clocks {
    now: Instant,
    monotonic: Duration,
}

impl Clocks {
    pub fn read() -> Clocks {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: clock_gettime writes one timespec, to where this one lies.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        let seconds = if result == 0 { time.tv_sec as u64 } else { 0 };
        Clocks { now: runtime::now(), monotonic: Duration::new(seconds, time.tv_nsec as u32) }
    }

    /// A driver's time. Drivers predict when scan-out begins: a time may lie a little ahead. One that is impossible
    /// becomes that of reading.
    pub fn instant(&self, time: Duration) -> Instant {
        const PLAUSIBLE: Duration = Duration::from_secs(1);
        let ago = self.monotonic.checked_sub(time).filter(|ago| *ago < PLAUSIBLE);
        let ahead = time.checked_sub(self.monotonic).filter(|ahead| *ahead < Duration::from_millis(50));
        match (ago, ahead) {
            (Some(ago), _) => self.now.checked_sub(ago).unwrap_or(self.now),
            (None, Some(ahead)) => self.now + ahead,
            (None, None) => self.now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u32, length: u32, serial: u64, seconds: u32, micros: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [kind, length] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(serial.to_ne_bytes());
        for number in [seconds, micros, 0, 0] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn flips_are_read_and_other_events_are_passed_over() {
        let mut bytes = event(drm_ffi::DRM_EVENT_FLIP_COMPLETE, 32, 7, 3, 250_000);
        bytes.extend(event(drm_ffi::DRM_EVENT_VBLANK, 32, 8, 4, 0));
        bytes.extend(event(drm_ffi::DRM_EVENT_FLIP_COMPLETE, 32, 1 << 40, 5, 1));
        let read: Vec<Event> = events(&bytes).collect();
        let flip = |serial, micros| Event { serial, time: Duration::from_micros(micros) };
        assert_eq!(read, [flip(7, 3_250_000), flip(1 << 40, 5_000_001)]);
    }

    #[test]
    fn events_that_make_no_sense_end_the_reading() {
        let flip = event(drm_ffi::DRM_EVENT_FLIP_COMPLETE, 0, 7, 3, 0);
        assert_eq!(events(&flip).count(), 0);
        let flip = event(drm_ffi::DRM_EVENT_FLIP_COMPLETE, u32::MAX, 7, 3, 0);
        assert_eq!(events(&flip).count(), 0);
        let flip = event(drm_ffi::DRM_EVENT_FLIP_COMPLETE, 32, 7, 3, 0);
        for length in 0..flip.len() {
            assert_eq!(events(&flip[..length]).count(), 0);
        }
    }

    #[test]
    fn a_drivers_time_is_an_instant() {
        let clocks = Clocks::read();
        let second = Duration::from_secs(1);
        assert_eq!(clocks.instant(clocks.monotonic - second / 50), clocks.now - second / 50);
        assert_eq!(clocks.instant(clocks.monotonic + second / 100), clocks.now + second / 100);
        assert_eq!(clocks.instant(Duration::ZERO), clocks.now);
        assert_eq!(clocks.instant(clocks.monotonic + second), clocks.now);
    }
}
