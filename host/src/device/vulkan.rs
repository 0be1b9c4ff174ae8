//! What Vulkan needs of a machine: its loader, and a driver that the loader finds.

use burn::tensor::Device;
use libloading::Library;

use crate::device::trial::{out_of_range, trial};

/// Whether this program was built for Vulkan.
pub const BUILT: bool = cfg!(feature = "vulkan");

const NO_LOADER: &str =
    "libvulkan.so.1 cannot be loaded; install it (Debian: libvulkan1) and the GPU's Vulkan driver";
const NO_ADAPTER: &str = "Vulkan's loader is installed but finds no adapter; install the GPU's Vulkan driver (Debian: mesa-vulkan-drivers, \
                          or NVIDIA's own) and see what vulkaninfo says";

/// The adapters' names, or what is missing.
pub fn names() -> Result<Vec<String>, String> {
    Ok(adapters()?.into_iter().map(|(_, name)| name).collect())
}

/// The adapter with this number, after a trial sum on it; else what is missing.
pub fn open(ordinal: usize) -> Result<Device, String> {
    let mut adapters = adapters()?;
    if ordinal < adapters.len() {
        return trial(adapters.swap_remove(ordinal).0);
    }
    let names: Vec<String> = adapters.into_iter().map(|(_, name)| name).collect();
    Err(out_of_range(ordinal, &names))
}

/// Discrete ones first, software last.
fn adapters() -> Result<Vec<(Device, String)>, String> {
    if !BUILT {
        return Err(super::trial::not_built("vulkan"));
    }
    // SAFETY: the loader has no precondition for being loaded; nothing of it is called.
    unsafe { Library::new("libvulkan.so.1") }.map_err(|_| NO_LOADER.to_owned())?;
    let found =
        super::guard::quietly(enumerate).map_err(|why| format!("an adapter does not start: {why}"))?;
    if found.is_empty() { Err(NO_ADAPTER.into()) } else { Ok(found) }
}

#[cfg(feature = "vulkan")]
fn enumerate() -> Vec<(Device, String)> {
    let named = |device: Device| {
        let name = device.identity().map_or_else(|| "unnamed".to_owned(), |identity| identity.name);
        (device, name)
    };
    Device::enumerate(burn::tensor::DeviceType::Vulkan).into_iter().map(named).collect()
}

#[cfg(not(feature = "vulkan"))]
fn enumerate() -> Vec<(Device, String)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_things_are_named_with_what_to_install() {
        assert!(NO_LOADER.contains("libvulkan1") && NO_ADAPTER.contains("vulkaninfo"));
        for line in [NO_LOADER, NO_ADAPTER] {
            assert!(!line.contains('\n') && !line.contains("  "), "{line}");
        }
    }
}
