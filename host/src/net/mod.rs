//! Networks, described once and walked in three ways.
//!
//! A network is a function over a [`Net`]: [`shapes::Shapes`] walks it to learn which parameters it has,
//! [`forward::Forward`] to compute it, [`crate::graph::fold::Fold`] to write it as an inference graph with batch norm folded away.
//! Transformers need a [`TokenNet`], which the cart's engine is not: they are walked in the first two ways only.

pub(crate) mod cost;
pub mod decoder;
pub mod encoder;
pub mod forward;
pub mod parameters;
pub mod prompts;
pub(crate) mod resize;
pub mod segmenter;
pub mod shapes;
pub(crate) mod student;
pub(crate) mod windows;

pub use parameters::Parameters;

#[cfg(test)]
mod gradient_tests;
#[cfg(test)]
mod tests;

/// One convolution with what follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvSpec {
    /// Output channels; as many as input channels if depthwise.
    pub filters: usize,
    /// Pixels along each side of the kernel.
    pub kernel: usize,
    /// Pixels from one output to the next, along both axes.
    pub stride: usize,
    /// The zeros around the input.
    pub padding: Padding,
    /// Whether each channel has a kernel of its own and none are mixed.
    pub depthwise: bool,
    /// What follows it.
    pub after: After,
}

/// The zeros around a convolution's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's "SAME": as many as one output for each `stride` pixels needs; the odd one goes to the bottom and
    /// right.
    Same,
    /// So many on every side, as PyTorch has it.
    Sides(usize),
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum After {
    /// A bias.
    Bias,
    /// Batch norm.
    Norm {
        /// Added to the variance.
        eps: f32,
    },
    /// Batch norm, then ReLU6.
    NormRelu6 {
        /// Added to the variance.
        eps: f32,
    },
}

impl ConvSpec {
    /// Zeros at top, left, bottom, right for an input of `height × width`.
    pub fn pads(&self, height: usize, width: usize) -> [usize; 4] {
        if let Padding::Sides(zeros) = self.padding {
            return [zeros; 4];
        }
        let along = |side: usize| {
            let out = side.div_ceil(self.stride);
            let total = ((out - 1) * self.stride + self.kernel).saturating_sub(side);
            (total / 2, total - total / 2)
        };
        let ((top, bottom), (left, right)) = (along(height), along(width));
        [top, left, bottom, right]
    }

    /// Rows and columns of the output for an input of `height × width`.
    pub fn extent(&self, height: usize, width: usize) -> [usize; 2] {
        let [top, left, bottom, right] = self.pads(height, width);
        let along = |padded: usize| (padded - self.kernel) / self.stride + 1;
        [along(top + height + bottom), along(left + width + right)]
    }
}

/// What a network is built from. Values are feature maps `[N, C, H, W]`.
pub trait Net {
    /// What stands for a feature map on this walk.
    type Value: Clone;

    /// `[C, H, W]` of a value.
    fn shape(&self, x: &Self::Value) -> [usize; 3];
    /// A convolution and what follows it. Its parameters are `name.weight` and, after it, `name.bias` or `name.gamma`,
    /// `.beta`, `.mean` and `.variance`.
    fn conv(&mut self, name: &str, x: &Self::Value, spec: ConvSpec) -> Self::Value;
    /// The sum of two maps of one shape.
    fn add(&mut self, name: &str, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// Joins along channels.
    fn concat(&mut self, name: &str, parts: &[Self::Value]) -> Self::Value;
    /// 2×2, stride 2.
    fn max_pool(&mut self, name: &str, x: &Self::Value) -> Self::Value;
    /// Bilinear enlargement by a whole factor, half-pixel centres.
    fn enlarge(&mut self, name: &str, x: &Self::Value, factor: usize) -> Self::Value;
    /// Channel attention: `x · sigmoid(f(mean over the plane))`, `f` as `gate` says.
    fn channel_gate(&mut self, name: &str, x: &Self::Value, gate: Gate) -> Self::Value;
}

/// How channel attention makes weights of the channels' means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// A one-dimensional convolution over neighbouring channels (Wang et al., CVPR 2020).
    Eca {
        /// How many neighbours a channel's weight depends on, itself among them; odd.
        kernel: usize,
    },
    /// Two layers, ReLU6 between them (after Hu et al., CVPR 2018, who have ReLU).
    SqueezeExcite {
        /// There are `channels / reduction` values between the layers, at least one.
        reduction: usize,
    },
}

impl Gate {
    /// Values between the two layers of squeeze-and-excite.
    fn narrow(channels: usize, reduction: usize) -> usize {
        (channels / reduction).max(1)
    }
}

/// What a transformer is built from besides. Its values are tokens in their places, `[N, H, W, C]`, of which
/// [`Net::shape`] gives `[H, W, C]`; `map` and `tokens` lead from one kind of value to the other. Parameters are named
/// and laid out as PyTorch does.
pub trait TokenNet: Net {
    /// A k×k convolution with a bias over a map, `pad` zeros on every side. Gives tokens.
    fn patches(&mut self, name: &str, x: &Self::Value, spec: PatchSpec) -> Self::Value;
    /// Adds the position embedding `pos_embed` `[1, C, b, b]`, brought to the tokens' size bicubically, and
    /// `pos_embed_window` `[1, C, w, w]`, repeated over them; both below `name`.
    fn position(&mut self, name: &str, x: &Self::Value, spec: PositionSpec) -> Self::Value;
    /// Over the channels; `eps` is added to the variance.
    fn layer_norm(&mut self, name: &str, x: &Self::Value, eps: f64) -> Self::Value;
    /// `x · weightᵀ + bias`, `weight [outputs, C]`. Without `random` a fresh one is zero.
    fn linear(&mut self, name: &str, x: &Self::Value, outputs: usize, random: bool) -> Self::Value;
    /// By the error function, as PyTorch's default. Takes maps as well as tokens.
    fn gelu(&mut self, x: &Self::Value) -> Self::Value;
    /// Scaled dot-product attention of `[N, H, W, 3·C]`, query, key and value one after the other, each split into
    /// heads.
    fn attention(&mut self, qkv: &Self::Value, spec: AttentionSpec) -> Self::Value;
    /// Attention in windows of `[N, H, W, 3·C]`, of which the values of one head follow those of another, each head's
    /// query, key and value one after the other. To the score of two tokens comes what `name.attention_biases`
    /// `[heads, window²]` holds for the head and for how many rows and columns lie between them, rows first.
    fn offset_attention(&mut self, name: &str, qkv: &Self::Value, heads: usize, window: usize)
    -> Self::Value;
    /// Zero tokens at the bottom and right.
    fn pad(&mut self, x: &Self::Value, height: usize, width: usize) -> Self::Value;
    /// The top left tokens.
    fn crop(&mut self, x: &Self::Value, height: usize, width: usize) -> Self::Value;
    /// The largest of 2×2, stride 2.
    fn halve(&mut self, x: &Self::Value) -> Self::Value;
    /// The mean of `factor × factor`.
    fn shrink(&mut self, x: &Self::Value, factor: usize) -> Self::Value;
    /// Tokens `[N, H, W, C]` as a map `[N, C, H, W]`.
    fn map(&mut self, x: &Self::Value) -> Self::Value;
    /// A map `[N, C, H, W]` as tokens `[N, H, W, C]`.
    fn tokens(&mut self, x: &Self::Value) -> Self::Value;
    /// What is left of a map's planes without their low frequencies: those within the middle `share` of the spectrum
    /// along both axes.
    fn high_frequencies(&mut self, x: &Self::Value, share: f32) -> Self::Value;
}

/// The convolution of [`TokenNet::patches`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchSpec {
    /// Values of each token.
    pub filters: usize,
    /// Pixels along each side of the kernel.
    pub kernel: usize,
    /// Pixels from one token to the next, along both axes.
    pub stride: usize,
    /// Zeros on every side.
    pub pad: usize,
}

/// The sizes of [`TokenNet::position`]'s embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionSpec {
    /// Rows and columns of `pos_embed`.
    pub background: [usize; 2],
    /// Tokens along each side of `pos_embed_window`.
    pub window: usize,
}

/// The form of [`TokenNet::attention`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionSpec {
    /// Parts into which the channels are divided, each with an attention of its own.
    pub heads: usize,
    /// Tokens along a window's side, of which the tokens must be whole multiples; all of them see each other if
    /// `None`.
    pub window: Option<usize>,
    /// Whether queries are pooled 2×2, which halves the tokens' sides.
    pub pool: bool,
}
