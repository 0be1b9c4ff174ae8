//! The temporal gate: which regions have lasted long enough to be shown.
//!
//! Most false alarms last for a few frames. A region is matched to those of the frames before by the overlap of their
//! bounding boxes; it is shown once it was seen in `appear` of the last `window` frames.

use crate::bundle::manifest;
use crate::detect::{Bounds, MAX_REGIONS, Region};

/// Regions followed at once: those of this frame and as many that are out of sight.
const MAX_TRACKS: usize = 2 * MAX_REGIONS;
/// Boxes that overlap by less than this (intersection over union) are different regions.
const MIN_OVERLAP: f32 = 0.1;

/// A region followed over frames.
#[derive(Clone, Copy, Debug)]
struct Track {
    bounds: Bounds,
    /// Bit n: seen n frames ago.
    seen: u64,
    taken: bool,
}

/// Follows regions from frame to frame. Bounded memory.
#[derive(Debug)]
pub struct Gate {
    appear: u32,
    /// A bit for each frame of the window.
    window: u64,
    tracks: Vec<Track>,
    shown: Vec<bool>,
}

impl Gate {
    /// A window of more than 64 frames counts as 64; `appear` is kept within 1 and the window.
    pub fn new(gate: &manifest::Gate) -> Gate {
        let frames = gate.window.clamp(1, 64);
        Gate {
            appear: gate.appear.clamp(1, frames),
            window: u64::MAX >> (64 - frames),
            tracks: Vec::with_capacity(MAX_TRACKS),
            shown: Vec::with_capacity(MAX_REGIONS),
        }
    }

    /// Takes a frame's regions, largest first; says for each whether it is to be shown.
    pub fn update(&mut self, regions: &[Region]) -> &[bool] {
        for track in &mut self.tracks {
            track.seen = (track.seen << 1) & self.window;
            track.taken = false;
        }
        self.shown.clear();
        for region in regions {
            let nearest = self
                .tracks
                .iter_mut()
                .filter(|track| !track.taken)
                .map(|track| (overlap(&track.bounds, &region.bounds), track))
                .filter(|(shared, _)| *shared >= MIN_OVERLAP)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let seen = match nearest {
                Some((_, track)) => {
                    *track = Track { bounds: region.bounds, seen: track.seen | 1, taken: true };
                    track.seen
                }
                None => {
                    if self.tracks.len() < MAX_TRACKS {
                        self.tracks.push(Track { bounds: region.bounds, seen: 1, taken: true });
                    }
                    1
                }
            };
            self.shown.push(seen.count_ones() >= self.appear);
        }
        self.tracks.retain(|track| track.seen != 0);
        &self.shown
    }
}

/// Intersection over union.
fn overlap(a: &Bounds, b: &Bounds) -> f32 {
    let area = |bounds: &Bounds| (bounds.right - bounds.left) * (bounds.bottom - bounds.top);
    let width = (a.right.min(b.right) - a.left.max(b.left)).max(0.0);
    let height = (a.bottom.min(b.bottom) - a.top.max(b.top)).max(0.0);
    let all = area(a) + area(b) - width * height;
    if all > 0.0 { width * height / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(left: f32, top: f32, side: f32) -> Region {
        let bounds = Bounds { left, top, right: left + side, bottom: top + side };
        Region { bounds, ..Region::default() }
    }

    fn gate(appear: u32, window: u32) -> Gate {
        Gate::new(&manifest::Gate { appear, window })
    }

    #[test]
    fn a_region_appears_with_the_third_of_four_frames() {
        let mut gate = gate(3, 4);
        assert_eq!(gate.update(&[at(10.0, 10.0, 40.0)]), [false]);
        assert_eq!(gate.update(&[at(14.0, 12.0, 42.0)]), [false]);
        assert_eq!(gate.update(&[]), [false; 0]);
        assert_eq!(gate.update(&[at(18.0, 12.0, 40.0)]), [true]);
        assert_eq!(gate.update(&[at(20.0, 12.0, 40.0)]), [true]);
        for _ in 0..3 {
            assert_eq!(gate.update(&[]), [false; 0]);
        }
        assert_eq!(gate.update(&[at(20.0, 12.0, 40.0)]), [false], "it was out of sight for too long");
    }

    #[test]
    fn a_region_elsewhere_is_another_one() {
        let mut gate = gate(2, 3);
        gate.update(&[at(10.0, 10.0, 40.0)]);
        assert_eq!(gate.update(&[at(200.0, 10.0, 40.0), at(12.0, 10.0, 40.0)]), [false, true]);
        assert_eq!(
            gate.update(&[at(12.0, 10.0, 40.0), at(12.0, 10.0, 40.0)]),
            [true, false],
            "one track serves one"
        );
    }

    #[test]
    fn one_of_one_shows_everything_at_once() {
        let mut gate = gate(1, 1);
        assert_eq!(gate.update(&[at(0.0, 0.0, 1.0), at(5.0, 5.0, 1.0)]), [true, true]);
    }

    #[test]
    fn memory_is_bounded_and_odd_settings_are_harmless() {
        let mut gate = gate(200, 1000);
        for frame in 0..300 {
            let many: Vec<Region> =
                (0..MAX_REGIONS).map(|index| at(frame as f32 * 1000.0, index as f32 * 50.0, 20.0)).collect();
            assert_eq!(gate.update(&many).len(), MAX_REGIONS);
            assert!(gate.tracks.len() <= MAX_TRACKS);
        }
    }
}
