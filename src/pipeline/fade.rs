//! Marks that do not jump at the eye: each becomes opaque over a moment, from the first frame on which it is drawn.

use std::time::{Duration, Instant};

use crate::detect::MAX_REGIONS;
use crate::track::TrackNumber;

/// Of the first frame with a mark: it is to be seen at once, only not as hard.
const FIRST: f32 = 0.35;

/// Remembers since when each region has been drawn.
#[derive(Default)]
pub(super) struct Fade {
    /// Of the regions drawn last, and of those now.
    before: Vec<(TrackNumber, Instant)>,
    now: Vec<(TrackNumber, Instant)>,
    opacities: Vec<f32>,
}

impl Fade {
    /// How opaque the marks of these regions are at an instant, in the same order, if they take `time` to become so.
    pub(super) fn opacities(
        &mut self,
        tracks: impl Iterator<Item = TrackNumber>,
        at: Instant,
        time: Duration,
    ) -> &[f32] {
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
        self.opacities.clear();
        for track in tracks.take(MAX_REGIONS) {
            let since = self.before.iter().find(|(known, _)| *known == track).map_or(at, |(_, since)| *since);
            self.now.push((track, since));
            let passed = at.saturating_duration_since(since);
            self.opacities.push(if passed >= time {
                1.0
            } else {
                FIRST + (1.0 - FIRST) * passed.as_secs_f32() / time.as_secs_f32()
            });
        }
        &self.opacities
    }

    /// What it was the last time.
    pub(super) fn latest(&self) -> &[f32] {
        &self.opacities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_opaque_and_stay_so_until_they_go() {
        let (mut fade, start) = (Fade::default(), Instant::now());
        let time = Duration::from_millis(200);
        let mut at = |millis: u64, tracks: &[u64]| {
            let tracks = tracks.iter().map(|track| TrackNumber(*track));
            fade.opacities(tracks, start + Duration::from_millis(millis), time).to_vec()
        };
        let near = |found: Vec<f32>, expected: &[f32]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}, {expected:?}");
        };
        near(at(0, &[1]), &[0.35]);
        near(at(100, &[2, 1]), &[0.35, 0.675]);
        near(at(200, &[1, 2]), &[1.0, 0.675]);
        near(at(900, &[1]), &[1.0]);
        near(at(910, &[1, 2]), &[1.0, 0.35]);
        near(at(920, &[]), &[]);
        near(at(930, &[1]), &[0.35]);
    }

    #[test]
    fn without_a_time_they_are_opaque_at_once() {
        let tracks = || [1, 2].into_iter().map(TrackNumber);
        assert_eq!(Fade::default().opacities(tracks(), Instant::now(), Duration::ZERO), [1.0, 1.0]);
    }
}
