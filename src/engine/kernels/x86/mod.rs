//! Sets for x86-64.

mod convolution;
mod depthwise;
mod elementwise;
mod vectors;

use super::Kernels;

/// AVX-512 with VNNI: sixteen dot products of four u8 × s8 an instruction, without saturation.
static VNNI512: Kernels = Kernels {
    name: "x86-vnni512",
    convolution: convolution::pack,
    depthwise: depthwise::pack,
    add: elementwise::add,
    add_channels: elementwise::add_channels,
    multiply: elementwise::multiply,
    multiply_channels: elementwise::multiply_channels,
    lookup: elementwise::lookup,
    sum_channels: elementwise::sum_channels,
    maximum: elementwise::maximum,
    blend: elementwise::blend,
};

/// The sets that this CPU can run, the best one first. Their functions must not be reached on any other way: each of
/// their `unsafe` calls relies on what is detected here.
pub fn available() -> Vec<&'static Kernels> {
    let vnni512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vnni");
    if vnni512 { vec![&VNNI512] } else { vec![] }
}
