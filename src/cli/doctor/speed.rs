//! How long the profile's model takes on this machine, against the camera's rate and the age that a result may have.

use anyhow::Result;

use super::findings::{Findings, Level};
use crate::board::{Board, Profile};
use crate::bundle::Bundle;
use crate::cart;
use crate::detect::Regions;
use crate::fault::{Exit, Fault, one_line};
use crate::latency::Latencies;
use crate::runtime;

/// Frames that are measured, after some that are not.
const MEASURED: usize = 7;
const WARM_UP: usize = 2;
/// With fewer frames a second, the temporal gate forgets between two of them what it has seen: nothing is ever shown.
const LEAST_RATE_HZ: f64 = 2.0;

pub(super) fn look(board: &Board, bundle: &Bundle, findings: &mut Findings) {
    match measure(&board.profile, bundle) {
        Ok(ms) => judge(&board.profile, &bundle.manifest.name, ms, findings),
        Err(error) => findings.bad(
            one_line(&error),
            "polyp-edge check --board FILE says more; use another bundle or another profile",
        ),
    }
}

/// Milliseconds from a frame's pixels to its regions, the median, in a thread that is bound to cores as a run's is.
fn measure(profile: &Profile, bundle: &Bundle) -> Result<f64> {
    let mut segmenter = cart::segmenter(profile, bundle)?;
    let frame = bundle.golden().get(0).ok_or_else(|| Fault::data("the bundle has no golden frame"))??.frame;
    let work = move || -> Result<f64> {
        segmenter.enter_thread();
        let (latencies, mut regions) = (Latencies::default(), Regions::default());
        let mut times = Vec::with_capacity(MEASURED);
        for run in 0..WARM_UP + MEASURED {
            let begun = runtime::now();
            segmenter.regions(&frame, &latencies, &mut regions)?;
            if run >= WARM_UP {
                times.push(runtime::since(begun).as_secs_f64() * 1e3);
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times.get(MEASURED / 2).copied().unwrap_or_default())
    };
    let thread = runtime::thread::spawn("measure", work)
        .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
    thread
        .join()
        .unwrap_or_else(|_| Err(Fault::new(Exit::Assertion, "the model panicked; the log says where")))
}

fn judge(profile: &Profile, model: &str, ms: f64, findings: &mut Findings) {
    let (rate, limit) = (profile.camera.rate_hz, profile.pipeline.max_age_ms as f64);
    let takes = format!("model {model}: {ms:.1} ms a frame on {} threads", profile.model.threads);
    if rate <= 0.0 {
        return findings.good(takes);
    }
    let (level, what, mend) = verdict(ms, rate, limit);
    let what = format!("{takes}; at {rate} frames a second {what}");
    match level {
        Level::Good => findings.good(what),
        Level::Advice => findings.advice(what, mend),
        Level::Bad => findings.bad(what, mend),
    }
}

/// What that means with a frame every `1000 / rate` ms. A result can be drawn from the next frame on, and is until the next result
/// comes: if inference is slower than the camera, that of a frame which was taken while the last one was computed.
fn verdict(ms: f64, rate: f64, limit: f64) -> (Level, String, String) {
    let interval = 1000.0 / rate;
    let youngest = interval * (ms / interval).ceil().max(1.0);
    let oldest = if ms <= interval { interval } else { 2.0 * ms + interval };
    let smaller = "use a smaller model, or more of the machine's cores (model.threads)";
    let raised = |age: f64| format!("set pipeline.max_age_ms to {}", (1.25 * age).ceil());
    if rate < LEAST_RATE_HZ {
        let what =
            "the temporal gate forgets from one frame to the next what it has seen, and nothing is shown";
        (Level::Bad, what.into(), format!("use a camera rate of at least {LEAST_RATE_HZ} frames a second"))
    } else if interval > limit {
        let what = format!(
            "a result is {interval:.0} ms old when the next frame comes, and {limit:.0} ms are allowed: nothing is shown"
        );
        (Level::Bad, what, format!("use a faster camera rate, or {}", raised(interval)))
    } else if youngest > limit {
        let what = format!(
            "a result is {youngest:.0} ms old when it can first be drawn, and {limit:.0} ms are allowed: nothing is shown"
        );
        (Level::Bad, what, format!("{smaller}, or {}", raised(youngest)))
    } else if oldest > limit {
        let what = format!(
            "a result becomes {oldest:.0} ms old before the next one, and {limit:.0} ms are allowed: outlines come and go"
        );
        (Level::Advice, what, format!("{smaller}, or {}", raised(oldest)))
    } else {
        (
            Level::Good,
            format!("a result is at most {oldest:.0} ms old when it is drawn, and {limit:.0} ms are allowed"),
            String::new(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_time_is_judged_against_the_camera() {
        let level = |ms, rate, limit| verdict(ms, rate, limit).0;
        assert_eq!(level(10.0, 60.0, 120.0), Level::Good);
        assert_eq!(level(40.0, 60.0, 120.0), Level::Good);
        assert_eq!(level(60.0, 60.0, 120.0), Level::Advice);
        assert_eq!(level(130.0, 60.0, 120.0), Level::Bad);
        let (level, what, mend) = verdict(10.0, 7.0, 120.0);
        assert_eq!(level, Level::Bad);
        assert!(what.contains("143 ms old when the next frame comes"), "{what}");
        assert!(mend.contains("set pipeline.max_age_ms to 179"), "{mend}");
        assert_eq!(verdict(10.0, 7.0, 179.0).0, Level::Good);
        assert_eq!(verdict(10.0, 1.5, 1000.0).0, Level::Bad);
    }
}
