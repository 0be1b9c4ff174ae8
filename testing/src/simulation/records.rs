//! What a run records for others: the audit trail, the metrics, the log of latencies.

use anyhow::{Result, bail};
use polyp_edge::audit::{Entry, Event};
use polyp_edge::fault::Fault as Failure;
use polyp_edge::latency::interval::{Frames, Interval};
use polyp_edge::latency::log::{Minutes, Setup};

use super::world::World;

/// What was recorded last.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The state in the audit trail.
    state: Option<&'static str>,
    /// Pictures shown, as the metrics say.
    shown: f64,
    /// What has become of the frames, as all minutes together say.
    frames: Frames,
}

/// Frames that are on their way between two threads when a minute ends, at most: those that are captured and not yet counted as
/// anything else.
const UNDER_WAY: u64 = 8;

/// A log of latencies on the simulated disk.
pub(super) struct LatencyLog {
    world: World,
}

impl LatencyLog {
    pub(super) fn new(world: &World) -> LatencyLog {
        LatencyLog { world: world.clone() }
    }

    fn write(&self) -> Result<()> {
        self.world.wait_for_disk();
        if self.world.disk_is_full() {
            bail!(Failure::io("no space is left on the simulated disk"));
        }
        Ok(())
    }
}

impl Minutes for LatencyLog {
    fn setup(&mut self, _: &Setup) -> Result<()> {
        self.write()
    }

    fn minute(&mut self, interval: &Interval) -> Result<()> {
        self.write()?;
        self.world.minute(interval);
        Ok(())
    }

    fn end(&mut self, _: f64, _: u8) -> Result<()> {
        self.write()
    }
}

impl World {
    /// Takes in what the audit trail records: a state after one that it is not, unless something was left out.
    pub fn recorded(&self, entry: &Entry) {
        let mut world = self.lock();
        match &entry.event {
            Event::State { state, omitted, .. } => {
                if *omitted == 0
                    && world.records.state == Some(*state)
                    && *state != "no-signal"
                    && *state != "degraded"
                {
                    world.breaks(&format!("the audit trail records {state} twice, one after the other"));
                }
                world.records.state = Some(*state);
            }
            Event::Lost { .. } => world.records.state = None,
            _ => {}
        }
    }

    /// Takes in a minute of the log of latencies: every frame has one fate, and the states fill the time.
    fn minute(&self, interval: &Interval) {
        let mut world = self.lock();
        let mut all = world.records.frames;
        all.merge(&interval.frames);
        world.records.frames = all;
        let shown_or_not = all.shown + all.not_shown();
        if all.captured.abs_diff(shown_or_not) > UNDER_WAY {
            world.breaks(&format!(
                "of {} captured frames, the log of latencies has {shown_or_not} shown or not",
                all.captured
            ));
        }
        let known: f64 =
            interval.states.iter().filter(|(state, _)| *state != "dark").map(|(_, seconds)| seconds).sum();
        if known > interval.seconds + 1e-3 {
            world.breaks(&format!(
                "the states of a minute last {known} s, and the minute {} s",
                interval.seconds
            ));
        }
    }

    /// Takes in what the metrics say: what is counted never becomes less.
    pub fn measured(&self, text: &str) {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok())
        };
        let shown = value("polyp_edge_frames_shown_total");
        let mut world = self.lock();
        let before = world.records.shown;
        match shown {
            Some(shown) if shown >= before => world.records.shown = shown,
            _ => world.breaks(&format!("the metrics say that {shown:?} frames were shown, after {before}")),
        }
    }
}
