//! The inference thread: newest frame → regions → temporal gate → newest result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use anyhow::Result;

use super::mailbox::ClosesOnDrop;
use super::{Boxes, Found, PATIENCE, Segmenter, Settings, Walk};
use crate::fault::{Exit, Fault};
use crate::latency::{Latencies, Stage};
use crate::state::Reason;
use crate::track::Gate;

/// Works until the frames end. An error or a panic ends assistance, never the picture.
pub(super) fn work<S: Segmenter>(
    load: impl FnOnce() -> Result<Walk<S>>,
    settings: &Settings,
    boxes: &Boxes,
) -> Latencies {
    let _closes = ClosesOnDrop(&boxes.found);
    let mut latencies = Latencies::default();
    let mut walk = match guarded(load) {
        Ok(walk) => walk,
        Err(error) => {
            boxes.lost.put((Reason::Model(one_line(&error)), error));
            return latencies;
        }
    };
    let mut gate = Gate::new(&settings.gate);
    loop {
        let Some(captured) = boxes.inference.take(PATIENCE) else {
            if boxes.inference.is_over() {
                return latencies;
            }
            continue;
        };
        let mut found = boxes.found.blank().unwrap_or_else(Found::blank);
        (found.number, found.at) = (captured.frame.number, captured.at);
        if let Err(error) = guarded(|| walk.regions(&captured.frame, &mut latencies, &mut found.regions)) {
            boxes.lost.put((Reason::Inference(one_line(&error)), error));
            return latencies;
        }
        let start = Instant::now();
        let mut shown = gate.update(&found.regions.list).iter();
        found.regions.list.retain(|_| shown.next().copied().unwrap_or(false));
        latencies.record(Stage::Gate, start.elapsed());
        boxes.inference.give_back(captured);
        boxes.found.put(found);
    }
}

/// Turns a panic into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Fault::new(Exit::Assertion, format!("a panic: {text}")))
    })
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}
