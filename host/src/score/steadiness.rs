//! How much what is shown comes and goes over a video, with and without the temporal gate, and what the gate costs.

use std::time::Instant;

use polyp_edge::bundle::manifest::Gate as GateSetting;
use polyp_edge::detect::{Bounds, Region};
use polyp_edge::track::{Gate, MIN_OVERLAP, Rule, Shown};
use serde::Serialize;

/// What came and went over a video.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Steadiness {
    /// How many frames there were.
    pub frames: usize,
    /// Regions that come or go from one frame to the next, as the network finds them.
    pub changes_found: usize,
    /// The same of what the gate lets through.
    pub changes_shown: usize,
    /// Regions followed from frame to frame for as long as the gate's window bridges.
    pub sightings: usize,
    /// Of these, those that the gate never showed.
    pub withheld: usize,
    /// Frames from the first of a sighting to its first shown, of those that were shown.
    pub delays: Vec<usize>,
}

impl Steadiness {
    /// `None` if nothing was shown.
    pub fn mean_delay_frames(&self) -> Option<f64> {
        let count = self.delays.len();
        (count > 0).then(|| self.delays.iter().sum::<usize>() as f64 / count as f64)
    }

    /// Changes a second at so many frames a second.
    pub fn flicker(&self, changes: usize, fps: f64) -> f64 {
        changes as f64 * fps / self.frames.max(1) as f64
    }
}

/// A region followed over frames.
struct Sighting {
    bounds: Bounds,
    first: usize,
    last: usize,
    shown: bool,
}

/// Takes a video's regions frame by frame.
pub struct Observer {
    window: usize,
    gate: Gate,
    shown: Shown,
    before: [Vec<Bounds>; 2],
    open: Vec<Sighting>,
    result: Steadiness,
}

impl Observer {
    /// A video's observer before its first frame; what is shown is decided by a gate of this setting.
    pub fn new(setting: GateSetting) -> Self {
        Observer {
            window: setting.window.max(1) as usize,
            gate: Gate::new(&Rule::of(setting)),
            shown: Shown::default(),
            before: Default::default(),
            open: Vec::new(),
            result: Steadiness::default(),
        }
    }

    /// Regions largest first.
    pub fn frame(&mut self, regions: &[Region]) {
        let now = self.result.frames;
        // Nothing is held, so that a sighting's age means nothing here.
        self.gate.update(regions, Instant::now(), &mut self.shown);
        let bounds = |regions: &[Region]| -> Vec<Bounds> { regions.iter().map(|r| r.bounds).collect() };
        let (found, shown) = (bounds(regions), bounds(self.shown.list()));
        if now > 0 {
            self.result.changes_found += changes(&self.before[0], &found);
            self.result.changes_shown += changes(&self.before[1], &shown);
        }
        for bounds in &found {
            let known = self.open.iter_mut().filter(|sighting| sighting.last < now);
            let nearest = known
                .map(|sighting| (sighting.bounds.overlap(bounds), sighting))
                .filter(|(shared, _)| *shared >= MIN_OVERLAP)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            match nearest {
                Some((_, sighting)) => (sighting.bounds, sighting.last) = (*bounds, now),
                None => {
                    self.open.push(Sighting { bounds: *bounds, first: now, last: now, shown: false });
                }
            }
        }
        for sighting in self.open.iter_mut().filter(|sighting| sighting.last == now && !sighting.shown) {
            if shown.iter().any(|bounds| bounds.overlap(&sighting.bounds) >= MIN_OVERLAP) {
                sighting.shown = true;
                self.result.delays.push(now - sighting.first);
            }
        }
        let window = self.window;
        let (open, ended) = std::mem::take(&mut self.open).into_iter().partition(|s| s.last + window > now);
        self.open = open;
        self.close(ended);
        self.before = [found, shown];
        self.result.frames += 1;
    }

    fn close(&mut self, ended: Vec<Sighting>) {
        self.result.sightings += ended.len();
        self.result.withheld += ended.iter().filter(|sighting| !sighting.shown).count();
    }

    /// What came and went, the regions that are still followed included.
    pub fn finish(mut self) -> Steadiness {
        let open = std::mem::take(&mut self.open);
        self.close(open);
        self.result
    }
}

/// Regions of one frame without a partner in the other.
fn changes(before: &[Bounds], now: &[Bounds]) -> usize {
    let mut free: Vec<&Bounds> = now.iter().collect();
    let mut gone = 0;
    for old in before {
        let nearest = (0..free.len()).max_by(|a, b| old.overlap(free[*a]).total_cmp(&old.overlap(free[*b])));
        match nearest {
            Some(nearest) if old.overlap(free[nearest]) >= MIN_OVERLAP => drop(free.swap_remove(nearest)),
            _ => gone += 1,
        }
    }
    gone + free.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(left: f32) -> Region {
        Region { bounds: Bounds { left, top: 0.0, right: left + 10.0, bottom: 10.0 }, ..Region::default() }
    }

    #[test]
    fn a_gate_takes_flicker_and_costs_frames() {
        // A polyp that is missed now and then, and a flash elsewhere.
        let mut observer = Observer::new(GateSetting { appear: 3, window: 5 });
        for frame in 0..20 {
            let mut regions = Vec::new();
            if frame >= 4 && frame != 9 {
                regions.push(at(frame as f32));
            }
            if frame == 13 {
                regions.push(at(200.0));
            }
            observer.frame(&regions);
        }
        let result = observer.finish();
        assert_eq!(result.frames, 20);
        // Come, gone, come; the flash comes and goes.
        assert_eq!(result.changes_found, 5);
        // Come, gone, come.
        assert_eq!(result.changes_shown, 3);
        assert_eq!((result.sightings, result.withheld), (2, 1));
        assert_eq!(result.delays, [2]);
        assert_eq!(result.mean_delay_frames(), Some(2.0));
        assert_eq!(result.flicker(result.changes_found, 25.0), 6.25);
    }

    #[test]
    fn a_still_picture_does_not_flicker() {
        let mut observer = Observer::new(GateSetting { appear: 1, window: 1 });
        (0..9).for_each(|_| observer.frame(&[at(0.0), at(50.0)]));
        let result = observer.finish();
        assert_eq!((result.changes_found, result.changes_shown), (0, 0));
        assert_eq!(result.delays, [0, 0]);
    }
}
