//! Budgets as arguments: `video_delay.p99.9<=5.75ms`.

use std::str::FromStr;

use anyhow::Result;

use crate::fault::{Exit, Fault};
use crate::latency::interval::Frames;
use crate::latency::{Durations, Stage};

/// What must hold, or the program ends with exit code 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// As it was written.
    text: String,
    what: What,
    most: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// A stage's, ms.
    Duration(Stage, Figure),
    /// Frames of this fate.
    Frames(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Figure {
    Mean,
    Max,
    /// 0..1.
    Share(f64),
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Requirement, String> {
        let wrong = || {
            format!("{text:?} is no requirement; write it as video_delay.p99.9<=5.75ms or frames.missed<=0")
        };
        let (what, most) = text.split_once("<=").ok_or_else(wrong)?;
        let (of, figure) = what.trim().split_once('.').ok_or_else(wrong)?;
        let most = most.trim();
        let requirement = |what, most| Requirement { text: text.to_owned(), what, most };
        if of == "frames" {
            if !fates(&Frames::default()).iter().any(|(name, _)| *name == figure) {
                let names: Vec<_> = fates(&Frames::default()).iter().map(|(name, _)| *name).collect();
                return Err(format!("there is no frames.{figure}; there are: {}", names.join(", ")));
            }
            return Ok(requirement(What::Frames(figure.to_owned()), most.parse().map_err(|_| wrong())?));
        }
        let stage = Stage::ALL.into_iter().find(|stage| stage.name() == of).ok_or_else(|| {
            format!("there is no stage {of:?}; there are: {}", Stage::ALL.map(Stage::name).join(", "))
        })?;
        let figure = match figure {
            "mean" => Figure::Mean,
            "max" => Figure::Max,
            other => {
                let percent: f64 =
                    other.strip_prefix('p').and_then(|rest| rest.parse().ok()).ok_or_else(wrong)?;
                if !(0.0..=100.0).contains(&percent) {
                    return Err(format!("{other}: a percentile lies between 0 and 100"));
                }
                Figure::Share(percent / 100.0)
            }
        };
        let units = [("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), ("s", 1e3)];
        let (number, factor) = units
            .iter()
            .find_map(|&(unit, factor)| Some((most.strip_suffix(unit)?, factor)))
            .ok_or_else(|| format!("{text:?}: the limit needs a unit: ms, us or s"))?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        Ok(requirement(What::Duration(stage, figure), number * factor))
    }
}

/// Of which frames there can be a requirement.
fn fates(frames: &Frames) -> Vec<(&'static str, u64)> {
    let mut fates = frames.list().to_vec();
    fates.push(("not_shown", frames.not_shown()));
    fates
}

/// Where the figures come from that must hold.
pub struct Measured<'a> {
    /// A stage's durations.
    pub stage: &'a dyn Fn(Stage) -> Durations,
    /// What became of the frames, where there are frames.
    pub frames: Frames,
}

/// Which of the requirements do not hold, in words.
pub fn missed(requirements: &[Requirement], measured: &Measured<'_>) -> Vec<String> {
    let missed = requirements.iter().filter_map(|requirement| {
        let (found, unit) = match &requirement.what {
            What::Frames(name) => {
                let count = fates(&measured.frames)
                    .into_iter()
                    .find(|(fate, _)| fate == name)
                    .map_or(0, |(_, count)| count);
                (count as f64, "")
            }
            What::Duration(stage, figure) => {
                let durations = (measured.stage)(*stage);
                if durations.count() == 0 {
                    return Some(format!("{}: {} was never timed", requirement.text, stage.name()));
                }
                let us = match figure {
                    Figure::Mean => durations.sum_us() as f64 / durations.count() as f64,
                    Figure::Max => durations.max_us() as f64,
                    Figure::Share(share) => durations.quantile_us(*share) as f64,
                };
                (us / 1e3, " ms")
            }
        };
        (found > requirement.most).then(|| format!("{}: it is {found:.3}{unit}", requirement.text))
    });
    missed.collect()
}

/// # Errors
/// 1 if there are any, with all of them.
pub fn assert_none(missed: &[String]) -> Result<()> {
    match missed {
        [] => Ok(()),
        some => Err(Fault::new(Exit::Assertion, format!("required and missed: {}", some.join("; ")))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::latency::Histogram;

    #[test]
    fn what_is_missed_is_said_with_what_was_found() {
        let histogram = Histogram::default();
        (1..=1000).for_each(|us| histogram.record(Duration::from_micros(10 * us)));
        let read = histogram.read();
        let stage = |stage| if stage == Stage::VideoDelay { read.clone() } else { Durations::default() };
        let measured =
            Measured { stage: &stage, frames: Frames { missed: 2, overtaken: 1, ..Frames::default() } };
        for (text, found) in [
            ("video_delay.p50<=5.1ms", None),
            ("video_delay.p99.9 <= 9 ms", Some("it is 10.000 ms")),
            ("video_delay.max<=10ms", None),
            ("video_delay.mean<=5000us", Some("it is 5.005 ms")),
            ("video_delay.p100<=0.02s", None),
            ("total.p50<=1s", Some("was never timed")),
            ("frames.missed<=2", None),
            ("frames.not_shown<=0", Some("it is 1.000")),
        ] {
            let requirement: Requirement = text.parse().unwrap();
            let missed = missed(&[requirement], &measured);
            match found {
                None => assert!(missed.is_empty(), "{missed:?}"),
                Some(found) => assert!(missed.len() == 1 && missed[0].contains(found), "{text}: {missed:?}"),
            }
        }
        assert!(assert_none(&[]).is_ok() && assert_none(&["a".into()]).is_err());
    }

    #[test]
    fn what_is_no_requirement_is_refused() {
        for text in [
            "",
            "video_delay",
            "video_delay.p99",
            "video.p99<=1ms",
            "video_delay.q<=1ms",
            "video_delay.p101<=1ms",
            "video_delay.p99<=1",
            "video_delay.p99<=fastms",
            "frames.lost<=1",
            "frames.shown<=few",
        ] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
    }
}
