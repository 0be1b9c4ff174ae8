//! Numbers pictures in the order in which they were taken, whatever the driver's numbering does.

use std::time::{Duration, Instant};

use crate::frame::Timestamp;

/// A larger gap is no loss of pictures but another numbering.
const MAX_GAP: u32 = 10_000;

/// Numbers go on over restarts of the stream; times never go back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    /// The last picture of this stream, as the driver has it.
    last: Option<Taken>,
    /// What the next picture is called at least.
    next: u64,
    clock: Option<Clock>,
    time: Duration,
}

/// When the driver took a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub sequence: u32,
    /// On the monotonic clock; `None` if the driver uses another one, or none.
    pub timestamp: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    /// The first picture's time as the driver has it.
    driver: Option<Duration>,
    own: Instant,
}

/// What a buffer's number and time say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A newer picture; `missed` were lost before it.
    Next { number: u64, timestamp: Timestamp, missed: u64 },
    /// Not newer than what was given before: it must not be shown after it.
    Past,
}

impl Order {
    /// Another stream begins: the driver numbers as it likes.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// Takes in a buffer's number and time.
    pub fn place(&mut self, taken: Taken, now: Instant) -> Place {
        let missed = match self.last {
            None => 0,
            Some(last) => {
                let step = taken.sequence.wrapping_sub(last.sequence);
                let ahead = step != 0 && step <= u32::MAX / 2;
                let later = match (last.timestamp, taken.timestamp) {
                    (Some(last), Some(taken)) if taken < last => return Place::Past,
                    (Some(last), Some(taken)) => Some(taken > last),
                    _ => None,
                };
                match (ahead, later) {
                    (true, _) if step <= MAX_GAP => u64::from(step - 1),
                    (true, _) => 0,
                    // A driver that begins anew, or that does not number at all.
                    (false, Some(true)) => 0,
                    (false, None) if step != 0 || taken.sequence == 0 => 0,
                    (false, _) => return Place::Past,
                }
            }
        };
        self.last = Some(taken);
        let number = self.next.saturating_add(missed);
        self.next = number.saturating_add(1);
        let clock = *self.clock.get_or_insert(Clock { driver: taken.timestamp, own: now });
        let since = match (taken.timestamp, clock.driver) {
            (Some(taken), Some(first)) => taken.saturating_sub(first),
            _ => now.saturating_duration_since(clock.own),
        };
        self.time = self.time.max(since);
        Place::Next { number, timestamp: Timestamp(self.time), missed }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(taken: &[(u32, Option<u64>)]) -> Vec<Option<(u64, u64)>> {
        let (mut order, now) = (Order::default(), Instant::now());
        let place = |&(sequence, time): &(u32, Option<u64>)| {
            let taken = Taken { sequence, timestamp: time.map(Duration::from_millis) };
            match order.place(taken, now) {
                Place::Next { number, missed, .. } => Some((number, missed)),
                Place::Past => None,
            }
        };
        taken.iter().map(place).collect()
    }

    #[test]
    fn gaps_are_counted_and_the_past_is_refused() {
        let timed =
            [(7, Some(10)), (8, Some(20)), (8, Some(20)), (11, Some(50)), (9, Some(30)), (12, Some(40))];
        assert_eq!(run(&timed), [Some((0, 0)), Some((1, 0)), None, Some((4, 2)), None, None]);
        let wraps = [(u32::MAX - 1, Some(1)), (u32::MAX, Some(2)), (1, Some(3))];
        assert_eq!(run(&wraps), [Some((0, 0)), Some((1, 0)), Some((3, 1))]);
        let anew = [(500, Some(1)), (0, Some(2)), (1, Some(3))];
        assert_eq!(run(&anew), [Some((0, 0)), Some((1, 0)), Some((2, 0))]);
        let leap = [(0, Some(1)), (1 << 30, Some(2))];
        assert_eq!(run(&leap), [Some((0, 0)), Some((1, 0))]);
    }

    #[test]
    fn drivers_without_a_clock_or_numbers_still_give_pictures() {
        assert_eq!(run(&[(0, None), (0, None), (0, None)]), [Some((0, 0)), Some((1, 0)), Some((2, 0))]);
        assert_eq!(
            run(&[(4, None), (4, None), (5, None), (2, None)]),
            [Some((0, 0)), None, Some((1, 0)), Some((2, 0))]
        );
        assert_eq!(run(&[(3, Some(1)), (3, Some(2))]), [Some((0, 0)), Some((1, 0))]);
    }

    #[test]
    fn numbers_go_on_over_restarts() {
        let (mut order, now) = (Order::default(), Instant::now());
        let taken = |sequence, millis| Taken { sequence, timestamp: Some(Duration::from_millis(millis)) };
        for number in 0..5 {
            order.place(taken(number, 100 + 40 * u64::from(number)), now);
        }
        order.restart();
        let time = Timestamp(Duration::from_millis(900));
        assert_eq!(order.place(taken(0, 1000), now), Place::Next { number: 5, timestamp: time, missed: 0 });
    }

    proptest! {
        #[test]
        fn numbers_rise_and_times_never_fall(
            taken in prop::collection::vec((any::<u32>(), prop::option::of(0u64..50), any::<bool>()), 0..60),
        ) {
            let (mut order, start) = (Order::default(), Instant::now());
            let (mut number_before, mut time_before) = (None, Duration::ZERO);
            for (index, (sequence, time, restart)) in taken.into_iter().enumerate() {
                if restart {
                    order.restart();
                }
                let taken = Taken { sequence, timestamp: time.map(Duration::from_millis) };
                let now = start + Duration::from_millis(index as u64);
                if let Place::Next { number, timestamp, missed } = order.place(taken, now) {
                    prop_assert!(number_before.is_none_or(|before| number > before));
                    prop_assert!(missed < u64::from(MAX_GAP) && timestamp.0 >= time_before);
                    (number_before, time_before) = (Some(number), timestamp.0);
                }
            }
        }
    }
}
