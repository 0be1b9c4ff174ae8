//! What the kernels share: tensors, launches, sums.

use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

/// Threads of a cube.
pub(super) const CUBE: u32 = 256;

/// Threads that a sum is spread over, about: several for each core of a large GPU.
pub(super) const SUMMING: usize = 1 << 18;

pub(super) fn dims<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    tensor.meta.shape().dims()
}

/// Uninitialised, beside `like`.
pub(super) fn empty(like: &CubeTensor, shape: impl Into<Vec<usize>>) -> CubeTensor {
    let shape = shape.into().into();
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, like.dtype)
}

/// A launch of at least so many threads.
pub(super) fn spread(like: &CubeTensor, threads: usize) -> (CubeCount, CubeDim) {
    let cube = CubeDim::new_1d(CUBE);
    (calculate_cube_count_elemwise(&like.client, threads, cube), cube)
}

/// Threads that share each of so many sums of `terms`.
pub(super) fn sharers(sums: usize, terms: usize) -> usize {
    (SUMMING / sums).next_power_of_two().min(terms.div_ceil(4)).max(1)
}

/// `[sums, sharers]` → `[sums]`.
pub(super) fn total(parts: CubeTensor) -> CubeTensor {
    let [sums, _] = dims(&parts);
    CubeBackend::float_reshape(CubeBackend::float_sum_dim(parts, 1), [sums].into())
}

/// Where pixel `pixel` of a channel lies in `[N, C, H, W]`, counted through all images; `plane` is H · W.
#[cube]
pub(super) fn place(pixel: usize, channel: usize, channels: usize, plane: usize) -> usize {
    (pixel / plane * channels + channel) * plane + pixel % plane
}
