//! Networks, described once and walked in three ways.
//!
//! A network is a function over a [`Net`]: [`shapes::Shapes`] walks it to learn which parameters it has,
//! [`forward::Forward`] to compute it, [`fold::Fold`] to write it as an inference graph with batch norm folded away.

pub mod decoder;
pub mod efficientnet;
pub mod fold;
pub mod forward;
pub mod parameters;
pub mod shapes;
pub mod student;

pub use parameters::Parameters;

#[cfg(test)]
mod tests;

/// One convolution with what follows it. Padding is TensorFlow's "SAME": at stride 2 the odd zero goes to the
/// bottom and right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvSpec {
    pub filters: usize,
    pub kernel: usize,
    pub stride: usize,
    pub depthwise: bool,
    pub after: After,
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum After {
    /// A bias.
    Bias,
    /// Batch norm.
    Norm { eps: f32 },
    /// Batch norm, then ReLU6.
    NormRelu6 { eps: f32 },
}

impl ConvSpec {
    /// Zeros at top, left, bottom, right for an input of `height × width`.
    pub fn pads(&self, height: usize, width: usize) -> [usize; 4] {
        let along = |side: usize| {
            let out = side.div_ceil(self.stride);
            let total = ((out - 1) * self.stride + self.kernel).saturating_sub(side);
            (total / 2, total - total / 2)
        };
        let ((top, bottom), (left, right)) = (along(height), along(width));
        [top, left, bottom, right]
    }
}

/// What a network is built from. Values are feature maps `[N, C, H, W]`.
pub trait Net {
    type Value: Clone;

    /// `[C, H, W]` of a value.
    fn shape(&self, x: &Self::Value) -> [usize; 3];
    fn conv(&mut self, name: &str, x: &Self::Value, spec: ConvSpec) -> Self::Value;
    fn add(&mut self, name: &str, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// Joins along channels.
    fn concat(&mut self, name: &str, parts: &[Self::Value]) -> Self::Value;
    /// 2×2, stride 2.
    fn max_pool(&mut self, name: &str, x: &Self::Value) -> Self::Value;
    /// Bilinear enlargement by a whole factor, half-pixel centres.
    fn enlarge(&mut self, name: &str, x: &Self::Value, factor: usize) -> Self::Value;
    /// Efficient channel attention (Wang et al., CVPR 2020): `x · sigmoid(conv1d(mean over the plane))`, the
    /// one-dimensional convolution running over neighbouring channels, `kernel` (odd) of them.
    fn channel_gate(&mut self, name: &str, x: &Self::Value, kernel: usize) -> Self::Value;
}
