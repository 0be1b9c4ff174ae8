//! Frame ↔ screen.

use super::{Point, Rect};

/// Where a frame lies on the surface that is shown: stretched to `target`, black around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Width and height of the frame.
    pub frame: (usize, usize),
    /// Width and height of the surface.
    pub surface: (usize, usize),
    /// Lies within the surface, no side 0.
    pub target: Rect,
}

impl Placement {
    /// The surface is the frame.
    pub fn identity(width: usize, height: usize) -> Placement {
        let size = (width.max(1), height.max(1));
        Placement { frame: size, surface: size, target: Rect { x: 0, y: 0, width: size.0, height: size.1 } }
    }

    /// As large as the surface allows in the frame's proportions, in the middle; a frame that fits is enlarged only if
    /// `enlarge` says so. Sides of 0 count as 1.
    pub fn fit(frame: (usize, usize), surface: (usize, usize), enlarge: bool) -> Placement {
        let frame = (frame.0.max(1), frame.1.max(1));
        let surface = (surface.0.max(1), surface.1.max(1));
        let fits = frame.0 <= surface.0 && frame.1 <= surface.1;
        let (width, height) = if fits && !enlarge {
            frame
        } else if frame.0 * surface.1 >= frame.1 * surface.0 {
            (surface.0, ((frame.1 * surface.0 + frame.0 / 2) / frame.0).clamp(1, surface.1))
        } else {
            (((frame.0 * surface.1 + frame.1 / 2) / frame.1).clamp(1, surface.0), surface.1)
        };
        let (x, y) = ((surface.0 - width) / 2, (surface.1 - height) / 2);
        Placement { frame, surface, target: Rect { x, y, width, height } }
    }

    /// No pixel is resampled.
    pub fn is_unscaled(&self) -> bool {
        (self.target.width, self.target.height) == self.frame
    }

    /// A place in the frame as a place on the surface; pixel centres lie at halves in both.
    pub fn to_surface(&self, point: Point) -> Point {
        let scale = |length: usize, of: usize| length as f32 / of.max(1) as f32;
        Point {
            x: self.target.x as f32 + point.x * scale(self.target.width, self.frame.0),
            y: self.target.y as f32 + point.y * scale(self.target.height, self.frame.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_of_the_surfaces_size_stays_as_it_is() {
        assert_eq!(Placement::fit((1920, 1080), (1920, 1080), true), Placement::identity(1920, 1080));
        let small = Placement::fit((640, 480), (1920, 1080), false);
        assert!(small.is_unscaled());
        assert_eq!(small.target, Rect { x: 640, y: 300, width: 640, height: 480 });
    }

    proptest! {
        #[test]
        fn it_lies_on_the_surface_in_its_proportions(
            frame in (1usize..4000, 1usize..4000), surface in (1usize..4000, 1usize..4000), enlarge: bool,
        ) {
            let Placement { target, .. } = Placement::fit(frame, surface, enlarge);
            prop_assert!(target.width > 0 && target.height > 0);
            prop_assert!(target.x + target.width <= surface.0 && target.y + target.height <= surface.1);
            let (wide, high) = (target.width as f64 / frame.0 as f64, target.height as f64 / frame.1 as f64);
            let step = 1.0 / frame.0.min(frame.1) as f64;
            prop_assert!((wide - high).abs() <= step, "{wide} by {high}");
        }
    }
}
