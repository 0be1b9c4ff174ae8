//! A field of view that stays where it is while the picture goes dark, bright or blurred.

use super::Finder;
use crate::frame::{Frame, Rect};

/// Frames in a row that must agree before the box moves.
const PATIENCE: u32 = 10;
/// Boxes that overlap by this (intersection over union) are the same.
const SAME: f32 = 0.97;

/// Follows [`super::find`] over a video: keeps the box until ten frames in a row have agreed on another one. A frame
/// of another size starts afresh.
#[derive(Debug, Default)]
pub struct Steady {
    finder: Finder,
    size: (usize, usize),
    held: Option<Rect>,
    wanted: Option<Rect>,
    votes: u32,
}

impl Steady {
    pub fn new() -> Steady {
        Steady::default()
    }

    /// Starts afresh with the next frame.
    pub fn forget(&mut self) {
        self.held = None;
    }

    /// The box to use for this frame.
    pub fn update(&mut self, frame: &Frame) -> Rect {
        let found = self.finder.find(frame);
        self.follow((frame.width_px(), frame.height_px()), found)
    }

    fn follow(&mut self, size: (usize, usize), found: Rect) -> Rect {
        let held = match self.held {
            Some(held) if self.size == size => held,
            _ => {
                self.hold(size, found);
                return found;
            }
        };
        if overlap(held, found) >= SAME {
            (self.wanted, self.votes) = (None, 0);
            return held;
        }
        match self.wanted {
            Some(wanted) if overlap(wanted, found) >= SAME => self.votes += 1,
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

/// Intersection over union.
fn overlap(a: Rect, b: Rect) -> f32 {
    let width = (a.x + a.width).min(b.x + b.width).saturating_sub(a.x.max(b.x));
    let height = (a.y + a.height).min(b.y + b.height).saturating_sub(a.y.max(b.y));
    let both = width * height;
    both as f32 / (a.width * a.height + b.width * b.height - both).max(1) as f32
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
        let mut steady = Steady::new();
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
        let mut steady = Steady::new();
        steady.follow(SIZE, rect(80, 480));
        assert_eq!(steady.follow((320, 480), rect(0, 320)), rect(0, 320));
    }
}
