//! Places and rectangles in pixels, and how those of one picture lie in another.
//!
//! | type | ties |
//! |---|---|
//! | [`Mapping`] | the frame's crop to the network's square |
//! | [`Placement`] | the frame to the surface that is shown |

mod mapping;
mod placement;

pub use mapping::Mapping;
pub use placement::Placement;

/// A place in a picture, in pixels; the pixel in column `i` reaches from `i` to `i + 1`, its centre is `i + 0.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Point {
    /// From the left edge.
    pub x: f32,
    /// From the upper edge.
    pub y: f32,
}

/// A rectangle in pixels: `x..x + width`, `y..y + height`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rect {
    /// The first column.
    pub x: usize,
    /// The first row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Rect {
    /// All of a picture of this size.
    pub fn whole(width: usize, height: usize) -> Rect {
        Rect { x: 0, y: 0, width, height }
    }

    /// The part that lies in a picture of this size; all of the picture if no part does.
    pub fn within(self, width: usize, height: usize) -> Rect {
        let inside = Rect {
            width: self.width.min(width.saturating_sub(self.x)),
            height: self.height.min(height.saturating_sub(self.y)),
            ..self
        };
        if inside.width == 0 || inside.height == 0 { Rect::whole(width, height) } else { inside }
    }

    /// The shared area over the area of both together (intersection over union), 0 to 1.
    pub fn overlap(self, other: Rect) -> f32 {
        let width = (self.x + self.width).min(other.x + other.width).saturating_sub(self.x.max(other.x));
        let height = (self.y + self.height).min(other.y + other.height).saturating_sub(self.y.max(other.y));
        let both = width * height;
        both as f32 / (self.width * self.height + other.width * other.height - both).max(1) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_of_the_picture_is_cut_off() {
        let rect = Rect { x: 80, y: 20, width: 40, height: 40 };
        assert_eq!(rect.within(200, 200), rect);
        assert_eq!(rect.within(100, 50), Rect { x: 80, y: 20, width: 20, height: 30 });
        assert_eq!(rect.within(80, 50), Rect::whole(80, 50));
        assert_eq!(Rect { x: usize::MAX, ..rect }.within(80, 50), Rect::whole(80, 50));
    }

    #[test]
    fn overlap_is_the_shared_part_of_both() {
        let rect = Rect::whole(10, 10);
        assert_eq!(rect.overlap(rect), 1.0);
        assert_eq!(rect.overlap(Rect { x: 5, ..rect }), 50.0 / 150.0);
        assert_eq!(rect.overlap(Rect { x: 10, ..rect }), 0.0);
        assert_eq!(Rect::whole(0, 0).overlap(Rect::whole(0, 0)), 0.0);
    }
}
