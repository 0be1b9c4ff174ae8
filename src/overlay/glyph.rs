//! The dot in the corner, and what it stands for.

/// What the corner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    /// Results are drawn.
    Assist,
    /// Results are drawn, and there would be more or better ones if nothing hindered.
    Reduced,
    /// There is no fresh result.
    Passthrough,
    /// There will be no results, or no recording.
    Off,
    /// What is shown is recorded.
    Recording,
}

impl Glyph {
    pub(super) fn colour(self) -> [u8; 3] {
        match self {
            Glyph::Assist => [60, 230, 90],
            Glyph::Reduced => [235, 235, 60],
            Glyph::Passthrough => [200, 200, 200],
            Glyph::Off => [255, 170, 0],
            Glyph::Recording => [255, 95, 80],
        }
    }

    /// A full dot stands for results, a ring for none: told apart without colours.
    pub(super) fn is_full(self) -> bool {
        matches!(self, Glyph::Assist | Glyph::Reduced | Glyph::Recording)
    }
}
