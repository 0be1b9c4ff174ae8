//! Which of a camera's formats, sizes and rates to take.
//!
//! Each offer is scored, and the least score wins, compared in this order:
//!
//! 1. pictures come too slowly to be watched (under 24 a second, or under what is wanted if that is less),
//! 2. the size's place in the profile's list,
//! 3. the rate wanted is missed by more than a twentieth,
//! 4. the format's place in the profile's list,
//! 5. the distance from the rate wanted.

use std::fmt::Write;

use super::kernel::{FourCc, Fraction, Intervals, Sizes};
use crate::frame::PixelFormat;

/// What a board profile wants of its camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The device's path, best a stable one under `/dev/v4l`; `None`: the first that captures.
    pub device: Option<String>,
    /// In order of preference; at least one.
    pub formats: Vec<PixelFormat>,
    /// Width and height in pixels, in order of preference; none: the largest that is offered, up to 1920×1080. For
    /// digital video inputs the source decides.
    pub sizes: Vec<(u32, u32)>,
    /// Pictures a second, 1..=240.
    pub rate_hz: f64,
    /// 2..=32: lent ones are not there to be filled.
    pub buffers: u32,
    /// Which of the device's inputs; `None`: as it is set.
    pub input: Option<u32>,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted {
            device: None,
            formats: vec![
                PixelFormat::Yuyv,
                PixelFormat::Uyvy,
                PixelFormat::Nv12,
                PixelFormat::Rgb24,
                PixelFormat::Bgr24,
                PixelFormat::Mjpeg,
            ],
            sizes: vec![(1920, 1080), (1280, 720)],
            rate_hz: 60.0,
            buffers: 6,
            input: None,
        }
    }
}

/// The largest size that is taken without being named.
const UNNAMED_PX: (u32, u32) = (1920, 1080);
/// Pictures a second below which motion is no longer seen as such.
const WATCHABLE_HZ: f64 = 24.0;
/// A rate this near to the one wanted is that rate: 59.94 for 60.
const NEAR: f64 = 0.95;

/// V4L2's names of a format. NV12 is one piece of memory, NM12 two.
const NAMES: [(&[u8; 4], PixelFormat); 8] = [
    (b"YUYV", PixelFormat::Yuyv),
    (b"UYVY", PixelFormat::Uyvy),
    (b"NV12", PixelFormat::Nv12),
    (b"NM12", PixelFormat::Nv12),
    (b"RGB3", PixelFormat::Rgb24),
    (b"BGR3", PixelFormat::Bgr24),
    (b"MJPG", PixelFormat::Mjpeg),
    (b"JPEG", PixelFormat::Mjpeg),
];

/// What a V4L2 format is to us; `None`: nothing.
pub fn pixel_format(fourcc: FourCc) -> Option<PixelFormat> {
    NAMES.iter().find(|(name, _)| FourCc::new(name) == fourcc).map(|&(_, format)| format)
}

/// A format in one size, with all intervals that it has; none: unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub fourcc: FourCc,
    pub size: (u32, u32),
    pub intervals: Vec<Intervals>,
}

/// A format with the sizes that a driver lists of it.
pub type Offered = (FourCc, Vec<Sizes>);

/// What to ask the driver for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub fourcc: FourCc,
    pub size: (u32, u32),
    /// `None`: the driver does not say which it has.
    pub interval: Option<Fraction>,
}

/// The less the better: see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    too_slow: bool,
    size: usize,
    misses_rate: bool,
    format: usize,
    distance_mhz: u64,
}

/// The sizes wanted that a format can have, out of what its driver lists.
pub fn sizes_to_try(wanted: &[(u32, u32)], offered: &[Sizes]) -> Vec<(u32, u32)> {
    let has = |size: (u32, u32)| offered.iter().any(|sizes| holds(sizes, size));
    if !wanted.is_empty() {
        return wanted.iter().copied().filter(|&size| has(size)).collect();
    }
    let largest = offered.iter().filter_map(|sizes| match *sizes {
        Sizes::One(size) => (size.0 <= UNNAMED_PX.0 && size.1 <= UNNAMED_PX.1).then_some(size),
        Sizes::Range { min, max, step } => {
            let side = |min: u32, max: u32, step: u32, limit: u32| {
                let most = max.min(limit);
                (min <= most).then(|| most - (most - min) % step.max(1))
            };
            Some((side(min.0, max.0, step.0, UNNAMED_PX.0)?, side(min.1, max.1, step.1, UNNAMED_PX.1)?))
        }
    });
    largest.max_by_key(|size| u64::from(size.0) * u64::from(size.1)).into_iter().collect()
}

fn holds(sizes: &Sizes, size: (u32, u32)) -> bool {
    match *sizes {
        Sizes::One(one) => one == size,
        Sizes::Range { min, max, step } => {
            let within = |side: u32, min: u32, max: u32, step: u32| {
                (min..=max).contains(&side) && (side - min).is_multiple_of(step.max(1))
            };
            within(size.0, min.0, max.0, step.0) && within(size.1, min.1, max.1, step.1)
        }
    }
}

/// The interval nearest to a rate; `None` if none is known.
pub fn nearest(intervals: &[Intervals], rate_hz: f64) -> Option<Fraction> {
    let candidates = intervals.iter().filter_map(|interval| match *interval {
        Intervals::One(one) => one.rate_hz().map(|_| one),
        Intervals::Range { min, max } => match (min.rate_hz(), max.rate_hz()) {
            (Some(fastest), _) if rate_hz > fastest => Some(min),
            (_, Some(slowest)) if rate_hz < slowest => Some(max),
            _ => Some(Fraction::of_rate(rate_hz)),
        },
    });
    candidates.min_by_key(|interval| distance_mhz(*interval, rate_hz))
}

fn distance_mhz(interval: Fraction, rate_hz: f64) -> u64 {
    interval.rate_hz().map_or(u64::MAX, |rate| (1000.0 * (rate - rate_hz).abs()) as u64)
}

/// `None` if the profile does not have the offer's format or size.
fn score(wanted: &Wanted, choice: &Choice) -> Option<Score> {
    let format = pixel_format(choice.fourcc)?;
    let size = wanted.sizes.iter().position(|&size| size == choice.size);
    let rate = choice.interval.and_then(Fraction::rate_hz);
    let watchable = wanted.rate_hz.min(WATCHABLE_HZ);
    Some(Score {
        too_slow: rate.is_some_and(|rate| rate < NEAR * watchable),
        size: if wanted.sizes.is_empty() { 0 } else { size? },
        misses_rate: rate.is_some_and(|rate| rate < NEAR * wanted.rate_hz),
        format: wanted.formats.iter().position(|&one| one == format)?,
        distance_mhz: choice.interval.map_or(u64::MAX, |interval| distance_mhz(interval, wanted.rate_hz)),
    })
}

/// The best of what is offered, the first of equals; `None` if nothing fits the profile.
pub fn choose(wanted: &Wanted, offers: &[Offer]) -> Option<Choice> {
    let choices = offers.iter().filter_map(|offer| {
        let interval = nearest(&offer.intervals, wanted.rate_hz);
        let choice = Choice { fourcc: offer.fourcc, size: offer.size, interval };
        Some((score(wanted, &choice)?, choice))
    });
    choices.min_by_key(|(score, _)| *score).map(|(_, choice)| choice)
}

/// What a person is told of a camera that has nothing that fits: `YUYV 640×480, 320×240; MJPG 640×480`.
pub fn summary(offered: &[Offered]) -> String {
    const MOST: usize = 6;
    let mut text = String::new();
    for (index, (fourcc, sizes)) in offered.iter().take(MOST).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{fourcc}", if index > 0 { "; " } else { "" });
        for (index, size) in sizes.iter().take(MOST).enumerate() {
            let comma = if index > 0 { ", " } else { " " };
            let _ = match size {
                Sizes::One((width, height)) => write!(text, "{comma}{width}×{height}"),
                Sizes::Range { min, max, .. } => {
                    write!(text, "{comma}{}×{} to {}×{}", min.0, min.1, max.0, max.1)
                }
            };
        }
        if sizes.len() > MOST {
            text.push_str(", …");
        }
    }
    match offered.len() {
        0 => text.push_str("no format"),
        MOST.. if offered.len() > MOST => text.push_str("; …"),
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HD: (u32, u32) = (1920, 1080);
    const SD: (u32, u32) = (1280, 720);

    fn offer(name: &[u8; 4], size: (u32, u32), rates: &[u32]) -> Offer {
        let intervals = rates.iter().map(|&rate| Intervals::One(Fraction(1, rate))).collect();
        Offer { fourcc: FourCc::new(name), size, intervals }
    }

    fn chosen(offers: &[Offer]) -> (String, (u32, u32), Option<Fraction>) {
        let choice = choose(&Wanted::default(), offers).unwrap();
        (choice.fourcc.to_string(), choice.size, choice.interval)
    }

    #[test]
    fn a_watchable_rate_comes_before_size_and_size_before_format() {
        // The common webcam: raw pictures only slowly.
        let webcam = [offer(b"YUYV", HD, &[5]), offer(b"YUYV", SD, &[10]), offer(b"MJPG", HD, &[60, 30])];
        assert_eq!(chosen(&webcam), ("MJPG".into(), HD, Some(Fraction(1, 60))));
        assert_eq!(chosen(&webcam[..2]), ("YUYV".into(), HD, Some(Fraction(1, 5))));
        let either = [offer(b"MJPG", HD, &[60]), offer(b"UYVY", HD, &[60]), offer(b"YUYV", SD, &[60])];
        assert_eq!(chosen(&either), ("UYVY".into(), HD, Some(Fraction(1, 60))));
        let slower = [offer(b"YUYV", HD, &[30]), offer(b"YUYV", SD, &[60])];
        assert_eq!(chosen(&slower), ("YUYV".into(), HD, Some(Fraction(1, 30))));
        let slow = [offer(b"YUYV", HD, &[10]), offer(b"YUYV", SD, &[30])];
        assert_eq!(chosen(&slow), ("YUYV".into(), SD, Some(Fraction(1, 30))));
        let television = [offer(b"YUYV", HD, &[]), offer(b"NM12", HD, &[50])];
        assert_eq!(chosen(&television).0, "YUYV");
        assert_eq!(
            choose(&Wanted::default(), &[offer(b"GREY", HD, &[60]), offer(b"YUYV", (9, 9), &[60])]),
            None
        );
    }

    #[test]
    fn ranges_hold_what_lies_on_their_steps() {
        let range = Sizes::Range { min: (16, 16), max: (4096, 2160), step: (8, 2) };
        assert_eq!(sizes_to_try(&[HD, (1366, 768), (17, 16), (8, 8)], &[range]), [HD]);
        assert_eq!(sizes_to_try(&[], &[range]), [HD]);
        assert_eq!(sizes_to_try(&[], &[Sizes::One((640, 480)), Sizes::One((3840, 2160))]), [(640, 480)]);
        assert_eq!(sizes_to_try(&[HD], &[]), []);
        let between = [Intervals::Range { min: Fraction(1, 60), max: Fraction(1, 1) }];
        assert_eq!(nearest(&between, 25.0), Some(Fraction(1, 25)));
        assert_eq!(nearest(&between, 59.94), Some(Fraction(1000, 59940)));
        assert_eq!(nearest(&between, 100.0), Some(Fraction(1, 60)));
        assert_eq!(nearest(&between, 0.5), Some(Fraction(1, 1)));
        assert_eq!(nearest(&[Intervals::One(Fraction(0, 0))], 60.0), None);
    }

    #[test]
    fn what_is_offered_is_told_in_one_line() {
        let offered = [
            (FourCc::new(b"YUYV"), vec![Sizes::One((640, 480)), Sizes::One((320, 240))]),
            (FourCc(FourCc::new(b"Y16 ").0 | 1 << 31), vec![]),
        ];
        assert_eq!(summary(&offered), "YUYV 640×480, 320×240; Y16-BE");
        assert_eq!(summary(&[]), "no format");
    }

    fn fractions() -> impl Strategy<Value = Fraction> {
        prop_oneof![(any::<u32>(), any::<u32>()), (0u32..3, 0u32..70)].prop_map(|(n, d)| Fraction(n, d))
    }

    proptest! {
        #[test]
        fn whatever_a_driver_lists_the_choice_is_one_of_it(
            formats in prop::collection::vec(0usize..8, 0..6),
            sides in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 0..6),
            intervals in prop::collection::vec((fractions(), fractions(), any::<bool>()), 0..4),
            rate in 1.0f64..240.0,
            named: bool,
        ) {
            let sizes: Vec<Sizes> = sides.iter().map(|&(low, high, step)| match step % 3 {
                0 => Sizes::One(HD),
                1 => Sizes::One((low, high)),
                _ => Sizes::Range { min: (low, 1), max: (high, u32::MAX), step: (step, step % 7) },
            }).collect();
            let intervals: Vec<Intervals> = intervals.iter().map(|&(min, max, one)| if one { Intervals::One(min) } else { Intervals::Range { min, max } }).collect();
            let wanted = Wanted { rate_hz: rate, sizes: if named { vec![HD, SD] } else { vec![] }, ..Wanted::default() };
            let mut offers = Vec::new();
            for &format in &formats {
                for size in sizes_to_try(&wanted.sizes, &sizes) {
                    prop_assert!(sizes.iter().any(|one| holds(one, size)));
                    offers.push(Offer { fourcc: FourCc::new(NAMES[format].0), size, intervals: intervals.clone() });
                }
            }
            match choose(&wanted, &offers) {
                Some(choice) => {
                    prop_assert!(offers.iter().any(|o| (o.fourcc, o.size) == (choice.fourcc, choice.size)));
                    prop_assert!(choice.interval.is_none_or(|interval| interval.rate_hz().is_some()));
                }
                None => prop_assert!(offers.is_empty()),
            }
        }
    }
}
