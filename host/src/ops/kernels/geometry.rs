//! The shape of a convolution.

/// The geometry of a two-dimensional convolution over `[N, C, H, W]`, square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// N.
    pub batch: usize,
    /// C.
    pub channels: usize,
    /// Output channels.
    pub filters: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
    /// Pixels along each side of the kernel.
    pub kernel: usize,
    /// Pixels from one output to the next, along both axes.
    pub stride: usize,
    /// Zeros added at top, left, bottom, right.
    pub pads: [usize; 4],
    /// 1, or `channels` (depthwise, then `filters == channels`).
    pub groups: usize,
}

impl Geometry {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        (self.height + self.pads[0] + self.pads[2] - self.kernel) / self.stride + 1
    }
    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        (self.width + self.pads[1] + self.pads[3] - self.kernel) / self.stride + 1
    }
    /// Pixels of an input channel.
    pub fn in_plane(&self) -> usize {
        self.height * self.width
    }
    /// Pixels of an output channel.
    pub fn out_plane(&self) -> usize {
        self.out_height() * self.out_width()
    }
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.pads == [0; 4] && self.groups == 1
    }
    pub(super) fn is_depthwise(&self) -> bool {
        self.groups == self.channels && self.groups == self.filters && self.groups > 1
    }
}
