//! Where the layer is put over the video.

/// By what the layer lies over the video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Road {
    /// Planes, if the hardware can.
    #[default]
    Auto,
    Planes,
    Blend,
}
