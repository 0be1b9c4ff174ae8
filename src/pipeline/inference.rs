//! The inference thread: newest frame → regions → temporal gate → newest result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Instant;

use anyhow::Result;

use super::mailbox::{Letter, Mailbox};
use super::{Boxes, Found, PATIENCE, Segmenter, Settings, Walk};
use crate::convert;
use crate::detect::{MAX_REGIONS, Region, Regions};
use crate::fault::{Exit, Fault};
use crate::frame::{Frame, Rect};
use crate::latency::{Latencies, Stage};
use crate::state::Reason;
use crate::track::Gate;

/// Regions that cover more than this share of the field of view together, or as many as there can be, are nonsense:
/// no polyp fills the picture with nothing around it.
const MOST_COVERED: f32 = 0.9;
/// Outlines longer than this together, in circumferences of the field of view, are nonsense too: three large polyps
/// have not half as much, noise has many times as much, and drawing it would delay the picture.
const MOST_OUTLINED: f32 = 2.0;
/// So many frames of sense end nonsense.
const SENSE_FRAMES: u32 = 15;

/// Makes a walk, in the inference thread.
pub(super) type Load<S> = Box<dyn FnOnce() -> Result<Walk<S>> + Send>;

/// One run's frames to be looked at.
pub(super) struct Job<S> {
    /// What is to take the place of the walk that the thread has.
    pub(super) load: Option<Load<S>>,
    pub(super) settings: Settings,
    pub(super) boxes: Arc<Boxes>,
    /// Told how long the stages took, once the run is over.
    pub(super) done: Sender<Latencies>,
}

impl<S> Letter for Job<S> {}

/// Whoever waits for results of this job waits no longer, whichever way it ends.
impl<S> Drop for Job<S> {
    fn drop(&mut self) {
        self.boxes.found.close();
    }
}

impl<S> Job<S> {
    fn is_over(&self) -> bool {
        self.boxes.stop.load(Ordering::Relaxed)
    }
}

/// What the thread has from one job to the next.
enum Held<S> {
    Nothing,
    Loaded(Box<Loaded<S>>),
    /// Why it has no walk, to be told to the next run that listens.
    Lost(Reason, anyhow::Error),
}

struct Loaded<S> {
    walk: Walk<S>,
    /// Golden frames that came out as they must.
    tested: usize,
}

/// Does one job after another until there will be no more. A walk stays from job to job, and there is never more than one:
/// the old one goes before the next is loaded.
pub(super) fn work<S: Segmenter>(jobs: &Mailbox<Job<S>>) {
    let everywhere = rustix::thread::sched_getaffinity(None).ok();
    let mut held = Held::Nothing;
    while !jobs.is_over() {
        let Some(mut job) = jobs.take(PATIENCE) else { continue };
        if let Some(load) = job.load.take() {
            drop(std::mem::replace(&mut held, Held::Nothing));
            // The next walk has its own idea of cores.
            let _ = everywhere.map(|cores| rustix::thread::sched_setaffinity(None, &cores));
            held = match guarded(load) {
                Ok(walk) => Held::Loaded(Box::new(Loaded { walk, tested: 0 })),
                Err(error) => Held::Lost(Reason::Model(one_line(&error)), error),
            };
        }
        let mut latencies = Latencies::default();
        if let Held::Loaded(loaded) = &mut held
            && let Err((reason, error)) = look(loaded, &job, &mut latencies)
        {
            held = Held::Lost(reason, error);
        }
        if !job.is_over() {
            held = match held {
                Held::Lost(reason, error) => {
                    job.boxes.lost.put((reason, error));
                    Held::Nothing
                }
                Held::Nothing => {
                    let error = Fault::new(Exit::Assertion, "no model is loaded");
                    job.boxes.lost.put((Reason::Model(one_line(&error)), error));
                    Held::Nothing
                }
                loaded => loaded,
            };
        }
        let _ = job.done.send(latencies);
    }
}

/// Tests what was not tested yet, and looks at frames until they end. An error or a panic ends assistance, never the
/// picture.
fn look<S: Segmenter>(
    loaded: &mut Loaded<S>,
    job: &Job<S>,
    latencies: &mut Latencies,
) -> Result<(), (Reason, anyhow::Error)> {
    let Loaded { walk, tested } = loaded;
    let (settings, boxes) = (&job.settings, &*job.boxes);
    while *tested < walk.golden_frames() {
        if job.is_over() {
            return Ok(());
        }
        guarded(|| walk.check(*tested)).map_err(|error| (Reason::Model(one_line(&error)), error))?;
        *tested += 1;
    }
    let mut gate = Gate::new(&settings.rule);
    let mut converted = Frame::black(1, 1);
    let mut nonsense = 0u32;
    let (mut checked, mut next_check) = (Instant::now(), 0);
    boxes.progress.idle();
    loop {
        let Some(mut captured) = boxes.inference.take(PATIENCE) else {
            if boxes.inference.is_over() || job.is_over() {
                return Ok(());
            }
            continue;
        };
        boxes.progress.working();
        let mut found = boxes.found.blank().unwrap_or_else(Found::blank);
        (found.number, found.at) = (captured.number, captured.at);
        guarded(|| {
            // A camera's buffer goes back as soon as it was read.
            if let Some(lease) = captured.lease.take() {
                let start = Instant::now();
                convert::to_rgb(&lease.view(), &mut converted)?;
                latencies.record(Stage::Convert, start.elapsed());
                drop(lease);
                std::mem::swap(&mut captured.frame, &mut converted);
            }
            if checked.elapsed() >= settings.recheck_after && walk.golden_frames() > 0 {
                walk.check(next_check)?;
                (checked, next_check) = (Instant::now(), (next_check + 1) % walk.golden_frames());
            }
            walk.regions(&captured.frame, latencies, &mut found.regions)
        })
        .map_err(|error| (Reason::Inference(one_line(&error)), error))?;
        let start = Instant::now();
        nonsense = if is_nonsense(&found.regions, walk.mapping().crop) {
            SENSE_FRAMES
        } else {
            nonsense.saturating_sub(1)
        };
        found.implausible = nonsense > 0;
        let believed = if found.implausible { &[][..] } else { &found.regions.list };
        gate.update(believed, &mut found.shown);
        latencies.record(Stage::Gate, start.elapsed());
        boxes.inference.give_back(captured);
        boxes.found.put(found);
        boxes.progress.idle();
    }
}

fn is_nonsense(regions: &Regions, crop: Rect) -> bool {
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
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Fault::new(Exit::Assertion, format!("a panic: {text}")))
    })
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field_of_view::Point;

    #[test]
    fn three_large_polyps_are_sense_and_noise_is_not() {
        let crop = Rect { x: 0, y: 0, width: 1000, height: 800 };
        let region = |points: Vec<Point>, share| Region { outline: points, share, ..Region::default() };
        let circle = |radius: f32| {
            let angles = (0..100).map(|step| step as f32 * std::f32::consts::TAU / 100.0);
            angles.map(|angle| Point { x: radius * angle.cos(), y: radius * angle.sin() }).collect()
        };
        let polyps = Regions { list: (0..3).map(|_| region(circle(200.0), 0.15)).collect() };
        assert!(!is_nonsense(&polyps, crop));
        let comb = (0..200).map(|tooth| Point { x: 5.0 * tooth as f32, y: 800.0 * (tooth % 2) as f32 });
        assert!(is_nonsense(&Regions { list: vec![region(comb.collect(), 0.5)] }, crop));
        assert!(is_nonsense(&Regions { list: vec![region(circle(400.0), 0.95)] }, crop));
        let specks = (0..MAX_REGIONS).map(|_| region(circle(5.0), 0.001)).collect();
        assert!(is_nonsense(&Regions { list: specks }, crop));
        assert!(!is_nonsense(&Regions::default(), crop));
    }
}
