//! A whole cart in one seed: the pipeline as it ships, in surroundings that fail by a plan, in simulated time.
//!
//! The same seed gives the same run, step for step. What must hold is asked at every picture and every few milliseconds.
//!
//! | module | job |
//! |---|---|
//! | [`scheduler`] | one task at a time, in the order and at the times that a seed decides |
//! | [`plan`] | what goes wrong, and when |
//! | [`mod@shrink`] | a plan that breaks something, made short |
//! | [`world`] | camera, monitor, network and operator, and what must hold |

pub mod plan;
#[expect(unsafe_code, reason = "tasks give way on stacks of their own")]
pub mod scheduler;
pub mod shrink;
pub mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use polyp_edge::bundle::manifest::Decision;
use polyp_edge::field_of_view::{Rule, Sequence};
use polyp_edge::pipeline::{Event, Feed, Load, Outcome, Pipeline, Settings};
use polyp_edge::runtime;
use polyp_edge::segment::Segmenter;

use plan::{Fault, Plan};
use scheduler::{Chaos, End, Scheduler};
use world::{Watch, World, WorldCamera, WorldMonitor, WorldNetwork};

/// Between two looks of the thread that supervises, as `run` has it.
const TICK: Duration = Duration::from_millis(4);
/// From the failure of a display to the next try, as `run` has it.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
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
    let end = scheduler.run(length + Duration::from_secs(200), move || {
        let world = World::new(tells);
        *keeps.borrow_mut() = Some(world.clone());
        let operator = Operator { world: world.clone(), scheduler: theirs, faults, length };
        if let Err(error) = operator.run() {
            world.breaks(&format!("the run ended with an error: {error:#}"));
        }
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

/// Does what `run` does with a pipeline, and what people do to it.
struct Operator {
    world: World,
    scheduler: Rc<Scheduler>,
    faults: Plan,
    length: Duration,
}

impl Operator {
    fn settings() -> Settings {
        Settings { realtime_priority: 40, ..Settings::default() }
    }

    fn run(self) -> Result<()> {
        let settings = Self::settings();
        let mut pipeline = Pipeline::start(settings.clone(), Box::new(Watch(self.world.clone())))?;
        pipeline.set_sink(Box::new(WorldMonitor::new(&self.world)));
        pipeline.load(self.load(Duration::from_millis(300), false))?;
        pipeline.set_feed(self.feed())?;
        let mut faults = self.faults.0.iter().peekable();
        let mut reopen_at = None;
        let begin = runtime::now();
        while runtime::since(begin) < self.length {
            match pipeline.attend() {
                Event::Going => {}
                Event::SinkReleased(sink) => drop(sink),
                Event::SinkFailed(_) => reopen_at = Some(runtime::now() + REOPEN_AFTER),
                Event::CaptureLost => pipeline.set_feed(self.feed())?,
                Event::Over => self.world.breaks("a live camera came to its end"),
                Event::SourceFailed(error) => self.world.breaks(&format!("the source failed: {error:#}")),
                Event::DisplayLost => {
                    self.world.breaks("the display thread panicked");
                    break;
                }
            }
            if reopen_at.is_some_and(|at| runtime::now() >= at) {
                reopen_at = None;
                pipeline.set_sink(Box::new(WorldMonitor::new(&self.world)));
            }
            while let Some((_, fault)) = faults.next_if(|(time, _)| *time <= runtime::since(begin)) {
                self.scheduler.note(fault.kind().len() as u64);
                self.happens(*fault, &mut pipeline, &settings)?;
            }
            self.world.look();
            if !self.world.broken().is_empty() {
                break;
            }
            runtime::thread::sleep(TICK);
        }
        self.end(pipeline);
        Ok(())
    }

    fn happens(
        &self,
        fault: Fault,
        pipeline: &mut Pipeline<WorldNetwork>,
        settings: &Settings,
    ) -> Result<()> {
        self.world.happens(fault, settings.stuck_after);
        match fault {
            Fault::Starved(thread, time) => {
                self.scheduler.starve(thread.name(), self.scheduler.time() + time)
            }
            Fault::ClockForward(time) => self.scheduler.set_wall_clock(time, Duration::ZERO),
            Fault::ClockBack(time) => self.scheduler.set_wall_clock(Duration::ZERO, time),
            Fault::FeedExchanged => pipeline.set_feed(self.feed())?,
            Fault::SinkExchanged => pipeline.set_sink(Box::new(WorldMonitor::new(&self.world))),
            Fault::ModelExchanged => {
                let load = self.load(Duration::ZERO, false);
                pipeline.adopt(load()?, load);
            }
            Fault::ModelReloaded(time) => pipeline.load(self.load(time, false))?,
            Fault::ModelUnreadable => pipeline.load(self.load(Duration::ZERO, true))?,
            Fault::SettingsExchanged => {
                pipeline.set_settings(Settings {
                    glyph: self.scheduler.trace().0.is_multiple_of(2),
                    ..settings.clone()
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn feed(&self) -> Feed {
        Feed::Live(Box::new(WorldCamera::new(&self.world)))
    }

    /// Makes the model, for which its file takes so long; or cannot.
    fn load(&self, takes: Duration, fails: bool) -> Load<WorldNetwork> {
        let world = self.world.clone();
        Arc::new(move || {
            runtime::thread::sleep(takes);
            anyhow::ensure!(!fails, "the simulated bundle cannot be read");
            let decision = Decision { threshold: 0.5, min_region_share: 0.0, min_peak: 0.5 };
            let network = WorldNetwork::new(&world);
            Segmenter::with(network, &decision, Rule::WholeFrame, Sequence::Video)
        })
    }

    fn end(&self, pipeline: Pipeline<WorldNetwork>) {
        let told = runtime::now();
        let outcome = pipeline.end(&|| false);
        if runtime::since(told) > ENDS_WITHIN {
            self.world.breaks(&format!("ending took {:?}", runtime::since(told)));
        }
        self.world.tell(&format!("ended: {}", summary(&outcome)));
        self.check_fates(&outcome);
        // What hangs comes back at last.
        runtime::thread::sleep(Duration::from_secs(50));
        if self.world.lent() > 0 {
            self.world.breaks(&format!("{} buffers of the camera are lent after the end", self.world.lent()));
        }
        let living: Vec<String> =
            self.scheduler.living().into_iter().map(|task| task.name).filter(|name| name != "main").collect();
        if !living.is_empty() {
            self.world.breaks(&format!("threads go on after the end: {living:?}"));
        }
    }

    /// Every frame has one fate: shown, not shown, or on its way when all was told to end.
    fn check_fates(&self, outcome: &Outcome) {
        if outcome.display_lost {
            return;
        }
        let told_of = outcome.shown + outcome.not_shown;
        if told_of > outcome.captured || outcome.captured - told_of > 3 + u64::from(outcome.lost_threads) {
            self.world.breaks(&format!("frames without a fate: {}", summary(outcome)));
        }
    }
}

fn summary(outcome: &Outcome) -> String {
    format!(
        "{} captured, {} shown, {} not shown, {} changes of state, {} threads lost",
        outcome.captured, outcome.shown, outcome.not_shown, outcome.transitions, outcome.lost_threads
    )
}
