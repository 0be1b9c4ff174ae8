//! What the ops call to do their arithmetic: one table of functions, chosen once when a model is loaded.
//!
//! All tensors are `[H, W, C] u8`, channels adjacent. Every set of kernels gives the same bytes.

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "vector instructions")]
mod arm;
mod contract;
mod dense;
mod depthwise;
mod folded;
mod packed;
mod rows;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions")]
mod x86;

pub use contract::{BlendRows, Blends, Convolution, Kernels, RowKernel, Windows};
pub use rows::{Rows, Scratch, grow};
pub use scalar::scatter;

use crate::fault::Fault;

/// Forces a set where no option names one.
pub const VARIABLE: &str = "POLYP_KERNELS";

/// All sets that this machine can run, the best one first.
pub fn available() -> Vec<&'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    let wide = x86::available();
    #[cfg(target_arch = "aarch64")]
    let wide = arm::available();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let wide = vec![];
    wide.into_iter().chain([&scalar::KERNELS]).collect()
}

/// The named set, else the one that the environment names in [`VARIABLE`], else the best one.
///
/// # Errors
/// A [`Fault`] of usage if this machine has no set of that name.
pub fn choose(name: Option<&str>) -> anyhow::Result<&'static Kernels> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    match (name, variable) {
        (Some(name), _) => find(name, ""),
        (None, Some(name)) => find(&name.to_string_lossy(), &format!("{VARIABLE}: ")),
        (None, None) => Ok(available().first().copied().unwrap_or(&scalar::KERNELS)),
    }
}

fn find(name: &str, origin: &str) -> anyhow::Result<&'static Kernels> {
    let available = available();
    let found = available.iter().find(|kernels| kernels.name == name);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = available.iter().map(|kernels| kernels.name).collect();
        let names = names.join(", ");
        Fault::usage(format!("{origin}no kernel set {name:?} on this machine; available: {names}"))
    })
}
