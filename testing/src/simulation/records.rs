//! What a run records for others: the audit trail, the metrics.

use polyp_edge::audit::{Entry, Event};

use super::world::World;

/// What was recorded last.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The state in the audit trail.
    state: Option<&'static str>,
    /// Pictures shown, as the metrics say.
    shown: f64,
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
