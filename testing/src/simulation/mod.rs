//! A whole cart in one seed: the run as it ships, with its supervision and reloads, in surroundings that fail by a plan, in
//! simulated time.
//!
//! The same seed gives the same run, step for step. What must hold is asked at every picture and every few milliseconds.
//!
//! | module | job |
//! |---|---|
//! | [`scheduler`] | one task at a time, in the order and at the times that a seed decides |
//! | [`plan`] | what goes wrong, and when |
//! | [`mod@shrink`] | a plan that breaks something, made short |
//! | [`world`] | what ails the surroundings, and what must hold all the same |
//! | [`camera`], [`monitor`], [`network`] | what stands in for each |
//! | [`drivers`] | the cart's own drivers in the place of camera and monitor, on the stand-ins for the kernel |
//! | `records` | what a run records for others |
//! | `films` | recordings on a disk |
//! | `store` | installed bundles, and one on trial |
//! | `heat` | the computer's temperature and its sensors |
//! | `log` | the cart's own log, and a reader that may not read |
//! | [`mod@cart`] | what a run opens, reads and writes there |

pub mod camera;
pub mod cart;
pub mod drivers;
mod films;
mod heat;
mod log;
pub mod monitor;
pub mod network;
mod picture;
pub mod plan;
mod records;
mod room;
#[expect(unsafe_code, reason = "tasks give way on stacks of their own")]
pub mod scheduler;
pub mod shrink;
mod store;
pub mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use polyp_edge::board::{Board, DisplayKind, SecondMonitor};
use polyp_edge::bundle::manifest::{Manifest, TensorContract};
use polyp_edge::cart::{self as edge, Limits};
use polyp_edge::display::Shows;
use polyp_edge::fault::exit_of;
use polyp_edge::pipeline::Settings;
use polyp_edge::recording::Pictures;
use polyp_edge::runtime;

use cart::{WorldAsked, WorldSurroundings};
use drivers::Drivers;
use log::Listening;
use plan::{Fault, Plan};
use scheduler::{Chaos, End, Scheduler};
use world::World;

/// Between two looks at whether all holds.
const TICK: Duration = Duration::from_millis(4);
/// All threads end so soon after they are told.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The run ends so soon after it is told a second time.
const HURRIES_WITHIN: Duration = Duration::from_millis(150);
/// Lines of the log in an hour, however much goes wrong.
const MOST_LINES_AN_HOUR: u64 = 10_000;

/// How a simulation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What did not hold, with the simulated time, in order.
    pub broken: Vec<String>,
    /// The simulated time at which the first of it did not.
    pub broke_after: Option<Duration>,
    /// Pictures that reached the monitor.
    pub pictures: u64,
    /// Those that were compared, pixel by pixel, with what the monitor shows.
    pub compared: u64,
    /// Those that a second monitor took.
    pub second: u64,
    /// Lines of the cart's log.
    pub log_lines: u64,
    /// How often a task went on.
    pub steps: u64,
    /// Stands for all that happened: the same for the same seed.
    pub digest: u64,
    /// What happened, a line an event, if that was asked for.
    pub story: Vec<String>,
    /// How often a kind of fault happened in a state.
    pub faults: BTreeMap<(String, String), u64>,
}

/// Simulates a cart for so long, with the faults of a seed.
pub fn simulate(seed: u64, length: Duration, tells: bool) -> Report {
    simulate_plan(seed, length, &Plan::random(seed, length), tells)
}

/// Simulates a cart for so long, with these faults.
pub fn simulate_plan(seed: u64, length: Duration, plan: &Plan, tells: bool) -> Report {
    let scheduler = Scheduler::new(seed, Chaos::default());
    let (faults, theirs) = (plan.clone(), scheduler.clone());
    let kept: Rc<RefCell<Option<World>>> = Rc::default();
    let keeps = kept.clone();
    let board = board();
    let end = scheduler.run(length + Duration::from_secs(400), move || {
        let world = World::new(faults.has_drivers, tells);
        *keeps.borrow_mut() = Some(world.clone());
        let listening = Listening::begin(&world);
        let drivers = faults.has_drivers.then(|| Drivers::new(&world, seed));
        let operator = Operator {
            world: world.clone(),
            drivers: drivers.clone(),
            scheduler: theirs.clone(),
            faults: faults.faults,
            seed,
            length,
        };
        theirs.start("operator", move || operator.run());
        let surroundings =
            WorldSurroundings::new(&world, drivers.as_ref(), faults.has_engine, (board.clone(), manifest()));
        let asked = WorldAsked(world.clone());
        let path = Path::new("simulated.toml");
        match edge::run(&surroundings, &asked, path, false, Limits::default(), board) {
            Ok(()) => world.tell("the run ended well"),
            // That assistance or a thread was lost is told by the exit code.
            Err(error) => {
                world.tell(&format!("the run ended with exit code {:?}: {error:#}", exit_of(&error)))
            }
        }
        drop(surroundings);
        look_after_the_end(&world, drivers.as_ref(), &theirs);
        drop(listening);
    });
    let world = kept.borrow_mut().take();
    let world = world.unwrap_or_else(|| World::new(false, false));
    if end != End::Done {
        world.breaks(&format!("the simulation came to its end by {end:?}"));
    }
    let (steps, digest) = scheduler.trace();
    let hours = length.as_secs_f64() / 3600.0;
    if world.log_lines() > 500 + (hours * MOST_LINES_AN_HOUR as f64) as u64 {
        world.breaks(&format!("{} lines were logged in {hours:.2} hours", world.log_lines()));
    }
    let (broken, broke_after) = (world.broken(), world.broke_after());
    let (pictures, story, faults) = (world.flips(), world.story(), world.faults());
    let (compared, second, log_lines) = (world.compared(), world.second(), world.log_lines());
    Report { broken, broke_after, pictures, compared, second, log_lines, steps, digest, story, faults }
}

/// Starts a cart that shows in this way, on a disk that answers nothing for a while, and tells it to end after so long; what it ended
/// with.
///
/// # Errors
/// In words, also if it did not end.
pub fn start_and_end(kind: DisplayKind, disk_hangs: Duration, ends_after: Duration) -> Result<(), String> {
    let scheduler = Scheduler::new(1, Chaos::default());
    let outcome = Rc::new(RefCell::new(Err("it has not ended".to_owned())));
    let (theirs, operators) = (outcome.clone(), scheduler.clone());
    let mut board = board();
    board.profile.display.kind = kind;
    let end = scheduler.run(Duration::from_secs(60), move || {
        let world = World::new(false, false);
        world.happens(Fault::DiskHangs(disk_hangs), Settings::default().stuck_after);
        let surroundings = WorldSurroundings::new(&world, None, false, (board.clone(), manifest()));
        let asked = WorldAsked(world.clone());
        operators.start("operator", move || {
            runtime::thread::sleep(ends_after);
            world.ask_to_end();
        });
        let ended =
            edge::run(&surroundings, &asked, Path::new("simulated.toml"), false, Limits::default(), board);
        *theirs.borrow_mut() = ended.map_err(|error| format!("exit code {:?}: {error:#}", exit_of(&error)));
    });
    let outcome = outcome.borrow().clone();
    if end == End::Done { outcome } else { Err(format!("the simulation came to its end by {end:?}")) }
}

/// A cart's profile, without what would hold outlines back or change them.
fn board() -> Board {
    let path = crate::root().join("boards/raspberry-pi-5.toml");
    let mut board = Board::load(&path).unwrap_or_else(|error| panic!("{error:#}"));
    let profile = &mut board.profile;
    (profile.gate.appear, profile.gate.window) = (Some(1), Some(1));
    (profile.gate.hold_frames, profile.gate.steady_percent) = (0, 0.0);
    // An outline's place says which frame it is of.
    profile.overlay.follow_motion = false;
    profile.pipeline.max_age_ms = 120;
    profile.pipeline.audit_folder = Some("/var/lib/audit".into());
    profile.pipeline.latency_folder = Some("/var/lib/latency".into());
    profile.pipeline.metrics_file = Some("/var/lib/metrics.prom".into());
    profile.study.folder = Some("/var/lib/study".into());
    // Few pictures, and only when they are asked for: coding them takes real time.
    profile.recording.pictures = Pictures::Both;
    (profile.recording.before_s, profile.recording.rate_hz) = (0.0, 5.0);
    profile.recording.memory_megabytes = 16;
    profile.display.connector = Some("HDMI-A-1".into());
    profile.display.second = Some(SecondMonitor { connector: "HDMI-A-2".into(), shows: Shows::Outlined });
    profile.store.trial_minutes = store::TRIAL_MINUTES;
    profile.pipeline.realtime_priority = 40;
    profile.pipeline.state_file = Some("/run/state.json".into());
    board
}

fn manifest() -> Manifest {
    let tensor = |shape| TensorContract { name: "x".into(), shape, scale: 0.1, zero_point: 128 };
    crate::bundle::manifest(tensor([1, 3, 32, 32]), tensor([1, 1, 8, 8]), &[])
}

/// What happens to the cart, by the plan.
struct Operator {
    world: World,
    drivers: Option<Drivers>,
    scheduler: Rc<Scheduler>,
    faults: Vec<(Duration, Fault)>,
    seed: u64,
    length: Duration,
}

impl Operator {
    fn run(self) {
        let mut faults = self.faults.iter().peekable();
        let stuck_after = Settings::default().stuck_after;
        let begin = runtime::now();
        while runtime::since(begin) < self.length {
            while let Some((_, fault)) = faults.next_if(|(time, _)| *time <= runtime::since(begin)) {
                self.world.happens(*fault, stuck_after);
                if let Some(drivers) = &self.drivers {
                    drivers.happens(*fault);
                }
                let until = |time| self.scheduler.time() + time;
                match *fault {
                    Fault::Starved(thread, time) => self.scheduler.starve(thread.name(), until(time)),
                    Fault::ClockForward(time) => self.scheduler.set_wall_clock(time, Duration::ZERO),
                    Fault::ClockBack(time) => self.scheduler.set_wall_clock(Duration::ZERO, time),
                    _ => {}
                }
            }
            if let Some(drivers) = &self.drivers {
                drivers.tend();
            }
            if !self.world.panics_often() {
                self.world.look();
            }
            if self.world.broke_after().is_some() || self.world.panics_often() {
                break;
            }
            runtime::thread::sleep(TICK);
        }
        self.world.ask_to_end();
        // Every third seed asks once more, in the middle of the ending.
        if self.seed.is_multiple_of(3) {
            runtime::thread::sleep(Duration::from_millis(self.seed / 3 % 400));
            self.world.ask_again();
        }
    }
}

/// What must hold once the run has ended.
fn look_after_the_end(world: &World, drivers: Option<&Drivers>, scheduler: &Scheduler) {
    // Nothing ends while the thread that would end it has no core.
    let asked = world.asked_to_end().map(|asked| asked.max(world.starved_until()));
    match asked {
        None if world.panics_often() => {}
        None => world.breaks("the run ended, and nobody had asked for it"),
        Some(asked) if runtime::since(asked) > ENDS_WITHIN => {
            world.breaks(&format!("ending took {:?}", runtime::since(asked)));
        }
        _ => {}
    }
    world.look_at_notices();
    let again = world.asked_again().map(|again| again.max(world.starved_until()));
    let again = again.map_or(Duration::ZERO, runtime::since);
    if again > HURRIES_WITHIN {
        world.breaks(&format!("ending took {again:?} after the second time that it was asked for"));
    }
    // What hangs comes back at last.
    for _ in 0..1500 {
        runtime::thread::sleep(Duration::from_millis(100));
        if let Some(drivers) = drivers {
            drivers.tend();
        }
    }
    if world.lent() > 0 {
        world.breaks(&format!("{} buffers of the camera are lent after the end", world.lent()));
    }
    for left in drivers.map_or(Vec::new(), Drivers::left) {
        world.breaks(&left);
    }
    let living = scheduler.living().into_iter().map(|task| task.name);
    let living: Vec<String> =
        living.filter(|name| !["main", "operator", "log", "room"].contains(&name.as_str())).collect();
    if !living.is_empty() {
        world.breaks(&format!("threads go on after the end: {living:?}"));
    }
}
