//! How long everything took, minute by minute, in a log of its own on the disk: written by a thread that may hang without anybody
//! noticing. What it costs the threads of the picture is what they count anyway.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::heat::Told;
use super::prepare::Made;
use super::surroundings::Surroundings;
use crate::board::{Board, Pipeline as Keys};
use crate::fault::{Fault, one_line};
use crate::identity::{Program, boot_id};
use crate::latency::interval::{Coded, Frames, Interval, Load};
use crate::latency::log::{Bounds, Minutes, SCHEMA, Setup};
use crate::latency::{Durations, Stage};
use crate::pipeline::Gauges;
use crate::runtime;
use crate::runtime::sync::{Condvar, Mutex};

/// Between two looks at the state.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks at the state between two at the machine.
const MACHINE_EVERY: u32 = 5;
/// Intervals that a disk could not take are kept until it can; of more than these, the oldest become one.
const MOST_KEPT: usize = 60;

/// Takes in what there is to tell. Clones tell the same log.
#[derive(Clone, Default)]
pub(super) struct LatencyLog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Clone, Default)]
struct Inner {
    folder: Option<PathBuf>,
    bounds: Option<Bounds>,
    /// How long an interval is.
    every: Duration,
    board: String,
    profile_digest: String,
    made: Made,
    heat: Option<Arc<Told>>,
    /// The run has ended, with this exit code.
    over: Option<u8>,
    has_ended: bool,
}

impl LatencyLog {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// 74 if there can be no more threads.
    pub(super) fn start(
        &self,
        surroundings: &impl Surroundings,
        board: &Board,
        made: &Made,
        gauges: Gauges,
    ) -> Result<()> {
        self.set_target(board, made);
        let (theirs, surroundings) = (self.clone(), surroundings.clone());
        runtime::thread::spawn("latency log", move || theirs.work(&surroundings, &gauges))
            .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
        Ok(())
    }

    /// Another profile or model is in force.
    pub(super) fn set_target(&self, board: &Board, made: &Made) {
        let Keys { latency_folder, latency_interval_s, latency_megabytes, latency_days, .. } =
            &board.profile.pipeline;
        let mut inner = self.0.inner.lock();
        inner.folder.clone_from(latency_folder);
        inner.bounds = Some(Bounds { bytes: latency_megabytes << 20, days: *latency_days });
        inner.every = Duration::try_from_secs_f64(*latency_interval_s).unwrap_or(Duration::MAX);
        inner.board.clone_from(&board.profile.name);
        inner.profile_digest.clone_from(&board.digest);
        inner.made = made.clone();
    }

    /// What is done against heat, and why.
    pub(super) fn set_heat(&self, told: &Told) {
        self.0.inner.lock().heat = Some(Arc::new(told.clone()));
    }

    /// The run has ended; what is written now is the last.
    pub(super) fn stopped(&self, exit_code: u8) {
        self.0.inner.lock().over = Some(exit_code);
        self.0.changed.notify_all();
    }

    /// Waits until the last is written, as long as it may.
    pub(super) fn wait(&self, may_wait: impl Fn() -> bool) {
        while !self.0.inner.lock().has_ended && may_wait() {
            runtime::thread::sleep(Duration::from_millis(1));
        }
    }

    fn work(&self, surroundings: &impl Surroundings, gauges: &Gauges) {
        let mut counting = Counting::new(gauges, surroundings.load());
        let mut disk = Disk::default();
        loop {
            let now = self.0.inner.lock().clone();
            counting.look(&now);
            if now.over.is_some() || counting.lasts() >= now.every {
                disk.keep(counting.take());
                disk.write(surroundings, &now, gauges);
            }
            if let Some(exit_code) = now.over {
                disk.end(exit_code);
                break;
            }
            let until = runtime::now() + LOOK_EVERY.min(now.every.saturating_sub(counting.lasts()));
            let mut inner = self.0.inner.lock();
            while inner.over.is_none() && runtime::now() < until {
                let left = until.saturating_duration_since(runtime::now());
                inner = self.0.changed.wait_timeout(inner, left);
            }
        }
        self.0.inner.lock().has_ended = true;
    }
}

/// What has been counted since the last interval ended.
struct Counting<'a> {
    gauges: &'a Gauges,
    load: Box<dyn FnMut() -> Load>,
    interval: Interval,
    /// When the interval began, and the last look.
    begun: Instant,
    looked: Instant,
    looks: u32,
    /// What the run had counted when the interval began.
    stages: [Durations; Stage::ALL.len()],
    frames: Frames,
    transitions: u64,
    /// What it has counted now, read into again and again.
    reading: Durations,
}

impl<'a> Counting<'a> {
    fn new(gauges: &'a Gauges, load: Box<dyn FnMut() -> Load>) -> Counting<'a> {
        let now = runtime::now();
        Counting {
            gauges,
            load,
            interval: Interval::default(),
            begun: now,
            looked: now,
            looks: 0,
            stages: std::array::from_fn(|_| Durations::default()),
            frames: Frames::default(),
            transitions: 0,
            reading: Durations::default(),
        }
    }

    fn lasts(&self) -> Duration {
        runtime::since(self.begun)
    }

    /// Looks at the state, and now and then at the machine.
    fn look(&mut self, told: &Inner) {
        let now = runtime::now();
        let seconds = now.saturating_duration_since(self.looked).as_secs_f64();
        self.looked = now;
        let mut count = |state: &str| match self.interval.states.get_mut(state) {
            Some(sum) => *sum += seconds,
            None => drop(self.interval.states.insert(state.to_owned(), seconds)),
        };
        if let Some(state) = self.gauges.state() {
            count(state);
        }
        if self.gauges.is_dark() {
            count("dark");
        }
        self.looks += 1;
        if self.looks.is_multiple_of(MACHINE_EVERY) || told.over.is_some() {
            self.interval.machine.merge(&(self.load)());
        }
        if let Some(heat) = &told.heat {
            let step = Some(heat.step).filter(|&step| step != crate::thermal::Step::None.word());
            self.interval.machine.merge(&Load {
                hottest_c: heat.celsius,
                throttled: heat.throttling.clone(),
                heat_steps: step.into_iter().map(str::to_owned).collect(),
                ..Load::default()
            });
        }
    }

    /// Ends the interval and begins the next one.
    fn take(&mut self) -> Interval {
        let now = runtime::now();
        let mut interval = std::mem::take(&mut self.interval);
        interval.unix_s = unix_s();
        interval.uptime_s = runtime::since_boot().as_secs_f64();
        interval.seconds = now.saturating_duration_since(self.begun).as_secs_f64();
        (self.begun, self.looked, self.looks) = (now, now, 0);
        for (stage, before) in Stage::ALL.into_iter().zip(&mut self.stages) {
            self.gauges.latencies().read_into(stage, &mut self.reading);
            let since = self.reading.since(before);
            std::mem::swap(before, &mut self.reading);
            if since.count() > 0 {
                interval.stages.insert(stage, Coded(since));
            }
        }
        let (frames, transitions) = (self.gauges.frames(), self.gauges.transitions());
        interval.frames = frames.since(&self.frames);
        interval.transitions = transitions.saturating_sub(self.transitions);
        (self.frames, self.transitions) = (frames, transitions);
        interval.slowest = self.gauges.take_slowest().list();
        interval
    }
}

/// The log that is written to, and what could not be written yet.
#[derive(Default)]
struct Disk {
    log: Option<(PathBuf, Box<dyn Minutes>)>,
    kept: VecDeque<Interval>,
    has_failed: bool,
}

impl Disk {
    fn keep(&mut self, interval: Interval) {
        self.kept.push_back(interval);
        while self.kept.len() > MOST_KEPT {
            if let (Some(mut oldest), Some(next)) = (self.kept.pop_front(), self.kept.pop_front()) {
                oldest.merge(&next);
                self.kept.push_front(oldest);
            }
        }
    }

    fn write(&mut self, surroundings: &impl Surroundings, now: &Inner, gauges: &Gauges) {
        let Some((folder, bounds)) = now.folder.as_ref().zip(now.bounds) else {
            (self.log, self.has_failed) = (None, false);
            self.kept.clear();
            return;
        };
        let written = self.try_write(surroundings, folder, bounds, &setup(now, gauges));
        match &written {
            Err(error) if !self.has_failed => {
                log::warn!("{}: they are kept in memory for an hour", one_line(error));
            }
            Ok(()) if self.has_failed => log::info!("latencies are written again"),
            _ => {}
        }
        self.has_failed = written.is_err();
    }

    fn try_write(
        &mut self,
        surroundings: &impl Surroundings,
        folder: &std::path::Path,
        bounds: Bounds,
        setup: &Setup,
    ) -> Result<()> {
        if self.log.as_ref().is_none_or(|(known, _)| known != folder) {
            self.log = None;
            let log = surroundings.latency_log(folder, bounds, setup, unix_s())?;
            self.log = Some((folder.to_owned(), log));
        }
        let Some((_, log)) = &mut self.log else { return Ok(()) };
        log.setup(setup)?;
        while let Some(interval) = self.kept.front() {
            log.minute(interval)?;
            self.kept.pop_front();
        }
        Ok(())
    }

    fn end(&mut self, exit_code: u8) {
        if let Some((_, log)) = &mut self.log
            && let Err(error) = log.end(unix_s(), exit_code)
            && !self.has_failed
        {
            log::warn!("{}", one_line(&error));
        }
    }
}

fn setup(now: &Inner, gauges: &Gauges) -> Setup {
    let (program, lines) = (Program::this(), gauges.lines());
    let known = now.made.get();
    let model = known.as_ref().map(|known| &known.ingredients.identity);
    let (hardware, system) = crate::health::names();
    Setup {
        schema: SCHEMA,
        boot_id: boot_id(),
        pid: std::process::id(),
        version: program.version.into(),
        commit: program.commit.into(),
        build: program.build.into(),
        kernels: program.kernels,
        host: program.host,
        hardware,
        system,
        board: now.board.clone(),
        profile_digest: now.profile_digest.clone(),
        model: model.map_or_else(String::new, |model| model.name.clone()),
        model_version: model.map_or_else(String::new, |model| model.version.clone()),
        model_digest: model.map_or_else(String::new, |model| model.digest.clone()),
        feed: lines.feed.clone(),
        display: lines.display.clone(),
        driver_clock: gauges.driver_clock().words().into(),
    }
}

fn unix_s() -> f64 {
    runtime::wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
