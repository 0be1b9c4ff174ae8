//! Where the layer is put over the video.

/// How the layer comes to lie over the video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Composition {
    /// Planes, if the hardware can.
    #[default]
    Auto,
    /// On a plane of its own.
    Planes,
    /// Drawn into the video's picture.
    Blend,
}
