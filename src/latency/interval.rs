//! What happened in a minute: each stage's durations, every frame's fate, and what the machine was like meanwhile.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};

use super::histogram::{Durations, LONGEST_US};
use super::stage::Stage;

/// A span of a run, a minute long unless the run began or ended in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// When it ended: seconds since 1970, and since the machine's start, which no clock that is set changes.
    pub unix_s: f64,
    /// See above.
    pub uptime_s: f64,
    /// How long it lasted.
    pub seconds: f64,
    /// The stages that were timed in it.
    #[serde(default)]
    pub stages: BTreeMap<Stage, Coded>,
    /// What became of its frames.
    #[serde(default)]
    pub frames: Frames,
    /// For how many seconds the program was in each state, by the state's word; `dark` for those in which nobody saw the picture.
    #[serde(default)]
    pub states: BTreeMap<String, f64>,
    /// Changes of state.
    #[serde(default)]
    pub transitions: u64,
    /// The machine meanwhile.
    #[serde(default)]
    pub machine: Load,
    /// The frames with the longest video delay, the longest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowest: Vec<SlowFrame>,
}

/// So many of the slowest frames are kept for each interval.
pub const SLOWEST: usize = 4;

/// Where a frame's time went on its way to the monitor, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowFrame {
    /// Its number in its source.
    pub number: u64,
    /// When it was handed over to the display, seconds of the whole since 1970.
    pub unix_s: u64,
    /// From when its driver took it until it was fetched, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_us: Option<u32>,
    /// From when it was fetched until it was ready to be shown: decoding, for MJPEG.
    pub ready_us: u32,
    /// Until the display took it up: it was at another frame, or had no core.
    pub waited_us: u32,
    /// Drawing outlines and text.
    pub draw_us: u32,
    /// Colour, blending, and handing it over.
    pub display_us: u32,
}

impl SlowFrame {
    /// From when it was fetched until it was handed over.
    pub fn video_delay_us(&self) -> u64 {
        [self.ready_us, self.waited_us, self.draw_us, self.display_us].map(u64::from).iter().sum()
    }
}

/// The slowest frames so far, without allocation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slowest([Option<SlowFrame>; SLOWEST]);

impl Slowest {
    /// Takes in a frame; the video delay of the fastest one that is kept, 0 while there is room.
    pub fn take_in(&mut self, frame: SlowFrame) -> u64 {
        let delay = |kept: &Option<SlowFrame>| kept.map_or(0, |frame| frame.video_delay_us());
        if let Some(least) = self.0.iter_mut().min_by_key(|kept| delay(kept))
            && delay(least) < frame.video_delay_us()
        {
            *least = Some(frame);
        }
        self.0.iter().map(delay).min().unwrap_or(0)
    }

    /// The frames, the slowest first.
    pub fn list(&self) -> Vec<SlowFrame> {
        let mut frames: Vec<_> = self.0.iter().flatten().copied().collect();
        frames.sort_by_key(|frame| std::cmp::Reverse(frame.video_delay_us()));
        frames
    }
}

/// What becomes of a frame. Each one that was captured is shown, overtaken or not taken; and it is looked at by inference, skipped or
/// spared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frames {
    /// The source gave it.
    pub captured: u64,
    /// It could not be read, or its driver called it damaged.
    pub damaged: u64,
    /// It is missing in the driver's numbering.
    pub missed: u64,
    /// It was fetched from the driver too late, behind a newer one.
    pub stale: u64,
    /// The display took it.
    pub shown: u64,
    /// With at least one outline.
    pub outlined: u64,
    /// It was not shown, for a newer one came before the display was ready.
    pub overtaken: u64,
    /// The display could not take it: it was busy, closed or failed.
    pub not_taken: u64,
    /// Inference did not see it, for a newer one came.
    pub skipped: u64,
    /// Inference left it alone because of heat.
    pub spared: u64,
    /// Results that came too late to be drawn on any frame.
    pub late: u64,
}

impl Frames {
    /// In the order of their fates, by name.
    pub fn list(&self) -> [(&'static str, u64); 11] {
        let Frames {
            captured,
            damaged,
            missed,
            stale,
            shown,
            outlined,
            overtaken,
            not_taken,
            skipped,
            spared,
            late,
        } = *self;
        [
            ("captured", captured),
            ("damaged", damaged),
            ("missed", missed),
            ("stale", stale),
            ("shown", shown),
            ("outlined", outlined),
            ("overtaken", overtaken),
            ("not_taken", not_taken),
            ("skipped", skipped),
            ("spared", spared),
            ("late", late),
        ]
    }

    /// Captured, and never on the display.
    pub fn not_shown(&self) -> u64 {
        self.overtaken + self.not_taken
    }

    /// Captured, and never looked at by inference.
    pub fn not_looked_at(&self) -> u64 {
        self.skipped + self.spared
    }

    /// Those that came since an earlier count of the same run.
    pub fn since(&self, earlier: &Frames) -> Frames {
        self.combine(earlier, u64::saturating_sub)
    }

    /// Both together.
    pub fn merge(&mut self, other: &Frames) {
        *self = self.combine(other, u64::saturating_add);
    }

    fn combine(&self, other: &Frames, with: impl Fn(u64, u64) -> u64) -> Frames {
        Frames {
            captured: with(self.captured, other.captured),
            damaged: with(self.damaged, other.damaged),
            missed: with(self.missed, other.missed),
            stale: with(self.stale, other.stale),
            shown: with(self.shown, other.shown),
            outlined: with(self.outlined, other.outlined),
            overtaken: with(self.overtaken, other.overtaken),
            not_taken: with(self.not_taken, other.not_taken),
            skipped: with(self.skipped, other.skipped),
            spared: with(self.spared, other.spared),
            late: with(self.late, other.late),
        }
    }
}

/// What the machine was like. What it does not tell is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// The hottest sensor's highest reading, °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hottest_c: Option<f32>,
    /// What slowed the machine down, in its own words, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throttled: Vec<String>,
    /// What the program did against heat, each step once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heat_steps: Vec<String>,
    /// The slowest and the fastest clock of any core that was seen, MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mhz: Option<(u32, u32)>,
    /// The most threads that could run at once, on the whole machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runnable: Option<u32>,
    /// The share of the time in which a thread that could run waited for a core, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_percent: Option<f32>,
    /// How often the system took its core away from a thread of this program, by the thread's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub switches: BTreeMap<String, u64>,
}

impl Load {
    /// Takes in another look at the machine, or another interval.
    pub fn merge(&mut self, other: &Load) {
        let most = |one: Option<f32>, other: Option<f32>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        self.hottest_c = most(self.hottest_c, other.hottest_c);
        self.cpu_pressure_percent = most(self.cpu_pressure_percent, other.cpu_pressure_percent);
        self.runnable = self.runnable.max(other.runnable);
        self.mhz = match (self.mhz, other.mhz) {
            (Some((slow, fast)), Some((slower, faster))) => Some((slow.min(slower), fast.max(faster))),
            (one, other) => one.or(other),
        };
        for (mine, theirs) in
            [(&mut self.throttled, &other.throttled), (&mut self.heat_steps, &other.heat_steps)]
        {
            for word in theirs {
                if !mine.contains(word) {
                    mine.push(word.clone());
                }
            }
        }
        for (thread, count) in &other.switches {
            *self.switches.entry(thread.clone()).or_default() += count;
        }
    }
}

impl Interval {
    /// What a stage's durations were; none if it was not timed.
    pub fn stage(&self, stage: Stage) -> Durations {
        self.stages.get(&stage).map(|coded| coded.0.clone()).unwrap_or_default()
    }

    /// Adds another interval of the same run or of another one. Times are the later ones'.
    pub fn merge(&mut self, other: &Interval) {
        (self.unix_s, self.uptime_s) = (self.unix_s.max(other.unix_s), self.uptime_s.max(other.uptime_s));
        self.seconds += other.seconds;
        for (&stage, theirs) in &other.stages {
            self.stages.entry(stage).or_default().0.merge(&theirs.0);
        }
        self.frames.merge(&other.frames);
        for (state, seconds) in &other.states {
            *self.states.entry(state.clone()).or_default() += seconds;
        }
        self.transitions += other.transitions;
        self.machine.merge(&other.machine);
        self.slowest.extend(&other.slowest);
        self.slowest.sort_by_key(|frame| std::cmp::Reverse(frame.video_delay_us()));
        self.slowest.truncate(SLOWEST);
    }
}

/// Durations as an HdrHistogram in its own text form (version 2, compressed, base64), which its tools read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coded(pub Durations);

/// What is written of them: the classes hold no exact sum.
#[derive(Serialize, Deserialize)]
struct Text {
    hdr: String,
    sum_us: u64,
    max_us: u64,
}

/// Digits of an HdrHistogram that has the classes of [`Durations`].
const DIGITS: u8 = 2;

impl Serialize for Coded {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, LONGEST_US, DIGITS)
            .map_err(S::Error::custom)?;
        for (us, count) in self.0.classes() {
            histogram.record_n(us, count).map_err(S::Error::custom)?;
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&histogram, &mut bytes).map_err(S::Error::custom)?;
        Text { hdr: BASE64.encode(bytes), sum_us: self.0.sum_us(), max_us: self.0.max_us() }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Coded {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Coded, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.hdr).map_err(D::Error::custom)?;
        let histogram: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(D::Error::custom)?;
        let classes = histogram.iter_recorded().map(|one| (one.value_iterated_to(), one.count_at_value()));
        let mut durations = Durations::from_classes(classes, text.sum_us);
        durations.set_max_us(text.max_us);
        Ok(Coded(durations))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::latency::Histogram;

    fn of(durations: &[u64]) -> Durations {
        let histogram = Histogram::default();
        durations.iter().for_each(|&us| histogram.record(Duration::from_micros(us)));
        histogram.read()
    }

    #[test]
    fn the_slowest_frames_are_kept() {
        let mut slowest = Slowest::default();
        let floors: Vec<u64> = [30, 10, 20, 40, 15, 12, 50]
            .into_iter()
            .map(|us| slowest.take_in(SlowFrame { waited_us: us, ..SlowFrame::default() }))
            .collect();
        assert_eq!(floors, [0, 0, 0, 10, 15, 15, 20]);
        let kept: Vec<_> = slowest.list().iter().map(SlowFrame::video_delay_us).collect();
        assert_eq!(kept, [50, 40, 30, 20]);
    }

    proptest! {
        /// Through its text and back; and an HdrHistogram of its own says the same.
        #[test]
        fn an_interval_is_read_as_it_was_written(
            durations in proptest::collection::vec(0u64..10_000_000_000, 0..100), share in 0.01f64..1.0,
        ) {
            let read = of(&durations);
            let mut interval = Interval { seconds: 60.0, transitions: 3, ..Interval::default() };
            interval.stages.insert(Stage::Draw, Coded(read.clone()));
            interval.states.insert("assist".into(), 59.5);
            interval.machine.mhz = Some((600, 2400));
            let text = serde_json::to_string(&interval).unwrap();
            let again: Interval = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&again.stage(Stage::Draw).classes().collect::<Vec<_>>(), &read.classes().collect::<Vec<_>>());
            prop_assert_eq!(again.stage(Stage::Draw).max_us(), read.max_us());
            prop_assert_eq!((again.states, again.machine), (interval.states, interval.machine));
            let mut theirs = hdrhistogram::Histogram::<u64>::new_with_bounds(1, LONGEST_US, DIGITS).unwrap();
            for &us in &durations {
                theirs.record(us.min(LONGEST_US)).unwrap();
            }
            if !durations.is_empty() {
                prop_assert_eq!(theirs.value_at_quantile(share).min(read.max_us()), read.quantile_us(share));
            }
        }

        /// Two runs' minutes merged are those of one run over both.
        #[test]
        fn merged_intervals_are_those_of_one_run(
            first in proptest::collection::vec(0u64..1_000_000, 0..50), second in proptest::collection::vec(0u64..1_000_000, 0..50),
        ) {
            let interval = |durations: &[u64], shown| {
                let mut interval = Interval { seconds: 60.0, ..Interval::default() };
                interval.stages.insert(Stage::VideoDelay, Coded(of(durations)));
                interval.frames = Frames { shown, captured: shown + 1, ..Frames::default() };
                interval
            };
            let mut merged = interval(&first, 7);
            merged.merge(&interval(&second, 11));
            let both: Vec<u64> = first.iter().chain(&second).copied().collect();
            prop_assert_eq!(merged.stage(Stage::VideoDelay), of(&both));
            prop_assert_eq!((merged.seconds, merged.frames), (120.0, Frames { shown: 18, captured: 20, ..Frames::default() }));
        }
    }
}
