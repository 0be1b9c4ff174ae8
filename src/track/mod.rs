//! The temporal gate: which regions have lasted long enough to be shown, and their outlines held still.
//!
//! Most false alarms last for a few frames. A region is matched to those of the frames before by the overlap of their
//! bounding boxes. It appears once it was seen in `appear` of the last `window` frames: this delays its first outline
//! by `appear - 1` frames at least. Once shown it stays as long as it was seen in half as many frames of the window,
//! and is held, where it was last seen, over `hold_frames` frames that miss it.

mod outline;

use std::time::Instant;

use crate::bundle::manifest;
use crate::detect::{MAX_REGIONS, Region};
use crate::geometry::Point;

use outline::Steadier;

/// Regions followed at once: those of this frame and as many that are out of sight.
const MAX_TRACKS: usize = 2 * MAX_REGIONS;
/// Boxes that overlap by less than this (intersection over union) are different regions.
pub const MIN_OVERLAP: f32 = 0.1;

/// When regions appear, how long they stay, and how still.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// In how many frames a region must be seen before it is shown.
    pub gate: manifest::Gate,
    /// Frames over which a region that is shown is held where it was, if it is not found.
    pub hold_frames: u32,
    /// How much of the last outline is in the next one, 0..1.
    pub steady: f32,
}

impl Rule {
    /// The gate alone.
    pub fn of(gate: manifest::Gate) -> Rule {
        Rule { gate, hold_frames: 0, steady: 0.0 }
    }

    /// Frames for which a region's first outline is held back, at least.
    pub fn added_delay_frames(&self) -> u32 {
        self.gate.appear.max(1) - 1
    }
}

/// A region's number as long as it is followed: no other one of the same gate has had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct TrackNumber(pub u64);

/// What the gate made of a region of the newest frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// `None` if more regions are followed than there is room for.
    pub track: Option<TrackNumber>,
    /// It is to be drawn; else it has not been seen often enough.
    pub is_shown: bool,
}

/// Regions to be drawn, and when each was last seen in a frame; keeps the memory of those that went.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    regions: Vec<Region>,
    /// Of each region its number, and when the frame was taken in which it was last found; as long as `regions`.
    seen: Vec<(TrackNumber, Option<Instant>)>,
    count: usize,
    followed: Vec<Followed>,
}

impl Shown {
    /// Those of the newest frame, then those that are held.
    pub fn list(&self) -> &[Region] {
        self.regions.get(..self.count).unwrap_or(&[])
    }

    /// The numbers of those in [`Shown::list`].
    pub fn tracks(&self) -> impl Iterator<Item = TrackNumber> {
        self.seen.iter().take(self.count).map(|(track, _)| *track)
    }

    /// What became of each region of the newest frame that the gate was given.
    pub fn followed(&self) -> &[Followed] {
        &self.followed
    }

    /// Drops all regions, and keeps their memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.followed.clear();
    }

    /// Becomes a copy of another one in which each region lies where `moved` says, in frame pixels from where it was.
    pub fn copy_moved(&mut self, other: &Shown, mut moved: impl FnMut(&Region) -> Point) {
        self.clear();
        for (region, (track, seen)) in other.list().iter().zip(&other.seen) {
            let by = moved(region);
            if let Some(place) = self.next(*track, *seen) {
                place.copy_from(region);
                place.move_by(by);
            }
        }
        self.followed.extend_from_slice(&other.followed);
    }

    /// Drops the regions that were last seen before `limit`.
    pub fn drop_older_than(&mut self, limit: Instant) {
        let mut kept = 0;
        for index in 0..self.count {
            if self.seen.get(index).and_then(|(_, seen)| *seen).is_some_and(|seen| seen >= limit) {
                self.regions.swap(index, kept);
                self.seen.swap(index, kept);
                kept += 1;
            }
        }
        self.count = kept;
    }

    /// A place for one more; at most [`MAX_REGIONS`].
    fn next(&mut self, track: TrackNumber, seen: Option<Instant>) -> Option<&mut Region> {
        if self.count == MAX_REGIONS {
            return None;
        }
        if self.count == self.regions.len() {
            self.regions.push(Region::default());
            self.seen.push(Default::default());
        }
        if let Some(place) = self.seen.get_mut(self.count) {
            *place = (track, seen);
        }
        self.count += 1;
        self.regions.get_mut(self.count - 1)
    }
}

/// A region followed over frames.
#[derive(Clone, Debug, Default)]
struct Track {
    number: TrackNumber,
    /// Bit n: seen n frames ago. 0: the track is free.
    seen: u64,
    taken: bool,
    shown: bool,
    /// Frames since it was last seen.
    missed: u32,
    /// When the frame was taken in which it was last seen.
    seen_at: Option<Instant>,
    /// As it was last seen; its outline as it was last drawn, empty if it was not.
    region: Region,
}

/// Follows regions from frame to frame. Bounded memory.
#[derive(Debug)]
pub struct Gate {
    appear: u32,
    stay: u32,
    /// A bit for each frame of the window.
    window: u64,
    hold_frames: u32,
    tracks: Vec<Track>,
    /// That were followed so far.
    numbers: u64,
    steadier: Steadier,
}

impl Gate {
    /// A window of more than 64 frames counts as 64; `appear` is kept within 1 and the window.
    pub fn new(rule: &Rule) -> Gate {
        let frames = rule.gate.window.clamp(1, 64);
        let appear = rule.gate.appear.clamp(1, frames);
        Gate {
            appear,
            stay: (appear / 2).max(1),
            window: u64::MAX >> (64 - frames),
            hold_frames: rule.hold_frames,
            tracks: vec![Track::default(); MAX_TRACKS],
            numbers: 0,
            steadier: Steadier::new(rule.steady),
        }
    }

    /// Forgets all regions: what comes next is another scene.
    pub fn forget(&mut self) {
        for track in &mut self.tracks {
            (track.seen, track.taken, track.shown, track.missed, track.seen_at) = (0, false, false, 0, None);
            track.region.outline.clear();
        }
    }

    /// Takes the regions of a frame that was taken at `at`, largest first; gives those to be shown.
    pub fn update(&mut self, regions: &[Region], at: Instant, shown: &mut Shown) {
        shown.clear();
        for track in &mut self.tracks {
            track.seen = (track.seen << 1) & self.window;
            track.taken = false;
        }
        for region in regions {
            let nearest = self
                .tracks
                .iter_mut()
                .filter(|track| !track.taken && (track.seen != 0 || track.shown))
                .map(|track| (track.region.bounds.overlap(&region.bounds), track))
                .filter(|(shared, _)| *shared >= MIN_OVERLAP)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let track = match nearest {
                Some((_, track)) => track,
                None => match self.tracks.iter_mut().find(|track| track.seen == 0 && !track.taken) {
                    Some(track) => {
                        self.numbers += 1;
                        (track.number, track.shown) = (TrackNumber(self.numbers), false);
                        track.region.outline.clear();
                        track
                    }
                    None => {
                        shown.followed.push(Followed { track: None, is_shown: false });
                        continue;
                    }
                },
            };
            (track.taken, track.missed, track.seen_at) = (true, 0, Some(at));
            track.seen |= 1;
            let count = track.seen.count_ones();
            track.shown = count >= self.appear || track.shown && count >= self.stay;
            let drawn = std::mem::take(&mut track.region.outline);
            track.region = Region { outline: drawn, ..region.without_outline() };
            shown.followed.push(Followed { track: Some(track.number), is_shown: track.shown });
            if !track.shown {
                track.region.outline.clear();
            } else if let Some(place) = shown.next(track.number, track.seen_at) {
                self.steadier.steady(&region.outline, &mut track.region.outline);
                place.copy_from(&track.region);
            }
        }
        for track in self.tracks.iter_mut().filter(|track| track.shown && !track.taken) {
            track.missed += 1;
            if track.missed > self.hold_frames {
                // Out of sight: seen again within the window, it is shown at once, but not steadied by what was.
                track.region.outline.clear();
                track.shown = track.seen.count_ones() >= self.stay;
            } else if let Some(place) = shown.next(track.number, track.seen_at) {
                place.copy_from(&track.region);
            }
        }
    }
}

impl Region {
    fn without_outline(&self) -> Region {
        Region { outline: Vec::new(), ..*self }
    }

    fn move_by(&mut self, by: Point) {
        for point in &mut self.outline {
            (point.x, point.y) = (point.x + by.x, point.y + by.y);
        }
        let bounds = &mut self.bounds;
        (bounds.left, bounds.right) = (bounds.left + by.x, bounds.right + by.x);
        (bounds.top, bounds.bottom) = (bounds.top + by.y, bounds.bottom + by.y);
    }

    fn copy_from(&mut self, other: &Region) {
        let mut outline: Vec<Point> = std::mem::take(&mut self.outline);
        outline.clone_from(&other.outline);
        *self = Region { outline, ..*other };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Bounds;

    fn at(left: f32, top: f32, side: f32) -> Region {
        let bounds = Bounds { left, top, right: left + side, bottom: top + side };
        let corners = [(left, top), (left + side, top), (left + side, top + side), (left, top + side)];
        Region { bounds, outline: corners.map(|(x, y)| Point { x, y }).to_vec(), ..Region::default() }
    }

    fn gate(appear: u32, window: u32) -> Gate {
        Gate::new(&Rule::of(manifest::Gate { appear, window }))
    }

    /// The left sides of what is shown.
    fn lefts(gate: &mut Gate, regions: &[Region]) -> Vec<f32> {
        let mut shown = Shown::default();
        gate.update(regions, Instant::now(), &mut shown);
        shown.list().iter().map(|region| region.bounds.left).collect()
    }

    #[test]
    fn a_region_appears_with_the_third_of_four_frames() {
        let mut gate = gate(3, 4);
        assert_eq!(lefts(&mut gate, &[at(10.0, 10.0, 40.0)]), [0.0; 0]);
        assert_eq!(lefts(&mut gate, &[at(14.0, 12.0, 42.0)]), [0.0; 0]);
        assert_eq!(lefts(&mut gate, &[]), [0.0; 0]);
        assert_eq!(lefts(&mut gate, &[at(18.0, 12.0, 40.0)]), [18.0]);
        assert_eq!(lefts(&mut gate, &[at(20.0, 12.0, 40.0)]), [20.0]);
        for _ in 0..4 {
            assert_eq!(lefts(&mut gate, &[]), [0.0; 0]);
        }
        assert_eq!(lefts(&mut gate, &[at(20.0, 12.0, 40.0)]), [0.0; 0], "it was out of sight for too long");
    }

    #[test]
    fn what_is_shown_stays_with_fewer_sightings_than_it_took_to_appear() {
        let mut gate = gate(4, 6);
        let region = [at(10.0, 10.0, 40.0)];
        for _ in 0..3 {
            assert_eq!(lefts(&mut gate, &region), [0.0; 0]);
        }
        assert_eq!(lefts(&mut gate, &region), [10.0]);
        for _ in 0..6 {
            // Every other frame: three of six.
            assert_eq!(lefts(&mut gate, &[]), [0.0; 0]);
            assert_eq!(lefts(&mut gate, &region), [10.0]);
        }
    }

    #[test]
    fn a_shown_region_is_held_over_frames_that_miss_it() {
        let rule = Rule { hold_frames: 2, ..Rule::of(manifest::Gate { appear: 2, window: 3 }) };
        let mut gate = Gate::new(&rule);
        let region = [at(10.0, 10.0, 40.0)];
        lefts(&mut gate, &region);
        assert_eq!(lefts(&mut gate, &[]), [0.0; 0], "what was not shown is not held");
        lefts(&mut gate, &region);
        let mut shown = Shown::default();
        gate.update(&[], Instant::now(), &mut shown);
        assert_eq!(shown.list()[0].outline, region[0].outline);
        assert_eq!(lefts(&mut gate, &[]), [10.0]);
        assert_eq!(lefts(&mut gate, &[]), [0.0; 0]);
    }

    #[test]
    fn a_held_region_is_as_old_as_its_last_sighting() {
        let rule = Rule { hold_frames: 5, ..Rule::of(manifest::Gate { appear: 1, window: 1 }) };
        let (mut gate, mut shown) = (Gate::new(&rule), Shown::default());
        let start = Instant::now();
        let at = |millis| start + std::time::Duration::from_millis(millis);
        gate.update(
            &[super::tests::at(10.0, 10.0, 40.0), super::tests::at(200.0, 10.0, 40.0)],
            at(0),
            &mut shown,
        );
        gate.update(&[super::tests::at(200.0, 10.0, 40.0)], at(100), &mut shown);
        assert_eq!(shown.list().len(), 2, "one of them is held");
        shown.drop_older_than(at(0));
        assert_eq!(shown.list().len(), 2);
        shown.drop_older_than(at(1));
        assert_eq!(shown.list().iter().map(|region| region.bounds.left).collect::<Vec<_>>(), [200.0]);
        shown.drop_older_than(at(101));
        assert_eq!(shown.list().len(), 0);
    }

    #[test]
    fn a_gate_that_forgets_shows_nothing_of_what_was() {
        let rule = Rule { hold_frames: 5, ..Rule::of(manifest::Gate { appear: 2, window: 3 }) };
        let mut gate = Gate::new(&rule);
        let region = [at(10.0, 10.0, 40.0)];
        lefts(&mut gate, &region);
        assert_eq!(lefts(&mut gate, &region), [10.0]);
        gate.forget();
        assert_eq!(lefts(&mut gate, &[]), [0.0; 0], "nothing is held");
        assert_eq!(lefts(&mut gate, &region), [0.0; 0], "it must be seen as often as a new one");
        assert_eq!(lefts(&mut gate, &region), [10.0]);
    }

    #[test]
    fn a_region_elsewhere_is_another_one() {
        let mut gate = gate(2, 3);
        lefts(&mut gate, &[at(10.0, 10.0, 40.0)]);
        assert_eq!(lefts(&mut gate, &[at(200.0, 10.0, 40.0), at(12.0, 10.0, 40.0)]), [12.0]);
        assert_eq!(
            lefts(&mut gate, &[at(12.0, 10.0, 40.0), at(13.0, 10.0, 40.0)]),
            [12.0],
            "one track serves one"
        );
    }

    #[test]
    fn a_region_keeps_its_number_and_no_other_gets_it() {
        let rule = Rule { hold_frames: 2, ..Rule::of(manifest::Gate { appear: 2, window: 3 }) };
        let (mut gate, mut shown) = (Gate::new(&rule), Shown::default());
        let mut numbers = |gate: &mut Gate, regions: &[Region]| {
            gate.update(regions, Instant::now(), &mut shown);
            let followed: Vec<_> = shown
                .followed()
                .iter()
                .map(|followed| (followed.track.unwrap().0, followed.is_shown))
                .collect();
            (followed, shown.tracks().map(|track| track.0).collect::<Vec<_>>())
        };
        let (one, other) = (at(10.0, 10.0, 40.0), at(200.0, 10.0, 40.0));
        assert_eq!(numbers(&mut gate, std::slice::from_ref(&one)), (vec![(1, false)], vec![]));
        let both = [other.clone(), one];
        assert_eq!(numbers(&mut gate, &both), (vec![(2, false), (1, true)], vec![1]));
        assert_eq!(numbers(&mut gate, &[]), (vec![], vec![1]), "it is held");
        assert_eq!(numbers(&mut gate, std::slice::from_ref(&other)), (vec![(2, true)], vec![2, 1]));
        gate.forget();
        assert_eq!(numbers(&mut gate, &[other]), (vec![(3, false)], vec![]));
    }

    #[test]
    fn one_of_one_shows_everything_at_once() {
        assert_eq!(lefts(&mut gate(1, 1), &[at(0.0, 0.0, 1.0), at(5.0, 5.0, 1.0)]), [0.0, 5.0]);
    }

    #[test]
    fn memory_is_bounded_and_odd_settings_are_harmless() {
        let gates = [(200, 1000), (1, 64)].map(|(appear, window)| {
            Gate::new(&Rule { hold_frames: 10, steady: 0.5, ..Rule::of(manifest::Gate { appear, window }) })
        });
        let mut shown = Shown::default();
        for mut gate in gates {
            for frame in 0..300 {
                let many: Vec<Region> = (0..MAX_REGIONS)
                    .map(|index| at(frame as f32 * 1000.0, index as f32 * 50.0, 20.0))
                    .collect();
                gate.update(&many, Instant::now(), &mut shown);
                assert!(shown.list().len() <= MAX_REGIONS && gate.tracks.len() == MAX_TRACKS);
            }
        }
    }
}
