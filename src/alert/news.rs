//! Which regions are new: told by the thread that shows, heard by those that switch lamps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::detect::MAX_REGIONS;
use crate::runtime;
use crate::track::TrackNumber;

/// A region that has not been seen for so long is new when it is seen again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3);
/// So many regions are remembered.
const MOST: usize = 2 * MAX_REGIONS;

/// How many regions have been new so far. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<AtomicU64>);

impl News {
    /// So far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Remembers which regions were drawn lately.
#[derive(Debug)]
pub struct Novelty {
    news: News,
    known: Vec<(TrackNumber, Instant)>,
}

impl Novelty {
    /// Tells of new ones there.
    pub fn new(news: &News) -> Novelty {
        Novelty { news: news.clone(), known: Vec::with_capacity(MOST) }
    }

    /// Takes in which regions are drawn on a picture. Waits for nothing, and takes no memory.
    pub fn drawn(&mut self, tracks: impl Iterator<Item = TrackNumber>) {
        let now = runtime::now();
        self.known.retain(|(_, seen)| now.saturating_duration_since(*seen) < FORGOTTEN_AFTER);
        for track in tracks {
            match self.known.iter_mut().find(|(known, _)| *known == track) {
                Some((_, seen)) => *seen = now,
                None => {
                    if self.known.len() < MOST {
                        self.known.push((track, now));
                    }
                    self.news.0.fetch_add(1, Ordering::Release);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_new_once_and_again_when_it_is_forgotten() {
        let (news, mut tracks) = (News::default(), Vec::new());
        let mut novelty = Novelty::new(&news);
        for (drawn, count) in
            [(vec![1], 1), (vec![1, 2], 2), (vec![2], 2), (vec![], 2), (vec![1, 2], 2), (vec![3], 3)]
        {
            tracks.clone_from(&drawn);
            novelty.drawn(tracks.iter().map(|&track| TrackNumber(track)));
            assert_eq!(news.count(), count, "{drawn:?}");
        }
        for (_, seen) in &mut novelty.known {
            *seen -= FORGOTTEN_AFTER;
        }
        novelty.drawn([TrackNumber(1)].into_iter());
        assert_eq!(news.count(), 4);
    }

    #[test]
    fn more_regions_than_there_is_room_for_do_no_harm() {
        let news = News::default();
        let mut novelty = Novelty::new(&news);
        novelty.drawn((0..500).map(TrackNumber));
        assert_eq!((novelty.known.len(), novelty.known.capacity()), (MOST, MOST));
    }
}
