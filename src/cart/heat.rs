//! What a run does when its machine gets hot: a thread of its own reads the sensors, a ladder says what is done, and the lighter
//! model is prepared beside the one in charge, as a reload's is.
//!
//! The supervisor asks [`Heat::attend`] and carries out what it says; nothing here waits for a sensor or a disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::prepare::{self, Ingredients, Made, Opening};
use super::reload::Model;
use super::surroundings::Surroundings;
use crate::board::Board;
use crate::fault::{Fault, one_line};
use crate::pipeline::{self, Load};
use crate::runtime;
use crate::runtime::sync::Mutex;
use crate::thermal::ladder::Why;
use crate::thermal::{Cause, Change, Ladder, Limits, Reading, Sample, Step};

/// How often the sensors are read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Sensors that have not answered for so long tell nothing; a temperature that has not been known for so long is told of.
const UNKNOWN_AFTER: Duration = Duration::from_secs(5);
/// What slows the board down is told anew once it has been gone for so long.
const GONE_AFTER: Duration = Duration::from_secs(60);
/// A bundle or a model that takes longer is left behind: a disk that does not answer.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// So many may be left behind; then no other is begun.
const MOST_HANGING: u32 = 3;
/// A profile's own model that could not be made again is tried again after so long.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What the thread that reads has read, for who supervises.
#[derive(Default)]
struct Watched {
    newest: Mutex<Option<Reading>>,
    is_over: AtomicBool,
}

/// Which model is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// The profile's own.
    Own,
    Lite,
}

/// A model that is being prepared.
struct Preparing<N> {
    which: Which,
    opening: Opening<Model<N>>,
    /// It is of a profile that is no longer in force.
    is_stale: bool,
}

/// See the module.
pub(super) struct Heat<W: Surroundings> {
    surroundings: W,
    watched: Arc<Watched>,
    ladder: Ladder,
    reading: Reading,
    /// When a reading came, and when one or its absence was taken in.
    answered: Instant,
    taken: Instant,
    /// When the temperature was last known, if it ever was, and whether it was told that it is not.
    known: Option<Instant>,
    is_unknown: bool,
    /// What the sensors are was told.
    is_begun: bool,
    /// What slowed the board down, and when it last did.
    throttled: BTreeMap<String, Instant>,
    /// What makes the profile's own model, and what that is made of.
    own: (Load<W::Network>, Made),
    in_charge: Which,
    lite: Option<Made>,
    preparing: Option<Preparing<W::Network>>,
    /// The lighter model in charge is of a profile that is no longer in force.
    is_old: bool,
    /// It cannot be used until it is cool, or another profile is.
    has_failed: bool,
    try_own_from: Option<Instant>,
    hanging: u32,
}

/// What the run is to do.
pub(super) struct Orders<N> {
    pub step: Option<Step>,
    /// To be put in charge.
    pub model: Option<Model<N>>,
    /// There is something new for the state file.
    pub is_news: bool,
}

/// What the state file says of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Told {
    /// What is done against heat: `none`, `fewer-inferences`, `lite-bundle` or `assistance-off`.
    pub step: &'static str,
    /// Of the hottest sensor.
    pub celsius: Option<f32>,
    pub sensor: Option<String>,
    /// What slows the board down now.
    pub throttling: Vec<String>,
    /// What is not there or cannot be read.
    pub missing: Vec<String>,
}

/// Before anything was read.
impl Default for Told {
    fn default() -> Told {
        let step = Step::None.word();
        Told { step, celsius: None, sensor: None, throttling: Vec::new(), missing: Vec::new() }
    }
}

impl<W: Surroundings> Drop for Heat<W> {
    fn drop(&mut self) {
        self.watched.is_over.store(true, Ordering::Relaxed);
    }
}

impl<W: Surroundings> Heat<W> {
    /// Starts the thread that reads. `load` makes the profile's own model, and `made` is told of what.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(surroundings: &W, load: Load<W::Network>, made: &Made) -> Result<Heat<W>> {
        let watched = Arc::new(Watched::default());
        let (theirs, all) = (watched.clone(), surroundings.clone());
        runtime::thread::spawn("heat", move || {
            let mut thermometer = all.thermometer();
            while !theirs.is_over.load(Ordering::Relaxed) {
                let reading = thermometer.read();
                *theirs.newest.lock() = Some(reading);
                runtime::thread::sleep(READ_EVERY);
            }
        })
        .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        Ok(Heat {
            surroundings: surroundings.clone(),
            watched,
            ladder: Ladder::default(),
            reading: Reading::default(),
            answered: runtime::now(),
            taken: runtime::now(),
            known: None,
            is_unknown: false,
            is_begun: false,
            throttled: BTreeMap::new(),
            own: (load, made.clone()),
            in_charge: Which::Own,
            lite: None,
            preparing: None,
            is_old: false,
            has_failed: false,
            try_own_from: None,
            hanging: 0,
        })
    }

    /// What the model in charge was made of.
    pub(super) fn made(&self) -> &Made {
        match (&self.lite, self.in_charge) {
            (Some(lite), Which::Lite) => lite,
            _ => &self.own.1,
        }
    }

    /// The profile's own model is another one, and was put in charge.
    pub(super) fn own_is(&mut self, load: Load<W::Network>, made: &Made) {
        self.own = (load, made.clone());
        (self.in_charge, self.lite, self.try_own_from) = (Which::Own, None, None);
        self.leave_preparing();
    }

    /// Another profile is in force: its limits count from the next reading on, and its lighter bundle is prepared anew.
    pub(super) fn profile_changed(&mut self) {
        (self.is_old, self.has_failed) = (true, false);
        self.leave_preparing();
    }

    fn leave_preparing(&mut self) {
        if let Some(preparing) = &mut self.preparing {
            preparing.is_stale = true;
        }
    }

    /// Takes in what was read, and says what is to be done. Costs a look at a lock while nothing is new.
    pub(super) fn attend(&mut self, board: &Board) -> Orders<W::Network> {
        let newest = self.watched.newest.lock().take();
        let limits = board.profile.heat.limits(board.profile.heat.lite_bundle.is_some() && !self.has_failed);
        let now = runtime::now();
        let sample = match newest {
            Some(reading) => Some(self.take(reading, now)),
            None => self.silence(now),
        };
        let mut orders = Orders { step: None, model: None, is_news: sample.is_some() };
        if let Some(sample) = sample {
            self.taken = now;
            orders.step = self.climb(sample, &limits, board, now);
        }
        orders.model = self.attend_models(board, now);
        orders.is_news |= orders.model.is_some();
        orders
    }

    /// For the state file.
    pub(super) fn told(&self) -> Told {
        let hottest = self.reading.hottest();
        Told {
            step: self.ladder.step().word(),
            celsius: hottest.map(|hottest| hottest.celsius),
            sensor: hottest.map(|hottest| hottest.zone.clone()),
            throttling: self.reading.throttling.iter().map(ToString::to_string).collect(),
            missing: self.reading.missing_sensors.clone(),
        }
    }

    fn take(&mut self, reading: Reading, now: Instant) -> Sample {
        (self.reading, self.answered) = (reading, now);
        self.say_what_is_known(now);
        let reading = &self.reading;
        for throttle in &reading.throttling {
            let before = self.throttled.insert(throttle.what.clone(), now);
            if before.is_some_and(|before| now.saturating_duration_since(before) < GONE_AFTER) {
                continue;
            }
            match throttle.cause {
                Cause::Power => {
                    log::warn!(
                        "the board slows itself down: {throttle}: check its power supply and the cable"
                    )
                }
                Cause::Heat => log::warn!("the board slows itself down because of heat: {throttle}"),
            }
        }
        let celsius = reading.hottest().map(|hottest| hottest.celsius);
        Sample { celsius, is_slowed: reading.is_slowed_by_heat() }
    }

    /// What is known where no reading comes; once a reading's time.
    fn silence(&mut self, now: Instant) -> Option<Sample> {
        let silent = now.saturating_duration_since(self.answered);
        if silent < UNKNOWN_AFTER || now.saturating_duration_since(self.taken) < READ_EVERY {
            return None;
        }
        let missing = format!("the sensors have not answered for {} s", silent.as_secs());
        self.reading = Reading { missing_sensors: vec![missing], ..Reading::default() };
        self.say_what_is_known(now);
        Some(Sample::default())
    }

    /// Says what the sensors are, once, and whenever the temperature is not known any more, or is again.
    fn say_what_is_known(&mut self, now: Instant) {
        let missing = self.reading.missing_sensors.join("; ");
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        match self.reading.hottest() {
            Some(hottest) => {
                let (zone, celsius) = (&hottest.zone, hottest.celsius);
                if is_first && missing.is_empty() {
                    log::info!("heat: {zone} is at {celsius:.1} °C");
                } else if is_first {
                    log::info!("heat: {zone} is at {celsius:.1} °C; missing: {missing}");
                } else if self.is_unknown || self.known.is_none() {
                    log::info!("heat: the temperature is known again: {zone} is at {celsius:.1} °C");
                }
                (self.known, self.is_unknown) = (Some(now), false);
            }
            None if is_first => log::warn!("heat: the temperature is not known: {missing}"),
            None => {
                let is_long =
                    self.known.is_some_and(|known| now.saturating_duration_since(known) >= UNKNOWN_AFTER);
                if is_long && !std::mem::replace(&mut self.is_unknown, true) {
                    log::warn!("heat: the temperature is not known any more: {missing}");
                }
            }
        }
    }

    fn climb(&mut self, sample: Sample, limits: &Limits, board: &Board, now: Instant) -> Option<Step> {
        if board.profile.pipeline.lock_step {
            // Nobody waits for the next picture, and each run is to be as the one before.
            let step = self.ladder.step();
            self.ladder = Ladder::default();
            return (step != Step::None).then_some(Step::None);
        }
        let change = self.ladder.take(sample, limits, now)?;
        if change.to == Step::None {
            // Whatever failed is tried again the next time.
            self.has_failed = false;
        }
        self.say(&change, limits, board);
        Some(change.to)
    }

    fn say(&self, change: &Change, limits: &Limits, board: &Board) {
        let sensor = self.reading.hottest().map_or("the hottest sensor", |hottest| &hottest.zone);
        let why = match change.why {
            Why::Celsius(celsius) => format!("{sensor} is at {celsius:.1} °C"),
            Why::Slowed => "the board slows itself down because of heat".into(),
            Why::NotSlowed => "the board does not slow itself down any more".into(),
            Why::Blind => "the temperature has not been known for two minutes".into(),
            Why::NoLite => "there is no lighter bundle that can be used".into(),
        };
        let hz = board.profile.reduced_hz();
        let what = match change.to {
            Step::None => "as many inferences a second as frames come".into(),
            Step::Fewer => format!("at most {hz:.1} inferences a second"),
            Step::Lite => format!("at most {hz:.1} inferences a second, by the lighter bundle"),
            Step::Off => "assistance is off".into(),
        };
        let until = limits.left_below(change.to).map_or_else(String::new, |celsius| {
            format!(", until it has been below {celsius} °C for {} s", limits.back_after.as_secs())
        });
        if change.to > change.from {
            log::warn!("heat: {why}: {what}{until}");
        } else {
            log::info!("heat: {why}: {what}{until}");
        }
    }

    /// Has the model that the step asks for prepared; gives it once it is ready.
    fn attend_models(&mut self, board: &Board, now: Instant) -> Option<Model<W::Network>> {
        let wanted = match self.ladder.step() {
            Step::Lite => Which::Lite,
            // Whichever is in charge is idle.
            Step::Off => self.in_charge,
            Step::None | Step::Fewer => Which::Own,
        };
        let has_it = wanted == self.in_charge && !(wanted == Which::Lite && self.is_old);
        if self.preparing.is_none() {
            let may = match wanted {
                // The ladder leaves the step with the next reading.
                Which::Lite => !self.has_failed,
                Which::Own => self.try_own_from.is_none_or(|from| now >= from),
            };
            if !has_it && may && self.ladder.step() != Step::Off {
                self.begin(wanted, board, now);
            }
            return None;
        }
        let outcome = match &mut self.preparing {
            Some(preparing) => match preparing.opening.poll() {
                Some(outcome) => outcome,
                None if preparing.opening.takes() > HANGS_AFTER => {
                    self.hanging += 1;
                    Err(Fault::io(format!("its files have not been read for {} s", HANGS_AFTER.as_secs())))
                }
                None => return None,
            },
            None => return None,
        };
        let preparing = self.preparing.take()?;
        if preparing.is_stale || preparing.which != wanted {
            return None;
        }
        match outcome {
            Ok(model) => {
                self.in_charge = preparing.which;
                self.try_own_from = None;
                if preparing.which == Which::Lite {
                    (self.lite, self.is_old) = (Some(model.2.clone()), false);
                    log::info!("heat: the lighter bundle is in charge");
                } else {
                    self.lite = None;
                    log::info!("heat: the profile's own bundle is in charge again");
                }
                Some(model)
            }
            Err(error) => {
                self.failed(preparing.which, &error, now);
                None
            }
        }
    }

    fn begin(&mut self, which: Which, board: &Board, now: Instant) {
        if which == Which::Lite && self.hanging >= MOST_HANGING {
            let error = Fault::io("earlier ones still wait for a disk that does not answer");
            return self.failed(which, &error, now);
        }
        let opening = match (which, board.lite()) {
            (Which::Lite, Some(lite)) => {
                let surroundings = self.surroundings.clone();
                self.is_old = false;
                Opening::start("heat model", move || prepare_lite(&surroundings, &lite))
            }
            // The ladder has no such step then.
            (Which::Lite, None) => return,
            (Which::Own, _) => {
                let (load, made) = self.own.clone();
                Opening::start("heat model", move || {
                    let segmenter = pipeline::tested(|| load())?;
                    Ok((segmenter, load, made))
                })
            }
        };
        match opening {
            Ok(opening) => self.preparing = Some(Preparing { which, opening, is_stale: false }),
            Err(error) => self.failed(which, &error, now),
        }
    }

    fn failed(&mut self, which: Which, error: &anyhow::Error, now: Instant) {
        let why = one_line(error);
        match which {
            Which::Lite => {
                self.has_failed = true;
                log::error!(
                    "heat: the lighter bundle cannot be used, so its step is left out until the computer is cool again: {why}"
                );
            }
            Which::Own => {
                self.try_own_from = Some(now + TRY_AGAIN_AFTER);
                log::error!(
                    "heat: the profile's own bundle cannot be put in charge again, so the lighter one stays for another {} s: \
                     {why}",
                    TRY_AGAIN_AFTER.as_secs()
                );
            }
        }
    }
}

/// Reads, verifies and tests a profile's lighter bundle.
fn prepare_lite<W: Surroundings>(surroundings: &W, board: &Board) -> Result<Model<W::Network>> {
    let bundle = surroundings.bundle(board)?;
    let made = Made::default();
    made.set(Ingredients::of(board, surroundings.identity(&bundle)), surroundings.trial(&bundle));
    let segmenter = pipeline::tested(|| surroundings.segmenter(&board.profile, &bundle))?;
    let load = prepare::loader(surroundings, board, &made, Some(bundle));
    Ok((segmenter, load, made))
}
