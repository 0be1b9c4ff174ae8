//! What a bundle's files may be called.

use std::path::{Component, Path};

/// The manifest's name in its folder.
pub const MANIFEST: &str = "manifest.toml";
/// The name of the manifest's detached signature; it and the manifest are the only files that the manifest does not list.
pub const SIGNATURE: &str = "manifest.toml.sig";

/// Whether a listed name is a plain relative path.
pub(super) fn stays_inside(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let plain = components.by_ref().all(|component| matches!(component, Component::Normal(_)));
    plain
        && !name.is_empty()
        && !name.contains(|c: char| c == '\\' || c.is_control())
        && !name.ends_with('/')
        && !name.contains("//")
}
