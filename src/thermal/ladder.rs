//! Steps against heat, with hysteresis: what is done less of as the machine gets hotter, and when it is done again.
//!
//! Hotter: a limit that two readings in a row have reached is acted on at once, over as many steps as they ask for, so that one
//! odd reading changes nothing. Cooler: one step at a time, each once the temperature has been below the limit less the
//! hysteresis for [`Limits::back_after`] without interruption. So two steps back are never closer than that, nor is a step back
//! after one on, and the ladder cannot flap faster.

use std::time::{Duration, Instant};

/// What no processor's sensor says; in °C.
const PLAUSIBLE_C: std::ops::RangeInclusive<f32> = -40.0..=150.0;
/// A board that says for so long that heat slows it down is not helped by fewer inferences alone.
const SLOWED_LONG: Duration = Duration::from_secs(30);
/// Without any reading for so long, nothing is known any more: the machine protects itself, as one without sensors does.
const BLIND_LONG: Duration = Duration::from_secs(120);

/// Whether a temperature can be one.
pub fn is_plausible(celsius: f32) -> bool {
    PLAUSIBLE_C.contains(&celsius)
}

/// What is done against heat; each step includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing.
    #[default]
    None,
    /// Fewer inferences a second.
    Fewer,
    /// And by the lighter model.
    Lite,
    /// No inference: assistance is off.
    Off,
}

impl Step {
    /// A word or two for machines.
    pub fn word(self) -> &'static str {
        match self {
            Step::None => "none",
            Step::Fewer => "fewer-inferences",
            Step::Lite => "lite-bundle",
            Step::Off => "assistance-off",
        }
    }

    /// Outlines are drawn, but for heat there would be more or better ones.
    pub fn is_reduced(self) -> bool {
        matches!(self, Step::Fewer | Step::Lite)
    }
}

/// At which temperatures which step begins and ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// In °C, as the next ones, which are higher.
    pub fewer_c: f32,
    /// `None`: there is no lighter model, and [`Step::Lite`] is left out.
    pub lite_c: Option<f32>,
    /// From here on assistance is off.
    pub off_c: f32,
    /// So many degrees below a step's limit, the step before it will do.
    pub hysteresis_c: f32,
    /// If it stays there for so long.
    pub back_after: Duration,
}

impl Limits {
    /// The highest step whose limit a temperature has reached.
    fn step_at(&self, celsius: f32) -> Step {
        match celsius {
            celsius if celsius >= self.off_c => Step::Off,
            celsius if self.lite_c.is_some_and(|limit| celsius >= limit) => Step::Lite,
            celsius if celsius >= self.fewer_c => Step::Fewer,
            _ => Step::None,
        }
    }

    /// In °C: below it, a step is left after a while. `None` for [`Step::None`].
    pub fn left_below(&self, step: Step) -> Option<f32> {
        let limit = match step {
            Step::None => None,
            Step::Fewer => Some(self.fewer_c),
            Step::Lite => self.lite_c,
            Step::Off => Some(self.off_c),
        };
        limit.map(|limit| limit - self.hysteresis_c)
    }

    fn before(&self, step: Step) -> Step {
        match step {
            Step::None | Step::Fewer => Step::None,
            Step::Off if self.lite_c.is_some() => Step::Lite,
            Step::Lite | Step::Off => Step::Fewer,
        }
    }
}

/// What is known at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// The hottest sensor, in °C; `None` if none can be read.
    pub celsius: Option<f32>,
    /// Whether the board says that heat slows it down; `None` if nothing tells.
    pub is_slowed: Option<bool>,
}

/// Why a step was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// The temperature.
    Celsius(f32),
    /// The board says that heat slows it down.
    Slowed,
    /// It no longer says so.
    NotSlowed,
    /// Nothing has been known for a long time.
    Blind,
    /// The lighter model is no longer there.
    NoLite,
}

/// A step that was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Before it.
    pub from: Step,
    /// From now on.
    pub to: Step,
    /// Its cause.
    pub why: Why,
}

/// Where the machine stands.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    step: Step,
    /// What the last sample asked for.
    asked: Step,
    /// Since when a lower step would do.
    cool_since: Option<Instant>,
    /// Since when the board says that heat slows it down.
    slowed_since: Option<Instant>,
    /// Since when nothing has been known.
    blind_since: Option<Instant>,
}

impl Ladder {
    /// What is done now.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Takes in what is known at `now`; to be called about once a second, also if nothing is. The limits may be other ones each
    /// time, and count at once.
    pub fn take(&mut self, sample: Sample, limits: &Limits, now: Instant) -> Option<Change> {
        let celsius = sample.celsius.filter(|&celsius| is_plausible(celsius));
        let since = |at: Instant| now.saturating_duration_since(at);
        let is_slowed = sample.is_slowed == Some(true);
        self.slowed_since = is_slowed.then(|| self.slowed_since.unwrap_or(now));
        let by_flags = match self.slowed_since {
            Some(at) if since(at) >= SLOWED_LONG && limits.lite_c.is_some() => Step::Lite,
            Some(_) => Step::Fewer,
            None => Step::None,
        };
        let by_heat = celsius.map_or(Step::None, |celsius| limits.step_at(celsius));
        let asked = by_heat.max(by_flags);
        let confirmed = asked.min(std::mem::replace(&mut self.asked, asked));
        let needed =
            celsius.map_or(Step::None, |celsius| limits.step_at(celsius + limits.hysteresis_c)).max(by_flags);
        let is_blind = celsius.is_none() && sample.is_slowed.is_none();
        self.blind_since = is_blind.then(|| self.blind_since.unwrap_or(now));
        let cause = match celsius {
            Some(celsius) => Why::Celsius(celsius),
            None => Why::NotSlowed,
        };
        if confirmed > self.step {
            let why = if by_heat >= confirmed { cause } else { Why::Slowed };
            return self.go(confirmed, why);
        }
        if self.step == Step::Lite && limits.lite_c.is_none() {
            return self.go(Step::Fewer, Why::NoLite);
        }
        if let Some(at) = self.blind_since {
            self.cool_since = None;
            if self.step > Step::Fewer && since(at) >= BLIND_LONG {
                return self.go(Step::Fewer, Why::Blind);
            }
            return None;
        }
        if needed >= self.step {
            self.cool_since = None;
            return None;
        }
        let cool_since = *self.cool_since.get_or_insert(now);
        if since(cool_since) < limits.back_after {
            return None;
        }
        let change = self.go(limits.before(self.step), cause);
        self.cool_since = Some(now);
        change
    }

    fn go(&mut self, to: Step, why: Why) -> Option<Change> {
        self.cool_since = None;
        let from = std::mem::replace(&mut self.step, to);
        Some(Change { from, to, why })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: Limits = Limits {
        fewer_c: 78.0,
        lite_c: Some(81.0),
        off_c: 84.0,
        hysteresis_c: 4.0,
        back_after: Duration::from_secs(60),
    };

    fn at(celsius: f32) -> Sample {
        Sample { celsius: Some(celsius), is_slowed: None }
    }

    /// A sample a second; the seconds and steps of what changed.
    fn run(ladder: &mut Ladder, limits: &Limits, samples: &[Sample]) -> Vec<(usize, Step)> {
        let begin = Instant::now();
        let steps = samples.iter().enumerate().filter_map(|(second, sample)| {
            let change = ladder.take(*sample, limits, begin + SECOND * second as u32)?;
            assert_eq!(change.to, ladder.step());
            assert_ne!(change.from, change.to);
            Some((second, change.to))
        });
        steps.collect()
    }

    #[test]
    fn it_goes_up_with_the_heat_and_back_one_step_at_a_time() {
        let rising = (0..40).map(|second| at(70.0 + second as f32 / 2.0));
        let cooling = std::iter::repeat_n(at(79.9), 60 + 300);
        let cool = std::iter::repeat_n(at(60.0), 300);
        let samples: Vec<Sample> = rising.chain(cooling).chain(cool).collect();
        let steps = run(&mut Ladder::default(), &LIMITS, &samples);
        assert_eq!(
            steps,
            [
                // Each limit was reached a second before.
                (17, Step::Fewer),
                (23, Step::Lite),
                (29, Step::Off),
                // 79.9 is below 84 less 4, and above 81 less 4.
                (40 + 60, Step::Lite),
                (400 + 60, Step::Fewer),
                (400 + 120, Step::None),
            ]
        );
    }

    #[test]
    fn a_jump_over_the_last_limit_is_acted_on_with_the_second_reading() {
        let samples = [at(50.0), at(95.0), at(95.0)];
        assert_eq!(run(&mut Ladder::default(), &LIMITS, &samples), [(2, Step::Off)]);
    }

    #[test]
    fn without_a_lighter_model_its_step_is_left_out_both_ways() {
        let limits = Limits { lite_c: None, ..LIMITS };
        let hot = [82.0, 82.0, 82.0, 85.0, 85.0].map(at);
        let samples: Vec<Sample> = hot.into_iter().chain(std::iter::repeat_n(at(50.0), 200)).collect();
        let steps = run(&mut Ladder::default(), &limits, &samples);
        assert_eq!(steps, [(1, Step::Fewer), (4, Step::Off), (65, Step::Fewer), (125, Step::None)]);
    }

    #[test]
    fn a_lighter_model_that_goes_away_leaves_fewer_inferences() {
        let (mut ladder, begin) = (Ladder::default(), Instant::now());
        for second in 0..3 {
            ladder.take(at(82.0), &LIMITS, begin + SECOND * second);
        }
        assert_eq!(ladder.step(), Step::Lite);
        let limits = Limits { lite_c: None, ..LIMITS };
        let change = ladder.take(at(82.0), &limits, begin + 3 * SECOND).unwrap();
        assert_eq!((change.to, change.why), (Step::Fewer, Why::NoLite));
        assert_eq!(ladder.take(at(82.0), &limits, begin + 4 * SECOND), None);
    }

    #[test]
    fn a_board_that_slows_itself_down_is_relieved_but_never_switched_off() {
        let slowed = Sample { celsius: None, is_slowed: Some(true) };
        let well = Sample { celsius: None, is_slowed: Some(false) };
        let samples: Vec<Sample> =
            std::iter::repeat_n(slowed, 300).chain(std::iter::repeat_n(well, 200)).collect();
        let steps = run(&mut Ladder::default(), &LIMITS, &samples);
        assert_eq!(steps, [(1, Step::Fewer), (31, Step::Lite), (360, Step::Fewer), (420, Step::None)]);
    }

    #[test]
    fn a_ladder_that_sees_nothing_stays_for_a_while_and_then_lets_the_machine_look_after_itself() {
        let mut samples = vec![at(90.0); 2];
        samples.extend([Sample::default(); 400]);
        assert_eq!(run(&mut Ladder::default(), &LIMITS, &samples), [(1, Step::Off), (122, Step::Fewer)]);
        // One that has never seen anything does nothing.
        assert_eq!(run(&mut Ladder::default(), &LIMITS, &[Sample::default(); 1000]), []);
        // Seen again, it goes on as ever.
        let mut samples = vec![at(82.0); 2];
        samples.extend([Sample::default(); 60]);
        samples.extend([at(50.0); 130]);
        let steps = run(&mut Ladder::default(), &LIMITS, &samples);
        assert_eq!(steps, [(1, Step::Lite), (122, Step::Fewer), (182, Step::None)]);
    }

    #[test]
    fn other_limits_count_at_once() {
        let (mut ladder, begin) = (Ladder::default(), Instant::now());
        ladder.take(at(75.0), &LIMITS, begin);
        ladder.take(at(75.0), &LIMITS, begin + SECOND);
        assert_eq!(ladder.step(), Step::None);
        let lower = Limits { fewer_c: 60.0, lite_c: Some(65.0), off_c: 70.0, ..LIMITS };
        ladder.take(at(75.0), &lower, begin + 2 * SECOND);
        ladder.take(at(75.0), &lower, begin + 3 * SECOND);
        assert_eq!(ladder.step(), Step::Off);
    }

    /// Anything that sensors may say, more often near the limits.
    fn sample() -> impl Strategy<Value = Sample> {
        let celsius = prop_oneof![
            6 => (70.0f32..90.0).prop_map(Some),
            2 => (-300.0f32..3000.0).prop_map(Some),
            1 => Just(Some(f32::NAN)),
            1 => Just(Some(f32::INFINITY)),
            1 => Just(None),
        ];
        let is_slowed = prop_oneof![6 => Just(None), 2 => Just(Some(false)), 1 => Just(Some(true))];
        (celsius, is_slowed).prop_map(|(celsius, is_slowed)| Sample { celsius, is_slowed })
    }

    /// Stretches of the same, so that steps are left, too.
    fn samples() -> impl Strategy<Value = Vec<Sample>> {
        let stretch = (sample(), 1usize..100).prop_map(|(sample, times)| vec![sample; times]);
        prop::collection::vec(stretch, 1..30).prop_map(|stretches| stretches.concat())
    }

    fn limits() -> impl Strategy<Value = Limits> {
        (60.0f32..80.0, 1.0f32..5.0, 1.0f32..5.0, 1.0f32..10.0, 1u64..100, any::<bool>()).prop_map(
            |(fewer_c, to_lite, to_off, hysteresis_c, back, has_lite)| Limits {
                fewer_c,
                lite_c: has_lite.then_some(fewer_c + to_lite),
                off_c: fewer_c + to_lite + to_off,
                hysteresis_c,
                back_after: SECOND * back as u32,
            },
        )
    }

    proptest! {
        #[test]
        fn it_never_flaps_faster_than_its_time(samples in samples(), limits in limits()) {
            let steps = run(&mut Ladder::default(), &limits, &samples);
            let back = limits.back_after.as_secs() as usize;
            let mut before = (0, Step::None);
            for &(second, step) in &steps {
                if step < before.1 {
                    let is_blind = samples[second].celsius.is_none_or(|celsius| !is_plausible(celsius))
                        && samples[second].is_slowed.is_none();
                    let least = if is_blind { BLIND_LONG.as_secs() as usize } else { back };
                    prop_assert!(second - before.0 >= least, "{steps:?}");
                    prop_assert!(is_blind || step == limits.before(before.1), "one at a time: {steps:?}");
                }
                prop_assert!(step != Step::Lite || limits.lite_c.is_some());
                before = (second, step);
            }
        }

        #[test]
        fn above_the_last_limit_it_is_always_off(samples in samples(), limits in limits(), over in 0.0f32..20.0) {
            let mut ladder = Ladder::default();
            let mut all = samples;
            all.extend([at(limits.off_c + over); 2]);
            run(&mut ladder, &limits, &all);
            prop_assert_eq!(ladder.step(), Step::Off);
        }

        #[test]
        fn it_always_comes_back(samples in samples(), limits in limits(), under in 0.1f32..20.0) {
            let mut ladder = Ladder::default();
            let mut all = samples;
            let cool = at(limits.fewer_c - limits.hysteresis_c - under);
            all.extend(vec![cool; 3 * limits.back_after.as_secs() as usize + 2]);
            run(&mut ladder, &limits, &all);
            prop_assert_eq!(ladder.step(), Step::None);
        }

        #[test]
        fn one_odd_reading_changes_nothing(odd in sample(), limits in limits(), place in 1usize..50) {
            let mut samples = vec![at(limits.fewer_c - 1.0); 60];
            samples[place] = Sample { is_slowed: None, ..odd };
            prop_assert_eq!(run(&mut Ladder::default(), &limits, &samples), []);
        }

        #[test]
        fn nothing_is_done_where_it_is_cool(under in 0.1f32..90.0, limits in limits()) {
            let samples = vec![at(limits.fewer_c - under); 100];
            prop_assert_eq!(run(&mut Ladder::default(), &limits, &samples), []);
        }
    }
}
