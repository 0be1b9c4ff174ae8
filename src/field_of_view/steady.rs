//! A field of view that stays where it is while the picture goes dark, bright or blurred.

use crate::geometry::Rect;

/// Frames in a row that must agree before the box moves.
const PATIENCE: u32 = 10;
/// Boxes that overlap by this (intersection over union) are the same.
const SAME: f32 = 0.97;

/// Keeps a box over a video until ten frames in a row have agreed on another one. A frame of another size starts
/// afresh.
#[derive(Debug, Default)]
pub(super) struct Steady {
    size: (usize, usize),
    held: Option<Rect>,
    wanted: Option<Rect>,
    votes: u32,
}

impl Steady {
    /// Starts afresh with the next frame.
    pub(super) fn forget(&mut self) {
        self.held = None;
    }

    /// The box to use for a frame of this size in which `found` was found.
    pub(super) fn follow(&mut self, size: (usize, usize), found: Rect) -> Rect {
        let held = match self.held {
            Some(held) if self.size == size => held,
            _ => {
                self.hold(size, found);
                return found;
            }
        };
        if held.overlap(found) >= SAME {
            (self.wanted, self.votes) = (None, 0);
            return held;
        }
        match self.wanted {
            Some(wanted) if wanted.overlap(found) >= SAME => self.votes += 1,
            _ => (self.wanted, self.votes) = (Some(found), 1),
        }
        if self.votes >= PATIENCE {
            self.hold(size, found);
            return found;
        }
        held
    }

    fn hold(&mut self, size: (usize, usize), found: Rect) {
        (self.size, self.held, self.wanted, self.votes) = (size, Some(found), None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (640, 480);

    fn rect(x: usize, width: usize) -> Rect {
        Rect { x, y: 0, width, height: 480 }
    }

    #[test]
    fn a_few_odd_frames_do_not_move_the_box() {
        let mut steady = Steady::default();
        assert_eq!(steady.follow(SIZE, rect(80, 480)), rect(80, 480));
        for _ in 0..5 {
            assert_eq!(steady.follow(SIZE, rect(200, 300)), rect(80, 480));
        }
        assert_eq!(steady.follow(SIZE, rect(80, 482)), rect(80, 480));
        for _ in 0..PATIENCE - 1 {
            assert_eq!(steady.follow(SIZE, rect(200, 300)), rect(80, 480));
        }
        assert_eq!(steady.follow(SIZE, rect(200, 300)), rect(200, 300));
    }

    #[test]
    fn another_frame_size_starts_afresh() {
        let mut steady = Steady::default();
        steady.follow(SIZE, rect(80, 480));
        assert_eq!(steady.follow((320, 480), rect(0, 320)), rect(0, 320));
    }
}
