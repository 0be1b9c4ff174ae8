//! Sets for 64-bit ARM.

use super::Kernels;

/// The sets that this CPU can run, the best one first.
pub fn available() -> Vec<&'static Kernels> {
    vec![]
}
