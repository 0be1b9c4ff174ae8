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
//! | [`mod@cart`] | what a run opens, reads and writes there |

pub mod camera;
pub mod cart;
pub mod monitor;
pub mod network;
mod picture;
pub mod plan;
#[expect(unsafe_code, reason = "tasks give way on stacks of their own")]
pub mod scheduler;
pub mod shrink;
pub mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use polyp_edge::board::Board;
use polyp_edge::bundle::manifest::{Manifest, TensorContract};
use polyp_edge::cart::{self as edge, Limits};
use polyp_edge::fault::exit_of;
use polyp_edge::pipeline::Settings;
use polyp_edge::runtime;

use cart::{WorldAsked, WorldSurroundings};
use plan::{Fault, Plan};
use scheduler::{Chaos, End, Scheduler};
use world::World;

/// Between two looks at whether all holds.
const TICK: Duration = Duration::from_millis(4);
/// All threads end so soon after they are told.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// How a simulation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What did not hold, with the simulated time, in order.
    pub broken: Vec<String>,
    /// The simulated time at which the first of it did not.
    pub broke_after: Option<Duration>,
    /// Pictures that reached the monitor.
    pub pictures: u64,
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
        let world = World::new(tells);
        *keeps.borrow_mut() = Some(world.clone());
        let operator = Operator { world: world.clone(), scheduler: theirs.clone(), faults, length };
        theirs.start("operator", move || operator.run());
        let surroundings = WorldSurroundings::new(&world, board.clone(), manifest());
        let asked = WorldAsked(world.clone());
        let path = Path::new("simulated.toml");
        match edge::run(&surroundings, &asked, path, false, Limits::default(), board) {
            Ok(()) => world.tell("the run ended well"),
            // That assistance or a thread was lost is told by the exit code.
            Err(error) => {
                world.tell(&format!("the run ended with exit code {:?}: {error:#}", exit_of(&error)))
            }
        }
        look_after_the_end(&world, &theirs);
    });
    let world = kept.borrow_mut().take();
    let world = world.unwrap_or_else(|| World::new(false));
    if end != End::Done {
        world.breaks(&format!("the simulation came to its end by {end:?}"));
    }
    let (steps, digest) = scheduler.trace();
    let (broken, broke_after) = (world.broken(), world.broke_after());
    let (pictures, story, faults) = (world.flips(), world.story(), world.faults());
    Report { broken, broke_after, pictures, steps, digest, story, faults }
}

/// A cart's profile, without what would hold outlines back or change them.
fn board() -> Board {
    let path = crate::root().join("boards/raspberry-pi-5.toml");
    let mut board = Board::load(&path).unwrap_or_else(|error| panic!("{error:#}"));
    let profile = &mut board.profile;
    (profile.gate.appear, profile.gate.window) = (Some(1), Some(1));
    (profile.gate.hold_frames, profile.gate.steady_percent) = (0, 0.0);
    profile.pipeline.max_age_ms = 120;
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
    scheduler: Rc<Scheduler>,
    faults: Plan,
    length: Duration,
}

impl Operator {
    fn run(self) {
        let mut faults = self.faults.0.iter().peekable();
        let stuck_after = Settings::default().stuck_after;
        let begin = runtime::now();
        while runtime::since(begin) < self.length {
            while let Some((_, fault)) = faults.next_if(|(time, _)| *time <= runtime::since(begin)) {
                self.world.happens(*fault, stuck_after);
                let until = |time| self.scheduler.time() + time;
                match *fault {
                    Fault::Starved(thread, time) => self.scheduler.starve(thread.name(), until(time)),
                    Fault::ClockForward(time) => self.scheduler.set_wall_clock(time, Duration::ZERO),
                    Fault::ClockBack(time) => self.scheduler.set_wall_clock(Duration::ZERO, time),
                    _ => {}
                }
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
    }
}

/// What must hold once the run has ended.
fn look_after_the_end(world: &World, scheduler: &Scheduler) {
    let asked = world.asked_to_end();
    match asked {
        None if world.panics_often() => {}
        None => world.breaks("the run ended, and nobody had asked for it"),
        Some(asked) if runtime::since(asked) > ENDS_WITHIN => {
            world.breaks(&format!("ending took {:?}", runtime::since(asked)));
        }
        _ => {}
    }
    // What hangs comes back at last.
    runtime::thread::sleep(Duration::from_secs(150));
    if world.lent() > 0 {
        world.breaks(&format!("{} buffers of the camera are lent after the end", world.lent()));
    }
    let living = scheduler.living().into_iter().map(|task| task.name);
    let living: Vec<String> = living.filter(|name| !["main", "operator"].contains(&name.as_str())).collect();
    if !living.is_empty() {
        world.breaks(&format!("threads go on after the end: {living:?}"));
    }
}
