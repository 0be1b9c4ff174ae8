//! Numbers pictures in the order in which they were taken, whatever the driver's numbering does.

use std::time::{Duration, Instant};

use crate::frame::Timestamp;

/// A larger gap is no loss of pictures but another numbering.
const MAX_GAP: u32 = 10_000;
/// A driver's clock that runs ahead of ours by more than this, from one picture to the next, is not to be believed.
const MAX_AHEAD: Duration = Duration::from_millis(500);
/// So many pictures in a row that are all older than the last one, but in order among themselves: it was the last one whose
/// time was wrong.
const MANY_PAST: u32 = 3;
/// A picture that waited in its buffer for this much longer than others do is not shown: the thread that fetches them was held up,
/// and a new one is on its way.
const TOO_LATE: Duration = Duration::from_millis(100);
/// So many queues of late pictures in a row cannot have waited, however often the thread was held up.
const MANY_QUEUES: usize = 4;
/// A picture that waited for less counts as just taken.
const LATE: Duration = Duration::from_millis(20);
/// Of what a picture waited longer, so much is left at the next one: clocks that drift part in time.
const STAYS_LATE: f64 = 0.98;
/// A picture that is older by its time has another clock's.
const BELIEVED: Duration = Duration::from_secs(5);

/// Numbers go on over restarts of the stream; times never go back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    /// The last picture of this stream, as the driver has it, and when it came.
    last: Option<(Taken, Instant)>,
    /// The last picture that was refused, and how many were in a row.
    refused: Option<(Taken, u32)>,
    /// What the next picture is called at least.
    next: u64,
    clock: Option<Clock>,
    time: Duration,
    /// How much longer the last picture waited in its buffer than one that is fetched at once.
    waited: Duration,
    /// The monotonic clock now, if somebody has told.
    monotonic: Option<Duration>,
    /// For how long the thread that fetches pictures was held up before this one.
    held_up: Duration,
    /// How long after it was taken a picture comes that is fetched at once, by its time; over all streams.
    usual: Option<Duration>,
    /// Late ones in a row. After the most that there may be it is the driver's clock that is wrong, and it is not believed about
    /// waiting until another stream begins.
    late: u32,
    most_late: u32,
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
    /// A newer picture; `missed` were lost before it, and it waited in its buffer for so long after it was taken.
    Next { number: u64, timestamp: Timestamp, missed: u64, waited: Duration },
    /// A newer picture that waited for too long; `missed` were lost before it.
    Late { missed: u64 },
    /// Not newer than what was given before: it must not be shown after it.
    Past,
}

impl Order {
    /// Another stream begins, with so many buffers: the driver numbers as it likes.
    pub fn restart(&mut self, buffers: usize) {
        (self.last, self.refused) = (None, None);
        (self.waited, self.late, self.most_late) = (Duration::ZERO, 0, (MANY_QUEUES * buffers) as u32);
    }

    /// Takes in what the monotonic clock says: a stream's first picture, too, may have waited in its buffer. And for how long the thread that
    /// fetches pictures was held up: where the driver's times tell nothing, what it then finds may have waited for so long.
    pub fn now_is(&mut self, monotonic: Duration, held_up: Duration) {
        (self.monotonic, self.held_up) = (Some(monotonic), held_up);
    }

    /// How long ago a picture was taken, by its time; `None` if that cannot be.
    fn since(&self, taken: Taken) -> Option<Duration> {
        let since = self.monotonic?.checked_sub(taken.timestamp?)?;
        (since < BELIEVED).then_some(since)
    }

    /// Takes in a buffer's number and time.
    pub fn place(&mut self, mut taken: Taken, now: Instant) -> Place {
        if let (Some((last, came)), Some(time)) = (self.last, taken.timestamp)
            && let Some(before) = last.timestamp
            && time.saturating_sub(before) > now.saturating_duration_since(came) + MAX_AHEAD
        {
            // Stamped in the future: believed, it would make every later picture an old one.
            taken.timestamp = None;
        }
        let missed = match self.last.map(|(last, _)| step(last, taken)) {
            None => 0,
            Some(Step::Ahead(missed)) => missed,
            Some(Step::Past) if self.refuse(taken) => return Place::Past,
            Some(Step::Past) => 0,
        };
        self.refused = None;
        self.waited = self.wait_of(taken, now);
        self.last = Some((taken, now));
        let number = self.next.saturating_add(missed);
        self.next = number.saturating_add(1);
        let clock = *self.clock.get_or_insert(Clock { driver: taken.timestamp, own: now });
        let since = match (taken.timestamp, clock.driver) {
            (Some(taken), Some(first)) => taken.saturating_sub(first),
            _ => now.saturating_duration_since(clock.own),
        };
        self.time = self.time.max(since);
        if self.waited > TOO_LATE && self.late < self.most_late {
            self.late += 1;
            return Place::Late { missed };
        }
        if self.waited > TOO_LATE {
            (self.waited, self.most_late) = (Duration::ZERO, 0);
        }
        self.late = 0;
        if let Some(since) = self.since(taken).filter(|_| self.waited <= LATE) {
            self.usual = Some(self.usual.map_or(since, |usual| usual.min(since)));
        }
        let waited = if self.waited > LATE { self.waited } else { Duration::ZERO };
        Place::Next { number, timestamp: Timestamp(self.time), missed, waited }
    }

    /// For how much longer than others a picture waited, from its time and the last one's.
    fn wait_of(&self, taken: Taken, now: Instant) -> Duration {
        let Some((last, came)) = self.last else {
            let waited = self.since(taken).zip(self.usual).map(|(since, usual)| since.saturating_sub(usual));
            return waited.filter(|_| self.most_late > 0).unwrap_or(self.held_up);
        };
        let (Some(before), Some(time)) = (last.timestamp, taken.timestamp) else { return self.held_up };
        // A clock that stands still tells nothing.
        if time == before || self.most_late == 0 {
            return self.held_up;
        }
        let stays = if self.late == 0 { STAYS_LATE } else { 1.0 };
        let waited = self.waited.mul_f64(stays) + now.saturating_duration_since(came);
        waited.saturating_sub(time.saturating_sub(before))
    }

    /// Whether a picture that looks old is to be refused: not once several have come that follow one another.
    fn refuse(&mut self, taken: Taken) -> bool {
        let follows = |before: Taken| {
            matches!(step(before, taken), Step::Ahead(_)) && before.timestamp < taken.timestamp
        };
        let count = match self.refused {
            Some((before, count)) if follows(before) => count + 1,
            _ => 1,
        };
        self.refused = Some((taken, count));
        count < MANY_PAST
    }
}

enum Step {
    /// Newer; so many were lost between the two.
    Ahead(u64),
    Past,
}

/// From one picture to the one that came next.
fn step(last: Taken, taken: Taken) -> Step {
    let step = taken.sequence.wrapping_sub(last.sequence);
    let ahead = step != 0 && step <= u32::MAX / 2;
    let later = match (last.timestamp, taken.timestamp) {
        (Some(last), Some(taken)) if taken < last => return Step::Past,
        (Some(last), Some(taken)) => Some(taken > last),
        _ => None,
    };
    match (ahead, later) {
        (true, _) if step <= MAX_GAP => Step::Ahead(u64::from(step - 1)),
        (true, _) => Step::Ahead(0),
        // A driver that begins anew, or that does not number at all.
        (false, Some(true)) => Step::Ahead(0),
        (false, None) if step != 0 || taken.sequence == 0 => Step::Ahead(0),
        (false, _) => Step::Past,
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
                Place::Past | Place::Late { .. } => None,
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

    /// Without times that tell anything, what is found after the thread was held up is not shown, and what comes then is.
    #[test]
    fn a_picture_without_a_time_is_old_where_the_thread_was_held_up() {
        for stamp in [None, Some(Duration::from_secs(1))] {
            let (mut order, start) = (Order::default(), Instant::now());
            order.restart(4);
            let ms = Duration::from_millis;
            let mut place = |sequence, at_ms, held_up_ms| {
                order.now_is(ms(1_000_000 + at_ms), ms(held_up_ms));
                order.place(Taken { sequence, timestamp: stamp }, start + ms(at_ms))
            };
            let is_new = |placed| matches!(placed, Place::Next { waited: Duration::ZERO, .. });
            assert!(is_new(place(0, 0, 0)) && is_new(place(1, 16, 0)));
            for sequence in 2..5 {
                assert!(matches!(place(sequence, 500, 469), Place::Late { .. }), "{stamp:?}");
            }
            assert!(is_new(place(5, 516, 0)), "{stamp:?}");
        }
    }

    /// A thread that is held up as a stream begins anew is held up like any: what it finds in the first buffer is old.
    #[test]
    fn the_first_picture_of_another_stream_may_have_waited() {
        let (mut order, start) = (Order::default(), Instant::now());
        let ms = Duration::from_millis;
        let place = |order: &mut Order, sequence, taken_ms, at_ms| {
            order.now_is(ms(1000 + at_ms), Duration::ZERO);
            order.place(Taken { sequence, timestamp: Some(ms(1000 + taken_ms)) }, start + ms(at_ms))
        };
        order.restart(4);
        for number in 0..10 {
            let placed = place(&mut order, number as u32, 16 * number, 16 * number + 3);
            assert!(matches!(placed, Place::Next { waited: Duration::ZERO, .. }), "{placed:?}");
        }
        order.restart(4);
        assert!(matches!(place(&mut order, 0, 200, 520), Place::Late { .. }));
        assert!(matches!(place(&mut order, 1, 216, 520), Place::Late { .. }));
        let placed = place(&mut order, 2, 520, 523);
        assert!(matches!(placed, Place::Next { waited: Duration::ZERO, .. }), "{placed:?}");
        // As soon as it begins.
        order.restart(4);
        let placed = place(&mut order, 0, 600, 604);
        assert!(matches!(placed, Place::Next { waited: Duration::ZERO, .. }), "{placed:?}");
        // By another clock, which nobody can compare.
        order.restart(4);
        let placed = place(&mut order, 0, 600, 60_000);
        assert!(matches!(placed, Place::Next { waited: Duration::ZERO, .. }), "{placed:?}");
    }

    #[test]
    fn a_picture_stamped_in_the_future_does_not_block_those_after_it() {
        let (mut order, start) = (Order::default(), Instant::now());
        let mut place = |sequence, stamp_ms, at_ms| {
            let taken = Taken { sequence, timestamp: Some(Duration::from_millis(stamp_ms)) };
            match order.place(taken, start + Duration::from_millis(at_ms)) {
                Place::Next { number, .. } => Some(number),
                Place::Past | Place::Late { .. } => None,
            }
        };
        assert_eq!(place(0, 1000, 0), Some(0));
        assert_eq!(place(1, 9000, 16), Some(1), "eight seconds ahead of its time");
        assert_eq!(place(2, 1032, 32), Some(2));
        assert_eq!(place(3, 1048, 48), Some(3));
    }

    /// What a thread finds that was held up: pictures as old as its absence, then new ones.
    #[test]
    fn pictures_that_waited_too_long_are_passed_over_and_others_know_how_long() {
        let ms = Duration::from_millis;
        let (mut order, start) = (Order::default(), Instant::now());
        order.restart(4);
        let mut place = |sequence: u32, taken_ms: u64, at_ms: u64| {
            order.place(Taken { sequence, timestamp: Some(ms(taken_ms)) }, start + ms(at_ms))
        };
        let waited = |place: Place| match place {
            Place::Next { waited, .. } => Some(waited),
            _ => None,
        };
        for number in 0..50 {
            let at = 20 * u64::from(number);
            assert_eq!(waited(place(number, 5000 + at, at + 3 * (at % 3))), Some(ms(0)), "{number}");
        }
        // 400 ms later: four buffers were filled meanwhile, then there was no other.
        for (number, taken) in [(50, 6000), (51, 6020), (52, 6040), (53, 6060)] {
            assert_eq!(place(number, taken, 1400), Place::Late { missed: 0 });
        }
        // Then one that was taken 60 ms ago, and others at once.
        let late = waited(place(70, 6350, 1410)).unwrap();
        assert!((ms(50)..ms(70)).contains(&late), "{late:?}");
        assert_eq!(waited(place(71, 6420, 1420)), Some(ms(0)));
    }

    #[test]
    fn a_driver_whose_clock_is_wrong_costs_a_few_queues_of_pictures_once() {
        const BUFFERS: usize = 6;
        // Pictures that are not given, of a thousand that come every 20 ms, stamped by what is given the picture's time.
        let lost = |stamp: &dyn Fn(f64) -> f64| {
            let (mut order, start) = (Order::default(), Instant::now());
            order.restart(BUFFERS);
            let lost = (0..1000u32).filter(|&number| {
                let at = 20.0 * f64::from(number);
                let timestamp = Some(Duration::from_secs_f64(1.0 + stamp(at) / 1000.0));
                let now = start + Duration::from_secs_f64(at / 1000.0);
                !matches!(order.place(Taken { sequence: number, timestamp }, now), Place::Next { .. })
            });
            lost.count()
        };
        assert_eq!(lost(&|at| at), 0);
        assert_eq!(lost(&|at| 0.983 * at), 0, "a second a minute: far more than any clock does");
        assert_eq!(lost(&|_| 7.0), 0, "a clock that stands still");
        assert!(lost(&|at| 0.5 * at) <= MANY_QUEUES * BUFFERS, "a clock of half the speed");
        assert!(lost(&|at| at / 1000.0) <= MANY_QUEUES * BUFFERS, "a clock in another unit");
        let behind = |at: f64| if at < 2000.0 { at } else { (at - 500.0).max(1981.0 + at / 1000.0) };
        assert!(
            lost(&behind) <= MANY_QUEUES * BUFFERS,
            "half a second behind from one picture to the next, and rising"
        );
    }

    #[test]
    fn a_first_picture_stamped_in_the_future_blocks_two_at_most() {
        let taken = [(0, Some(9000)), (1, Some(1016)), (2, Some(1032)), (3, Some(1048)), (4, Some(1064))];
        assert_eq!(run(&taken), [Some((0, 0)), None, None, Some((1, 0)), Some((2, 0))]);
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
        order.restart(4);
        let time = Timestamp(Duration::from_millis(900));
        let place = Place::Next { number: 5, timestamp: time, missed: 0, waited: Duration::ZERO };
        assert_eq!(order.place(taken(0, 1000), now), place);
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
                    order.restart(4);
                }
                let taken = Taken { sequence, timestamp: time.map(Duration::from_millis) };
                let now = start + Duration::from_millis(index as u64);
                if let Place::Next { number, timestamp, missed, .. } = order.place(taken, now) {
                    prop_assert!(number_before.is_none_or(|before| number > before));
                    prop_assert!(missed < u64::from(MAX_GAP) && timestamp.0 >= time_before);
                    (number_before, time_before) = (Some(number), timestamp.0);
                }
            }
        }
    }
}
