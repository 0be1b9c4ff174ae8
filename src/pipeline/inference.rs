//! An inference thread: newest frame → regions → temporal gate → newest result.
//!
//! One thread is in charge. One that hangs is given up by the [supervisor](super::supervisor) and another takes its place:
//! whatever the first gives later counts for nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::PATIENCE;
use super::frames::{Captured, Found, Origin};
use super::mailbox::{Letter, Mailbox};
use super::pace::Pace;
use super::progress::Progress;
use super::shared::{Assistance, Boxes};
use super::tally::count;
use crate::convert;
use crate::detect::{MAX_REGIONS, Region, Regions};
use crate::fault::{Exit, Fault, one_line, panic_text};
use crate::frame::Frame;
use crate::geometry::Rect;
use crate::heap;
use crate::latency::Stage;
use crate::runtime;
use crate::runtime::thread::JoinHandle;
use crate::segment::{Network, Segmenter};
use crate::state::Reason;
use crate::track::{Gate, Rule};

/// Regions that cover more than this share of the field of view together, or as many as there can be, are implausible:
/// no polyp fills the picture with nothing around it.
const MOST_COVERED: f32 = 0.9;
/// Outlines longer than this together, in circumferences of the field of view, are implausible too: three large polyps
/// have not half as much, noise has many times as much, and drawing it would delay the picture.
const MOST_OUTLINED: f32 = 2.0;
/// So many plausible frames end the doubt.
const PLAUSIBLE_FRAMES: u32 = 15;
/// After a gap this long in the frames, what the gate remembers is of another scene.
const GATE_FORGETS: Duration = Duration::from_millis(500);

/// A segmenter on its way to the thread that is in charge.
pub(super) struct NewSegmenter<S>(pub Segmenter<S>);

impl<S> Letter for NewSegmenter<S> {}

/// Makes a segmenter and tests it.
///
/// # Errors
/// What kept it from being made, or exit 65 if a golden frame does not come out as it must; a panic counts as an error.
pub fn tested<S: Network>(load: impl FnOnce() -> Result<Segmenter<S>>) -> Result<Segmenter<S>> {
    guarded(|| {
        let mut segmenter = load()?;
        (0..segmenter.golden_frames()).try_for_each(|index| segmenter.check(index))?;
        Ok(segmenter)
    })
}

/// Looks at frames as long as the thread's generation is in charge and the pipeline goes on.
pub(super) fn work<S: Network>(
    boxes: &Boxes,
    segmenters: &Mailbox<NewSegmenter<S>>,
    progress: &Progress,
    generation: u64,
) {
    let in_charge = || !boxes.is_stopping() && boxes.generation.load(Ordering::Acquire) == generation;
    let everywhere = rustix::thread::sched_getaffinity(None).ok().filter(|_| !runtime::is_simulated());
    let mut looking: Option<Looking<S>> = None;
    let mut pace = Pace::default();
    while in_charge() {
        progress.alive();
        // Frames wait for the first segmenter, a segmenter is exchanged between two frames.
        let next = match looking {
            None => segmenters.take(PATIENCE),
            Some(_) => segmenters.try_take(),
        };
        if let Some(NewSegmenter(segmenter)) = next {
            // The old one goes first, and its cores with it.
            drop(looking.take());
            let _ = everywhere.map(|cores| rustix::thread::sched_setaffinity(None, &cores));
            looking = Some(Looking::new(segmenter, boxes));
            heap::give_back();
            boxes.assistance.set(Assistance::Ready);
        }
        let Some(now) = &mut looking else { continue };
        let Some(captured) = boxes.inference.take(PATIENCE) else { continue };
        progress.alive();
        pace.follow(&boxes.settings);
        if !pace.takes(captured.at) {
            count(&boxes.tally.spared);
            boxes.inference.give_back(captured);
            continue;
        }
        let mut found = boxes.found.blank().unwrap_or_else(Found::blank);
        match guarded(|| now.look(captured, &mut found, boxes)) {
            Ok(captured) => boxes.inference.give_back(captured),
            Err(error) => {
                looking = None;
                if in_charge() {
                    // In this order: see the display, which takes the reason first.
                    boxes.assistance.set(Assistance::Lost);
                    boxes.lost.put((Reason::Inference(one_line(&error)), error));
                }
                continue;
            }
        }
        if in_charge() {
            boxes.found.put(found);
        }
    }
}

/// A segmenter at work, with what it remembers of the frames before.
struct Looking<S> {
    segmenter: Segmenter<S>,
    gate: Gate,
    rule: Rule,
    seen: u64,
    recheck_after: Duration,
    /// The time between frames is not that of their scene.
    lock_step: bool,
    follows_motion: bool,
    /// Of the frame before, and when that was taken.
    last: Option<(Origin, Instant)>,
    converted: Frame,
    doubt: u32,
    checked: Instant,
    next_check: usize,
}

impl<S: Network> Looking<S> {
    fn new(mut segmenter: Segmenter<S>, boxes: &Boxes) -> Looking<S> {
        segmenter.enter_thread();
        let settings = boxes.settings.get();
        let rule = settings.rule(segmenter.gate());
        Looking {
            segmenter,
            gate: Gate::new(&rule),
            rule,
            seen: 0,
            recheck_after: settings.recheck_after,
            lock_step: settings.lock_step,
            follows_motion: settings.follows_motion(),
            last: None,
            converted: Frame::black(1, 1),
            doubt: 0,
            checked: runtime::now(),
            next_check: 0,
        }
    }

    /// Puts what is found in a frame into `found`; gives the frame back.
    fn look(&mut self, mut captured: Captured, found: &mut Found, boxes: &Boxes) -> Result<Captured> {
        if let Some(settings) = boxes.settings.newer(&mut self.seen) {
            self.recheck_after = settings.recheck_after;
            self.lock_step = settings.lock_step;
            self.follows_motion = settings.follows_motion();
            let rule = settings.rule(self.segmenter.gate());
            if rule != self.rule {
                self.rule = rule;
                self.gate = Gate::new(&rule);
            }
        }
        let origin = captured.origin();
        (found.origin, found.number, found.at) = (origin, captured.number, captured.at);
        let before = self.last.replace((origin, captured.at));
        if before.is_none_or(|(before, _)| before != origin) {
            self.gate.forget();
            self.segmenter.forget();
            self.doubt = 0;
        } else if !self.lock_step
            && before.is_some_and(|(_, at)| captured.at.saturating_duration_since(at) > GATE_FORGETS)
        {
            self.gate.forget();
        }
        // A camera's buffer goes back as soon as it was read. One converted frame is enough: each letter's own would stay with it.
        let lent = captured.lease.take();
        let is_lent = lent.is_some();
        if let Some(lease) = lent {
            let start = runtime::now();
            convert::to_rgb(&lease.view(), &mut self.converted)?;
            boxes.latencies.record(Stage::Convert, runtime::since(start));
        }
        if runtime::since(self.checked) >= self.recheck_after && self.segmenter.golden_frames() > 0 {
            self.segmenter.check(self.next_check)?;
            (self.checked, self.next_check) =
                (runtime::now(), (self.next_check + 1) % self.segmenter.golden_frames());
        }
        let frame = if is_lent { &self.converted } else { &captured.frame };
        self.segmenter.regions(frame, &boxes.latencies, &mut found.regions)?;
        let start = runtime::now();
        found.field = self.segmenter.mapping().crop;
        if self.follows_motion {
            found.thumbnail.take(&frame.view(), found.field);
        }
        self.doubt = if is_implausible(&found.regions, found.field) {
            PLAUSIBLE_FRAMES
        } else {
            self.doubt.saturating_sub(1)
        };
        found.implausible = self.doubt > 0;
        let believed = if found.implausible { &[][..] } else { &found.regions.list };
        self.gate.update(believed, captured.at, &mut found.shown);
        boxes.latencies.record(Stage::Gate, runtime::since(start));
        Ok(captured)
    }
}

fn is_implausible(regions: &Regions, crop: Rect) -> bool {
    let covered: f32 = regions.list.iter().map(|region| region.share).sum();
    let length = |region: &Region| -> f32 {
        let ends = region.outline.iter().zip(region.outline.iter().skip(1));
        ends.map(|(from, to)| (to.x - from.x).hypot(to.y - from.y)).sum()
    };
    let outlined: f32 = regions.list.iter().map(length).sum();
    regions.list.len() >= MAX_REGIONS
        || covered > MOST_COVERED
        || outlined > MOST_OUTLINED * 2.0 * (crop.width + crop.height) as f32
}

/// Turns a panic into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Fault::new(Exit::Assertion, format!("inference panicked: {}", panic_text(&*panic))))
    })
}

/// An inference thread that was started.
pub(super) struct Worker {
    pub thread: JoinHandle<()>,
    pub progress: Arc<Progress>,
}

impl Worker {
    /// Starts a thread and puts it in charge.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn start<S: Network + Send + 'static>(
        boxes: &Arc<Boxes>,
        segmenters: &Arc<Mailbox<NewSegmenter<S>>>,
    ) -> std::io::Result<Worker> {
        let progress = Arc::new(Progress::default());
        let generation = boxes.begin_generation(progress.clone());
        let (boxes, segmenters, theirs) = (boxes.clone(), segmenters.clone(), progress.clone());
        let work = move || work(&boxes, &segmenters, &theirs, generation);
        let thread = runtime::thread::spawn("inference", work)?;
        Ok(Worker { thread, progress })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;

    #[test]
    fn three_large_polyps_are_plausible_and_noise_is_not() {
        let crop = Rect { x: 0, y: 0, width: 1000, height: 800 };
        let region = |points: Vec<Point>, share| Region { outline: points, share, ..Region::default() };
        let circle = |radius: f32| {
            let angles = (0..100).map(|step| step as f32 * std::f32::consts::TAU / 100.0);
            angles.map(|angle| Point { x: radius * angle.cos(), y: radius * angle.sin() }).collect()
        };
        let polyps = Regions { list: (0..3).map(|_| region(circle(200.0), 0.15)).collect() };
        assert!(!is_implausible(&polyps, crop));
        let comb = (0..200).map(|tooth| Point { x: 5.0 * tooth as f32, y: 800.0 * (tooth % 2) as f32 });
        assert!(is_implausible(&Regions { list: vec![region(comb.collect(), 0.5)] }, crop));
        assert!(is_implausible(&Regions { list: vec![region(circle(400.0), 0.95)] }, crop));
        let specks = (0..MAX_REGIONS).map(|_| region(circle(5.0), 0.001)).collect();
        assert!(is_implausible(&Regions { list: specks }, crop));
        assert!(!is_implausible(&Regions::default(), crop));
    }
}
