//! Sets for x86-64.

mod convolution;
mod elementwise;
mod narrow;
mod vectors;
mod vnni512;

use super::{Kernels, dense, depthwise, scalar};
use narrow::{Avx2, Vnni256};
use vnni512::Vnni512;

macro_rules! table {
    ($name:literal, $set:ident, $elementwise:ident, $lookup:path) => {
        Kernels {
            name: $name,
            convolution: dense::pack::<$set>,
            depthwise: depthwise::pack::<$set>,
            add: elementwise::$elementwise::add,
            add_channels: elementwise::$elementwise::add_channels,
            multiply: elementwise::$elementwise::multiply,
            multiply_channels: elementwise::$elementwise::multiply_channels,
            lookup: $lookup,
            sum_channels: elementwise::$elementwise::sum_channels,
            maximum: elementwise::$elementwise::maximum,
            maximum_columns: elementwise::$elementwise::maximum_columns,
            blend_rows: elementwise::$elementwise::blend_rows,
            blend_columns: elementwise::$elementwise::blend_columns,
        }
    };
}

static VNNI512: Kernels = table!("x86-vnni512", Vnni512, avx512, elementwise::lookup);
static VNNI256: Kernels = table!("x86-vnni256", Vnni256, avx2, scalar::lookup);
static AVX2: Kernels = table!("x86-avx2", Avx2, avx2, scalar::lookup);

/// The sets that this CPU can run, the best one first. Their functions must not be reached on any other way: each of
/// their `unsafe` calls relies on what is detected here.
pub fn available() -> Vec<&'static Kernels> {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let vnni256 = avx2 && is_x86_feature_detected!("avxvnni");
    let vnni512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vnni");
    let sets = [(vnni512, &VNNI512), (vnni256, &VNNI256), (avx2, &AVX2)];
    sets.into_iter().filter(|(detected, _)| *detected).map(|(_, set)| set).collect()
}
