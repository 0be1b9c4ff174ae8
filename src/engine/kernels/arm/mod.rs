//! Sets for 64-bit ARM, all of which has NEON and fused multiply-adds: on these, the scalar set's element-wise functions are
//! compiled to vectors as they are.

mod columns;
mod convolution;
mod dot;
mod elementwise;
mod i8mm;
mod neon;
mod requantise;
mod vectors;

use std::arch::is_aarch64_feature_detected;

use super::{Kernels, dense, depthwise, scalar};
use dot::Dot;
use i8mm::I8mm;
use neon::Neon;

macro_rules! table {
    ($name:literal, $set:ident) => {
        Kernels {
            name: $name,
            convolution: dense::pack::<$set>,
            depthwise: depthwise::pack::<$set>,
            add: scalar::add_fused,
            add_channels: scalar::add_channels_fused,
            multiply: scalar::multiply,
            multiply_channels: scalar::multiply_channels,
            lookup: elementwise::lookup,
            sum_channels: scalar::sum_channels,
            maximum: scalar::maximum,
            maximum_columns: scalar::maximum_columns,
            blend_rows: scalar::blend_rows,
            blend_columns: scalar::blend_columns,
        }
    };
}

static I8MM: Kernels = table!("arm-i8mm", I8mm);
static DOT: Kernels = table!("arm-dot", Dot);
static NEON: Kernels = table!("arm-neon", Neon);

/// The sets that this CPU can run, the best one first. Their functions must not be reached on any other way: each of
/// their `unsafe` calls relies on what is detected here.
pub fn available() -> Vec<&'static Kernels> {
    let neon = is_aarch64_feature_detected!("neon");
    let dot = neon && is_aarch64_feature_detected!("dotprod");
    let i8mm = neon && is_aarch64_feature_detected!("i8mm");
    let sets = [(i8mm, &I8MM), (dot, &DOT), (neon, &NEON)];
    sets.into_iter().filter(|(detected, _)| *detected).map(|(_, set)| set).collect()
}
