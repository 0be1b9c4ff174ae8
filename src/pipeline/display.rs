//! The display's side: newest frame + newest result → picture → sink. In the thread that runs the pipeline.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Boxes, Found, Observer, Outcome, PATIENCE, Settings};
use crate::display::{Scene, Sink};
use crate::frame::FrameNumber;
use crate::latency::{Latencies, Stage};
use crate::overlay::{Glyph, Layer, Painter};
use crate::state::{Machine, State};

/// Without a frame for this long there is no signal.
const NO_SIGNAL_AFTER: Duration = Duration::from_secs(1);

/// Shows until the frames end. What capture and inference know is added by the caller.
pub(super) fn show(
    sink: &mut dyn Sink,
    settings: &Settings,
    boxes: &Boxes,
    observer: &mut Observer<'_>,
) -> Result<Outcome> {
    let mut machine = Machine::default();
    let mut painter = Painter::new(settings.style);
    let mut layer = Layer::default();
    let mut outcome = Outcome {
        state: State::SelfTest,
        captured: 0,
        shown: 0,
        with_regions: 0,
        skipped: 0,
        latencies: Latencies::default(),
        lost: None,
    };
    let mut newest: Option<Found> = None;
    let mut drawn_last = None;
    let mut last_frame = Instant::now();
    loop {
        let Some(captured) = boxes.display.take(PATIENCE) else {
            if boxes.display.is_over() {
                break;
            }
            if last_frame.elapsed() > NO_SIGNAL_AFTER {
                machine.go(State::NoSignal);
            }
            continue;
        };
        last_frame = Instant::now();
        let number = captured.frame.number;
        match settings.lock_step {
            true => wait_for(boxes, number, &mut newest),
            false => newer(boxes, boxes.found.try_take(), &mut newest),
        }
        if let Some((reason, error)) = boxes.lost.try_take() {
            machine.go(State::Degraded(reason));
            outcome.lost = Some(error);
        }
        let begun = Instant::now();
        let lost = matches!(machine.state(), State::Degraded(_));
        let fresh = newest.as_ref().filter(|found| match settings.lock_step {
            true => found.number == number,
            false => begun.saturating_duration_since(found.at) <= settings.max_age,
        });
        let fresh = fresh.filter(|_| !lost);
        machine.go(if fresh.is_some() { State::Assist } else { State::Passthrough });
        let regions = fresh.map_or(&[][..], |found| &found.regions.list);
        let placement = sink.place(captured.frame.width_px(), captured.frame.height_px());
        layer.reset(placement.surface.0, placement.surface.1);
        painter.outlines(&mut layer, regions, &placement);
        if settings.glyph {
            match machine.state() {
                State::Assist => painter.glyph(&mut layer, Glyph::Assist, "ASSIST"),
                State::Degraded(reason) => {
                    let words = format!("ASSIST OFF - {reason}");
                    painter.glyph(&mut layer, Glyph::Off, &words);
                }
                _ => painter.glyph(&mut layer, Glyph::Passthrough, "PASSTHROUGH"),
            }
        }
        let drawn = Instant::now();
        outcome.latencies.record(Stage::Draw, drawn - begun);
        outcome.latencies.record(Stage::VideoDelay, drawn.saturating_duration_since(captured.at));
        if let Some(found) = fresh
            && drawn_last != Some(found.number)
        {
            drawn_last = Some(found.number);
            outcome.latencies.record(Stage::Total, drawn.saturating_duration_since(found.at));
        }
        outcome.shown += 1;
        outcome.with_regions += u64::from(!regions.is_empty());
        observer(&captured.frame, captured.truth.as_ref(), regions);
        let begun = Instant::now();
        sink.show(&Scene {
            picture: Some(captured.frame.view()),
            lease: None,
            layer: &layer,
            placement,
            name: &captured.name,
            captured: captured.at,
        })?;
        outcome.latencies.record(Stage::Display, begun.elapsed());
        boxes.display.give_back(captured);
        if settings.lock_step {
            boxes.finished.put(());
        }
    }
    if let Some((reason, error)) = boxes.lost.try_take() {
        machine.go(State::Degraded(reason));
        outcome.lost = Some(error);
    }
    outcome.state = machine.state().clone();
    Ok(outcome)
}

fn newer(boxes: &Boxes, taken: Option<Found>, newest: &mut Option<Found>) {
    if let Some(found) = taken
        && let Some(old) = newest.replace(found)
    {
        boxes.found.give_back(old);
    }
}

/// In lock step: until the frame's own result is there or will never be.
fn wait_for(boxes: &Boxes, number: FrameNumber, newest: &mut Option<Found>) {
    while newest.as_ref().is_none_or(|found| found.number < number) && !boxes.stop.load(Ordering::Relaxed) {
        newer(boxes, boxes.found.take(PATIENCE), newest);
        if boxes.found.is_over() {
            break;
        }
    }
}
