//! The simulated computer's heat, its sensors, and what must hold of both.

use std::time::{Duration, Instant};

use polyp_edge::board::Heat as Limits;
use polyp_edge::runtime;
use polyp_edge::thermal::{Cause, Reading, Step, Temperature, Thermometer, Throttle};

use super::plan::Fault;
use super::world::World;

/// What the computer has where nothing heats it, in °C.
const IDLE_C: f32 = 55.0;
/// Sensors are read every second, a limit counts with the second reading in a row, and every third may be wild.
const OFF_WITHIN: Duration = Duration::from_secs(6);
/// What a step back takes beyond its time: a reading, and a model that is made.
const BACK_TAKES: Duration = Duration::from_secs(10);
/// From a step to the model that it asks for, where nothing else ails anything.
const MODEL_WITHIN: Duration = Duration::from_secs(10);
/// What wild sensors say.
const WILD: [f32; 6] = [4_294_967.5, f32::NAN, 149.0, -273.15, 0.0, f32::INFINITY];

/// How hot it is, by time: evenly hotter, as hot for a while, and as evenly cooler.
#[derive(Clone, Copy, Debug)]
struct Curve {
    begin: Instant,
    from_c: f32,
    peak_c: f32,
    rise: Duration,
    stay: Duration,
}

impl Curve {
    fn celsius(&self, now: Instant) -> f32 {
        let time = now.saturating_duration_since(self.begin).as_secs_f32();
        let (rise, stay) = (self.rise.as_secs_f32(), self.stay.as_secs_f32());
        let between = |from: f32, to: f32, time: f32| {
            from + (to - from) * if rise > 0.0 { (time / rise).min(1.0) } else { 1.0 }
        };
        if time < rise {
            between(self.from_c, self.peak_c, time)
        } else if time < rise + stay {
            self.peak_c
        } else {
            between(self.peak_c, IDLE_C, time - rise - stay)
        }
    }
}

/// What ails the computer, and what was seen of it.
pub(super) struct Heat {
    limits: Limits,
    curve: Option<Curve>,
    missing_until: Instant,
    hangs_until: Instant,
    wild_until: Instant,
    slowed_until: Instant,
    pub(super) lite_unreadable_until: Instant,
    readings: usize,
    /// Since when it is too hot and sensors tell so.
    too_hot_since: Option<Instant>,
    /// When there was last a reason for assistance to be off, and for any step.
    off_for: Instant,
    reduced_for: Instant,
    /// What is done, since when, and why the state is as it is.
    step: Step,
    step_since: Instant,
    reason: String,
    /// The lighter network was asked last.
    pub(super) is_lite: bool,
    /// Nothing can be expected of which network is in charge before then.
    pub(super) model_from: Instant,
}

impl Heat {
    pub(super) fn new(now: Instant) -> Heat {
        Heat {
            limits: Limits::default(),
            curve: None,
            missing_until: now,
            hangs_until: now,
            wild_until: now,
            slowed_until: now,
            lite_unreadable_until: now,
            readings: 0,
            too_hot_since: None,
            off_for: now,
            reduced_for: now,
            step: Step::None,
            step_since: now,
            reason: String::new(),
            is_lite: false,
            model_from: now,
        }
    }

    fn celsius(&self, now: Instant) -> f32 {
        self.curve.map_or(IDLE_C, |curve| curve.celsius(now))
    }

    /// Lets a fault happen, if it is one of heat.
    pub(super) fn happens(&mut self, fault: Fault, now: Instant) {
        match fault {
            Fault::Heat(peak_c, rise, stay) => {
                let (from_c, peak_c) = (self.celsius(now), f32::from(peak_c));
                self.curve = Some(Curve { begin: now, from_c, peak_c, rise, stay });
            }
            Fault::SensorMissing(time) => self.missing_until = self.missing_until.max(now + time),
            Fault::SensorHangs(time) => self.hangs_until = self.hangs_until.max(now + time),
            Fault::SensorWild(time) => self.wild_until = self.wild_until.max(now + time),
            Fault::BoardSlowed(time) => self.slowed_until = self.slowed_until.max(now + time),
            Fault::LiteUnreadable(time) => {
                self.lite_unreadable_until = self.lite_unreadable_until.max(now + time);
            }
            Fault::Reload(_) => self.model_from = now,
            _ => {}
        }
    }

    /// Takes in what the pipeline tells; what is new of it.
    pub(super) fn told(&mut self, step: Step, reason: Option<String>, now: Instant) -> Option<String> {
        self.reason = reason.unwrap_or_default();
        if self.step == step {
            return None;
        }
        (self.step, self.step_since) = (step, now);
        Some(format!("heat: {} at {:.1} °C", step.word(), self.celsius(now)))
    }

    pub(super) fn is_off(&self) -> bool {
        self.step == Step::Off
    }

    /// What does not hold. Threads that tell may have had no core until `told_from`; camera, network and disk may have ailed until
    /// `ill_until`.
    pub(super) fn look(
        &mut self,
        state: &str,
        now: Instant,
        told_from: Instant,
        ill_until: Instant,
    ) -> Option<String> {
        let (celsius, limits) = (self.celsius(now), &self.limits);
        let is_told = now >= self.missing_until && now >= self.hangs_until;
        let is_sure = is_told && now >= self.wild_until;
        self.too_hot_since =
            (is_told && celsius >= limits.off_at_c).then(|| self.too_hot_since.unwrap_or(now));
        if !is_sure || celsius + limits.hysteresis_c >= limits.off_at_c {
            self.off_for = now;
        }
        if !is_sure || celsius + limits.hysteresis_c >= limits.fewer_at_c || now < self.slowed_until {
            self.reduced_for = now;
        }
        let long =
            |since: Instant, most: Duration| now.saturating_duration_since(since.max(told_from)) > most;
        let (step, back) = (self.step.word(), Duration::from_secs(limits.back_after_s) + BACK_TAKES);
        if let Some(since) = self.too_hot_since
            && long(since, OFF_WITHIN)
        {
            let is_told = match state {
                "no-signal" => true,
                "degraded" => {
                    ["too hot", "inference: ", "model: "].iter().any(|why| self.reason.contains(why))
                }
                _ => false,
            };
            if self.step != Step::Off || !is_told {
                let reason = &self.reason;
                return Some(format!("it is too hot, and the step is {step}, the state {state} {reason:?}"));
            }
        }
        if self.step == Step::Off && long(self.off_for, back) {
            return Some("assistance is off because of heat, and it has been cooler for long".into());
        }
        if self.step != Step::None && long(self.reduced_for, 3 * back) {
            return Some(format!("it has been cool for long, and the step is {step}"));
        }
        let quiet = ill_until.max(self.model_from).max(self.step_since).max(self.lite_unreadable_until);
        let wanted = match self.step {
            Step::None | Step::Fewer => Some(false),
            Step::Lite => Some(true),
            Step::Off => None,
        };
        if wanted.is_some_and(|wanted| wanted != self.is_lite) && long(quiet, MODEL_WITHIN) {
            let which = if self.is_lite { "the lighter" } else { "the profile's own" };
            return Some(format!("the step is {step}, and {which} network is in charge"));
        }
        None
    }
}

/// The computer's sensors.
pub struct WorldThermometer(pub World);

impl Thermometer for WorldThermometer {
    fn read(&mut self) -> Reading {
        let hangs_until = self.0.lock().heat.hangs_until;
        runtime::thread::sleep(hangs_until.saturating_duration_since(runtime::now()));
        let now = runtime::now();
        let mut world = self.0.lock();
        let heat = &mut world.heat;
        heat.readings += 1;
        if now < heat.missing_until {
            return Reading { missing_sensors: vec!["simulated sensors".into()], ..Reading::default() };
        }
        let is_wild = now < heat.wild_until && heat.readings.is_multiple_of(3);
        let celsius = if is_wild { WILD[heat.readings / 3 % WILD.len()] } else { heat.celsius(now) };
        let throttle =
            Throttle { what: "simulated".into(), cause: Cause::Heat, told_by: "a simulated board".into() };
        Reading {
            temperatures: vec![Temperature { zone: "simulated".into(), celsius }],
            throttle_flags: vec!["simulated".into()],
            throttling: if now < heat.slowed_until { vec![throttle] } else { Vec::new() },
            missing_sensors: Vec::new(),
        }
    }
}
